"""The API's OpenAPI document: each path, what it takes, and the statuses that it answers with."""

from __future__ import annotations

from typing import Any

from syncd import __version__

_ERROR = {
    "type": "object",
    "required": ["error", "fix"],
    "properties": {"error": {"type": "string"}, "fix": {"type": "string"}, "exit_code": {"type": "integer"}},
}
_SAID = {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}
LONGEST_TEXT = 4096
"""Characters of a text in a body: more than a path of a source may have."""
_TEXT = {"type": "string"}
_REFUSALS = {
    "400": "what was asked for cannot be; `fix` says how it can",
    "401": "no valid token",
    "403": "the token may not do that",
    "503": "the ledger cannot be used",
}


def _answers(schema: dict[str, Any], **more: str) -> dict[str, Any]:
    found: dict[str, Any] = {"200": {"description": "done", "content": {"application/json": {"schema": schema}}}}
    for status, words in {**_REFUSALS, **more}.items():
        # A keyword cannot begin with a digit, so a status that is given by one has an s before it.
        key = status.removeprefix("s")
        found[key] = {"description": words, "content": {"application/json": {"schema": _ERROR}}}
    return found


def _get(summary: str, schema: dict[str, Any], *query: str, **more: str) -> dict[str, Any]:
    parameters = [{"name": name, "in": "query", "required": False, "schema": _TEXT} for name in query]
    return {"get": {"summary": summary, "parameters": parameters, "responses": _answers(schema, **more)}}


def _post(
    summary: str, required: tuple[str, ...], optional: tuple[str, ...] = (), schema: dict[str, Any] = _SAID
) -> dict[str, Any]:
    properties: dict[str, dict[str, Any]] = {
        name: {"type": "string"} if name == "configuration" else {"type": "string", "maxLength": LONGEST_TEXT}
        for name in (*required, *optional)
    }
    properties |= {"end": {"type": "boolean"}} if "end" in optional else {}
    body = {
        "type": "object", "required": list(required), "properties": properties, "additionalProperties": False,
    }  # fmt: skip
    more = {
        "s409": "what it was for has moved",
        "s413": "too large",
        "s415": "not sent as JSON",
        "s502": "a source or site does not answer",
    }
    answers = _answers(schema, **more)
    content = {"required": True, "content": {"application/json": {"schema": body}}}
    return {"post": {"summary": summary, "requestBody": content, "responses": answers}}


_OBJECT, _LIST = {"type": "object"}, {"type": "array", "items": {"type": "object"}}
_SECRET = {
    "get": {
        "summary": "One secret: its places, the rules that it breaks, its lines of the audit trail",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in ("site", "name")
        ],
        "responses": _answers(_OBJECT, s404="there is no such secret"),
    }
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "syncd", "version": __version__, "description": "What the pages show and do, for scripts."},
    "security": [{"token": []}],
    "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    "paths": {
        "/api/v1/status": _get("Jobs, their runs, counts", _OBJECT),
        "/api/v1/overview": _get("What needs somebody, and jobs by sites", _OBJECT),
        "/api/v1/secrets": _get(
            "A page of secrets", _OBJECT, "q", "status", "job", "target", "rule", "label", "sort", "after"
        ),
        "/api/v1/secrets/{site}/{name}": _SECRET,
        "/api/v1/held": _get("What waits for a release, by batch", _LIST),
        "/api/v1/audit": _get("Lines of the audit trail", _OBJECT, "actor", "event", "name", "target", "day"),
        "/api/v1/report": _get("The whole report", _OBJECT),
        "/api/v1/where": _get("On which sites a path's secrets are", _LIST, "path"),
        "/api/v1/plan": _post("What a candidate configuration would do", ("configuration",), schema=_OBJECT),
        "/api/v1/sync": _post("Let a job run soon", ("job",), ("reason",)),
        "/api/v1/release": _post("Let a held batch go", ("batch", "reason")),
        "/api/v1/pause": _post("Let a job, a target or all rest", ("scope", "reason"), ("name", "until")),
        "/api/v1/resume": _post("End a pause", ("scope",), ("name", "reason")),
        "/api/v1/rollback": _post(
            "Give sites an older version", ("reason",), ("what", "to", "until", "end", "job", "since")
        ),
        "/api/v1/freeze": _post("Leave a secret alone, or thaw it", ("site", "name"), ("until", "reason")),
    },
}
