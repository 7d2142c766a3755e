"""One bar for the jobs and sites of a run: it never tells more as done than was planned."""

from __future__ import annotations

from typing import Any, cast

import pytest
from rich.progress import Progress

from syncd.cli.write_session import _Bar
from syncd.domain.ports import SilentObserver


@pytest.mark.parametrize("plans", [[3], [3, 7], [0, 4, 0, 0, 2]])
def test_done_is_never_more_than_planned(plans: list[int]) -> None:
    progress = Progress(disable=True)
    bar = _Bar(progress, SilentObserver())
    (task,) = progress.tasks
    for count in plans:  # all that runs side by side plans first
        bar.on_planned(count)
    for _ in range(sum(plans)):
        bar.on_outcome(cast(Any, None), "job", "target")
        assert task.total is not None and task.completed <= task.total
    assert task.completed == task.total == sum(plans)
