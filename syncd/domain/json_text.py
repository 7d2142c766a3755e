"""JSON in and out without altering it: a number goes as it was written. Pure."""

from __future__ import annotations

import json
from typing import Any, Self


class Number(float):
    """A number with a fraction or an exponent, and how it was written: `1.10` is not `1.1` to who compares texts."""

    __slots__ = ("written",)
    written: str

    def __new__(cls, written: str) -> Self:
        made = super().__new__(cls, written)
        made.written = written
        return made


def _whole(written: str) -> int | Number:
    """Python knows no whole `-0`."""
    return Number(written) if written == "-0" else int(written)


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def loads(text: str | bytes) -> Any:
    """What the JSON says; `NaN` and `Infinity` are none. Raises ValueError and RecursionError."""
    return json.loads(text, parse_float=Number, parse_int=_whole, parse_constant=_no_json)


def compact(thing: object, *, ascii_only: bool = False, sort_keys: bool = False) -> str:
    """The shortest JSON text of it. Raises ValueError for what JSON cannot say, and RecursionError."""
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
