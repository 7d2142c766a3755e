"""A deadline for a whole exchange over httpx, whose read timeout counts between two bytes only."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx


class _Until(threading.local):
    """When the exchange of this thread has to be over, by the monotonic clock."""

    at = float("inf")


_UNTIL = _Until()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """What this thread exchanges inside ends in time, or in httpx's own timeout error."""
    _UNTIL.at = time.monotonic() + seconds
    try:
        yield
    finally:
        _UNTIL.at = float("inf")


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    left = _UNTIL.at - time.monotonic()
    if left <= 0:
        raise error("deadline")
    if left == float("inf"):
        return timeout
    return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left(timeout, httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> _Stream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options))


def bound(client: httpx.Client) -> None:
    """Let the client's connections keep to `deadline`.

    httpx has no public door to httpcore's network backend; tests/chaos sees that this one still opens.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = _Backend()  # noqa: SLF001
