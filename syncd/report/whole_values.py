"""Which secrets carry a field within a whole value: a template over fields, or the document as it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from syncd.domain import PathState, Record, Rule
from syncd.domain.value_templates import PLAIN_FORMS, Placeholder, form_in, form_of, parsed

NOT_KNOWN = (
    "whether the field is in it is not known: it was made of another version than the one seen, or by another rule"
)


def carries(record: Record, field: str, rules: Iterable[Rule], path: PathState | None) -> bool | None:
    """Does the value that a site holds under this record carry the field of its path?

    A template does if it names the field, a whole document if it has the field. `path`: what was last seen of the path.
    Returns: None where nobody knows: of a document of another version, and of a template that no rule has any more.
    """
    if record.ref.field is not None:
        return False
    form = form_in(record.version or "")
    templates = [rule.value for rule in rules if rule.value and form_of(rule.value) == form]
    if templates:
        return any(part.field == field for text in templates for part in _fields(text))
    is_plain = form in PLAIN_FORMS
    if not is_plain or path is None or _source_token(path.version.token) != _source_token(record.version or ""):
        return None
    # What has no fields (plain text) is not read by them.
    return field in (path.fields or ())


def _source_token(token: str) -> str:
    return token.partition("~")[0]


def _fields(template: str) -> Iterable[Placeholder]:
    return (part for part in parsed(template) if isinstance(part, Placeholder))
