"""Turn a rule as written into the rule that cycles use, and find what does not fit its kind of source."""

from __future__ import annotations

import re
from collections.abc import Iterator

from syncd.config.fields import meant_by
from syncd.config.settings import SecretRule
from syncd.domain import Glob, Rule, SecretArn
from syncd.domain.arn import NAME_CHARACTERS
from syncd.domain.naming import PLACEHOLDERS, placeholders
from syncd.domain.value_templates import TemplateError, parsed


def faults(rule: SecretRule, kind: str, region: str = "") -> Iterator[tuple[str, str]]:
    """Yield what does not fit in a rule, as (key, message).

    `kind`: `vault`, or else AWS; `region`: that of an AWS source, empty if not known.
    """
    is_vault = kind == "vault"
    for key, glob in (("path", rule.path), *(("exclude", glob) for glob in rule.exclude)):
        yield from _vault_path_faults(key, glob) if is_vault else _aws_name_faults(key, glob)
    if is_vault and "/" not in rule.path.strip("/"):
        yield "path", "a Vault path begins with its mount; write MOUNT/PATH"
    # The server is asked for the mount of a path; it cannot be asked for many.
    if is_vault and "*" in rule.path.split("/")[0]:
        yield "path", "the mount cannot hold a wildcard"
    for key, value in (("version", rule.version), ("mount", rule.mount), ("format", rule.format)):
        if value is not None and not is_vault:
            yield key, f"{key} is for Vault sources"
    for key, given in (("stage", rule.stage), ("binary", rule.binary), ("tags", rule.tags or None)):
        if given is not None and is_vault:
            yield key, f"{key} is for AWS sources"
    if (arn := SecretArn.parse(rule.path)) and region not in {"", arn.region}:
        yield "path", f"the secret is in {arn.region}, and its source reads {region}; give it a source of its own"
    if rule.format == "json" and rule.field is not None:
        yield "field", "format: json takes the whole secret, so it has no field"
    if rule.version is not None and "*" in rule.path:
        yield "version", "one version for many paths makes no sense; write an exact path"
    if rule.value is not None:
        yield from _value_faults(rule)
    for key, text in (("name", rule.name), ("description", rule.description)):
        yield from _template_faults(rule, key, text, is_vault=is_vault)


NOT_IN_A_NAME = re.compile(rf"[^*{NAME_CHARACTERS}]")
"""A character that no secret's name at AWS may hold, and that no glob needs."""


def _aws_name_faults(key: str, path: str) -> Iterator[tuple[str, str]]:
    """AWS's law, not Vault's: slashes may stand anywhere, and an ARN names one secret."""
    if path.startswith("arn:"):
        if SecretArn.parse(path) is None:
            yield key, "not a whole ARN of one secret, which ends in a hyphen and six characters of AWS's own"
    elif NOT_IN_A_NAME.search(path):
        yield key, "no secret at AWS has such a name: letters, digits and /_+=.@!- only"


def _vault_path_faults(key: str, path: str) -> Iterator[tuple[str, str]]:
    segments = path.split("/")
    # A server folds these away: one secret would have two paths, or a path lead out of its mount.
    if path.startswith("/") or path.endswith("/") or "" in segments:
        yield key, "no slash at the beginning, at the end, or twice in a row"
    if {".", ".."} & set(segments):
        yield key, "no . or .. segments; write the path out"
    if any(ord(char) < 32 for char in path):
        yield key, "no line breaks or control characters"


def _template_faults(rule: SecretRule, key: str, text: str | None, *, is_vault: bool) -> Iterator[tuple[str, str]]:
    if text is None:
        return
    try:
        used = placeholders(text)
    except ValueError as error:
        close = meant_by(str(error), PLACEHOLDERS)
        # Braces may hold a credential: what is near none of our placeholders is not shown.
        problem = f"{{{error}}} means nothing here, did you mean {{{close}}}?" if close else "no template"
        yield key, problem + "; use {source}, {mount}, {path}, {basename} and {field}, and {{ for a brace"
        return
    # Only the fixed beginning can be judged here; what a placeholder puts there is refused secret by secret.
    if key == "name" and text.lower().startswith("wix"):
        yield key, "Wix keeps names that begin with `wix` for itself; put another prefix"
    if "field" in used and _selector(rule, "vault" if is_vault else "aws") is None:
        yield key, "{field} stands for nothing here: the rule takes the whole secret"
    if "mount" in used and not is_vault:
        yield key, "{mount} is for Vault sources"


def _value_faults(rule: SecretRule) -> Iterator[tuple[str, str]]:
    for key in ("field", "format", "binary"):
        if getattr(rule, key) is not None:
            yield key, "a rule with `value` makes one secret of several fields; leave this out"
    try:
        parsed(rule.value or "")
    except TemplateError as error:
        yield "value", f"not a template of fields: {error}"


def _selector(rule: SecretRule, kind: str) -> str | None:
    if rule.format == "json" or rule.value is not None:
        return None
    if rule.field is None:
        return "*" if kind == "vault" else None
    return rule.field


def normalised(rule: SecretRule, index: int, source: str, kind: str) -> Rule:
    """The rule in the form that the cycle uses."""
    field = _selector(rule, kind)
    return Rule(
        index=index,
        source=source,
        path=Glob(rule.path),
        field=field,
        name=rule.name or ("{path}" if field is None else "{path}_{field}"),
        mount=rule.mount.strip("/") + "/" if rule.mount else None,
        exclude=tuple(Glob(glob) for glob in rule.exclude),
        tags=tuple(sorted(rule.tags.items())),
        pin=str(rule.version) if rule.version is not None else rule.stage or "",
        binary=rule.binary == "base64",
        description=rule.description or "",
        value=rule.value or "",
    )
