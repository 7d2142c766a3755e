"""What every command shares: the configuration, the opened app, and how things are shown."""

from __future__ import annotations

import os
import pwd
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from syncd.cli.output import warn
from syncd.domain.recency import day_after
from syncd.errors import ConfigError
from syncd.telemetry.log_stream import LossyStream
from syncd.telemetry.logs import configure, logger

if TYPE_CHECKING:
    from syncd.bootstrap.app import App
    from syncd.config import Settings
    from syncd.domain.job import Job
    from syncd.domain.ports import TellWait
    from syncd.ledger.store import Ledger
    from syncd.telemetry.events import Events


ANOTHER_IN_FORCE = "it works by its own file, whatever this command does or shows by another one: give both the same"


@dataclass(kw_only=True)
class Context:
    """The global options of one command, and what the command shares with signals and with the handling of errors."""

    config: Path
    debug: bool
    log_format: str
    command: str = "syncd"
    """The command with its group, such as `syncd state freeze`."""
    acting_as: str | None = None
    """Who the user claims to be (`--as`), for machines on which all people are one user (a pod)."""
    commit: str | None = None
    """The commit of the configuration (`--commit`), for the audit trail."""
    tell_wait: TellWait | None = None
    """Called when the command waits; None: each wait is a line or a log event of its own."""

    stop: ClassVar[threading.Event] = threading.Event()
    stoppable: ClassVar[bool] = False
    """True while the command itself looks at `stop`; otherwise a signal interrupts it at once."""
    ledger: ClassVar[Ledger | None] = None
    """The ledger that this command opened last. A damaged row of it may be the cause of an unexpected exception."""

    def logs(self, level: str, stream: LossyStream | None = None) -> None:
        """Set logging up: `level`, or debug when asked for. `stream`: where the lines go, else stderr."""
        configure(form=self.log_format, level="debug" if self.debug else level, stream=stream)

    def settings(self) -> Settings:
        """The validated configuration. Raises `ConfigError`."""
        from syncd.config import load

        return load(self.config)

    def calls(self, command: str | None) -> None:
        """Note that a command, or a subcommand of a group, is about to run: `command` gets its name added."""
        self.command = f"{self.command} {command}"

    def open(
        self, *, level: str = "warning", writable: bool = True, renaming: bool = False, events: Events | None = None
    ) -> App:
        """Open the app of this process, with its ledger. Raises `SyncdError`.

        `level`: of the log. `writable` False: for a command that only looks. `renaming`: the owner in the ledger may
        be another than the configuration's. `events`: hears what happens; None: nobody does.
        """
        # Late, so that help and faults of usage load no database and no SDK (docs/figures.md holds --help to 0.4 s).
        from syncd.bootstrap.app import App, Surroundings
        from syncd.domain.ports import SilentObserver

        self.logs(level)
        around = Surroundings(
            stop=Context.stop, observer=events or SilentObserver(), waits=self.tell_wait or _tell_wait
        )
        settings = self.settings()
        begin_to_act(self, settings)
        app = App(settings, around, writable=writable, renaming=renaming)
        Context.ledger = app.ledger
        if writable:
            # A command that only looks writes no line, so it has none to ship and nothing to tell.
            from syncd.audit_sinks.shipper import Shipper

            # The output of a command is its own; only `syncd run` prints the trail on stdout.
            Shipper(app, prints=False)
            if app.settings.notify:
                from syncd.notify.notifier import Notifier

                Notifier(app)
            # Last: a configuration that a part above refused was never in force.
            app.note_in_force()
        # A plan is made of a file that is not in force yet: that is what it is for.
        if self.command != "syncd plan" and (daemons := app.ledger.configurations.another_in_force(app.config_digest)):
            logger().warning("config.another_in_force", daemon=daemons.by, hint=ANOTHER_IN_FORCE)
        return app


def begin_to_act(options: Context, settings: Settings) -> None:
    """Say who acts from here on, for the audit trail: the user of this machine, or whom the user claims to be."""
    from syncd.bootstrap.app import digest_of
    from syncd.domain.audit import CAUSE, Actor

    # In a pod all people are one user. What somebody claims to be proves nothing, so the real user stays beside it.
    user = f"{os_user()}@{socket.gethostname()}"
    who = f"{options.acting_as} (claimed by {user})" if options.acting_as else user
    actor = Actor("person", who, options.command)
    CAUSE.set(replace(CAUSE.get(), actor=actor, config=digest_of(settings), commit=options.commit))


def os_user() -> str:
    """The user that this process runs as, whatever its environment claims."""
    try:
        # Not getpass: it believes LOGNAME, which anybody may set before a command.
        return pwd.getpwuid(os.geteuid()).pw_name
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.geteuid()}"


def chosen_jobs(app: App, names: Sequence[str]) -> list[Job]:
    """Return the named jobs in the order given, or all jobs by name. Raises `ConfigError` for an unknown name."""
    jobs = app.runtime.jobs
    unknown = [name for name in names if name not in jobs]
    if unknown:
        raise ConfigError(f"there is no job {', '.join(unknown)}", hint=f"the jobs are {', '.join(sorted(jobs))}")
    return [jobs[name] for name in (dict.fromkeys(names) or sorted(jobs))]


def duration(text: str, option: str) -> timedelta:
    """Return the duration that an option was given, such as 5m. Raises `ConfigError`."""
    from pydantic_core import PydanticCustomError

    from syncd.config.fields import parse_duration

    try:
        return parse_duration(text)
    except PydanticCustomError as error:
        raise ConfigError(f"{option} {text} is {error.message()}", hint=f"for example: {option} 5m") from None


def end_of_span(text: str, option: str) -> datetime:
    """Return the end of a time span in the past, as an option gives it. Raises `ConfigError`.

    Like `moment`, but a date alone includes that whole day.
    """
    from syncd.domain.moments import is_day

    at = moment(text, option, ahead=False)
    return day_after(at) if is_day(text) else at


def moment(text: str, option: str, *, ahead: bool) -> datetime:
    """Return the moment that an option was given: a date, RFC 3339, or a duration. Raises `ConfigError`.

    `ahead`: whether a duration counts from now into the future (True) or into the past (False).
    """
    from syncd.domain.moments import moment_of

    try:
        return moment_of(text, datetime.now(UTC), ahead=ahead)
    except ValueError:
        hint = f"for example: {option} 2026-12-24, {option} 2026-12-24T18:00Z or {option} 3d"
        raise ConfigError(f"{option} {text} is no time", hint=hint) from None
    except OverflowError:
        # A year that no datetime can hold would end as a bug (70), and is the user's slip.
        raise ConfigError(
            f"{option} {text} is beyond the calendar", hint="write a date, or a span within ten years"
        ) from None


def _tell_wait(cause: str, seconds: float) -> None:
    """Tell that the command waits: a line for a person on a terminal, a log event in a pipe.

    `seconds`: how long it waits at most.
    """
    if sys.stderr.isatty():
        warn(f"waiting for {cause} (at most {seconds:.0f} s)")
    else:
        # In a pipe stderr is a log of JSON lines, where a sentence would be none.
        logger().warning("cycle.waits", cause=cause, at_most_seconds=round(seconds, 1))
