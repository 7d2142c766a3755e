"""Which secrets carry a field within a whole value: a template over fields, or the document as it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from syncd.domain import PathState, Record, Rule, version_label
from syncd.domain.value_templates import Placeholder, form_in, form_of, parsed

NOT_KNOWN = "a template made its value that no rule has any more; whether the field is in it is not known"


def carries(record: Record, field: str, rules: Iterable[Rule], path: PathState | None) -> bool | None:
    """Does the value that a site holds under this record carry the field of its path?

    A whole document does if it has the field, a template if it names the field. `path`: what was last seen of the path.
    Returns: None if a template made the value that no rule has any more.
    """
    if record.ref.field is not None:
        return False
    # What has no fields (plain text) is not read by them; of another version than the one seen nobody knows.
    is_seen = path is not None and version_label(path.version.token) == version_label(record.version)
    if path is not None and is_seen and field not in (path.fields or ()):
        return False
    form = form_in(record.version or "")
    templates = [rule.value for rule in rules if form_of(rule.value, binary=rule.binary) == form]
    if not templates and form:
        return None
    return any(not text or any(part.field == field for part in _fields(text)) for text in templates or [""])


def _fields(template: str) -> Iterable[Placeholder]:
    return (part for part in parsed(template) if isinstance(part, Placeholder))
