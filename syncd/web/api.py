"""The JSON behind the pages: the same tokens, the same rights, for scripts and for commands with `--server`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from syncd.errors import SyncdError
from syncd.web.answers import status_of
from syncd.web.auth import comes_from_elsewhere, who_asks
from syncd.web.console import FILTERS, TRAIL_FILTERS
from syncd.web.openapi import DOCUMENT
from syncd.web.principal import Principal
from syncd.web.service import Service

TYPES: dict[str, type] = {"string": str, "boolean": bool}
"""The types of fields in a body, as the document calls them."""
MOST_BYTES = 256 * 1024
"""Most bytes of a request's body; the largest one is a candidate configuration."""
BASE = "/api/v1"


def answer(content: object, status: int = 200) -> Response:
    """JSON, with times in RFC 3339."""
    text = json.dumps(content, default=_plain, ensure_ascii=False)
    return Response(text, status, media_type="application/json")


def _plain(thing: object) -> object:
    return thing.isoformat() if isinstance(thing, datetime) else str(thing)


def refused(
    status: int, message: str, fix: str = "", headers: Mapping[str, str] | None = None, exit_code: int | None = None
) -> Response:
    """Return an error as JSON: what is wrong, what to do, and the exit code that the same command would end with."""
    code = {} if exit_code is None else {"exit_code": exit_code}
    response = answer({"error": message, "fix": fix, **code}, status)
    response.headers.update(headers or {})
    return response


class Api:
    """The routes of the API, for callers with a bearer token or behind the authenticating proxy.

    A session's cookie does not count here: a browser sends it by itself, and never a token.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """Return all routes of the API."""
        service = self._service
        gets: dict[str, Callable[[Principal, Request], object]] = {
            "status": lambda who, _request: service.status(who),
            "overview": lambda who, _request: service.overview(who),
            "secrets": lambda who, request: service.secrets(who, _filters(request, (*FILTERS, "after"))),
            "held": lambda who, _request: service.held(who),
            "audit": lambda who, request: service.activity(who, _filters(request, TRAIL_FILTERS)),
            "report": lambda who, _request: json.loads(service.report(who, "json")[0]),
            "where": lambda who, request: service.where(who, request.query_params.get("path", "")),
        }
        posts: dict[str, tuple[str, Callable[[Principal, Mapping[str, Any]], object]]] = {
            "plan": ("read", lambda who, body: service.plan(who, _text(body, "configuration"))),
            "sync": ("sync", lambda who, body: _said(service.sync(who, _text(body, "job"), _why(body)))),
            "release": ("release", lambda who, body: _said(service.release(who, _text(body, "batch"), _why(body)))),
            "pause": (
                "pause",
                lambda who, body: _said(service.pause(who, _scope(body), _text(body, "until"), _why(body))),
            ),
            "resume": ("pause", lambda who, body: _said(service.resume(who, _scope(body), _why(body)))),
            "rollback": ("rollback", lambda who, body: _said(service.rollback(who, body, _why(body)))),
            "freeze": ("freeze", lambda who, body: _said(service.freeze(who, _secret(body), _why(body)))),
        }
        return [
            Route(f"{BASE}/openapi.json", lambda _request: answer(DOCUMENT)),
            *(Route(f"{BASE}/{path}", self._endpoint("read", _of_get(act))) for path, act in gets.items()),
            Route(f"{BASE}/secrets/{{site}}/{{name}}", self._endpoint("read", self._secret)),
            *(
                Route(f"{BASE}/{path}", self._endpoint(right, _of_post(path, act)), methods=["POST"])
                for path, (right, act) in posts.items()
            ),
        ]

    def _endpoint(
        self, right: str, act: Callable[[Principal, Request, bytes], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            body = b""
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    return refused(413, "too large")
            return await run_in_threadpool(self._answered, right, act, request, body)

        return endpoint

    def _answered(
        self, right: str, act: Callable[[Principal, Request, bytes], Response], request: Request, body: bytes
    ) -> Response:
        who = who_asks(self._service, request)
        # A cookie comes along by itself, from any page that a browser shows; the API takes none.
        if who is None or who.kind == "session":
            self._service.denied(None, right)
            return refused(401, "a valid bearer token is needed", "see server.tokens")
        # Behind the proxy a browser is let in by itself, whatever site made it ask.
        if who.kind == "proxy" and request.method == "POST":
            if comes_from_elsewhere(request):
                return refused(403, "another site's page asks for that")
            if request.headers.get("content-type") != "application/json":
                return refused(415, "send JSON, as application/json")  # no form of another site can
        if right not in who.may:
            self._service.denied(who, right)
            return refused(403, f"{who.name} may not {right}", "see `may` in server.tokens")
        # Before anything is done: no database would keep it, and the fault would seem to be ours.
        if not all(map(is_text, request.query_params.values())):
            return refused(400, "the address holds a NUL, or half of a character")
        try:
            return act(who, request, body)
        except SyncdError as error:
            return refused(status_of(error), error.message, error.hint, exit_code=error.exit_code)

    def _secret(self, who: Principal, request: Request, _body: bytes) -> Response:
        data = self._service.secret(who, request.path_params["site"], request.path_params["name"])
        return refused(404, "there is no such secret") if data is None else answer(data)


def _of_get(act: Callable[[Principal, Request], object]) -> Callable[[Principal, Request, bytes], Response]:
    return lambda who, request, _body: answer(act(who, request))


def _of_post(
    path: str, act: Callable[[Principal, Mapping[str, Any]], object]
) -> Callable[[Principal, Request, bytes], Response]:
    body_of = DOCUMENT["paths"][f"{BASE}/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    fields: dict[str, dict[str, Any]] = body_of["properties"]

    def run(who: Principal, _request: Request, body: bytes) -> Response:
        try:
            content = json.loads(body or b"{}")
            if not all(map(is_text, _texts(content))):
                return refused(400, "a text in the body holds a NUL, or half of a character")
        # A body of nothing but brackets is no bug of ours.
        except (ValueError, RecursionError):
            return refused(400, "the body is no JSON")
        if not isinstance(content, dict):
            return refused(400, "the body is no JSON object")
        given = {key: value for key, value in content.items() if value is not None}
        # Left out silently, a slip would do more than was asked for: a pause without its end, a thaw for a freeze.
        for key, value in given.items():
            if key not in fields:
                return refused(400, f"there is no field {key[:64]}", f"the fields are {', '.join(fields)}")
            if not isinstance(value, TYPES[fields[key]["type"]]):
                return refused(400, f"{key} is no {fields[key]['type']}", "see /api/v1/openapi.json")
            # It comes back in answers, and goes into lines of the audit trail.
            if isinstance(value, str) and len(value) > fields[key].get("maxLength", MOST_BYTES):
                return refused(400, f"{key} is longer than {fields[key]['maxLength']} characters", "shorten it")
        return answer(act(who, given))

    return run


def _filters(request: Request, keys: tuple[str, ...]) -> dict[str, str]:
    return {key: request.query_params.get(key, "")[:500] for key in keys}


def _texts(content: Any) -> Iterator[str]:
    """Every text in a body, keys included."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from _texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from _texts(value)


def is_text(text: str) -> bool:
    """Can a database keep it? No NUL, and no half of a surrogate pair."""
    try:
        return "\x00" not in text.encode().decode()
    except UnicodeEncodeError:
        return False


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _why(body: Mapping[str, Any]) -> str:
    return _text(body, "reason")


def _secret(body: Mapping[str, Any]) -> dict[str, str]:
    return {key: _text(body, key) for key in ("site", "name", "until")}


def _scope(body: Mapping[str, Any]) -> tuple[str, str]:
    return _text(body, "scope"), _text(body, "name")


def _said(message: str) -> dict[str, str]:
    return {"message": message}
