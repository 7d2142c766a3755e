"""Templates over the fields of one secret: pure, total, and never a guess for what is missing."""

from __future__ import annotations

import base64
import json
from urllib.parse import unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from syncd.domain.value_templates import Placeholder, TemplateError, filled, parsed
from syncd.domain.values import as_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(TEXT, TEXT)
def test_filters_give_back_what_went_in(user: str, password: str) -> None:
    fields = {"u": user, "p": password}
    parts = urlsplit(filled("https://{u|url}:{p|url}@host/", fields, as_text))
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (user, password)
    assert json.loads(filled('{{"p":{p|json}}}', fields, as_text)) == {"p": password}
    assert base64.b64decode(filled("{p|base64}", fields, as_text)).decode() == password


@given(st.text(max_size=40))
def test_reading_a_template_is_total(template: str) -> None:
    try:
        parts = parsed(template)
    except TemplateError as error:
        assert str(error)
    else:
        assert any(isinstance(part, Placeholder) for part in parts)
