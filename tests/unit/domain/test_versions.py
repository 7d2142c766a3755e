"""Which of two versions is the older one, and what people read of it."""

from __future__ import annotations

import pytest

from syncd.domain import Version, is_of_an_earlier_secret, version_label


def test_versions() -> None:
    new, old = Version(token="kv2:3@b", number=3, lineage="l1"), Version(token="kv2:2@a", number=2, lineage="l1")
    assert old.older_than(new) and not new.older_than(old)
    anew = Version(token="kv2:1@c", number=1, lineage="l2")
    assert not anew.older_than(new) and new.older_than(anew)
    assert not Version(token="aws:x").older_than(Version(token="aws:y"))
    assert (version_label("kv2:3@b"), version_label("aws:id"), version_label("kv1:fp"), version_label("")) == (
        "3",
        "id",
        "",
        "",
    )


def of(number: int, made: str, lineage: str = "") -> Version:
    return Version(token=f"kv2:{number}@{made}", number=number, lineage=lineage)


@pytest.mark.parametrize(
    ("read", "listed", "is_before"),
    [
        (of(2, "08:02", "08:00"), of(2, "08:02", "08:00"), False),
        (of(1, "08:01", "08:00"), of(2, "08:02", "08:00"), True),
        (of(3, "08:03", "08:00"), of(2, "08:02", "08:00"), False),
        (of(1, "09:01", "09:00"), of(2, "08:02", "08:00"), False),  # made anew, and its metadata told
        (of(1, "09:01"), of(2, "08:02", "08:00"), True),  # nobody told: it may be of whatever was before
        (of(3, "09:01"), of(2, "08:02", "08:00"), True),
        (of(3, "09:01"), of(2, "08:02"), False),  # a server that tells no dates of metadata: the numbers tell
        (Version(token="aws:b"), Version(token="aws:a"), False),
    ],
)
def test_what_was_read_is_from_before_what_was_listed(read: Version, listed: Version, *, is_before: bool) -> None:
    assert read.is_before(listed) is is_before


@pytest.mark.parametrize(
    ("token", "now", "is_earlier"),
    [
        ("kv2:3@08:03", of(1, "09:01", "09:00"), True),
        ("kv2:3@08:03~json", of(1, "09:01", "09:00"), True),
        ("kv2:1@08:01", of(3, "08:03", "08:00"), False),
        ("kv2:1@08:01", of(3, "08:03"), False),
        ("kv2:2@08:02", of(2, "08:02", "10:00"), False),  # a clock was ahead when the path was made
        ("kv2:1@08:01", of(2, "08:02", "10:00"), False),
        ("aws:a", Version(token="aws:b"), False),
        ("", of(1, "09:01", "09:00"), False),
    ],
)
def test_a_version_of_a_secret_that_was_made_anew(token: str, now: Version, *, is_earlier: bool) -> None:
    assert is_of_an_earlier_secret(token, now) is is_earlier
