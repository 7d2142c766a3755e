"""One test a kind of rule: what it hits, what it leaves alone, and what is not known yet."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import SecretRef, SecretValue
from syncd.domain.governance import Exemption, FactKey, GovernanceRule, Selector, Subject, Then, ValueCheck
from syncd.domain.matching import Glob
from syncd.reconcile.rules.judging import SameValue, duplicates, hits_of, same_value_message, unmanaged
from syncd.reconcile.rules.value_checks import judged

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
REF = SecretRef(source="vault", path="secret/staging/db", field="pw")


def subject(**more: Any) -> Subject:
    given: dict[str, Any] = {
        "name": "PAY_DB",
        "site": "s1",
        "target": "shop",
        "job": "pay",
        "ref": REF,
        "version": "kv2:1@x",
    }
    return Subject(**(given | {"labels": {"env": "prod"}} | more))


def rule(**more: Any) -> GovernanceRule:
    given: dict[str, Any] = {"id": "r", "then": Then.DENY, "selects": Selector()}
    return GovernanceRule(**(given | more))


def messages(one: GovernanceRule, about: Subject, facts: Any = {}) -> list[str]:  # noqa: B006
    return [hit.message for hit in hits_of([one], about, facts, NOW)]


@pytest.mark.parametrize(
    ("selector", "hits"),
    [
        ({"path": "secret/staging/**"}, True),
        ({"path": "secret/prod/**"}, False),
        ({"name": "PAY_*"}, True),
        ({"job": "pay", "target": "sh*"}, True),
        ({"job": "pay", "target": "outlet"}, False),
        ({"source": "vault", "site": "s*"}, True),
    ],
)
def test_selectors_alone_forbid(selector: dict[str, str], hits: bool) -> None:
    chosen = Selector(**{key: (Glob(text),) for key, text in selector.items()})
    assert bool(messages(rule(selects=chosen), subject())) is hits
    assert messages(rule(selects=Selector(), leaves_out=chosen), subject()) is not hits


def test_labels_select() -> None:
    prod = Selector(label=(("env", (Glob("prod"), Glob("live"))),))
    assert messages(rule(selects=prod), subject()) and not messages(rule(selects=prod), subject(labels={"env": "test"}))
    assert not messages(rule(selects=prod), subject(labels={}))


@pytest.mark.parametrize(
    ("changed", "seen", "message"),
    [
        (timedelta(days=100), None, "its version is 100 days old, 90 are allowed"),
        (timedelta(days=10), None, ""),
        (timedelta(minutes=-20), None, ""),
        (timedelta(days=-400), None, ""),
        (None, timedelta(days=95), "its version is at least 95 days old, 90 are allowed"),
        (None, None, "the age of its version is not known until it is verified"),
    ],
)
def test_age(changed: timedelta | None, seen: timedelta | None, message: str) -> None:
    about = subject(changed_at=NOW - changed if changed else None, seen_at=NOW - seen if seen else None)
    found = hits_of([rule(max_age=timedelta(days=90), then=Then.WARN)], about, {}, NOW)
    assert [hit.message for hit in found] == ([message] if message else [])
    assert [hit.is_judged for hit in found] == ([changed is not None or seen is not None] if message else [])


def test_owner_and_form_of_a_name() -> None:
    assert messages(rule(require_owner=True), subject()) == ["the source names no owner of it"]
    assert not messages(rule(require_owner=True), subject(owner="shop-team"))
    assert messages(rule(require_name=Glob("SHOP_*")), subject()) and not messages(
        rule(require_name=Glob("PAY_*")), subject()
    )


def test_what_depends_on_a_value_is_not_judged_until_it_was_read() -> None:
    weak = rule(value=ValueCheck(min_length=16))
    (hit,) = hits_of([weak], subject(), {}, NOW)
    assert not hit.is_judged and not hit.counts
    key = FactKey("PAY_DB", REF, "kv2:1@x", ValueCheck(min_length=16).digest)
    assert messages(weak, subject(), {key: "too short"}) == ["too short"] and not messages(weak, subject(), {key: ""})
    assert not hits_of([weak], subject(version="kv2:2@y"), {key: ""}, NOW)[0].is_judged, (
        "another version, another value"
    )
    for other in ("secret/staging/db#other", "secret/staging#pw", "secret/staging/db"):
        path, _, field = other.partition("#")
        ref = SecretRef(source="vault", path=path, field=field or None)
        assert not hits_of([weak], subject(ref=ref), {key: ""}, NOW)[0].is_judged, "another field, another value"


@pytest.mark.parametrize(
    ("check", "value", "is_fine"),
    [
        (ValueCheck(min_length=16), "x" * 15 + "é", True),
        (ValueCheck(min_length=16), "tiny", False),
        (ValueCheck(max_length=10), "0123456789a", False),
        (ValueCheck(placeholder=True), "changeme", False),
        (ValueCheck(placeholder=True), " TODO: ask ann ", False),
        (ValueCheck(placeholder=True), "<your key here>", False),
        (ValueCheck(placeholder=True), "${DB_PASSWORD}", False),
        (ValueCheck(placeholder=True), "{{ db_password }}", False),
        (ValueCheck(placeholder=True), "[KEY]", False),
        (ValueCheck(placeholder=True), "{password}", False),
        (ValueCheck(placeholder=True), '{"user": "app", "password": "Xk29kd02jdks92"}', True),
        (ValueCheck(placeholder=True), '{"c":2}', True),
        (ValueCheck(placeholder=True), "[1]", True),
        (ValueCheck(placeholder=True), ' ["one", "two"] ', True),
        (ValueCheck(placeholder=True), "{}", True),
        (ValueCheck(placeholder=True), "aaaaaaaaaaaa", False),
        (ValueCheck(placeholder=True), "5", True),
        (ValueCheck(placeholder=True), "pay-db", False),  # the name itself
        (ValueCheck(placeholder=True), "akiaEXAMPLE", False),
        (ValueCheck(placeholder=True), "correct horse battery staple", True),
        (ValueCheck(placeholder=True), "9f8e7d6c5b4a", True),
    ],
)
def test_values(check: ValueCheck, value: str, is_fine: bool) -> None:
    said = judged(check, "PAY_DB", SecretValue(value))
    assert (said == "") is is_fine and value not in said


def test_an_exception_holds_to_its_last_day() -> None:
    until = date(2026, 11, 28)
    left = Exemption(selector=Selector(name=(Glob("PAY_DB"),)), until=until, reason="relaunch", label="name PAY_DB")
    (hit,) = hits_of([rule(exemptions=(left,))], subject(), {}, NOW)
    assert hit.exemption is left and not hit.counts
    (hit,) = hits_of([rule(exemptions=(left,))], subject(), {}, NOW + timedelta(days=1))
    assert hit.exemption is None and hit.counts
    assert hits_of([rule(exemptions=(left,))], subject(name="OTHER"), {}, NOW)[0].counts


def same(group: int, **more: Any) -> SameValue:
    return SameValue(group=group, subject=subject(**more))


def test_one_value_across_a_label_and_under_two_names() -> None:
    across = rule(duplicate="env", then=Then.WARN)
    digest = ValueCheck(comparable=True).digest
    other = SecretRef(source="vault", path="secret/other")
    facts = {FactKey(name, ref, "kv2:1@x", digest): "" for name in ("PAY_DB", "B") for ref in (REF, other)}
    facts |= {FactKey("S", ref, "kv2:1@x", digest): "too short" for ref in (REF, other)}
    prod, test = same(1), same(1, site="s2", target="test", labels={"env": "test"})
    found = list(duplicates(across, [prod, test], facts, NOW))
    assert [hit.message for hit in found] == ["holds the same value as 1 other secret"] * 2, "nobody is named"
    assert [same_value_message(hit.others, hit.others) for hit in found] == [
        "holds the same value as 1 other secret: PAY_DB on test",
        "holds the same value as 1 other secret: PAY_DB on shop",
    ]
    assert not list(duplicates(across, [prod, same(1, site="s2", target="outlet")], facts, NOW)), (
        "one label, one secret twice"
    )
    names = rule(duplicate="names", then=Then.WARN)
    assert len(list(duplicates(names, [prod, same(1, name="B", ref=other)], facts, NOW))) == 2
    assert not list(duplicates(names, [prod, test], facts, NOW)), "one reference on two sites is one secret"
    assert not list(duplicates(names, [same(2, name="S"), same(2, name="S", ref=other)], facts, NOW)), (
        "short ones are not compared"
    )


def test_what_nobody_manages() -> None:
    one = rule(unmanaged=True, then=Then.WARN, selects=Selector(target=(Glob("shop"),)))
    about = [subject(ref=None, name="LEGACY"), subject(ref=None, name="X", target="outlet")]
    assert [hit.subject.name for hit in unmanaged(one, about, NOW)] == ["LEGACY"]
