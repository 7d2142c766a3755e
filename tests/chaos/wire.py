"""A TCP proxy that behaves as bad networks do: late, one-way dead, cut, half-open, dripping, narrow."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Wire:
    """What the network does; every attribute may change while it runs."""

    host: str
    port: int
    latency: float = 0.0
    """Seconds before each piece, in each direction."""
    stalled: frozenset[str] = frozenset()
    """Directions (`up` to the server, `down` from it) in which nothing passes any more."""
    reset_after: int | None = None
    """Bytes of an answer after which both sides get an RST."""
    half_open_after: int | None = None
    """Bytes of an answer after which the server is gone and the client is not told."""
    drip: float = 0.0
    """Seconds before each single byte of an answer."""
    rate: int = 0
    """Bytes a second of an answer at most."""
    connections: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)

    def heal(self) -> None:
        self.latency = self.drip = 0.0
        self.stalled, self.reset_after, self.half_open_after, self.rate = frozenset(), None, None, 0
        # What hung there is cut, as when the network comes back.
        for one in list(self._open):
            _close(one, reset=True)
        self._open.clear()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            server = socket.create_connection((self.host, self.port), timeout=5)
            server.settimeout(None)
            self._open += [client, server]
            threading.Thread(target=self._pump, args=(client, server, "up"), daemon=True).start()
            self._pump(server, client, "down")

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65536):
                self._wait(self.latency)
                while way in self.stalled and not self._stop.wait(0.01):
                    if sink.fileno() < 0:
                        return
                if way == "up":
                    sink.sendall(data)
                    continue
                for piece in self._pieces(data):
                    limit = min(n for n in (self.reset_after, self.half_open_after, 1 << 60) if n is not None)
                    if passed + len(piece) > limit:
                        sink.sendall(piece[: max(0, limit - passed)])
                        _close(source, reset=True)
                        if self.half_open_after is None:
                            _close(sink, reset=True)
                        return
                    sink.sendall(piece)
                    passed += len(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if self.drip:
            for byte in data:
                self._wait(self.drip)
                yield bytes([byte])
        elif self.rate:
            for at in range(0, len(data), 256):
                self._wait(256 / self.rate)
                yield data[at : at + 256]
        else:
            yield data

    def _wait(self, seconds: float) -> None:
        if seconds:
            self._stop.wait(seconds)


def _close(one: socket.socket, *, reset: bool) -> None:
    with suppress(OSError):
        if reset:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # close() alone would not wake a thread that reads it.
        if not reset:
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextmanager
def wire(port: int, host: str = "127.0.0.1") -> Iterator[tuple[Wire, int]]:
    """A wire to a server on this machine, and the port to use instead."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Wire(host, port)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    one.connections += 1
                    threading.Thread(target=one._serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield one, int(listener.getsockname()[1])
        finally:
            one._stop.set()
            one.heal()
            listener.shutdown(socket.SHUT_RDWR)
