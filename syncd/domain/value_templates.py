"""One value of several fields of a secret: `postgres://{user}:{password|url}@{host}/{db}`. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from syncd.errors import BadValue

FILTERS: Mapping[str, Callable[[str], str]] = {
    # No character is safe: a slash or an @ in a password would end that part of the address.
    "url": lambda text: quote(text, safe=""),
    "json": lambda text: json.dumps(text, ensure_ascii=False),
    "base64": lambda text: base64.b64encode(text.encode()).decode("ascii"),
}
"""`|url` for a part of an address, `|json` for a JSON string with its quotes, `|base64` for its UTF-8 bytes."""
# Doubled braces come first, or each of them would stand alone.
TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class TemplateError(ValueError):
    """The template cannot be read; the message says why, in words that may be shown."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A field and what is done with its text, in order."""

    field: str
    filters: tuple[str, ...] = ()


@lru_cache(maxsize=512)
def parsed(template: str) -> tuple[str | Placeholder, ...]:
    """The literal texts and placeholders of a template. Raises `TemplateError`."""
    parts: list[str | Placeholder] = []
    for match in TOKEN.finditer(template):
        token, inside = match[0], match[1]
        if token in {"{{", "}}"}:
            parts.append(token[0])
        elif inside is not None:
            parts.append(_placeholder(inside))
        elif token in {"{", "}"}:
            raise TemplateError("a brace stands alone; write {{ or }} for a brace itself")
        else:
            parts.append(token)
    if not any(isinstance(part, Placeholder) for part in parts):
        raise TemplateError("it names no field, such as {password}")
    return tuple(parts)


def _placeholder(inside: str) -> Placeholder:
    field, *filters = inside.split("|")
    if not field:
        raise TemplateError("a placeholder names no field")
    unknown = [name for name in filters if name not in FILTERS]
    if unknown:
        # Only what looks like a filter is repeated: anything else may be a part of a value.
        named = f"the filter |{unknown[0]}" if re.fullmatch(r"[a-z0-9_]{1,16}", unknown[0]) else "a filter"
        raise TemplateError(f"{named} is not known; there are {', '.join(f'|{name}' for name in FILTERS)}")
    return Placeholder(field, tuple(filters))


def filled(template: str, fields: Mapping[str, object], as_text: Callable[[object], str]) -> str:
    """Return the template filled with these fields. `as_text`: turns the value of a field into text.

    Raises `BadValue`, which names the field, for one that is missing, null, or not valid Unicode where a filter needs
    that; `TemplateError` for a template that cannot be read.
    """
    texts = []
    for part in parsed(template):
        if isinstance(part, str):
            texts.append(part)
            continue
        # A missing field is no empty text: half an address would be sent and pass for the value.
        if fields.get(part.field) is None:
            state = "is null" if part.field in fields else "is not there"
            raise BadValue(
                f"the template needs the field {part.field}, which {state}",
                hint=f"it has: {', '.join(sorted(fields)) or 'none'}",
            )
        text = as_text(fields[part.field])
        try:
            for name in part.filters:
                text = FILTERS[name](text)
        # The library's error carries the text, so nothing of it goes into ours.
        except UnicodeEncodeError:
            message = f"the field {part.field} is not valid Unicode (a lone surrogate)"
            raise BadValue(message, hint="write it anew at the source") from None
        texts.append(text)
    return "".join(texts)


def form_in(version: str) -> str:
    """Return the part of a token that tells the template or encoding of the value: 8 hex digits, or empty."""
    return version.partition("~")[2]


def form_of(template: str, *, binary: bool = False) -> str:
    """Return what `form_in` finds in the versions that a rule with this template or encoding makes."""
    form = template or ("binary" if binary else "")
    return hashlib.sha256(form.encode()).hexdigest()[:8] if form else ""


PLAIN_FORMS = frozenset({"", form_of("", binary=True)})
"""The forms without a template: the value as it is, and binary as text.

Where two rules give one secret such forms under one name, the first rule counts.
"""


def versioned(token: str, template: str, *, binary: bool = False) -> str:
    """Return the token for what a rule makes of a source's version: another template or encoding is another version."""
    form = form_of(template, binary=binary)
    return f"{token}~{form}" if form else token
