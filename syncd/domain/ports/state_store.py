"""What cycles and decisions read from the ledger."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from syncd.domain import (
    Grant,
    KnownId,
    LastRun,
    OpenProblem,
    PathState,
    Record,
    SecretRef,
)
from syncd.domain.decisions import HeldAction, RestingOwner, Rollback
from syncd.domain.governance import Facts
from syncd.domain.ports.journal import Journal
from syncd.domain.ports.observer import WhileWaiting
from syncd.domain.recency import Since


class StateStore(Protocol):
    """The ledger as cycles read it. All methods raise `LedgerError`."""

    # The lock is held where the journal is written: without it nothing can be sent, and it dies with its process.
    def lock(
        self, site: str, *, holder: str, wait: timedelta, meanwhile: WhileWaiting
    ) -> AbstractContextManager[Journal]:
        """Hold the site's lock, which is the only way to write its records.

        `holder`: who takes it, in words. `meanwhile`: asked and told while another holder is waited for. Raises
        `LedgerBusy`, which names the other holder, after `wait`, or once `meanwhile.stop` says so.
        """

    def records(self, site: str) -> tuple[Record, ...]:
        """The rows of one site, by name."""

    def known_paths(self, source: str) -> dict[tuple[str, str], PathState]:
        """What was read last of each path of a source, by (path, pin)."""

    def known_path(self, source: str, path: str, pin: str) -> PathState | None:
        """What was read last of one path; None if nothing was. `NEWEST` as `pin`: the path's entry in `newest_seen`."""

    def newest_seen(self, source: str) -> Mapping[str, PathState]:
        """By path, the newest version that it was seen to have, for paths that a rollback had read in an older one."""

    def known_mounts(self, source: str) -> dict[str, str]:
        """The accepted id of each mount, by mount; empty where a person said that the next one found is accepted."""

    def known_problems(self, site: str, job: str) -> dict[str, OpenProblem]:
        """What keeps failing, by subject."""

    def audit_heads(self, *streams: str) -> Mapping[str, tuple[int, str]]:
        """Seq and hash of the last line of each of these streams of the audit trail; without a name, of all streams."""

    def held(self, site: str, job: str) -> tuple[HeldAction, ...]:
        """What waits for a release, or was released and is not sent yet."""

    def reason_of_release(self, released: HeldAction) -> str:
        """The reason that a person gave for releasing an action, by the audit trail; empty where it does not tell."""

    def rollbacks(self, source: str) -> Mapping[str, Rollback]:
        """The rollbacks of a source that hold at this moment, by path."""

    def orphaned_mounts(self, source: str, configured: Container[str], job: str = "") -> dict[str, frozenset[str]]:
        """The ids of former mounts, by mount: of sources that no job reads any more, and that left secrets.

        Whoever takes these secrets over under another name (`source`) has to find one of these ids. `configured`: the
        sources that jobs read. `job`: if it has secrets of such sources itself, only those sources count. If it has
        none, and `source` was in use before, the result is empty: then it is not the new name of another source.
        """

    def rollbacks_by_secret(self) -> Mapping[tuple[str, str], Rollback]:
        """The rollbacks that hold at this moment, by the secret that each is of (`places.secret_at`).

        Under another name of its source, through a second entry for its place, or in another spelling (as an ARN, in a
        mount that was moved), it is still the same secret.
        """

    def secret_at(self, source: str, path: str) -> tuple[str, str] | None:
        """Which secret a path of a source means; see `places.secret_at`."""

    def rollback_of(self, source: str, path: str) -> Rollback | None:
        """The rollback that holds a path: its own, else one of the same secret in another spelling; None for none."""

    def arrived(self, remote_id: str, name: str, refs: Collection[SecretRef], version: str) -> bool:
        """Did the secret with this id ever get this very version (a token) of any of these references?"""

    def aliases(self, site: str) -> frozenset[str]:
        """Other keys that the site was known under."""

    def former_owners(self) -> frozenset[str]:
        """What this installation was called before."""

    def resting_owners(self, site: str, job: str, owners: Collection[str]) -> Mapping[str, RestingOwner]:
        """Return those of `owners` that a person paused, by job.

        `job`: the job that would take their secrets over on this site.
        """

    def rested_until(self, job: str, target: str, site: str) -> datetime | None:
        """When the last pause that covered this job on this target ended, by its time or by a person; None for none."""

    def clock_is_ahead(self, site: str, by: timedelta) -> bool:
        """Note that this machine's clock is ahead of a site's: protections end by the slower clock.

        `by`: how far it is ahead; up to a minute, or behind, counts as not at all. Returns: did that move the end of
        protections?
        """

    def tell_what_ran_out(self) -> None:
        """Write a line of the audit trail for each pause and rollback whose time ran out."""

    def facts(self, site: str, names: Collection[str] | None = None) -> Facts:
        """How values were judged when they were read, by name, reference, version and digest of the check.

        `names`: of these alone; None: of all.
        """

    def same_values(self, *, of_one_reference: bool = True) -> Mapping[tuple[str, str], int]:
        """A group number for each secret that shares its value with another one, by site and name.

        `of_one_reference=False`: leave out a value that comes from one reference alone, such as one secret on many
        sites.
        """

    def runs(self) -> tuple[LastRun, ...]:
        """The last cycle of each job on each site."""

    def last_run(self, site: str, job: str) -> LastRun | None:
        """The last cycle of a job on a site."""

    def grants(self, site: str, now: datetime) -> Mapping[str, Grant]:
        """The permissions to take over a secret (`syncd state adopt`) that hold at `now`, by name."""

    def deleted(self, site: str, since: Since) -> frozenset[str]:
        """The ids whose deletion the site has confirmed within `since`."""

    def sites_holding(self, site: str, ids: Iterable[str]) -> frozenset[str]:
        """Other sites in the ledger that hold one of these ids, or an id that `site` itself holds there."""

    def sites_with_ids(self) -> frozenset[str]:
        """The sites of which the ledger holds at least one id."""

    # What protects a secret follows its id: neither a forgotten row nor another login undoes it.
    def known_ids(self, ids: Iterable[str]) -> dict[str, KnownId]:
        """What is known of these ids although no row may hold them any more."""

    # What limits count is what may have taken effect, so a lost answer counts here and below.
    def names_sent(
        self, site: str, job: str, action: str, since: Since, known: Collection[str] | None = None
    ) -> tuple[tuple[str, str], ...]:
        """The names and versions that a job sent within `since`, in the order of sending.

        What was surely refused is left out. `action`: create or update. `known`: all jobs that exist; with it, what
        jobs that are gone sent counts too, because this job may have had such a name. None: only what it sent under its
        present name.
        """

    def deletions(
        self, site: str, job: str | None, since: Since, known: Collection[str] | None = None
    ) -> frozenset[str]:
        """The ids that were sent for deletion within `since`, without those that were surely refused.

        `job`: None for all jobs. `known`: as for `names_sent`; what a person removed (`state forget`) of a job that is
        gone does not count then.
        """
