"""Hand on what this daemon was asked for and none of its jobs will look at, to the daemon that works now or next."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from syncd.daemon.asked_for import Ask
from syncd.daemon.generations import Generation, Generations
from syncd.daemon.job_runner import JobRunner
from syncd.daemon.wakeups import ONCE, Expected
from syncd.domain.audit import Actor
from syncd.domain.naming import selects_path
from syncd.errors import LedgerError
from syncd.ledger.wakeups import Wish

NOBODYS = ""
"""Stands in the place of a job's name, for what no job here looks at and could not be handed on yet."""


class HandingOn:
    """Put such requests into the ledger.

    Each is kept in the name of whoever asked, for the same time and with the same rights.
    """

    def __init__(self, generations: Generations, runner: JobRunner) -> None:
        self._generations, self._runner = generations, runner
        self._seen = generations.current
        self._sites: dict[str, frozenset[str]] = {}
        """By job, also one that is gone: the keys of the sites that it sent to before the present configuration."""

    def pass_on(self, *, stops: bool, rests: bool) -> None:
        """Hand on what no job of this daemon will look at. What the ledger does not take is tried again the next time.

        `stops`: does this daemon end? `rests`: does another one work in its place? In both cases, and after a reload,
        everything is handed on. Raises `LedgerError`.
        """
        current, before = self._generations.current, self._seen
        self._seen = current
        self._sites |= _sites_of(before)
        # Under another configuration another job may take it.
        stays = self._stays if not (stops or before is not current or rests) else lambda _job, _path: False
        nobody = Actor("event", "what was left at a stop" if stops else "what was left by another job", "syncd run")
        left, asked = self._runner.take_left(stays, stops=stops)
        handed_on = defaultdict[Ask, dict[str, Expected]](dict)
        for job, path in left.keys() | asked.keys():
            if whose := asked.get((job, path)):
                ask = whose.again()
            else:  # the request has ended, and its rights with it: it woke no more than its job's own sites
                ask = Ask(by=nobody, rights=self._sites.get(job) or _sites_of(current).get(job, frozenset()))
            handed_on[ask][path] = left.get((job, path), ONCE).and_(handed_on[ask].get(path))
        while handed_on:
            ask, named = handed_on.popitem()
            try:
                if not current.app.ledger.wakeups.put(self._wish(ask, named)):
                    self._put_back({ask: named})
            except LedgerError:
                self._put_back({ask: named, **handed_on})
                raise

    def _stays(self, name: str, path: str) -> bool:
        current = self._generations.current
        job = current.app.runtime.jobs.get(name)
        return job is not None and current.schedule.has(name) and any(selects_path(rule, path) for rule in job.rules)

    def _wish(self, ask: Ask, named: Mapping[str, Expected]) -> Wish:
        now = time.monotonic()
        return Wish(
            by=ask.by,
            paths=tuple((None, path) for path in sorted(named)),
            # What an event told of is looked for until it is there; anything else is looked at once.
            expected=tuple((None, path, item.version) for path, item in sorted(named.items()) if item.until > now),
            sites=ask.rights,
            left_on=ask.sites,
            ends=self._generations.current.app.runtime.clock() + timedelta(seconds=ask.lasts),
        )

    def _put_back(self, handed_on: Mapping[Ask, Mapping[str, Expected]]) -> None:
        for ask, named in handed_on.items():
            self._generations.current.pending.put_back(NOBODYS, named)
            self._runner.asked(NOBODYS, replace(ask, about=tuple(named)))


def _sites_of(generation: Generation) -> dict[str, frozenset[str]]:
    """Return the keys of the sites that each job of a configuration sends to."""
    runtime = generation.app.runtime
    return {name: frozenset(map(runtime.site_of, job.targets)) for name, job in runtime.jobs.items()}
