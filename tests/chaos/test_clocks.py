"""This machine's clock jumps, in mid-cycle and between cycles: no grace is cut short, nothing is lost or twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import libfaketime
import pytest

from tests.chaos.arena import Arena
from tests.lab import Lab, Result

Tally = Callable[..., None]
LIBRARY = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
BACK, FORWARD = "-1d", "+365d"


def at(lab: Lab, offset: str) -> None:
    (lab.folder / "clock").write_text(offset + "\n")


def run(lab: Lab) -> Result:
    """A sync whose clock is off by what the file says, however often it changes; the monotonic clock goes on."""
    return lab.spawn(
        "sync", LD_PRELOAD=str(LIBRARY), DONT_FAKE_MONOTONIC="1", FAKETIME_NO_CACHE="1",
        FAKETIME_TIMESTAMP_FILE=str(lab.folder / "clock"),
    )  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("offset", [BACK, FORWARD])
def test_a_jump_in_mid_cycle(arena: Arena, tally: Tally, offset: str, method: str) -> None:
    arena.reset()
    at(arena.lab, "+0")
    arena.lab.wix.fault("slow", method, seconds=0.01, on=lambda: at(arena.lab, offset))
    done = run(arena.lab)
    assert done.code in {0, 1, 6}, done.err
    tally("the clock jumps in mid-cycle", arena.judge(done))


@pytest.mark.parametrize("offsets", [(BACK, "+0"), (FORWARD, "+0"), ("+0", FORWARD), (FORWARD, BACK), (BACK, FORWARD)])
def test_jumps_between_cycles(arena: Arena, tally: Tally, offsets: tuple[str, str]) -> None:
    arena.reset()
    said = []
    for offset in offsets:
        at(arena.lab, offset)
        said.append(run(arena.lab))
        assert said[-1].code in {0, 1}, said[-1].err
    tally("the clock jumps between cycles", arena.judge(*said))


@pytest.mark.parametrize("offset", [BACK, FORWARD])
def test_a_jump_does_not_pass_for_observed_absence(arena: Arena, offset: str) -> None:
    arena.reset()
    arena.lab.config["jobs"]["job"] |= {"deletion_grace": "24h", "schedule": {"every": "5m"}}
    gone = set(arena.lab.ids()) - set(arena.wanted)
    for clock in ("+0", offset, "+0", offset):
        at(arena.lab, clock)
        run(arena.lab)
    assert gone and gone <= set(arena.lab.ids())
