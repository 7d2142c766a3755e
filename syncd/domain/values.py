"""Turn a source's document into the text that Wix gets. Pure; raises `BadValue`, which never shows a value."""

from __future__ import annotations

import base64

from syncd.domain import Rule, SecretValue, utf16_length
from syncd.domain.json_text import compact, loads
from syncd.domain.value_templates import filled
from syncd.errors import BadValue

VALUE_MAX = 3500
"""Characters of a Wix secret's value, counted in UTF-16 code units (official client: `@maxLength 3500`)."""


def _object(text: object) -> dict[str, object] | None:
    if not isinstance(text, str):
        return None
    try:
        parsed = loads(text.removeprefix("\ufeff"))  # some editors put a byte order mark first
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def fields_of(document: SecretValue[object]) -> tuple[str, ...] | None:
    """The field names of a document; None where it has no fields (text, bytes, JSON that is no object)."""
    raw = document.reveal()
    parsed = raw if isinstance(raw, dict) else _object(raw)
    return None if parsed is None else tuple(sorted(parsed))


def canonical(document: SecretValue[object]) -> bytes:
    """Return the document as bytes, the same ones for equal documents (for KV v1's version).

    Raises `BadValue` for too deep nesting.
    """
    raw = document.reveal()
    if isinstance(raw, bytes):
        return raw
    try:
        # In ASCII a lone surrogate is escaped: it has a version, too, and is refused by name later.
        return compact(raw, sort_keys=True, ascii_only=True).encode()
    except RecursionError:
        raise BadValue("the value is nested too deeply", hint="flatten it at the source") from None


def as_text(raw: object) -> str:
    """Return a string as it is, anything else as compact JSON. Raises `BadValue` for what JSON cannot say."""
    # Byte for byte: line ends and a final newline are a part of the secret.
    if isinstance(raw, str):
        return raw
    try:
        return compact(raw)
    except RecursionError:
        raise BadValue("the value is nested too deeply", hint="flatten it at the source") from None
    except (ValueError, TypeError):
        raise BadValue("the value is nothing that JSON can say", hint="write it as text at the source") from None


def _picked(document: SecretValue[object], field: str | None) -> object:
    raw = document.reveal()
    if field is None:
        return raw
    parsed = raw if isinstance(raw, dict) else _object(raw)
    if parsed is None:
        raise BadValue(
            "the value is not a JSON object, so it has no fields",
            hint="leave `field` out to sync the whole value",
        )
    if field not in parsed:
        # Names of fields may be shown, values never.
        raise BadValue(f"there is no field {field}", hint=f"it has: {', '.join(sorted(parsed)) or 'none'}")
    return parsed[field]


def _filled(document: SecretValue[object], rule: Rule) -> str:
    raw = document.reveal()
    fields = raw if isinstance(raw, dict) else _object(raw)
    if fields is None:
        raise BadValue("the value is not a JSON object, so the template finds no fields", hint="take `value` out")
    return filled(rule.value, fields, as_text)


def extract(document: SecretValue[object], rule: Rule, field: str | None) -> SecretValue[str]:
    """Return the text of one field (None: of the whole document), or of the rule's filled template.

    Raises `BadValue` for a field that is missing, and where Wix would not take the text: empty, too long, no Unicode,
    or binary without `binary:`.
    """
    raw = _filled(document, rule) if rule.value else _picked(document, field)
    if isinstance(raw, bytes):
        if not rule.binary:
            raise BadValue("the value is binary", hint="say how it becomes text: `binary: base64`")
        raw = base64.b64encode(raw).decode("ascii")
    text = as_text(raw)
    if not text:
        raise BadValue("the value is empty", hint="Wix takes 1 to 3,500 characters; exclude it or fill it")
    length = utf16_length(text)
    if length > VALUE_MAX:
        raise BadValue(
            f"the value has {length:,} characters, Wix takes {VALUE_MAX:,}",
            hint="split it at the source, or pick one `field` of it",
        )
    # JSON can escape it, the UTF-8 of a request cannot hold it.
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise BadValue("the value is not valid Unicode (a lone surrogate)", hint="write it anew at the source")
    return SecretValue(text)
