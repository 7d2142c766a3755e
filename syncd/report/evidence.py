"""The auditor's file: the complete population of changes of a time, and the seventeen questions with their answers.

One pass over the audit trail, line by line: a million lines take no more memory than their counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TextIO

from syncd.bootstrap.app import App
from syncd.domain.audit import CONTROL, EPOCH
from syncd.domain.governance import Then
from syncd.domain.untrusted import mapping, parsed
from syncd.ledger.audit import Filter
from syncd.report.inventory import Chosen, Report, report_now

NOT_RECORDED = "not recorded"
CHANGES = {"secret.create", "secret.update", "secret.delete"}
OVERRIDES = {
    "secret.released", "secret.adopted", "secret.frozen", "secret.rolled_back", "job.paused", "secret.forgotten",
}  # fmt: skip
"""What a person does beside the usual way, with a reason."""


@dataclass(slots=True)
class _Population:
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
    """Who might do what, from when on."""
    refused: Counter[str] = field(default_factory=Counter)
    drift: Counter[str] = field(default_factory=Counter)
    pruned: list[dict[str, Any]] = field(default_factory=list)
    """What was removed by age, as far as it reaches into the period."""
    releases: int = 0
    imported: int = 0
    rebuilt: int = 0
    begins: str = ""
    """When the trail begins, if that is not before the period."""

    def take(self, event: str, outcome: str | None, text: str) -> None:
        """One more line. A change is counted by its text, which is parsed only where a person gave a reason."""
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
        if event in OVERRIDES or (is_change and outcome == "done" and '"reason":null' not in text):
            self.overrides.append(_brief(mapping(parsed(text.encode()))))
        if event == "config.loaded":
            self.take_configuration(mapping(parsed(text.encode())))
        if event == "secret.adopted":
            # A secret that was taken back by its mark shows that a lost ledger can be made anew (q17).
            self.rebuilt += mapping(mapping(parsed(text.encode())).get("detail")).get("by") == "its mark"
        if event in REFUSED:
            self.refused[event] += 1
        self.releases += event == "secret.released"
        self.drift["found"] += event == "drift.found"
        self.drift["restored"] += event == "drift.restored"
        self.imported += event == "ledger.imported"

    def take_configuration(self, line: Mapping[str, Any]) -> None:
        """One more configuration that was loaded, with what it says of who may do what."""
        # A damaged line is named by the chain's break; the rest of the period is told all the same.
        detail = mapping(line.get("detail"))
        who = {key: detail.get(key, {}) for key in ("tokens", "only", "proxy")}
        self.configurations.append(
            {"at": line.get("at"), "digest": detail.get("digest"), "commit": line.get("commit"), **who}
        )


REFUSED = {"access.denied", "config.refused", "secret.denied", "secret.held", "limit.withheld"}


def _brief(line: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("at", "event", "name", "target", "job", "from", "to", "reason")
    return {**{key: line.get(key) for key in keys}, "by": mapping(line.get("actor")).get("id")}


def write_evidence(app: App, since: datetime, until: datetime, out: TextIO) -> None:
    """Write one JSON document: `changes` line by line and stream by stream, then all else. Raises `LedgerError`."""
    population, first = _Population(), [True]
    begin, end = _microseconds(since), _microseconds(until)

    def visit(at: int, event: str, outcome: str | None, text: str) -> None:
        if not begin <= at < end:
            return
        population.take(event, outcome, text)
        if event in CHANGES and outcome != "intent":
            # As it is stored: whoever gets the file can compute the hash of each line.
            out.write(text if first[0] else f",\n{text}")
            first[0] = False

    out.write(f'{{"from": {json.dumps(since.isoformat())}, "to": {json.dumps(until.isoformat())},\n"changes": [\n')
    # One pass for both: the lines that are verified are the lines that the file holds.
    broken, count = app.ledger.audit.verify({}, visit)
    out.write("\n],\n")
    # A removal after the period may have taken lines of it, and the pass above does not see that.
    population.pruned = _pruned_since(app, since)
    population.begins = _begins_after(app, since, until, rebuilt=population.rebuilt)
    population.configurations = [*_in_force_at(app, since), *population.configurations]
    report = report_now(app, Chosen())
    chains = {
        "lines": count,
        "streams": {stream: {"seq": seq, "hash": digest} for stream, (seq, digest) in app.ledger.audit.heads().items()},
        "breaks": [{"stream": item.stream, "seq": item.seq, "what": item.what} for item in broken],
    }
    rest = {
        "counts": {
            "changes": dict(population.changes),
            "outcomes": dict(population.outcomes),
            "by": dict(population.by_kind),
        },
        "who_could": population.configurations,
        "overrides": population.overrides,
        "refused": dict(population.refused),
        "chains": chains,
        "questions": answers(app, report, population, chains),
    }
    # The document was opened above, so the brace of this part is left out.
    out.write(json.dumps(rest, default=str, ensure_ascii=False)[1:] + "\n")


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _complete(population: _Population, total: int, broken: Collection[object]) -> dict[str, Any]:
    """The changes, and whether these are all."""
    begins = population.begins
    told: dict[str, Any] = {
        "count": total, "where": "changes", "complete": not (population.pruned or begins or broken),
    }  # fmt: skip
    if begins:
        told["begins"] = (
            f"this ledger's trail begins at {begins}; if it was moved or rebuilt then, the export of the one before, and "
            "what was shipped from it, have the changes of before"
        )
    if broken:
        told["broken"] = "a chain is not as it was written (q7): lines may have been taken out, or moved"
    if population.pruned:
        last = max(item["until"] for item in population.pruned)
        told["missing"] = f"lines up to {last} were removed by audit.keep; what was shipped before has them"
    return told


def _begins_after(app: App, since: datetime, until: datetime, *, rebuilt: int) -> str:
    """When the trail begins, if another one may have had lines of the period; else empty.

    A trail that begins within it is whole if nothing was moved here and nothing `rebuilt`: syncd was new then.
    """
    openings = app.ledger.audit.lines(Filter(event="audit.opened"))
    first = min((line["at"] for line in openings if line["stream"] == CONTROL), default="")
    imported = max((line["at"] for line in app.ledger.audit.lines(Filter(event="ledger.imported"))), default="")
    # Without its opening line the oldest was removed by age, which `_pruned_since` tells of.
    if imported and datetime.fromisoformat(imported) > since:
        return imported
    opened = datetime.fromisoformat(first) if first else None
    is_late = opened is not None and (opened >= until or (rebuilt and opened > since))
    return first if is_late else ""


def _in_force_at(app: App, since: datetime) -> list[dict[str, Any]]:
    """What the last configuration that was loaded before the period said of who may do what."""
    before = _Population()
    for line in app.ledger.audit.lines(Filter(event="config.loaded", until=since), most=1):
        before.take_configuration(line)
    return before.configurations


def _pruned_since(app: App, since: datetime) -> list[dict[str, Any]]:
    """The removals by age that took lines of the period, whenever they were made."""
    lines = app.ledger.audit.lines(Filter(event="audit.pruned"))
    found = ({"at": line["at"], **line["detail"]} for line in lines)
    return [item for item in found if datetime.fromisoformat(item["until"]) > since]


def answers(app: App, report: Report, population: _Population, chains: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The questions q1 to q17, each with its answer."""
    settings = app.settings
    total = sum(population.changes.values())
    complete = _complete(population, total, chains["breaks"])
    agreed = f"{population.with_commit} of {total} name a commit, as it was claimed; {population.with_plan} a kept plan"
    released = (
        f"{population.with_release} of {total} name who released them, and the batch (detail); "
        f"{population.releases} releases were given, with who and why in overrides"
        if population.releases or population.with_release
        else ""
    )
    # A commit is claimed by whoever runs the command. Without one, nothing tells of an agreement beside releases.
    reviewed = agreed if population.with_commit else ""
    agreements = "; ".join(part for part in (reviewed, released) if part) or NOT_RECORDED
    return {
        "q1": _answer("inventory with origin, places and owner", report.secrets),
        "q2": _answer("who may cause or release a change", _who_may(population)),
        "q3": _answer("the complete population of changes in the period", complete),
        "q4": _answer(
            "for one change: asked by, agreed by another, tested, applied when, leading to what",
            {
                "asked by": "changes[].actor and .reason",
                "agreed by another": agreements,
                # Nobody tells syncd of tests: a commit that is named does not prove any.
                "tested": NOT_RECORDED,
                "applied when": "changes[].at; the intent is line .intent of stream .stream",
                "leading to": "changes[].to (source version), .commit",
            },
        ),
        "q5": _answer("emergency changes and their reasons", population.overrides),
        "q6": _answer("for each event what, when, where, source, outcome, identity", "syncd audit export; changes"),
        "q7": _answer(
            "can a line be removed unseen",
            {"chains": chains, "tail": "heads are in each cycle.finished event, and where audit: ships lines to"},
        ),
        "q8": _answer("kept how long", {"keep": str(settings.audit.keep), "pruned": population.pruned}),
        "q9": _answer("did logging fail", _logging(app)),
        "q10": _answer("age and rotation against the stated period", _ages(app, report)),
        "q11": _answer("how long from rotation to every consumer", _arrivals(report)),
        "q12": _answer("one value in two environments", _of_rules(app, "duplicate", report.duplicates)),
        "q13": _answer(
            "changes outside the process, found and dealt with",
            {"counts": dict(population.drift), "drift": report.drift},
        ),
        "q14": _answer("secrets that nobody manages", report.unmanaged),
        "q15": _answer("exceptions: who, why, until when", report.exceptions),
        "q16": _answer(
            "is a value ever shown or stored",
            "no: the ledger holds keyed fingerprints, the trail neither values nor fingerprints (SECURITY.md)",
        ),
        "q17": _answer("was a restore proved", _restores(population)),
    }  # fmt: skip


def _answer(question: str, answer: object) -> dict[str, Any]:
    return {"question": question, "answer": answer}


def _who_may(population: _Population) -> object:
    if not population.configurations:
        # A configuration has a line only when it differs from the last, so an unchanged one has none in the period.
        return "as config.loaded said before the period; see syncd audit show --event config.loaded"
    return population.configurations


def _logging(app: App) -> dict[str, Any]:
    sink = app.settings.audit.sink
    # Without a sink nothing waits to be shipped: a count would look like a failure of logging.
    waiting = app.ledger.audit.unshipped_count(sink) if sink else 0
    return {"sink": sink or "none configured", "lines not shipped": waiting, "required": app.settings.audit.required}


def _ages(app: App, report: Report) -> dict[str, Any]:
    periods = {rule.id: f"{rule.max_age.days}d" for rule in app.runtime.rules if rule.max_age}
    late = [hit for hit in report.hits if hit["rule"] in periods]
    stated = periods or "no rule states one (max_age)"
    return {"stated": stated, "older": late, "of": len(report.secrets)}


def _arrivals(report: Report) -> dict[str, Any]:
    spans = sorted(
        (row["arrived_at"] - row["source_changed_at"]).total_seconds()
        for row in report.secrets
        # Two clocks are compared: a span below zero would make the median better than it is.
        if row["arrived_at"] and row["source_changed_at"] and row["arrived_at"] >= row["source_changed_at"]
    )
    waiting = [row["name"] for row in report.secrets if row["status"] != "synced"]
    if not spans:
        return {"secrets": 0, "not there": waiting}
    middle = timedelta(seconds=round(spans[len(spans) // 2]))
    return {"median": str(middle), "longest": str(timedelta(seconds=round(spans[-1]))), "not there": waiting}


def _of_rules(app: App, kind: str, found: Iterable[object]) -> object:
    rules = [rule.id for rule in app.runtime.rules if getattr(rule, kind) and rule.then is Then.WARN]
    return {"rules": rules or f"no rule of the kind {kind} is configured", "found": list(found)}


def _restores(population: _Population) -> object:
    if not population.imported and not population.rebuilt:
        return NOT_RECORDED
    return {"ledgers imported": population.imported, "secrets taken back by their mark": population.rebuilt}
