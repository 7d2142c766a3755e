"""An ability that was refused rests, and is tried again: policies change while a process lives."""

from __future__ import annotations

from syncd.sources.declined import REST_SECONDS, Declined


def test_what_was_refused_rests_for_an_hour_and_is_then_tried_again() -> None:
    clock = [0.0]
    declined = Declined(lambda: clock[0])
    assert "kv/" not in declined
    declined.add("kv/")
    assert "kv/" in declined and "other/" not in declined
    clock[0] = REST_SECONDS - 1
    assert "kv/" in declined
    clock[0] = REST_SECONDS
    assert "kv/" not in declined
    declined.add("kv/")
    assert "kv/" in declined, "refused again, it rests again"
