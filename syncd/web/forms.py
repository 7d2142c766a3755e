"""Forms that change something: they need a right, and have to come from a page of the same session.

The answer is a redirect, so that a page that is loaded again does nothing a second time. Callers who may not read
get a page at once instead; loading that again may send the form again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from syncd.errors import PlanMoved, SyncdError
from syncd.web.answers import PAGE_TOO_LARGE, page, status_of
from syncd.web.auth import form_is_genuine, form_of, who_asks
from syncd.web.last_done import LastDone
from syncd.web.principal import Principal
from syncd.web.service import Service

Deed = Callable[[Principal, Mapping[str, str]], str]
AGAIN = ("reason", "until", "to")
"""What a person wrote into a form: it is not lost where the form was refused."""


class Forms:
    """What a person may do on the pages."""

    def __init__(self, service: Service) -> None:
        self._service, self._done = service, LastDone()

    def routes(self) -> list[Route]:
        """Return the routes of the forms, one for each action."""
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
        return [Route(f"/{path}", self._doer(right, deed), methods=["POST"]) for path, (right, deed) in deeds.items()]

    def _doer(self, right: str, deed: Deed) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a form that changes something: it needs `right`, and a page of the same session."""

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
            said = f"You are logged in as {who.name}; nothing was done."
            title = "That form is not of this page; open it again"
            return page(
                "message.html", who, request, 403, title=title, said=said, back=_page_of(request.url.path, form)
            )
        if right not in who.may:
            self._service.denied(who, right)
            return page("message.html", who, request, 403, title=f"You may not {right}")
        try:
            said = deed(who, form)
        except SyncdError as error:
            more: dict[str, Any] = {"wrong": error.message, "fix": error.hint, "back": _page_of(request.url.path, form)}
            again = {"path": request.url.path, "wrote": {key: form[key] for key in AGAIN if key in form}}
            again["fields"] = {key: value for key, value in form.items() if key not in {*AGAIN, "csrf"}}
            # What a batch was of has changed: the same again can never be done.
            more |= {"again": again} if not isinstance(error, PlanMoved) else {"beside": ("/", "What waits now")}
            return page(
                "message.html", who, request, status_of(error), title=f"Not done: {_words_of(form, right)}", **more
            )
        back, title = _page_of(request.url.path, form), _title_of(request.url.path, said)
        if "read" not in who.may:
            return page("message.html", who, request, title=title, said=said, back=back)
        self._done.put(who, title, said, back)
        # Elsewhere, so that a page that is read anew does nothing a second time.
        return RedirectResponse("/done", 303)

    def what_was_done(self, who: Principal, request: Request) -> Response:
        known = self._done.of(who)
        if known is None:
            return RedirectResponse("/", 303)
        title, said, back = known
        return page("message.html", who, request, title=title, said=said, back=back)


def _page_of(deed: str, form: Mapping[str, str]) -> str:
    """The page that a form was sent from, as far as its fields tell."""
    if form.get("site") and form.get("name"):
        return f"/secrets/{quote(form['site'], safe='')}/{quote(form['name'], safe='')}"
    if deed == "/rollback":
        return f"/secrets?{urlencode({'q': form.get('what', '')})}"
    return "/jobs" if deed in {"/pause", "/resume", "/sync"} else ""


def _words_of(form: Mapping[str, str], right: str) -> str:
    """What a form was for: `release 7284b5e65275`, `pause job payments`."""
    what = next((form[key] for key in ("batch", "what", "name", "job") if form.get(key)), form.get("scope", ""))
    scope = f"{form['scope']} " if form.get("scope") and form.get("name") else ""
    return f"{right} {scope}{what}".strip()


def _title_of(deed: str, said: str) -> str:
    """Return a title for what came of a form.

    A run that was asked for may have to wait: for its schedule, a pause or a window.
    """
    if deed != "/sync":
        return "Done"
    return "Asked to run" if " runs now" in said else "It waits"


def _scope(form: Mapping[str, str]) -> tuple[str, str]:
    return form.get("scope", ""), form.get("name", "")
