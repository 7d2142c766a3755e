"""The mark in a description: it fits, and tells one secret from another."""

from __future__ import annotations

from dataclasses import replace

from syncd.domain import SecretRef
from syncd.domain.ownership import carries, mark_of, marked

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
