"""Answers of peers that are not trusted: they may not fill the memory, nor pass for what they are not. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from syncd.domain.json_text import loads

# PostgreSQL takes no NUL, and UTF-8 has no half of a surrogate pair.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# An address with a user or a password before its host does not match, so none of it is shown.
ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(?=[/?#]|$)")
MOST_PARTS = 1_000_000
"""Most objects, lists and commas in one answer: some 200,000 listed secrets. Parsed, that stays under 80 MB."""


PATH_MAX = 2000
"""Most bytes of a source path: more than any company writes, less than a database's index takes."""
FIELD_MAX = 500
"""Most bytes of a field's name."""
TOO_LONG = f"a path of more than {PATH_MAX:,} bytes is not read"
TOO_LONG_HINT = "move the secret to a shorter path"


def parsed(body: bytes) -> Any:
    """What the body says; None where it is no JSON, nested too deeply, or of too many parts."""
    # Counted before it is parsed: the parsed objects are what fills the memory.
    if body.count(b"{") + body.count(b"[") + body.count(b",") > MOST_PARTS:
        return None
    try:
        return loads(body)
    except (ValueError, RecursionError):
        return None


def origin_of(address: str) -> str:
    """Scheme, host and port of a peer's address, as they may be shown; empty for anything else."""
    match = ORIGIN.match(address)
    return match[0] if match else ""


def instant(moment: object) -> datetime | None:
    """Return a peer's time, which must have a zone, in UTC (cut to microseconds); None for anything else."""
    try:
        at = datetime.fromisoformat(text(moment))
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def mapping(thing: object) -> dict[str, Any]:
    """The JSON object; an empty one for anything else."""
    return thing if isinstance(thing, dict) else {}


def text(thing: object) -> str:
    """The text; empty for anything else."""
    return thing if isinstance(thing, str) else ""


def word(thing: object) -> str:
    """The text, if every database can keep it; else empty."""
    return thing if isinstance(thing, str) and is_storable(thing) else ""


def is_storable(text: str) -> bool:
    """Can every database keep this text? Not with a NUL, nor with half of a surrogate pair."""
    return not UNSTORABLE.search(text)


def storable(text: str) -> str:
    """Return the text with U+FFFD in the place of each character that a database cannot keep."""
    return text if is_storable(text) else "".join(char if is_storable(char) else "\ufffd" for char in text)
