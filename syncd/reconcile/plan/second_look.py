"""Deletions that wait for their place in the rate limit: are they still due? Their source may have them again."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from syncd.domain import Delete
from syncd.domain.halting import HALTED
from syncd.errors import LedgerError, SyncdError
from syncd.reconcile.desired.desired_state import build_desired_state
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.observe.source_observer import SourceObserver
from syncd.reconcile.plan.absence import presence_of
from syncd.reconcile.plan.deletion_checks import Judged, LastLook
from syncd.reconcile.plan.pass_context import PassContext
from syncd.reconcile.plan.path_checks import PathChecks

GOOD_FOR = 10.0
"""Seconds that a look at the source is good for; a deletion that waits for longer is looked at anew."""


class SecondLook:
    """Looks again at deletions that the last look confirmed, for as long as they wait."""

    def __init__(self, context: PassContext, deletes: Sequence[Delete], judged: Mapping[str, Judged]) -> None:
        """`judged`: what the last look said of each, just now."""
        self._context, self._deletes = context, tuple(deletes)
        self._judged = {action.name: judged[action.name][0] for action in deletes}
        self._due = frozenset(self._judged)
        self._looked_at, self._turn = time.monotonic(), threading.Lock()

    def is_due(self, action: Delete) -> bool:
        """Does everything that allowed the deletion still hold at the source? Raises `LedgerError`."""
        with self._turn:
            if time.monotonic() - self._looked_at >= GOOD_FOR:
                # What is asked here waits by itself: it is no request of the deletion that waits.
                halting = HALTED.set(lambda: False)
                try:
                    self._due = self._due & self._looked()
                finally:
                    HALTED.reset(halting)
                self._looked_at = time.monotonic()
            return action.name in self._due

    def _looked(self) -> frozenset[str]:
        """The names that may still be deleted, after another look at everything but the site's listing."""
        context, handover = self._context, self._context.standing.handover
        runtime, job = context.runtime, context.job
        source = SourceObserver(job.rules, runtime.access_to(job), ObservationCache())
        try:
            source.observe()
        except LedgerError:
            raise
        except SyncdError:
            return frozenset()  # nobody can tell now, and "could not read" deletes nothing
        evidence = source.evidence
        wanted = build_desired_state(evidence, runtime.naming(job.name, context.target.profile))
        presence = {action.name: presence_of(handover.as_selected(action.record), evidence) for action in self._deletes}
        checks = PathChecks(runtime, handover.where_it_is)
        look = LastLook(runtime, job, context.target, handover, checks)
        seen, objections, elsewhere = look.confirm(self._deletes, evidence, presence, context.observed.remote, wanted)
        taken = elsewhere | {desired.name.casefold() for desired in wanted.all}
        return frozenset(
            name
            for name, (judged, _) in seen.items()
            if judged is self._judged[name] and name not in objections and name.casefold() not in taken
        )
