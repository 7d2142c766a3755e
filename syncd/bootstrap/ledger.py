"""The ledger that a configuration names, opened, with its request times and its fingerprints."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from syncd.config.settings import Settings, State
from syncd.domain.ports import Clock
from syncd.errors import LedgerError
from syncd.ledger.engine import is_read_only, prepare_file, read_only_engine, sqlite_engine
from syncd.ledger.fingerprints import KEY_BYTES, Fingerprints, key_beside, key_path
from syncd.ledger.postgres import postgres_engine
from syncd.ledger.store import Ledger
from syncd.telemetry.logs import logger


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedLedger:
    """An open ledger, with its request times and its fingerprints."""

    ledger: Ledger
    request_times: Engine
    """The database with the times of requests; in memory, for this command alone, if the ledger is read-only."""
    fingerprints: Fingerprints

    def close(self) -> None:
        """Close the connections."""
        self.request_times.dispose()
        self.ledger.close()


def open_ledger(settings: Settings, clock: Clock, *, writable: bool, renaming: bool) -> OpenedLedger:
    """Open the ledger, and check that its key and owner are the right ones. Raises `LedgerError`, `ConfigError`.

    `writable` False: where there is no ledger yet, none is made (a plan). `renaming`: its owner may differ from the
    configuration's.
    """
    # A daemon tries a refused configuration again every minute: what was opened for it is closed.
    with ExitStack() as opened:
        ledger, times, path = _opened(settings.state, clock, opened, writable=writable)
        fingerprints = _fingerprints(settings.state, ledger, path)
        keep = writable or not (path and is_read_only(path))
        ledger.check_key(fingerprints.key_id, keep=keep)
        if not renaming:
            ledger.check_owner(settings.owner, keep=keep)
        opened.pop_all()
        return OpenedLedger(ledger=ledger, request_times=times, fingerprints=fingerprints)


def _opened(state: State, clock: Clock, opened: ExitStack, *, writable: bool) -> tuple[Ledger, Engine, Path | None]:
    """Open the ledger. Returns: it, the database of its request times, and its file. `opened`: closes them all."""

    def closing(engine: Engine) -> Engine:
        opened.callback(engine.dispose)
        return engine

    if state.url is not None:
        url = state.url.read("state.url").reveal()
        return (
            Ledger(closing(postgres_engine(url)), "in PostgreSQL", None, clock),
            closing(postgres_engine(url)),
            None,
        )
    path = state.file
    if not writable and not path.exists():
        engine = closing(sqlite_engine(None))
        return Ledger(engine, "in memory", None, clock), engine, None
    # Reading commands work where nothing may be written, the folder included.
    if not writable and is_read_only(path):
        memory = closing(sqlite_engine(None))
        Ledger(memory, "in memory", None, clock)  # the request times of this command alone
        return Ledger(closing(read_only_engine(path)), str(path), path, clock), memory, path
    for file, rights in prepare_file(path):
        hint = "only its owner may read it now"
        logger().warning("state.narrowed", file=str(file), had=f"{rights:04o}", hint=hint)
    # Request times need not outlast a power cut: nothing but the rate limit goes by them.
    times = closing(sqlite_engine(path, durable=False))
    return Ledger(closing(sqlite_engine(path)), str(path), path, clock), times, path


def _fingerprints(state: State, ledger: Ledger, path: Path | None) -> Fingerprints:
    given = state.fingerprint_key
    if given is not None:
        key = given.read("state.fingerprint_key").reveal()
        if not re.fullmatch(rf"([0-9a-fA-F]{{2}}){{{KEY_BYTES},}}", key):
            raise LedgerError(
                f"state.fingerprint_key ({given}) is not 64 hex digits or more",
                hint="make one with: openssl rand -hex 32",
            )
        return Fingerprints(bytes.fromhex(key))
    # A ledger in memory ends with its command, and so may its key; one in PostgreSQL is given its key.
    if path is None:
        return Fingerprints(os.urandom(KEY_BYTES))
    known = ledger.meta("fingerprint_key_id") is not None
    if not known and key_path(path).exists():
        hint = "if it was not lost on purpose, put a backup back; else it is rebuilt from the sites"
        logger().warning("ledger.empty", ledger=ledger.place, hint=hint)
    return Fingerprints(key_beside(path, known=known))
