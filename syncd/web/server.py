"""The HTTP server: uvicorn in a thread of its own, which slow and hostile clients cannot hold up."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from syncd.errors import ConfigError
from syncd.web.routes import build
from syncd.web.service import Service

REQUEST_SECONDS = 10.0
"""Seconds for one whole request to arrive, from the connection or from the answer before it on."""
ANSWER_SECONDS = 90.0
"""Seconds from the end of a request until the client has taken its answer.

That may take long: a freeze waits for its site, a plan asks sources and sites.
"""
CONNECTIONS = 200
"""Most connections at the same time; for one more, the oldest is dropped."""
BACKLOG = 256


class RequestDeadlineProtocol(H11Protocol):
    """Drop a connection if its request is not complete in time, or if nobody takes its answer."""

    _deadline: asyncio.TimerHandle | None = None
    _born = 0.0

    def connection_made(self, transport: Any) -> None:
        """Give a new client its deadline; if there are too many connections, drop the oldest of the others."""
        super().connection_made(transport)
        self._born = self.loop.time()
        # Whoever holds connections open without a request makes room for those who have one.
        if len(self.connections) > CONNECTIONS:
            others = (
                connection
                for connection in self.connections
                if isinstance(connection, RequestDeadlineProtocol) and connection is not self
            )
            min(others, key=lambda connection: connection._born).transport.abort()  # noqa: SLF001  # of its own kind
        self._within(REQUEST_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Take more of a request; once all of it is here, the deadline for its answer begins."""
        is_asking = self.conn.their_state is h11.SEND_BODY or self.conn.their_state is h11.IDLE
        super().data_received(data)
        # All of it is here: from now on it is ours to answer.
        if is_asking and self.conn.their_state in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED}:
            self._within(ANSWER_SECONDS)

    def _within(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline: the client is gone."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Give the next request its deadline; until it begins, uvicorn's timeout of idle connections counts as well."""
        self._within(REQUEST_SECONDS)
        super().on_response_complete()

    def _late(self) -> None:
        # Not closed: that would wait until a client that reads nothing has read.
        self.transport.abort()


class HttpServer:
    """The daemon's HTTP side. Raises `ConfigError` when the address cannot be bound."""

    def __init__(self, service: Service, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        config = uvicorn.Config(
            build(service),
            host=host.strip("[]") or "0.0.0.0",  # noqa: S104  # `:8080` means every address
            port=int(port),
            http=RequestDeadlineProtocol,
            # Its default gives its loggers back the handlers that our logging took from them.
            log_config=None,
            access_log=False,
            server_header=False,
            # Who the peer is decides whose word a proxy's header is: uvicorn would believe X-Forwarded-For from here.
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=5,
            h11_max_incomplete_event_size=16 * 1024,
            lifespan="off",
            ws="none",
        )
        try:
            # Bound before the thread starts, so that a port in use ends the start. uvicorn itself would exit.
            sock = config.bind_socket()
        except (SystemExit, OSError):
            hint = "is the port in use, and the host an address of this machine (or 0.0.0.0 for all)?"
            raise ConfigError(f"server.listen: {listen} cannot be bound", hint=hint) from None
        self.address = "{}:{}".format(*sock.getsockname()[:2])
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [sock]}, name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.should_exit = True
        # A client that is served right now holds up no stop: the thread ends with the process.
        self._thread.join(2)
