"""What a daemon hands on: in whose name, with which rights."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from syncd.daemon.asked_for import Wanted
from syncd.daemon.handing_on import HandingOn
from syncd.daemon.wakeups import ONCE
from syncd.domain import Glob, Rule
from syncd.domain.audit import Actor
from syncd.ledger.wakeups import Wish

ALICE = Actor("token", "alice")


class Wakeups:
    """A ledger's."""

    def __init__(self) -> None:
        self.wishes = list[Wish]()

    def put(self, wish: Wish) -> bool:
        self.wishes.append(wish)
        return True


def generation(wakeups: Wakeups, **sites: list[str]) -> Any:
    """A configuration. `sites`: by job."""
    jobs = {name: SimpleNamespace(targets=targets, rules=()) for name, targets in sites.items()}
    runtime = SimpleNamespace(jobs=jobs, site_of="site of {}".format, clock=lambda: datetime.now(UTC))
    pending = SimpleNamespace(put_back=lambda _job, _named: None)
    app = SimpleNamespace(runtime=runtime, ledger=SimpleNamespace(wakeups=wakeups))
    return SimpleNamespace(app=app, pending=pending, schedule=SimpleNamespace(has=lambda _job: True))


def handed_on(before: Any, now: Any, named: dict[Any, Any], asked: dict[Any, Any]) -> None:
    generations = SimpleNamespace(current=before)
    runner = SimpleNamespace(take_left=lambda _stays, stops: (named, asked))
    handing_on = HandingOn(generations, runner)  # type: ignore[arg-type]
    generations.current = now
    handing_on.pass_on(stops=False, rests=False)


@pytest.mark.parametrize(
    ("before", "now", "sites"),
    [
        ({"j": ["shop"]}, {"new": ["shop", "two"]}, {"site of shop"}),
        ({"j": ["shop", "two"]}, {"new": ["shop", "three"]}, {"site of shop", "site of two"}),
        ({"j": ["shop"]}, {"j": ["two"]}, {"site of shop"}),
        ({}, {"j": ["two"]}, {"site of two"}),
        ({}, {}, set()),
    ],
)
def test_what_nobody_asks_for_any_more_wakes_no_more_than_its_jobs_sites(
    before: dict[str, list[str]], now: dict[str, list[str]], sites: set[str]
) -> None:
    wakeups = Wakeups()
    handed_on(generation(wakeups, **before), generation(wakeups, **now), {("j", "p/a"): ONCE}, {})
    (wish,) = wakeups.wishes
    assert (wish.by.kind, wish.sites, wish.paths) == ("event", sites, ((None, "p/a"),))


@pytest.mark.parametrize("rights", [None, frozenset({"site of shop"}), frozenset({"x", "y"})])
def test_what_somebody_asks_for_keeps_name_and_rights(rights: frozenset[str] | None) -> None:
    wakeups = Wakeups()
    one = generation(wakeups, j=["shop", "two"])
    asked = {("j", "p/a"): Wanted(by=ALICE, rights=rights), ("j", "p/b"): Wanted(by=ALICE, rights=rights)}
    handed_on(one, one, {("j", "p/a"): ONCE}, asked)
    (wish,) = wakeups.wishes
    assert (wish.by, wish.sites, wish.paths) == (ALICE, rights, ((None, "p/a"), (None, "p/b")))


@pytest.mark.parametrize("is_reloaded", [True, False])
@pytest.mark.parametrize(("stops", "rests"), [(False, False), (True, False), (False, True)])
def test_after_a_reload_everything_is_handed_on_once(is_reloaded: bool, stops: bool, rests: bool) -> None:
    """Another job may take the path now as well; so it is at a stop, and where another daemon works."""
    rule = Rule(index=0, source="vault", path=Glob("p/*"), field=None, name="{path}")
    before, now = (generation(Wakeups(), j=["shop"]) for _ in range(2))
    for one in (before, now):
        one.app.runtime.jobs["j"].rules = (rule,)
    stayed: list[bool] = []

    def take_left(stays: Any, *, stops: bool) -> tuple[dict[Any, Any], dict[Any, Any]]:
        stayed.append(stays("j", "p/a"))
        return {}, {}

    generations = SimpleNamespace(current=before)
    handing_on = HandingOn(generations, SimpleNamespace(take_left=take_left))  # type: ignore[arg-type]
    generations.current = now if is_reloaded else before
    for _ in range(2):
        handing_on.pass_on(stops=stops, rests=rests)
    assert stayed == [not (is_reloaded or stops or rests), not (stops or rests)]


@pytest.mark.parametrize("ticks", [1, 2, 5])
def test_what_a_long_run_leaves_after_its_job_is_gone(ticks: int) -> None:
    """The run hangs over several looks of the daemon, and its request has ended before it does."""
    wakeups = Wakeups()
    left: dict[Any, Any] = {}
    generations = SimpleNamespace(current=generation(wakeups, j=["shop"], other=["two"]))
    runner = SimpleNamespace(take_left=lambda _stays, stops: (left, {}))
    handing_on = HandingOn(generations, runner)  # type: ignore[arg-type]
    handing_on.pass_on(stops=False, rests=False)
    for _ in range(ticks):
        generations.current = generation(wakeups, other=["two"])
        handing_on.pass_on(stops=False, rests=False)
    left["j", "p/a"] = ONCE
    handing_on.pass_on(stops=False, rests=False)
    (wish,) = wakeups.wishes
    assert wish.sites == {"site of shop"}
