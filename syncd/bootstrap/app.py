"""What one process works with, built from the settings: the only place that puts the parts together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Self

from syncd.bootstrap.after_run import AfterRun
from syncd.bootstrap.freshness import stale
from syncd.bootstrap.in_force import audited_settings
from syncd.bootstrap.jobs import make_job
from syncd.bootstrap.ledger import open_ledger
from syncd.bootstrap.parts import Parts
from syncd.bootstrap.pauses import Pauses, PauseWatch
from syncd.bootstrap.process import now, settle_process
from syncd.bootstrap.rules import make_rule
from syncd.bootstrap.sites import Sites
from syncd.bootstrap.sources import SourceHooks, make_queue, make_source
from syncd.bootstrap.targets import TargetFactory
from syncd.bootstrap.waits import WaitNotices
from syncd.config.settings import AwsSettings, Settings
from syncd.domain.decisions import HeldAction, Labels
from syncd.domain.ports import Clock, CycleObserver, Queue, SilentObserver, Source, Target, TellWait
from syncd.domain.recency import TOLERANCE
from syncd.domain.statuses import Served
from syncd.errors import ConfigError
from syncd.ledger.request_quota import Quota, RequestRate
from syncd.ledger.store import Ledger
from syncd.reconcile.runtime import Runtime
from syncd.reconcile.saved_plan import digest
from syncd.telemetry.logs import logger

OnRequest = Callable[[str, str, str], None]


def digest_of(settings: Settings) -> str:
    """Return a digest of the configuration, 64 hex digits; of credentials it covers only where they are."""
    return digest(settings.dump())


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an app is put into: its clock, how it is stopped, and who hears what it does."""

    clock: Clock = now
    stop: threading.Event = field(default_factory=threading.Event)
    observer: CycleObserver = field(default_factory=SilentObserver)
    waits: TellWait = lambda *_: None
    source_hooks: SourceHooks = field(default_factory=SourceHooks)
    on_request: OnRequest = lambda _target, _method, _status: None


class App:
    """Everything that one process works with, built from the settings and closed in the end."""

    def __init__(
        self,
        settings: Settings,
        surroundings: Surroundings | None = None,
        *,
        writable: bool = True,
        renaming: bool = False,
    ) -> None:
        """Open the ledger and build the parts. Raises `SyncdError`.

        `writable` False: where there is no ledger yet, none is made (a plan). `renaming`: the ledger's owner may differ
        from the configuration's.
        """
        settle_process()
        self.settings = settings
        self._around = around = surroundings or Surroundings()
        self.ended = threading.Event()
        """Set when the app is closed or another configuration replaces it: waits are given up, runs end soon."""
        self.after_run = AfterRun(self.ended)
        """Done after each run of a job in the daemon, and before all is closed."""
        self._opened = open_ledger(settings, around.clock, writable=writable, renaming=renaming)
        with ExitStack() as stack:  # what is refused from here on leaves no open ledger behind
            stack.callback(self._opened.close)
            with self.ledger.telling_damage():
                self._compose()
            stack.pop_all()

    def _compose(self) -> None:
        """Put together what the app holds, on the ledger that is open. Raises `SyncdError`."""
        settings, around = self.settings, self._around
        waits = WaitNotices(around.waits)
        self.sites = Sites(
            {name: target.site for name, target in settings.targets.items()},
            {name: job.targets for name, job in settings.jobs.items()},
            self.ledger.joined_sites(),
            self.ledger.known_aliases,
        )
        self._parts = Parts(
            TargetFactory(
                site_of=self.site_of,
                quota_of=self._quota,
                stop=self.stop,
                waits=waits,
                on_request=around.on_request,
            )
        )
        # Only the ledger knows which keys were joined: the configuration alone cannot show this.
        self._see_that_joined_targets_agree()
        self._say_a_clock_that_was_set_back()
        self.config_digest = digest_of(settings)
        watch = PauseWatch(self.ledger.decisions, self.sites.keys_of_targets)
        self.runtime = Runtime(
            owner=settings.owner,
            jobs={name: make_job(name, job, settings.sources[job.source].type) for name, job in settings.jobs.items()},
            source=self.source,
            target=self.target,
            site_of=self.site_of,
            targets=tuple(settings.targets),
            store=self.ledger,
            fingerprint=self._opened.fingerprints.of,
            clock=around.clock,
            stopped=lambda: self.stop.is_set() or self.ended.is_set(),
            observer=around.observer,
            pause=self.stop.wait,
            waits=waits,
            rules=tuple(map(make_rule, settings.rules)),
            labels=Labels({name: target.labels for name, target in settings.targets.items()}, self.sites.names()),
            paused=watch.reason,
        )
        self.pauses = Pauses(self.ledger.decisions, self.sites.keys_of_targets, self.site_of, watch.forget)

    def note_in_force(self) -> None:
        """Write into the audit trail that this configuration counts now, if it is another than the last."""
        if not self.ledger.audit.has_configuration(self.config_digest):  # a daemon asks every few seconds
            self.ledger.audit.note_configuration(self.config_digest, audited_settings(self.settings))

    @property
    def stop(self) -> threading.Event:
        """Set when the process ends."""
        return self._around.stop

    def site_of(self, target: str) -> str:
        """The key that the ledger keeps a target's site under. Raises `KeyError`."""
        return self.sites.of(target)

    def first_target_on(self, site: str, job: str) -> str:
        """The target that a job's secrets on a site are counted for, by the names of today."""
        return self.sites.first_target(site, job)

    @property
    def ledger(self) -> Ledger:
        """The ledger of this configuration, open as long as the app is."""
        return self._opened.ledger

    def _say_a_clock_that_was_set_back(self) -> None:
        latest = max((run.finished_at for run in self.ledger.runs()), default=None)
        if latest is not None and latest > self._around.clock() + TOLERANCE:
            logger().warning(
                "clock.set_back",
                latest=f"{latest:%Y-%m-%d %H:%M:%S} UTC",
                hint="the ledger has later times; see the clock",
            )

    def close(self) -> None:
        """Have waits and runs end, do the last steps after runs, and close connections and ledger."""
        # First of all: what waits gives up, instead of going on with what is closed under it.
        self.ended.set()
        # While the ledger is open still: the lines of this command are shipped from it.
        self.after_run.end()
        self._parts.close()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def is_one_secret(self, one: tuple[str, str], other: tuple[str, str]) -> bool:
        """Do two paths, each with its source, share one decision, such as a rollback?

        Two spellings of one path do, and so does a path of a source that no job reads any more, where it leads to the
        same secret. Paths of two sources that jobs read do not, even where both lead to one place.
        """
        (source, _), (second, _) = one, other
        read = {job.source for job in self.runtime.jobs.values()}
        if one == other or (source != second and {source, second} <= read):
            return one == other
        # Where a place was never learnt, nothing says that both lead to the same secret.
        first, then = self.ledger.secret_at(*one), self.ledger.secret_at(*other)
        # A name that no job has any more and no cycle has ever seen holds nothing of its own: its path alone tells.
        unseen = [name for name in (source, second) if name not in read and not self.ledger.known_mounts(name)]
        return first == then if first and then else bool(unseen) and one[1] == other[1]

    def held(self, batch: str | None = None) -> tuple[HeldAction, ...]:
        """What waits for a release, or was released and is not sent yet, by the names of today."""
        found = self.ledger.decisions.held(batch=batch)
        # Rights go by targets, and the name that an action was held under may be another site's by now.
        return tuple(replace(action, target=self.first_target_on(action.site, action.job)) for action in found)

    @property
    def served(self) -> Served:
        """Which jobs send to which sites, and where nobody has looked for too long."""
        # Sites without a job as well: what is there is an orphan, and not detached.
        jobs: dict[str, frozenset[str]] = {self.site_of(name): frozenset() for name in self.settings.targets}
        for name, job in self.settings.jobs.items():
            for target in job.targets:
                jobs[self.site_of(target)] |= {name}
        return Served(jobs=jobs, stale=stale(self.settings, self.ledger, self.site_of, self._around.clock()))

    def _see_that_joined_targets_agree(self) -> None:
        """Raise `ConfigError` where targets on one site differ in their name profile, rate limit or labels.

        They share the site's records and its rate limit, under whichever of its keys.
        """
        first: dict[str, str] = {}
        for name, target in self.settings.targets.items():
            other = first.setdefault(self.site_of(name), name)
            known = self.settings.targets[other]
            mine = (target.name_profile, target.rate_limit, target.labels)
            if mine != (known.name_profile, known.rate_limit, known.labels):
                raise ConfigError(
                    f"targets {other} and {name} are one site, and differ in name_profile, rate_limit or labels",
                    hint="give both the same",
                )

    def source(self, name: str) -> Source:
        """The source, connected when first used. Raises `ConfigError` for a missing credential or name."""
        # The ledger remembers names that no configuration has any more.
        if name not in self.settings.sources:
            raise ConfigError(
                f"the configuration has no source {name} any more",
                hint="write it under sources again, or see: syncd state list",
            )
        hooks = replace(self._around.source_hooks, stop=self.stop)
        make = partial(make_source, name, self.settings.sources[name], self._around.clock, hooks)
        return self._parts.source(name, make)

    def queue(self, name: str, settings: AwsSettings) -> Queue:
        """Connect the queue of a source's events.

        Raises `SourceError` where AWS is not set up, `ConfigError` where the source has no queue.
        """
        return make_queue(name, settings, self.stop)

    def target(self, name: str) -> Target:
        """The target, connected when first used. Raises `ConfigError` for a missing credential or name."""
        if name not in self.settings.targets:
            raise ConfigError(
                f"the configuration has no target {name} any more",
                hint="write it under targets again, or see: syncd state list",
            )
        return self._parts.target(name, partial(self._parts.factory.make, name, self.settings.targets[name]))

    def _quota(self, target: str, limit: int, window: timedelta) -> Quota:
        site = self.site_of(target)
        rate = RequestRate(site=site, limit=limit, window=window)
        # Asked before each request, too: a process that lost the site's lock sends nothing more.
        still_there = partial(self.ledger.still_there, site)
        return Quota(self._opened.request_times, self.ledger.place, rate, self._around.clock, still_there)
