"""Runs of a job that overlap at a reload, and what is asked for meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from syncd.daemon import job_runner
from syncd.daemon.asked_for import Ask
from syncd.daemon.job_runner import JobRunner
from syncd.daemon.wakeups import PendingEvents
from syncd.domain.audit import Actor

EVENT, ALICE = Actor("event", "vault audit"), Actor("token", "alice")


class Schedule:
    """Of a daemon: which runs were asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def has(self, job: str) -> bool:
        return job == "j"

    def run_soon(self, job: str, within: timedelta = timedelta(0)) -> None:
        self.asked.append(job)


class Generations:
    """One configuration without any job; `during` says what happens in the middle of each run."""

    def __init__(self) -> None:
        self.schedule, self.during = Schedule(), list[Callable[[], object]]()
        app = SimpleNamespace(runtime=SimpleNamespace(jobs={}), ended=threading.Event())
        self.current: Any = SimpleNamespace(app=app, schedule=self.schedule, pending=PendingEvents(), commit=None)

    @contextmanager
    def running(self) -> Iterator[Any]:
        if self.during:
            self.during.pop(0)()
        yield self.current


@pytest.fixture
def generations() -> Generations:
    return Generations()


@pytest.fixture
def runner(generations: Generations) -> JobRunner:
    builder: Any = SimpleNamespace(instruments=None, readiness=None, stop=threading.Event())
    return JobRunner(generations, builder)  # type: ignore[arg-type]


@pytest.mark.parametrize("by", [EVENT, ALICE, None])
def test_what_is_asked_for_beside_two_runs_waits_for_the_last_of_them(
    runner: JobRunner, generations: Generations, by: Actor | None
) -> None:
    """A reload begins one under the new configuration while the old one's is under way."""

    asked_meanwhile: list[object] = []

    def reload() -> None:
        runner.run("j")
        asked_meanwhile.append((runner.trigger("j", ask=Ask(by=by) if by else None), list(generations.schedule.asked)))

    generations.during = [reload]
    runner.run("j")
    # Looked at here, because no error passes the boundary of a run.
    assert asked_meanwhile == [(True, [])], "a scheduler drops what is under way already"
    assert generations.schedule.asked == ["j"]
    runner.trigger("j")
    assert generations.schedule.asked == ["j", "j"]


def test_what_is_asked_for_in_a_run_is_done_once_after_it(runner: JobRunner, generations: Generations) -> None:
    generations.during = [lambda: [runner.trigger("j") for _ in range(3)]]
    runner.run("j")
    assert generations.schedule.asked == ["j"] and not runner.trigger("gone")


@pytest.mark.parametrize(
    ("by", "paths", "expected", "about"),
    [
        (EVENT, (), None, set()),
        (EVENT, ("p/a",), None, {"p/a"}),
        (EVENT, (), {"p/b": 3}, {"p/b"}),
        (ALICE, ("p/a",), None, None),
        (None, (), None, None),
    ],
)
def test_an_event_of_no_path_is_no_persons_request(
    monkeypatch: pytest.MonkeyPatch, generations: Generations, by: Actor | None, paths: tuple[str, ...],
    expected: dict[str, int] | None, about: set[str] | None,
) -> None:  # fmt: skip
    """Such as a line that tells of custom metadata: it begins no row of tries anew."""
    told: list[object] = []
    monkeypatch.setattr(job_runner, "Retries", lambda: SimpleNamespace(asked=lambda _job, paths: told.append(paths)))
    builder: Any = SimpleNamespace(instruments=None, readiness=None, stop=threading.Event())
    JobRunner(generations, builder).trigger("j", paths, ask=Ask(by=by) if by else None, expected=expected)  # type: ignore[arg-type]
    assert told == [about]


def left_of(runner: JobRunner, *, stops: bool = False) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Of which jobs and paths something is passed on: of what was named, and of who asked."""
    named, asked = runner.take_left(lambda _job, _path: False, stops=stops)
    return set(named), set(asked)


@pytest.mark.parametrize("by", [EVENT, ALICE])
def test_what_a_run_has_is_passed_on_with_its_request_once_it_ended(
    runner: JobRunner, generations: Generations, by: Actor
) -> None:
    """The paths are with the run: without them nobody would know any more whose they were."""
    found: list[object] = []

    def in_the_run() -> None:
        runner.trigger("j", ("p/a",), ask=Ask(by=by, about=("p/a",), rights=frozenset({"s"})))
        found.append(left_of(runner))
        found.append(left_of(runner, stops=True))

    generations.during = [in_the_run]
    runner.run("j")
    # A daemon that ends waits for no run.
    assert found == [(set(), set()), ({("j", "p/a")}, {("j", "p/a")})]


@pytest.mark.parametrize("paths", [("p/a",), ("p/a", "p/b#x"), ("*", "p/é")])
def test_a_request_is_passed_on_with_all_of_its_paths(runner: JobRunner, paths: tuple[str, ...]) -> None:
    runner.trigger("j", paths, ask=Ask(by=ALICE, about=paths))
    every = {("j", path) for path in paths}
    assert left_of(runner) == (every, every)
    assert left_of(runner) == (set(), set())
