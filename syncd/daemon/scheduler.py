"""When each job of a configuration runs. The only place that knows APScheduler's scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from syncd.bootstrap.process import now
from syncd.config import Settings
from syncd.daemon.triggers import EveryTrigger, trigger_for
from syncd.telemetry.logs import logger

DEBOUNCE = timedelta(seconds=0.3)
"""All requests for a job within this time are answered by one run."""
STAGGER = 0.25
"""Seconds between the first runs of two jobs."""
STAGGER_MAX = 30.0


class JobSchedule:
    """The schedules of one configuration, not started yet."""

    def __init__(
        self, settings: Settings, run: Callable[[str], None], kept: Mapping[str, datetime] | None = None
    ) -> None:
        """Prepare the schedules. `run` is called with a job's name, in a thread of that job: no job waits for another.

        Each job first runs at once (a quarter of a second after the one before, and within 30 seconds), then by its
        schedule. A job in `kept` first runs at the time given there. A job without a schedule is logged and not run.
        """
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(max(1, len(settings.jobs)))},
            # A run that is late, however late, is made up for once and never left out.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        for number, (name, job) in enumerate(sorted(settings.jobs.items())):
            if job.schedule is None:
                logger().warning("job.unscheduled", job=name, hint="add schedule: {every: 5m}")
                continue
            first = now() + timedelta(seconds=min(STAGGER_MAX, STAGGER * number))
            first = (kept or {}).get(name, first)
            self._scheduler.add_job(run, trigger_for(job.schedule), args=[name], id=name, next_run_time=first)

    def unchanged(self, before: Settings, after: Settings) -> dict[str, datetime]:
        """Return the next run of each scheduled job that a new configuration leaves as it is, by the job's name."""
        same = {name for name in after.jobs if _as_used(before, name) == _as_used(after, name)}
        times = {name: self.next_run(name) for name in same}
        return {name: at for name, at in times.items() if at is not None}

    def start(self, *, paused: bool = False) -> None:
        """Start the schedules. `paused`: without letting any job run."""
        self._scheduler.start(paused=paused)

    def stop(self, *, wait: bool = False) -> None:
        """Start no further run; those under way go on. `wait`: return once they have ended."""
        self._scheduler.shutdown(wait=wait)

    def next_run(self, job: str) -> datetime | None:
        """When the job runs next; None for one without a schedule."""
        found = self._scheduler.get_job(job)
        return found.next_run_time if found else None

    def has(self, job: str) -> bool:
        """Is the job scheduled here?"""
        return self._scheduler.get_job(job) is not None

    def run_soon(self, job: str, within: timedelta = DEBOUNCE) -> None:
        """Bring the job's next run forward, if it is not due `within` that time anyway."""
        found = self._scheduler.get_job(job)
        if found is not None and (found.next_run_time is None or found.next_run_time > now() + within):
            found.modify(next_run_time=now() + within)

    def shift(self, step: timedelta) -> None:
        """Move the schedules after the clock jumped by `step`, because APScheduler keeps times of the wall clock.

        The time until the next run of an interval stays as long as it was. A cron line follows the new clock.
        """
        for job in self._scheduler.get_jobs():
            if isinstance(job.trigger, EveryTrigger):
                job.trigger.shift(step)
                # However the clock moved, no run is further away than one interval.
                job.modify(next_run_time=min(job.next_run_time + step, now() + job.trigger.longest))
            else:
                job.modify(next_run_time=job.trigger.get_next_fire_time(None, now()))


def _as_used(settings: Settings, name: str) -> object:
    """A job with all that its cycles go by; None where there is no such job."""
    job = settings.jobs.get(name)
    if job is None:
        return None
    return settings.owner, settings.state, job, settings.sources[job.source], [settings.targets[t] for t in job.targets]
