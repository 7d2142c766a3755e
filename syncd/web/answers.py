"""What pages share: the HTML of a template, the HTTP status of an error, and which paths are pages of this server."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from syncd.errors import ConfigError, LedgerError, PlanMoved, SecretError, SyncdError
from syncd.web.pages.rendering import rendered
from syncd.web.principal import Principal

PAGE_TOO_LARGE = Response("too large\n", 413, media_type="text/plain")


def status_of(error: SyncdError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, PlanMoved | SecretError):
        return 409
    if isinstance(error, LedgerError):
        return 503
    return 400 if isinstance(error, ConfigError) else 502


def page(template: str, who: Principal | None, request: Request, code: int = 200, **more: Any) -> HTMLResponse:
    """Return a page from its template, for `who` (None: a stranger). `more`: what the template shows.

    With `?live=on` in the address, the browser loads a page that is `refreshable` again and again.
    """
    live = request.query_params.get("live") == "on"
    given = {"refresh": live and more.get("refreshable", False), "now": datetime.now(UTC), **more}
    return HTMLResponse(rendered(template, who=who, **given), code)


PAGES = re.compile(r"/(secrets|governance|activity|jobs)(/[^/?#\\\s]{1,200}){0,2}(\?[^#\\\s]{0,500})?")
"""Where a login may lead on to: pages of this very server."""


def is_page(path: str) -> bool:
    """Is it the path of a page of this server, with or without a query?"""
    return path.isascii() and path.isprintable() and PAGES.fullmatch(path) is not None
