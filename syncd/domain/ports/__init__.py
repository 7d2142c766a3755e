"""The protocols through which the cycle uses its neighbours: sources, targets, the ledger, observers."""

from __future__ import annotations

from syncd.domain.ports.journal import NO_AUDIT, NO_NEWS, AuditBatch, Journal, ReadOnlyJournal
from syncd.domain.ports.observer import Clock, CycleObserver, SilentObserver, TellWait, WhileWaiting
from syncd.domain.ports.source import Queue, Source
from syncd.domain.ports.state_store import StateStore
from syncd.domain.ports.target import Quota, Target

__all__ = [
    "NO_AUDIT",
    "NO_NEWS",
    "AuditBatch",
    "Clock",
    "CycleObserver",
    "Journal",
    "Queue",
    "Quota",
    "ReadOnlyJournal",
    "SilentObserver",
    "Source",
    "StateStore",
    "Target",
    "TellWait",
    "WhileWaiting",
]
