"""What counts as an emergency: what a person decided beside the usual way."""

from __future__ import annotations

import json

import pytest

from syncd.report.population import OVERRIDES, Population


def line(event: str, kind: str, reason: str | None) -> str:
    actor = {"id": "x", "kind": kind, "via": ""}
    return json.dumps(
        {"actor": actor, "detail": {"kind": "person"}, "event": event, "reason": reason}, separators=(",", ":")
    )


@pytest.mark.parametrize("kind", ["person", "token", "system", "schedule", "event"])
@pytest.mark.parametrize("event", sorted(OVERRIDES))
def test_what_ran_out_or_was_taken_back_is_no_emergency(event: str, kind: str) -> None:
    seen = Population()
    seen.take(event, None, line(event, kind, None))
    assert bool(seen.overrides) is (kind in {"person", "token"})


@pytest.mark.parametrize("kind", ["person", "schedule"])
def test_a_change_with_a_reason_is_one(kind: str) -> None:
    seen = Population()
    seen.take("secret.update", "done", line("secret.update", kind, "key leaked"))
    assert len(seen.overrides) == 1
