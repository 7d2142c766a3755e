"""Ship lines of the audit trail in their order, by a cursor in the ledger; one process at a time."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from syncd.audit_sinks.sinks import FileSink, HttpSink, Sink, SinkError, StdoutSink
from syncd.bootstrap.app import App
from syncd.bootstrap.process import holder
from syncd.config.audit import Audit
from syncd.domain.audit import Entry
from syncd.errors import ConfigError, LedgerBusy, LedgerError
from syncd.ledger.statements import meta_key
from syncd.telemetry.logs import logger

BATCH = 500
"""Lines that are sent at once: half a megabyte."""
PATIENCE = timedelta(minutes=5)
"""How old the oldest unshipped line may be before a required sink holds up writing (governance.md's figure)."""
AGAIN = 5.0
"""Seconds from one look at the backlog to the next."""


def _behind_key(sink: str) -> str:
    """Return the ledger's key for whether the trail says that this sink is behind; each sink has its own."""
    return meta_key("audit_sink_is_behind ", sink)


class Shipper:
    """Ships what a ledger has, prunes what is old, and holds up writing while a required sink is away."""

    def __init__(self, app: App, *, prints: bool) -> None:
        """`prints`: may audit lines go to stdout? Only for `syncd run`."""
        self._app, self._audit = app, app.settings.audit
        self._sink, self._former = _sink(self._audit, prints=prints), self._audit.former_sink
        self._turn, self._asking = threading.Lock(), threading.Lock()
        self._looked = float("-inf")
        self._blocked: LedgerError | None = None
        if self._audit.required:
            # Before the intent: after it the trail would hold a line of a write that was never sent.
            app.ledger.before_intents = self.see_that_it_keeps_up
        app.after_run.append(self.ship)

    def ship(self) -> None:
        """Send what is not sent yet, then prune. What fails is logged, and stays for the next time."""
        try:
            # What writes nothing has nothing to ship: the daemon that works does.
            if self._app.ledger.configurations.why_it_rests():
                return
            # Sent first: where there is a sink, only what it has got may be removed.
            self._send_all()
            # How long lines are kept, and which sink has to have them, is for the daemon's configuration to say.
            if self._app.ledger.configurations.another_of_late(self._app.config_digest) is None:
                self._app.ledger.audit.prune(self._audit.keep, self._audit.sink)
        except (SinkError, LedgerError, ConfigError) as error:
            logger().warning("audit.unshipped", error=error.message, hint=error.hint, lines=self.backlog())
        with suppress(LedgerError):  # the next run asks again
            self._note_outage()

    def _note_outage(self) -> None:
        """Write a line when the sink is behind for over five minutes, and one when it has everything again."""
        ledger, key = self._app.ledger, self._audit.sink
        if key is None:
            return
        was_behind = bool(ledger.meta(_behind_key(key)))
        # Once it is told, every line has to be there before it is told to be over.
        is_behind = bool(self.backlog()) if was_behind else ledger.audit.is_unshipped_since(key, PATIENCE)
        if is_behind != was_behind:
            ledger.set_meta(_behind_key(key), "1" if is_behind else "")
            event = "audit.unshipped" if is_behind else "audit.shipped"
            ledger.audit.note(Entry(event=event, detail={"sink": str(self._audit.shown_sink)}))

    def backlog(self) -> int:
        """How many lines are not shipped; 0 where there is no sink."""
        try:
            return self._app.ledger.audit.unshipped_count(self._audit.sink) if self._audit.sink else 0
        except LedgerError:
            # It is asked while another failure is told, which a second one would hide.
            return 0

    def _send_all(self) -> None:
        if self._sink is None or self._audit.sink is None:
            return
        ledger, key = self._app.ledger, self._audit.sink
        self._rename_cursors()
        try:
            # In order: nobody else may send between a batch and its cursor. Whoever does sends these lines, too.
            with self._turn, ledger.lock("(audit sink)", holder=holder(), wait=timedelta(0)):
                while lines := ledger.audit.unshipped(key, BATCH):
                    self._sink.send([line.text for line in lines])
                    # After the sink has them: a kill in between sends a batch twice, and loses none.
                    ledger.audit.mark_shipped(key, {line.stream: line.seq for line in lines})
        except LedgerBusy:
            return  # another process ships

    def _rename_cursors(self) -> None:
        """Rename the cursors once: earlier versions kept them under the whole URL, with any token in it."""
        former, self._former = self._former, None
        if former is not None and former != self._audit.sink:
            self._app.ledger.audit.rename_cursors(former, str(self._audit.sink))

    def see_that_it_keeps_up(self) -> None:
        """Check before each intent that a required sink has the old lines.

        Raises `LedgerError` while a line older than five minutes could not be shipped.
        """
        # One site's question is every site's answer: who comes while it is looked for waits for it.
        with self._asking:
            self._see_that_it_keeps_up()

    def _see_that_it_keeps_up(self) -> None:
        # Not at each of a thousand intents: every answer costs a query.
        if time.monotonic() - self._looked < AGAIN:
            if self._blocked is not None:
                raise self._blocked
            return
        ledger, key = self._app.ledger, str(self._audit.sink)
        is_late = ledger.audit.is_unshipped_since(key, PATIENCE)
        if is_late:
            # A sink that has come back gets its lines now, and nothing is held up.
            self.ship()
            is_late = ledger.audit.is_unshipped_since(key, PATIENCE)
        # Only now: a ledger that did not answer has said nothing that could be gone by.
        self._looked, self._blocked = time.monotonic(), None
        if is_late:
            minutes = PATIENCE.seconds // 60
            self._blocked = LedgerError(
                f"audit lines could not be shipped for {minutes} minutes, and audit.required says that they must be",
                hint="see to the sink (see audit.unshipped in the log); nothing was sent meanwhile",
            )
            raise self._blocked


def _sink(audit: Audit, *, prints: bool) -> Sink | None:
    if audit.stdout:
        return StdoutSink() if prints else None
    if audit.file is not None:
        return FileSink(Path(audit.file))
    return HttpSink(audit.url) if audit.url else None
