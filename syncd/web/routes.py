"""The daemon's HTTP side: who may see names, who may start things. It asks the daemon and knows no more."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncd.domain import SecretValue
from syncd.errors import SyncdError
from syncd.web.hooks.vault_audit import written
from syncd.web.pages.status import POLICY, page

MAX_BODY = 1024 * 1024
"""Bytes: some hundred audit lines."""


class Service(Protocol):
    """What the daemon answers with."""

    def ready(self) -> list[str]:
        """What is still missing; empty when ready."""

    def status(self, *, names: bool) -> dict[str, Any]:
        """Jobs and counts; names and messages only where asked."""

    def metrics(self) -> bytes:
        """The exposition."""

    def token(self) -> SecretValue[str] | None:
        """The bearer token as it is now. Raises `SyncdError`."""

    def trigger(self, job: str) -> bool:
        """Start a cycle soon; False for an unknown job."""

    def wake(self, paths: Iterable[tuple[str | None, str]]) -> list[str]:
        """Start the jobs that sync these (namespace or None for any, source path) soon; their names."""

    def configuration(self) -> str:
        """What is wrong with the configuration file, while the one before goes on; empty if nothing is."""

    def reload(self) -> None:
        """Load the configuration again. Raises `SyncdError`, keeping the old one."""


def _knows(service: Service, request: Request) -> bool:
    try:
        token = service.token()
    except SyncdError:
        return False
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if token is None or kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode(), token.reveal().encode())


def _guarded(
    service: Service, act: Callable[[Service, dict[str, Any], bytes], Response]
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that changes something: only with the token, and with a small body."""

    async def endpoint(request: Request) -> Response:
        if not _knows(service, request):
            return PlainTextResponse("a valid bearer token is needed\n", 401)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return PlainTextResponse("too large\n", 413)
        return await run_in_threadpool(act, service, dict(request.query_params), body)

    return endpoint


def _sync(service: Service, given: dict[str, Any], _body: bytes) -> Response:
    job, path = str(given.get("job", "")), str(given.get("path", ""))
    if bool(job) == bool(path):
        return PlainTextResponse("say which: POST /-/sync?job=NAME or ?path=SOURCE-PATH\n", 400)
    if path:
        return _woken(service.wake([(None, path)]), or_else=404)
    if not service.trigger(job):
        return PlainTextResponse("no such job\n", 404)
    return PlainTextResponse("started\n", 202)


def _woken(jobs: list[str], *, or_else: int) -> Response:
    if not jobs:
        return PlainTextResponse("no scheduled job syncs that\n", or_else)
    return PlainTextResponse(f"started {', '.join(jobs)}\n", 202)


def _audit(service: Service, _given: dict[str, Any], body: bytes) -> Response:
    paths = written(body)
    if paths is None:
        return PlainTextResponse("no audit line in it: one JSON object a line, as an audit device writes them\n", 400)
    return _woken(service.wake(sorted(paths)), or_else=200)


def _reload(service: Service, _given: dict[str, Any], _body: bytes) -> Response:
    try:
        service.reload()
    except SyncdError as error:
        lines = [f"refused, the old configuration goes on: {error.message}", *getattr(error, "problems", ())]
        return PlainTextResponse("\n".join(lines) + "\n", 422)
    return PlainTextResponse("reloaded\n")


class SecurityHeadersMiddleware:
    """Headers that keep a browser from doing more with an answer than to show it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and add to the answer's start."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, sending)


HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def _readable(answer: Callable[[], Response]) -> Response:
    """The answer, or why there is none: the ledger cannot be read, and whoever may see the log sees more."""
    try:
        return answer()
    except SyncdError:
        return PlainTextResponse("the ledger cannot be read; see the log\n", 503)


def build(service: Service) -> Starlette:
    """The routes of section 9."""

    def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(_request: Request) -> Response:
        missing = service.ready()
        lines = missing or ["ok"]
        if service.configuration():
            lines = [*lines, "the configuration file is refused or missing, the one before goes on; see the log"]
        return PlainTextResponse("\n".join(lines) + "\n", 503 if missing else 200)

    def metrics(_request: Request) -> Response:
        return Response(service.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def status(request: Request) -> Response:
        known = _knows(service, request)
        if "authorization" in request.headers and not known:
            return PlainTextResponse("a valid bearer token is needed\n", 401)
        return _readable(lambda: JSONResponse(service.status(names=known)))

    def people(request: Request) -> Response:
        known = _knows(service, request)
        missing = service.ready() if known else ()
        return _readable(lambda: HTMLResponse(page(service.status(names=known), missing, datetime.now(UTC))))

    app = Starlette(
        middleware=[Middleware(SecurityHeadersMiddleware)],
        routes=[
            Route("/", people),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/status", status),
            Route("/-/sync", _guarded(service, _sync), methods=["POST"]),
            Route("/-/reload", _guarded(service, _reload), methods=["POST"]),
            Route("/hooks/vault-audit", _guarded(service, _audit), methods=["POST"]),
        ],
    )
    # Its redirect to the path without the slash would lead to whatever host the request names.
    app.router.redirect_slashes = False
    return app
