"""Servers that answer what no honest one would, and a look at what syncd spends on it."""

from __future__ import annotations

import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.lab import AWS_ENVIRON, Lab

MEGABYTE = 1 << 20


@dataclass
class Answer:
    body: bytes | Iterable[bytes] | object = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def chunks(self) -> Iterator[bytes]:
        if isinstance(self.body, bytes):
            yield self.body
        elif isinstance(self.body, dict | list | str | int | None):
            yield json.dumps(self.body).encode()
        else:
            yield from self.body  # type: ignore[misc]


@dataclass
class Peer:
    url: str
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def peer(answer: Callable[[str, str, bytes], Answer], tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """A server that answers every request with what `answer(method, path, body)` gives."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            one.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            told = answer(self.command, self.path, body)
            self.send_response_only(told.status)
            for name, value in {"Content-Type": "application/json", **told.headers}.items():
                self.send_header(name, value)
            if isinstance(told.body, bytes | dict | list | str | int | None):
                self.send_header("Content-Length", str(len(b"".join(told.chunks()))))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            with suppress(OSError):
                for chunk in told.chunks():
                    self.wfile.write(chunk)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_LIST = do_SCAN = handle_any

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    one = Peer(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield one
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Spent:
    code: int
    said: str
    megabytes: float


def spent(lab: Lab, *words: str) -> Spent:
    """One run of syncd, and the most memory that it held."""
    held = lab.folder / "held"
    argv = [sys.executable, "-m", "tests.chaos.measured", str(held), "--debug"]
    done = subprocess.run(
        [*argv, "--config", str(lab.config_file), *words],
        capture_output=True, text=True, env={**os.environ, **AWS_ENVIRON}, timeout=120, check=False,
    )  # fmt: skip
    return Spent(done.returncode, done.stdout + done.stderr, int(held.read_text()) / 1024)


def vault(listing: Callable[[str, str], Answer | None]) -> Callable[[str, str, bytes], Answer]:
    """A Vault whose login and mounts are in order; the rest is `listing(method, path)`, None being a 404."""

    def answer(method: str, path: str, _body: bytes) -> Answer:
        path = path.partition("?")[0]
        if path.endswith("/auth/token/lookup-self"):
            return Answer({"data": {"ttl": 0, "renewable": False}})
        told = listing(method, path)
        if told is not None:
            return told
        if path.startswith("/v1/sys/internal/ui/mounts/"):
            return Answer({"data": {"type": "kv", "path": "kv/", "options": {"version": "2"}, "uuid": "u-1"}})
        return Answer({"errors": []}, 404)

    return answer


def metadata(**more: Any) -> dict[str, Any]:
    """Of one secret at version 1."""
    at = "2026-01-01T00:00:00.000000000Z"
    version = {"created_time": at, "deletion_time": "", "destroyed": False}
    return {"created_time": at, "updated_time": at, "current_version": 1, "versions": {"1": version}, **more}
