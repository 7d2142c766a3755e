"""Source coordinates to a Wix name. Pure, deterministic and total: a legal name or a named error.

Wix's law (CreateSecret reference): 1 to 50 characters of letters, digits and `_+=-@#$`, not beginning
with "wix" in any case. The dashboard's own form takes 40 characters of letters, digits, `-` and `_`.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass

from syncd.domain import Glob, Rule, SecretRef, name_in
from syncd.errors import BadName

PLACEHOLDERS = ("source", "mount", "path", "basename", "field")


@dataclass(frozen=True, slots=True)
class Profile:
    """Rules for names: the greatest length, and the characters that are not allowed."""

    longest: int
    illegal: re.Pattern[str]


PROFILES = {
    "api": Profile(50, re.compile(r"[^A-Za-z0-9_+=\-@#$]")),
    "dashboard": Profile(40, re.compile(r"[^A-Za-z0-9_\-]")),
}


def placeholders(template: str) -> set[str]:
    """Return the placeholders of a template. Raises ValueError if it cannot be read or has an unknown placeholder."""
    found = set()
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        # `str.format` would follow attributes and indexes: only the bare names are let through.
        if name not in PLACEHOLDERS or spec or conversion:
            raise ValueError(name)
        found.add(name)
    return found


def selects_path(rule: Rule, path: str) -> bool:
    """Does the rule's glob take this path, and no exclusion drop it?"""
    return rule.path.matches(path) and not any(glob.matches(path) for glob in rule.exclude)


def taken_as(rule: Rule, called: Iterable[str]) -> str | None:
    """Return the first spelling by which a rule takes a secret; None if it takes none.

    `called`: the spellings of the secret. A rule with a wildcard is compared with names only, because listings have
    names and no ARNs.
    """
    names = (path for path in called if not (rule.path.has_wildcard and path.startswith("arn:")))
    return next((path for path in names if selects_path(rule, path)), None)


def selects(rule: Rule, ref: SecretRef) -> bool:
    """Does the rule take this reference (its tags apart, which only the source knows)?"""
    if rule.source != ref.source or not selects_path(rule, ref.path):
        return False
    return ref.field is not None if rule.field == "*" else rule.field == ref.field


def matched_part(rule: Rule, path: str) -> str:
    """Return what `{path}` stands for in a name.

    It is the path from the rule's first segment with a wildcard on; of an exact path it is the last segment.
    """
    if not rule.path.has_wildcard:
        return _last_segment(path)
    return "/".join(path.split("/")[rule.path.prefix.count("/") :])


def _last_segment(path: str) -> str:
    """Return the last segment that is not empty (names at AWS may end in a slash); of an ARN, that of its name."""
    return name_in(path).rstrip("/").rpartition("/")[2]


def fill(template: str, rule: Rule, ref: SecretRef, mount: str) -> str:
    """Return the template with its placeholders filled from a reference. `mount`: the mount that its path lies in."""
    return template.format(
        source=ref.source,
        mount=mount,
        path=matched_part(rule, ref.path),
        basename=_last_segment(ref.path),
        field=ref.field or "",
    )


def legal(rendered: str, profile: str = "api") -> str:
    """Return the legal name for a rendered template.

    A character that is not allowed becomes `_`. A name that is too long is cut, and ends in a hyphen and 8 hex digits
    of a hash. Raises `BadName` for an empty name, and for one that begins with `wix`.
    """
    law = PROFILES[profile]
    name = law.illegal.sub("_", rendered)
    if len(name) > law.longest:
        # Hashed before any replacement, so that two long texts that differ stay different.
        digest = hashlib.sha256(rendered.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = f"{name[: law.longest - 9]}-{digest}"  # 9: the hyphen and the digest
    if not name:
        raise BadName("the rule gives an empty name", hint="use {path}, {basename} or {field} in `name`")
    if name.lower().startswith("wix"):
        raise BadName(
            f"the name {name} begins with `wix`, which Wix keeps for itself",
            hint='give the rule a prefix, such as name: "APP_{path}_{field}"',
        )
    return name


ANY = "\0"
"""Stands for text that is not known; no path, field or legal name holds it."""


def could_name(rule: Rule, name: str, path: str | None, mount: str, profile: str = "api") -> bool:
    """Could the rule give this name to a path, whatever its fields are? `path` None: to any path.

    Names that differ only in case count as the same. A name that was cut is compared only up to the cut. The answer
    may be yes by mistake, never no: a name that could be wanted is not deleted.
    """
    law, path = PROFILES[profile], path if rule.path.has_wildcard else rule.path.text
    rendered = rule.name.format(
        source=rule.source,
        # Only the server tells which part is the mount, and it may be the one that cannot be read.
        mount=mount or ANY,
        path=ANY if path is None else matched_part(rule, path),
        basename=ANY if path is None else _last_segment(path),
        field=ANY if rule.field in {None, "*"} else rule.field,
    )
    pieces = [law.illegal.sub("_", piece).casefold() for piece in rendered.split(ANY)]
    wanted = name.casefold()
    is_cut = len(name) == law.longest and re.fullmatch(r"-[0-9a-f]{8}", wanted[-9:])
    if is_cut and wanted.startswith(pieces[0][: law.longest - 9]):
        return True
    # It may say yes too often, never too seldom: a name that could be wanted is not deleted.
    return Glob("*".join(pieces)).matches(wanted)


def wix_name(rule: Rule, ref: SecretRef, mount: str = "", profile: str = "api") -> str:
    """The Wix name of a reference under a rule. Raises `BadName`."""
    return legal(fill(rule.name, rule, ref, mount), profile)
