"""The routes of the HTTP server: who may see names, who may start things. They know the daemon as `Service` alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncd.errors import SyncdError
from syncd.web.answers import page
from syncd.web.api import BASE as API
from syncd.web.api import Api, refused
from syncd.web.auth import who_asks
from syncd.web.console import Console
from syncd.web.hooks.vault_audit import written
from syncd.web.pages.rendering import POLICY
from syncd.web.principal import Principal
from syncd.web.service import Service

MAX_BODY = 1024 * 1024
"""Most bytes of a body: some hundred audit lines."""


Act = Callable[[Service, Principal, dict[str, Any], bytes], Response]


def _bearer(service: Service, request: Request) -> Principal | None:
    """The principal of the request's bearer token; a browser's session starts nothing here."""
    who = who_asks(service, request)
    return who if who is not None and who.kind == "token" else None


def _guarded(service: Service, right: str, act: Act) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that changes something: it needs a bearer token with `right`, and takes a small body only."""

    async def endpoint(request: Request) -> Response:
        who = await run_in_threadpool(_bearer, service, request)
        if who is None:
            await run_in_threadpool(service.denied, None, right)
            return PlainTextResponse("a valid bearer token is needed\n", 401)
        if right not in who.may:
            await run_in_threadpool(service.denied, who, right)
            return PlainTextResponse(f"this token may not {right}\n", 403)
        # Only now: nothing of a body is kept for whoever may not send it.
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return PlainTextResponse("too large\n", 413)
        return await run_in_threadpool(act, service, who, dict(request.query_params), body)

    return endpoint


def _sync(service: Service, who: Principal, given: dict[str, Any], _body: bytes) -> Response:
    job, path = str(given.get("job", "")), str(given.get("path", ""))
    if bool(job) == bool(path):
        return PlainTextResponse("say which: POST /-/sync?job=NAME or ?path=SOURCE-PATH\n", 400)
    if path:
        return _woken(service.wake([(None, path)], who), or_else=404, if_not=503)
    if not (done := service.trigger(job, who)):
        return PlainTextResponse("no such job\n", 404)
    return _woken(done, or_else=404, if_not=503)


def _woken(done: str, *, or_else: int, if_not: int = 200) -> Response:
    """Return what was done, as a response. `or_else`: the status if no job has it; `if_not`: if it was not done."""
    if not done:
        return PlainTextResponse("no scheduled job syncs that\n", or_else)
    return PlainTextResponse(f"{done}\n", if_not if done.startswith("not ") else 202)


def _audit(service: Service, who: Principal, _given: dict[str, Any], body: bytes) -> Response:
    told = written(body)
    if told is None:
        return PlainTextResponse("no audit line in it: one JSON object a line, as an audit device writes them\n", 400)
    # Not an error: most lines are about what no job syncs, and a device that is refused may hold up OpenBao.
    return _woken(service.wake(sorted(told.paths), who, told.expected), or_else=200)


def _reload(service: Service, who: Principal, _given: dict[str, Any], _body: bytes) -> Response:
    try:
        service.reload(who)
    except SyncdError as error:
        lines = [f"refused, the old configuration goes on: {error.message}", *getattr(error, "problems", ())]
        if who.targets is not None:  # the faults may name other teams' jobs
            lines = ["refused, the old configuration goes on; what is wrong with the new one is in the log"]
        return PlainTextResponse("\n".join(lines) + "\n", 422)
    return PlainTextResponse("reloaded\n")


class SecurityHeadersMiddleware:
    """Headers that keep a browser from doing more with an answer than to show it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, and add the headers where its answer starts."""

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
    """The answer, or 503 where the ledger cannot be read; the log says more."""
    try:
        return answer()
    except SyncdError:
        return PlainTextResponse("the ledger cannot be read; see the log\n", 503)


def _bug(service: Service) -> Callable[[Request, Exception], Response]:
    """Answer a request that ended in a bug: the log gets the place, the client a plain 500."""

    def bug(request: Request, error: Exception) -> Response:
        # The path holds names; the route that it took does not.
        service.bug(f"{request.method} {getattr(request.scope.get('route'), 'path', '')}".strip(), error)
        said = "this is a fault of syncd; its log says where"
        if request.url.path.startswith(f"{API}/"):
            return refused(500, said, "report it with that line of the log", exit_code=SyncdError.exit_code)
        if "text/html" in request.headers.get("accept", ""):
            return page("message.html", None, request, 500, title="A fault of syncd; its log says where")
        return PlainTextResponse(f"{said}\n", 500)

    return bug


def build(service: Service) -> Starlette:
    """The routes of the service: probes, metrics, status, hooks, the API and the pages."""

    async def livez(_request: Request) -> Response:  # on the event loop: the threads may all wait for the database
        return PlainTextResponse("ok\n")

    def readyz(_request: Request) -> Response:
        missing = service.ready()
        lines = missing or ["ok"]
        if service.configuration():
            lines = [*lines, "the configuration file is refused, missing or not the newest one; see the log"]
        # Told and no more: with a refused file the pod goes on with the one of before, and where another daemon has a
        # newer one, in the middle of a rollout, an unready pod would keep the rollout from ending.
        return PlainTextResponse("\n".join(lines) + "\n", 503 if missing else 200)

    def metrics(request: Request) -> Response:
        if not service.metrics_are_open():
            who = _bearer(service, request)
            if who is None or "read" not in who.may:
                return PlainTextResponse("a valid bearer token is needed\n", 401)
            if who.targets is not None:  # they are of all jobs and targets
                return PlainTextResponse("your rights are for some targets, and metrics are of all\n", 403)
        return Response(service.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def status(request: Request) -> Response:
        who = _bearer(service, request)
        # Not answered as a stranger: a script has to see that its token is wrong.
        if "authorization" in request.headers and who is None:
            return PlainTextResponse("a valid bearer token is needed\n", 401)
        may_read = who is not None and "read" in who.may
        return _readable(lambda: JSONResponse(service.status(who if may_read else None)))

    async def nothing(request: Request, error: Exception) -> Response:
        """Answer for an unknown path (404), and for a path that takes other methods only (405).

        JSON for the API, a page for browsers, a line for other programs.
        """
        code = error.status_code if isinstance(error, HTTPException) else 404
        title = "There is no such page" if code == 404 else "That address is for a form; begin at the overview"
        headers = getattr(error, "headers", None)
        if request.url.path.startswith("/api/"):
            said = "there is no such address" if code == 404 else f"{request.method} is not for this address"
            return refused(code, said, f"see {API}/openapi.json", headers)
        if "text/html" in request.headers.get("accept", ""):
            return page("message.html", None, request, code, title=title)
        return PlainTextResponse(f"{'not found' if code == 404 else 'not allowed'}\n", code, headers)

    app = Starlette(
        exception_handlers={404: nothing, 405: nothing, Exception: _bug(service)},
        middleware=[Middleware(SecurityHeadersMiddleware)],
        routes=[
            *Console(service).routes(),
            *Api(service).routes(),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/status", status),
            Route("/-/sync", _guarded(service, "sync", _sync), methods=["POST"]),
            Route("/-/reload", _guarded(service, "reload", _reload), methods=["POST"]),
            Route("/hooks/vault-audit", _guarded(service, "sync", _audit), methods=["POST"]),
        ],
    )
    # Its redirect to the path without the slash would lead to whatever host the request names.
    app.router.redirect_slashes = False
    return app
