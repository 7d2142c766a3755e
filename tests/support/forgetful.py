"""What lies between a client and a server, and forgets connections that are idle: a NAT gateway, a load balancer."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Forgetful:
    """Passes bytes on. A connection that was idle is reset at its client's next byte, or swallows all that comes."""

    upstream: tuple[str, int]
    silent: bool
    idle: float
    forgotten: int = 0
    """Connections that were used though they were forgotten."""
    used_at: float = field(default_factory=time.monotonic)
    port: int = 0

    def is_idle(self) -> bool:
        return time.monotonic() - self.used_at > self.idle

    def serve(self, client: socket.socket) -> None:
        used = time.monotonic()
        with suppress(OSError), client, socket.create_connection(self.upstream) as server:
            while True:
                for end in select.select([client, server], [], [])[0]:
                    if end is client and time.monotonic() - used > self.idle:
                        if not client.recv(65536):
                            return
                        self.forgotten += 1
                        if not self.silent:
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                            return
                        while client.recv(65536):
                            pass
                        return
                    data = end.recv(65536)
                    if not data:
                        return
                    used = self.used_at = time.monotonic()
                    (server if end is client else client).sendall(data)


@contextmanager
def forgetting(url: str, *, silent: bool, idle: float) -> Iterator[tuple[str, Forgetful]]:
    """The same server by another address. `idle`: seconds until a connection is forgotten."""
    parts = urlsplit(url)
    between = Forgetful((parts.hostname or "", parts.port or 80), silent, idle)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        between.port = listener.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=between.serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{between.port}{parts.path}", between
        listener.shutdown(socket.SHUT_RDWR)
