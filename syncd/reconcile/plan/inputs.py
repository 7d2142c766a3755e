"""What the planner looks at: policies, facts, the listings, now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncd.domain import DesiredSecret, Grant, KnownId, OpenProblem, Presence, Record, RemoteSecret, SecretRef
from syncd.domain.decisions import RestingOwner
from syncd.domain.job import Policies
from syncd.errors import SecretError

MAX_RESTORES = 3
"""Restores of one secret in a rolling day before it counts as contested."""
UNLISTED_RETRY = timedelta(hours=1)
"""Shortest time between two writes to a record that the listing does not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the cycle found out beside the listings."""

    presence: Mapping[str, tuple[Presence, str]] = field(default_factory=dict)
    """By name, what is known of records that the job no longer maps to their name, and why."""
    lists_all: bool = True
    """Were all rules of the job listed completely, and did each glob list something (an empty one may be a slip)?"""
    transferable: frozenset[str] = frozenset()
    """Names that may pass from their recorded reference to another one now, see `Handover.transfers`."""
    blocked_transfers: Mapping[str, str] = field(default_factory=dict)
    """Names that will pass to another reference, and what they wait for."""
    jobs: frozenset[str] = frozenset()
    """The configured jobs that send to this site."""
    deleting_jobs: frozenset[str] = frozenset()
    """Those of them that delete what they want no more."""
    taken_over: frozenset[str] = frozenset()
    """Names recorded for jobs that are gone, which a configured job takes over: it gives them to the same secret."""
    left_behind: frozenset[str] = frozenset()
    """Names recorded for jobs that are gone, which nobody takes over: this job is the one that reports them."""
    wanted_by_others: frozenset[str] = frozenset()
    """Names recorded for jobs that are gone, which this job wants and other jobs' rules want as well."""
    sent_by_another: Mapping[str, str] = field(default_factory=dict)
    """By wanted name, the other job that has, or takes over, its row and sends the same secret."""
    resting: Mapping[str, RestingOwner] = field(default_factory=dict)
    """Other jobs that a person paused: what is theirs is not taken over meanwhile."""
    claimed_by_own_job: frozenset[str] = frozenset()
    """Names whose recorded job still wants them: the record stays with it."""
    wanted_elsewhere: frozenset[str] = frozenset()
    """Names that another job on the site wants."""
    objections: Mapping[str, str] = field(default_factory=dict)
    """Why a deletion that is due has to wait, by name."""
    rested_until: datetime | None = None
    """When a pause of the job ended last, by the site's clock: absence of before then was not observed."""
    unobserved_since: timedelta = timedelta.max
    """How long ago the job last worked on the site, by this machine's clock.

    A cycle adds no more absence than that, and no more than the site's clock tells.
    """
    yet_to_look: frozenset[str] = frozenset()
    """Other jobs on this site that have not looked at all of their source yet: a secret with our mark may be theirs."""
    grants: Mapping[str, Grant] = field(default_factory=dict)
    """What a person allowed to be taken over, by name."""
    known_ids: Mapping[str, KnownId] = field(default_factory=dict)
    """What is known of listed ids that no row holds."""
    problems: Mapping[str, OpenProblem] = field(default_factory=dict)
    faults: Mapping[tuple[str, SecretRef, str], SecretError] = field(default_factory=dict)
    """Values read in this cycle that cannot go to Wix."""
    site_values: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of what the site holds, where it was compared."""
    uncompared: frozenset[str] = frozenset()
    """Names whose comparison failed in this cycle: what the site holds is not known."""
    postponed: frozenset[str] = frozenset()
    """Names whose comparison comes in a later pass: nothing is done about them before."""
    failed_names: frozenset[str] = frozenset()
    """Names whose cycle is over: a request of this cycle failed or lost its answer."""
    unconfirmed_creates: frozenset[str] = frozenset()
    """Names whose creation of this cycle lost its answer or met a taken name: only a listing can tell."""
    site_values_readable: bool = False
    """May the credential read values at the site?"""

    def may_compare(self, name: str) -> bool:
        """May the site be asked for this value, as far as is known?"""
        return self.site_values_readable and name not in self.uncompared


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerInput:
    """All that the planner looks at."""

    owner: str
    """The name of this installation in its marks at Wix."""
    site: str
    target: str
    desired: Sequence[DesiredSecret]
    records: Sequence[Record]
    remote: Sequence[RemoteSecret]
    policies: Policies
    evidence: Evidence
    now: datetime
    """By this machine's clock."""
    site_now: datetime
    """By the site's clock: it measures absence, because this machine's may jump."""
