"""JSON in and out without altering it: a number goes as it was written. Pure."""

from __future__ import annotations

import json
from typing import Any, Self


class Number(float):
    """A number with a fraction or exponent (or `-0`) that keeps how it was written: as a text, `1.10` is not `1.1`."""

    __slots__ = ("written",)
    written: str

    def __new__(cls, written: str) -> Self:
        made = super().__new__(cls, written)
        made.written = written
        return made


def _whole(written: str) -> int | Number:
    """Return an int; for `-0`, which no Python int can hold, a `Number`."""
    return Number(written) if written == "-0" else int(written)


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def loads(text: str | bytes) -> Any:
    """Return what a JSON text says.

    Raises ValueError for what is no JSON, which `NaN` and `Infinity` are not, and RecursionError for too deep nesting.
    """
    return json.loads(text, parse_float=Number, parse_int=_whole, parse_constant=_no_json)


def compact(thing: object, *, ascii_only: bool = False, sort_keys: bool = False) -> str:
    """Return the shortest JSON text of `thing`.

    Raises ValueError for NaN and infinity, TypeError for a type that JSON does not have, and RecursionError for too
    deep nesting.
    """
    # The encoder of `json` writes each float in its own way, so numbers are written here, and what holds them too.
    if isinstance(thing, Number):
        return thing.written
    if isinstance(thing, dict):
        keys = sorted(thing) if sort_keys else thing
        part = [
            f"{json.dumps(str(key), ensure_ascii=ascii_only)}:"
            f"{compact(thing[key], ascii_only=ascii_only, sort_keys=sort_keys)}"
            for key in keys
        ]
        return "{" + ",".join(part) + "}"
    if isinstance(thing, list | tuple):
        return "[" + ",".join(compact(item, ascii_only=ascii_only, sort_keys=sort_keys) for item in thing) + "]"
    return json.dumps(thing, ensure_ascii=ascii_only, allow_nan=False)
