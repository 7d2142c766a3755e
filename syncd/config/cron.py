"""A cron line that means what it means in a Kubernetes CronJob."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MOST_FIRES = 10_000
"""Of a line that fires each minute of office hours: more than two weeks, and so every night and weekend."""


def normalised(line: str) -> str:
    """Five fields as CronSim reads them. Raises ValueError.

    Days of the month and of the week are either-or when both are restricted. Kubernetes takes a step over
    `*` for a restriction, Debian's cron does not, so such a step is written out as a range.
    """
    # Kubernetes takes ? for *.
    fields = MACROS.get(line.strip().lower(), line).replace("?", "*").split()
    # CronSim would take a sixth one for seconds.
    if len(fields) != 5:
        raise ValueError("a cron line has five fields")
    fields[2] = re.sub(r"^\*/", "1-31/", fields[2])
    fields[4] = re.sub(r"^\*/", "0-6/", fields[4])
    return " ".join(fields)


def fires(line: str, after: datetime) -> Iterator[datetime]:
    """The times of a cron line after `after`, in its time zone. Raises ValueError for a bad line."""
    try:
        return CronSim(normalised(line), after)
    except CronSimError as error:
        raise ValueError(f"no cron line ({error})") from None


def is_due(gap: timedelta | None, line: str, last: datetime, now: datetime) -> bool:
    """Is a job due that last started at `last`? `gap`, or else the cron line, says when.

    A tenth of the gap early is in time (a minute at most): who asks comes by a clock that wavers.
    """
    if last > now:
        return True  # the clock was set back
    if gap is not None:
        return now - last >= gap - min(gap / 10, timedelta(minutes=1))
    # From the last run on, not from now: what was missed while nothing ran is still due.
    following = next(fires(line, last), None)
    return following is not None and following <= now


def usual_gap(line: str, after: datetime) -> timedelta:
    """The shortest time between the next few fires: what an observed absence may count for at most."""
    times = fires(line, after)
    try:
        few = [next(times) for _ in range(8)]
    except StopIteration:
        return timedelta(days=1)
    # The shortest: a grace may not add up faster than the job looks.
    return min(later - earlier for earlier, later in itertools.pairwise(few))


def longest_gap(line: str, after: datetime) -> timedelta:
    """The longest time between two fires, over whatever nights and weekends the line leaves out.

    Looked for in a year, and in some thousand fires at most.
    """
    end = after + timedelta(days=366)
    times = [*itertools.takewhile(lambda at: at <= end, itertools.islice(fires(line, after), MOST_FIRES))]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return max(gaps, default=timedelta(days=366))
