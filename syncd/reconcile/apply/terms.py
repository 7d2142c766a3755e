"""What is asked of each action before it goes, and who hears how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from syncd.domain import Action, Delete, Outcome
from syncd.domain.audit import NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is asked of each action, and who hears how it ended."""

    on_outcome: Callable[[Outcome], None] = lambda _outcome: None
    is_consented: Callable[[Action], bool] = lambda _action: True
    """May the action still be sent? Asked before it starts and while it waits; if not, it is left out."""
    is_limited: Callable[[Action], bool] = lambda action: isinstance(action, Delete)
    """Does it count for a limit from the moment it is sent?"""
    is_halted: Callable[[], bool] = lambda: False
    """Must nothing be sent any more (a stop, a pause)? Asked while a request waits, and right before it is sent."""
    agreement: Callable[[Action], Mapping[str, Any]] = lambda _action: NOBODY
    """Who allowed this action, and by which release or rollback: fields of its lines in the audit trail."""
    was_deleted: Callable[[str], bool] = lambda _id: False
    """Did we send a deletion of this id ourselves?"""
    taken_ids: frozenset[str] = frozenset()
    """Ids that the site lists or the ledger holds: a new secret must have another one."""
    workers: int = 20
