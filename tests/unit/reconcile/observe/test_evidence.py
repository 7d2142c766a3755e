"""What listings prove: versions that are news, mounts that are to be believed, absence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain import (
    Glob,
    PathState,
    Presence,
    Record,
    Rule,
    SecretRef,
    Snapshot,
    SourceEntry,
    Version,
)  # fmt: skip
from syncd.reconcile.observe.evidence import ListingEvidence
from syncd.reconcile.observe.freshness import CONFIRMATIONS, SPACING, judge_version
from syncd.reconcile.observe.mounts import (
    as_accepted,
    conflicting_mount,
    is_new_mount,
    without_conflicting_mount,
    without_odd_paths,
)  # fmt: skip
from syncd.reconcile.plan.absence import empty_rules, presence_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def version(number: int) -> Version:
    return Version(token=str(number), number=number)


def state(number: int, **more: object) -> PathState:
    return PathState(source="vault", path="secret/a", pin="", version=version(number), fields=("k",), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "listed", "read"),
    [(None, version(1), True), (state(1), None, True), (state(1), version(1), False), (state(1), version(2), True)],
)
def test_a_version_is_news(known: PathState | None, listed: Version | None, read: bool) -> None:
    assert judge_version(known, listed, NOW, confirmed=False).read is read


def test_an_older_version_counts_once_it_was_seen_often() -> None:
    known, now, reads = state(5), NOW, []
    for _ in range(CONFIRMATIONS):
        fresh = judge_version(known, version(4), now, confirmed=False)
        reads.append(fresh.read)
        assert fresh.state is not None
        known, now = fresh.state, now + SPACING
    assert reads == [False, False, True]


def test_one_lagging_answer_is_one_answer() -> None:
    first = judge_version(state(5), version(4), NOW, confirmed=False).state
    assert first is not None and first.older_count == 1
    again = judge_version(first, version(4), NOW + timedelta(seconds=3), confirmed=False)
    assert again.state is None and not again.read


def test_a_lagging_server_that_catches_up_is_forgotten() -> None:
    lagging = replace(state(5), older_token="4", older_count=2)
    caught_up = judge_version(lagging, version(5), NOW, confirmed=False)
    assert caught_up.state is not None and caught_up.state.older_count == 0 and not caught_up.read


@pytest.mark.parametrize(
    ("known", "mount", "mount_id", "conflict"),
    [
        ({}, "secret/", "a", ""),
        ({"secret/": "a"}, "secret/", "a", ""),
        ({"secret/": "a"}, "secret/", "b", "secret/"),
        ({"secret/": "a"}, "secret/team/", "b", "secret/"),
        ({"secret/team/": "a"}, "secret/", "b", "secret/team/"),
        ({"secret/": "a"}, "other/", "b", ""),
        ({"": "eu-west-1:1"}, "", "eu-west-1:2", ""),
        ({"secret/": ""}, "secret/", "b", ""),
        ({"secret/": ""}, "secret/team/", "b", ""),
        ({"account": ""}, "secret/", "b", ""),
        ({"account": "a"}, "secret/", "b", "account"),
    ],
)
def test_mounts(known: dict[str, str], mount: str, mount_id: str, conflict: str) -> None:
    assert conflicting_mount(as_accepted(known), mount, mount_id) == conflict


def snapshot(*paths: str, complete: bool = True, mount_id: str = "a") -> Snapshot:
    entries = tuple(SourceEntry(ref=SecretRef(source="vault", path=path), version=version(1)) for path in paths)
    return Snapshot(entries=entries, complete=complete, mount="secret/", mount_id=mount_id)


def test_a_replaced_mount_shows_nothing() -> None:
    seen = without_conflicting_mount("vault", {"secret/": ("old",)}, snapshot("secret/a"))
    assert not seen.entries and not seen.complete and "syncd state remount vault secret/" in seen.failures[0].hint
    failed = Snapshot(entries=(), complete=False, mount="secret/", mount_id="")
    assert without_conflicting_mount("vault", {"secret/": ("old",)}, failed) is failed


def test_an_empty_mount_is_not_remembered() -> None:
    assert is_new_mount({}, snapshot("secret/a")) and not is_new_mount({}, snapshot())
    assert not is_new_mount({"secret/": "a"}, snapshot("secret/a"))
    assert is_new_mount({"secret/": ""}, snapshot("secret/a")), "a person said that the next one is the right one"


def test_paths_that_no_database_keeps() -> None:
    seen = without_odd_paths(snapshot("secret/a", "secret/b\x00", "secret/" + "x" * 5000))
    assert [entry.ref.path for entry in seen.entries] == ["secret/a"] and len(seen.failures) == 2 and not seen.complete


RULE = Rule(index=0, source="vault", path=Glob("secret/*"), field="*", name="{path}_{field}")
RECORD = Record(
    site="s", name="a_k", target="shop", job="job", ref=SecretRef(source="vault", path="secret/a", field="k"),
    remote_id="id",
)  # fmt: skip


def evidence(seen: Snapshot, *, rule: Rule = RULE, fields: tuple[str, ...] | None = ("k",), unread: bool = False,
             ) -> ListingEvidence:  # fmt: skip
    listed = frozenset((entry.ref.path, "") for entry in seen.entries)
    paths = {key: replace(state(1), path=key[0], fields=fields) for key in listed}
    return ListingEvidence(
        source="vault", rules=(rule,), snapshots={0: seen}, paths=paths, listed=listed,
        unread=frozenset({("secret/a", "")}) if unread else frozenset(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "presence", "why"),
    [
        (evidence(snapshot("secret/b")), Presence.ABSENT, "its path is gone"),
        (evidence(snapshot("secret/b", complete=False)), Presence.UNKNOWN, "could not be listed completely"),
        (evidence(snapshot()), Presence.UNKNOWN, "lists nothing, which is not believed"),
        (evidence(snapshot("secret/a"), unread=True), Presence.UNKNOWN, "could not be read"),
        (evidence(snapshot("secret/a"), fields=("other",)), Presence.ABSENT, "its field is gone"),
        (evidence(snapshot("secret/a"), fields=None), Presence.UNKNOWN, "has no fields"),
        (evidence(snapshot("secret/a")), Presence.ORPHAN, "another name"),
        (
            evidence(snapshot("other/x"), rule=replace(RULE, path=Glob("other/*"))),
            Presence.ORPHAN,
            "no rule of its job selects it",
        ),
        (
            evidence(snapshot("other/x", complete=False), rule=replace(RULE, path=Glob("other/*"))),
            Presence.UNKNOWN,
            "could not be listed completely",
        ),
    ],
)
def test_presence(seen: ListingEvidence, presence: Presence, why: str) -> None:
    judged, reason = presence_of(RECORD, seen)
    assert judged is presence and why in reason


def test_a_rule_that_lists_nothing_is_suspicious_where_the_ledger_holds_something() -> None:
    assert (
        empty_rules(RECORD, evidence(snapshot())) == [RULE]
        and empty_rules(RECORD, evidence(snapshot("secret/b"))) == []
    )


@pytest.mark.parametrize(
    ("field", "fields", "lacks"), [("k", ("k",), False), ("k", ("o",), True), (None, ("o",), False), ("k", None, False)]
)
def test_a_field_that_is_gone(field: str | None, fields: tuple[str, ...] | None, lacks: bool) -> None:
    assert evidence(snapshot("secret/a"), fields=fields).lacks_field("secret/a", field, "") is lacks
