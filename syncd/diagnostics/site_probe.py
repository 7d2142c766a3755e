"""`syncd check --probe`: write scratch secrets to the real site, to see what Wix's reference leaves open."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from syncd.domain import Pending, Record, RemoteSecret, SecretRef, SecretValue, WriteWindow
from syncd.domain.audit import Entry
from syncd.domain.halting import HALTED
from syncd.domain.naming import PROFILES
from syncd.domain.ownership import DESCRIPTION_MAX, mark_of, marked
from syncd.domain.ports import AuditBatch, Clock, Journal, StateStore, Target
from syncd.domain.values import VALUE_MAX
from syncd.domain.write_window import SLACK
from syncd.errors import NameTaken, SecretRefused, SyncdError, TargetDenied, TargetError

JOB = "(probe)"
LONGEST_NAME = PROFILES["api"].longest
PATIENCE = 15.0
"""Seconds to wait for a listing to show what was written."""


@dataclass(kw_only=True)
class Probe:
    """One run on one target, under the site's lock; its secrets are journaled like any other."""

    owner: str
    target: Target
    store: StateStore
    journal: Journal
    clock: Clock
    stop: Callable[[float], bool]
    """Waits this many seconds; returns True when asked to stop."""
    rests: Callable[[], bool] = lambda: False
    """Was the target paused meanwhile? Then only the requests that remove the scratch secrets are still sent."""
    _records: list[Record] = field(default_factory=list)

    def run(self) -> Iterator[tuple[str, bool, str]]:
        """Run the probe, and yield (what was tried, did it go well, what was seen) after each step.

        Raises `SyncdError` where the site refuses the whole; the scratch secrets are removed then, too.
        """
        # First: what a killed probe left goes, even where this one is refused.
        yield from self._leftovers()
        halting = HALTED.set(self.rests)
        # A name of its own each time: a fixed one could be taken, by a person or by a probe that was killed.
        name = f"syncd-probe-{secrets.token_hex(4)}"
        value = SecretValue(secrets.token_urlsafe(24))
        try:
            began = time.monotonic()
            record, window = self._create(name, value)
            yield "create", True, f"{name} has id {record.remote_id}"
            seen = self._listed(record.remote_id, lambda secret: secret is not None)
            lag = time.monotonic() - began
            yield "listing", seen is not None, _lag("shows a new secret", seen is not None, lag)
            yield from self._dates(seen, window)
            yield from self._reading(name, value)
            yield from self._change(record, seen)
            yield from self._case(name)
            yield from self._limits()
        finally:
            # Also after a refusal, an interruption or a pause: nothing of a probe stays on a real site.
            HALTED.reset(halting)
            gone = self._clean_up()
        yield "delete", gone, "the scratch secret is gone" if gone else "something of it is left; probe again"

    def _leftovers(self) -> Iterator[tuple[str, bool, str]]:
        """Remove what an earlier probe left that was killed; the ledger has the records of it."""
        listed = {secret.name: secret for secret in self.target.list()}
        for record in self.store.records(self.target.site):
            if record.job != JOB:
                continue
            secret = listed.get(record.name)
            # The mark in the description tells whose it is: somebody may have taken the name since.
            mine = secret is not None and secret.description == record.description
            self._records.append(
                replace(record, remote_id=record.remote_id or (secret.id if secret and mine else None))
            )
        if self._records:
            self._clean_up()
            yield "leftovers", True, "those of an earlier probe were removed"

    def _create(
        self, name: str, value: SecretValue[str], text: str = "syncd probe"
    ) -> tuple[Record, WriteWindow | None]:
        ref = SecretRef(source=JOB, path=name)
        record = Record(
            site=self.target.site,
            name=name,
            target=self.target.name,
            job=JOB,
            ref=ref,
            description=marked(text, mark_of(self.owner, name, ref)),
            pending=Pending.CREATE,
            pending_at=self.clock(),
        )
        self.journal.write(put=[record], audit=AuditBatch(intents=(_line(record, "create", "intent"),)))
        # Before the request: a secret whose answer is lost has to be found and removed as well.
        self._records.append(record)
        try:
            written = self.target.create(name, value, record.description)
        except TargetError as error:
            lost = error.maybe_done
            # The record of a lost create stays, so that the next probe looks for its id.
            if not lost:
                self._records.remove(record)
            ended = _line(record, "create", "unknown" if lost else "failed")
            self.journal.write(drop=[] if lost else [record], audit=AuditBatch(ends=(ended,)))
            raise
        settled = replace(record, remote_id=written.id, pending=None)
        self._records[-1] = settled
        self.journal.write(put=[settled], audit=AuditBatch(ends=(_line(settled, "create", "done"),)))
        return settled, written.window

    def _listed(self, secret_id: str | None, enough: Callable[[RemoteSecret | None], bool]) -> RemoteSecret | None:
        deadline, pause = time.monotonic() + PATIENCE, 0.1
        while True:
            secret = next((secret for secret in self.target.list() if secret.id == secret_id), None)
            if enough(secret) or time.monotonic() > deadline or self.stop(pause):
                return secret if enough(secret) else None
            pause = min(2.0, pause * 2)

    def _dates(self, seen: RemoteSecret | None, window: WriteWindow | None) -> Iterator[tuple[str, bool, str]]:
        if seen is None:
            return
        if seen.updated_at is None:
            yield "dates", False, "updatedDate is missing: changes by others are seen only by the verification"
        elif window is None:
            yield "dates", False, "answers carry no Date: the first listed date is taken for ours"
        else:
            inside = window.start - SLACK <= seen.updated_at <= window.end + SLACK
            place = "lies within the write's window" if inside else "lies outside the write's window"
            yield "dates", inside, f"updatedDate {place}"

    def _reading(self, name: str, value: SecretValue[str]) -> Iterator[tuple[str, bool, str]]:
        try:
            read = self.target.value(name)
        except TargetDenied:
            yield "reading", True, "the credential may not read values (that is well; verification compares less)"
        else:
            same = read == value
            yield "reading", same, "the credential may read values" + ("" if same else ", and the site's differs")

    def _change(self, record: Record, seen: RemoteSecret | None) -> Iterator[tuple[str, bool, str]]:
        before: datetime | None = seen.updated_at if seen else None
        if self.stop(1.1):  # dates may have whole seconds only
            return
        began = time.monotonic()
        with self._audited(record, "update"):
            self.target.update(
                str(record.remote_id),
                name=None,
                value=SecretValue(secrets.token_urlsafe(24)),
                description=record.description,
            )
        if before is None:
            yield "update", True, "taken; without dates the listing cannot show it"
            return
        moved = self._listed(record.remote_id, lambda secret: secret is not None and secret.updated_at != before)
        yield "update", moved is not None, _lag("shows the change", moved is not None, time.monotonic() - began)

    def _case(self, name: str) -> Iterator[tuple[str, bool, str]]:
        try:
            self._create(name.upper(), SecretValue(secrets.token_urlsafe(24)))
        except NameTaken:
            yield "case", True, "names that differ only in case are the same here"
        else:
            yield "case", True, "names that differ only in case are two secrets here"

    def _limits(self) -> Iterator[tuple[str, bool, str]]:
        name = f"syncd-probe-{secrets.token_hex(4)}".ljust(LONGEST_NAME, "x")
        accepted = (
            f"{VALUE_MAX:,} characters of value, {LONGEST_NAME} of name, {DESCRIPTION_MAX} of description are taken"
        )
        try:
            self._create(name, SecretValue("x" * VALUE_MAX), "x" * DESCRIPTION_MAX)
        except SecretRefused as error:
            yield "limits", False, f"{accepted[:-10]} are refused ({error.message})"
        else:
            yield "limits", True, accepted
        try:
            self._create(f"syncd-probe-{secrets.token_hex(4)}", SecretValue("x" * (VALUE_MAX + 1)))
        except SecretRefused:
            yield "limits", True, f"{VALUE_MAX + 1:,} characters of value are refused, as documented"
        else:
            yield "limits", True, f"{VALUE_MAX + 1:,} characters of value are taken too (syncd keeps to {VALUE_MAX:,})"

    @contextmanager
    def _audited(self, record: Record, verb: str) -> Iterator[None]:
        """Write the audit lines of a request: its intent before it, and how it ended."""
        self.journal.write(audit=AuditBatch(intents=(_line(record, verb, "intent"),)))
        outcome = "unknown"  # of a process that is interrupted, too
        try:
            yield
            outcome = "done"
        except TargetError as error:
            outcome = "unknown" if error.maybe_done else "failed"
            raise
        finally:
            self.journal.write(audit=AuditBatch(ends=(_line(record, verb, outcome),)))

    def _clean_up(self) -> bool:
        for record in list(self._records):
            try:
                if record.remote_id is not None:
                    with self._audited(record, "delete"):
                        self.target.delete(record.remote_id)
            except SyncdError:
                # The others are removed all the same; what stays is in the ledger for the next probe.
                continue
            # A create without an id may take effect late; a day later nobody waits for it, and its record goes.
            if record.remote_id is not None or _is_old(record, self.clock()):
                self.journal.write(drop=[record])
                self._records.remove(record)
        return not self._records


def _line(record: Record, verb: str, outcome: str) -> Entry:
    return Entry(
        event=f"secret.{verb}",
        outcome=outcome,
        name=record.name,
        remote_id=record.remote_id,
        job=JOB,
        target=record.target,
        site=record.site,
        detail={"why": "probe"},
    )


def _is_old(record: Record, now: datetime) -> bool:
    return record.pending_at is not None and now - record.pending_at > timedelta(days=1)


def _lag(what: str, seen: bool, seconds: float) -> str:
    if not seen:
        return f"does not show it within {PATIENCE:.0f} s"
    return f"{what} at once" if seconds < 1 else f"{what} after {seconds:.1f} s (it lags)"
