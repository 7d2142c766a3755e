"""Which secrets carry a field within a whole value: a template over fields, or the document as it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from syncd.domain import Record, Rule
from syncd.domain.value_templates import Placeholder, form_in, form_of, parsed


def carries(record: Record, field: str, rules: Iterable[Rule]) -> bool:
    """Does the value that a site holds under this record carry the field of its path?

    A whole value does. A template does if it names the field; one that no rule has any more may have named it.
    """
    if record.ref.field is not None:
        return False
    form = form_in(record.version or "")
    templates = [rule.value for rule in rules if rule.value and form_of(rule.value) == form]
    return not templates or any(part.field == field for text in templates for part in _fields(text))


def _fields(template: str) -> Iterable[Placeholder]:
    return (part for part in parsed(template) if isinstance(part, Placeholder))
