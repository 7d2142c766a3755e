"""What somebody may do at the page or through the API: the same doors as the commands', in that one's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from syncd.bootstrap.app import App
from syncd.bootstrap.process import holder
from syncd.config.fields import parse_duration
from syncd.daemon.generations import Generations
from syncd.daemon.job_runner import JobRunner
from syncd.domain import Record
from syncd.domain.audit import CAUSE, Actor, Cause, Entry
from syncd.domain.decisions import ReleaseOutcome
from syncd.errors import ConfigError, PlanMoved
from syncd.reconcile.rollback import Terms, entries_of, jobs_of, rollback_to, taken
from syncd.web.principal import Principal

LONGEST_REASON = 500
LOCK_WAIT = timedelta(seconds=20)
"""How long a freeze waits for a cycle that holds the site."""


class Actions:
    """Implements the protocol that `syncd.web` is handed. All methods raise `SyncdError`."""

    def __init__(self, generations: Generations, runner: JobRunner) -> None:
        self._generations, self._runner = generations, runner

    @contextmanager
    def _in_the_name_of(self, who: Principal, via: str, reason: str | None = None) -> Iterator[App]:
        app = self._generations.current.app
        kind = "person" if who.kind == "proxy" else "token"
        CAUSE.set(Cause(actor=Actor(kind, who.name, via), reason=reason, config=app.config_digest))
        yield app

    def release(self, who: Principal, batch: str, reason: str) -> str:
        """Let a batch go."""
        with self._in_the_name_of(who, "release", why := reason_of(reason)) as app:
            outcome = app.ledger.decisions.release(batch, why, who.targets)
            if outcome is ReleaseOutcome.UNKNOWN:
                raise ConfigError(f"there is no batch {batch[:20]!a}", hint="see what waits: syncd held")
            if outcome is ReleaseOutcome.MOVED:
                raise PlanMoved(
                    f"nothing of batch {batch} waits any more: its actions changed or are no longer wanted",
                    hint="see what waits now: syncd held",
                )
            if outcome is ReleaseOutcome.AGAIN:
                return f"batch {batch} is already released"
            for job in {item.job for item in app.ledger.decisions.held(batch=batch)}:
                self._runner.trigger(job, by=CAUSE.get().actor)
            return f"batch {batch} is released; a cycle sends it now"

    def pause(self, who: Principal, scope: tuple[str, str], until: str, reason: str) -> str:
        """Let something rest."""
        with self._in_the_name_of(who, "pause", why := reason_of(reason)) as app:
            _see_scope(app, who, scope)
            ends = _moment(until) if until else None
            return str(app.ledger.decisions.pause(*scope, ends, why))

    def resume(self, who: Principal, scope: tuple[str, str]) -> str:
        """End a pause, and look at once."""
        with self._in_the_name_of(who, "resume") as app:
            _see_scope(app, who, scope)
            was_paused = app.ledger.decisions.resume(*scope)
            kind, name = scope
            for job in app.runtime.jobs.values():
                if kind == "all" or (kind == "job" and job.name == name) or (kind == "target" and name in job.targets):
                    self._runner.trigger(job.name, by=CAUSE.get().actor)
            what = "everything" if kind == "all" else f"{kind} {name}"
            return f"{what} goes on" if was_paused else f"{what} was not paused"

    def rollback(self, who: Principal, asked: Mapping[str, Any], reason: str) -> str:
        """Give sites an older version, or end that; the cycles run at once."""
        with self._in_the_name_of(who, "rollback", why := reason_of(reason)) as app:
            what = str(asked.get("what") or "")
            found = taken(app.runtime, app.ledger.records(), what)
            for item in found:
                _see_records(app, who, item.records)
            paths = [(item.source, item.path) for item in found]
            if asked.get("end"):
                entries = [entry for item in found for entry in entries_of(item, None)]
                app.ledger.decisions.end_rollbacks(paths, entries)
                said = f"{what} goes on to its newest version"
            else:
                now = app.runtime.clock()
                until = _moment(str(asked.get("until") or "24h"))
                terms = Terms(now=now, until=until, by=who.name, reason=why)
                version = str(asked["to"]) if asked.get("to") else None
                kept = [(item, rollback_to(app.runtime, item, version, terms)) for item in found]
                entries = [entry for item, rollback in kept for entry in entries_of(item, rollback)]
                app.ledger.decisions.roll_back([rollback for _, rollback in kept], entries)
                said = "; ".join(f"{item.path}: {rollback}" for item, rollback in kept)
            # The answer does not wait for the cycles: a page that hangs for minutes is asked again.
            for job in jobs_of(app.runtime, paths):
                self._runner.trigger(job.name, [path for _, path in paths], by=CAUSE.get().actor)
            return said

    def freeze(self, who: Principal, asked: Mapping[str, str], reason: str) -> str:
        """Leave a secret alone until then; without a time, thaw it."""
        until = _moment(asked["until"]) if asked.get("until") else None
        why = reason_of(reason) if until else (reason.strip() or None)
        with self._in_the_name_of(who, "freeze", why) as app:
            site, name = asked.get("site", ""), asked.get("name", "")
            with app.ledger.lock(site, holder=holder(), wait=LOCK_WAIT, stop=app.stop.is_set) as journal:
                record = next((item for item in app.ledger.records(site) if item.name == name), None)
                if record is None:
                    raise ConfigError(f"the ledger has no {name} there", hint="see the page of all secrets")
                _see_records(app, who, (record,))
                event = "secret.frozen" if until else "secret.thawed"
                detail = {"until": f"{until:%Y-%m-%dT%H:%M:%SZ}"} if until else {}
                status = "frozen" if until else "behind" if record.status == "frozen" else record.status
                entry = Entry(
                    event=event, name=name, ref=str(record.ref), remote_id=record.remote_id, job=record.job,
                    target=record.target, site=site, detail=detail,
                )  # fmt: skip
                journal.protect(replace(record, frozen_until=until, status=status), entry)
            if until is None:
                self._runner.trigger(record.job, by=CAUSE.get().actor)
                return f"{name} is no longer frozen; a cycle sees to it"
            return f"{name} is frozen until {until:%Y-%m-%d %H:%M} UTC"

    def sync(self, who: Principal, job: str) -> str:
        """Let a job run soon."""
        with self._in_the_name_of(who, "sync") as app:
            _see_scope(app, who, ("job", job))
            if not self._runner.trigger(job, by=CAUSE.get().actor):
                raise ConfigError(f"job {job} has no schedule", hint="run it by hand: syncd sync " + job)
            return f"job {job} runs now"


def reason_of(text: str) -> str:
    """The reason, as it is kept. Raises `ConfigError` for none, or one that is no line of text."""
    reason = text.strip()
    if not reason:
        raise ConfigError("this overrides a safeguard, and needs a reason", hint="write why, or name a ticket")
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        raise ConfigError(f"a reason has at most {LONGEST_REASON} characters, without line breaks", hint="shorten it")
    return reason


def _moment(text: str) -> datetime:
    """A duration from now, a date or RFC 3339. Raises `ConfigError`."""
    now = datetime.now(UTC)
    try:
        if text[-1:] in "smhd" and text[:-1].isdecimal():
            at = now + parse_duration(text)
        else:
            at = datetime.fromisoformat(text)
            at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ConfigError("that is no time", hint="write 4h, 2026-12-24 or 2026-12-24T18:00Z") from None
    if at <= now:
        raise ConfigError("that time has passed already", hint="name a later one")
    return at


def _see_scope(app: App, who: Principal, scope: tuple[str, str]) -> None:
    """Raise `ConfigError` for what is not there, or not within the rights."""
    kind, name = scope
    jobs, targets = app.settings.jobs, app.settings.targets
    reached = {
        "all": set(targets),
        "job": set(jobs[name].targets) if name in jobs else set[str](),
        "target": {name} & set(targets),
    }.get(kind, set[str]())
    if not reached or not all(map(who.sees, reached)):
        raise ConfigError(f"there is no {kind} of that name within your rights", hint="see jobs and targets")


def _see_records(app: App, who: Principal, records: tuple[Record, ...]) -> None:
    """Raise `ConfigError` for secrets that are not within the rights."""
    if not all(who.sees(app.first_target_on(record.site, record.job)) for record in records):
        raise ConfigError("there is no such secret within your rights", hint="see the page of all secrets")
