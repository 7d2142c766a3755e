"""An httpx transport over httpcore's public API: a deadline for a whole exchange, a company's CA and proxy.

httpx's own read timeout counts between two bytes only, and its own transport gives no access to httpcore's network
backend. This one has a pool whose backend looks at the deadline (httpcore's documentation, "Network Backends").
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import httpcore
import httpx

from syncd.transport import idle


class _Until(threading.local):
    """When the exchange of this thread has to be over, by the monotonic clock."""

    at = float("inf")


_UNTIL = _Until()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit all HTTP of this thread to `seconds` in total while the block runs; after them httpx raises a timeout.

    Not for nesting: the end of an inner block lifts the limit.
    """
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
        # TLS makes another stream, which would know no deadline.
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


class CertificateNotTrusted(httpx.ConnectError):
    """The peer's certificate was not accepted; the message is OpenSSL's own sentence, which holds nothing of ours."""


class ProxyNotReached(httpx.ProxyError):
    """The proxy itself cannot be reached; the message is its address, without user and password."""

    def __init__(self, proxy: str, *, stalled: bool) -> None:
        super().__init__(proxy)
        self.stalled = stalled


class _Answer(httpx.SyncByteStream):
    """An answer's bytes as they come, with httpx's errors."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


class DeadlineTransport(httpx.BaseTransport):
    """Send requests over a pool of httpcore that keeps to `deadline`."""

    def __init__(self, *, trusted: ssl.SSLContext, connections: int, proxy: str | None = None) -> None:
        """`trusted`: a TLS context with the trusted certificates. `connections`: how many at most.

        `proxy`: its URL, with user and password where it asks for them. Raises ValueError if it is no proxy's URL.
        """
        options: dict[str, Any] = {
            "ssl_context": trusted,
            "max_connections": connections,
            "max_keepalive_connections": connections,
            "keepalive_expiry": idle.IDLE_SECONDS,
            "network_backend": _Backend(),
        }
        self._proxy = ""
        if proxy is None:
            self._pool: httpcore.ConnectionPool = httpcore.ConnectionPool(**options)
            return
        parts = urlsplit(proxy)
        # In an address they are percent-encoded; httpcore sends what it is given.
        login = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else None
        address = f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        self._proxy = address
        # httpcore refuses a context for a proxy that is spoken to without TLS.
        own_tls = trusted if parts.scheme == "https" else None
        self._pool = httpcore.HTTPProxy(address, proxy_auth=login, proxy_ssl_context=own_tls, **options)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises httpx's errors."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        asked = httpcore.Request(
            method=request.method,
            url=target,
            headers=request.headers.raw,
            content=cast("Any", request.stream),
            extensions=request.extensions,
        )
        try:
            with _translated():
                answer = self._pool.handle_request(asked)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if not self._proxy or isinstance(error, CertificateNotTrusted):
                raise
            # What lies behind a proxy is connected by the proxy.
            raise ProxyNotReached(self._proxy, stalled=isinstance(error, httpx.ConnectTimeout)) from None
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Answer(answer.stream), extensions=answer.extensions
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


@contextmanager
def _translated() -> Iterator[None]:
    """Turn httpcore's errors into httpx's of the same names; a refused certificate is `CertificateNotTrusted`."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise CertificateNotTrusted(cause.verify_message) from None
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from None
    except (httpcore.ProxyError, httpcore.UnsupportedProtocol) as error:
        kind = httpx.ProxyError if isinstance(error, httpcore.ProxyError) else httpx.UnsupportedProtocol
        raise kind(str(error)) from None


class AnswerTooLarge(httpx.DecodingError):
    """More than any answer of that peer has."""


class AnswerCompressed(httpx.DecodingError):
    """A small body could unpack into any size."""


def bounded_body(response: httpx.Response, most: int) -> bytes:
    """The body of a streamed answer, as it came. Raises `AnswerTooLarge` beyond `most` bytes, `AnswerCompressed`."""
    chunks, size = [], 0
    if response.headers.get("content-encoding", "identity") != "identity":
        raise AnswerCompressed("compressed, though not asked for")
    # Counted as it comes: what Content-Length says is the peer's word.
    for chunk in response.iter_raw():
        size += len(chunk)
        if size > most:
            raise AnswerTooLarge("too large")
        chunks.append(chunk)
    return b"".join(chunks)
