"""Answers that take long on a large ledger: who asks gets the last one at once, while a fresh one is worked out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from syncd.errors import LedgerBusy

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
PATIENCE = 0.5
"""Seconds that somebody waits for a fresh answer; what takes longer is slow."""
FIRST_PATIENCE = 3.0
"""The same for whoever asks first, where there is no older answer."""
REST = 10
"""A slow answer is not worked out again for this many times the seconds that it took."""
MOST = 32
"""Questions whose answers are kept."""


@dataclass(slots=True)
class _Answer(Generic[T]):
    begun: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    value: T | None = None
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def is_slow(self) -> bool:
        return self.seconds >= PATIENCE

    @property
    def is_recent(self) -> bool:
        """Is it too early to work it out again? A failure is tried again at once."""
        return self.error is None and self.is_slow and time.monotonic() - self.begun < self.seconds * (1 + REST)

    def given(self) -> T:
        if self.error is not None:
            # Many may ask: each gets it without the others' tracebacks.
            raise self.error.with_traceback(None)
        return cast("T", self.value)


class LastKnown(Generic[K, T]):
    """What `work` returns for a key: fresh if that is quick, else the last answer while a fresh one is worked out."""

    def __init__(self, work: Callable[[K], T]) -> None:
        self._work = work
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._given: dict[K, _Answer[T]] = {}
        self._under_way: dict[K, _Answer[T]] = {}

    def __call__(self, key: K) -> T:
        """Return the answer for a key.

        Raises: what `work` raises; `LedgerBusy` if the first answer takes longer than `FIRST_PATIENCE`.
        """
        with self._lock:
            last, fresh = self._given.get(key), self._under_way.get(key)
            if fresh is None and last is not None and last.is_recent:
                return last.given()
            if fresh is None:
                fresh = self._under_way[key] = _Answer()
                try:
                    threading.Thread(target=self._answer, args=(key, fresh), name="last-known", daemon=True).start()
                except RuntimeError:  # no thread can be had: the next one who asks tries again
                    del self._under_way[key]
        # Of a slow answer an older one is at hand: nobody waits for the fresh one.
        if fresh.done.wait(FIRST_PATIENCE if last is None else 0 if last.is_slow else PATIENCE):
            return fresh.given()
        if last is not None:
            return last.given()
        raise LedgerBusy(
            "this is worked out of the whole ledger, which is large", hint="load it again in a minute, it is kept then"
        )

    def _answer(self, key: K, fresh: _Answer[T]) -> None:
        # However many ask for different parts: more than one at a time would take the memory and the CPU of cycles.
        with self._one_at_a_time:
            fresh.begun = time.monotonic()
            try:
                fresh.value = self._work(key)
            except Exception as error:  # noqa: BLE001  # whoever asked is told, in a thread of their own
                fresh.error = error
            fresh.seconds = time.monotonic() - fresh.begun
        with self._lock:
            del self._under_way[key]
            before = self._given.pop(key, None)
            # An older answer says more than a failure; its time is told with it.
            self._given[key] = before if fresh.error is not None and before is not None else fresh
            while len(self._given) > MOST:
                del self._given[next(iter(self._given))]
        fresh.done.set()
