"""The emulated Wix Secrets Vault over HTTP: its five calls, both authentications, and faults on request."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from syncd.sandbox.wix import CALLS, KINDS, Fault, Seen, Wix
from syncd.sandbox.wix_control import control
from syncd.sandbox.wix_site import Refusal

__all__ = ["BASE", "KINDS", "Fault", "Seen", "Wix", "serving"]

BASE = "/_api/cloud-secrets-vault-server"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: with Nagle's algorithm the second waits until the first is acknowledged.
    disable_nagle_algorithm = True
    wix: Wix

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def version_string(self) -> str:
        """No versions in the Server header."""
        return "Pepyaka"

    def _body(self) -> dict[str, Any]:
        try:
            parsed = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        except ValueError:
            raise Refusal(400, "INVALID_ARGUMENT", "the body is no JSON") from None
        if not isinstance(parsed, dict):
            raise Refusal(400, "INVALID_ARGUMENT", "the body is no object")
        return parsed

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        try:
            # Also of a request that will be refused: what is left unread would be taken for the next request.
            body = self._body()
        except Refusal as refusal:
            self._send(refusal.status, refusal.body)
            return
        # No key is asked for: the server listens on this machine alone, and faults hit only what syncd asks.
        if path.startswith("/_sandbox/"):
            self._send(*control(self.wix, self.command, path, body))
            return
        # A login uses up no fault: a fault is for the next call about secrets.
        fault = self.wix.take_fault(self.command) if CALLS in path else None
        site_id, act = "", None
        try:
            # As it was sent: it is split before it is unquoted, so an encoded slash in a name separates nothing.
            site_id, act = self._route(urlsplit(self.path).path, body)
            status, answer = 200, None
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
        self._finish(fault, act, status, answer, Seen(method=self.command, path=path, status=status, site=site_id))

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815  # the base class's names

    def _route(self, path: str, body: dict[str, Any]) -> tuple[str, Callable[[], dict[str, object]]]:
        """The site and what is to be done there. Raises `Refusal`."""
        if path == "/oauth2/token" and self.command == "POST":
            return "", lambda: self.wix.token(body)
        call = path.removeprefix(BASE)
        if not call.startswith(CALLS):
            raise Refusal(404, "", "")
        site_id = self.wix.authenticated(self.headers)
        site = self.wix.site(site_id)
        # Counted before the latency: Wix counts a request when it arrives.
        site.admit()
        if site.options.latency:
            time.sleep(site.options.latency)
        rest = call.removeprefix(CALLS).strip("/").split("/")
        secret = body.get("secret") if isinstance(body.get("secret"), dict) else {}
        routes: dict[tuple[str, int], Callable[[], dict[str, object]]] = {
            ("GET", 1): site.listing,
            ("POST", 1): lambda: site.create(secret),  # type: ignore[arg-type]  # a dict, see above
            ("GET", 2): lambda: site.value(unquote(rest[-1])),
            ("PATCH", 1): lambda: site.update(unquote(rest[0]), secret),  # type: ignore[arg-type]
            ("DELETE", 1): lambda: site.delete(unquote(rest[0])),
        }
        act = routes.get((self.command, len(rest)))
        needs_id = self.command in {"PATCH", "DELETE"}
        if act is None or needs_id != bool(rest[0] and len(rest) == 1):
            if not (self.command == "GET" and rest[0] == "name" and len(rest) == 2):
                raise Refusal(404, "NOT_FOUND", "no such call")
            act = routes["GET", 2]
        return site_id, act

    def _finish(  # noqa: PLR0912  # one branch for each fault
        self,
        fault: Fault | None,
        act: Callable[[], dict[str, object]] | None,
        status: int,
        answer: dict[str, object] | None,
        seen: Seen,
    ) -> None:
        kind = fault.kind if fault else ""
        seen.fault = kind
        self.wix.seen.append(seen)
        if fault and fault.on and kind in {"reset_before", "late", ""}:
            fault.on()
        if kind == "slow":
            time.sleep(fault.seconds if fault else 0)
        if kind == "late" and act:
            # A client that believes its request lost has to survive that it takes effect after all.
            self.wix.late.append(act)
        if kind in {"reset_before", "late"}:
            self._reset()
            return
        if fault is not None and self._refused_early(fault, seen):
            return
        if act is not None:
            try:
                answer = act()
            except Refusal as refusal:
                status, answer = refusal.status, refusal.body
        seen.status = status
        if fault and fault.on and kind not in {"reset_before", "late"}:
            fault.on()
        data = json.dumps(answer or {}).encode()
        if kind == "reset_after":
            self._reset()
        elif kind == "504_after":
            self._send(504, Refusal(504, "").body)
        elif kind == "invalid_json":
            self._send_raw(200, data[:-1] + b",", "application/json")
        elif kind == "truncated":
            # A byte less than is announced: the client meets a connection that broke off, and no short answer.
            self._send_raw(200, data, "application/json", missing=1)
        else:
            self._send(status, answer or {})

    def _refused_early(self, fault: Fault, seen: Seen) -> bool:
        """Send the answer of a fault that refuses a request before anything is done. Returns: was it such a fault?"""
        if fault.kind == "html":
            self._send_raw(200, b"<html><body>Please sign in to the proxy</body></html>", "text/html")
            return True
        early = {
            "500": (500, ""), "503": (503, ""), "401": (401, "UNAUTHENTICATED"), "403": (403, "PERMISSION_DENIED"),
            "429": (429, "RESOURCE_EXHAUSTED"), "429_retry_after": (429, "RESOURCE_EXHAUSTED"),
        }  # fmt: skip
        if fault.kind not in early:
            return False
        refusal = Refusal(*early[fault.kind])
        after = {"Retry-After": f"{fault.seconds:g}"} if fault.kind == "429_retry_after" else {}
        seen.status = refusal.status
        self._send(refusal.status, refusal.body, after)
        return True

    def _send(self, status: int, answer: object, headers: dict[str, str] | None = None) -> None:
        self._send_raw(status, json.dumps(answer).encode(), "application/json", headers=headers)

    def _send_raw(
        self, status: int, data: bytes, kind: str, *, missing: int = 0, headers: dict[str, str] | None = None
    ) -> None:
        # `send_response` would add a Date of the real clock.
        self.send_response_only(status)
        # By this header syncd dates its writes, and a test may move the clock of the site.
        self.send_header("Date", format_datetime(self.wix.clock().astimezone(UTC), usegmt=True))
        self.send_header("Content-Type", kind)
        self.send_header("X-Wix-Request-Id", f"{time.time():.3f}.{uuid.uuid4().hex[:12]}")
        self.send_header("Content-Length", str(len(data) + missing))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            self.close_connection = True
        # The client waits for what is missing until the connection ends.
        if missing:
            self.close_connection = True

    def _reset(self) -> None:
        """Drop the connection with an RST."""
        # To linger for no time makes the kernel send an RST instead of an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def handle_one_request(self) -> None:
        """Handle one request; a client that went away is not reported."""
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True

    def finish(self) -> None:
        """End a connection; a client that went away is not reported."""
        with suppress(OSError, ValueError):
            super().finish()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A cycle opens up to 20 connections to a site at one moment; by default Python's servers queue five.
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        """Print nothing: a dropped connection is not reported."""


@contextmanager
def serving(wix: Wix, port: int = 0) -> Iterator[str]:
    """The emulated Wix on this machine; its base URL (`…/_api/cloud-secrets-vault-server`)."""
    # This machine alone: `/_sandbox/secrets` shows every value to whoever asks.
    server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"wix": wix}))
    # `shutdown` waits for the end of a turn, half a second by default, and tests end many servers.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{BASE}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
