"""Judge a value by its length and by whether it is one that somebody meant to replace. Pure; never shows a value."""

from __future__ import annotations

import hashlib
import json
import re

from syncd.domain import SecretValue, utf16_length
from syncd.domain.governance import SHORT, ValueCheck

PLACEHOLDERS = frozenset(
    {
        "changeme", "changethis", "changeit", "todo", "tbd", "fixme", "placeholder", "replaceme", "replacethis",
        "secret", "password", "passwd", "passw0rd", "example", "dummy", "test", "testing", "none", "null", "undefined",
        "foo", "bar", "foobar", "xxx", "yoursecret", "yourpassword", "yourapikey", "yourtoken", "apikey",
        "insertkeyhere", "mysecret", "letmein", "hunter2", "qwerty", "abc123", "123456",
        "1234567890",
    }
)  # fmt: skip
"""Placeholders, by their letters and digits alone, in lower case."""
VENDORS_EXAMPLES = frozenset(
    {
        "02091175c1ae3023", "1a5d44a2dca19669", "2cafc0970149a84f", "3543c50b0cb9cea8",
        "78314b11be2e5815", "a4f06cc536ba5f76", "ac9265e56c79b234", "b1471f544ceeea31",
    }
)  # fmt: skip
"""SHA-256, in 16 hex digits, of keys that stand in the documentation of AWS, Stripe, GitHub, Slack and others."""
BRACKETED = re.compile(r"[<{\[$%(]{1,2}[^<>{}\[\]]{1,60}[>}\])%]{1,2}")
"""`<your key>`, `${KEY}`, `{{ key }}`, `[KEY]`."""


def judged(check: ValueCheck, name: str, value: SecretValue[str]) -> str:
    """What is wrong with the value, in words without any of it; empty if nothing is. Lengths in UTF-16 code units."""
    text = value.reveal()
    length = utf16_length(text)
    if check.comparable:
        return "too short to be compared" if length < SHORT else ""
    if check.min_length is not None and length < check.min_length:
        return f"its value is shorter than {check.min_length} characters"
    if check.max_length is not None and length > check.max_length:
        return f"its value is longer than {check.max_length} characters"
    if check.placeholder and _is_placeholder(text, name):
        return "its value is a placeholder"
    return ""


def _is_document(text: str) -> bool:
    """Is it a JSON object or list? Its braces are no brackets around a placeholder."""
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_placeholder(text: str, name: str) -> bool:
    plain = text.strip().lower()
    if plain.startswith(("{", "[")) and _is_document(plain):
        return False
    letters = re.sub(r"[^a-z0-9]", "", plain)
    own_name = re.sub(r"[^a-z0-9]", "", name.lower())
    return (
        letters in PLACEHOLDERS
        or letters.startswith(("changeme", "replaceme", "todo"))
        or plain.endswith(("example", "examplekey"))
        or hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()[:16] in VENDORS_EXAMPLES
        or (len(set(plain)) <= 1 and len(plain) != 1)  # a single character may be a number that is meant
        or (letters == own_name and bool(letters))
        or BRACKETED.fullmatch(plain) is not None
    )
