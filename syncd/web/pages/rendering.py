"""Pages from templates: escaped by default, one style sheet, nothing from elsewhere and no scripts."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from syncd.domain.readable import readable

PAGES = (
    ("", "Overview"), ("secrets", "Secrets"), ("governance", "Governance"), ("activity", "Activity"), ("jobs", "Jobs"),
)  # fmt: skip
TONES = {
    "good": {"synced", "done"},
    "bad": {
        "failed", "conflict", "quarantined", "denied", "contested", "missing", "intent-lost", "unreadable",
    },
}  # fmt: skip
CODES = {
    None: ("", "no cycle yet"),
    0: ("good", "done"),
    1: ("wait", "done but for some secrets"),
    3: ("bad", "the configuration is at fault"),
    4: ("bad", "a source could not be read"),
    5: ("bad", "the site refused or did not answer"),
    6: ("wait", "done; something waits for a release"),
    7: ("bad", "the ledger cannot be used"),
}

COMMANDS = (
    "apply", "audit", "check", "demo", "explain", "forecast", "held", "init", "pause", "plan", "release", "report",
    "resume", "rollback", "rules", "run", "sandbox", "schema", "state", "status", "sync", "where",
)  # fmt: skip
COMMAND = re.compile(rf"\bsyncd (?:{'|'.join(COMMANDS)})\b(?:'[^']*'|[^;,.()`]|[.](?=\S))*")
"""A syncd command within a text: it reaches to the next punctuation mark (a dot within a word is none)."""


def exact(at: object) -> str:
    """A time in UTC to the second."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if isinstance(moment, datetime) else ""


def ago(at: object, now: datetime) -> str:
    """How long ago, or how soon, as a person says it."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    if not isinstance(moment, datetime):
        return "never"
    seconds = int((now - moment).total_seconds())
    span = abs(seconds)
    units = (("d", 86400), ("h", 3600), ("min", 60))
    text = next((f"{span // size} {unit}" for unit, size in units if span >= size), f"{span} s")
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def soon(at: object, now: datetime) -> str:
    """In how much time a run comes, as a person says it; `due` once that time is over."""
    moment = instant(at)
    return "due" if isinstance(moment, datetime) and moment <= now else ago(moment, now)


def instant(text: object) -> object:
    """Return the time that a text in ISO 8601 gives; anything but a text is returned as it is."""
    return datetime.fromisoformat(text) if isinstance(text, str) else text


def tone(word: str) -> str:
    """Return the tone of a status (good, bad or wait), for its colour; the pages show the status in words as well."""
    return next((name for name, words in TONES.items() if word in words), "wait")


def plain(value: object) -> str:
    """Return a value as the text of a report's cell."""
    return "-" if value is None else exact(value) if isinstance(value, datetime) else str(value)


def held_words(batch: Mapping[str, Any]) -> str:
    """What a batch would do, in numbers: 12 deletions, 1 update."""
    count = Counter(action["action"] for action in batch["actions"])
    called = {"create": "creation", "update": "update", "delete": "deletion"}
    words = ((count[key], word) for key, word in called.items() if count[key])
    return ", ".join(f"{number:,} {word}{'' if number == 1 else 's'}" for number, word in words)


def release_words(batch: Mapping[str, Any]) -> str:
    """Return the text of the release button; it tells how many secrets are deleted, so that nobody deletes unawares."""
    count = sum(action["action"] == "delete" for action in batch["actions"])
    return f"Release: delete {count:,}" if count else "Release"


def beside_reason(line: Mapping[str, Any]) -> str:
    """Return what a line of the audit trail tells apart from its reason.

    A release gives its own reason to what it lets go; the same text is not shown twice.
    """
    return readable({key: value for key, value in line["detail"].items() if value != line["reason"]})


def with_commands(text: str) -> list[tuple[str, list[str]]]:
    """A text in pieces: what stands before each command of ours, and that command's words."""
    pieces, at = list[tuple[str, list[str]]](), 0
    for found in COMMAND.finditer(text):
        pieces.append((text[at : found.start()], found[0].split()))
        at = found.end()
    return [*pieces, (text[at:], [])]


# Names, paths and reasons come from outside: in a page they are text, whatever they hold.
_ENVIRONMENT = Environment(
    loader=PackageLoader("syncd.web.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_ENVIRONMENT.filters |= {
    "held_words": held_words, "release_words": release_words,
    "exact": exact, "ago": ago, "soon": soon, "tone": tone, "plain": plain, "instant": instant,
    "beside_reason": beside_reason, "with_commands": with_commands,
    "code_tone": lambda code: CODES.get(code, ("bad", ""))[0],
    "code_words": lambda code: CODES.get(code, ("", f"exit code {code}"))[1],
}  # fmt: skip
STYLE = (files("syncd.web.pages") / "style.css").read_text(encoding="utf-8")
POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; img-src data:; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)
"""Content-Security-Policy: this style sheet, forms to ourselves, and nothing else."""


def rendered(template: str, **more: Any) -> str:
    """A page of the console. `template`: its name; `more`: what it shows, beside what every page has."""
    given = {
        "style": STYLE, "pages": PAGES, "who": None, "here": None, "said": "", "wrong": "", "fix": "", "refresh": False,
        "refreshable": False, "now": datetime.now(UTC),
    }  # fmt: skip
    return _ENVIRONMENT.get_template(template).render(**(given | more))
