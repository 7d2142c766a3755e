"""The names and values that a site should hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.domain import (
    FindingKind,
    Glob,
    PathState,
    ReadFailure,
    ReadResult,
    Rule,
    SecretRef,
    SecretValue,
    Snapshot,
    SourceEntry,
    Version,
)  # fmt: skip
from syncd.reconcile.desired.desired_state import DesiredState, Naming, build_desired_state
from syncd.reconcile.observe.evidence import ListingEvidence

NAMING = Naming(job="job", owner="team", profile="api", fingerprint=lambda value: f"f:{len(value)}")
RULE = Rule(index=0, source="vault", path=Glob("secret/*"), field="*", name="{basename}_{field}")


def built(
    document: dict[str, object] | None,
    *rules: Rule,
    fields: tuple[str, ...] | None = None,
    read: bool = True,
    other_fields: tuple[str, ...] | None = None,
    **more: object,
) -> DesiredState:
    rules = rules or (RULE,)
    ref, version = SecretRef(source="vault", path="secret/a"), Version(token="1", number=1)
    entry = SourceEntry(ref=ref, version=version)
    listed = document is not None
    entries = (entry,) if listed else ()
    if other_fields is not None:
        entries += (replace(entry, ref=replace(ref, path="secret/b")),)
    snapshots = {rule.index: Snapshot(entries=entries, complete=True, mount="secret/", mount_id="m") for rule in rules}
    names = fields if fields is not None else tuple(document or ())
    key, other = ("secret/a", ""), ("secret/b", "")
    paths = {key: PathState(source="vault", path="secret/a", pin="", version=version, fields=names)}
    if other_fields is not None:
        paths[other] = replace(paths[key], path="secret/b", fields=other_fields)
    shown = more.pop("snapshots", snapshots)
    return build_desired_state(
        ListingEvidence(
            source="vault", rules=rules, snapshots=shown, listed=frozenset({key} if listed else ()),
            paths=paths,
            documents={key: ReadResult(entry=entry, document=SecretValue(document), version=version)} if read else {},
            **more,  # type: ignore[arg-type]
        ),
        NAMING,
    )  # fmt: skip


def test_each_field_has_its_name_version_mark_and_value() -> None:
    state = built({"user": "u", "password": "pp"})
    found = {one.name: one for one in state.all}
    assert set(found) == {"a_user", "a_password"} and not state.findings and not state.faults
    one = found["a_password"]
    assert one.value is not None and one.value.reveal() == "pp" and one.fingerprint == "f:2" and one.version == "1"
    assert one.description.startswith("Kept by syncd [syncd:team:") and one.job == "job"


def test_what_was_not_read_has_no_value() -> None:
    assert [one.value for one in built({"user": "u"}, read=False).all] == [None]


@pytest.mark.parametrize(
    ("document", "rule", "kind", "said"),
    [
        (None, RULE, FindingKind.UNKNOWN, "selects nothing"),
        (None, replace(RULE, path=Glob("secret/a")), FindingKind.MISSING, "no such path"),
        ({}, RULE, FindingKind.UNKNOWN, "has no fields"),
        ({"x": "1"}, replace(RULE, path=Glob("secret/a"), field="k"), FindingKind.MISSING, "there is no field k"),
        ({"x": "1"}, replace(RULE, field="k"), FindingKind.UNKNOWN, "nothing that secret/* selects has a field k"),
        ({"k": "1"}, replace(RULE, name="wix_{field}"), FindingKind.FAILED, "wix"),
    ],
)
def test_a_finding(document: dict[str, object] | None, rule: Rule, kind: FindingKind, said: str) -> None:
    (finding,) = built(document, rule).findings
    assert finding.kind is kind and said in (finding.message + finding.hint).lower()


def test_a_field_that_one_of_many_paths_lacks_is_no_finding() -> None:
    state = built({"x": "1"}, replace(RULE, field="k"), other_fields=("k",))
    assert [one.name for one in state.all] == ["b_k"] and not state.findings and not state.unmade


@pytest.mark.parametrize(
    ("rule", "other_fields"),
    [
        # for one path it has to be there, and so it has for what carries the rule's tags
        (replace(RULE, path=Glob("secret/a"), field="k"), None),
        (replace(RULE, field="k", tags=(("team", "x"),)), ("k",)),
        # what nobody has is a slip
        (replace(RULE, field="k"), None),
        (replace(RULE, field="k"), ("y",)),
    ],
)
def test_a_name_is_missing_of_what_lacks_the_field(rule: Rule, other_fields: tuple[str, ...] | None) -> None:
    state = built({"x": "1"}, rule, other_fields=other_fields)
    assert SecretRef(source="vault", path="secret/a") in state.unmade


def test_what_was_not_read_lacks_nothing() -> None:
    """Whether a glob's field is a slip tells only what was read whole."""
    two = replace(RULE, field="k")
    snapshot = Snapshot(
        entries=tuple(SourceEntry(ref=SecretRef(source="vault", path=f"secret/{one}"), version=None) for one in "ab"),
        complete=True, mount="secret/", mount_id="m",
    )  # fmt: skip
    assert not built({"x": "1"}, two, snapshots={0: snapshot}).unmade


@pytest.mark.parametrize("value", ["", "x" * 5000])
def test_a_value_that_cannot_go_is_a_fault_by_name(value: str) -> None:
    state = built({"k": value, "good": "1"})
    assert set(state.faulty()) == {"a_k"} and len(state.all) == 2


def test_a_secret_that_has_nothing_to_send_fails_alone() -> None:
    failure = ReadFailure(location="secret/gone", message="deleted", of_secret=True)
    state = built({"k": "1"}, unsendable=(failure,))
    assert [one.name for one in state.all] == ["a_k"] and state.findings[0].name == "vault:secret/gone"


def test_two_rules_for_one_name_merge_if_they_make_the_same_of_it() -> None:
    twice = built({"k": "1"}, RULE, replace(RULE, index=1, path=Glob("secret/a")))
    assert len(twice.all) == 1 and not twice.faults
    other = replace(RULE, index=1, field=None, name="a_k", value="x{k}")
    different = built({"k": "1"}, replace(RULE, field=None, name="a_k", value="{k}"), other)
    assert len(different.all) == 1 and len(different.faults) == 1


def test_odd_fields_are_left_out_by_name() -> None:
    state = built({"good": "1", "odd\x00": "2"})
    assert [one.name for one in state.all] == ["a_good"] and "odd" in state.findings[0].name


def test_hidden_values_tell_nothing_by_a_comparison_or_a_fault() -> None:
    """Neither of a value that was read nor of one that is too long, by whoever chose the template."""
    state = built({"k": "guess", "long": "x" * 5000, "plain": "p"})
    before = {desired.name: desired for desired in state.all}
    assert any(state.faults), "one of them has a fault that its value is to blame for"
    assert any(desired.fingerprint for desired in before.values())
    state.hide_values()
    after = {desired.name: desired for desired in state.all}
    assert after.keys() == before.keys()
    assert {desired.fingerprint for desired in after.values()} == {"not compared"}
    assert {str(desired.value.reveal()) for desired in after.values() if desired.value} <= {""}
    assert not state.value_faults and not state.faults


def test_what_has_no_value_yet_is_hidden_from_nobody() -> None:
    state = built({"k": "v"}, read=False)
    before = state.all
    state.hide_values()
    assert state.all == before
