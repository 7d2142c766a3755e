"""Source coordinates to a Wix name. Pure, deterministic and total: a legal name or a named error.

Wix's law (CreateSecret reference): 1 to 50 characters of letters, digits and `_+=-@#$`, not beginning
with "wix" in any case. The dashboard's own form takes 40 characters of letters, digits, `-` and `_`.
"""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import dataclass
from functools import lru_cache

from syncd.errors import BadName
from syncd.models import Rule, SecretRef

PLACEHOLDERS = ("source", "mount", "path", "basename", "field")


@dataclass(frozen=True, slots=True)
class Profile:
    """A law for names: how long, and which characters are outside it."""

    longest: int
    illegal: re.Pattern[str]


PROFILES = {
    "api": Profile(50, re.compile(r"[^A-Za-z0-9_+=\-@#$]")),
    "dashboard": Profile(40, re.compile(r"[^A-Za-z0-9_\-]")),
}


def placeholders(template: str) -> set[str]:
    """The names in braces. Raises ValueError for a template that cannot be read."""
    found = set()
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if name not in PLACEHOLDERS or spec or conversion:
            raise ValueError(name)
        found.add(name)
    return found


@lru_cache(maxsize=512)
def glob_pattern(glob: str) -> re.Pattern[str]:
    """`*` within one segment; `**` any number of segments (at the end: one or more)."""
    segments = glob.split("/")
    parts = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "**":
            parts.append(".+" if last else "(?:[^/]+/)*")
            continue
        body = "[^/]+" if segment == "*" else "".join("[^/]*" if c == "*" else re.escape(c) for c in segment)
        parts.append(body if last else body + "/")
    return re.compile("".join(parts), re.DOTALL)


def has_wildcard(path: str) -> bool:
    """Is this a glob, not an exact path?"""
    return "*" in path


def may_lead_to(glob: str, folder: str) -> bool:
    """Can anything below `folder` (no final slash; empty for the top) be taken by the glob?"""
    wanted = glob.split("/")
    for index, segment in enumerate(folder.split("/") if folder else []):
        if index < len(wanted) and wanted[index] == "**":
            return True
        if index >= len(wanted) - 1 or not glob_pattern(wanted[index]).fullmatch(segment):
            return False
    return True


def selects_path(rule: Rule, path: str) -> bool:
    """Does the rule's glob take this path, and no exclusion drop it?"""
    taken = path == rule.path or (has_wildcard(rule.path) and glob_pattern(rule.path).fullmatch(path))
    return bool(taken) and not any(glob_pattern(glob).fullmatch(path) for glob in rule.exclude)


def selects(rule: Rule, ref: SecretRef) -> bool:
    """Does the rule take this reference (its tags apart, which only the source knows)?"""
    if rule.source != ref.source or not selects_path(rule, ref.path):
        return False
    return ref.field is not None if rule.field == "*" else rule.field == ref.field


def matched_part(rule: Rule, path: str) -> str:
    """From the first segment that holds a wildcard to the end; the last segment of an exact path."""
    if not has_wildcard(rule.path):
        return path.rpartition("/")[2]
    wild = next(i for i, segment in enumerate(rule.path.split("/")) if "*" in segment)
    return "/".join(path.split("/")[wild:])


def fill(template: str, rule: Rule, ref: SecretRef, mount: str) -> str:
    """The template with this reference's coordinates."""
    return template.format(
        source=ref.source,
        mount=mount,
        path=matched_part(rule, ref.path),
        basename=ref.path.rpartition("/")[2],
        field=ref.field or "",
    )


def legal(rendered: str, profile: str = "api") -> str:
    """The legal name for a rendered template. Raises `BadName`."""
    law = PROFILES[profile]
    name = law.illegal.sub("_", rendered)
    if len(name) > law.longest:
        # Hashed before any replacement, so that two long texts that differ stay different.
        digest = hashlib.sha256(rendered.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = f"{name[: law.longest - 9]}-{digest}"
    if not name:
        raise BadName("the rule gives an empty name", hint="use {path}, {basename} or {field} in `name`")
    if name.lower().startswith("wix"):
        raise BadName(
            f"the name {name} begins with `wix`, which Wix keeps for itself",
            hint='give the rule a prefix, such as name: "APP_{path}_{field}"',
        )
    return name


def wix_name(rule: Rule, ref: SecretRef, mount: str = "", profile: str = "api") -> str:
    """The Wix name of a reference under a rule. Raises `BadName`."""
    return legal(fill(rule.name, rule, ref, mount), profile)
