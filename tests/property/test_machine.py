"""The whole cycle under everything that can go wrong: it converges, and never breaks a rule on the way."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syncd.domain import Glob, Grant, Rule
from syncd.domain.job import Job, Limit, Limits, Policies
from syncd.domain.ownership import other_owner
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.fingerprints import Fingerprints
from syncd.ledger.store import Ledger
from syncd.reconcile.run_job import Run, sync_job
from syncd.reconcile.runtime import Runtime
from syncd.sandbox.wix_site import Refusal, Site
from tests.fakes import Crash, FakeClock, FakeSource, FakeTarget

PATHS = st.sampled_from(["kv/app/a", "kv/app/b", "kv/app/c", "kv/app/d/e", "kv/app/f"])
FIELDS = st.sampled_from(["x", "y"])
VALUES = st.sampled_from(["one", "two", "three", "four"])
MISCHIEF = st.sampled_from(["", "lost_before", "lost_after", "late", "crash_before", "crash_after", "refused"])
STEP = timedelta(minutes=5)
FOREIGN = "made by hand"


def memory_ledger(clock: FakeClock) -> Ledger:
    return Ledger(sqlite_engine(None), "in memory", None, clock)


def raw(ledger: Ledger) -> sqlite3.Connection:
    with ledger.reading() as connection:
        return connection.connection.driver_connection


class SyncMachine(RuleBasedStateMachine):
    """Sources, a site, people at Wix, a clock, crashes and backups, in any order."""

    @initialize(delete=st.booleans(), restore=st.booleans(), may_read=st.booleans(), dates=st.booleans())
    def begin(self, delete: bool, restore: bool, may_read: bool, dates: bool) -> None:
        self.clock = FakeClock()
        self.wix_clock = FakeClock()  # Wix's own, which does not jump when this machine's does
        self.site = Site(self.wix_clock)
        # Without dates and without reading nobody can see an edit.
        self.site.options.may_read = may_read or not dates
        self.site.options.dates = dates
        self.site.options.quota = 10**9
        self.source = FakeSource(self.clock)
        self.target = FakeTarget(self.site, self.wix_clock)
        self.target.on_delete = self.deletion
        self.ledger = memory_ledger(self.clock)
        self.template = "{path}_{field}"
        self.delete, self.restore = delete, restore
        self.foreign: dict[str, tuple[str, str]] = {}
        self.backups: list[sqlite3.Connection] = []
        self.failed_listing = False
        self.adopt = False
        self.serving = True
        self.site_key = "site-1"
        self.once_foreign: set[str] = set()

    # --- what the product runs

    def job(self) -> Job:
        return Job(
            name="job",
            source="vault",
            targets=("shop",) if self.serving else (),
            rules=(Rule(index=0, source="vault", path=Glob("kv/app/**"), field="*", name=self.template),),
            policies=Policies(
                job="job",
                delete=self.delete,
                restore=self.restore,
                adopt=self.adopt,
                grace=timedelta(minutes=12),
                interval=STEP,
            ),
            limits=Limits(max_deletes=Limit(number=100)),
        )

    def keeper(self) -> Job:
        """A job that keeps the site served while the other sends nothing there."""
        rules = (Rule(index=0, source="vault", path=Glob("kv/none/*"), field="*", name="K_{path}"),)
        policies = Policies(job="keeper", delete=True, grace=timedelta(0), interval=STEP)
        limits = Limits(max_deletes=Limit(number=100))
        return Job(name="keeper", source="vault", targets=("shop",), rules=rules, policies=policies, limits=limits)

    def runtime(self) -> Runtime:
        return Runtime(
            owner="owner",
            jobs={"job": self.job(), "keeper": self.keeper()},
            source=lambda _name: self.source,
            target=lambda _name: self.target,
            site_of=lambda _name: self.site_key,
            targets=("shop",),
            store=self.ledger,
            fingerprint=Fingerprints(b"k" * 32).of,
            clock=self.clock,
            workers=1,  # Hypothesis needs the same run from the same choices
        )

    def cycle(self) -> Any:
        """One cycle; a crash ends the process, and the ledger is what it is."""
        self.failed_listing = self.source.broken or self.source.partial or self.source.stale is not None
        try:
            job = self.job() if self.serving else self.keeper()
            (report,) = sync_job(self.runtime(), job, Run(holder="machine", wait=timedelta(0), hinted_paths=self.named))
        except Crash:
            self.target.mischief.clear()
            return None
        finally:
            self.taken_over()
        assert report.error is None or type(report.error).__name__ != "AssertionError"
        return report

    named: frozenset[str] = frozenset()

    def taken_over(self) -> None:
        """What carries our mark was taken over with consent; it stays somebody's that is never deleted."""
        for name, (secret_id, _) in list(self.foreign.items()):
            one = self.site.secrets.get(secret_id)
            if one is None or "[syncd:owner:" in one.description:
                self.once_foreign.add(secret_id)
                assert self.adopt or self.was_adopting, f"{name} was taken over without consent"
                del self.foreign[name]

    was_adopting = False
    """Consent was there once: what was sent then may still come late."""

    def pass_time(self, span: timedelta) -> None:
        self.clock.skip(span)
        self.wix_clock.skip(span)

    def deletion(self, secret_id: str) -> None:
        """Called before every deletion: it is ours, the source really lacks it, the listing was whole."""
        assert self.delete and self.serving
        assert secret_id not in self.once_foreign or self.ledger_was_lost, "it was somebody else's"
        assert not self.source.broken and not self.source.partial
        one = self.site.secrets.get(secret_id)
        if one is None:
            return
        assert one.name not in self.foreign or self.foreign[one.name][0] != secret_id
        assert secret_id in self.site.created_ids
        assert one.name not in self.wanted(), f"{one.name} is wanted"
        assert "[syncd:owner:" in one.description

    def wanted(self) -> dict[str, str]:
        told = {}
        for path, stored in self.source.secrets.items():
            for field, value in stored.fields.items():
                rest = path.removeprefix("kv/app/")
                told[self.template.format(path=rest, field=field).replace("/", "_")] = value
        return told

    # --- what happens

    @rule(path=PATHS, field=FIELDS, value=VALUES)
    def write(self, path: str, field: str, value: str) -> None:
        fields = dict(self.source.secrets[path].fields) if path in self.source.secrets else {}
        self.source.put(path, **{**fields, field: value})

    @rule(path=PATHS)
    def drop_field(self, path: str) -> None:
        stored = self.source.secrets.get(path)
        if stored and len(stored.fields) > 1:
            self.source.put(path, **dict(list(stored.fields.items())[:1]))

    @rule(path=PATHS)
    def remove(self, path: str) -> None:
        self.source.remove(path)

    @rule(mischief=st.lists(MISCHIEF, max_size=4))
    def sync(self, mischief: list[str]) -> None:
        self.target.mischief = list(mischief)
        self.cycle()
        self.target.mischief = []
        self.pass_time(STEP)

    @rule(path=PATHS, value=VALUES)
    def rotate_and_sync(self, path: str, value: str) -> None:
        self.source.put(path, x=value)
        self.cycle()
        self.pass_time(STEP)

    @rule(cycles=st.integers(1, 4))
    def time_passes(self, cycles: int) -> None:
        for _ in range(cycles):
            self.cycle()
            self.pass_time(STEP)

    @rule()
    def late_commits(self) -> None:
        waiting, self.target.late = self.target.late, []
        for commit in waiting:
            try:
                commit()
            except Refusal:
                pass
        self.taken_over()

    @rule(broken=st.booleans(), partial=st.booleans(), path=PATHS, denied=st.booleans())
    def source_trouble(self, broken: bool, partial: bool, path: str, denied: bool) -> None:
        self.source.broken, self.source.partial = broken, partial
        self.source.denied = {path} if denied else set()

    @rule()
    def standby_lags(self) -> None:
        self.source.stale = dict(self.source.secrets)

    @rule()
    def source_heals(self) -> None:
        self.source.broken = self.source.partial = False
        self.source.stale = None
        self.source.denied = set()

    @rule(seconds=st.integers(0, 10), every=st.sampled_from([0, 2, 3]))
    def listing_lags(self, seconds: int, every: int) -> None:
        self.site.options.listing_lag = timedelta(seconds=seconds)
        self.site.options.hide = (lambda one: sum(one.name.encode()) % every == 0) if every else (lambda _one: False)

    @rule()
    def listing_heals(self) -> None:
        self.site.options.listing_lag = timedelta(0)
        self.site.options.hide = lambda _one: False

    @rule(down=st.booleans())
    def site_down(self, down: bool) -> None:
        self.target.down = down

    @rule(name=st.sampled_from(["a_x", "b_x", "c_y", "UNRELATED"]))
    def somebody_creates(self, name: str) -> None:
        try:
            answer = self.site.create({"name": name, "value": "theirs", "description": FOREIGN})
        except Refusal:
            return
        self.foreign[name] = (str(answer["id"]), "theirs")

    @rule(adopt=st.booleans())
    def consent(self, adopt: bool) -> None:
        self.adopt = adopt
        self.was_adopting |= adopt

    @rule(name=st.sampled_from(["a_x", "b_x", "c_y"]), hours=st.sampled_from([1, 24]))
    def grant(self, name: str, hours: int) -> None:
        seen = self.site.by_name(name)
        if seen is not None:
            grant = Grant(remote_id=seen.id, owner=other_owner(seen.description, "owner"))
            self.ledger.grant(self.site_key, name, timedelta(hours=hours), grant)
            self.was_adopting = True

    @rule()
    def login_changes(self) -> None:
        self.site_key = "site-2" if self.site_key == "site-1" else "site-1"
        self.target.site = self.site_key

    @rule(serving=st.booleans())
    def target_of_the_job(self, serving: bool) -> None:
        self.serving = serving

    @rule(silent=st.booleans())
    def comparisons_refused(self, silent: bool) -> None:
        self.target.silent = silent

    @rule(
        named=st.frozensets(
            st.sampled_from(["kv/**", "kv/app/*", "kv/app//a", "*", "kv/app/../app/a", "kv/app/a", "kv/x\n"]),
            max_size=3,
        )
    )
    def events(self, named: frozenset[str]) -> None:
        self.named = named

    @precondition(lambda self: self.ours())
    @rule(data=st.data(), days=st.sampled_from([1, 30]))
    def site_is_put_back(self, data: st.DataObject, days: int) -> None:
        one = data.draw(st.sampled_from(sorted(self.ours(), key=lambda s: s.name)))
        old = self.wix_clock() - timedelta(days=days)
        if self.site.options.dates:
            self.site.secrets[one.id] = replace(one, value="from the backup", updated=old)

    @rule(minutes=st.sampled_from([-90, -3, 3, 90]))
    def clock_steps(self, minutes: int) -> None:
        self.clock.skip(timedelta(minutes=minutes))

    def ours(self) -> list[Any]:
        return [one for one in self.site.secrets.values() if "[syncd:" in one.description]

    @precondition(lambda self: self.ours())
    @rule(data=st.data(), keep_mark=st.booleans())
    def somebody_edits(self, data: st.DataObject, keep_mark: bool) -> None:
        one = data.draw(st.sampled_from(sorted(self.ours(), key=lambda s: s.name)))
        told = {"value": "edited by hand"} | ({} if keep_mark else {"description": "mark taken off"})
        self.site.update(one.id, told)

    @precondition(lambda self: self.ours())
    @rule(data=st.data())
    def somebody_deletes(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(self.ours(), key=lambda s: s.name)))
        self.site.delete(one.id)

    @precondition(lambda self: self.ours())
    @rule(data=st.data())
    def somebody_renames(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(self.ours(), key=lambda s: s.name)))
        try:
            self.site.update(one.id, {"name": f"RENAMED_{len(self.site.secrets)}"})
        except Refusal:
            pass

    @rule()
    def back_up(self) -> None:
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        raw(self.ledger).backup(copy)
        self.backups.append(copy)

    @precondition(lambda self: self.backups)
    @rule(data=st.data())
    def restore_backup(self, data: st.DataObject) -> None:
        self.ledger_was_lost = True
        copy = data.draw(st.sampled_from(self.backups))
        self.ledger.close()
        self.ledger = memory_ledger(self.clock)
        copy.backup(raw(self.ledger))

    ledger_was_lost = False
    """Only the ledger knows what was adopted."""

    @rule()
    def lose_ledger(self) -> None:
        self.ledger_was_lost = True
        self.ledger.close()
        self.ledger = memory_ledger(self.clock)

    @rule(hours=st.sampled_from([-24, -1, 1, 24, 24 * 365]))
    def clock_jumps(self, hours: int) -> None:
        self.clock.skip(timedelta(hours=hours))

    @rule(template=st.sampled_from(["{path}_{field}", "N_{path}_{field}", "n_{path}_{field}"]))
    def mapping_changes(self, template: str) -> None:
        self.template = template

    # --- what must hold

    @invariant()
    def nothing_is_twice(self) -> None:
        if not hasattr(self, "site"):
            return
        names = [one.name for one in self.site.secrets.values()]
        assert len(names) == len(set(names))

    @invariant()
    def what_is_others_is_untouched(self) -> None:
        if not hasattr(self, "site"):
            return
        for secret_id, value in self.foreign.values():
            assert self.site.secrets[secret_id].value == value
            assert self.site.secrets[secret_id].description == FOREIGN

    @invariant()
    def an_id_has_one_record(self) -> None:
        if not hasattr(self, "site"):
            return
        ids = [record.remote_id for record in self.ledger.records() if record.remote_id]
        assert len(ids) == len(set(ids))

    def teardown(self) -> None:
        if hasattr(self, "site"):
            self.converges()
            self.ledger.close()

    def converges(self) -> None:
        self.late_commits()
        self.source_heals()
        self.listing_heals()
        self.target.down = False
        self.target.mischief = []
        self.target.silent = False
        self.serving = True
        self.named = frozenset()
        self.restore = True
        # Contested secrets are fought for again when a day has passed, unlisted ones after an hour.
        for _ in range(12):
            self.pass_time(timedelta(hours=25))
            self.cycle()
        records = {record.name: record for record in self.ledger.records(self.site_key)}
        held = self.site.values()
        taken = self.site_names_of_others()
        for name, value in self.wanted().items():
            if name.casefold() in taken:
                continue
            assert held.get(name) == value, f"{name} is {held.get(name)}, not {value}"
            record = records[name]
            assert record.remote_id == self.site.by_name(name).id
            assert not record.unverified and record.pending is None
        before = self.target.writes
        report = self.cycle()
        assert self.target.writes == before, "the second run wrote"
        assert report.error is None

    def site_names_of_others(self) -> set[str]:
        """Names, without their case, held by what carries no right mark: foreign, or ours with its mark taken off and its row lost."""
        ours = {record.remote_id for record in self.ledger.records(self.site_key)}
        return {one.name.casefold() for one in self.site.secrets.values() if one.id not in ours}


EXAMPLES, STEPS = int(os.environ.get("SYNCD_MACHINE_EXAMPLES", "20")), int(os.environ.get("SYNCD_MACHINE_STEPS", "30"))
SyncMachine.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
TestSyncMachine = pytest.mark.timeout(3600)(SyncMachine.TestCase)  # thousands of examples beside other work
