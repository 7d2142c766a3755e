"""What a day costs, by arithmetic alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from syncd.forecast.model import JobFacts, of_source, of_target


def job(**more: Any) -> JobFacts:
    facts = {
        "name": "a",
        "source": "s",
        "interval": timedelta(minutes=5),
        "listing_calls": 2,
        "paths": 100,
        "names": {"shop": 100},
    }
    return JobFacts(**{**facts, **more})


def test_a_source_is_listed_each_cycle() -> None:
    assert of_source("s", [job(), job(name="b", listing_calls=3)], is_aws=False).calls == 288 * 5
    assert of_source("s", [job(source="other")], is_aws=False).calls == 0
    assert of_source("s", [job(interval=None)], is_aws=False).calls == 0, "by hand"


def test_kv_v1_reads_every_value() -> None:
    assert of_source("s", [job(every_value=True)], is_aws=False).calls == 288 * 102


def test_aws_has_a_price() -> None:
    assert of_source("s", [job()], is_aws=True).dollars == pytest.approx(288 * 2 * 30 * 0.05 / 10_000)
    assert of_source("s", [job()], is_aws=False).dollars is None


def test_a_site_and_its_quota() -> None:
    one = of_target("shop", [job(), job(name="b", names={"shop": 300})], limit=100, window=timedelta(minutes=1))
    assert (one.requests, one.secrets, one.push_all) == (576, 400, timedelta(minutes=4))
    assert one.share == pytest.approx(576 / (100 * 1440))


def test_verifications_are_spread() -> None:
    one = of_target("shop", [job(verify_every=timedelta(hours=24))], limit=190, window=timedelta(minutes=1))
    assert one.requests == pytest.approx(288 + 100 * 1.386, rel=0.01)
