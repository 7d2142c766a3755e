"""Lines of an audit stream, as they are written and as a ledger holds them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from syncd.domain.audit import EPOCH, Actor, Cause, Entry
from syncd.domain.audit_chain import FIRST, ChainCheck, canonical, chained, columns_of, digest

AT = datetime(2026, 11, 28, 12, 0, 0, 7, tzinfo=UTC)
WHO = Cause(actor=Actor("person", "ann@desk", "syncd sync"), reason="ticket 7")


def written(*names: str | None, stream: str = "s") -> list[dict[str, Any]]:
    entries = [Entry(event="secret.create", name=name) for name in names]
    return [line for line, _ in chained(stream, (0, FIRST), entries, WHO, AT)]


def as_stored(line: dict[str, Any]) -> dict[str, Any]:
    told = columns_of(line)
    return {**told, "at": (told["at"] - EPOCH) // timedelta(microseconds=1)}


def sealed(line: dict[str, Any]) -> str:
    return digest(canonical({key: value for key, value in line.items() if key != "hash"}))


def first_break(lines: list[tuple[int, str, dict[str, Any]]], stream: str = "s") -> tuple[int, str] | None:
    check = ChainCheck(stream)
    found = (check.take(seq, text, columns) for seq, text, columns in lines)
    return next(((broken.seq, broken.what) for broken in found if broken), None)


def stored(lines: list[dict[str, Any]]) -> list[tuple[int, str, dict[str, Any]]]:
    return [(line["seq"], canonical(line), as_stored(line)) for line in lines]
