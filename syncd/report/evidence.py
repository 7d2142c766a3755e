"""The auditor's file: the complete population of changes of a period, and the seventeen questions, answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, TextIO

from syncd.bootstrap.app import App
from syncd.domain.audit import CONTROL, EPOCH
from syncd.domain.audit_chain import Break
from syncd.domain.in_force import InForce, loaded_at
from syncd.domain.untrusted import mapping, parsed
from syncd.ledger.audit_reading import Filter
from syncd.report.inventory import report_now
from syncd.report.parts import Chosen
from syncd.report.population import CHANGES, OUTAGES, Population, configuration_row, outage_row
from syncd.report.questions import answers, when


def write_evidence(app: App, since: datetime, until: datetime, out: TextIO) -> list[Break]:
    """Write one JSON document: `changes` line by line and stream by stream, then all else.

    Returns: where the trail is not as it was written. Raises `LedgerError`.
    """
    population, first = Population(), [True]
    outages = dict[Any, dict[str, Any]]()
    before, loaded = InForce(since), list[tuple[datetime, Mapping[Any, Any]]]()
    begin, end = _microseconds(since), _microseconds(until)

    def visit(row: Mapping[Any, Any], is_sound: bool) -> None:
        event, outcome, text = row["event"], row["outcome"], row["line"]
        # Also one from after the period: what was loaded before it may have been told again since.
        if event == "config.loaded":
            line = mapping(parsed(str(text).encode()))
            before.take(line)
            if (at := loaded_at(line)) is not None and since <= at < until:
                loaded.append((at, line))
        if event in OUTAGES and row["at"] < begin:
            told = outage_row(mapping(parsed(str(text).encode())))
            outages[told["sink"]] = told
        if not begin <= row["at"] < end:
            return
        # What was altered may be no line at all any more: the file stays one that can be read.
        if not is_sound and not mapping(parsed(str(text).encode())):
            text = json.dumps({"stream": row["stream"], "seq": row["seq"], "unreadable": True})
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
    # An outage that began before the period, and had not ended when that began.
    population.outages += [told for told in outages.values() if told["event"] == "audit.unshipped"]
    told = sorted(loaded, key=itemgetter(0))
    rows = [configuration_row(line) for line in (before.line, *(line for _, line in told)) if line is not None]
    # One that was told again is the same one.
    population.configurations = [row for number, row in enumerate(rows) if row not in rows[:number]]
    report = report_now(app, Chosen())
    made_at = report.as_of.isoformat()
    chains = {
        "lines": count,
        "streams": {stream: {"seq": seq, "hash": digest} for stream, (seq, digest) in app.ledger.audit.heads().items()},
        "breaks": [{"stream": item.stream, "seq": item.seq, "what": item.what} for item in broken],
    }
    rest = {
        # A file of October that is made in November answers some of the questions for November.
        "made_at": made_at,
        "of": {
            "owner": app.settings.owner,
            "ledger": app.ledger.place,
            "targets": {target: app.site_of(target) for target in sorted(app.settings.targets)},
        },
        "counts": {
            "changes": dict(population.changes),
            "outcomes": dict(population.outcomes),
            "by": dict(population.by_kind),
        },
        "who_could": population.configurations,
        "overrides": sorted(population.overrides, key=when),
        "refused": dict(population.refused),
        "chains": chains,
        "questions": {
            key: {**told, "as_of": made_at} if key in OF_NOW else told
            for key, told in answers(app, report, population, chains, (since, until)).items()
        },
    }
    # The document was opened above, so the brace of this part is left out.
    out.write(json.dumps(rest, default=str, ensure_ascii=False)[1:] + "\n")
    return broken


OF_NOW = ("q1", "q8", "q10", "q12", "q14", "q15")
"""Questions that are answered for the moment in which the file is made, whatever its period is."""


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _begins_after(app: App, since: datetime, until: datetime, *, rebuilt: int) -> str:
    """Return when the trail begins, if another trail may have had lines of the period; else empty.

    A trail that begins within the period is complete if no ledger was imported and nothing `rebuilt`: syncd was new
    then.
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


def _pruned_since(app: App, since: datetime) -> list[dict[str, Any]]:
    """Return the prunings that removed lines of the period, whenever they took place."""
    lines = app.ledger.audit.lines(Filter(event="audit.pruned"))
    found = ({"at": line["at"], **line["detail"]} for line in lines)
    return [item for item in found if datetime.fromisoformat(item["until"]) > since]
