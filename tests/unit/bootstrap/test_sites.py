"""One site under several targets and keys is one site, and its first target stands for it."""

from __future__ import annotations

import pytest

from syncd.bootstrap.sites import Sites

TARGETS = {"shop": "key-a", "mirror": "key-b", "outlet": "key-c", "twin": "key-c"}
JOBS = {"pay": ["twin", "mirror"], "mail": ["mirror", "shop"]}


def sites(**aliases: str) -> Sites:
    return Sites(TARGETS, JOBS, {"key-b": "key-a"}, lambda: {"key-b": "key-a", **aliases})


def test_a_joined_key_is_the_site_that_it_was_joined_to() -> None:
    assert [sites().of(name) for name in TARGETS] == ["key-a", "key-a", "key-c", "key-c"]
    with pytest.raises(KeyError):
        sites().of("gone")


@pytest.mark.parametrize(
    ("site", "job", "target"),
    [
        ("key-c", "pay", "twin"),  # the job's own, though another target is the site's first
        ("key-c", "mail", "outlet"),  # a job that sends nothing there
        ("key-c", "gone", "outlet"),
        ("key-a", "pay", "mirror"),
        ("key-a", "mail", "mirror"),  # by the job's order, not by the configuration's
        ("key-a", "", "shop"),
        ("key-z", "pay", "key-z"),  # no target names it any more
    ],
)
def test_whom_a_jobs_secrets_are_counted_for(site: str, job: str, target: str) -> None:
    assert sites().first_target(site, job) == target


def test_every_key_that_a_site_was_known_under_is_its_own() -> None:
    known = sites(old="key-c")
    assert known.keys() == {"key-a": {"key-a", "key-b"}, "key-c": {"key-c", "old"}}
    assert known.keys_of_targets()["twin"] == {"key-c", "old"}
    assert known.names()["key-a"].targets == {"shop", "mirror"}
