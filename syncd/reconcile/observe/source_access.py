"""What a look at a source works with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from syncd.domain.ports import Clock, Journal, Source, StateStore

Fingerprint = Callable[[bytes], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAccess:
    """One job's way to its source, and to what the ledger knows of it."""

    source: Source
    store: StateStore
    journal: Journal
    fingerprint: Fingerprint
    clock: Clock
    takers: Callable[[Collection[str]], Iterable[str]]
    """The jobs that take any of these paths."""
    job: str = ""
    """The job that looks."""
    configured: frozenset[str] = frozenset()
    """The sources of all jobs."""
