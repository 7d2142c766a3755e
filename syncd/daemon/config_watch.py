"""The configuration file under a running daemon: changed, missing, refused."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path

from syncd.errors import ConfigError, SyncdError
from syncd.telemetry.logs import logger, safe_traceback
from syncd.telemetry.metrics import Metrics

PERIOD = 3.0
"""Seconds between two looks at the file."""
RETRY = 60.0
"""Seconds until a refused configuration is tried again: what it lacked (an environment, a file) may have come."""


def _digest(config: Path) -> str:
    """Return the SHA-256 of the file's content. Raises `OSError`."""
    return hashlib.sha256(config.read_bytes()).hexdigest()


class ConfigWatch:
    """Tells when the file is another one than the one in force, and says once what is wrong with it."""

    def __init__(self, config: Path, metrics: Metrics) -> None:
        self._config, self._metrics, self._log = config, metrics, logger()
        self._in_force = self._seen = _digest(config) if config.is_file() else ""
        self._refused_at: float | None = None
        self._refusal = ""
        self.is_news = False
        """Was the last refusal for another reason than the one before?"""
        self._missing_since: float | None = None
        self._missing_reported = False

    def was_changed(self) -> bool:
        """Is it time to load the file?

        The content is compared, because a mounted ConfigMap is changed by swapping a link. A change counts once two
        looks in a row have seen the same content, because an editor may be in the middle of it. A refused file is tried
        again every minute. A file that is missing is reported.
        """
        try:
            found, before = _digest(self._config), self._seen
        except OSError:
            self._report_missing()
            return False
        self._seen = found
        # The file is back, and nothing else is wrong with it.
        if self._missing_reported and self._refused_at is None:
            self._metrics.reloaded(well=True)
        self._missing_since, self._missing_reported = None, False
        if found == self._in_force:
            return self._refused_at is not None and time.monotonic() - self._refused_at > RETRY
        return found == before

    def _report_missing(self) -> None:
        """Report once that the file is missing, if it still is `PERIOD` seconds after that was first seen.

        A file that is only being swapped is back at the next look.
        """
        now = time.monotonic()
        if self._missing_since is None:
            self._missing_since = now
        elif not self._missing_reported and now - self._missing_since >= PERIOD:
            self._missing_reported = True
            self._metrics.reloaded(well=False)
            hint = "put it back; the configuration in use goes on, and a restart would fail"
            self._log.error("config.missing", file=str(self._config), hint=hint)

    def loading(self) -> None:
        """Note that the file is about to be loaded: taken or refused, its content is no change any more."""
        with suppress(OSError):
            self._in_force = _digest(self._config)

    def loaded(self) -> None:
        """Note that the file is in force."""
        self._refused_at, self._refusal = None, ""
        self._metrics.reloaded(well=True)

    def refused(self, error: Exception) -> SyncdError:
        """Report why the file is refused. Returns: the error to raise; for a bug of syncd a `ConfigError` that says so.

        It is logged as an error if the reason is another one than the last time, else at debug level.
        """
        if not isinstance(error, SyncdError):
            self._log.error("config.bug", error=type(error).__name__, where=safe_traceback(error))
            hint = "report it, with the line config.bug of the log; the configuration before goes on"
            error = ConfigError("taking it over ended in a bug of syncd", hint=hint)
        self._metrics.reloaded(well=False)
        self._refused_at = time.monotonic()
        problems = list(getattr(error, "problems", ()))
        before, self._refusal = self._refusal, f"{error} {problems}"
        self.is_news = before != self._refusal
        report = self._log.error if self.is_news else self._log.debug
        report("config.refused", error=error.message, hint=error.hint, problems=problems)
        return error

    def fault(self) -> str:
        """What is wrong with the file while the configuration before goes on; empty if nothing is."""
        if self._refused_at is not None:
            return f"refused, the one before goes on: {self._refusal.partition(' [')[0]}"
        if self._missing_reported:
            return f"{self._config} is not there any more; the one in use goes on"
        return ""
