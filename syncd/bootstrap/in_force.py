"""What the audit trail tells of a configuration that counts from now on. Pure."""

from __future__ import annotations

from typing import Any

from syncd.config.fields import format_duration
from syncd.config.settings import Settings


def audited_settings(settings: Settings) -> dict[str, Any]:
    """Who may do what, and what the rules ask for: names and rights, and nothing of the tokens."""
    # The trail has to answer who could release at some time.
    server = settings.server
    may: dict[str, Any] = {item.name: list(item.may) for item in server.tokens} if server else {}
    may |= {"token": ["all"]} if server and server.token else {}
    users = {name: list(rights) for name, rights in server.proxy.may.items()} if server and server.proxy else {}
    tokens = server.tokens if server else ()
    return {
        "owner": settings.owner,
        "jobs": sorted(settings.jobs),
        "keep": format_duration(settings.audit.keep),
        "sink": settings.audit.shown_sink,
        "tokens": may,
        "proxy": users,
        "rules": {rule.id: rule.then for rule in settings.rules},
        # What each rule asked for at some time, and whom it left alone, is nowhere else once the file is changed.
        "checks": {rule.id: rule.written(without={"id", "then", "except_"}) for rule in settings.rules},
        "exceptions": {rule.id: rule.written()["except"] for rule in settings.rules if rule.except_},
        "only": {item.name: item.only.model_dump(exclude_none=True) for item in tokens if item.only is not None},
    }
