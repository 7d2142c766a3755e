"""Tell people through apprise what began and what ended; the process that finds it tells it."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from syncd.bootstrap.app import App
from syncd.bootstrap.process import holder
from syncd.config.notify import Notify
from syncd.errors import FAILED, ConfigError, LedgerBusy, SyncdError
from syncd.telemetry.logs import logger

KINDS = {"conflict": "conflict", "held": "held", "denied": "denied", "failed": "failed", "quarantined": "failed"}
"""The word in `notify: on` for each kind of problem."""
MOST_NAMES = 10


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing to tell, the same as long as it lasts."""

    kind: str
    job: str
    target: str


class _Receiver:
    """Somebody who is told, and how the ledger remembers what they were told."""

    def __init__(self, settings: Notify) -> None:
        self.settings = settings
        # By where its address is, never by the address: that holds a secret.
        written = settings.model_dump_json(exclude_none=True)
        self._mark = f" {hashlib.sha256(written.encode()).hexdigest()[:8]}"

    def key(self, cause: Cause) -> str:
        """Return the key under which the ledger keeps that this receiver was told."""
        return f"{cause.kind} {cause.job} {cause.target}{self._mark}"

    def owns(self, key: str) -> bool:
        """Is it a key of this receiver?"""
        return key.endswith(self._mark)


class _Message(NamedTuple):
    """The parts of a message; names are separate, because not every receiver may have them."""

    says: str
    subjects: tuple[str, ...] = ()
    do: str = ""

    def text(self, *, names: bool) -> str:
        # A field's name may hold line breaks: one line each, whatever it is called.
        listed = [f"- {' '.join(subject.split())}" for subject in self.subjects] if names else []
        return "\n".join(filter(None, (self.says, *listed, self.do)))


PATIENCE = 30.0
"""After this many seconds of messages to a receiver in one run, the next failure leaves the rest to the next run."""
OVER = _Message("It is as it should be again.")


class Notifier:
    """Tells people, after each run, what is new since the last message, and what is over."""

    def __init__(self, app: App, on_failure: Callable[[], None] = lambda: None) -> None:
        """`on_failure`: counts a message that could not be sent. Raises `ConfigError` without the extra `notify`."""
        self._app, self._on_failure = app, on_failure
        if app.settings.notify:
            see_extra()
            app.after_run.append(self.tell)

    def tell(self) -> None:
        """Send what began and what ended. What cannot be sent is logged, counted, and tried again in the next run."""
        ledger = self._app.ledger
        try:
            # One at a time: two processes would both find that nobody was told yet.
            with ledger.lock("(notify)", holder=holder(), wait=timedelta(0)):
                said, open_now = ledger.told_causes(), set(self._open())
                # What others were told is not forgotten: they may be receivers of a process with another configuration.
                for receiver in map(_Receiver, self._app.settings.notify):
                    self._tell_one(receiver, said, open_now)
        except LedgerBusy:
            return  # another process tells; what is new to it as well comes after the next run
        except SyncdError as error:
            logger().warning("notify.failed", error=error.message, hint=error.hint)

    def _tell_one(self, receiver: _Receiver, said: set[str], open_now: set[Cause]) -> None:
        """Send one receiver what began or ended since it was last told."""
        # By receiver: one that is dead lets no other be told again and again.
        wanted = {receiver.key(cause): cause for cause in open_now if cause.kind in receiver.settings.on}
        told = set(filter(receiver.owns, said))
        # One that is away is left until the next run: a thousand causes would wait for it a thousand times.
        until = time.monotonic() + PATIENCE
        for key in sorted(wanted.keys() - told):
            cause = wanted[key]
            # Remembered once it was sent: what could not be sent comes again after the next run.
            title = f"syncd: {cause.kind} in {cause.job} on {cause.target}"
            if self._send(receiver, cause.kind, title, self._message(cause)):
                self._app.ledger.tell_cause(key, begun=True)
            elif time.monotonic() > until:
                return
        for key in sorted(told - wanted.keys()):
            kind, job, target, _ = key.split(" ", 3)
            if self._send(receiver, kind, f"syncd: {kind} in {job} on {target} has ended", OVER):
                self._app.ledger.tell_cause(key, begun=False)
            elif time.monotonic() > until:
                return

    def _open(self) -> Iterator[Cause]:
        app = self._app
        for problem in app.ledger.all_problems():
            if kind := KINDS.get(problem.kind):
                yield Cause(kind, problem.job, app.first_target_on(problem.site, problem.job))
        for site, job in app.served.stale:
            yield Cause("stale", job, app.first_target_on(site, job))
        for site, job in app.ledger.open_drift():
            yield Cause("drift", job, app.first_target_on(site, job))
        for run in app.ledger.runs():
            # 1 and 6 have causes of their own above. Of a job that is gone no run will ever end the message.
            if run.exit_code in FAILED and run.job in app.served.jobs.get(run.site, frozenset()):
                yield Cause("failed", run.job, run.target)

    def _message(self, cause: Cause) -> _Message:
        """How many secrets, which, and what to do."""
        found = [
            problem
            for problem in self._app.ledger.all_problems()
            if KINDS.get(problem.kind) == cause.kind
            and problem.job == cause.job
            and self._app.first_target_on(problem.site, problem.job) == cause.target
        ]
        kinds = Counter(problem.kind for problem in found)
        return _Message(
            ", ".join(f"{number} {kind}" for kind, number in kinds.items()) or "see: syncd status",
            tuple(problem.subject for problem in found[:MOST_NAMES]),
            "syncd held" if cause.kind == "held" else f"syncd status --job {cause.job}",
        )

    def _send(self, receiver: _Receiver, kind: str, title: str, message: _Message) -> bool:
        """Returns: did the receiver get it?"""
        well = _sent(receiver.settings, title, message.text(names=receiver.settings.names))
        if not well:
            self._on_failure()
            logger().warning("notify.failed", kind=kind, hint="see the address and whether it answers")
        return well


def _sent(settings: Notify, title: str, body: str) -> bool:
    import apprise

    receiver = apprise.Apprise()
    # Read anew for each message, as credentials are: a rotated address needs no restart.
    try:
        address = settings.url.read("notify.url").reveal()
        return bool(receiver.add(address)) and bool(receiver.notify(title=title, body=body))
    except ConfigError as error:
        # Of this receiver alone: the next one is told all the same.
        logger().warning("notify.unreadable", error=error.message, hint=error.hint)
        return False
    except (OSError, ValueError, TypeError):
        # What the library raises may quote the address: nothing of it is told.
        return False


def see_extra() -> None:
    """Raise `ConfigError` where the library that sends messages is not installed."""
    try:
        import apprise  # noqa: F401
    except ImportError:
        raise ConfigError("notify: needs the extra `notify`", hint="pip install 'syncd[notify]'") from None
