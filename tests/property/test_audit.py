"""Whatever a line of the audit trail holds, its text is the canonical one, and a whole chain verifies."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from syncd.domain.audit import Entry
from syncd.domain.audit_chain import FIRST, canonical, chained
from tests.support.audit_lines import AT, WHO, first_break, sealed, stored, written


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_the_stored_text_is_the_canonical_form(name: str, detail: dict[str, str]) -> None:
    entry = Entry(event="secret.create", name=name, detail={**detail, "intent": ',"intent":'})
    ((line, text),) = chained("s", (0, FIRST), [entry], WHO, AT)
    assert text == canonical(line) and json.loads(text) == line
    assert line["hash"] == sealed(line)


@given(st.lists(st.text(), max_size=6))
def test_what_is_whole_is_whole(names: list[str]) -> None:
    lines = written(*names)
    assert [line["seq"] for line in lines] == list(range(1, len(names) + 1))
    assert first_break(stored(lines)) is None
