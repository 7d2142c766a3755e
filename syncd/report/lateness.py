"""Does a job keep its objective on a site: has each new version arrived in time, as far as anybody could look?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any

from syncd.bootstrap.app import App
from syncd.domain import LastRun, OpenProblem, Pending, Record
from syncd.domain.job import Job
from syncd.domain.lateness import Rest, Shut, waited
from syncd.domain.naming import selects_path
from syncd.domain.plan import BY_HAND, LOOKS_AGAIN
from syncd.domain.untrusted import instant, mapping
from syncd.ledger.audit_reading import Filter
from syncd.report.kept_back import EVENTS, kept_back

MOST = 500
"""Most late secrets that are counted; those that wait longest come first."""
FEW = 50
"""Up to so many late secrets, their freezes and denials are asked for one by one."""
MOST_LINES = 200
"""Most lines about one secret's freezes, rollbacks and denials that are read; the newest."""
Paused = tuple[tuple[str, str], datetime, datetime | None]
"""A pause: its scope and what it was of, from when to when (None: it goes on)."""
WAITS = {"conflict", "failed", "held", "pending", "quarantined", "unverified"}
"""Kinds of problems that keep a new version from arriving.

A version that a rule denies is not meant to arrive. While a person has frozen a secret or rolled it back, it is
not late.
"""


def why_late(app: App, job: Job, target: str, run: LastRun | None, now: datetime) -> str:
    """Why a job misses its objective on a target at this moment; empty if it keeps it, or promises nothing.

    `run`: its last one there. Windows that are shut and pauses do not count. Raises `LedgerError`.
    """
    promised = job.objective
    # Before the first cycle nobody knows what is to be there; a pause that lasts is told as such.
    if promised is None or run is None or app.runtime.paused(job.name, target):
        return ""

    @cache
    def rests(since: datetime) -> list[Rest]:
        """Return when pauses let the job rest. Called only where something seems late.

        The ledger itself remembers only the last pause of each scope; the audit trail tells of those since `since`.
        """
        told = rests_of(told_pauses(app, since), job.name, {target, run.site})
        return [*app.ledger.rests(job.name, target, run.site), *told]

    # Looking is not bound to a window.
    since = run.good_since
    if now - since > promised and waited(since, now, Shut(rests=rests(since)), enough=promised) > promised:
        return "its last good cycle is older"
    late, waiting = 0, sorted(_waiting(app, job, run), key=itemgetter(0))
    over = [item for item in waiting if now - item[0] > promised]
    own = _rests_of(app, run.site, {name for _, _, name in over}, job.name)
    for begun, verb, name in over:
        if late < MOST:
            shut = Shut(windows=job.windows, verb=verb, rests=[*rests(waiting[0][0]), *own(name)])
            late += waited(begun, now, shut, enough=promised) > promised
    least = "at least " if late == MOST else ""
    return f"{least}{late} of its secrets {'has' if late == 1 else 'have'} waited for longer" if late else ""


def rests_of_secret(app: App, site: str, name: str, job: str) -> list[Rest]:
    """When nobody wanted a new version of one secret sent, as far as its last lines tell. Raises `LedgerError`."""
    lines = app.ledger.audit.lines(Filter(site=site, name=name, event=EVENTS), most=MOST_LINES)
    return kept_back(lines, job, app.runtime.jobs.keys() - {job})


def _rests_of(app: App, site: str, names: Collection[str], job: str) -> Callable[[str], list[Rest]]:
    """Return a function that gives `rests_of_secret` of a name. Raises `LedgerError`.

    Lines of a few names are read one by one, those of many in one go.
    """
    if len(names) <= FEW:
        return lambda name: rests_of_secret(app, site, name, job)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in app.ledger.audit.lines(Filter(site=site, event=EVENTS)):
        if line["name"] in names:
            found.setdefault(line["name"], []).append(line)
    others = app.runtime.jobs.keys() - {job}
    return lambda name: kept_back(found.get(name, ())[-MOST_LINES:], job, others)


def _waiting(app: App, job: Job, run: LastRun) -> Iterator[tuple[datetime, str, str]]:
    """Yield since when each version waits for a site, `create` for the first one there, else `update`, and its name."""
    found = [item for item in app.ledger.known_problems(run.site, job.name).values() if _waits(item)]
    records = app.ledger.records_of(run.site, (item.subject for item in found))
    for problem in found:
        record = records.get(problem.subject)
        if record is None or not _awaits_no_version(app, job, problem, record):
            yield _begun(app, problem, record), "create" if record is None else "update", problem.subject


def _waits(problem: OpenProblem) -> bool:
    """Does this problem keep a new version from arriving?"""
    return problem.kind in WAITS or problem.hint == LOOKS_AGAIN


def _begun(app: App, problem: OpenProblem, record: Record | None) -> datetime:
    """Return since when a version waits, whatever keeps it back by now.

    Since its source made it, or since its problem was first told, if that is earlier.
    """
    sent = record.last_synced_at if record is not None else None
    if record is None or sent is None:
        return problem.first_at
    state = app.ledger.known_path(record.ref.source, record.ref.path, record.pin)
    made = state.updated_at if state is not None else None
    return min(problem.first_at, made) if made is not None and made > sent else problem.first_at


def _awaits_no_version(app: App, job: Job, problem: OpenProblem, record: Record) -> bool:
    """Does the site hold what its source has, or does nobody want it there any more?

    Then no new version waits, but a deletion, or what others changed at Wix.
    """
    if record.pending is Pending.DELETE or record.absent_at is not None or problem.hint.startswith(BY_HAND):
        return True
    # Another secret is to have the name.
    if problem.ref is not None and problem.ref != record.ref:
        return False
    ref = record.ref
    # What a person took back waits for nothing newer.
    if not record.pin and app.ledger.rollback_of(ref.source, ref.path) is not None:
        return True
    state = app.ledger.known_path(ref.source, ref.path, record.pin)
    if state is None or not any(rule.pin == record.pin and selects_path(rule, ref.path) for rule in job.rules):
        return True
    if ref.field is not None and state.fields is not None and ref.field not in state.fields:
        return True
    # What is listed and cannot be read yet is newer than what was read last.
    is_unsure = record.remote_id is None or problem.kind in {"pending", "unverified"} or problem.hint == LOOKS_AGAIN
    # A value that a template makes has its form in the token, too.
    return not is_unsure and state.version.token == record.version.partition("~")[0]


def told_pauses(app: App, since: datetime | None = None) -> Iterator[Paused]:
    """Yield each pause in the audit trail, from when to when; `since`: those that last into the time from then on."""
    begun: dict[tuple[str, str], tuple[datetime, datetime | None]] = {}
    for line in app.ledger.audit.lines(Filter(event="job.*", since=since)):
        at, detail = instant(line["at"]), mapping(line["detail"])
        # A target's name may be another site's by now.
        key = str(detail.get("scope")), str(line["job"] or line["site"] or line["target"] or "")
        if at is None or line["event"] not in {"job.paused", "job.resumed"}:
            continue
        begins, until = begun.pop(key, (at if line["event"] == "job.paused" else since or at, None))
        # One that ran out ended then, and not when somebody told of it, or paused anew.
        has_run_out = until is not None and until < at
        if line["event"] == "job.resumed" or has_run_out:
            yield key, begins, until if has_run_out else _end_of(line, at)
        if line["event"] == "job.paused":
            begun[key] = at if has_run_out else begins, instant(detail.get("until"))
    yield from ((key, begins, until) for key, (begins, until) in begun.items())


def _end_of(line: Mapping[str, Any], at: datetime) -> datetime:
    return min(at, instant(mapping(line["detail"]).get("until")) or at)


def rests_of(pauses: Iterable[Paused], job: str, target: Collection[str]) -> list[Rest]:
    """What of these pauses covered a job on a target. `target`: its name, and its site's key."""
    covers = {("job", job), *(("target", name) for name in target)}
    return [(first, last) for of, first, last in pauses if of[0] == "all" or of in covers]
