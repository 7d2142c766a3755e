"""What the HTTP side may ask the daemon, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from syncd.config.settings import VaultSettings
from syncd.daemon.accounts import ServerAccounts
from syncd.daemon.actions import Actions
from syncd.daemon.asked_for import Ask
from syncd.daemon.candidate import planned_with
from syncd.daemon.console_data import ConsoleData
from syncd.daemon.generations import Generations
from syncd.daemon.handing_on import HandingOn
from syncd.daemon.job_runner import JobRunner
from syncd.daemon.let_go import LetGo
from syncd.daemon.reloads import Reloads
from syncd.daemon.rights import sites_of
from syncd.daemon.status import Shared, Shown, status_of
from syncd.daemon.wakeups import jobs_that_sync
from syncd.domain.audit import RELOAD, Actor
from syncd.errors import ConfigError, LedgerError
from syncd.ledger.wakeups import MOST, Wish
from syncd.report.lateness import why_late
from syncd.telemetry.logs import logger, safe_traceback
from syncd.web.principal import Principal

PASSED_ON = "passed on to the daemon with the newer configuration"
NOT_PASSED_ON = (
    f"not passed on: {MOST:,} requests already wait for the daemon with the newer configuration; its schedule looks"
)
STRANGER_SECONDS = 2.0
"""Seconds for which two answers are used again: the status for strangers, and who rests or is late in the metrics."""


class Control(ServerAccounts, ConsoleData, Actions):
    """Implement `syncd.web.service.Service`: who may come in, what is shown, and what may be done."""

    def __init__(self, generations: Generations, runner: JobRunner, reloads: Reloads) -> None:
        ServerAccounts.__init__(self, generations)
        ConsoleData.__init__(self, generations)
        self._generations, self._runner, self._reloads = generations, runner, reloads
        self._let_go, self._handing_on = LetGo(), HandingOn(generations, runner)
        self._for_strangers = Shared(lambda: self._status(None), STRANGER_SECONDS)
        self._standing = Shared(self._tell_standing, STRANGER_SECONDS)

    def bug(self, route: str, error: Exception) -> None:
        """Log that a request ended in a bug of syncd, and where in the code; nothing of the error's text."""
        logger().error("request.bug", route=route, error=type(error).__name__, where=safe_traceback(error))

    def reload(self, who: Principal) -> None:
        """Load the configuration again. Raises `SyncdError`, and the one before goes on."""
        self._reloads.reload(who.actor(RELOAD))

    def trigger(self, job: str, who: Principal) -> str:
        """Let a job run soon.

        Returns: what was done here, or passed on to the daemon that works in this one's place; it begins with "not " if
        that could not be done. Empty for a job that is not scheduled, or not within the rights.
        """
        app, by = self._generations.current.app, who.actor("POST /-/sync")
        if told := self._passed_on(Wish(by=by, job=job, sites=sites_of(app, who))):
            return told
        # A job sends to all of its sites: rights on some of them are not enough.
        settings = app.settings.jobs.get(job)
        is_mine = settings is not None and all(map(who.sees, settings.targets))
        return "started" if is_mine and self._runner.trigger(job, ask=Ask(by=by)) else ""

    def wake(
        self,
        paths: Iterable[tuple[str | None, str]],
        who: Principal,
        expected: Mapping[tuple[str, str], int] | None = None,
    ) -> str:
        """Let the jobs run soon that sync one of these paths.

        `paths`: pairs of a namespace (None: any) and a path. `expected`: those that have changed, as an event says,
        each with its new version (0: the event does not tell it). Returns: as `trigger`; empty if no scheduled job
        within the rights syncs any of them.
        """
        asked = tuple(paths)
        # A person gives a path alone; a line of an audit device has its namespace.
        by_hand = all(namespace is None for namespace, _ in asked)
        by = who.actor("POST /-/sync") if by_hand else _audit_device(who)
        wanted = tuple((*secret, version) for secret, version in sorted((expected or {}).items()))
        wish = Wish(by=by, paths=asked, expected=wanted, sites=sites_of(self._generations.current.app, who))
        if asked and (told := self._passed_on(wish)):
            return told
        started = self._woken_by(wish)
        return f"started {', '.join(started)}" if started else ""

    def _passed_on(self, wish: Wish) -> str:
        """Pass a request on to the daemon that works in this one's place.

        A caller of a service with several pods cannot choose the pod, and an audit device sends its line once. Which
        jobs the request is for depends on the other daemon's configuration. Returns: what was done; empty if this
        daemon works itself, or cannot read the ledger.
        """
        with suppress(LedgerError):  # the job's own cycle says so
            if self._rests():
                return PASSED_ON if self._generations.current.app.ledger.wakeups.put(wish) else NOT_PASSED_ON
        return ""

    def _woken_by(self, wish: Wish) -> list[str]:
        """Let the jobs run soon that a request means, within the rights of whoever asked. Returns: their names."""
        app = self._generations.current.app
        namespaces = {
            name: source.namespace.strip("/") if isinstance(source, VaultSettings) else None
            for name, source in app.settings.sources.items()
        }
        mine = {
            name: job
            for name, job in app.runtime.jobs.items()
            if wish.sites is None or wish.sites.issuperset(map(app.site_of, job.targets))
        }
        lasts = wish.seconds_left(app.runtime.clock())
        if wish.job:
            return [wish.job] if wish.job in mine and self._runner.trigger(wish.job, ask=Ask(by=wish.by)) else []
        started = []
        for job, named in jobs_that_sync(mine, namespaces, wish.paths).items():
            here = namespaces[mine[job].source]
            told = (item for item in wish.expected if item[1] in named and (item[0] is None or here in {None, item[0]}))
            expected = {path: version for _, path, version in told}
            ask = Ask(by=wish.by, about=tuple(sorted(named)), sites=wish.left_on, rights=wish.sites, lasts=lasts)
            if self._runner.trigger(job, ask=ask, expected=expected):
                started.append(job)
        return started

    def pass_on_what_is_left(self, *, stops: bool = False) -> None:
        """Hand on what was asked for and no job here will look at, to the daemon that works now or works next.

        `stops`: does this daemon end? Raises `LedgerError`.
        """
        self._handing_on.pass_on(stops=stops, rests=bool(self._rests()))

    def run_what_was_let_go(self) -> None:
        """Let the jobs run that a pause, a shut window, a rollback or a freeze has kept from something until now.

        Raises `LedgerError`.
        """
        for job in sorted(self._let_go.jobs(self._generations.current.app)):
            self._runner.trigger(job)

    def run_what_was_passed_on(self) -> None:
        """Let run what somebody wanted at a daemon that sends nothing. Raises `LedgerError`."""
        if not self._rests():
            for wish in self._generations.current.app.ledger.wakeups.take():
                # Most of what a device tells is about what no job syncs.
                if not self._woken_by(wish) and wish.by.kind != "event":
                    what = {"job": wish.job} if wish.job else {"paths": [path for _, path in wish.paths]}
                    hint = "no scheduled job of this configuration has it, within the rights of whoever asked"
                    logger().warning("wakeup.dropped", by=wish.by.id, hint=hint, **what)

    def plan(self, who: Principal, configuration: str) -> dict[str, Any]:
        """Return what a candidate configuration would do, on this ledger; nothing is written or sent.

        Raises `ConfigError` for rights on some targets only, and for a candidate that cannot be used.
        """
        if who.targets is not None:  # a plan shows every name of every job
            raise ConfigError("your rights are for some targets, and a plan is for all", hint="ask with another token")
        return planned_with(self._generations.current.app, configuration)

    def metrics_are_open(self) -> bool:
        """May everybody read the metrics?"""
        server = self._generations.current.app.settings.server
        return server is None or server.metrics == "open"

    def configuration(self) -> str:
        """What is wrong with the configuration that this daemon works with; empty if nothing is."""
        rests = ""
        with suppress(LedgerError):  # it is in the log, and `ready` tells of it
            rests = self._rests()
        return rests or self._reloads.watch.fault()

    def _rests(self) -> str:
        """Why this daemon sends nothing: another one works with a newer configuration; else empty."""
        app = self._generations.current.app
        return app.ledger.configurations.why_it_rests()

    def metrics(self) -> bytes:
        """Return all metrics, in Prometheus' text format."""
        # What a clock alone changes is worked out when it is asked for.
        self._standing()
        return self._runner.instruments.metrics.text()

    def _tell_standing(self) -> None:
        app, metrics = self._generations.current.app, self._runner.instruments.metrics
        with suppress(LedgerError):  # it is in the log; what was told before stays
            runs, now = {(run.site, run.job): run for run in app.ledger.runs()}, app.runtime.clock()
            for job in app.runtime.jobs.values():
                for target in job.targets:
                    run = runs.get((app.runtime.site_of(target), job.name))
                    is_late = bool(why_late(app, job, target, run, now)) if job.objective else None
                    is_paused = bool(app.runtime.paused(job.name, target))
                    metrics.standing(job.name, target, is_paused=is_paused, is_late=is_late)

    def ready(self) -> list[str]:
        """What is missing until it is ready: sources and sites that no cycle has tried yet, the ledger's file."""
        app = self._generations.current.app
        missing = self._runner.readiness.missing(app.settings)
        try:
            app.ledger.still_there()
        except LedgerError:  # whose words name a path of this machine, and anybody may ask
            missing.append("the ledger was removed or replaced; see the log, and restart")
        return missing

    def status(self, who: Principal | None) -> dict[str, Any]:
        """Return jobs, their last and next run, and counts. `who`: None for a stranger, who is told no names.

        Strangers share one answer for 2 seconds, so that many requests cost no more than one. Raises `LedgerError`.
        """
        return self._status(who) if who is not None else self._for_strangers()

    def _status(self, who: Principal | None) -> dict[str, Any]:
        generation = self._generations.current
        app = generation.app
        next_runs = {name: generation.schedule.next_run(name) for name in app.runtime.jobs}
        seen: dict[str, str] | None = None
        if who is not None and who.targets is not None:
            seen = {app.site_of(target): target for target in reversed(app.settings.targets) if who.sees(target)}
            next_runs = {
                name: at for name, at in next_runs.items() if any(map(who.sees, app.settings.jobs[name].targets))
            }
        shown = Shown(names=who is not None, sites=seen)
        status = status_of(app.ledger, app.served, app.runtime.clock(), next_runs, shown)
        fault = self.configuration()
        if fault and (seen is not None or who is None):  # it quotes the file, which names jobs and targets of others
            fault = "refused, missing or not the newest one; see the log"
        status["configuration"] = fault
        return {"ready": not self.ready(), **status}


def _audit_device(who: Principal) -> Actor:
    """The actor of what an audit device's line woke; anybody with the token may write such a line."""
    return Actor("event", "vault audit", f"POST /hooks/vault-audit, token {who.name}")
