"""The command line: options before the command, errors in one or two lines, exit codes."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from syncd import __version__
from syncd.cli import (
    apply,
    audit,
    check,
    explain,
    forecast,
    held,
    init,
    pause,
    plan,
    report,
    rollback,
    rules,
    state,
    sync,
    where,
)
from syncd.cli import run as service
from syncd.cli import sandbox as local
from syncd.cli import schema as configuration
from syncd.cli import status as inspect
from syncd.cli.context import Context
from syncd.cli.endings import ended
from syncd.cli.output import typed, warn
from syncd.cli.signals import Signals
from syncd.cli.streams import prepare_streams, write_no_more
from syncd.domain.audit import CAUSE, Cause
from syncd.domain.untrusted import is_storable
from syncd.errors import ConfigError

HELP = {"help_option_names": ["-h", "--help"]}
GLOBAL = {"--config": True, "-c": True, "--log-format": True, "--debug": False, "--as": True, "--commit": True}
"""Global options, each with whether a value follows. They may stand before or behind the command."""

GROUPS = {"state", "audit"}
"""Commands that have subcommands."""

app = typer.Typer(
    name="syncd",
    help="Keep the Wix Secrets Vault of your sites true to Vault, OpenBao and AWS Secrets Manager.",
    no_args_is_help=True,
    add_completion=True,
    context_settings=HELP,
    # Typer's tracebacks show lines of source with their texts; ours, below, show none.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
service.add_to(app)
sync.add_to(app)
plan.add_to(app)
apply.add_to(app)
check.add_to(app)
inspect.add_to(app)
configuration.add_to(app)
explain.add_to(app)
where.add_to(app)
rules.add_to(app)
held.add_to(app)
pause.add_to(app)
rollback.add_to(app)
report.add_to(app)
forecast.add_to(app)
app.add_typer(state.app, name="state")
app.add_typer(audit.app, name="audit")
init.add_to(app)
local.add_to(app)


def _version(asked: bool) -> None:  # typer's callback form
    if asked:
        typer.echo(f"syncd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="SYNCD_CONFIG", help="The configuration file.")
    ] = Path("syncd.yaml"),
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and say where an error came from.")] = False,
    log_format: Annotated[str, typer.Option("--log-format", help="auto, json or console (on stderr).")] = "auto",
    acting_as: Annotated[
        str | None, typer.Option("--as", envvar="SYNCD_ACTOR", help="Who you are, where all are one user; claimed.")
    ] = None,
    commit: Annotated[
        str | None,
        typer.Option("--commit", envvar="SYNCD_COMMIT", help="The commit of the configuration, for the audit."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Global options; they may stand before or after the command."""
    del version
    if log_format not in {"auto", "json", "console"}:
        raise ConfigError(f"--log-format {log_format} is not known", hint="auto, json or console")
    # Both stand in every line of the audit trail, which a terminal shows as one line.
    for option, text in (("--as", acting_as), ("--commit", commit)):
        if text is not None and not (0 < len(text) <= 200 and text.isprintable()):
            hint = "give a name, or leave it out" if not text.strip() else "shorten it"
            raise ConfigError(f"{option} takes 1 to 200 characters, without control characters", hint=hint)
    source = context.get_parameter_source("config")
    named = source is not None and source.name == "COMMANDLINE"
    typed.means(config if named else None, [*_commands_of(context.command)])
    context.obj = Context(config=config, debug=debug, log_format=log_format, acting_as=acting_as, commit=commit)
    context.obj.calls(context.invoked_subcommand)


def _commands_of(command: object, group: str = "") -> Iterator[str]:
    """Every command as it is typed, such as `state adopt`."""
    for name, inner in command.commands.items() if isinstance(command, TyperGroup) else ():
        yield from _commands_of(inner, f"{group}{name} ") if isinstance(inner, TyperGroup) else [f"{group}{name}"]


def in_front(arguments: list[str]) -> list[str]:
    """Return the arguments with the global options moved before the command, wherever they stood.

    What follows `--` stays where it is. Raises `ConfigError` for a global option that lacks its value.
    """
    options, rest = [], []
    left = list(arguments)
    while left:
        word = left.pop(0)
        name, separator, _ = word.partition("=")
        # What follows is no option of ours, whatever it looks like: a name at Wix may begin with a dash.
        if word == "--":
            rest += [word, *left]
            break
        if name in GLOBAL and (separator or not GLOBAL[name]):
            options.append(word)
        elif name in GLOBAL:
            if not left:
                raise ConfigError(f"{word} needs a value after it", hint="see: syncd --help")
            options += [word, left.pop(0)]
        else:
            rest.append(word)
    return [*options, *rest]


def _is_a_bare_group(arguments: list[str]) -> bool:
    """Do the arguments name a command group (`state`, `audit`) and nothing else? Then its help is shown.

    The last word alone does not tell: a job or a secret may be called `state`, too.
    """
    left = list(arguments[:-1])
    while left:
        name, separator, _ = left.pop(0).partition("=")
        if name not in GLOBAL:
            return False
        if GLOBAL[name] and not separator and left:
            left.pop(0)
    return arguments[-1] in GROUPS


@functools.cache
def _commands() -> Any:
    """Build the tree of commands once: Typer would build every command anew at each call."""
    return typer.main.get_command(app)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. Every error is explained; no exception leaves this function."""
    caught = Signals()
    # Tests run several commands in a process: none acts with the actor and the reason of the one before.
    CAUSE.set(Cause())
    Context.ledger = None
    # Before any file is opened: a closed stream would give its number away.
    prepare_streams()
    try:
        arguments = in_front(arguments)
        # Click ends a group without a command as a fault of usage; who asks what there is gets the help, and 0.
        if not arguments or _is_a_bare_group(arguments):
            arguments = [*arguments, "--help"]
        # A NUL or half a character would be refused deep in the database, as a bug.
        if not all(is_storable(argument) for argument in arguments):
            raise ConfigError("an argument holds a NUL or is no text", hint="see: syncd --help")
        code = _commands()(arguments, prog_name="syncd", standalone_mode=False, obj=None)
        sys.stdout.flush()
    except typer.Exit as done:
        code = done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        # It was settling what is in flight and is told to leave again: the journal knows what was sent.
        if Context.stoppable and caught.number:
            warn("syncd: left at once; the next cycle settles what was in flight: see syncd status")
        return 128 + (caught.number or signal.SIGINT)
    except (BrokenPipeError, SystemExit):  # click turns the former into the latter; no command of ours exits by itself
        write_no_more(sys.stdout)
        return 0
    except Exception as error:  # noqa: BLE001  # main: the last door
        return ended(error, caught, debug="--debug" in arguments)
    return caught.code(code if isinstance(code, int) else 0)
