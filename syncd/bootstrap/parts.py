"""Sources and targets that one process has made so far, each once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from syncd.bootstrap.targets import TargetFactory
from syncd.domain.ports import Source, Target


class Parts:
    """Sources and targets that were made so far, each once."""

    def __init__(self, factory: TargetFactory) -> None:
        self.factory = factory
        self._lock = threading.Lock()
        self._sources: dict[str, Source] = {}
        self._targets: dict[str, Target] = {}

    def source(self, name: str, make: Callable[[], Source]) -> Source:
        """The source of this name, made when first asked for."""
        # Threads of many sites ask at once, and each source is logged in to once.
        with self._lock:
            if name not in self._sources:
                self._sources[name] = make()
            return self._sources[name]

    def target(self, name: str, make: Callable[[], Target]) -> Target:
        """The target of this name, made when first asked for."""
        with self._lock:
            if name not in self._targets:
                self._targets[name] = make()
            return self._targets[name]

    def close(self) -> None:
        """Close what was made."""
        for close in [source.close for source in self._sources.values()] + [self.factory.close]:
            # A connection that breaks while it is closed keeps nobody from closing the rest.
            with suppress(OSError):
                close()
