"""The pages for people: what they read, and the forms that change something."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from syncd.domain import STATUSES
from syncd.errors import ConfigError, LedgerError, PlanMoved, SecretError, SyncdError
from syncd.web.auth import (
    COOKIE,
    LoginLimit,
    comes_from_elsewhere,
    form_is_genuine,
    form_of,
    set_cookie,
    who_asks,
)
from syncd.web.last_done import LastDone
from syncd.web.pages.rendering import rendered
from syncd.web.principal import Principal
from syncd.web.service import Service

Answer = Callable[[Principal, Request], Response]
Deed = Callable[[Principal, Mapping[str, str]], str]
FILTERS = ("q", "status", "job", "target", "rule", "label", "sort")
TRAIL_FILTERS = ("actor", "event", "name", "target", "day")
TRAIL_EVENTS = (
    "access.denied", "config.loaded", "config.refused", "drift.found", "drift.restored", "finding.ended", "job.paused",
    "job.resumed", "limit.withheld", "orphan.found", "secret.adopted", "secret.create", "secret.delete",
    "secret.denied", "secret.forgotten", "secret.frozen", "secret.held", "secret.released", "secret.rolled_back",
    "secret.thawed", "secret.update",
)  # fmt: skip
"""What the field of events offers (docs/audit.md has all)."""
AGAIN = ("reason", "until", "to")
"""What a person wrote into a form: it is not lost where the form was refused."""


def status_of(error: SyncdError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, PlanMoved | SecretError):
        return 409
    if isinstance(error, LedgerError):
        return 503
    return 400 if isinstance(error, ConfigError) else 502


def page(template: str, who: Principal | None, request: Request, code: int = 200, **more: Any) -> HTMLResponse:
    """A page for somebody, who may have asked to have it read anew."""
    live = request.query_params.get("live") == "on"
    given = {"refresh": live and more.get("refreshable", False), "now": datetime.now(UTC), **more}
    return HTMLResponse(rendered(template, who=who, **given), code)


PAGES = re.compile(r"/(secrets|governance|activity|jobs)(/[^/?#\\\s]{1,200}){0,2}(\?[^#\\\s]{0,500})?")
"""Where a login may lead on to: pages of this very server."""


def is_page(path: str) -> bool:
    """Is it a page of this server, with what is asked of it?"""
    return path.isascii() and path.isprintable() and PAGES.fullmatch(path) is not None


def _page_of(deed: str, form: Mapping[str, str]) -> str:
    """The page that a form was sent from, as far as its fields tell."""
    if form.get("site") and form.get("name"):
        return f"/secrets/{quote(form['site'], safe='')}/{quote(form['name'], safe='')}"
    if deed == "/rollback":
        return f"/secrets?{urlencode({'q': form.get('what', '')})}"
    return "/jobs" if deed in {"/pause", "/resume", "/sync"} else ""


class Console:
    """The routes of the pages."""

    def __init__(self, service: Service) -> None:
        self._service, self._limit, self._done = service, LoginLimit(), LastDone()

    def routes(self) -> list[Route]:
        """Pages, forms, and the report to take away."""
        act = self._service

        def why(form: Mapping[str, str]) -> str:
            return form.get("reason", "")

        deeds: dict[str, tuple[str, Deed]] = {
            "release": ("release", lambda who, form: act.release(who, form.get("batch", ""), why(form))),
            "pause": ("pause", lambda who, form: act.pause(who, _scope(form), form.get("until", ""), why(form))),
            "resume": ("pause", lambda who, form: act.resume(who, _scope(form))),
            "rollback": ("rollback", lambda who, form: act.rollback(who, form, why(form))),
            "freeze": ("freeze", lambda who, form: act.freeze(who, form, why(form))),
            "sync": ("sync", lambda who, form: act.sync(who, form.get("job", ""))),
        }
        return [
            Route("/", self._reader(self._overview, or_login=True)),
            Route("/secrets", self._reader(self._secrets)),
            Route("/secrets/{site}/{name}", self._reader(self._secret)),
            Route("/governance", self._reader(self._governance)),
            Route("/activity", self._reader(self._activity)),
            Route("/jobs", self._reader(self._jobs)),
            Route("/report.{form}", self._reader(self._report)),
            Route("/done", self._reader(self._what_was_done)),
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            *(Route(f"/{path}", self._doer(right, deed), methods=["POST"]) for path, (right, deed) in deeds.items()),
        ]

    def _reader(self, answer: Answer, *, or_login: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """A page for whoever may read; a stranger is led to where one logs in."""

        async def endpoint(request: Request) -> Response:
            # In a thread: reading the ledger blocks, and the event loop is everybody's.
            return await run_in_threadpool(self._read, answer, request, or_login=or_login)

        return endpoint

    def _read(self, answer: Answer, request: Request, *, or_login: bool) -> Response:
        who = who_asks(self._service, request)
        if who is None and or_login:
            return self._login_page(request)
        if who is None:
            asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/?{urlencode({'to': asked})}" if is_page(asked) else "/", 303)
        if "read" not in who.may:
            self._service.denied(who, "read")
            return page("message.html", who, request, 403, title="Your token may not read this", here=None)
        try:
            return answer(who, request)
        except SyncdError as error:
            more = {"wrong": error.message, "fix": error.hint}
            return page("message.html", who, request, status_of(error), title="That cannot be shown", **more)

    def _login_page(self, request: Request, status: int = 200, wrong: str = "", to: str = "") -> Response:
        try:
            health = self._service.status(names=False)
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
            return PAGE_TOO_LARGE if form is None else await run_in_threadpool(self._login_page, request, 403)
        # Before the token is looked at: meanwhile the answer tells no right one from a wrong one.
        if self._limit.is_reached():
            wrong = "too many tries; wait a minute"
            return await run_in_threadpool(self._login_page, request, 429, wrong, form.get("to", ""))
        try:
            session = await run_in_threadpool(self._service.log_in, form.get("token", ""))
        except SyncdError as error:
            return await run_in_threadpool(self._login_page, request, 503, error.message)
        if session is None:
            self._limit.failed()
            await run_in_threadpool(self._service.denied, None, "log in")
            wrong = "no token of this server"
            return await run_in_threadpool(self._login_page, request, 401, wrong, form.get("to", ""))
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

    def _doer(self, right: str, deed: Deed) -> Callable[[Request], Awaitable[Response]]:
        """A form that changes something: with the right, and from a page of this very session."""

        async def endpoint(request: Request) -> Response:
            form = await form_of(request)
            return PAGE_TOO_LARGE if form is None else await run_in_threadpool(self._do, right, deed, request, form)

        return endpoint

    def _do(self, right: str, deed: Deed, request: Request, form: dict[str, str]) -> Response:
        who = who_asks(self._service, request)
        if who is None:
            self._service.denied(None, right)
            back = urlencode({"to": _page_of(request.url.path, form), "ended": "1"})
            return RedirectResponse(f"/?{back}", 303)
        # Before the right is looked at: another site's form learns nothing from the answer.
        if not form_is_genuine(request, who, form):
            self._service.denied(who, f"{right}, by a form that is not of this page")
            return page("message.html", who, request, 403, title="That form is not of this page; open it again")
        if right not in who.may:
            self._service.denied(who, right)
            return page("message.html", who, request, 403, title=f"You may not {right}")
        try:
            said = deed(who, form)
        except SyncdError as error:
            more: dict[str, Any] = {"wrong": error.message, "fix": error.hint, "back": _page_of(request.url.path, form)}
            again = {"path": request.url.path, "wrote": {key: form[key] for key in AGAIN if key in form}}
            again["fields"] = {key: value for key, value in form.items() if key not in {*AGAIN, "csrf"}}
            more |= {"again": again}
            return page("message.html", who, request, status_of(error), title="That was not done", **more)
        back, title = _page_of(request.url.path, form), _title_of(request.url.path, said)
        if "read" not in who.may:
            return page("message.html", who, request, title=title, said=said, back=back)
        self._done.put(who, title, said, back)
        # Elsewhere, so that a page that is read anew does nothing a second time.
        return RedirectResponse("/done", 303)

    def _what_was_done(self, who: Principal, request: Request) -> Response:
        known = self._done.of(who)
        if known is None:
            return RedirectResponse("/", 303)
        title, said, back = known
        return page("message.html", who, request, title=title, said=said, back=back)

    def _overview(self, who: Principal, request: Request) -> Response:
        data, fault = self._service.overview(who), self._service.configuration()
        needs = len(data["attention"]) + len(data["held"]) + bool(fault)
        for row in data["matrix"]:
            codes = [item["exit_code"] for item in row["recent"]]
            good = sum(code == 0 for code in codes)
            row["strip_words"] = f"{good} of the last {len(codes)} cycles were done without a fault"
            age = (data["now"] - row["as_of"]).total_seconds() if row["as_of"] else None
            row["late"] = row["objective"] is not None and (age is None or age > row["objective"])
        data["headline"], data["missing"] = headline(data, needs), self._service.ready()
        return page(
            "overview.html", who, request, title="Overview", here="", data=data, configuration=fault, refreshable=True
        )

    def _secrets(self, who: Principal, request: Request) -> Response:
        asked = {key: request.query_params.get(key, "") for key in FILTERS}
        data = self._service.secrets(who, {**asked, "after": request.query_params.get("after", "")})
        choices = self._service.choices(who)
        more = urlencode({**{key: value for key, value in asked.items() if value}, "after": data["next"] or ""})
        given: dict[str, Any] = {"asked": asked, "data": data, "more": more, "statuses": STATUSES, **choices}
        return page("secrets.html", who, request, title="Secrets", here="secrets", **given)

    def _secret(self, who: Principal, request: Request) -> Response:
        data = self._service.secret(who, request.path_params["site"], request.path_params["name"])
        if data is None:
            return page("message.html", who, request, 404, title="There is no such secret")
        return page("secret.html", who, request, title=data["name"], here="secrets", data=data)

    def _governance(self, who: Principal, request: Request) -> Response:
        return page(
            "governance.html", who, request, title="Governance", here="governance", data=self._service.governance(who)
        )

    def _activity(self, who: Principal, request: Request) -> Response:
        asked = {key: request.query_params.get(key, "")[:200] for key in TRAIL_FILTERS}
        before = request.query_params.get("before", "")[:300]
        data = self._service.activity(who, {**asked, "before": before})
        more = urlencode({**{key: value for key, value in asked.items() if value}, "before": data["older"] or ""})
        given: dict[str, Any] = {"data": data, "more": more, "events": TRAIL_EVENTS, **self._service.choices(who)}
        return page("activity.html", who, request, title="Activity", here="activity", asked=asked, **given)

    def _jobs(self, who: Principal, request: Request) -> Response:
        return page("jobs.html", who, request, title="Jobs and runs", here="jobs", data=self._service.jobs(who))

    def _report(self, who: Principal, request: Request) -> Response:
        form, part = request.path_params["form"], request.query_params.get("part", "")
        text, kind = self._service.report(who, form, part)
        answer = Response(text, media_type=kind)
        # The service takes known forms and parts alone, so nothing else of the request gets into a header.
        what = f"-{part}" if part and form == "csv" else ""
        answer.headers["Content-Disposition"] = f'attachment; filename="syncd-report{what}.{form}"'
        return answer


PAGE_TOO_LARGE = Response("too large\n", 413, media_type="text/plain")


def _title_of(deed: str, said: str) -> str:
    """What a form came to, in a word: what is done by a cycle may wait for its schedule, a pause or a window."""
    if deed != "/sync":
        return "Done"
    return "Asked to run" if said.endswith(" runs now") else "It waits"


def headline(data: Mapping[str, Any], needs: int) -> str:
    """One sentence first: is all as it should be?"""
    total, sites = data["total"], data["sites"]
    if needs:
        return f"{needs} {'thing needs' if needs == 1 else 'things need'} you."
    if not total:
        return "No secret is here yet."
    # Nothing needs anybody, and yet not all is synced (outside a window, say): what is told has to be true.
    behind = sum(number for word, number in data["statuses"].items() if word != "synced")
    if behind:
        return f"{behind:,} of {total:,} secrets on {sites} sites are not as their sources say."
    if unseen := data.get("unseen", 0):
        where = f"{unseen} {'place' if unseen == 1 else 'places'}"
        return f"What is here is as its sources say; {where} of a job and a site had no good cycle yet."
    age = int((data["now"] - data["as_of"]).total_seconds()) if data["as_of"] else 0
    where = f"{sites} sites" if sites != 1 else "one site"
    return f"All {total:,} secrets on {where} are as their sources say, as of {age} s ago."


def _scope(form: Mapping[str, str]) -> tuple[str, str]:
    return form.get("scope", ""), form.get("name", "")
