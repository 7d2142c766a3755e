"""Keyed fingerprints of values: what tells "the same" without keeping the value or a guessable hash."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from syncd.errors import LedgerError

KEY_BYTES = 32


class Fingerprints:
    """HMAC-SHA256 under this installation's key."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Fingerprints(***)"

    def of(self, value: bytes) -> str:
        """64 hex digits; never shown or exported."""
        return hmac.new(self._key, value, hashlib.sha256).hexdigest()

    @property
    def key_id(self) -> str:
        """What the ledger keeps to tell a missing or different key; says nothing about the key."""
        return self.of(b"syncd key id")[:16]


def key_beside(ledger: Path, *, known: bool) -> bytes:
    """The key file beside the ledger, made once. `known`: the ledger was written under a key already.

    Raises `LedgerError` when the ledger knows a key and the file is gone or unusable.
    """
    path = ledger.with_name(ledger.name + ".key")
    mend = "put the key file back, or move the ledger away: it is rebuilt from the sites"
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except FileNotFoundError:
        if known:
            raise LedgerError(f"the fingerprint key {path} is missing", hint=mend) from None
        return _made(path)
    except (OSError, ValueError):
        raise LedgerError(f"the fingerprint key {path} cannot be read", hint=mend) from None
    if len(key) < KEY_BYTES:
        raise LedgerError(f"the fingerprint key {path} is incomplete", hint=mend)
    return key


def _made(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # fails if another process was quicker; its key counts then
        except FileExistsError:
            return bytes.fromhex(path.read_text("ascii").strip())
        finally:
            draft.unlink()
    except OSError as error:
        raise LedgerError(
            f"the fingerprint key {path} cannot be written ({type(error).__name__})",
            hint="make its folder writable for this user, with space left",
        ) from None
    return key
