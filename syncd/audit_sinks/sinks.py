"""The sinks: each takes a batch of lines, and has them for sure when it returns."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from syncd.domain.untrusted import mapping, origin_of, parsed
from syncd.errors import ConfigError, SyncdError
from syncd.transport.fault_words import in_words
from syncd.transport.httpx_client import post

SECONDS = 10.0
"""Longest time for one batch over HTTP, in seconds."""

BEGINS = b'{"actor":{'
"""How each line begins: its keys are in order (`domain.audit.canonical`)."""
LONGEST = 256 * 1024
"""Bytes of a line; names and texts in it are bounded."""


class SinkError(SyncdError):
    """A sink did not take a batch."""


class Sink(Protocol):
    """Takes lines in their order, at least once."""

    def send(self, lines: Sequence[str]) -> None:
        """Deliver the lines; return once the sink has stored them. Raises `SinkError` where it has not."""


class StdoutSink:
    """One JSON line each on stdout, as a container's logs are collected."""

    def send(self, lines: Sequence[str]) -> None:
        """See `Sink`."""
        try:
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
        except (OSError, ValueError) as error:
            raise SinkError(f"audit lines cannot be written to stdout ({in_words(error)})") from None


class FileSink:
    """A file that lines are appended to; for its user alone where syncd makes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, lines: Sequence[str]) -> None:
        """See `Sink`. Half a line that a full disk left is ended first, so that each further line stays whole."""
        try:
            with os.fdopen(os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b") as file:
                size = file.seek(0, os.SEEK_END)
                # Appended to a ledger, a key, a credential or an export, lines would destroy it.
                if size and not _holds_lines(os.pread(file.fileno(), LONGEST, 0)):
                    raise SinkError(
                        f"{self._path} holds something else than audit lines, so none are written to it",
                        hint="name a file at audit.file that is for nothing else, or move that one away",
                    )
                if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                    file.write(b"\n")
                file.write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
                file.flush()
                # The cursor moves once this returns, so the lines have to outlast a power failure.
                os.fsync(file.fileno())
        except OSError as error:
            raise SinkError(
                f"audit lines cannot be written to {self._path} ({error.strerror})",
                hint="see that its folder is there and has room",
            ) from None


def _holds_lines(begin: bytes) -> bool:
    """Is it a file of audit lines, by its first whole line? Half a line, left by a full disk, may stand before that."""
    first, *rest = begin.split(b"\n")
    if _is_line(first):
        return True
    # Half a line begins as each does and is no JSON; where another whole line follows, that one tells.
    half = (
        bool(first) and first[: len(BEGINS)] == BEGINS[: len(first)] and len(first) < LONGEST and parsed(first) is None
    )
    return half and (len(rest) < 2 or _is_line(rest[0]))


def _is_line(text: bytes) -> bool:
    return mapping(parsed(text)).keys() >= {"stream", "seq", "hash"}


class HttpSink:
    """Batches of JSON lines, posted."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, lines: Sequence[str]) -> None:
        """See `Sink`. Any status from 200 to 299 means that the sink has the lines."""
        body = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        where = origin_of(self._url)
        try:
            status = post(self._url, body, "application/x-ndjson", seconds=SECONDS)
        except ConfigError as error:
            raise SinkError(f"the audit sink {where}: {error.message}", hint=error.hint) from None
        except ConnectionError as error:
            raise SinkError(
                f"the audit sink {where} cannot be reached ({error})", hint="see audit.url and the proxy"
            ) from None
        if not 200 <= status < 300:
            raise SinkError(f"the audit sink {where} answered HTTP {status}", hint="see audit.url, and its own logs")
