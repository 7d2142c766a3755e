"""Logging in and out."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from syncd.errors import SyncdError
from syncd.web.answers import PAGE_TOO_LARGE, is_page, page
from syncd.web.auth import (
    COOKIE,
    LoginLimit,
    comes_from_elsewhere,
    form_is_genuine,
    form_of,
    set_cookie,
    who_asks,
)
from syncd.web.service import Service


class Logins:
    """The page to log in at, and the two forms."""

    def __init__(self, service: Service) -> None:
        self._service, self._limit = service, LoginLimit()

    def routes(self) -> list[Route]:
        """Return the routes of the two forms: log in and log out."""
        return [
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", self._logout, methods=["POST"]),
        ]

    def page(self, request: Request, status: int = 200, wrong: str = "", to: str = "") -> Response:
        """Return the page to log in at. `wrong`: why the last try failed; `to`: the page to go to after the login."""
        try:
            health = self._service.status(None)
        except SyncdError:
            # The page to log in at has to come all the same, and say what is wrong.
            health = {
                "ready": False,
                "jobs": [],
                "secrets": {},
                "configuration": "the ledger cannot be read; see the log",
            }
        to = to or request.query_params.get("to", "")
        if request.query_params.get("ended"):
            wrong = wrong or "you are not logged in any more, and nothing was done; log in and do it again"
        more = {"health": health, "wrong": wrong, "to": to if is_page(to) else ""}
        return page("login.html", None, request, status, title="Log in", **more)

    async def _login(self, request: Request) -> Response:
        form = await form_of(request)
        # Another site's form would log somebody in under a name that is not theirs.
        if form is None or comes_from_elsewhere(request):
            return PAGE_TOO_LARGE if form is None else await run_in_threadpool(self.page, request, 403)
        # Before the token is looked at: meanwhile the answer tells no right one from a wrong one.
        if self._limit.is_reached():
            wrong = "too many tries; wait a minute"
            return await run_in_threadpool(self.page, request, 429, wrong, form.get("to", ""))
        try:
            session = await run_in_threadpool(self._service.log_in, form.get("token", "").strip())
        except SyncdError as error:
            return await run_in_threadpool(self.page, request, 503, error.message)
        if session is None:
            self._limit.failed()
            await run_in_threadpool(self._service.denied, None, "log in")
            wrong = "no token of this server"
            return await run_in_threadpool(self.page, request, 401, wrong, form.get("to", ""))
        to = form.get("to", "")
        # Judged again: it came back in a form, which anybody can write.
        answer = RedirectResponse(to if is_page(to) else "/", 303)
        set_cookie(answer, request, session)
        return answer

    async def _logout(self, request: Request) -> Response:
        form = await form_of(request)
        who = await run_in_threadpool(who_asks, self._service, request)
        answer = RedirectResponse("/", 303)
        # Another site can log nobody out either.
        if who is not None and form is not None and form_is_genuine(request, who, form):
            await run_in_threadpool(self._service.log_out, request.cookies.get(COOKIE, ""))
            answer.delete_cookie(COOKIE, path="/")
        return answer
