"""The pure parts: names, values, marks, dates, limits, versions, masks."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain import Delete, Glob, Plan, Record, Rule, SecretRef, SecretValue, Version, WriteWindow, version_label
from syncd.domain.job import Limit, Limits
from syncd.domain.naming import legal, matched_part, wix_name
from syncd.domain.ownership import carries, mark_of, marked
from syncd.domain.values import extract, fields_of
from syncd.domain.write_window import Change, judge
from syncd.errors import BadName, BadValue, worst
from syncd.reconcile.guard import GuardTerms, LimitBasis, guard
from syncd.reconcile.record.problems import delay_after
from syncd.web.console import is_page

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
REF = SecretRef(source="v", path="kv/app/x", field="f")


def rule(path: str = "kv/**", **more: object) -> Rule:
    return Rule(**{"index": 0, "source": "v", "path": Glob(path), "field": "*", "name": "{path}_{field}", **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("glob", "takes", "leaves"),
    [
        ("a/*", ["a/b"], ["a", "a/", "a/b/c"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a"]),
        ("**/z", ["z", "a/z", "a/b/z"], ["z/a"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a/b"]),
        ("a*c/d", ["ac/d", "abc/d"], ["ab/c/d"]),
        ("**", ["a", "a/b"], [""]),
        ("a.b/*", ["a.b/c"], ["axb/c"]),
    ],
)
def test_globs(glob: str, takes: list[str], leaves: list[str]) -> None:
    assert [path for path in takes + leaves if Glob(glob).matches(path)] == takes


def test_walking_is_pruned_but_never_too_much() -> None:
    assert Glob("app/*/x").may_lead_to("app") and Glob("app/*/x").may_lead_to("app/y")
    assert not Glob("app/*/x").may_lead_to("app/y/z")
    assert Glob("**/x").may_lead_to("any/where") and not Glob("app/**").may_lead_to("other")


def test_the_matched_part() -> None:
    assert matched_part(rule("kv/app/**"), "kv/app/x/y") == "x/y"
    assert matched_part(rule("kv/a*/b"), "kv/app/b") == "app/b"
    assert matched_part(rule("kv/app/x"), "kv/app/x") == "x"


def test_names() -> None:
    assert wix_name(rule("kv/app/**"), REF) == "x_f"
    assert legal("a b/ü\U0001f511") == "a_b___"
    long = "x" * 60
    assert legal(long) == "x" * 41 + "-" + legal(long)[-8:] and len(legal(long)) == 50
    assert legal("a/" * 30) != legal("a_" * 30), "cut names differ by what they were before"
    assert len(legal(long, "dashboard")) == 40 and legal("a+b=c@#$", "dashboard") == "a_b_c___"
    for bad in ("wix_key", "WIXER", ""):
        with pytest.raises(BadName):
            legal(bad)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a\r\n", "a\r\n"),
        (5, "5"),
        (True, "true"),
        (None, "null"),
        ([1, "a"], '[1,"a"]'),
        ({"a": 1}, '{"a":1}'),
        ("ü", "ü"),
    ],
)
def test_values(raw: object, text: str) -> None:
    assert extract(SecretValue({"f": raw}), rule(), "f").reveal() == text


@pytest.mark.parametrize("raw", ["", "x" * 3501, "\U0001f511" * 1751, "\ud800"])
def test_bad_values_name_the_fix_and_hide_the_value(raw: str) -> None:
    with pytest.raises(BadValue) as caught:
        extract(SecretValue({"f": raw}), rule(), "f")
    assert caught.value.hint and "xxx" not in caught.value.message


def test_whole_documents() -> None:
    assert extract(SecretValue({"b": 1, "a": {"c": []}}), rule(), None).reveal() == '{"b":1,"a":{"c":[]}}'
    assert extract(SecretValue("text"), rule(), None).reveal() == "text"
    assert extract(SecretValue(b"\x00"), rule(binary=True), None).reveal() == "AA=="
    with pytest.raises(BadValue, match="binary"):
        extract(SecretValue(b"\x00"), rule(), None)
    assert fields_of(SecretValue('{"b":1,"a":2}')) == ("a", "b")
    assert fields_of(SecretValue("[1]")) is None and fields_of(SecretValue(b"x")) is None


def test_marks_fit_and_tell() -> None:
    mark = mark_of("owner", "NAME", REF)
    assert mark.startswith("[syncd:owner:") and len(mark) == len("[syncd:owner:12345678]")
    for text in ("", "short", "x" * 500, "\U0001f511" * 200):
        told = marked(text, mark)
        assert len(told.encode("utf-16-le")) // 2 <= 200 and carries(told, mark)
    others = [
        mark_of("other", "NAME", REF),
        mark_of("owner", "NAME2", REF),
        mark_of("owner", "NAME", replace(REF, field=None)),
        mark_of("owner", "NAME", replace(REF, field="")),
    ]
    assert len({mark, *others}) == 5


def record(**more: object) -> Record:
    return Record(**{"site": "s", "name": "N", "target": "t", "job": "j", "ref": REF, **more})  # type: ignore[arg-type]


def test_whose_date_it_is() -> None:
    second = timedelta(seconds=1)
    written = record(window=WriteWindow(start=AT, end=AT + second))
    assert judge(written, AT - 2 * second) is Change.OURS
    assert judge(written, AT + 3 * second) is Change.OURS
    assert judge(written, AT + 3.1 * second) is Change.THEIRS
    assert judge(written, AT - 2.1 * second) is Change.EARLIER
    assert judge(written, None) is Change.UNTOLD
    pinned = record(pinned_at=AT)
    assert judge(pinned, AT) is Change.OURS
    assert judge(pinned, AT + timedelta(milliseconds=1)) is Change.THEIRS
    assert judge(pinned, AT - timedelta(days=7)) is Change.EARLIER
    assert judge(record(), AT) is Change.UNTOLD


@pytest.mark.parametrize(
    ("count", "limit", "held", "deleted", "allowed", "kept"),
    [
        (1, "10%", 5, 0, 0, 1),  # never less than one
        (2, "10%", 19, 0, 0, 0),  # withheld whole
        (2, "10%", 20, 0, 0, 2),
        (2, "10%", 20, 1, 0, 0),  # the rolling day counts
        (5, "10%", 20, 0, 5, 5),
        (6, "10%", 20, 0, 5, 0),
        (3, "2", 100, 0, 0, 0),
        (1, "0", 100, 0, 0, 0),
    ],
)
def test_the_guard(count: int, limit: str, held: int, deleted: int, allowed: int, kept: int) -> None:
    actions = (Delete(record=record(name=f"N{n}", remote_id=f"id{n}"), reason="gone") for n in range(count))
    plan = Plan(actions=tuple(actions))
    given = Limit(percent=float(limit[:-1])) if limit.endswith("%") else Limit(number=int(limit))
    ids, gone = frozenset(f"id{n}" for n in range(held)), frozenset(f"gone{n}" for n in range(deleted))
    ground = LimitBasis(job_records=ids, site_records=ids, job_deleted=gone, site_deleted=gone)
    guarded = guard(plan, ground, Limits(max_deletes=given), GuardTerms(place=("job", "shop"), allowed_deletes=allowed))
    assert len(guarded.actions) == kept
    withheld = [] if kept == count else list(plan.actions)
    assert [one.exit_code for one in guarded.findings if not one.name] == ([6] if withheld else [])
    # Each that is withheld waits for a release by name, too, so that none of them passes for synced.
    assert [(one.action.name, one.cause) for one in guarded.held] == [(one.name, "max_deletes") for one in withheld]


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


def test_a_secret_value_shows_itself_nowhere() -> None:
    value = SecretValue("planted")
    shown = [repr(value), str(value), f"{value}", f"{value:>20}", repr([value]), json.dumps(value, default=str)]
    shown += [repr(pickle.loads(pickle.dumps(value))), pickle.dumps(value).decode("latin-1")]
    assert not any("planted" in text for text in shown)
    assert copy.deepcopy(value).reveal() == "planted"
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(value)).reveal()
    with pytest.raises(TypeError):
        json.dumps(value)


def test_exit_codes_and_delays() -> None:
    assert worst({0, 1, 6}) == 6 and worst({1, 4, 5}) == 4 and worst({3, 7}) == 7 and worst(set()) == 0
    tries, at = 0, timedelta(0)
    while at < timedelta(days=1):
        tries += 1
        at += delay_after(tries)
    assert tries <= 24


@pytest.mark.parametrize(
    ("to", "leads"),
    [
        ("/secrets?status=behind&job=payments", True),
        ("/secrets/00000000-0000-4000-8000-000000000001/PAY_KEY", True),
        ("/governance", True),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("https://evil.example/secrets", False),
        ("/secrets//evil.example/x", False),
        ("/logout", False),
        ("/secrets\r\nSet-Cookie: a=b", False),
        ("/api/v1/overview", False),
        ("javascript:alert(1)", False),
    ],
)
def test_where_a_login_leads_on_to(to: str, leads: bool) -> None:
    assert is_page(to) is leads
