"""What other jobs on a site want there, as far as it can be told: asked just before a deletion."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from syncd.domain import FindingKind, PathState, Record, Rule, SecretRef
from syncd.domain.job import Job
from syncd.domain.naming import selects_path, wix_name
from syncd.domain.places import secret_at
from syncd.domain.ports import Target
from syncd.errors import BadName, SyncdError
from syncd.reconcile.desired.desired_state import IdleRule, build_desired_state, idle_rules
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.observe.source_observer import SourceObserver
from syncd.reconcile.plan.absence import empty_rules
from syncd.reconcile.plan.blind_jobs import BlindJob
from syncd.reconcile.plan.name_claims import Listed, NameClaims, Tags
from syncd.reconcile.plan.same_secret import Content
from syncd.reconcile.plan.successors import Unmade, Wish
from syncd.reconcile.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteClaims:
    """What the jobs on a site want, and which jobs could not be listed completely."""

    names: frozenset[str]
    """Names that completely listed jobs want, casefolded, as Wix compares them."""
    blind_jobs: tuple[BlindJob, ...] = ()
    profile: str = "api"
    wishes: tuple[Wish, ...] = ()
    """What gets a name, as far as it was seen; also of jobs that were not listed completely."""
    unmade: frozenset[Unmade] = frozenset()
    """Secrets that the jobs take, and cannot make a name of."""
    idle_rules: tuple[IdleRule, ...] = ()
    shown: Mapping[str, Listed] = field(default_factory=dict)
    """By job, what it lists."""

    def why_it_may_follow(
        self,
        record: Record,
        handover: NameClaims,
        tags: Tags | None,
        content: Content | None = None,
    ) -> str:
        """Return which job may give a secret another name that is not known now; empty if none may.

        `tags`, `content`: as for `BlindJob.may_rename`.
        """
        path, secret = record.ref.path, handover.secret_of(record.ref)
        blind = next((job for job in self.blind_jobs if job.may_rename(path, secret, tags, content)), None)
        if blind is None:
            return ""
        return f"job {blind.job} may give it another name, and cannot be listed completely: {blind.cause}"

    def why_it_may_be_asked_for(self, record: Record, own: Iterable[IdleRule]) -> str:
        """Return which rule gives the record's name to another path but makes nothing of it, perhaps by a slip.

        Empty if none does. `own`: the idle rules of the job whose plan is made.
        """
        others = (idle for idle in (*own, *self.idle_rules) if idle.path != record.ref.path)
        giving = (idle for idle in others if idle.may_give(record.name, self.profile))
        return next((f"rule {idle.rule.path} gives the name, and makes nothing of {idle.path}" for idle in giving), "")

    def objection(self, name: str, path: str) -> str:
        """Why this name may not be deleted now: which job may want it, and why that is not known; else empty."""
        blind = next((job for job in self.blind_jobs if job.may_want(name, path, self.profile)), None)
        return f"job {blind.job} may want the name, and cannot be listed completely: {blind.cause}" if blind else ""


def claims_on_site(
    runtime: Runtime, target: Target, *, except_job: str = "", gone: Collection[tuple[str, str]] = ()
) -> SiteClaims:
    """List every job on the site except one, and return what they want there. Raises `LedgerError`.

    `gone`: sources and paths that were asked for one by one and are gone, whatever an empty listing says.
    """
    names: set[str] = set()
    wishes: list[Wish] = []
    unmade: set[Unmade] = set()
    idle: list[IdleRule] = []
    shown: dict[str, Listed] = {}
    blind: list[BlindJob] = []
    for job in runtime.jobs_on(target.site).values():
        if job.name == except_job:
            continue
        paths_gone = frozenset(path for source, path in gone if source == job.source)
        seen = _seen(runtime, job, target, paths_gone)
        wishes += seen.wishes
        unmade |= seen.unmade
        idle += seen.idle_rules
        shown[job.name] = seen.listed
        if not seen.cause:
            names |= {wish.name.casefold() for wish in seen.wishes}
            continue
        # What cannot be listed now is judged by what was read before, so that one broken job does not hold up a whole
        # site.
        states = runtime.store.known_paths(job.source)
        blind.append(
            BlindJob(
                job=job.name,
                cause=seen.cause,
                names=frozenset(_names_by_ledger(runtime, job, target.profile, paths_gone))
                | {wish.name for wish in seen.wishes},
                rules=job.rules,
                unknown_rules=tuple(r for r in job.rules if not any(_is_of(r, *key) for key in states)),
                unread=seen.unread,
                gone=paths_gone,
                open_rules=job.rules if seen.open_rules is None else seen.open_rules,
                told=seen.listed.paths - seen.doubtful,
                doubtful=seen.doubtful,
                mounts=runtime.store.known_mounts(job.source),
            )
        )
    return SiteClaims(
        names=frozenset(names),
        blind_jobs=tuple(blind),
        profile=target.profile,
        wishes=tuple(wishes),
        unmade=frozenset(unmade),
        idle_rules=tuple(idle),
        shown=shown,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What one job wants, as far as it can be listed now."""

    wishes: tuple[Wish, ...] = ()
    cause: str = ""
    """Why that may not be all; empty where it is."""
    unmade: frozenset[Unmade] = frozenset()
    idle_rules: tuple[IdleRule, ...] = ()
    unread: tuple[tuple[Rule, str], ...] = ()
    open_rules: tuple[Rule, ...] | None = None
    """Rules that were not listed as one can believe; None: nothing was."""
    listed: Listed = field(default_factory=Listed)
    doubtful: frozenset[str] = frozenset()


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
    mounts = evidence.mounts
    doubtful = {path for path, _ in evidence.not_known} | set(unlisted)
    doubtful |= {ref.path for ref in desired.unmade}
    return _Seen(
        wishes=tuple(Wish.of(wanted, secret_at(mounts, wanted.ref.path)) for wanted in desired.all),
        cause=next(iter(causes), ""),
        unmade=frozenset((secret_at(mounts, ref.path), ref.path) for ref in desired.unmade),
        idle_rules=idle_rules(evidence, desired),
        unread=tuple(unread),
        open_rules=tuple(rule for rule in job.rules if not evidence.is_complete(rule)),
        listed=Listed.of(evidence),
        doubtful=frozenset(doubtful),
    )


def _is_of(rule: Rule, path: str, pin: str) -> bool:
    return rule.pin == pin and selects_path(rule, path)


def _names_by_ledger(runtime: Runtime, job: Job, profile: str, gone: frozenset[str]) -> Iterator[str]:
    """The names that the rules give to what the ledger knows of their paths, but for those that are gone."""
    mounts = runtime.store.known_mounts(job.source)
    for (path, pin), state in runtime.store.known_paths(job.source).items():
        mount = max((mounted for mounted in mounts if path.startswith(mounted)), key=len, default="").strip("/")
        for rule in job.rules:
            if _is_of(rule, path, pin) and path not in gone:
                yield from _names_of(rule, state, mount, profile)


def _names_of(rule: Rule, state: PathState, mount: str, profile: str) -> Iterator[str]:
    fields = state.fields or ()
    chosen = (None,) if rule.field is None else fields if rule.field == "*" else (rule.field,)
    for name in chosen:
        try:
            yield wix_name(rule, SecretRef(source=state.source, path=state.path, field=name), mount, profile)
        # Wix takes no secret of such a name, so there is none here that it could claim.
        except BadName:
            continue
