"""How rows of the ledger become records, and records rows; each row with a checksum of what it says."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from sys import intern
from typing import Any

from syncd.domain import (
    KnownId,
    LastRun,
    LostWrite,
    OpenProblem,
    PathState,
    Pending,
    Record,
    SecretRef,
    Version,
    WriteWindow,
)
from syncd.domain.decisions import Rollback
from syncd.ledger.schema import EPOCH, MICROSECOND, records


def row_checksum(row: Mapping[str, Any]) -> int:
    """A checksum of what a row says: SQLite has none of its own, so a flipped bit would be believed."""
    cells = [(key, _plain(row[key])) for key in sorted(row) if key != "seal"]
    return zlib.crc32(repr(cells).encode("utf-8", "surrogatepass"))


def _plain(value: object) -> object:
    return (value - EPOCH) // MICROSECOND if isinstance(value, datetime) else value


def sealed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its seal."""
    return {**row, "seal": row_checksum(row)}


def _times_text(times: Sequence[datetime]) -> str:
    return json.dumps([(at - EPOCH) // MICROSECOND for at in times]) if times else "[]"


def _times(text: str) -> tuple[datetime, ...]:
    return () if text == "[]" else tuple(EPOCH + at * MICROSECOND for at in json.loads(text))


def _lost_text(writes: Sequence[LostWrite]) -> str:
    return json.dumps([[(write.at - EPOCH) // MICROSECOND, write.fingerprint] for write in writes]) if writes else "[]"


def _lost(text: str) -> tuple[LostWrite, ...]:
    if text == "[]":  # the usual case, of ten thousand rows
        return ()
    # A bare time was written before values were kept beside it.
    pairs = (item if isinstance(item, list) else [item, ""] for item in json.loads(text))
    return tuple(LostWrite(EPOCH + at * MICROSECOND, str(fingerprint)) for at, fingerprint in pairs)


def without_fingerprints(text: str) -> str:
    """The lost writes of a row as they may leave the ledger: their times alone."""
    return _lost_text([write._replace(fingerprint="") for write in _lost(text)])


def record_row(record: Record) -> dict[str, Any]:
    """A record as a row."""
    row = {name: getattr(record, name) for name in Record.__dataclass_fields__ if name not in {"ref", "window"}}
    row |= {
        "source": record.ref.source,
        "path": record.ref.path,
        "field": record.ref.field,
        "pending": record.pending.value if record.pending else None,
        "window_start": record.window.start if record.window else None,
        "window_end": record.window.end if record.window else None,
        "restores": _times_text(record.restores),
        "lost_writes": _lost_text(record.lost_writes),
        "absent_for": record.absent_for // MICROSECOND,
    }
    return sealed(row)


def as_rollback(row: Any) -> Rollback:
    """A rollback from its row."""
    fields = {key: row[key] for key in Rollback.__dataclass_fields__ if key != "version"}
    return Rollback(version=Version(token=row["version"], number=row["number"], lineage=row["lineage"]), **fields)


def rollback_row(item: Rollback) -> dict[str, Any]:
    """A rollback as a row."""
    row = {key: getattr(item, key) for key in Rollback.__dataclass_fields__ if key != "version"}
    version = item.version
    return {**row, "version": version.token, "number": version.number, "lineage": version.lineage}


PLAIN = [name for name in Record.__dataclass_fields__ if name in records.columns]
"""What a record and its row have alike."""
REPEATED = ("site", "target", "job", "pin", "status")
"""Columns with texts that thousands of rows share: each text is held in memory once."""


def as_record(row: Mapping[str, Any]) -> Record:
    """A row as a record."""
    values = {name: row[name] for name in PLAIN}
    start, end = row["window_start"], row["window_end"]
    values |= {name: intern(row[name]) for name in REPEATED}
    values |= {
        "ref": SecretRef(source=intern(row["source"]), path=row["path"], field=row["field"] and intern(row["field"])),
        "pending": Pending(row["pending"]) if row["pending"] else None,
        "window": WriteWindow(start=start, end=end) if start and end else None,
        "restores": _times(row["restores"]),
        "lost_writes": _lost(row["lost_writes"]),
        "absent_for": row["absent_for"] * MICROSECOND,
    }
    return Record(**values)


def id_row(remote_id: str, adopted: bool, frozen_until: datetime | None) -> dict[str, Any]:
    """Build the row of what is known of an id, which is kept even when no record holds the id."""
    return sealed({"remote_id": remote_id, "adopted": adopted, "frozen_until": frozen_until})


def as_known_id(row: Mapping[str, Any]) -> KnownId:
    """Build a `KnownId` from a row of `syncd_ids`."""
    return KnownId(remote_id=row["remote_id"], adopted=row["adopted"], frozen_until=row["frozen_until"])


def path_row(state: PathState) -> dict[str, Any]:
    """What is known of a path as a row."""
    row = {
        "source": state.source,
        "path": state.path,
        "pin": state.pin,
        "version": state.version.token,
        "number": state.version.number,
        "lineage": state.version.lineage,
        "fields": None if state.fields is None else json.dumps(state.fields),
        "updated_at": state.updated_at,
        "owner": state.owner,
        "seen_at": state.seen_at,
        "older_token": state.older_token,
        "older_count": state.older_count,
        "older_at": state.older_at,
    }
    return sealed(row)


def as_path(row: Mapping[str, Any]) -> PathState:
    """Build a `PathState`, what is known of a path, from its row."""
    return PathState(
        source=intern(row["source"]),
        path=row["path"],
        pin=intern(row["pin"]),
        version=Version(token=row["version"], number=row["number"], lineage=row["lineage"]),
        fields=None if row["fields"] is None else _fields(row["fields"]),
        updated_at=row["updated_at"],
        owner=intern(row["owner"]),
        seen_at=row["seen_at"],
        older_token=row["older_token"],
        older_count=row["older_count"],
        older_at=row["older_at"],
    )


@lru_cache(maxsize=256)
def _fields(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def as_problem(row: Mapping[str, Any]) -> OpenProblem:
    """A row as a problem."""
    return OpenProblem(**{name: row[name] for name in OpenProblem.__dataclass_fields__} | {"ref": as_ref(row["ref"])})


def problem_row_of(trouble: OpenProblem) -> dict[str, Any]:
    """A problem as a row. A path may hold `:` and `#`, so its reference is kept in its parts."""
    plain = {name: getattr(trouble, name) for name in OpenProblem.__dataclass_fields__}
    return plain | {"ref": ref_text(trouble.ref)}


def ref_text(ref: SecretRef | None) -> str:
    """A reference as its parts; empty for none."""
    return json.dumps([ref.source, ref.path, ref.field]) if ref else ""


def as_ref(text: str) -> SecretRef | None:
    """A reference from its parts; None for none."""
    if not text.startswith("["):  # written before schema 3: what it was is told anew by the next cycle
        return None
    source, path, field = json.loads(text)
    return SecretRef(source=source, path=path, field=field)


MOST_RECENT = 30
"""Most cycles that are remembered one by one, for a job on a site."""


def as_run(row: Mapping[str, Any]) -> LastRun:
    """A row as the last cycle of a job on a site. Raises ValueError or TypeError for a row that was damaged."""
    # What reads it later has no other place to say that it is damaged.
    if not isinstance(json.loads(row["counts"] or "{}"), dict):
        raise TypeError("counts")
    return LastRun(**{name: row[name] for name in LastRun.__dataclass_fields__})


def recent_text(before: str, run: LastRun) -> str:
    """Return the stored text of the last cycles (end, exit code, seconds of each) with one more added."""
    ended, seconds = (run.finished_at - EPOCH) // MICROSECOND, (run.finished_at - run.started_at).total_seconds()
    known = json.loads(before) if before else []
    if not isinstance(known, list):
        raise ValueError("recent")  # noqa: TRY004  # as any other text that is not as it was written
    # A clock that was set back within a cycle makes no time below zero.
    return json.dumps([*known, [ended, run.exit_code, round(max(0.0, seconds), 1)]][-MOST_RECENT:])


def as_recent(text: str) -> list[tuple[datetime, int, float]]:
    """Return the last cycles from their stored text: when each ended, its exit code, its seconds."""
    return [(EPOCH + ended * MICROSECOND, code, seconds) for ended, code, seconds in json.loads(text or "[]")]
