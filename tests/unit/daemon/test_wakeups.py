"""Which jobs an event wakes, and by which paths they look."""

from __future__ import annotations

import threading
import time

import pytest

from syncd.daemon import wakeups
from syncd.daemon.wakeups import (
    EXPECTED,
    MOST_NAMED,
    ONCE,
    Expected,
    PendingEvents,
    fresh,
    listen,
    named_for,
    unseen,
)
from syncd.domain import Glob, Rule
from syncd.domain.job import Job, Limit, Limits, Policies

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:p/a-AbCdEf"
OTHER = ARN.replace("AbCdEf", "GhIjKl")


def job(*paths: str, exclude: tuple[str, ...] = ()) -> Job:
    rules = tuple(
        Rule(index=at, source="aws", path=Glob(path), field=None, name="{basename}", exclude=tuple(map(Glob, exclude)))
        for at, path in enumerate(paths)
    )
    return Job(
        name="j",
        source="aws",
        targets=("t",),
        rules=rules,
        policies=Policies(job="j"),
        limits=Limits(max_deletes=Limit(number=1)),
    )


@pytest.mark.parametrize(
    ("rules", "told", "looked_at"),
    [
        (("p/*",), {"p/a"}, {"p/a"}),
        (("p/*",), {ARN}, {"p/a"}),
        ((ARN,), {"p/a"}, {ARN}),
        ((ARN,), {ARN}, {ARN}),
        ((ARN, "p/a"), {"p/a"}, {ARN, "p/a"}),
        ((OTHER,), {ARN, "p/a"}, {OTHER}),
        (("q/*",), {"p/a", ARN}, set()),
        (("p/*",), {"p/*"}, {"p/*"}),
        ((ARN,), {"p/b"}, set()),
    ],
)
def test_a_rule_may_have_the_name_or_the_arn(rules: tuple[str, ...], told: set[str], looked_at: set[str]) -> None:
    assert named_for(job(*rules), told) == looked_at


def test_what_is_excluded_wakes_nobody() -> None:
    assert named_for(job("p/*", exclude=("p/a",)), {"p/a", ARN}) == set()


def test_what_an_event_named_is_taken_once_by_a_job() -> None:
    pending = PendingEvents()
    pending.put("one", {"p/a"})
    pending.put("one", {"p/b"})
    assert pending.has("one") and not pending.has("two")
    assert set(pending.take("one")[1]) == {"p/a", "p/b"} and pending.take("one")[1] == {}


@pytest.mark.parametrize("late", [False, True])
def test_what_an_event_named_outlasts_a_reload(late: bool) -> None:
    """Also where whoever heard of it still held the configuration before; what was looked at does not outlast it."""
    before = PendingEvents()
    if not late:
        before.put("one", {"p/a"})
    look, _ = before.take("two")
    after = before.for_another_configuration()
    if late:
        before.put("one", {"p/a"})
    assert after.has("one")
    fresh, named = after.take("one")
    assert set(named) == {"p/a"} and fresh is not look


def test_what_a_run_did_not_look_at_comes_again_within_bounds() -> None:
    pending = PendingEvents()
    pending.put_back("one", {"p/a": ONCE})
    assert set(pending.take("one")[1]) == {"p/a"}
    pending.put("one", {f"p/{number}" for number in range(MOST_NAMED)})
    pending.put_back("one", {"q/a": ONCE})
    assert len(pending.take("one")[1]) == MOST_NAMED


class Messages:
    """A queue with one message, that counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.taken: list[str] = []

    def receive(self) -> tuple[frozenset[str], list[str]]:
        self.asked += 1
        return frozenset({"p/a"}), ["receipt"]

    def done(self, receipts: list[str]) -> None:
        self.taken += receipts


def test_a_queue_of_another_daemon_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is received is hidden from the other one, and a queue gives up what was received too often."""
    monkeypatch.setattr(wakeups, "REST", 0.0)
    queue, stop, woken = Messages(), threading.Event(), list[frozenset[str]]()
    answers = iter([True, True, True, False])

    def wake(names: frozenset[str]) -> None:
        woken.append(names)
        stop.set()

    listen(queue, wake, lambda _: None, stop, lambda: next(answers))
    assert (queue.asked, queue.taken, woken) == (1, ["receipt"], [frozenset({"p/a"})])
    assert next(answers, None) is None, "only once it is its own"


def expected(
    *paths: str, job: str = "one", pending: PendingEvents | None = None, version: int = 0
) -> tuple[PendingEvents, dict[str, Expected]]:
    """A run that took what an event named."""
    pending = pending or PendingEvents()
    pending.put(job, (), expected=dict.fromkeys(paths, version))
    return pending, pending.take(job)[1]


def test_the_version_that_an_event_tells_is_looked_for() -> None:
    pending, named = expected("p/a", version=3)
    assert unseen(named, [{"p/a": 2}]) == {"p/a"}, "one in between"
    assert unseen(named, [{"p/a": 3}]) == set()
    assert unseen(named, [{"p/a": 4}]) == set(), "it was there already"
    assert unseen(named, [{"p/a": 0}]) == unseen(named, [{"p/b": 3}]) == unseen(named, [{}]) == {"p/a"}, "not read"
    pending.put("one", (), expected={"p/a": 5})
    pending.put_back("one", named)
    assert pending.take("one")[1]["p/a"].version == 5


def test_each_site_s_look_has_to_show_it() -> None:
    """One that came later may have been at a server that did not lag."""
    _, named = expected("p/a", version=3)
    for looks in ([{"p/a": 2}, {"p/a": 3}], [{"p/a": 3}, {"p/a": 2}], [{"p/a": 3}, {}], []):
        assert unseen(named, looks) == {"p/a"}, looks
    assert unseen(named, [{"p/a": 3}, {"p/a": 4}]) == set()


def test_without_a_version_no_look_ends_it_early() -> None:
    """Whatever is read, it may be one in between, or what was there before."""
    _, named = expected("p/a", "p/b")
    assert unseen(named, [{"p/a": 7}]) == {"p/a", "p/b"}


def test_nothing_is_looked_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    _, named = expected("p/a")
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + EXPECTED - 1)
    assert unseen(named, [{}]) == {"p/a"}
    monkeypatch.setattr(time, "monotonic", lambda: began + EXPECTED + 1)
    assert unseen(named, [{}]) == set()


def test_a_site_that_rests_keeps_what_was_named_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause may last for days, in which each cycle would read all that events named since."""
    pending, named = expected("p/a", version=3)
    pending.put("one", {"p/once"})
    named |= pending.take("one")[1]
    assert fresh(named, rests=True) == {"p/a"} and fresh(named, rests=False) == set()
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + EXPECTED + 1)
    assert fresh(named, rests=True) == set()


def test_what_is_looked_at_once_is_not_looked_for() -> None:
    pending = PendingEvents()
    pending.put("one", {"p/a"})
    assert unseen(pending.take("one")[1], [{}]) == set()


def test_a_deletion_between_two_writes_counts_from_one_again() -> None:
    """What is made anew has a lower number than the secret of before."""
    pending, _ = expected("p/a", version=5)
    for version in (5, 0, 1):
        pending.put("one", (), expected={"p/a": version})
    named = pending.take("one")[1]
    assert named["p/a"].version == 0
    assert unseen(named, [{"p/a": 5}]) == {"p/a"}, "the old secret"
    assert unseen(named, [{"p/a": 1}]) == {"p/a"}


def test_what_is_left_of_all_jobs_is_taken_at_once() -> None:
    pending = PendingEvents()
    pending.put("one", {"p/b"}, expected={"p/a": 5})
    pending.put("two", (), expected={"p/a": 7})
    left = {key: item.version for key, item in pending.take_left(lambda _job, _path: False).items()}
    assert left == {("one", "p/a"): 5, ("one", "p/b"): 0, ("two", "p/a"): 7}
    assert pending.take_left(lambda _job, _path: False) == {} and not pending.has("one")


def test_what_a_job_will_look_at_stays() -> None:
    pending = PendingEvents()
    pending.put("one", {"p/b"})
    pending.put("gone", (), expected={"p/a": 7})
    pending.put("one", (), expected={"q/a": 2})
    left = pending.take_left(lambda job, path: job == "one" and path.startswith("p/"))
    assert set(left) == {("gone", "p/a"), ("one", "q/a")} and not pending.has("gone")
    assert set(pending.take("one")[1]) == {"p/b"}
