"""The seams: what a source, a target and the ledger must do. One screen, one file per implementation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from syncd.domain import (
    Finding,
    Grant,
    HistoryEntry,
    KnownId,
    LastRun,
    OpenProblem,
    Outcome,
    PathCheck,
    PathState,
    ReadFailure,
    ReadResult,
    Record,
    RemoteSecret,
    Rule,
    RuleCheck,
    SecretRef,
    SecretValue,
    Snapshot,
    SourceEntry,
    WriteResult,
)
from syncd.domain.audit import Entry
from syncd.domain.decisions import HeldAction, RestingOwner, Rollback
from syncd.domain.governance import Facts
from syncd.domain.recency import Since


@dataclass(frozen=True, slots=True)
class AuditBatch:
    """Lines of the audit trail that go with a transaction."""

    intents: tuple[Entry, ...] = ()
    """What is about to be sent."""
    ends: tuple[Entry, ...] = ()
    """How intents ended."""
    notes: tuple[Entry, ...] = ()
    """What else happened on this site."""
    decisions: tuple[Entry, ...] = ()
    """What a person decided about it; of the control stream."""


NO_AUDIT = AuditBatch()
TellWait = Callable[[str, float], None]
"""Told what is waited for, and for how many seconds at most."""
Clock = Callable[[], datetime]
"""Now, with a time zone. Passed in; nothing below the bootstrap asks the machine."""


class Source(Protocol):
    """Where secrets come from. A place that cannot be read is a `ReadFailure`, never an absence."""

    name: str

    def snapshot(self, rule: Rule) -> Snapshot:
        """What the rule selects, as versions. Raises nothing of the SDK's; `SourceError` for the whole."""

    def read(self, entries: Sequence[SourceEntry]) -> Iterator[ReadResult]:
        """The documents of these paths, in any order, one answer each. Raises `SourceError`."""

    def find(self, rule: Rule, path: str) -> Snapshot:
        """What the rule selects at exactly this path, which is a name from outside and never a pattern."""

    # Filters are left out: a secret that lost a rule's tag is there, and may not look gone.
    def check_path(self, path: str, pin: str = "") -> PathCheck:
        """A direct look at one path, without any filter of a rule. Raises `SourceError` where it cannot be told."""

    def check(self, rules: Sequence[Rule]) -> Iterator[ReadFailure | RuleCheck]:
        """Try the login and each rule's permissions."""

    def close(self) -> None:
        """Close the connections."""


class Target(Protocol):
    """A site's secrets vault. All raise `TargetError` and its kinds."""

    name: str
    site: str
    """The site's own identity, under which the ledger keeps its records."""
    profile: str

    # Limits and absence go by it, because this machine's clock may jump.
    def site_time(self) -> datetime | None:
        """The time by the site's own clock, as its answers told it; None where they do not."""

    # A deletion that would wait for the rate limit would go out on an old listing.
    def room(self) -> int:
        """How many requests may be sent now without waiting for the rate limit. Raises `LedgerError`."""

    def delay(self) -> float:
        """Seconds until the site may be asked again, where it asked to slow down."""

    # Wix lists a whole site in one request, so each pass can afford a listing of its own.
    def list(self) -> tuple[RemoteSecret, ...]:
        """Every secret on the site, without values."""

    # Wix has no idempotency key: sent again it meets its own name, and its id is known to nobody.
    def create(self, name: str, value: SecretValue[str], description: str) -> WriteResult:
        """A new secret; never sent twice. `TargetUnavailable.maybe_done` where its answer was lost."""

    def update(
        self, secret_id: str, *, name: str | None, value: SecretValue[str] | None, description: str
    ) -> WriteResult:
        """Write over the given parts of one secret."""

    # A 404 is believed here, because gone is what was asked for; to an update it is a `SecretGone`.
    def delete(self, secret_id: str) -> WriteResult:
        """Remove one secret; one that is not there is removed."""

    def value(self, name: str) -> SecretValue[str] | None:
        """The value at the site; None if there is no such name. `TargetDenied` where not permitted."""


class Journal(Protocol):
    """The ledger as one cycle writes it, while it holds the site's lock. All raise `LedgerError`."""

    @property
    def is_writable(self) -> bool:
        """Is what is written here kept?"""

    # In one transaction, so that no request leaves without its row and its line in the audit trail.
    def write(
        self,
        *,
        put: Iterable[Record] = (),
        drop: Iterable[Record] = (),
        log: Iterable[HistoryEntry] = (),
        audit: AuditBatch = NO_AUDIT,
    ) -> None:
        """Store and remove rows, history and audit lines in one durable transaction."""

    def findings(
        self,
        job: str,
        open_now: Mapping[tuple[str, str], Entry],
        serving: Iterable[str],
        lasting: Container[str] = frozenset(),
    ) -> None:
        """Write into the audit trail which findings of a job begin and end, by event and name.

        `serving`: the jobs that send to the site; findings of all others end. `lasting`: names of which none ends.
        """

    def problems(self, site: str, job: str, now: Iterable[OpenProblem]) -> None:
        """Replace what is known to keep failing for this job on this site."""

    def forget_problem(self, name: str) -> None:
        """Drop what was known to keep failing about a name on this site, for every job."""

    def paths(self, states: Iterable[PathState]) -> None:
        """Store what was read of source paths."""

    def news(self, jobs: Iterable[str]) -> None:
        """Remember that the source of jobs has something new: sites that were not reached since are behind."""

    def facts(self, facts: Facts) -> None:
        """Store what was judged of values that were read."""

    def waits(self, job: str, waiting: Iterable[HeldAction], serving: Iterable[str]) -> None:
        """Replace what waits for a release, for this job on this site.

        `serving`: the jobs that send to the site; nothing of any other waits any more.
        """

    def listed(self, remote: Iterable[RemoteSecret]) -> None:
        """Remember what the site lists; only what changed is written."""

    def mount(self, source: str, mount: str, mount_id: str) -> None:
        """Remember which mount this is."""

    def ran(self, run: LastRun) -> None:
        """Remember the cycle."""

    def follow(self, other: str, put: Iterable[Record]) -> None:
        """Take over everything that was kept under another key of this same site; `put`: its rows as they are now."""


class ReadOnlyJournal:
    """The journal of whoever only looks: it keeps nothing."""

    is_writable = False

    def write(
        self,
        *,
        put: Iterable[Record] = (),
        drop: Iterable[Record] = (),
        log: Iterable[HistoryEntry] = (),
        audit: AuditBatch = NO_AUDIT,
    ) -> None:
        """Keep nothing."""

    def findings(
        self,
        job: str,
        open_now: Mapping[tuple[str, str], Entry],
        serving: Iterable[str],
        lasting: Container[str] = frozenset(),
    ) -> None:
        """Keep nothing."""

    def problems(self, site: str, job: str, now: Iterable[OpenProblem]) -> None:
        """Keep nothing."""

    def forget_problem(self, name: str) -> None:
        """Keep nothing."""

    def paths(self, states: Iterable[PathState]) -> None:
        """Keep nothing."""

    def news(self, jobs: Iterable[str]) -> None:
        """Keep nothing."""

    def facts(self, facts: Facts) -> None:
        """Keep nothing."""

    def waits(self, job: str, waiting: Iterable[HeldAction], serving: Iterable[str]) -> None:
        """Keep nothing."""

    def listed(self, remote: Iterable[RemoteSecret]) -> None:
        """Keep nothing."""

    def mount(self, source: str, mount: str, mount_id: str) -> None:
        """Keep nothing."""

    def ran(self, run: LastRun) -> None:
        """Keep nothing."""

    def follow(self, other: str, put: Iterable[Record]) -> None:
        """Keep nothing."""


class StateStore(Protocol):
    """The ledger. All raise `LedgerError`."""

    # The lock is held where the journal is written: without it nothing can be sent, and it dies with its process.
    def lock(
        self, site: str, *, holder: str, wait: timedelta, stop: Callable[[], bool], waits: TellWait = ...
    ) -> AbstractContextManager[Journal]:
        """The only way to write records of a site. Raises `LedgerBusy` with the holder after `wait`.

        `waits` is told while another holder is waited for.
        """

    def records(self, site: str) -> tuple[Record, ...]:
        """The rows of one site, by name."""

    def known_paths(self, source: str) -> dict[tuple[str, str], PathState]:
        """What was read last, by (path, pin)."""

    def known_mounts(self, source: str) -> dict[str, str]:
        """Mount to its id, as accepted; empty where a person said that the next one found there is to be accepted."""

    def known_problems(self, site: str, job: str) -> dict[str, OpenProblem]:
        """What keeps failing, by subject."""

    def audit_heads(self, *streams: str) -> Mapping[str, tuple[int, str]]:
        """The last line of each of these streams of the audit trail, or of all: its seq and hash."""

    def held(self, site: str, job: str) -> tuple[HeldAction, ...]:
        """What waits for a release, or was released and is not sent yet."""

    def rollbacks(self, source: str) -> Mapping[str, Rollback]:
        """The paths of a source that a person rolled back, as far as that holds at this moment."""

    def orphaned_mounts(self, source: str, configured: Container[str], job: str = "") -> dict[str, frozenset[str]]:
        """Mount to the ids of all that had this name, of sources that no job has any more and that left secrets.

        Whoever takes them over under another name (`source`) has to find one of them. `configured`: the sources of
        jobs. `job`: where it has secrets of such sources itself, they alone count; a source that was in use before is
        no new name of any other.
        """

    def rollbacks_by_secret(self) -> Mapping[tuple[str, str], Rollback]:
        """Rollbacks by the secret that they hold (`places.secret_at`).

        By another name of its source, through a second entry for its place, or spelled in another way (as an ARN, in a
        mount that was moved), it is still the same secret.
        """

    def secret_at(self, source: str, path: str) -> tuple[str, str] | None:
        """Which secret a path of a source means; see `places.secret_at`."""

    def rollback_of(self, source: str, path: str) -> Rollback | None:
        """What holds a path: its own rollback, else one of the same secret by another name or spelling."""

    def arrived(self, remote_id: str, name: str, refs: Collection[SecretRef], version: str) -> bool:
        """Did the secret with this id ever get this very version (a token) of any of these references?"""

    def aliases(self, site: str) -> frozenset[str]:
        """Other keys that the site was known under."""

    def former_owners(self) -> frozenset[str]:
        """What this installation was called before."""

    def resting_owners(self, site: str, job: str, owners: Collection[str]) -> Mapping[str, RestingOwner]:
        """Those of these jobs that a person paused, for another one that would take their secrets over."""

    def rested_until(self, job: str, target: str, site: str) -> datetime | None:
        """When the last pause that covered this job on this target ended, by its time or by a person; None for none."""

    def clock_is_ahead(self, site: str, by: timedelta) -> bool:
        """Let protections end by a site's clock where that is slower. Returns: does that move their end?"""

    def tell_what_ran_out(self) -> None:
        """Write a line of the audit trail for each pause and rollback whose time ran out."""

    def facts(self, site: str, names: Collection[str] | None = None) -> Facts:
        """What was judged of values when they were read, by name, version and digest of the check.

        `names`: of these alone.
        """

    def same_values(self, *, of_one_reference: bool = True) -> Mapping[tuple[str, str], int]:
        """Secrets whose value another one has, too: a number that is the same for those, by site and name.

        Not `of_one_reference`: only where several references have the value, and not one secret on many sites.
        """

    def runs(self) -> tuple[LastRun, ...]:
        """The last cycle of each job on each site."""

    def last_run(self, site: str, job: str) -> LastRun | None:
        """The last cycle of a job on a site."""

    def grants(self, site: str, now: datetime) -> Mapping[str, Grant]:
        """Names that `syncd state adopt` allows to be taken over at this moment."""

    def sites_holding(self, site: str, ids: Iterable[str]) -> frozenset[str]:
        """Other sites of the ledger that hold one of these ids, or one that the site holds itself."""

    def sites_with_ids(self) -> frozenset[str]:
        """The sites under which any id is held."""

    # What protects a secret follows its id: neither a forgotten row nor another login undoes it.
    def known_ids(self, ids: Iterable[str]) -> dict[str, KnownId]:
        """What is known of these ids although no row may hold them any more."""

    # What limits count is what may have taken effect, so a lost answer counts here and below.
    def names_sent(
        self, site: str, job: str, action: str, since: Since, known: Collection[str] | None = None
    ) -> frozenset[str]:
        """Names that a job sent since then for create or update, but for those that were surely refused.

        `known`: the jobs there are; what others sent counts with this job's, which may have been called so.
        """

    def deletions(
        self, site: str, job: str | None, since: Since, known: Collection[str] | None = None
    ) -> frozenset[str]:
        """The ids sent for deletion since then, but for those that were surely refused. `known`: as above."""


class Quota(Protocol):
    """The request times of a site, shared by every process that uses the ledger."""

    def take(self) -> tuple[int, timedelta]:
        """A place in the window as (ticket, 0), or (0, how long to wait before asking again)."""

    def room(self) -> int:
        """How many requests may be sent at this moment."""

    # Wix counts a request when it arrives, which is between its sending and its answer.
    def answered(self, ticket: int) -> None:
        """The request's answer came."""


class Queue(Protocol):
    """Where a source's events come from. Both raise `SourceError`."""

    def receive(self) -> tuple[frozenset[str], list[str]]:
        """Names that changed, and receipts."""

    # Called once the names were handed on: a queue brings again what nobody said this of.
    def done(self, receipts: list[str]) -> None:
        """The names are in hand."""


class CycleObserver(Protocol):
    """Whoever wants to know what a cycle does while it works: logs, metrics, a progress bar."""

    def on_planned(self, count: int) -> None:
        """The next round has so many actions."""

    def on_outcome(self, outcome: Outcome, job: str, target: str) -> None:
        """An action ended."""

    # What lasts is told when it begins, not loudly in every cycle.
    def on_finding(self, finding: Finding, job: str, target: str, *, known: bool) -> None:
        """A cycle found something. `known`: the cycle before found the same."""

    def on_failure(self, failure: ReadFailure, job: str, target: str) -> None:
        """A place of the source could not be read."""


class SilentObserver:
    """An observer that does nothing."""

    def on_planned(self, count: int) -> None:
        """See `CycleObserver`."""

    def on_outcome(self, outcome: Outcome, job: str, target: str) -> None:
        """See `CycleObserver`."""

    def on_finding(self, finding: Finding, job: str, target: str, *, known: bool) -> None:
        """See `CycleObserver`."""

    def on_failure(self, failure: ReadFailure, job: str, target: str) -> None:
        """See `CycleObserver`."""
