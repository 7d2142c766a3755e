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
    """The ledger. All raise `LedgerError`."""

    # The lock is held where the journal is written: without it nothing can be sent, and it dies with its process.
    def lock(
        self, site: str, *, holder: str, wait: timedelta, meanwhile: WhileWaiting
    ) -> AbstractContextManager[Journal]:
        """The only way to write records of a site. Raises `LedgerBusy` with the holder after `wait`.

        `meanwhile`: heard while another holder is waited for.
        """

    def records(self, site: str) -> tuple[Record, ...]:
        """The rows of one site, by name."""

    def known_paths(self, source: str) -> dict[tuple[str, str], PathState]:
        """What was read last, by (path, pin)."""

    def known_path(self, source: str, path: str, pin: str) -> PathState | None:
        """What was read last of one path; None for nothing. `pin` `NEWEST`: as `newest_seen` gives it."""

    def newest_seen(self, source: str) -> Mapping[str, PathState]:
        """By path the newest version that it was seen to have, where a rollback had an older one read."""

    def known_mounts(self, source: str) -> dict[str, str]:
        """Mount to its id, as accepted; empty where a person said that the next one found there is to be accepted."""

    def known_problems(self, site: str, job: str) -> dict[str, OpenProblem]:
        """What keeps failing, by subject."""

    def audit_heads(self, *streams: str) -> Mapping[str, tuple[int, str]]:
        """The last line of each of these streams of the audit trail, or of all: its seq and hash."""

    def held(self, site: str, job: str) -> tuple[HeldAction, ...]:
        """What waits for a release, or was released and is not sent yet."""

    def reason_of_release(self, released: HeldAction) -> str:
        """Why a person let an action go, by the audit trail; empty where it does not tell."""

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
        """A group number for each secret that shares its value with another one, by site and name.

        Not `of_one_reference`: only where several references have the value, and not one secret on many sites.
        """

    def runs(self) -> tuple[LastRun, ...]:
        """The last cycle of each job on each site."""

    def last_run(self, site: str, job: str) -> LastRun | None:
        """The last cycle of a job on a site."""

    def grants(self, site: str, now: datetime) -> Mapping[str, Grant]:
        """Names that `syncd state adopt` allows to be taken over at this moment."""

    def deleted(self, site: str, since: Since) -> frozenset[str]:
        """The ids of which a site has confirmed since then that they are deleted."""

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
    ) -> tuple[tuple[str, str], ...]:
        """Names and versions that a job sent since then for create or update, but for what was surely refused.

        In the order of sending. `known`: the jobs there are; what others sent counts with this job's, which may have
        been called so.
        """

    def deletions(
        self, site: str, job: str | None, since: Since, known: Collection[str] | None = None
    ) -> frozenset[str]:
        """The ids sent for deletion since then, but for those that were surely refused. `known`: as above."""
