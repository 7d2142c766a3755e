"""What pydantic found, in words of ours: no pattern, no library's sentence, nothing of what was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from syncd.config.fields import FORMS, meant_by
from syncd.config.schema_places import all_fields, fields_at, places_of

PLAIN = {
    "missing": "is required",
    "string_type": "must be text; put it in quotes",
    "dict_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "list_type": "must be a list (- item)",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
}
BOUNDS = {
    "string_too_short": "must not be empty",
    "too_short": "must have at least one item",
    "string_too_long": "is longer than {max_length} characters",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
}
ALIASES = {
    # what people write from other tools' habits, or for short
    "addr": "address", "url": "address", "endpoint": "endpoint_url", "host": "address", "server": "address",
    "secret": "secret_id", "roleid": "role_id", "secretid": "secret_id", "pass": "password", "user": "username",
    "key": "api_key", "apikey": "api_key", "site": "site_id", "app": "app_id", "instance": "instance_id",
    "paths": "secrets", "rules": "secrets", "from": "source", "sources": "source", "to": "targets", "target": "targets",
    "destinations": "targets", "interval": "schedule", "cron": "schedule", "every": "schedule", "tz": "timezone",
    "ca": "ca_file", "cacert": "ca_file", "ca_cert": "ca_file", "role_arn": "assume_role", "rename": "name",
    "template": "value", "key_name": "field", "property": "field", "prune": "deletion_policy", "db": "path",
    "hashicorp": "vault", "hashicorp_vault": "vault", "openbao": "vault", "bao": "vault", "hcvault": "vault",
    "aws": "aws_secrets_manager", "asm": "aws_secrets_manager", "secretsmanager": "aws_secrets_manager",
    "aws_sm": "aws_secrets_manager", "secrets_manager": "aws_secrets_manager", "wix_secrets": "wix",
    "k8s": "kubernetes", "oidc": "jwt", "ldap": "userpass", "iam": "aws_iam",
    "tls": "cert", "apikeys": "api_key", "oauth": "app", "oauth2": "app", "delete": "deletion_policy",
}  # fmt: skip


def told(details: Iterable[ErrorDetails]) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Yield the place and the message of each fault. A required key that was misspelt is one fault: the unknown key."""
    details = list(details)
    meant = {(*detail["loc"][:-1], _meant_here(detail)) for detail in details if detail["type"] == "extra_forbidden"}
    for detail in details:
        if detail["type"] != "missing" or detail["loc"] not in meant:
            yield detail["loc"], message_of(detail)


def _meant_here(detail: ErrorDetails) -> str:
    return _nearest(str(detail["loc"][-1]), fields_at(detail["loc"][:-1]))


def message_of(detail: ErrorDetails) -> str:
    """One fault in words."""
    kind, context = detail["type"], detail.get("ctx", {})
    # The key itself is not shown: people write credentials where keys belong.
    if kind == "extra_forbidden":
        return f"unknown key{_meant(str(detail['loc'][-1]), fields_at(detail['loc'][:-1]))}"
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        return _kind_fault(context)
    if kind == "string_pattern_mismatch":
        # pydantic's sentence shows a regular expression, which tells a person nothing.
        return f"does not fit: {FORMS.get(str(context.get('pattern')), 'see the documentation of this key')}"
    if kind == "literal_error":
        return f"is one of {context.get('expected', '')}"
    if kind in BOUNDS:
        return BOUNDS[kind].format(**context)
    if kind in PLAIN:
        return PLAIN[kind]
    return "cannot be used here; see the documentation of this key" if kind in PYDANTICS else detail["msg"]


PYDANTICS = frozenset(get_args(ErrorType))
"""Types of faults with pydantic's own words, which may hold what was written; our validators raise all others."""


def _kind_fault(context: dict[str, Any]) -> str:
    discriminator, allowed = context.get("discriminator", "its kind"), str(context.get("expected_tags", ""))
    needs = f"needs {discriminator}, one of {allowed}" if allowed else f"needs {discriminator}"
    # pydantic's own sentence quotes the tag that was written, which may be a credential in the wrong place.
    names = [part.strip(" '") for part in allowed.split(",")]
    return needs + _suggestion(str(context.get("tag", "")), names)


def _meant(key: str, here: frozenset[str]) -> str:
    # A key of this very place first: elsewhere there may be one that is nearer in letters alone.
    if suggestion := _suggestion(key, here):
        return suggestion
    if places := sorted(places_of(key)):
        return f"; it belongs into {' or '.join(places[:3])}"
    return _suggestion(key, all_fields())


def _suggestion(written: str, names: Any) -> str:
    """The name that was meant; what was written is not shown, because it may be a credential."""
    meant = _nearest(written, names)
    return f"; did you mean {meant}?" if meant else ""


def _nearest(written: str, names: Any) -> str:
    alias = ALIASES.get(written.lower().replace("-", "_"), "")
    return alias if alias in names else meant_by(written, names) or ""
