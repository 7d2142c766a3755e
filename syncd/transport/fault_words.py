"""What an exception of a library or of the system means, in words of ours: its own text may hold anything."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import ssl
from collections.abc import Iterator

from syncd.transport.private_files import SpecialFile

FILES = {
    errno.ENOENT: "there is no such file",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of its path is a file",
    errno.EEXIST: "something else stands there",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.ELOOP: "its links lead in a circle",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EMFILE: "this process has too many files open",
}
NETWORK = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection closed",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the network",
}
DEPTH = 8
"""How many exceptions are looked at, from the one that was met down to its first cause."""


def in_words(error: BaseException) -> str:
    """Say what happened, as a clause: `connection refused`, `it is a folder`, `no answer in time`.

    Libraries wrap what the system says: of the exceptions that led to this one, the first that is known is told. If
    none is known, the name of the exception's class is told, as words.
    """
    for link in _chain(error):
        if told := _told(link):
            return told
    name = type(error).__name__.strip("_")
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(DEPTH):
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


def _told(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, ssl.SSLError):
        return "TLS fails" if error.errno != errno.ENOENT else FILES[errno.ENOENT]
    if isinstance(error, socket.gaierror):
        return "its host name cannot be resolved"
    if "Timeout" in name:
        return "no connection in time" if "Connect" in name or "Pool" in name else "no answer in time"
    if isinstance(error, OSError) and error.errno:
        return NETWORK.get(error.errno) or FILES.get(error.errno) or os.strerror(error.errno).lower()
    if isinstance(error, SpecialFile):
        return "it is no regular file"
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8 text"
    if isinstance(error, json.JSONDecodeError):
        return "it is no JSON"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return ""


def why_not_trusted(error: BaseException) -> str:
    """Return why OpenSSL refused a certificate, in brackets, to be added; empty where that is not told."""
    found = next((one for one in _within(error) if isinstance(one, ssl.SSLCertVerificationError)), None)
    return f" ({found.verify_message})" if found is not None and found.verify_message else ""


def proxy_status(error: BaseException) -> str:
    """Return the status with which a proxy refused to lead on, in brackets, to be added; empty without one."""
    # http.client tells it in a sentence, with the proxy's own words behind it.
    found = (re.search(r"Tunnel connection failed: ([0-9]{3})\b", str(one)) for one in _within(error))
    return next((f" (HTTP {match[1]})" for match in found if match), "")


def _within(error: BaseException) -> Iterator[BaseException]:
    """The error, and all that its library wrapped into it."""
    met, left = set[int](), [error]
    while left:
        one = left.pop()
        if id(one) in met:
            continue
        met.add(id(one))
        yield one
        wrapped = (*one.args, *getattr(one, "kwargs", {}).values(), getattr(one, "reason", None))
        left += [part for part in (*wrapped, one.__cause__, one.__context__) if isinstance(part, BaseException)]
