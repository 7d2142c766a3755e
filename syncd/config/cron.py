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
"""Most fires that `longest_gap` looks at.

Of a line that fires each minute of office hours these are more than two weeks, and so every night and weekend.
"""


def normalised(line: str) -> str:
    """Return a cron line as five fields, so that CronSim reads it as Kubernetes does. Raises ValueError.

    If both the days of the month and of the week are restricted, a day that fits either is enough. Kubernetes takes a
    step over `*` for a restriction and Debian's cron does not, so such a step is written out as a range.
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
    """Return an iterator over the times at which a cron line fires after `after`, in the zone of `after`.

    Raises ValueError for a bad line.
    """
    try:
        return CronSim(normalised(line), after)
    except CronSimError as error:
        raise ValueError(f"no cron line ({error})") from None


def is_due(gap: timedelta | None, line: str, last: datetime, now: datetime) -> bool:
    """Is a job due that last started at `last`? It is to run every `gap`; where that is None, as the cron line says.

    A tenth of the gap too early (a minute at most) is in time: the caller's clock is not exact. A `last` in the future
    means that the clock was set back: then the job is due. Raises ValueError for a bad line.
    """
    if last > now:
        return True  # the clock was set back
    if gap is not None:
        return now - last >= gap - min(gap / 10, timedelta(minutes=1))
    # From the last run on, not from now: what was missed while nothing ran is still due.
    following = next(fires(line, last), None)
    return following is not None and following <= now


def usual_gap(line: str, after: datetime) -> timedelta:
    """Return the shortest time between the next eight fires, as the interval of the job; a day if there are fewer.

    An absence that one cycle observes counts for at most twice this time. Raises ValueError for a bad line.
    """
    times = fires(line, after)
    try:
        few = [next(times) for _ in range(8)]
    except StopIteration:
        return timedelta(days=1)
    # The shortest: a grace may not add up faster than the job looks.
    return min(later - earlier for earlier, later in itertools.pairwise(few))


def longest_gap(line: str, after: datetime) -> timedelta:
    """Return the longest time between two fires, also over a night or weekend that the line leaves out.

    It is looked for in 366 days and in `MOST_FIRES` fires at most; 366 days if it fires only once there. Raises
    ValueError for a bad line.
    """
    end = after + timedelta(days=366)
    times = [*itertools.takewhile(lambda at: at <= end, itertools.islice(fires(line, after), MOST_FIRES))]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return max(gaps, default=timedelta(days=366))
