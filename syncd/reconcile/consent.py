"""What allows an action, asked again in the moment of the deed: the window, a release, a grant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.domain import ADOPTING, Action, Create, Delete, Reason, Update
from syncd.reconcile.plan.pass_context import Times
from syncd.reconcile.planned_pass import Look, PlannedPass
from syncd.reconcile.rules.gate import Releases, objection_to


@dataclass(frozen=True, slots=True)
class Consent:
    """What a plan's actions go by. All raise `LedgerError`."""

    look: Look
    planned: PlannedPass

    def is_given(self, action: Action) -> bool:
        """Is the window still open, and does what allowed this one still stand?"""
        look = self.look
        now = look.runtime.clock()
        if not look.outside_window and objection_to(action, look.job.windows, now):
            return False
        moments = Times.of(now, look.runtime.target(look.target_name).site_time()).moments
        if not self._is_still_released(action, moments):
            return False
        if not (isinstance(action, Update) and action.reason in ADOPTING) or look.job.policies.adopt:
            return True
        # A person may have taken the grant back since the plan was made, and it was given for one id alone.
        given = (look.runtime.store.grants(look.site, moment).get(action.name) for moment in moments)
        return all(grant is not None and grant.remote_id == action.record.remote_id for grant in given)

    def _is_still_released(self, action: Action, moments: Sequence[datetime]) -> bool:
        """What goes because a person released it goes only as long as that holds."""
        released = self.planned.released.get(action.name)
        if released is None:
            return True
        held = self.look.runtime.store.held(self.look.site, self.look.job.name)
        releases = Releases(actions=tuple(held), moments=tuple(moments))
        same = (item for item in releases.actions if item.batch == released.batch and item.name == action.name)
        return any(map(releases.holds, same))

    def agreement(self, action: Action) -> Mapping[str, str]:
        """What an action's lines say of the release or rollback that is behind it."""
        if (released := self.planned.released.get(action.name)) is not None:
            return {"batch": released.batch, "released_by": released.released_by}
        if isinstance(action, Update) and action.reason is Reason.ROLLED_BACK:
            rollback = self.look.runtime.store.rollback_of(self.look.job.source, action.desired.ref.path)
            return {"rolled_back_by": rollback.by, "because": rollback.reason} if rollback else {}
        return {}

    def is_limited(self, action: Action) -> bool:
        """Does an action count for a limit from the moment it is sent?"""
        limits = self.look.job.limits
        kinds = {Create: limits.max_creates, Update: limits.max_updates, Delete: limits.max_deletes}
        return kinds[type(action)] is not None
