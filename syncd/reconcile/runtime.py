"""What cycles work with: the configured jobs, and the doors to sources, targets and the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from syncd.domain import Rule
from syncd.domain.ports import Clock, CycleObserver, SilentObserver, Source, StateStore, Target, TellWait
from syncd.errors import SyncdError
from syncd.reconcile.apply.applier import WORKERS
from syncd.reconcile.guard import Limits
from syncd.reconcile.plan.planner import Policies


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A configured job, ready to run."""

    name: str
    source: str
    targets: tuple[str, ...]
    rules: tuple[Rule, ...]
    policies: Policies
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What cycles work with. Sources and targets are opened when first asked for."""

    owner: str
    jobs: Mapping[str, Job]
    source: Callable[[str], Source]
    target: Callable[[str], Target]
    site_of: Callable[[str], str]
    targets: Sequence[str] = ()
    """Every configured target."""
    store: StateStore
    fingerprint: Callable[[bytes], str]
    clock: Clock
    stopped: Callable[[], bool] = lambda: False
    observer: CycleObserver = field(default_factory=SilentObserver)
    pause: Callable[[float], object] = time.sleep
    """Wait so many seconds, or until stopped."""
    waits: TellWait = lambda *_: None
    """Told what a cycle waits for."""
    workers: int = WORKERS

    def target_delay(self, name: str) -> float:
        """Seconds until a target's site may be asked again; 0 where that is not known."""
        try:
            return self.target(name).delay()
        except SyncdError:
            return 0.0
