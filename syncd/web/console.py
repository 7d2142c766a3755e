"""The routes of the pages that people read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from syncd.domain import STATUSES
from syncd.domain.audit_events import EVENTS
from syncd.errors import SyncdError
from syncd.web.answers import is_page, page, status_of
from syncd.web.auth import who_asks
from syncd.web.forms import Forms
from syncd.web.login import Logins
from syncd.web.pages.rendering import exact
from syncd.web.principal import Principal
from syncd.web.service import Service

Answer = Callable[[Principal, Request], Response]
FILTERS = ("q", "status", "job", "target", "rule", "label", "sort")
TRAIL_FILTERS = ("actor", "event", "name", "target", "day")
ENDS = {"secret.delete", "secret.forgotten"}
"""The events after which a secret has no page any more."""


class Console:
    """The routes of the pages."""

    def __init__(self, service: Service) -> None:
        self._service, self._logins, self._forms = service, Logins(service), Forms(service)

    def routes(self) -> list[Route]:
        """Return the routes of the pages, their forms, and the report as a file."""
        return [
            Route("/", self._reader(self._overview, or_login=True)),
            Route("/secrets", self._reader(self._secrets)),
            Route("/secrets/{site}/{name}", self._reader(self._secret)),
            Route("/governance", self._reader(self._governance)),
            Route("/activity", self._reader(self._activity)),
            Route("/jobs", self._reader(self._jobs)),
            Route("/report.{form}", self._reader(self._report)),
            Route("/done", self._reader(self._forms.what_was_done)),
            *self._logins.routes(),
            *self._forms.routes(),
        ]

    def _reader(self, answer: Answer, *, or_login: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """Serve a page to those who may read; lead strangers to the login."""

        async def endpoint(request: Request) -> Response:
            # In a thread: reading the ledger blocks, and the event loop is everybody's.
            return await run_in_threadpool(self._read, answer, request, or_login=or_login)

        return endpoint

    def _read(self, answer: Answer, request: Request, *, or_login: bool) -> Response:
        who = who_asks(self._service, request)
        if who is None and or_login:
            return self._logins.page(request)
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

    def _overview(self, who: Principal, request: Request) -> Response:
        data, fault = self._service.overview(who), self._service.configuration()
        needs = len(data["attention"]) + len(data["held"]) + bool(fault)
        for row in data["matrix"]:
            codes = [item["exit_code"] for item in row["recent"]]
            good = sum(code == 0 for code in codes)
            row["strip_words"] = f"{good} of the last {len(codes)} cycles were done without a fault"
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
            # One that was deleted has no page any more; what happened to it is told where its lines are.
            site, name = request.path_params["site"], request.path_params["name"]
            activity = f"/activity?{urlencode({'name': name})}"
            # What was found of it, and has ended, is no deed.
            found = self._service.activity(who, {"name": name, "event": "secret.*"})["lines"]
            lines = [line for line in found if line["site"] == site]
            # What was sent tells more than what was decided of it, but for what took it out of the ledger.
            told = [line for line in lines if line["outcome"] == "done" or line["event"] in ENDS] or lines
            # Whoever deletes it by hand has it forgotten by that.
            deleted = (line for line in told[:2] if (line["event"], line["outcome"]) == ("secret.delete", "done"))
            last = next(deleted, told[0] if told else None)
            said = f"The last that happened to it here: {_in_short(last)}" if last else ""
            more = {"beside": (activity, "All that happened to secrets of this name"), "said": said}
            return page("message.html", who, request, 404, title="There is no such secret now", **more)
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
        given: dict[str, Any] = {"data": data, "more": more, "events": EVENTS, **self._service.choices(who)}
        return page("activity.html", who, request, title="Activity", here="activity", asked=asked, **given)

    def _jobs(self, who: Principal, request: Request) -> Response:
        targets = self._service.choices(who)["targets"]
        return page(
            "jobs.html", who, request, title="Jobs and runs", here="jobs", data=self._service.jobs(who), targets=targets
        )

    def _report(self, who: Principal, request: Request) -> Response:
        form, part = request.path_params["form"], request.query_params.get("part", "")
        text, kind = self._service.report(who, form, part)
        answer = Response(text, media_type=kind)
        # The service takes known forms and parts alone, so nothing else of the request gets into a header.
        what = f"-{part}" if part and form == "csv" else ""
        answer.headers["Content-Disposition"] = f'attachment; filename="syncd-report{what}.{form}"'
        return answer


def headline(data: Mapping[str, Any], needs: int) -> str:
    """Return the first sentence of the overview: is all as it should be? `needs`: how many things need a person."""
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


def _in_short(line: Mapping[str, Any]) -> str:
    """A line of the trail in a sentence."""
    detail = line["detail"]
    why = line["reason"] or detail.get("because") or detail.get("why")
    by = f", by {line['actor']['id']}"
    released = f", released by {detail['released_by']}" if detail.get("released_by") else ""
    return f"{line['event']} {line['outcome'] or ''} at {exact(line['at'])}{by}{released}{f': {why}' if why else ''}"
