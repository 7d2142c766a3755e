"""Keyed fingerprints of values: what tells "the same" without keeping the value or a guessable hash."""

from __future__ import annotations

import errno
import hashlib
import hmac
import secrets
from pathlib import Path

from syncd.errors import LedgerError
from syncd.transport.fault_words import in_words
from syncd.transport.private_files import SpecialFile, is_special, read_bounded, write_private

KEY_BYTES = 32


class Fingerprints:
    """HMAC-SHA256 under this installation's key."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Fingerprints(***)"

    def of(self, value: bytes) -> str:
        """HMAC-SHA256 of a value under the ledger's key, as 64 hex digits. Never shown or exported."""
        return hmac.new(self._key, value, hashlib.sha256).hexdigest()

    @property
    def key_id(self) -> str:
        """Short id of the key. The ledger keeps it, to notice a missing or another key; it does not reveal the key."""
        return self.of(b"syncd key id")[:16]


def key_path(ledger: Path) -> Path:
    """Where a ledger's own key is."""
    return ledger.with_name(ledger.name + ".key")


def key_beside(ledger: Path, *, known: bool) -> bytes:
    """Return the key from the file beside the ledger; make the file where there is none.

    `known`: has the ledger been written under a key already? Raises `LedgerError` where that key's file is gone or
    incomplete, and where a key file cannot be read or written.
    """
    path = key_path(ledger)
    hint = "put the key file back, or move the ledger away: it is rebuilt from the sites"
    try:
        key = _read(path)
    except FileNotFoundError:
        if known:
            raise LedgerError(f"the fingerprint key {path} is missing", hint=hint) from None
        return _made(path)
    except (OSError, ValueError) as error:
        # Only its class: the error of a text that is no key shows bytes of it.
        kind = in_words(error)
        is_denied = isinstance(error, PermissionError)
        fix = "let this user read it (it belongs to the user that runs syncd, mode 0600)" if is_denied else hint
        raise LedgerError(f"the fingerprint key {path} cannot be read ({kind})", hint=fix) from None
    if len(key) >= KEY_BYTES:
        return key
    if known:
        raise LedgerError(f"the fingerprint key {path} is incomplete", hint=hint)
    return _made(path, anew=True)  # nothing was written under it: a process was killed while it made the key


def _read(path: Path) -> bytes:
    """Read the key. Raises `OSError`; `ValueError` for anything but a key."""
    if is_special(path):
        raise SpecialFile
    return bytes.fromhex(read_bounded(path, 4096).decode("ascii").strip())


def _made(path: Path, *, anew: bool = False) -> bytes:
    text = (secrets.token_bytes(KEY_BYTES).hex() + "\n").encode()
    try:
        try:
            write_private(path, text, only_new=not anew)
        except FileExistsError:
            pass  # another process was quicker
        except OSError as error:
            if anew or error.errno not in {errno.EPERM, errno.ENOTSUP}:
                raise
            write_private(path, text)  # a file system without links
        return _read(path)
    except (OSError, ValueError) as error:
        raise LedgerError(
            f"the fingerprint key {path} cannot be written ({in_words(error)})",
            hint="make its folder writable for this user, with space left, and nothing else in its place",
        ) from None
