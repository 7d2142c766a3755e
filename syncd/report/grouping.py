"""One cause, one message: what many secrets or sites have in common is said once, with their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ALONE = 3
"""Up to so many problems of one cause are listed one by one; more share one line."""
ID = re.compile(r" \(id [\w-]+\)")
"""How a message tells an id at Wix, in which no two secrets are alike."""
A_TARGET = re.compile(r"--target \S+")
"""Of whom a command is, where the same is to be done on several sites."""
SPAN = re.compile(r"\b(?:\d+[dhms])+ more\b")
"""The rest of a time span in a message: it changes every minute, and makes no other cause."""
NAMED = 5
"""Names that such a line holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What went wrong with one thing."""

    label: str
    """What kind of problem it is, in one word."""
    name: str
    message: str
    hint: str = ""

    @property
    def cause(self) -> tuple[str, str, str]:
        """What it has in common with others: label, message and hint without the name and the target of this one."""
        message = SPAN.sub("some time more", ID.sub("", _without(self.name, self.message)))
        return self.label, message, A_TARGET.sub("--target TARGET", _without(self.name, self.hint))


def _without(name: str, text: str) -> str:
    """Return the text with NAME in place of the name, where that stands as a word of its own."""
    # A name may come with its reference in brackets, which messages do not repeat. `-` belongs to names.
    short = name.partition(" (")[0]
    return re.sub(rf"(?<![\w-]){re.escape(short)}(?![\w-])", "NAME", text) if short else text


def names_in_words(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def places_in_words(places: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """Put pairs of name and target into words: the names, and the targets, if each name is on each of the targets.

    Otherwise the first text has all of it, such as `a, b on x; c on x, y`, and the second is empty.
    """
    targets: dict[str, set[str]] = {}
    for name, target in places:
        targets.setdefault(name, set()).add(target)
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, found in targets.items():
        alike.setdefault(tuple(sorted(found)), []).append(name)
    told = [(names_in_words(names), names_in_words([*found])) for found, names in alike.items()] or [("", "")]
    if len(told) == 1:
        return told[0]
    more = f"; and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return "; ".join(f"{names} on {found}" for names, found in told[:NAMED]) + more, ""


def grouped_by_cause(problems: Iterable[Problem]) -> Iterator[list[Problem]]:
    """Yield the problems in their order; more than `ALONE` of one cause together, at the place of the first."""
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.cause, []).append(problem)
    for group in groups.values():
        # A few names are of more use, each with its own words, than the line that they share.
        if len(group) > ALONE:
            yield group
        else:
            yield from ([problem] for problem in group)


def problem_lines(problems: Iterable[Problem]) -> Iterator[str]:
    """Indented lines for people: label, names, message; then the fix."""
    for group in grouped_by_cause(problems):
        first = group[0]
        if len(group) == 1:
            where, message, hint = first.name, first.message, first.hint
        else:
            _, message, hint = first.cause
            where = f"{len(group)} secrets ({names_in_words([problem.name.partition(' (')[0] for problem in group])})"
        yield f"  {first.label:11} {where}{': ' if where else ''}{message}"
        if hint:
            yield f"              fix: {hint}"
