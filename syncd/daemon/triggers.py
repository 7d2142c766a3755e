"""When a job runs by itself: an interval with jitter, or a cron line with Kubernetes' meaning."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from syncd.config.cron import fires
from syncd.config.settings import Schedule

JITTER_SHARE = 0.1
JITTER_MAX = 30.0


class CronTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types
    """A cron line with Kubernetes' meaning (APScheduler's own counts weekdays from Monday)."""

    def __init__(self, line: str, zone: str) -> None:
        self._line = line
        self._zone = ZoneInfo(zone)

    def get_next_fire_time(self, previous: datetime | None, current: datetime) -> datetime | None:
        """The next time after the previous fire, or from now on."""
        after = previous or current - timedelta(seconds=1)
        return next(fires(self._line, after.astimezone(self._zone)), None)


def trigger_for(schedule: Schedule) -> BaseTrigger:
    """A job's schedule as APScheduler takes it."""
    if schedule.every is not None:
        return every(schedule.every)
    return CronTrigger(str(schedule.cron), schedule.timezone)


def every(interval: timedelta) -> BaseTrigger:
    """Each interval, give or take a tenth of it, so that jobs and installations spread."""
    seconds = interval.total_seconds()
    jitter = min(JITTER_MAX, seconds * JITTER_SHARE)
    return IntervalTrigger(seconds=seconds, jitter=jitter if jitter >= 1 else None)
