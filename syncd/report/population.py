"""What one pass over the audit trail counts for the evidence: a million lines take no more memory than their counts."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from syncd.domain.in_force import is_of_a_daemon, loaded_at
from syncd.domain.untrusted import instant, mapping, parsed

CHANGES = {"secret.create", "secret.update", "secret.delete"}
OUTAGES = {"audit.unshipped", "audit.shipped"}
"""Events: a sink of the trail fell behind, or had everything again."""
OVERRIDES = {
    "secret.released", "secret.adopted", "secret.frozen", "secret.rolled_back", "job.paused", "job.resumed",
    "secret.forgotten",
}  # fmt: skip
"""What a person does outside the usual way, with a reason."""


PEOPLE = {"person", "token"}
"""Kinds of actors who decide; the others carry out."""


@dataclass(slots=True)
class Population:
    """What one pass over the trail counts."""

    changes: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    """Of actors."""
    with_commit: int = 0
    with_plan: int = 0
    with_release: int = 0
    overrides: list[dict[str, Any]] = field(default_factory=list)
    configurations: list[dict[str, Any]] = field(default_factory=list)
    """Rows of configurations: who might do what, from when on."""
    refused: Counter[str] = field(default_factory=Counter)
    drift: Counter[str] = field(default_factory=Counter)
    pruned: list[dict[str, Any]] = field(default_factory=list)
    """What was removed by age, as far as it reaches into the period."""
    releases: int = 0
    arrivals: dict[tuple[str, str], array[float]] = field(default_factory=dict)
    """By job and target, two times for each rotation: made at its source, and arrived; seconds since 1970."""
    arrived: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """The names of those, in the same order."""
    imported: int = 0
    rebuilt: int = 0
    outages: list[dict[str, Any]] = field(default_factory=list)
    """Rows of outages: when a sink was behind, and when it had everything again."""
    begins: str = ""
    """When the trail begins, if lines of the period may be missing before that; else empty."""

    def take(self, event: str, outcome: str | None, text: str) -> None:
        """Count one more line. A change's text is searched; it is parsed only for a reason or a rotation."""
        # An intent is the same change before its request: with it each would be counted twice.
        is_change = event in CHANGES and outcome != "intent"
        if is_change:
            self.changes[event] += 1
            self.outcomes[str(outcome)] += 1
            # Keys are in order, so `actor` comes first: a key of that name in `detail` stands behind it.
            self.by_kind[text.partition('"kind":"')[2].partition('"')[0]] += 1
            self.with_commit += '"commit":null' not in text
            self.with_plan += '"plan":null' not in text
            self.with_release += '"released_by":' in text
        # Quotes within texts are escaped in JSON, so this can only be the key itself.
        # What ran out by itself, or was taken back by its mark, nobody decided.
        by_a_person = text.partition('"kind":"')[2].partition('"')[0] in PEOPLE
        if (event in OVERRIDES and by_a_person) or (is_change and outcome == "done" and '"reason":null' not in text):
            self.overrides.append(_brief(mapping(parsed(text.encode()))))
        # Only a line of a rotation tells when its source changed.
        if is_change and outcome == "done" and '"source_changed_at":"' in text:
            self._take_arrival(mapping(parsed(text.encode())))
        if event == "secret.adopted":
            # A secret that was taken back by its mark shows that a lost ledger can be made anew (q17).
            self.rebuilt += mapping(mapping(parsed(text.encode())).get("detail")).get("by") == "its mark"
        if event in REFUSED:
            self.refused[event] += 1
        if event in OUTAGES:
            self.outages.append(outage_row(mapping(parsed(text.encode()))))
        self.releases += event == "secret.released"
        self.drift["found"] += event == "drift.found"
        self.drift["restored"] += event == "drift.restored"
        self.imported += event == "ledger.imported"

    def _take_arrival(self, line: Mapping[str, Any]) -> None:
        changed = instant(mapping(line.get("detail")).get("source_changed_at"))
        arrived = instant(line.get("at"))
        if changed is None or arrived is None:
            return  # a damaged line, which the chain's break names
        # Two clocks are compared: a span below zero would make the median better than it is.
        times = min(changed, arrived).timestamp(), arrived.timestamp()
        place = str(line.get("job")), str(line.get("target"))
        self.arrivals.setdefault(place, array("d")).extend(times)
        # One text a name, however often it rotates.
        self.arrived.setdefault(place, []).append(sys.intern(str(line.get("name"))))


def outage_row(line: Mapping[str, Any]) -> dict[str, Any]:
    """When a sink of the trail fell behind, or had everything again."""
    return {"at": line.get("at"), "sink": mapping(line.get("detail")).get("sink"), "event": line.get("event")}


def configuration_row(line: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration that was loaded says of who may do what."""
    # A damaged line is named by the chain's break; the rest of the period is told all the same.
    detail, actor = mapping(line.get("detail")), mapping(line.get("actor"))
    loaded = loaded_at(line)
    return {
        "at": loaded.isoformat() if loaded else line.get("at"),
        "digest": detail.get("digest"),
        "commit": line.get("commit"),
        "by": actor.get("id"),
        "via": actor.get("via"),
        # A command that loads another file says nothing of who could use the server's tokens.
        "in_force": is_of_a_daemon(line),
        **{key: detail.get(key, {}) for key in ("tokens", "only", "proxy")},
    }


REFUSED = {"access.denied", "config.refused", "secret.denied", "secret.held", "limit.withheld"}


def _brief(line: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("at", "event", "name", "target", "job", "from", "to", "reason")
    detail = mapping(line.get("detail"))
    # What tells a pause's length, and a rollback from its end.
    more: dict[str, Any] = {key: detail[key] for key in ("scope", "until", "ended") if key in detail}
    return {**{key: line.get(key) for key in keys}, "by": mapping(line.get("actor")).get("id"), **more}
