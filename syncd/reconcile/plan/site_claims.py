"""What other jobs on a site want there, as far as it can be told: asked just before a deletion."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from syncd.domain import FindingKind, PathState, Rule, SecretRef
from syncd.domain.job import Job
from syncd.domain.naming import could_name, selects_path, wix_name
from syncd.domain.places import secret_at
from syncd.domain.ports import Target
from syncd.errors import BadName, SyncdError
from syncd.reconcile.desired.desired_state import build_desired_state
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.observe.source_observer import SourceObserver
from syncd.reconcile.plan.absence import empty_rules
from syncd.reconcile.plan.handover import Wish
from syncd.reconcile.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindJob:
    """A job that could not be listed completely: judged by what the ledger knows of it."""

    job: str
    cause: str
    names: frozenset[str]
    """Names that its rules give to paths that the ledger knows."""
    rules: tuple[Rule, ...]
    unknown_rules: tuple[Rule, ...]
    """Rules of which the ledger knows no path: each name that they could give may be wanted."""
    unread: tuple[tuple[Rule, str], ...] = ()
    """Paths that it lists and could not read, whose fields may be any."""
    gone: frozenset[str] = frozenset()
    """Paths that its source, asked for each, says are gone."""
    known: frozenset[str] = frozenset()
    """Paths of which the ledger or its listing tells what it makes."""

    def may_rename(self, path: str, tags: AbstractSet[tuple[str, str]] | None) -> bool:
        """Could it give the secret of this path a name that nobody knows yet? `tags`: None where they are not known."""
        if path in self.known or path in self.gone:
            return False
        return any(selects_path(rule, path) and (tags is None or set(rule.tags) <= tags) for rule in self.rules)

    def may_want(self, name: str, path: str, profile: str) -> bool:
        """Could it want the name of a secret that came from this path?"""
        folded = name.casefold()
        if any(known.casefold() == folded for known in self.names):
            return True
        # A rule that covers the very path may have taken the secret over, from whichever source.
        covering = (rule for rule in self.rules if selects_path(rule, path) and path not in self.gone)
        if any(could_name(rule, name, None, "", profile) for rule in (*self.unknown_rules, *covering)):
            return True
        return any(could_name(rule, name, path, "", profile) for rule, path in self.unread)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteClaims:
    """What the jobs on a site want, and those of which it is not known completely."""

    names: frozenset[str]
    """Casefolded, as Wix compares names."""
    blind_jobs: tuple[BlindJob, ...] = ()
    profile: str = "api"
    wishes: tuple[Wish, ...] = ()
    """What gets those names, as far as it was seen."""

    def objection_to_going(self, path: str, tags: AbstractSet[tuple[str, str]] | None) -> str:
        """Which job may give the secret of this path another name, which nobody can tell now; else empty."""
        blind = next((job for job in self.blind_jobs if job.may_rename(path, tags)), None)
        return f"job {blind.job} may give it another name, and cannot be listed: {blind.cause}" if blind else ""

    def objection(self, name: str, path: str) -> str:
        """Why this name may not be deleted now: which job may want it, and why that is not known; else empty."""
        blind = next((job for job in self.blind_jobs if job.may_want(name, path, self.profile)), None)
        return f"job {blind.job} may want the name, and cannot be listed completely: {blind.cause}" if blind else ""


def claims_on_site(
    runtime: Runtime, target: Target, *, except_job: str = "", gone: Collection[tuple[str, str]] = ()
) -> SiteClaims:
    """List every job on the site but one, and say what it wants there.

    `gone`: sources and paths that were asked for one by one and are gone, whatever a listing that is empty says.
    """
    names: set[str] = set()
    wishes: list[Wish] = []
    blind: list[BlindJob] = []
    for job in runtime.jobs_on(target.site).values():
        if job.name == except_job:
            continue
        paths_gone = frozenset(path for source, path in gone if source == job.source)
        seen = _seen(runtime, job, target, paths_gone)
        wishes += seen.wishes
        if not seen.cause:
            names |= {wish.name.casefold() for wish in seen.wishes}
            continue
        # What cannot be listed now is judged by what was read before, so that one broken job does not hold up a whole
        # site.
        states = runtime.store.known_paths(job.source)
        by_ledger = list(_wishes_by_ledger(runtime, job, target.profile, paths_gone))
        wishes += by_ledger
        blind.append(
            BlindJob(
                job=job.name,
                cause=seen.cause,
                names=frozenset(wish.name for wish in (*seen.wishes, *by_ledger)),
                rules=job.rules,
                unknown_rules=tuple(r for r in job.rules if not any(_is_of(r, *key) for key in states)),
                unread=seen.unread,
                gone=paths_gone,
                known=frozenset(wish.ref.path for wish in (*seen.wishes, *by_ledger)),
            )
        )
    return SiteClaims(names=frozenset(names), blind_jobs=tuple(blind), profile=target.profile, wishes=tuple(wishes))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What one job wants, as far as it can be listed now."""

    wishes: tuple[Wish, ...] = ()
    cause: str = ""
    """Why that may not be all; empty where it is."""
    unread: tuple[tuple[Rule, str], ...] = ()


def _seen(runtime: Runtime, job: Job, target: Target, gone: frozenset[str]) -> _Seen:
    try:
        # A look of its own: what was shared in this cycle was seen before anything was due to be deleted.
        observer = SourceObserver(job.rules, runtime.access_to(job), ObservationCache())
        observer.observe()
    except SyncdError as error:
        return _Seen(cause=error.message)
    evidence = observer.evidence
    desired = build_desired_state(evidence, runtime.naming(job.name, target.profile))
    causes = [f"{failure.location}: {failure.message}" for failure in observer.failures]
    # By the name that its source has now: what is claimed once too often only waits.
    mine = (
        replace(record, ref=replace(record.ref, source=job.source))
        for record in runtime.store.records(target.site)
        if record.job == job.name and record.ref.path not in gone
    )
    causes += [evidence.gap() for record in mine if empty_rules(record, evidence)][:1]
    unlisted = sorted(evidence.rollback_paths - evidence.rolled_back.keys())
    causes += [f"{path} is rolled back, and was not listed" for path in unlisted][:1]
    failed = (finding for finding in desired.findings if finding.kind is FindingKind.FAILED)
    causes += [f"{finding.name}: {finding.message}" for finding in failed]
    if evidence.unread and not causes:
        causes = ["a version that it lists cannot be read"]
    if evidence.rolled_back and not causes:
        causes = [f"{min(evidence.rolled_back)} is rolled back, and its newest version was not looked at"]
    unread = ((rule, path) for path, pin in sorted(evidence.not_known) for rule in job.rules if _is_of(rule, path, pin))
    mounts = {listed.mount: listed.mount_id for listed in evidence.snapshots.values()}
    return _Seen(
        wishes=tuple(Wish(wanted.name, wanted.ref, secret_at(mounts, wanted.ref.path)) for wanted in desired.all),
        cause=next(iter(causes), ""),
        unread=tuple(unread),
    )


def _is_of(rule: Rule, path: str, pin: str) -> bool:
    return rule.pin == pin and selects_path(rule, path)


def _wishes_by_ledger(runtime: Runtime, job: Job, profile: str, gone: frozenset[str]) -> Iterator[Wish]:
    """The names that the rules give to what the ledger knows of their paths, but for those that are gone."""
    mounts = runtime.store.known_mounts(job.source)
    for (path, pin), state in runtime.store.known_paths(job.source).items():
        mount = max((mounted for mounted in mounts if path.startswith(mounted)), key=len, default="").strip("/")
        for rule in job.rules:
            if _is_of(rule, path, pin) and path not in gone:
                for name, ref in _names_of(rule, state, mount, profile):
                    yield Wish(name, ref, secret_at(mounts, path))


def _names_of(rule: Rule, state: PathState, mount: str, profile: str) -> Iterator[tuple[str, SecretRef]]:
    fields = state.fields or ()
    chosen = (None,) if rule.field is None else fields if rule.field == "*" else (rule.field,)
    for field in chosen:
        ref = SecretRef(source=state.source, path=state.path, field=field)
        try:
            yield wix_name(rule, ref, mount, profile), ref
        # Wix takes no secret of such a name, so there is none here that it could claim.
        except BadName:
            continue
