"""Nested data as a person reads it, in one line: `rules: weak: deny, prod: hold; owner: team`. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def readable(thing: object) -> str:
    """Return JSON data in words; null and empty values are left out."""
    if isinstance(thing, Mapping):
        parts = [(key, readable(value)) for key, value in thing.items()]
        inner = any(isinstance(value, Mapping) and value for value in thing.values())
        return ("; " if inner else ", ").join(f"{key}: {text}" for key, text in parts if text)
    if isinstance(thing, (list, tuple)):
        return ", ".join(filter(None, map(readable, thing)))
    if isinstance(thing, bool):
        return "yes" if thing else "no"
    return "" if thing is None else str(thing)
