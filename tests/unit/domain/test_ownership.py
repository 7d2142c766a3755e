"""The mark in a description: it fits, and tells one secret from another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.domain import SecretRef
from syncd.domain.ownership import MARK, carries, mark_in, mark_of, marked, other_owner, owner_in

REF = SecretRef(source="v", path="kv/app/x", field="f")


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


OURS, THEIRS = "[syncd:owner:12345678]", "[syncd:other:deadbeef]"


@pytest.mark.parametrize(
    "text",
    [THEIRS, f"field {THEIRS} of kv/a", f"{THEIRS} {THEIRS}", f"was {THEIRS.upper()}", "x" * 160 + THEIRS, THEIRS * 12],
)
def test_a_text_that_holds_a_mark_makes_nothing_anothers(text: str) -> None:
    """A path or a field may be called so, and a person may copy a description from Wix into a rule."""
    mark = mark_of("owner", "NAME", REF)
    told = marked(text, mark)
    assert carries(told, mark) and MARK.findall(told) == ["owner"] and other_owner(told, "owner") == ""


@pytest.mark.parametrize(
    ("description", "other"),
    [
        (f"text {THEIRS}", "other"), (f"text {THEIRS} and more", "other"), (f"{OURS} {THEIRS}", "other"),
        (f"{THEIRS} {OURS}", "other"), (f"{THEIRS} was {OURS} ", "other"), (f"text {OURS}", ""), (f"text {OURS} and more", ""),
        (f"{THEIRS} {OURS} and more", "other"), ("text", ""), ("", ""),
    ],
)  # fmt: skip
def test_whose_a_description_is(description: str, other: str) -> None:
    assert other_owner(description, "owner") == other


@pytest.mark.parametrize(
    ("description", "at_the_end"),
    [(f"text {THEIRS}", "other"), (f"{THEIRS} {OURS}\n", "owner"), (f"{THEIRS} [see wiki]", ""), ("[x]", ""), ("", "")],
)
def test_only_a_mark_that_ends_the_text_is_the_one_at_its_end(description: str, at_the_end: str) -> None:
    assert owner_in(description) == at_the_end
    assert mark_in(description) == {"other": THEIRS, "owner": OURS, "": ""}[at_the_end]
