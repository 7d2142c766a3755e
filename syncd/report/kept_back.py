"""Find the times in which nobody wanted a secret's new version at a site, from lines of the audit trail. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from syncd.domain.lateness import Rest
from syncd.domain.untrusted import instant, mapping

BEGINS = ("secret.frozen", "secret.rolled_back", "secret.denied", "orphan.found")
"""A person left it alone or took it back, a rule refused it, or no rule took it."""
EVENTS = ",".join((*BEGINS, "secret.thawed", "finding.ended"))


BY_A_PERSON = {"secret.frozen", "secret.rolled_back"}
"""Holds for the secret, whichever job sends it."""


def kept_back(lines: Iterable[Mapping[str, Any]], job: str, others: Collection[str] = ()) -> list[Rest]:
    """Return each such time, from when to when.

    `lines`: those of one secret, oldest first. `job`: the one that sends it now. `others`: the other jobs that there
    are; a job that is gone may be this one under its former name.
    """
    begun: dict[tuple[str, str], Rest] = {}
    found: list[Rest] = []
    for line in lines:
        at, event, detail = instant(line["at"]), str(line["event"]), mapping(line["detail"])
        ends = event in {"secret.thawed", "finding.ended"} or "ended" in detail
        of = {"secret.thawed": "secret.frozen", "finding.ended": str(detail.get("of"))}.get(event, event)
        # What another job finds of it says nothing of this one.
        if at is None or of not in BEGINS or (of not in BY_A_PERSON and line["job"] in others):
            continue
        key = of, job if of in BY_A_PERSON else str(line["job"])
        # Another freeze or rollback takes the place of the one before.
        first, until = begun.pop(key, (None, None))
        if first is not None:
            found.append((first, min(at, until or at)))
        if not ends:
            begun[key] = at, instant(detail.get("until"))
    # What a job found that is gone may never be said to have ended.
    return [*found, *(rest for (_, of_job), rest in begun.items() if of_job == job)]
