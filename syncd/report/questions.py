"""The questions of an auditor, q1 to q17, each with its answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from statistics import median
from typing import Any

from syncd.bootstrap.app import App
from syncd.domain import version_label
from syncd.domain.governance import Then
from syncd.domain.job import Job
from syncd.domain.lateness import Rest, Shut, waited
from syncd.report.inventory import Report
from syncd.report.lateness import rests_of, rests_of_secret, told_pauses, why_late
from syncd.report.population import Population
from syncd.report.rule_hits import hits_now, subjects

NOT_RECORDED = "not recorded"


def answers(
    app: App, report: Report, population: Population, chains: Mapping[str, Any], period: tuple[datetime, datetime]
) -> dict[str, dict[str, Any]]:
    """The questions q1 to q17, each with its answer. `period`: from when, until when.

    Raises `LedgerError`.
    """
    settings = app.settings
    total = sum(population.changes.values())
    is_over = period[1] <= report.as_of
    complete = _complete(population, total, chains["breaks"], is_over=is_over)
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
        "q1": _answer("inventory with origin, places and owner", report.secrets)
        | {"never arrived": report.never_arrived},
        "q2": {
            **_answer("who may cause or release a change", _who_may(population)),
            "beside": "whoever may run syncd where its ledger is; the trail names them by OS user and machine",
        },
        "q3": _answer("the complete population of changes in the period", complete),
        "q4": _answer(
            "for one change: asked by, agreed by another, tested, applied when, leading to what",
            {
                "asked by": "changes[].actor and .reason; where one was released, the job that found it (secret.held)",
                "agreed by another": agreements,
                # Nobody tells syncd of tests: a commit that is named does not prove any.
                "tested": NOT_RECORDED,
                "applied when": "changes[].at; the intent is line .intent of stream .stream",
                "leading to": "changes[].to (source version), .commit",
            },
        ),
        "q5": _answer("emergency changes and their reasons", sorted(population.overrides, key=when)),
        "q6": _answer("for each event what, when, where, source, outcome, identity", "syncd audit export; changes"),
        "q7": _answer(
            "can a line be removed unseen",
            {"chains": chains, "tail": "heads are in each cycle.finished event, and where audit: ships lines to"},
        ),
        "q8": _answer("kept how long", {"keep": f"{settings.audit.keep.days}d", "pruned": population.pruned}),
        "q9": _answer("did logging fail", _logging(app, population)),
        "q10": _answer("age and rotation against the stated period", _ages(app, report)),
        "q11": _answer("how long from rotation to every consumer", _arrivals(app, report, population)),
        "q12": _answer("one value in two environments", _of_rules(app, "duplicate", report.duplicates))
        | {"not compared": "values under 8 characters, which are the same by chance, and what was not judged yet"},
        "q13": _answer(
            "changes outside the process, found and dealt with",
            {"counts": dict(population.drift), "drift": _within(report.drift, period)},
        ),
        "q14": _answer("secrets that nobody manages", report.unmanaged)
        # Not nobody's, and not in this ledger either: another installation's, or ours and lost.
        | {"with an owner's mark": report.marked},
        "q15": _answer("exceptions: who, why, until when", report.exceptions)
        | {"beside": "who: they stand in the configuration, whose history (Git) names who wrote them"},
        "q16": _answer(
            "is a value ever shown or stored",
            "no: the ledger holds keyed fingerprints, the trail neither values nor fingerprints (SECURITY.md)",
        ),
        "q17": _answer("was a restore proved", _restores(population)),
    }  # fmt: skip


def when(line: Mapping[str, Any]) -> str:
    """Return when it was, as text that sorts by time."""
    return str(line["at"])


def _within(drift: Iterable[dict[str, Any]], period: tuple[datetime, datetime]) -> list[dict[str, Any]]:
    """Return the drift that lasted at some time of the period."""
    since, until = period
    return [
        row
        for row in drift
        # Without a date the line of its beginning was removed by age: it began before any period.
        if (row["found_at"] is None or datetime.fromisoformat(row["found_at"]) < until)
        and (row["ended_at"] is None or datetime.fromisoformat(row["ended_at"]) >= since)
    ]


def _answer(question: str, answer: object) -> dict[str, Any]:
    return {"question": question, "answer": answer}


def _who_may(population: Population) -> object:
    if not population.configurations:
        # A configuration has a line only when it differs from the last, so an unchanged one has none in the period.
        return "as config.loaded said before the period; see syncd audit show --event config.loaded"
    return population.configurations


def _logging(app: App, population: Population) -> dict[str, Any]:
    sink = app.settings.audit.sink
    # Without a sink nothing waits to be shipped: a count would look like a failure of logging.
    waiting = app.ledger.audit.unshipped_count(sink) if sink else 0
    shown = app.settings.audit.shown_sink or "none configured"
    told = {"sink": shown, "lines not shipped": waiting, "required": app.settings.audit.required}
    return {**told, "behind for more than five minutes": sorted(population.outages, key=when)}


def _ages(app: App, report: Report) -> dict[str, Any]:
    periods = {rule.id: f"{rule.max_age.days}d" for rule in app.runtime.rules if rule.max_age}
    # What was never sent is at no site, and has no age there.
    there = {(row["site"], row["name"]) for row in report.secrets}
    late = [
        hit for hit in report.hits if hit["rule"] in periods and hit["judged"] and (hit["site"], hit["name"]) in there
    ]
    excepted = [
        {"name": hit.subject.name, "target": hit.subject.target, "rule": hit.rule.id, "until": hit.exemption.until}
        for hit in hits_now(app)
        if hit.exemption is not None and hit.rule.id in periods and (hit.subject.site, hit.subject.name) in there
    ]
    stated = periods or "no rule states one (max_age)"
    ages = [rule for rule in app.runtime.rules if rule.max_age]
    judged = {
        (site, subject.name)
        for site in (app.served.jobs if ages else ())
        for subject in subjects(app, site)
        if any(rule.selects_it(subject) for rule in ages)
    }
    none = len(there - judged)
    return {
        "stated": stated, "older": late, "excepted": excepted,
        "of": len(there & judged), "without a stated period": none,
    }  # fmt: skip


def _arrivals(app: App, report: Report, population: Population) -> dict[str, Any]:
    """Answer how long rotations of the period took. First arrivals, restores and rollbacks are no rotations."""
    spans = sorted(end - begin for times in population.arrivals.values() for begin, end in _pairs(times))
    told: dict[str, Any] = {"rotations": len(spans), "counted": "once for each site that the new version came to"}
    if spans:
        told["median"] = str(timedelta(seconds=round(median(spans))))
        told["longest"] = str(timedelta(seconds=round(spans[-1])))
    promised = {name: job.objective for name, job in app.settings.jobs.items() if job.objective}
    told["objective"] = {
        name: {
            "promised": str(objective),
            "missed": _missed(app, app.runtime.jobs[name], objective, population),
            "misses it now": _late_now(app, app.runtime.jobs[name]),
        }
        for name, objective in sorted(promised.items())
    } or "no job promises one (objective)"
    return {**told, "not there": list(_waiting(app, report))}


def _late_now(app: App, job: Job) -> dict[str, str]:
    """Return why the job misses its objective now, by target.

    Arrivals alone do not show it: what has not arrived has none that could be judged.
    """
    runs, now = {run.site: run for run in app.ledger.runs() if run.job == job.name}, app.runtime.clock()
    why = {target: why_late(app, job, target, runs.get(app.site_of(target)), now) for target in job.targets}
    return {target: words for target, words in why.items() if words}


def _missed(app: App, job: Job, objective: timedelta, population: Population) -> int:
    """How many rotations took longer than promised; shut windows (of today's file) and rests do not count."""
    slow = [
        (target, secret, datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(end, UTC))
        for (name, target), times in population.arrivals.items()
        for (begin, end), secret in zip(_pairs(times), population.arrived[name, target], strict=True)
        if name == job.name and end - begin > objective.total_seconds()
    ]
    # Nearly always nothing was slow, and no pause has to be looked for.
    rests = list(told_pauses(app)) if slow else []

    @cache
    def of_secret(target: str, name: str) -> list[Rest]:
        return [rest for site in _site_of(app, target) for rest in rests_of_secret(app, site, name, job.name)]

    return sum(
        waited(begin, end, Shut(windows=job.windows, rests=rested), enough=objective) > objective
        for target, secret, begin, end in slow
        for rested in [rests_of(rests, job.name, {target, *_site_of(app, target)}) + of_secret(target, secret)]
    )


def _site_of(app: App, target: str) -> set[str]:
    return {app.site_of(target)} if target in app.settings.targets else set()


def _pairs(times: Sequence[float]) -> Iterator[tuple[float, float]]:
    return zip(times[::2], times[1::2], strict=True)


def _waiting(app: App, report: Report) -> Iterable[dict[str, Any]]:
    """Secrets whose site has another version than the source was last seen to have."""
    newest = {
        (source, path): version_label(state.version.token)
        for source in app.settings.sources
        for (path, pin), state in app.ledger.known_paths(source).items()
        if not pin
    }
    for row in report.secrets:
        version = newest.get((row["source"], row["path"]))
        if row["status"] != "synced" and version and version != row["version"]:
            yield {"name": row["name"], "target": row["target"], "status": row["status"]}


def _of_rules(app: App, kind: str, found: Iterable[object]) -> object:
    rules = [rule.id for rule in app.runtime.rules if getattr(rule, kind) and rule.then is Then.WARN]
    return {"rules": rules or f"no rule of the kind {kind} is configured", "found": list(found)}


def _restores(population: Population) -> object:
    if not population.imported and not population.rebuilt:
        return NOT_RECORDED
    return {"ledgers imported": population.imported, "secrets taken back by their mark": population.rebuilt}


def _complete(population: Population, total: int, broken: Collection[object], *, is_over: bool) -> dict[str, Any]:
    """Return the number of changes, and whether the file has all of them; if not, what is missing.

    `is_over`: had the period ended when the file was made?
    """
    begins = population.begins
    is_whole = is_over and not (population.pruned or begins or broken)
    told: dict[str, Any] = {"count": total, "where": "changes", "complete": is_whole}
    if not is_over:
        told["not over"] = "the period ends after this file was made (made_at): what comes until then is not in it"
    if begins:
        told["begins"] = (
            f"this ledger's trail begins at {begins}; if it was moved or rebuilt then, the export of the one before, "
            "and what was shipped from it, have the changes of before"
        )
    if broken:
        told["broken"] = "a chain is not as it was written (q7): lines may have been taken out, or moved"
    if population.pruned:
        last = max(item["until"] for item in population.pruned)
        told["missing"] = f"lines up to {last} were removed by audit.keep; what was shipped before has them"
    return told
