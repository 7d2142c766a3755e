"""Which sources and targets a cycle has tried since the start: what `/readyz` asks."""

from __future__ import annotations

from syncd.config import Settings
from syncd.domain import SyncReport
from syncd.errors import ConfigError, LedgerError


class Readiness:
    """Remember which sources and targets were tried since the start, whether they answered or not.

    `/readyz` waits until each was tried. A source or site that is down neither keeps a pod from being ready nor has it
    restarted.
    """

    def __init__(self) -> None:
        self._tried: set[str] = set()

    def requested(self, target: str, settings: Settings) -> None:
        """Note a request to a site: the target and the sources of its jobs count as tried from here on.

        The cycle may have to wait for minutes after that.
        """
        if f"target {target}" not in self._tried:
            jobs = settings.jobs.values()
            self._tried |= {f"target {target}", *(f"source {job.source}" for job in jobs if target in job.targets)}

    def finished(self, report: SyncReport, source: str) -> None:
        """A cycle ended; one that the ledger or the configuration stopped has tried nothing."""
        if not isinstance(report.error, (LedgerError, ConfigError)):
            self._tried |= {f"source {source}", f"target {report.target}"}

    def missing(self, settings: Settings) -> list[str]:
        """Sources and targets of scheduled jobs that no cycle has tried yet."""
        jobs = [job for job in settings.jobs.values() if job.schedule is not None]
        needed = {f"source {job.source}" for job in jobs} | {f"target {name}" for job in jobs for name in job.targets}
        return [f"{peer}: no cycle has tried it yet" for peer in sorted(needed - self._tried)]
