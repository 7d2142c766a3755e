"""Ask again, just before each request, whether everything that allowed its action still holds.

That is its window, its releases, its grant, the rollbacks and, for a deletion, its source.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from syncd.domain import ADOPTING, Action, Create, Delete, Reason, Update
from syncd.domain.decisions import HeldAction, by_name
from syncd.domain.ownership import is_for_another
from syncd.reconcile.plan.pass_context import Times
from syncd.reconcile.planned_pass import Look, PlannedPass
from syncd.reconcile.rules.gate import Releases, objection_to

FRESH = 1.0
"""Seconds for which an answer of the ledger is used again: an action that waits for the rate limit asks often."""


class Consent:
    """Tells whether an action of one plan may still be sent, and who allowed it.

    `is_given` and `agreement` raise `LedgerError`.
    """

    def __init__(self, look: Look, planned: PlannedPass) -> None:
        self._look, self._planned, self._turn = look, planned, threading.Lock()
        self._read_at: float | None = None
        self._held: Mapping[str, Sequence[HeldAction]] = {}
        self._rollbacks = planned.rollbacks
        self._reasons: dict[tuple[str, datetime | None], str] = {}

    def is_given(self, action: Action) -> bool:
        """May the action be sent now: is its window open, and does everything that allowed it still hold?"""
        look = self._look
        now = look.runtime.clock()
        is_let_out = look.outside_window and (look.opens_for is None or look.opens_for(action))
        if not is_let_out and objection_to(action, look.job.windows, now, look.runtime.is_one_secret):
            return False
        self._look_again()
        # A rollback, its end, or another one in its place: which of the actions it concerns is for a plan to tell.
        if self._rollbacks != self._planned.rollbacks:
            return False
        moments = Times.of(now, look.runtime.target(look.target_name).site_time()).moments
        if not self._is_still_released(action, moments):
            return False
        # It waits on a picture that grows old, and its source may have it again by now.
        if isinstance(action, Delete):
            return self._planned.is_still_due(action)
        if not (isinstance(action, Update) and action.reason in ADOPTING) or self._is_by_policy(action):
            return True
        # A person may have taken the grant back since the plan was made, and it was given for one id alone.
        given = (look.runtime.store.grants(look.site, moment).get(action.name) for moment in moments)
        return all(grant is not None and grant.remote_id == action.record.remote_id for grant in given)

    def _is_by_policy(self, adoption: Update) -> bool:
        """Does the job's policy allow it? What has our mark for another secret is taken over by a grant alone."""
        owner, wanted = self._look.runtime.owner, adoption.desired.description
        found = [secret for secret in self._planned.remote if secret.id == adoption.record.remote_id]
        return self._look.job.policies.adopt and not any(is_for_another(x.description, owner, wanted) for x in found)

    def _is_still_released(self, action: Action, moments: Sequence[datetime]) -> bool:
        """Does each release that lets the action go still hold? True for an action that needs none."""
        released = self._planned.released.get(action.name, ())
        if not released:
            return True
        held = self._held.get(action.name, ())
        releases = Releases(actions=tuple(held), moments=tuple(moments))
        return all(any(item.batch == one.batch and releases.holds(item) for item in held) for one in released)

    def _look_again(self) -> None:
        store, look = self._look.runtime.store, self._look
        with self._turn:
            if self._read_at is not None and time.monotonic() - self._read_at < FRESH:
                return
            held = by_name(store.held(look.site, look.job.name) if self._planned.released else ())
            self._rollbacks = look.rollbacks()
            self._held, self._read_at = held, time.monotonic()

    def agreement(self, action: Action) -> Mapping[str, str]:
        """Return the audit fields that name the releases or the rollback behind an action; empty for none."""
        if released := self._planned.released.get(action.name):
            people = dict.fromkeys(one.released_by or "" for one in released)
            reasons = dict.fromkeys(filter(None, map(self._why, released)))
            because = {"because": "; ".join(reasons)} if reasons else {}
            return {"batch": ", ".join(one.batch for one in released), "released_by": ", ".join(people), **because}
        brings_it = isinstance(action, Update) and action.reason in {Reason.ROLLED_BACK, Reason.MOVED}
        if isinstance(action, Update) and brings_it and action.desired.rolled_back:
            rollback = self._look.runtime.store.rollback_of(self._look.job.source, action.desired.ref.path)
            return {"rolled_back_by": rollback.by, "because": rollback.reason} if rollback else {}
        return {}

    def _why(self, released: HeldAction) -> str:
        """Return the reason of a release. The ledger is asked once a batch: its actions share one reason."""
        key = released.batch, released.released_at
        if key not in self._reasons:
            self._reasons[key] = self._look.runtime.store.reason_of_release(released)
        return self._reasons[key]

    def is_limited(self, action: Action) -> bool:
        """Does an action count for a limit from the moment it is sent?"""
        limits = self._look.job.limits
        kinds = {Create: limits.max_creates, Update: limits.max_updates, Delete: limits.max_deletes}
        return kinds[type(action)] is not None
