"""JSON goes as it was written."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from syncd.domain import SecretValue
from syncd.domain.json_text import compact, loads
from syncd.domain.values import canonical

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_the_rest_is_as_the_library_writes_it(thing: object) -> None:
    text = json.dumps(thing, separators=(",", ":"), ensure_ascii=False)
    assert compact(loads(text)) == text
    told = canonical(SecretValue(loads(text)))
    assert told == json.dumps(thing, separators=(",", ":"), sort_keys=True).encode()
