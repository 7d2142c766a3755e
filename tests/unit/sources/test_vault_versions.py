"""Of which metadata a version of KV v2 is that was read."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.domain import SecretRef, SourceEntry, Version
from syncd.sources.vault.readings import reading_of
from syncd.sources.vault.versions import kv2_version, of_metadata

LISTED = kv2_version(2, "08:02", "08:00")


def read(number: int, created: str) -> Version | None:
    entry = SourceEntry(ref=SecretRef(source="vault", path="kv/a"), version=LISTED)
    answer = {"data": {"data": {"v": "generated"}, "metadata": {"version": number, "created_time": created}}}
    return reading_of(entry, answer).version


def test_what_is_listed_is_of_the_listed_metadata_whatever_its_date() -> None:
    assert read(2, "08:02") == LISTED
    ahead = kv2_version(2, "08:02", "10:00")
    entry = SourceEntry(ref=SecretRef(source="vault", path="kv/a"), version=ahead)
    answer = {"data": {"data": {"v": "generated"}, "metadata": {"version": 2, "created_time": "08:02"}}}
    assert reading_of(entry, answer).version == ahead


@pytest.mark.parametrize(("number", "created"), [(1, "08:01"), (3, "08:03"), (2, "09:01"), (1, "07:01")])
def test_of_another_version_only_metadata_tells(number: int, created: str) -> None:
    assert read(number, created) == kv2_version(number, created)


@pytest.mark.parametrize(
    ("metadata", "lineage"),
    [
        ({"created_time": "09:00", "versions": {"1": {"created_time": "09:01"}}}, "09:00"),
        ({"created_time": "09:00", "versions": {"1": {"created_time": "09:01"}, "2": {"created_time": "x"}}}, "09:00"),
        (
            {"created_time": "08:00", "versions": {"1": {"created_time": "08:01"}}},
            "",
        ),  # of before, from a server that lags
        ({"created_time": "09:00", "versions": {"2": {"created_time": "09:01"}}}, ""),
        ({"created_time": "09:00", "versions": None}, ""),
        ({"created_time": "09:00", "versions": {"1": None}}, ""),
        ({"created_time": 7, "versions": {"1": {"created_time": "09:01"}}}, ""),
        ({}, ""),
    ],
)
def test_metadata_tells_of_the_versions_that_it_holds(metadata: dict[str, Any], lineage: str) -> None:
    version = kv2_version(1, "09:01")
    assert of_metadata(version, metadata) == kv2_version(1, "09:01", lineage)
