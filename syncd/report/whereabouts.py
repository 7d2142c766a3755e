"""On which sites a source's secret is, in which version, since when: what a leak of it touches."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from syncd.bootstrap.app import App
from syncd.domain import PathState, Record, Rule, SecretRef, is_of_an_earlier_secret, version_label
from syncd.domain.naming import selects_path
from syncd.domain.statuses import status_of_record
from syncd.errors import ConfigError
from syncd.ledger.audit_reading import Filter
from syncd.report.grouping import names_in_words
from syncd.report.parts import strays
from syncd.report.whole_values import NOT_KNOWN as WITHIN_IS_NOT_KNOWN
from syncd.report.whole_values import carries

Known = Mapping[str, Mapping[tuple[str, str], PathState]]
"""What was last seen of the sources, by source, and by path and pin."""

NOT_KNOWN = "newer than what it is rolled back to"


@dataclass(frozen=True, slots=True)
class _Meant:
    """Is a reference one of those asked for? `asked`: by source, PATH or PATH#FIELD in every spelling."""

    asked: Mapping[str, frozenset[str]]

    def __call__(self, ref: SecretRef) -> bool:
        return not self.asked.get(ref.source, frozenset()).isdisjoint({ref.path, f"{ref.path}#{ref.field}"})

    def fields(self, ref: SecretRef) -> list[str]:
        """Return which fields of the reference's path were asked for by name."""
        texts = (text.rpartition("#") for text in self.asked.get(ref.source, ()))
        return [field for path, _, field in texts if path == ref.path]

    def paths(self, source: str) -> list[str]:
        """Return what may be a path of the source: each text asked for, as it is and up to its last `#`.

        A path may hold a `#` itself.
        """
        asked = self.asked.get(source, frozenset())
        return sorted({*asked, *(text.rpartition("#")[0] for text in asked)} - {""})


def _spelled(app: App, source: str, *asked: str) -> Iterator[str]:
    """Yield what was asked for, in each spelling that its source has for it."""
    for text in asked:
        path, hash_sign, field = text.rpartition("#")
        yield from app.ledger.spellings(source, text)
        if path:
            yield from (f"{other}{hash_sign}{field}" for other in app.ledger.spellings(source, path))


NOT_KNOWN_WITHIN = {"is_known": False, "why": WITHIN_IS_NOT_KNOWN}
NO_SITE = "no site has a secret from"


class NotSeen(ConfigError):
    """A path that a rule takes, and that no cycle has seen yet: it may be on its way."""


def whereabouts(app: App, path: str) -> list[dict[str, Any]]:
    """Return a row for every name that comes from the path, and for every site that lacks it.

    Raises `ConfigError` where there is no such row; `NotSeen` where a rule takes the path and no cycle has seen it
    yet.
    """
    now, served = app.runtime.clock(), app.served
    # A source that was renamed or removed has its secrets on the sites all the same, and a leak touches them.
    ledger, sources = app.ledger, {*app.settings.sources, *app.ledger.sources_of_rows()}
    # As plans and lists print it: SOURCE:PATH, of that source alone.
    asked = {source: {path, path.removeprefix(f"{source}:")} for source in sources}
    meant = _Meant({name: frozenset(_spelled(app, name, *texts)) for name, texts in asked.items()})
    known = {source: _known_of(app, source, meant.paths(source)) for source in app.settings.sources}
    held = app.ledger.rollbacks_by_secret()
    own = app.ledger.decisions.rollbacks()

    def rolled_back(ref: SecretRef) -> bool:
        return (ref.source, ref.path) in own or ledger.secret_at(ref.source, ref.path) in held

    rows = [
        row for source in sorted(sources) for one in meant.paths(source) for row in ledger.records_from(source, one)
    ]
    records = [record for record in rows if meant(record.ref)]
    # A field that leaked is also where it goes within a whole value.
    others = {row: _is_within(app, known, row, meant.fields(row.ref)) for row in rows if not meant(row.ref)}
    # Found, and not put back yet: as long as that waits the row itself does not tell.
    drifted = {(site, name) for site, _, name in ledger.lasting_drift()}
    found = []
    for record in (*records, *(row for row, is_within in others.items() if is_within is not False)):
        newest = _newest(known, record.ref, record.pin, rolled_back)
        state = known.get(record.ref.source, {}).get((record.ref.path, record.pin))
        made_anew = state is not None and is_of_an_earlier_secret(record.version, state.version)
        is_changed = {"is_changed_by_others": record.theirs or (record.site, record.name) in drifted}
        shown = _row(app, record, status_of_record(record, served, now), newest, made_anew=made_anew)
        found.append(shown | is_changed | (NOT_KNOWN_WITHIN if others.get(record, True) is None else {}))
    rows_there = {(row["site"], row["name"]): row for row in found}
    have_trouble = set[tuple[str, SecretRef]]()
    for problem in app.ledger.all_problems():
        if not problem.ref or not meant(problem.ref):
            continue
        have_trouble.add((problem.site, problem.ref))
        told_row = rows_there.get((problem.site, problem.subject))
        if told_row is None:
            target = app.first_target_on(problem.site, problem.job)
            newest = _newest(known, problem.ref, "", rolled_back)
            told_row = _lacking(problem.site, target, problem.subject, problem.kind, newest)
            found.append(told_row)
        told_row |= {"why": problem.message, "fix": problem.hint}
    told = {(record.site, record.ref) for record in records} | have_trouble
    found += _not_reached(app, meant, known, records, told)
    if not found:
        hint = f"give the path with its mount; what a rule makes of it: syncd explain {path.partition('#')[0]}"
        # People know a secret by its name at Wix, too.
        sites = {app.site_of(target) for target in app.settings.targets}
        named = {row.ref.path for site in sites if (row := ledger.record(site, path))}
        if named:
            commands = ", ".join(f"syncd where {known}" for known in sorted(named))
            raise ConfigError(f"{path} is a name at Wix; a path is asked for", hint=f"ask for its source: {commands}")
        # A mark tells no path: what the ledger lost may be from there.
        lost = [row["name"] for row in strays(app)]
        beside = f"; {len(lost)} with our mark are in no ledger: {names_in_words(lost)}" if lost else ""
        nobody = f"{NO_SITE} {path}, and none failed to get one{beside}"
        if not any(known.values()) and (jobs := _taken_by(app, asked)):
            at = max(
                (run.succeeded_at for run in app.ledger.runs() if run.job in jobs and run.succeeded_at), default=None
            )
            looked = f"; the last look at its source was at {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
            why = f"{nobody}; a rule takes it, and no cycle has seen it yet{looked}"
            raise NotSeen(
                why, hint=f"see that it is written so at the source, and: syncd sync {' '.join(sorted(jobs))}"
            )
        raise ConfigError(nobody, hint=hint)
    return sorted(found, key=lambda row: (row["target"], row["name"]))


def _is_within(app: App, known: Known, record: Record, fields: Iterable[str]) -> bool | None:
    """Does the value of the record carry one of these fields of its path? None where that is not known."""
    rules = [rule for job in app.runtime.jobs.values() for rule in job.rules]
    path = known.get(record.ref.source, {}).get((record.ref.path, record.pin))
    answers = [carries(record, field, rules, path) for field in fields]
    return True if True in answers else None if None in answers else False


def lacking(app: App, ref: SecretRef) -> list[dict[str, Any]]:
    """Return a row for each site that a job sends a secret to and that has neither a record nor a problem of it."""
    asked = str(ref).removeprefix(f"{ref.source}:") if ref.field else ref.path
    meant = _Meant({ref.source: frozenset(_spelled(app, ref.source, asked))})
    known = {ref.source: _known_of(app, ref.source, [ref.path])}
    records = [record for record in app.ledger.records_from(ref.source, ref.path) if meant(record.ref)]
    troubles = {(problem.site, problem.ref) for problem in app.ledger.all_problems() if problem.ref}
    told = {(record.site, record.ref) for record in records} | {item for item in troubles if meant(item[1])}
    return list(_not_reached(app, meant, known, records, told))


def _known_of(app: App, source: str, paths: Iterable[str]) -> dict[tuple[str, str], PathState]:
    """Return what was last seen of paths, with the newest version: during a rollback an older one was read."""
    known = {key: state for path in paths for key, state in app.ledger.known_versions(source, path).items()}
    newest = app.ledger.newest_seen(source)
    for key, state in known.items():
        seen = newest.get(state.path)
        if seen is not None and not state.pin and state.version.older_than(seen.version):
            known[key] = replace(state, version=seen.version)
    return known


def _newest(known: Known, ref: SecretRef, pin: str, rolled_back: Callable[[SecretRef], bool]) -> str | None:
    """Return the version that the source was last seen to have, as people write it; None where it is not known.

    `rolled_back`: is the secret rolled back? Then cycles look at an older version, and the newest is not known.
    """
    if not pin and rolled_back(ref):
        # No site holds a version that is called so: as long as it is rolled back, none counts as having the newest.
        return NOT_KNOWN
    state = known.get(ref.source, {}).get((ref.path, pin))
    return (version_label(state.version.token) or None) if state else None


def _not_reached(
    app: App, meant: _Meant, known: Known, records: Iterable[Record], told: set[tuple[str, SecretRef]]
) -> Iterator[dict[str, Any]]:
    """Yield rows for what a job sends to a site of which no record or problem tells.

    Such a site is paused, outside a window, or refuses everything. `told`: the sites and references (without a field:
    all fields) that a record or problem tells of.
    """
    places = {(site, _at_its_place(app, ref)) for site, ref in told}
    names: dict[tuple[str, SecretRef], str] = {(record.job, record.ref): record.name for record in records}
    for job in app.runtime.jobs.values():
        wanted: dict[SecretRef, str | None] = {}
        for rule in job.rules:
            for state in known.get(job.source, {}).values():
                if state.pin == rule.pin and selects_path(rule, state.path):
                    refs = filter(meant, _refs(state, rule))
                    newest = version_label(state.version.token) or None
                    wanted |= dict.fromkeys(refs, newest)
        # Two targets may lead to one site, which is told once, under the first of them.
        for site, target in {app.site_of(target): target for target in reversed(job.targets)}.items():
            for ref, newest in wanted.items():
                # A problem of the whole path speaks for each of its fields.
                is_told = {(site, _at_its_place(app, part)) for part in (ref, replace(ref, field=None))} & places
                # The ledger remembers the path of what syncd deleted there; the site does not lack it.
                if not is_told and not _was_deleted(app, site, ref):
                    yield _lacking(site, target, names.get((job.name, ref), str(ref)), "behind", newest)


def _taken_by(app: App, asked: Mapping[str, Collection[str]]) -> set[str]:
    """The jobs of which a rule takes the path. `asked`: by source, its spellings."""
    given = ((job, rule, text) for job in app.runtime.jobs.values() for rule in job.rules for text in asked[job.source])
    return {job.name for job, rule, text in given if selects_path(rule, text.partition("#")[0])}


def _at_its_place(app: App, ref: SecretRef) -> SecretRef:
    """Return the reference with the id of its mount or account in place of the source's name.

    Two configured sources may lead to one place.
    """
    return replace(ref, source=app.ledger.mount_id(ref.source, ref.path) or ref.source)


def _was_deleted(app: App, site: str, ref: SecretRef) -> bool:
    """Did syncd delete it from the site, and not create it again since?"""
    lines = app.ledger.audit.lines(Filter(site=site, event="secret.*", text=json.dumps(str(ref), ensure_ascii=False)))
    # The filter finds the text anywhere in a line; only `ref` says what the line is about.
    done = [line for line in lines if line["outcome"] == "done" and line["ref"] == str(ref)]
    return bool(done) and done[-1]["event"] == "secret.delete"


def _refs(state: PathState, rule: Rule) -> list[SecretRef]:
    """What a rule takes of a path, as far as its fields are known."""
    ref = SecretRef(source=state.source, path=state.path)
    if rule.field is None:
        return [ref]
    return [replace(ref, field=name) for name in state.fields or () if rule.field in {"*", name}]


def _lacking(site: str, target: str, name: str, status: str, newest: str | None) -> dict[str, Any]:
    nothing = {"version": None, "arrived_at": None, "request_id": None, "source_version": newest}
    return {"site": site, "target": target, "name": name, "status": status, **nothing}


def _row(app: App, record: Record, status: str, newest: str | None, *, made_anew: bool) -> dict[str, Any]:
    lines = app.ledger.audit.lines(Filter(site=record.site, name=record.name, event="secret.*"))
    # Lines of an earlier secret of this name tell nothing of the one that has the name now.
    done = [line for line in lines if line["outcome"] == "done" and line["remote_id"] == record.remote_id]
    last = done[-1] if done else None
    # Lines are removed by age (audit.keep); the record goes on telling when it arrived.
    settled = record.last_synced_at.isoformat() if record.last_synced_at else None
    # Without an id nothing has arrived: the record says only what is wanted.
    held = (version_label(record.version) or None) if record.remote_id else None
    return {
        "site": record.site,
        "target": app.first_target_on(record.site, record.job),
        "name": record.name,
        "version": held,
        "source_version": newest,
        "is_of_an_earlier_secret": made_anew,
        "is_changed_by_others": record.theirs,
        # Another job on the same source may have seen a newer version since this site was last synced.
        "status": "behind" if status == "synced" and (made_anew or newest not in {None, held}) else status,
        "arrived_at": last["at"] if last else settled,
        "request_id": last["request_id"] if last else None,
    }
