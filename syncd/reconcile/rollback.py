"""Take sites back to an older version of a source path: find the path, read the version, say what is to hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from syncd.domain import Record, Rule, SecretRef, Version, version_label
from syncd.domain.decisions import Rollback
from syncd.domain.job import Job
from syncd.domain.naming import selects_path
from syncd.domain.records import GIVEN_UP, NEWEST
from syncd.errors import ConfigError, SecretError, SourceDenied, SourceError, SourceUnavailable, VersionGone
from syncd.reconcile.older_version import read_older
from syncd.reconcile.rollback_reach import reach_of
from syncd.reconcile.runtime import Runtime

OneSecret = Callable[[tuple[str, str], tuple[str, str]], bool]
"""Given two paths, each with its source: do they share one decision, such as a rollback?"""
SecretsOf = Callable[[Collection[tuple[str, str]]], Mapping[tuple[str, str], tuple[str, str]]]
"""Given sources and paths: which secret each means; those whose place was never learnt are left out."""
Spellings = Callable[[str, str], Collection[str]]
"""Given a source and a path: every path of the source under which the ledger has this very secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A source path that is to be rolled back, with the ledger's rows that come from it."""

    source: str
    path: str
    records: tuple[Record, ...]
    job: Job
    rule: Rule


def taken(runtime: Runtime, records: Iterable[Record], what: str, spelled: Spellings) -> list[Taken]:
    """Find the path that `what` means: a name at Wix, a source path or SOURCE:PATH.

    `spelled`: of paths that are the same secret (a name at AWS and its ARN) only SOURCE:PATH means one alone. Raises
    `ConfigError` for none or several, for a name that its rule pins, and where no rule takes the path any more.
    """
    known = list(records)
    named = [record for record in known if what in {record.name, record.ref.path, _full(record.ref)}]
    if not named:
        raise ConfigError(f"no site has a secret called {what}, or one from such a path", hint="see: syncd state list")
    # A rollback leaves a rule's own pin alone, so it would change nothing there.
    pinned = next((record for record in named if record.pin), None)
    if pinned is not None:
        raise ConfigError(f"{pinned.name} is pinned by its rule already", hint="change `version` or `stage` there")
    paths = {(item.ref.source, item.ref.path) for item in named}
    if what not in {_full(item.ref) for item in named}:  # who names one in full means that one alone
        seen = {(item.ref.source, item.ref.path) for item in known}
        paths |= seen & {(source, other) for source, path in paths for other in spelled(source, path)}
    _see_that_it_is_one(what, {f"{source}:{path}" for source, path in paths})
    return taken_paths(runtime, known, paths)


def _full(ref: SecretRef) -> str:
    return f"{ref.source}:{ref.path}"


def _see_that_it_is_one(what: str, paths: Collection[str]) -> None:
    """Raise `ConfigError` where several paths are meant: a rollback must not take another secret back as well."""
    if len(paths) > 1:
        means = ", ".join(sorted(paths))
        raise ConfigError(f"{what} means {len(paths)} paths: {means}", hint="name one of them: SOURCE:PATH")


def taken_paths(
    runtime: Runtime,
    records: Iterable[Record],
    paths: Iterable[tuple[str, str]],
    refused: list[str] | None = None,
) -> list[Taken]:
    """Return these paths with the rows that come from them: a version is the whole path's.

    `refused`: a list that takes why a path is left out; None: raise `ConfigError` instead.
    """
    by_path: dict[tuple[str, str], list[Record]] = {path: [] for path in paths}
    for record in records:
        if (record.ref.source, record.ref.path) in by_path and not record.pin:
            by_path[record.ref.source, record.ref.path].append(record)
    found: list[Taken] = []
    for (source, path), rows in sorted(by_path.items()):
        with _each(path, refused):
            found.append(_of_path(runtime, source, path, tuple(rows)))
    return found


@contextmanager
def _each(path: str, refused: list[str] | None) -> Iterator[None]:
    """Add the error of one path to `refused`, so that the others go on; without `refused`, raise it.

    An error of the whole source is always raised.
    """
    try:
        yield
    except (ConfigError, VersionGone, SourceError) as error:
        is_of_source = isinstance(error, SourceDenied) or (isinstance(error, SourceUnavailable) and error.whole)
        if refused is None or is_of_source:
            raise
        refused.append(error.message if path in error.message else f"{path}: {error.message}")


def _of_path(runtime: Runtime, source: str, path: str, rows: tuple[Record, ...]) -> Taken:
    """Find the rule that reads this secret now, by whatever name and spelling. Raises `ConfigError` if none does."""
    read = reach_of(runtime, rows, [(source, path)]).read
    # A job that has rows of it, or reads it by the name that was given, goes before another one that reads it as well.
    owners = {row.job for row in rows}
    for job in sorted(
        (runtime.jobs[name] for name in read), key=lambda job: (job.source != source, job.name not in owners)
    ):
        called = sorted(read[job.name], key=lambda text: (text != path, text))
        for text in called:
            if rule := next((rule for rule in job.rules if not rule.pin and selects_path(rule, text)), None):
                return Taken(source=job.source, path=text, records=rows, job=job, rule=rule)
    raise ConfigError(f"no rule of a job takes {path} any more", hint="a rollback needs one that reads it")


def ended_paths(
    records: Iterable[Record],
    rollbacks: Mapping[tuple[str, str], Rollback],
    what: str,
    is_one: OneSecret,
    held_by: Callable[[str, str], Rollback | None],
) -> list[tuple[str, str]]:
    """Return the rolled-back paths that a name at Wix or a source path means.

    Raises `ConfigError` if nothing is rolled back there, or if several secrets are meant. `is_one`: do two paths mean
    one secret, which may have another name or spelling by now? `held_by`: the rollback that holds a path of a source,
    under whatever name.
    """
    named = [record.ref for record in records if what in {record.name, record.ref.path, _full(record.ref)}]
    chosen = [
        (source, path)
        for source, path in rollbacks
        if what in {path, f"{source}:{path}"} or any(is_one((source, path), (ref.source, ref.path)) for ref in named)
    ]
    if not chosen:
        # Another entry for one place: a rollback by that name holds this secret as well.
        others = (held_by(ref.source, ref.path) for ref in named)
        called = min((f"{other.source}:{other.path}" for other in others if other), default="")
        listing = "what is rolled back: syncd state list --status rolled_back"
        raise ConfigError(
            f"{what} is not rolled back", hint=f"its path is, as {called}: end that one" if called else listing
        )
    _see_that_it_is_one(what, {f"{source}:{path}" for source, path in _one_a_secret(chosen, is_one)})
    # One of the same secret under another name of its source would hold on in the place of the one that ends.
    return sorted(key for key in rollbacks if any(is_one(key, one) for one in chosen))


def _one_a_secret(keys: Iterable[tuple[str, str]], is_one: OneSecret) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key in keys:
        if not any(is_one(key, other) for other in found):
            found.append(key)
    return found


def replaced_by(
    found: Sequence[Taken], rollbacks: Collection[tuple[str, str]], is_one: OneSecret, secrets_of: SecretsOf
) -> list[tuple[str, str]]:
    """Rollbacks of the same secrets by other names or spellings, which new ones take the place of."""
    items = {(item.source, item.path): item for item in found}
    secrets = secrets_of({*items, *rollbacks})
    # By their secrets and by their paths: thousands that are rolled back together are not compared one with another.
    like: dict[Hashable, list[tuple[str, str]]] = {}
    for known in rollbacks:
        like.setdefault(secrets.get(known), []).append(known)
        like.setdefault(known[1], []).append(known)
    replaced: list[tuple[str, str]] = []
    for key, item in items.items():
        of_rows = {(row.ref.source, row.ref.path) for row in item.records}
        same_secret = like.get(secrets[key], []) if key in secrets else []
        others = dict.fromkeys((*same_secret, *like.get(key[1], []), *of_rows.intersection(rollbacks)))
        replaced += [other for other in others if other != key and (other in of_rows or is_one(other, key))]
    return replaced


def paths_of(found: Iterable[Taken]) -> list[tuple[str, str]]:
    """The source and path of each path that is to be rolled back."""
    return [(item.source, item.path) for item in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a rollback holds, who wants it, and why."""

    now: datetime
    until: datetime
    by: str
    reason: str


def rollback_to(runtime: Runtime, item: Taken, wanted: str | None, terms: Terms) -> Rollback:
    """Read the older version anew, and return the rollback that is to hold.

    `wanted`: a version, or (AWS) a stage; None: the one before. Raises `VersionGone`, `SourceError`; `ConfigError` for
    a source without versions, for a version that nobody can go back to, and without `wanted` for a path that is rolled
    back already.
    """
    holds = runtime.store.rollback_of(item.source, item.path) if wanted is None else None
    if holds is not None:
        # Asked for again (to prolong it, or after a failure) it would go one further back each time.
        raise ConfigError(
            f"{item.path} is already {holds}", hint=f"--to {holds.label} prolongs that; --to another one goes there"
        )
    source = runtime.source(item.source)
    seen = runtime.found(item.source, item.rule, item.path, item.job.name)
    entry = next(iter(seen.entries), None)
    if entry is None and seen.complete:
        # A listing by the rule leaves out what lost its tags as well.
        why = seen.absence or "is gone at the source" + (", or lost its rule's tags" if item.rule.tags else "")
        raise VersionGone(f"{item.path} {why}", hint=f"see: syncd where {item.path}")
    if entry is None:
        raise SourceError(
            f"source {item.source}: {item.path} cannot be read now", hint="see: syncd explain " + item.path
        )
    if entry.version is None or not version_label(entry.version.token):
        raise ConfigError(
            f"{item.path} has no versions (KV v1), so none can be gone back to", hint="write it anew there"
        )
    _see_that_nothing_newer_was_seen(runtime, item, entry.version, wanted)
    rows = _rows_on_sites(runtime, item, terms.now) if wanted is None else []
    version = read_older(source, item.path, entry, wanted, rows)
    return Rollback(
        source=item.source,
        path=item.path,
        version=version,
        label=version_label(version.token),
        at=terms.now,
        until=terms.until,
        by=terms.by,
        reason=terms.reason,
    )


def _see_that_nothing_newer_was_seen(runtime: Runtime, item: Taken, listed: Version, wanted: str | None) -> None:
    """Raise `SourceError` where the source shows an older version than was seen before.

    A server that lags and a Vault that was restored look alike. With `wanted`, only another secret than before is
    refused: a version that a person names is of the listed secret, whichever of the two it is. Without it, the version
    before the newest would be another one.
    """
    seen = (runtime.store.known_path(item.source, item.path, pin) for pin in ("", NEWEST))
    before = [state.version for state in seen if state is not None and listed.older_than(state.version)]
    if any(wanted is None or listed.lineage != version.lineage for version in before):
        raise SourceError(
            f"source {item.source}: {item.path} is shown in an older version than before (a server that lags?)",
            hint="try again in a moment; what was put back there on purpose is believed after three cycles",
        )


def _rows_on_sites(runtime: Runtime, item: Taken, now: datetime) -> list[Record]:
    """Return the rows of the secret, under whatever name or spelling, that a rollback would change on sites of today.

    If that leaves none, all its rows on those sites count; if it has none there, all its rows.
    """
    # What a site got that no target names any more says nothing of the others.
    sites = {runtime.site_of(target) for target in runtime.targets}
    known = [row for site in sorted(sites) for row in runtime.store.records(site)]
    rows = dict.fromkeys((*item.records, *reach_of(runtime, known, [(item.source, item.path)]).rows))
    # Under a new key of its target a site is known from its next cycle on.
    here = [row for row in rows if row.site in sites] or list(rows)
    # What no rule makes any more, or a person froze, stays as it is.
    return [row for row in here if row.status not in GIVEN_UP and not row.reads_frozen(now)] or here


def rollbacks_to(
    runtime: Runtime, chosen: Iterable[tuple[Taken, str | None]], terms: Terms, refused: list[str] | None
) -> list[tuple[Taken, Rollback]]:
    """Read every older version anew before any rollback is kept, so that none is carried out by half.

    `chosen`: each path with its wanted version. `refused`: a list that takes why a path does not go back; None: raise
    what `rollback_to` does. Raises `SecretError` where nothing is left.
    """
    found: list[tuple[Taken, Rollback]] = []
    for item, wanted in chosen:
        with _each(item.path, refused):
            found.append((item, rollback_to(runtime, item, wanted, terms)))
    if refused and not found:
        more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
        raise SecretError(f"nothing can go back: {'; '.join(refused[:3])}{more}", hint="see: syncd audit show")
    return found
