"""From what was seen to the plan: provisional first, to learn which values it needs; then final."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncd.domain import (
    Action,
    Delete,
    Existence,
    Finding,
    FindingKind,
    KnownId,
    OpenProblem,
    PathCheck,
    Plan,
    Presence,
    ReadRequests,
    Record,
    RemoteSecret,
    SecretRef,
    Update,
)
from syncd.domain.naming import could_name, selects, selects_path, wix_name
from syncd.domain.ports import Target
from syncd.errors import BadName, SyncdError, TargetDenied, TargetError, TargetUnavailable
from syncd.reconcile.desired.desired_state import DesiredState, strange_mount
from syncd.reconcile.guard import LimitBasis, guard
from syncd.reconcile.observe.source_observer import SourceObserver
from syncd.reconcile.plan.absence import empty_rules, presence_of
from syncd.reconcile.plan.deletion_checks import claims_on_site
from syncd.reconcile.plan.planner import DAY, Evidence, PlannerInput, plan, rows_for
from syncd.reconcile.runtime import Job, Runtime

COMPARISONS = 200
"""Values of the site that one pass reads at most."""
COMPARE_THREADS = 8
COMPARE_SECONDS = 30.0
"""That a pass goes on asking for them."""


@dataclass(slots=True)
class CycleState:
    """What one cycle remembers from pass to pass."""

    ended: set[str] = field(default_factory=set)
    uncreated: set[str] = field(default_factory=set)
    readable: bool = True
    """May the credential read values at the site? True until refused."""
    site_values: dict[str, str] = field(default_factory=dict)
    """Fingerprints of what the site was seen to hold, until it is written to."""
    compared_at: dict[str, tuple[str, datetime] | None] = field(default_factory=dict)
    """Id and listed date of each, as it was compared; None for a site without dates."""
    uncompared: set[str] = field(default_factory=set)
    """Names whose comparison failed."""


class PlanResolver:
    """From what was seen to the plan: provisional first, to learn which values it needs."""

    def __init__(
        self,
        world: Runtime,
        job: Job,
        target: Target,
        gathering: SourceObserver,
        records: tuple[Record, ...],
        remote: tuple[RemoteSecret, ...],
        memory: CycleState,
        troubles: Mapping[str, OpenProblem],
        wanted: DesiredState,
        *,
        allowed_deletes: int,
        known_ids: Mapping[str, KnownId],
    ) -> None:
        self._known_ids = known_ids
        self._world, self._job, self._target, self._site = world, job, target, target.site
        self._gathering = gathering
        self._records = records
        self._held = {record.name: record for record in records}
        self._remote = remote
        self._memory = memory
        self._allowed_deletes = allowed_deletes
        dates = {secret.name: (secret.id, secret.updated_at) for secret in remote if secret.updated_at}
        # What an earlier pass compared tells nothing of a secret that was changed since.
        for name in [name for name, seen in memory.compared_at.items() if seen is None or dates.get(name) != seen]:
            memory.site_values.pop(name, None)
            del memory.compared_at[name]
        self._dates = dates
        self._site_values = memory.site_values
        self.postponed: frozenset[str] = frozenset()
        self._asked = 0
        self._elsewhere: frozenset[str] = frozenset()
        self._objections: dict[str, str] = {}
        """Why a deletion that is due has to wait, by name."""
        self._checked: dict[tuple[str, str, str], tuple[PathCheck | None, str]] = {}
        self._troubles = troubles
        self._grants = world.store.grants(self._site, world.clock())
        self._jobs_here = sorted(
            other.name for other in world.jobs.values() if self._site in {world.site_of(name) for name in other.targets}
        )
        self._mounts: dict[str, dict[str, str]] = {}
        self._kept = self._kept_by()
        self.wanted = wanted
        self._taken_over, self._left_behind = self._of_gone_jobs()
        self._presence = self._presences()
        self._passing = self._passings()

    def _of_gone_jobs(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of jobs that are gone: those that a configured job takes over, and those that this job reports.

        For the other jobs their patterns tell; what this job takes over it wants now, with its tags.
        """
        wanted, taken_over, left_behind = {desired.name for desired in self.wanted.all}, set(), set()
        for record in self._records:
            if record.job in self._jobs_here:
                continue
            claiming = {job.name for job in self._world.jobs.values() if self._claims(job, record)}
            if claiming - {self._job.name} or record.name in wanted:
                taken_over.add(record.name)
            elif claiming or self._job.name == min(self._jobs_here, default=""):
                left_behind.add(record.name)
        return frozenset(taken_over), frozenset(left_behind)

    def final(self) -> Plan:
        """The plan with its values, compared and confirmed where it matters, within the limits."""
        provisional, asked = self._plan(), ReadRequests()
        while provisional.needs not in (ReadRequests(), asked):
            asked = provisional.needs
            self._learn(asked)
            provisional = self._plan()
        guarded = self._guarded(provisional)
        deletes = [action for action in guarded.actions if isinstance(action, Delete)]
        if deletes:
            self._confirm(deletes)
            guarded = self._guarded(self._plan())
        sendable = tuple(action for action in guarded.actions if _is_sendable(action))
        unread = [action for action in guarded.actions if not _is_sendable(action)]
        return self._with_unread(replace(guarded, actions=sendable), unread)

    def _with_unread(self, final: Plan, unsendable: Sequence[Action]) -> Plan:
        """What the source holds in a version that could not be read is not known to be at the site."""
        unread, older = self._gathering.picture.unread, self._gathering.older
        names = {
            desired.name: (desired, "the source's present version could not be read; the site holds the one before")
            for desired in self.wanted.all
            if self._gathering.key_of(desired) in unread and desired.name in self._held
        }
        for action in unsendable:
            if not isinstance(action, Delete) and action.name not in names:
                why = "its value could not be read in this cycle"
                if self._gathering.key_of(action.desired) in older:
                    why = "the source shows an older version than before (a server that lags?); it is not taken yet"
                names[action.name] = (action.desired, why)
        if not names:
            return final
        behind = [
            Finding(kind=FindingKind.BEHIND, name=name, ref=names[name][0].ref, message=names[name][1])
            for name in sorted(names)
        ]
        rest = (
            finding
            for finding in final.findings
            if finding.kind is not FindingKind.UNCHANGED or finding.name not in names
        )
        return replace(final, findings=(*behind, *rest))

    def _mapped(self) -> DesiredState:
        world, target = self._world, self._target
        return self._gathering.desired(job=self._job.name, owner=world.owner, profile=target.profile)

    def _learn(self, needs: ReadRequests) -> None:
        """Read what the provisional plan asks for."""
        if needs.values:
            keys = {desired.name: self._gathering.key_of(desired) for desired in self.wanted.all}
            self._gathering.read(sorted({keys[name] for name in needs.values if name in keys}))
            self.wanted = self._mapped()
        if needs.compares:
            self._compare(sorted(needs.compares))

    def _compare(self, names: list[str]) -> None:
        """Read a bounded batch of the site's values, some at a time; the rest is for a later pass.

        Each costs a request and the site's lock is held meanwhile, so neither their number nor their time may
        grow with the site.
        """
        until = time.monotonic() + COMPARE_SECONDS
        known = self._site_values.keys() | self._memory.uncompared
        batch = [name for name in names if name not in known][: max(0, COMPARISONS - self._asked)]
        self._asked += len(batch)
        with ThreadPoolExecutor(COMPARE_THREADS, thread_name_prefix="compare") as pool:
            for name, outcome in zip(batch, pool.map(lambda name: self._compared(name, until), batch), strict=True):
                if isinstance(outcome, str):
                    self._site_values[name] = outcome
                    self._memory.compared_at[name] = self._dates.get(name)
                elif outcome is None:
                    self._memory.uncompared.add(name)
        known = self._site_values.keys() | self._memory.uncompared
        if self._memory.readable:
            self.postponed |= {name for name in names if name not in known}

    def _compared(self, name: str, until: float) -> str | bool | None:
        """The fingerprint of what the site holds; None where that cannot be told, True where it was not asked."""
        if not self._memory.readable or self._world.stopped() or time.monotonic() >= until:
            return True
        try:
            value = self._target.value(name)
        except TargetDenied:
            self._memory.readable = False
            return True
        except TargetUnavailable as error:
            if error.asks_to_wait:
                raise  # the cycle waits, without the site's lock
            return None
        except TargetError:
            return None
        return None if value is None else self._world.fingerprint(value.reveal().encode("utf-8", "surrogatepass"))

    def _plan(self) -> Plan:
        facts = Evidence(
            presence=self._presence,
            passable=self._passing[0],
            waiting=self._passing[1],
            jobs=frozenset(self._jobs_here),
            taken_over=self._taken_over,
            left_behind=self._left_behind,
            kept_by=self._kept,
            wanted_elsewhere=self._elsewhere,
            objections=self._objections,
            grants=self._grants,
            known_ids=self._known_ids,
            troubles=self._troubles,
            faults=self.wanted.faults,
            site_values=self._site_values,
            uncompared=frozenset(self._memory.uncompared),
            postponed=self.postponed,
            ended=frozenset(self._memory.ended),
            uncreated=frozenset(self._memory.uncreated),
            readable=self._memory.readable,
        )
        return plan(
            PlannerInput(
                owner=self._world.owner,
                site=self._site,
                target=self._target.name,
                desired=self.wanted.all,
                records=self._records,
                remote=self._remote,
                policies=self._job.policies,
                facts=facts,
                now=self._world.clock(),
            )
        )

    def _guarded(self, provisional: Plan) -> Plan:
        since = (self._target.site_time() or self._world.clock()) - DAY
        store, site = self._world.store, self._site
        ground = LimitBasis(
            job_records=frozenset(r.remote_id for r in self._records if r.remote_id and r.job == self._job.name),
            site_records=frozenset(r.remote_id for r in self._records if r.remote_id),
            job_deleted=store.deletions(site, self._job.name, since),
            site_deleted=store.deletions(site, None, since),
            job_updated=self._sent("update", since) if self._job.limits.max_updates else frozenset(),
            job_created=self._sent("create", since) if self._job.limits.max_creates else frozenset(),
        )
        limits, allowed = self._job.limits, self._allowed_deletes
        return guard(provisional, ground, limits, place=(self._job.name, self._target.name), allowed_deletes=allowed)

    def _sent(self, action: str, since: datetime) -> frozenset[str]:
        return self._world.store.names_sent(self._site, self._job.name, action, since)

    def _presences(self) -> dict[str, tuple[Presence, str]]:
        """What is known of each record of the job that it no longer maps to its name."""
        names = {desired.name for desired in self.wanted.all}
        picture = self._gathering.picture
        objections = {}
        for record in self._records:
            if record.job != self._job.name or record.name in names:
                continue
            for rule in empty_rules(record, picture):
                self._gathering.doubt(rule)
            presence, why = presence_of(record, picture)
            if presence is Presence.ORPHAN and (waiting := self._waiting_for(record)):
                presence, why = Presence.UNKNOWN, waiting
            objections[record.name] = (presence, why)
        return objections

    def _waiting_for(self, record: Record) -> str:
        """Why an old name has to stay: another name of its path is not settled at Wix yet."""
        of_its_path = [desired for desired in self.wanted.all if desired.ref.path == record.ref.path]
        successors = [desired for desired in of_its_path if desired.ref == record.ref] or of_its_path
        unsettled = (successor.name for successor in successors if not self._is_settled(*successor.key))
        if following := next(unsettled, "") or self._unsettled_name(record):
            return f"its path's name {following} is not settled yet"
        failed = [finding.ref for finding in self.wanted.findings if finding.ref and finding.kind is FindingKind.FAILED]
        mapped = successors is not of_its_path
        if any(ref == record.ref or (ref.path == record.ref.path and not mapped) for ref in failed):
            return "its path's new name cannot be made"
        return ""

    def _names(
        self, job: Job, record: Record, tags: AbstractSet[tuple[str, str]] | None = None
    ) -> set[tuple[str, str]]:
        """The (name, pin) pairs that a job's rules give a record's reference on this site.

        By their patterns alone, unless the secret's `tags` are known. An empty name stands for one that Wix does
        not take.
        """
        world = self._world
        if self._site not in {world.site_of(name) for name in job.targets} or job.source != record.ref.source:
            return set()
        if record.ref.source not in self._mounts:
            self._mounts[record.ref.source] = world.store.known_mounts(record.ref.source)
        mounts = self._mounts[record.ref.source]
        mount = max((m for m in mounts if record.ref.path.startswith(m)), key=len, default="").strip("/")
        names = set()
        for rule in job.rules:
            if selects(rule, record.ref) and (tags is None or set(rule.tags) <= tags):
                try:
                    names.add((wix_name(rule, record.ref, mount, self._target.profile), rule.pin))
                except BadName:
                    names.add(("", rule.pin))
        return names

    def _claims(self, job: Job, record: Record, tags: AbstractSet[tuple[str, str]] | None = None) -> bool:
        """Does any rule of this job map the record's reference to its name on this site?"""
        return (record.name, record.pin) in self._names(job, record, tags)

    def _passings(self) -> tuple[frozenset[str], dict[str, str]]:
        """Names that may pass from their recorded reference to another, and why others have to wait.

        A name passes when no rule gives it to the old reference any more, and what that reference is called
        now is settled at Wix; or when the old reference is gone at its source.
        """
        rows = rows_for(self.wanted.all, self._records)
        free, waiting = set(), {}
        for desired in self.wanted.all:
            record = rows.get(desired.name)
            if record is None or (record.ref == desired.ref and record.pin == desired.pin):
                continue
            claiming = next((job for job in self._world.jobs.values() if self._claims(job, record)), None)
            if claiming is not None:
                if self._is_gone(record) or self._left_out_by_tags(record):
                    free.add(desired.name)
                continue
            following = "" if record.ref == desired.ref else self._unsettled_name(record)
            if not following or self._is_gone(record):
                free.add(desired.name)
            else:
                waiting[desired.name] = f"waits until {following}, the new name of {record.ref}, is settled"
        return frozenset(free), waiting

    def _unsettled_name(self, record: Record) -> str:
        """A name that some job's rule gives this record's reference now, and that is not settled at Wix."""
        for job in self._world.jobs.values():
            for name, pin in sorted(self._names(job, record)):
                if not self._is_settled(name, record.ref, pin):
                    return name or "a name that Wix takes"
        return ""

    def _is_settled(self, name: str, ref: SecretRef, pin: str) -> bool:
        """Does the site hold this reference under this name, for all that the ledger knows?"""
        row = self._held.get(name)
        if row is None or row.ref != ref or row.pin != pin:
            return False
        return row.remote_id is not None and row.pending is None and not row.unverified

    def _is_gone(self, record: Record) -> bool:
        if record.ref.source == self._job.source and self._gathering.lacks(record.ref, record.pin):
            return True
        check, _ = self._check_path(record)
        return check is not None and check.existence is Existence.GONE

    def _left_out_by_tags(self, record: Record) -> bool:
        """Is the secret there, with tags that no rule which gives it this name asks for?"""
        check, _ = self._check_path(record)
        if check is None or check.existence is not Existence.THERE:
            return False
        return not any(self._claims(job, record, check.tags) for job in self._world.jobs.values())

    def _check_path(self, record: Record) -> tuple[PathCheck | None, str]:
        """A direct look at what a row comes from, on the mount that the ledger knows; once a plan.

        None, and why: it cannot tell.
        """
        key = (record.ref.source, record.ref.path, record.pin)
        if key not in self._checked:
            self._checked[key] = self._checked_path(record.ref, record.pin)
        return self._checked[key]

    def _checked_path(self, ref: SecretRef, pin: str) -> tuple[PathCheck | None, str]:
        try:
            check = self._world.source(ref.source).check_path(ref.path, pin)
        except SyncdError as error:
            return None, error.message
        known = self._world.store.known_mounts(ref.source)
        if strange_mount(known, check.mount, check.mount_id):
            return None, "its mount is another than the one that the ledger knows"
        return check, ""

    def _last_look(self, record: Record) -> tuple[Presence, str]:
        """Only "gone" is an absence. What is there is an orphan if no rule of its job takes it, with its tags."""
        check, why = self._check_path(record)
        if check is None:
            return Presence.UNKNOWN, f"not listed, but {why}"
        if check.existence is Existence.GONE:
            return self._presence[record.name]
        if any(selects(rule, record.ref) and set(rule.tags) <= check.tags for rule in self._job.rules):
            return Presence.UNKNOWN, "not listed, but a direct look still finds it"
        return Presence.ORPHAN, "it is there, and no rule of its job takes its tags any more"

    def _kept_by(self) -> frozenset[str]:
        return frozenset(
            record.name
            for record in self._records
            if record.job != self._job.name
            and record.job in self._jobs_here
            and self._claims(self._world.jobs[record.job], record)
        )

    def _confirm(self, deletes: Sequence[Delete]) -> None:
        """Just before deletions: look at each path directly, and ask every other job on the site."""
        claims = claims_on_site(self._world, self._target, except_job=self._job.name)
        self._elsewhere = claims.names
        other_key = unlisted_keys(self._world, self._site, self._remote)
        listed = self._gathering.picture.listed
        for action in deletes:
            record = action.record
            objection = other_key or self._own_objection(record.name) or claims.objection(record.name, record.ref.path)
            if objection:
                self._objections[record.name] = objection
                continue
            presence, why = self._presence[record.name]
            # What its path's answer tells (a field that is gone) was read in this very look.
            if presence is Presence.ABSENT and (record.ref.path, record.pin) not in listed:
                presence, why = self._last_look(record)
            if presence is Presence.ORPHAN and self._claimed_by_another(record):
                presence, why = Presence.UNKNOWN, "another job's rule gives it this name"
            self._presence[record.name] = (presence, why)

    def _own_objection(self, name: str) -> str:
        """Which rule of the job itself could not be read completely, and could want this name."""
        picture, profile = self._gathering.picture, self._target.profile
        for rule in self._job.rules:
            snapshot = picture.snapshots[rule.index]
            mount = snapshot.mount.strip("/")
            held = any(selects(rule, record.ref) for record in self._records)
            complete = picture.is_complete(rule) or (snapshot.complete and not held)
            if not complete and could_name(rule, name, None, mount, profile):
                return f"rule {rule.path} of its own job could not be listed completely, and may want the name"
            paths = (path for path, pin in picture.unread if pin == rule.pin and selects_path(rule, path))
            if unread := next((path for path in sorted(paths) if could_name(rule, name, path, mount, profile)), None):
                return f"{unread} of its own job could not be read, and may want the name"
        return ""

    def _claimed_by_another(self, record: Record) -> bool:
        others = (job for job in self._world.jobs.values() if job.name != self._job.name)
        return any(self._claims(job, record) for job in others)


def unlisted_keys(world: Runtime, site: str, remote: Sequence[RemoteSecret]) -> str:
    """Why another configured key may be one of this very site, whose jobs nobody has asked; empty if none can.

    A key under which the ledger holds an id shares none with this one: else this listing had shown that id, and
    the cycle had ended. The others are listed.
    """
    mine = {secret.id for secret in remote}
    sites = world.store.sites_with_ids() | {site}
    for name in world.targets:
        if world.site_of(name) in sites:
            continue
        try:
            listed = {secret.id for secret in world.target(name).list()}
        except SyncdError as error:
            return f"target {name} was never listed, and may be this site under another key ({error.message})"
        if mine & listed:
            return f"target {name} is this site under another key; see: syncd sync"
    return ""


def _is_sendable(action: Action) -> bool:
    """A write whose value could not be read waits; the failure is reported."""
    if isinstance(action, Delete) or (isinstance(action, Update) and action.describe_only):
        return True
    return action.desired.value is not None
