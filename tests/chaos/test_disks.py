"""Full, failing and read-only disks, and state files that are not what they were: exit 7, the fix, nothing lost."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from syncd.ledger.migrations import CURRENT
from tests.chaos.arena import Arena
from tests.chaos.strace import failing, last_number, needs_strace
from tests.lab import Result
from tests.support.seals import seal_of

Tally = Callable[..., None]
SHARES = 4


def explained(result: Result) -> str:
    """It ended as the ledger's failure, in words, without a traceback."""
    said = result.out + result.err
    assert result.code == 7, said
    assert ("the ledger" in said and "fix" in said) or "key" in said, said
    assert "Traceback" not in said and "bug" not in said, said
    return said


def disk_fails(arena: Arena, tally: Tally, call: str, error: str, numbers: list[int], persistent: bool = False) -> None:
    for number in numbers:
        arena.reset()
        done = failing(arena.lab, call, error, f"{number}+" if persistent else str(number), program="syncd")
        if done.code:
            explained(done)
        tally(f"{error} from {call}{' on' if persistent else ''}", arena.judge(done), number)


@needs_strace
@pytest.mark.parametrize(
    ("call", "error", "persistent"),
    [("fdatasync", "EIO", False), ("pwrite64", "ENOSPC", True), ("pwrite64", "EIO", False)],
)
def test_a_disk_that_fails_now_and_then(arena: Arena, tally: Tally, call: str, error: str, persistent: bool) -> None:
    disk_fails(arena, tally, call, error, [6, 40] if call == "pwrite64" else [3, 9], persistent)


@needs_strace
@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", range(SHARES))
def test_a_disk_that_fails_at_every_sync(arena: Arena, tally: Tally, share: int) -> None:
    last = last_number(arena.lab, "fdatasync")
    disk_fails(arena, tally, "fdatasync", "EIO", list(range(1, last + 1))[share::SHARES])


@needs_strace
@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", range(SHARES))
def test_a_disk_that_is_full_from_some_write_on(arena: Arena, tally: Tally, share: int) -> None:
    last = last_number(arena.lab, "pwrite64")
    disk_fails(arena, tally, "pwrite64", "ENOSPC", list(range(1, last + 1, 4))[share::SHARES], persistent=True)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *options, str(folder)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def can_mount() -> bool:
    return (
        os.geteuid() == 0
        and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_mount(), reason="mounting needs root")
def test_a_small_disk(arena: Arena, tally: Tally) -> None:
    """The disk fills up in the middle of the cycle, and has room again later."""
    arena.reset()
    lab = arena.lab
    template = {path.name: path.read_bytes() for path in lab.state.parent.iterdir()}
    with mounted(lab.state.parent, "-t", "tmpfs", "-o", "size=4m", "tmpfs"):
        for name, data in template.items():
            (lab.state.parent / name).write_bytes(data)
            (lab.state.parent / name).chmod(0o600)
        filler = lab.state.parent / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as full:
            while True:
                full.write(b"\0" * 4096)
        done = lab.run("sync")
        assert "full" in explained(done), done.err
        filler.unlink()
        # The write-ahead log fits only just: a few pages are left.
        room = 300 * 1024
        filler.write_bytes(b"\0" * (os.statvfs(lab.state.parent).f_bavail * 4096 - room))
        middle = lab.run("sync")
        if middle.code:
            explained(middle)
        filler.unlink()
        tally("a small disk", arena.judge(done, middle))


@pytest.mark.skipif(not can_mount(), reason="mounting needs root")
def test_a_read_only_disk(arena: Arena, tally: Tally) -> None:
    arena.reset()
    folder = arena.lab.state.parent
    before = arena.lab.wix.count("POST", "PATCH", "DELETE")
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        said = [arena.lab.run(*words) for words in (["sync"], ["status"], ["plan"], ["state", "list"])]
        explained(said[0])
        assert all(one.code in {0, 1, 2, 7} for one in said), [one.err for one in said]
    assert arena.lab.wix.count("POST", "PATCH", "DELETE") == before, "something was sent unrecorded"
    tally("a read-only disk", arena.judge(*said))


def as_version(state: Path, version: int) -> None:
    """The same ledger as an older schema had it."""
    old = state.with_name("old.db")
    script = (Path(__file__).parent / "data" / f"ledger-v{version}.sql").read_text()
    with sqlite3.connect(old) as made:
        made.executescript(script)
        made.execute("DELETE FROM syncd_meta")
        made.execute("ATTACH ? AS new", (str(state),))
        tables = made.execute("SELECT name FROM main.sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'")
        # Triggers count the rows as they come, and the words are searched in a table that is made anew.
        names = {name for (name,) in tables.fetchall() if name != "syncd_counts" and "syncd_words" not in name}
        for table in names & {row[0] for row in made.execute("SELECT name FROM new.sqlite_master")}:
            both = [{row[1] for row in made.execute(f"PRAGMA {one}.table_info({table})")} for one in ("main", "new")]
            columns = ", ".join(f'"{name}"' for name in sorted(both[0] & both[1]))
            made.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
        made.execute("UPDATE syncd_meta SET value = ? WHERE key = 'schema_version'", (str(version),))
        made.row_factory = sqlite3.Row
        for table in names:
            kinds = {row["name"]: row["type"] for row in made.execute(f"PRAGMA main.table_info({table})")}
            if "seal" not in kinds:
                continue
            # A checksum over the columns of its time.
            for row in made.execute(f"SELECT rowid AS row_id, * FROM main.{table}").fetchall():
                told = {key: bool(row[key]) if kinds[key] == "BOOLEAN" else row[key] for key in kinds}
                made.execute(f"UPDATE main.{table} SET seal = ? WHERE rowid = ?", (seal_of(told), row["row_id"]))
    made.close()
    for name in (state.name + "-wal", state.name + "-shm"):
        state.with_name(name).unlink(missing_ok=True)
    old.replace(state)


@pytest.mark.parametrize("version", [*range(1, 10)])
def test_an_older_ledger_is_migrated_with_a_copy_beside_it(arena: Arena, tally: Tally, version: int) -> None:
    arena.reset()
    ids = arena.lab.ledger()
    as_version(arena.lab.state, version)
    assert arena.lab.ledger() == ids
    copy = arena.lab.state.with_name(f"state.db.v{version}.bak")
    assert copy.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(copy) as kept:
        assert kept.execute("SELECT value FROM syncd_meta WHERE key = 'schema_version'").fetchone() == (str(version),)
        assert kept.execute("SELECT count(*) FROM syncd_records").fetchone() == (len(ids),)
    kept.close()
    verified = arena.lab.run("audit", "verify")
    assert verified.code == 0, verified.err
    carried = [json.loads(line) for line in arena.lab.run("audit", "export").out.splitlines()]
    migrated = [line for line in carried if line["detail"].get("migrated") and line["outcome"] == "done"]
    # From 5 on the trail is the ledger's own: its lines are kept as they were.
    assert migrated if version < 5 else (carried and not migrated)
    tally("an older ledger", arena.judge())


def test_a_damaged_older_ledger_is_not_sealed_anew(arena: Arena) -> None:
    arena.reset()
    as_version(arena.lab.state, 2)
    with sqlite3.connect(arena.lab.state) as here:
        here.execute("UPDATE syncd_records SET adopted = 1 - adopted")
    here.close()
    assert arena.lab.run("sync").code == 7
    arena.reset()


def test_a_newer_ledger_is_not_touched(arena: Arena, tally: Tally) -> None:
    arena.reset()
    with sqlite3.connect(arena.lab.state) as newer:
        newer.execute("UPDATE syncd_meta SET value = '99' WHERE key = 'schema_version'")
    newer.close()
    before, requests = arena.lab.state.read_bytes(), len(arena.lab.wix.seen)
    assert "newer syncd" in explained(arena.lab.run("sync"))
    assert arena.lab.state.read_bytes() == before and len(arena.lab.wix.seen) == requests
    with sqlite3.connect(arena.lab.state) as newer:
        newer.execute("UPDATE syncd_meta SET value = ? WHERE key = 'schema_version'", (str(CURRENT),))
    newer.close()
    tally("a newer ledger", arena.judge())


def damage(arena: Arena, tally: Tally, row: str, data: bytes, what: object) -> int:
    """A ledger of these bytes is refused or harmless; moved away, it is rebuilt under the same ids."""
    arena.reset()
    for leftover in arena.lab.state.parent.glob("state.db-*"):
        leftover.unlink()
    arena.lab.state.write_bytes(data)
    done = arena.lab.run("sync")
    assert done.code in {0, 1, 4, 6, 7}, f"{what}: {done.code} {done.err}"
    if done.code == 7 or "ledger.empty" in done.err:
        if done.code == 7:
            explained(done)
            for leftover in arena.lab.state.parent.glob("state.db*"):
                if leftover.suffix != ".key":
                    leftover.unlink()
        # A rebuilt ledger has no record of what only it knew to be gone at the source: those stay at Wix.
        arena.lab.settle()
        rebuilt = arena.lab.site.values()
        assert {name: rebuilt[name] for name in arena.wanted} == arena.wanted
        known = {secret_id for secret_id in arena.lab.ledger().values() if secret_id}
        for one in [one for one in arena.lab.site.secrets.values() if one.id not in known]:
            arena.lab.site.delete(one.id)  # as a person would, who is told of them by `check --connect`
    tally(row, arena.judge(done), what)
    return done.code


def whole(arena: Arena) -> bytes:
    """The ledger as one file, nothing left in its write-ahead log."""
    arena.reset()
    with sqlite3.connect(arena.lab.state) as here:
        here.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    here.close()
    return arena.lab.state.read_bytes()


PAGE = 4096
"""Bytes of a page of SQLite's; what is cut off within the unused end of the last one is no damage."""


def test_a_truncated_ledger(arena: Arena, tally: Tally) -> None:
    data = whole(arena)
    codes = [
        damage(arena, tally, "a truncated ledger", data[:size], size)
        for size in range(1, len(data) - PAGE, len(data) // 7)
    ]
    assert codes[1:] == [7] * (len(codes) - 1), "what is left of a page is damage; less than that is an empty ledger"


def flipped(arena: Arena, tally: Tally, flips: int, seed: int) -> None:
    data, rng = whole(arena), random.Random(seed)
    used = [at for at in range(len(data)) if data[at]]  # where something is written
    for _ in range(flips):
        at, bit = rng.choice(used), rng.randrange(8)
        broken = bytearray(data)
        broken[at] ^= 1 << bit
        damage(arena, tally, "a flipped bit in the ledger", bytes(broken), f"byte {at} bit {bit}")


def test_some_flipped_bits(arena: Arena, tally: Tally) -> None:
    flipped(arena, tally, 12, seed=1)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 6))
def test_many_flipped_bits(arena: Arena, tally: Tally, seed: int) -> None:
    flipped(arena, tally, 60, seed)


def test_a_flipped_bit_in_a_row_is_seen(arena: Arena, tally: Tally) -> None:
    """SQLite has no checksums: without ours, these would be believed."""
    for column, value in (("adopted", "1"), ("absent_for", "99"), ("version", "'kv2:1@other'"), ("remote_id", "'x'")):
        arena.reset()
        with sqlite3.connect(arena.lab.state) as here:
            here.execute(f"UPDATE syncd_records SET {column} = {value} WHERE name = 's08'")
        here.close()
        writes = arena.lab.writes()
        assert "damaged" in explained(arena.lab.run("sync"))
        assert arena.lab.writes() == writes
    arena.reset()
    with sqlite3.connect(arena.lab.state) as here:
        here.execute("UPDATE syncd_paths SET fields = '[\"w\"]'")
    here.close()
    assert "damaged" in explained(arena.lab.run("sync"))
    arena.reset()
    tally("a flipped bit in a row", arena.judge())
