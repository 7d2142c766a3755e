"""What a person may do on the pages and through the API: the same as by command, in that person's name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from syncd.bootstrap import freezes
from syncd.bootstrap.app import App
from syncd.bootstrap.process import holder
from syncd.bootstrap.updated_since import updated_since
from syncd.daemon.asked_for import KEPT, WHOLE_JOB, About, Ask, Named
from syncd.daemon.generations import Generations
from syncd.daemon.job_runner import JobRunner
from syncd.daemon.rights import BeyondRights, see_scope, seen_record, seen_records, sees_scope, sites_of
from syncd.daemon.rollbacks import ended, rolled_back
from syncd.domain.audit import CAUSE, LONGEST_REASON, Cause, Entry, is_reason
from syncd.domain.decisions import ReleaseOutcome, said_of_release
from syncd.domain.job import Job
from syncd.domain.moments import moment_of
from syncd.domain.ports import WhileWaiting
from syncd.errors import ConfigError, SyncdError
from syncd.ledger.wakeups import Wish
from syncd.reconcile.rollback import Terms, paths_of, taken
from syncd.reconcile.rollback_lines import said_of_end
from syncd.reconcile.rollback_reach import reach_of
from syncd.report.grouping import names_in_words
from syncd.telemetry.logs import logger
from syncd.web.principal import Principal

NO_PATHS: Mapping[str, Collection[str]] = {}
OVERRIDES = {"release", "pause", "rollback", "freeze"}
"""Actions that let something go, or keep something back, whatever the configuration says; each is logged."""
LOCK_WAIT = timedelta(seconds=20)
"""How long a freeze waits for a cycle that holds the site."""


@dataclass(frozen=True, slots=True)
class Woken:
    """What came of letting jobs run soon: which of them wait, and where the others send nothing."""

    waits: list[str]
    """Why some of the jobs, or this whole daemon, send nothing now."""
    but: list[str]
    """On which targets the jobs that do run send nothing, and why."""

    def words(self, at_once: str) -> str:
        """Return the result as a sentence. `at_once`: the words for the case that nothing waits."""
        return "; ".join(filter(None, [*(self.waits or [at_once]), *self.but]))


class Actions:
    """Implement `syncd.web.service.Acting`; `plan` is in `Control`. All methods raise `SyncdError`.

    Each public method returns in words what was done.
    """

    def __init__(self, generations: Generations, runner: JobRunner) -> None:
        self._generations, self._runner = generations, runner

    @contextmanager
    def _in_the_name_of(self, who: Principal, via: str, reason: str | None = None) -> Iterator[App]:
        generation = self._generations.current
        app = generation.app
        CAUSE.set(Cause(actor=who.actor(via), reason=reason, config=app.config_digest, commit=generation.commit))
        try:
            yield app
        except BeyondRights as refusal:
            _note_denied(app, what=via, message=refusal.message)
            raise
        # As a command does: only an override that took place is logged.
        if reason is not None and via in OVERRIDES:
            logger().warning("safeguard.overridden", what=via, reason=reason, user=who.name)

    def release(self, who: Principal, batch: str, reason: str) -> str:
        """Release a held batch, and let its jobs run soon.

        Raises `ConfigError` for an unknown batch and without a reason, `PlanMoved` if nothing of it waits any more.
        """
        with self._in_the_name_of(who, "release", why := reason_of(reason)) as app:
            _see_that_it_counts(app)
            outcome = app.ledger.decisions.release(
                batch, why, app.served, lambda item: who.sees(app.first_target_on(item.site, item.job))
            )
            if outcome is ReleaseOutcome.UNKNOWN and who.targets is not None:
                _note_denied(app, what="release", batch=batch[:64])
            released = app.held(batch)
            done = ""
            if outcome is ReleaseOutcome.DONE:
                asks = defaultdict[str, set[About]](set)
                for item in released:
                    asks[item.job].add(Named(item.site, item.name))
                woken = self._woken(app, who, {job: self._ask(app, who, *about) for job, about in asks.items()})
                done = f"{woken.words('a cycle sends it now')}: {names_in_words([str(item) for item in released])}"
            return said_of_release(batch, outcome, done=done)

    def _woken(
        self,
        app: App,
        who: Principal,
        asks: Mapping[str, Ask | None],
        paths: Mapping[str, Collection[str]] = NO_PATHS,
        *,
        waits_for_window: bool = True,
    ) -> Woken:
        """Let jobs run soon; if this daemon sends nothing, pass the request on to the daemon that works in its place.

        `asks`: by job, who asks and for what (None: nobody, the run is the job's own); `paths`: by job, the paths that
        it looks at directly; `waits_for_window`: do shut windows keep this back? Returns: what waits and why, as far as
        `who` may know it.
        """
        # The daemon that works in this one's place is asked to run them.
        rests_here = app.ledger.configurations.why_it_rests()
        woken = Woken([f"this daemon sends nothing: {rests_here}, which was asked to run it"] if rests_here else [], [])
        for name in sorted(asks.keys() & app.runtime.jobs.keys()):  # one that is gone runs no more
            job = app.runtime.jobs[name]
            rests = self._resting_targets(app, who, job)
            closed = job.windows.what_waits(app.runtime.clock()) if waits_for_window else ""
            if rests_here and app.settings.jobs[name].schedule is not None:
                # By what it is to look at, where that is known: the newer file may call the job otherwise.
                named = tuple((None, path) for path in sorted(paths.get(name, ())))
                wish = Wish(by=CAUSE.get().actor, job="" if named else name, paths=named, sites=sites_of(app, who))
                if not app.ledger.wakeups.put(wish):
                    woken.waits.append(
                        f"job {name}: too many requests wait for that daemon already; its schedule looks"
                    )
            elif rests_here or not self._runner.trigger(name, paths.get(name, ()), ask=asks[name]):
                woken.waits.append(f"job {name} has no schedule; run it by hand: syncd sync {name}")
            elif rests and len(rests) == len(job.targets):
                why = next(filter(None, rests.values()), "")
                woken.waits.append(f"job {name} rests{f': {why}' if why else ''}")
            elif closed:
                woken.waits.append(f"job {name}: {closed}")
            elif told := [target for target, why in rests.items() if why]:
                woken.but.append(f"not on {names_in_words(told)}: {rests[told[0]]}")
        return woken

    @staticmethod
    def _ask(app: App, who: Principal, *about: About, lasts: float = KEPT) -> Ask:
        return Ask(by=CAUSE.get().actor, about=about, rights=sites_of(app, who), lasts=lasts)

    def _resting_targets(self, app: App, who: Principal, job: Job) -> dict[str, str]:
        """Return the paused targets of a job, each with its pause in words: empty if `who` may not see the pause."""
        sites, found = app.sites.keys_of_targets(), dict[str, str]()
        for pause in app.pauses.now():
            # A pause names its target and its reason.
            is_told = pause.scope == "all" or sees_scope(app, who, pause.scope, pause.name)
            for target in job.targets:
                if pause.covers(job.name, target, sites[target]):
                    found[target] = found.get(target) or (str(pause) if is_told else "")
        return found

    def pause(self, who: Principal, scope: tuple[str, str], until: str, reason: str) -> str:
        """Pause a job, a target or everything, until a time or (without `until`) until somebody ends the pause."""
        with self._in_the_name_of(who, "pause", why := reason_of(reason)) as app:
            see_scope(app, who, scope)
            ends = _moment(app, until) if until else None
            # The newer file may call the job otherwise, or have it divided; a site has its key.
            if scope[0] == "job":
                _see_that_it_counts(
                    app, "ask that one, or let the target or everything rest: that holds from here, too"
                )
            if app.pauses.holds(*scope):  # another one in its place may end sooner
                _see_that_it_counts(app)
            return app.pauses.put(*scope, ends, why)

    def resume(self, who: Principal, scope: tuple[str, str], reason: str = "") -> str:
        """End a pause, and look at once. It overrides nothing, so `reason` may be empty."""
        with self._in_the_name_of(who, "resume", _reason_if_any(reason)) as app:
            _see_that_it_counts(app)
            kind, name = scope
            # The pause of what is gone has to have an end, too; of that, nobody with less than all rights is told.
            if who.targets is not None or kind not in {"job", "target"}:
                see_scope(app, who, scope)
            was_paused = app.pauses.end(*scope)
            what = "everything" if kind == "all" else f"{kind} {name}"
            if not was_paused:
                return f"{what} was not paused"
            jobs = [job.name for job in app.runtime.jobs.values() if _is_in_scope(job, scope)]
            now = app.runtime.clock()
            # What was released while it rested was not sent: it goes by this very word.
            released = [
                str(item)
                for item in app.held()
                if item.job in jobs and item.is_released(now) and who.sees(item.target)
                if not app.runtime.paused(item.job, item.target)
            ]
            goes = f"released before, and free to go now: {names_in_words(released)}" if released else ""
            # What waited was the schedule's, and what was released meanwhile names who did that.
            woken = self._woken(app, who, dict.fromkeys(jobs))
            return "; ".join(filter(None, [f"{what} goes on", goes, woken.words("")]))

    def rollback(self, who: Principal, asked: Mapping[str, Any], reason: str) -> str:
        """Give sites an older version, or end such a rollback, and let the jobs run soon.

        A rollback does not wait for a window, its end does. `asked`: see `syncd.web.service.Acting.rollback`.
        """
        with self._in_the_name_of(who, "rollback", why := reason_of(reason)) as app:
            what, job = str(asked.get("what") or ""), str(asked.get("job") or "")
            if bool(what) == bool(job) or (job and (asked.get("end") or asked.get("to") or not asked.get("since"))):
                raise ConfigError("say what: a name or a path, or a job and since when", hint='{"what": …}')
            _see_that_it_counts(app)
            lasts = KEPT
            if asked.get("end"):
                paths = ended(app, who, what)
                said = "; ".join(said_of_end(*path, app.ledger.rollback_of(*path)) for path in paths)
            else:
                until = _moment(app, str(asked.get("until") or "24h"))
                terms = Terms(now=app.runtime.clock(), until=until, by=who.name, reason=why)
                # What is sent once the time is over is nobody's.
                lasts = (terms.until - terms.now).total_seconds()
                if job:
                    see_scope(app, who, ("job", job))
                    chosen, refused = updated_since(app, job, _moment(app, str(asked["since"]), ahead=False))
                else:
                    version = str(asked["to"]) if asked.get("to") else None
                    found = taken(app.runtime, seen_records(app, who, what), what, app.ledger.spellings)
                    chosen, refused = [(item, version) for item in found], []
                kept = rolled_back(app, who, chosen, terms, refused if job else None)
                paths = paths_of(item for item, _ in kept)
                said = "; ".join([*(f"{item.path}: {rollback}" for item, rollback in kept), *refused])
            # The answer does not wait for the cycles: a page that hangs for minutes is asked again.
            reach = reach_of(app.runtime, app.ledger.records(), paths)
            frozen = [row for rows in reach.by_path.values() for row in rows if row.reads_frozen(app.runtime.clock())]
            held_at = {app.first_target_on(row.site, row.job) for row in frozen}
            where = sorted(target for target in held_at if who.sees(target))
            stays = f"not on {names_in_words(where)}, where it is frozen" if where else ""
            asks = {job: self._ask(app, who, *paths, lasts=lasts) for job, paths in reach.read.items()}
            woken = self._woken(app, who, asks, reach.read, waits_for_window=bool(asked.get("end")))
            return "; ".join(filter(None, [said, stays, woken.words("")]))

    def freeze(self, who: Principal, asked: Mapping[str, str], reason: str) -> str:
        """Leave a secret alone until `asked["until"]`; without it, thaw it. Returns: what was done, in words."""
        # A thaw overrides no safeguard, so it needs no reason.
        why = reason_of(reason) if asked.get("until") else _reason_if_any(reason)
        with self._in_the_name_of(who, "freeze", why) as app:
            until = _moment(app, asked["until"]) if asked.get("until") else None
            site, name = asked.get("site", ""), asked.get("name", "")
            seen_record(app, who, site, name)  # before the lock: nobody holds up a site that is not theirs
            stopped = WhileWaiting(app.stop.is_set)
            with app.ledger.lock(site, holder=holder(), wait=LOCK_WAIT, meanwhile=stopped, decides=True) as journal:
                # Asked again under the lock: a cycle may have written the row meanwhile.
                record = seen_record(app, who, site, name)
                if until is None or record.reads_frozen(app.runtime.clock()):
                    _see_that_it_counts(app)
                if until is None and not record.reads_frozen(app.runtime.clock()):
                    raise ConfigError(f"{name} is not frozen", hint="its page and `syncd explain` say what it is")
                if until is None:
                    freezes.thaw(journal, record)
                else:
                    freezes.freeze(journal, record, until)
            if until is None:
                woken = self._woken(app, who, {record.job: self._ask(app, who, Named(site, name))})
                return f"{name} is no longer frozen; {woken.words('a cycle sees to it')}"
            return f"{name} is frozen until {until:%Y-%m-%d %H:%M} UTC"

    def sync(self, who: Principal, job: str, reason: str = "") -> str:
        """Let a job run soon."""
        with self._in_the_name_of(who, "sync", _reason_if_any(reason)) as app:
            see_scope(app, who, ("job", job))
            return self._woken(app, who, {job: self._ask(app, who, WHOLE_JOB)}).words(f"job {job} runs now")


def _see_that_it_counts(app: App, hint: str = "ask that one") -> None:
    """Raise `ConfigError` if another daemon works with a newer configuration: that one decides who may do this.

    Called before something is let go (a release, the end of a pause, a thaw), before another version is sent (a
    rollback, or its end), before a pause of a job by its name, and before a pause or freeze that replaces another one.
    Any other pause or freeze only keeps something back, and is kept at every daemon.
    """
    if another := app.ledger.configurations.why_it_rests():
        raise ConfigError(f"{another}: who may do that is for that one to say", hint=hint)


def _note_denied(app: App, **detail: str) -> None:
    # A ledger that cannot be written is told by every cycle, and hides no refusal.
    with suppress(SyncdError):
        app.ledger.audit.note(Entry(event="access.denied", detail=detail))


def reason_of(text: str) -> str:
    """Return the reason without the blanks around it, as it is kept.

    Raises `ConfigError` if it is empty, too long, or not one line of text.
    """
    reason = text.strip()
    if not reason:
        raise ConfigError("this overrides a safeguard, and needs a reason", hint="write why, or name a ticket")
    if not is_reason(reason):
        raise ConfigError(f"a reason has at most {LONGEST_REASON} characters, without line breaks", hint="shorten it")
    return reason


def _reason_if_any(text: str) -> str | None:
    return reason_of(text) if text.strip() else None


def _moment(app: App, text: str, *, ahead: bool = True) -> datetime:
    """Return the time that a form or a request's body gives: a date, a date with a time, or a span such as 4h.

    `ahead`: a span counts forward from now, and the time has to lie in the future; else a span counts back. Raises
    `ConfigError` for text that is no such time.
    """
    now = app.runtime.clock()
    try:
        at = moment_of(text, now, ahead=ahead)
    except ValueError:
        raise ConfigError("that is no time", hint="write 4h, 2026-12-24 or 2026-12-24T18:00Z") from None
    except OverflowError:
        raise ConfigError("that time is beyond the calendar", hint="write a date, or a span within ten years") from None
    if ahead and at <= now:
        raise ConfigError("that time has passed already", hint="name a later one")
    return at


def _is_in_scope(job: Job, scope: tuple[str, str]) -> bool:
    kind, name = scope
    return kind == "all" or (kind == "job" and job.name == name) or (kind == "target" and name in job.targets)
