"""When a job runs by itself: an interval with jitter, or a cron line with Kubernetes' meaning."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger

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
        """Return the line's first time after the previous run (None: from now on); None if no time follows."""
        # A second earlier, because `fires` begins after its moment: a line that is due right now counts.
        after = previous or current - timedelta(seconds=1)
        return next(fires(self._line, after.astimezone(self._zone)), None)


class EveryTrigger(BaseTrigger):  # type: ignore[misc]
    """A fixed grid of times; each run comes a little later than its time on the grid, and the grid stays.

    APScheduler's own jitter would delay all later runs as well.
    """

    def __init__(self, interval: timedelta, anchor: datetime) -> None:
        self._interval = interval
        self._anchor = anchor
        self._jitter = min(JITTER_MAX, interval.total_seconds() * JITTER_SHARE)

    @property
    def longest(self) -> timedelta:
        """The longest time from one run to the next."""
        return self._interval + timedelta(seconds=self._jitter)

    def shift(self, step: timedelta) -> None:
        """Move the grid along after the clock jumped by `step`, so that the time until the next run stays as it was."""
        self._anchor += step

    def get_next_fire_time(self, previous: datetime | None, current: datetime) -> datetime:
        """Return the next time on the grid, after the previous run and not before now, plus a random delay."""
        slot = -((self._anchor - current) // self._interval)
        if previous is not None:
            slot = max(slot, (previous - self._anchor) // self._interval + 1)
        late = timedelta(seconds=random.uniform(0, self._jitter))  # noqa: S311  # to spread, not to hide
        return self._anchor + slot * self._interval + late


def trigger_for(schedule: Schedule) -> BaseTrigger:
    """A job's schedule as APScheduler takes it."""
    if schedule.every is not None:
        return every(schedule.every)
    return CronTrigger(str(schedule.cron), schedule.timezone)


def every(interval: timedelta, anchor: datetime | None = None) -> BaseTrigger:
    """Return a trigger that fires once in each interval, counted from the anchor (None: from now).

    Each run is late by at most a tenth of the interval and at most 30 seconds, so that jobs and installations spread.
    """
    return EveryTrigger(interval, anchor or datetime.now(UTC))
