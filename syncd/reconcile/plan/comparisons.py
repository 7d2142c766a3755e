"""Read what the site holds, a bounded batch a pass, to compare it with what the source has."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from syncd.domain import RemoteSecret
from syncd.domain.ports import Target
from syncd.errors import TargetDenied, TargetError, TargetUnavailable

MOST_A_PASS = 200
"""Values of the site that one pass reads at most."""
THREADS = 8
SECONDS = 30.0
"""Seconds after which one call of `Comparisons.compare` stops asking for values."""


@dataclass(slots=True)
class CycleState:
    """What one cycle remembers from pass to pass."""

    failed_names: set[str] = field(default_factory=set)
    """Names that this cycle leaves alone from now on: a request failed or lost its answer."""
    unconfirmed_creates: set[str] = field(default_factory=set)
    """Names whose creation lost its answer or met a taken name."""
    site_values_readable: bool = True
    """May the credential read values at the site? True until refused."""
    site_values: dict[str, str] = field(default_factory=dict)
    """By name, the fingerprint of what the site was seen to hold; dropped when the name is written to."""
    compared_at: dict[str, tuple[str, datetime] | None] = field(default_factory=dict)
    """By name, the id and the listed date when it was compared; None for a site without dates."""
    uncompared: set[str] = field(default_factory=set)
    """Names whose comparison failed."""


class Comparisons:
    """Reads values back from the site in one pass, and keeps their fingerprints for the planner to compare."""

    def __init__(
        self,
        target: Target,
        state: CycleState,
        remote: tuple[RemoteSecret, ...],
        fingerprint: Callable[[bytes], str],
        stopped: Callable[[], bool],
    ) -> None:
        self._target, self.state = target, state
        self._fingerprint, self._stopped = fingerprint, stopped
        self._dates = {secret.name: (secret.id, secret.updated_at) for secret in remote if secret.updated_at}
        # A name whose case changes is still called as it was at the site.
        self._listed = {secret.name for secret in remote}
        self._in_any_case = {secret.name.casefold(): secret.name for secret in remote}
        self._asked = 0
        self.postponed: frozenset[str] = frozenset()
        """Names whose comparison comes in a later pass."""
        self._forget_changed(self._dates)

    def _forget_changed(self, dates: Mapping[str, tuple[str, datetime]]) -> None:
        """Drop what earlier passes compared of secrets that were changed since, or that have no date."""
        seen = self.state.compared_at
        for name in [name for name, at in seen.items() if at is None or dates.get(self._called(name)) != at]:
            self.state.site_values.pop(name, None)
            del seen[name]

    def compare(self, names: list[str]) -> None:
        """Read a bounded batch of the site's values, some at a time; the rest is for a later pass.

        Each value costs a request, and the site's lock is held meanwhile, so neither their number nor their time may
        grow with the site. Raises `TargetUnavailable` where the site asks to wait.
        """
        state, until = self.state, time.monotonic() + SECONDS
        known = state.site_values.keys() | state.uncompared
        batch = [name for name in names if name not in known][: max(0, MOST_A_PASS - self._asked)]
        self._asked += len(batch)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="compare") as pool:
            for name, outcome in zip(batch, pool.map(lambda name: self._read(name, until), batch), strict=True):
                if isinstance(outcome, str):
                    state.site_values[name] = outcome
                    state.compared_at[name] = self._dates.get(self._called(name))
                elif outcome is None:
                    state.uncompared.add(name)
        known = state.site_values.keys() | state.uncompared
        # Where values may not be read there is no later pass to wait for.
        if state.site_values_readable:
            self.postponed |= {name for name in names if name not in known}

    def _called(self, name: str) -> str:
        return name if name in self._listed else self._in_any_case.get(name.casefold(), name)

    def _read(self, name: str, until: float) -> str | bool | None:
        """The fingerprint of what the site holds; None where that cannot be told, True where it was not asked."""
        if not self.state.site_values_readable or self._stopped() or time.monotonic() >= until:
            return True
        try:
            value = self._target.value(self._called(name))
        # A key that may not read values is no fault: what is unknown is written instead of compared.
        except TargetDenied:
            self.state.site_values_readable = False
            return True
        except TargetUnavailable as error:
            if error.asks_to_wait:
                raise  # the cycle waits, without the site's lock
            return None
        # One value that cannot be read stays uncompared, and holds up none of the others.
        except TargetError:
            return None
        # Somebody else's value may hold a lone surrogate: it differs from ours, and is no error.
        return None if value is None else self._fingerprint(value.reveal().encode("utf-8", "surrogatepass"))
