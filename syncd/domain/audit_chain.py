"""The audit trail's chain: how lines are sealed, and whether they still are. Pure.

A line is canonical JSON (RFC 8785): keys in order, no spaces, texts as they are. Its hash is the hex SHA-256 of the
line without `hash`, so that each one seals all that came before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from syncd import __version__
from syncd.domain.audit import EPOCH, Cause, Entry, stamp

FIRST = "0" * 64
"""The value of `prev` in the first line of a stream."""
KEYS = (
    "stream", "seq", "at", "event", "outcome", "intent", "actor", "reason", "run", "job", "target", "site", "name",
    "ref", "from", "to", "remote_id", "request_id", "rule", "plan", "config", "commit", "version", "detail",
    "prev", "hash",
)  # fmt: skip
WHOLE = frozenset(KEYS)
_IN_ORDER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(line: Mapping[str, Any]) -> str:
    """A line as it is hashed and stored (RFC 8785; keys are ASCII, numbers whole)."""
    return _ENCODER.encode(line)


def digest(text: str) -> str:
    """The hex SHA-256 of a line without its hash: the seal of it and of all before it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_sealed(line: Mapping[str, Any], text: str = "") -> bool:
    """Is the hash of a line the one of its content?

    `text`: the line as it was stored, if that is at hand. Whoever keeps a copy may have written its JSON anew: other
    spaces, and keys in another order, are no alteration.
    """
    unsealed = {key: value for key, value in line.items() if key != "hash"}
    forms = (text.replace(f'"hash":"{line["hash"]}",', "", 1), _IN_ORDER.encode(unsealed), canonical(unsealed))
    return any(digest(form) == line["hash"] for form in forms)


def chained(
    stream: str, head: tuple[int, str], entries: Iterable[Entry], cause: Cause, at: datetime
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each entry as the next line of a stream, with the text to store.

    `head`: seq and hash of the stream's last line; `cause`: who acts, and why; `at`: the time of all these lines.
    """
    seq, prev = head
    moment = stamp(at)
    for entry in entries:
        seq += 1
        actor, reason = cause.of(entry)
        # In the order of its keys, as the canonical form has them: ten thousand lines need no sorting.
        line: dict[str, Any] = {
            "actor": actor.row(),
            "at": moment,
            "commit": cause.commit,
            "config": cause.config,
            "detail": dict(sorted(entry.detail.items())),
            "event": entry.event,
            "from": entry.from_version,
            "intent": entry.intent,
            "job": entry.job,
            "name": entry.name,
            "outcome": entry.outcome,
            "plan": cause.plan,
            "prev": prev,
            "reason": entry.reason or reason,
            "ref": entry.ref,
            "remote_id": entry.remote_id,
            "request_id": entry.request_id,
            "rule": entry.rule,
            "run": cause.run,
            "seq": seq,
            "site": entry.site,
            "stream": stream,
            "target": entry.target,
            "to": entry.to_version,
            "version": __version__,
        }
        unsealed = _IN_ORDER.encode(line)
        prev = line["hash"] = digest(unsealed)
        # The key that follows `hash`: no later member is an object, and a text's quotes are escaped.
        before, key, after = unsealed.rpartition(',"intent":')
        yield line, f'{before},"hash":"{prev}"{key}{after}'


def columns_of(line: Mapping[str, Any], at: datetime | None = None) -> dict[str, Any]:
    """The columns that stand beside a line in its table, by which lines are searched.

    `at`: the line's time, where the caller has it already; it is parsed from the line otherwise.
    """
    return {
        "stream": line["stream"],
        "seq": line["seq"],
        "at": at or datetime.fromisoformat(line["at"]),
        "event": line["event"],
        "outcome": line["outcome"],
        "site": line["site"],
        "name": line["name"],
        "job": line["job"],
        "actor": line["actor"]["id"],
        "hash": line["hash"],
    }


def _fits(line: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Do the columns say what the line says? `at` is stored in microseconds."""
    said = columns_of(line)
    said["at"] = (said["at"] - EPOCH) // timedelta(microseconds=1)
    # Columns are what is searched, the text is what is sealed: one that differs would hide its line.
    return all(stored.get(key) == value for key, value in said.items())


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain is not as it was written."""

    stream: str
    seq: int
    what: str


class ChainCheck:
    """Checks one stream line by line: each must be whole, and follow the one before it."""

    def __init__(self, stream: str, start: tuple[int, str] = (0, FIRST)) -> None:
        """`start`: seq and hash of the last line that was pruned."""
        self.stream = stream
        self.seq, self.prev = start

    def take(self, seq: int, text: str, columns: Mapping[str, Any]) -> Break | None:
        """Check the next stored line against its hash, its predecessor and the columns of its row.

        Returns: what is wrong; None where nothing is.
        """
        expected = self.seq + 1
        if seq != expected:
            what = "was removed" if seq > expected else "was put in or moved"
            # A removed line is told by its own number, not by that of the one after it.
            return Break(self.stream, min(seq, expected), what)
        try:
            line = json.loads(text)
            is_whole = isinstance(text, str) and line.keys() == WHOLE and _fits(line, columns)
        # Whatever somebody wrote into the text is an altered line, and no bug of the check.
        except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
            line, is_whole = {}, False
        if not is_whole:
            return Break(self.stream, seq, "was altered")
        # A line that was altered and sealed anew is whole by itself; the next one still names its old hash.
        if line["prev"] != self.prev:
            return Break(self.stream, seq, "does not follow the line before it: one was altered, put in or moved")
        # A line is stored in its canonical form, so what was hashed is the text without the one member.
        unsealed = text.replace(f'"hash":"{line["hash"]}",', "", 1)
        if digest(unsealed) != line["hash"]:
            return Break(self.stream, seq, "was altered")
        self.seq, self.prev = seq, line["hash"]
        return None
