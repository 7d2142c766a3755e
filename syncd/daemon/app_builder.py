"""Makes the app of a configuration, wired to the daemon's log, metrics and stop."""

from __future__ import annotations

import threading
from functools import partial

from syncd.audit_sinks.shipper import Shipper
from syncd.bootstrap.app import App, Surroundings
from syncd.bootstrap.sources import SourceHooks
from syncd.config import Settings
from syncd.daemon.readiness import Readiness
from syncd.notify.notifier import Notifier
from syncd.telemetry.instruments import Instruments
from syncd.telemetry.logs import logger


class AppBuilder:
    """Builds one app a configuration; nothing of it is in force yet."""

    def __init__(self, instruments: Instruments, readiness: Readiness, stop: threading.Event) -> None:
        self.instruments = instruments
        self.readiness, self.stop = readiness, stop

    def build(self, settings: Settings) -> App:
        """The app, with its ledger open. Raises `SyncdError`."""
        metrics = self.instruments.metrics
        around = Surroundings(
            stop=self.stop,
            observer=self.instruments.events,
            waits=_log_wait,
            source_hooks=SourceHooks(on_call=metrics.source_call, on_expiry=metrics.expires),
            on_request=partial(self._requested, settings),
        )
        app = App(settings, around)
        # Only `syncd run` prints lines of the trail: the output of a command is its answer.
        shipper = Shipper(app, prints=True)
        # Behind the shipper in the list: the gauge tells what it has left.
        app.after_run.append(lambda: metrics.audit_unshipped(shipper.backlog()))
        Notifier(app, metrics.notify_failed)
        return app

    def _requested(self, settings: Settings, target: str, method: str, code: str) -> None:
        self.instruments.metrics.request(target, method, code)
        self.readiness.requested(target, settings)


def _log_wait(cause: str, seconds: float) -> None:
    logger().info("cycle.waits", cause=cause, at_most_seconds=round(seconds, 1))
