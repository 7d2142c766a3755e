"""How rarely what failed is tried again."""

from __future__ import annotations

from datetime import timedelta

from syncd.reconcile.record.problems import delay_after


def test_a_failing_secret_is_tried_at_most_once_an_hour_in_a_day() -> None:
    tries, at = 0, timedelta(0)
    while at < timedelta(days=1):
        tries += 1
        at += delay_after(tries)
    assert tries <= 24
