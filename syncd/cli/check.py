"""`syncd check`: the configuration, the machine, and on request the sources, the targets and a real site."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.check_machine import Row, environment, missing_credentials, state
from syncd.cli.context import Context
from syncd.cli.output import show_json, show_table, warn
from syncd.cli.parameters import Json
from syncd.domain import ReadFailure, RuleCheck
from syncd.domain.recency import Since
from syncd.domain.write_window import LISTING_LAG
from syncd.errors import ConfigError, PlanMoved, SyncdError, worst
from syncd.reconcile.observe.mounts import conflict_of, expected

if TYPE_CHECKING:
    from syncd.bootstrap.app import App
    from syncd.config import Settings


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(check)


def check(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="Instead of --config; - for stdin, also what `helm template` prints."),
    ] = None,
    *,
    connect: Annotated[bool, typer.Option("--connect", help="Also try every source, target and permission.")] = False,
    probe: Annotated[
        str | None, typer.Option("--probe", help="Write, list and delete a scratch secret on this target.")
    ] = None,
    values: Annotated[
        Path | None, typer.Option("--values", help="Check the `config` of a values file of the Helm chart.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Check the configuration and this machine; with --connect the connections, with --probe a real site."""
    elsewhere = values is not None or file == "-"
    if elsewhere and (connect or probe or (values and file)):
        raise ConfigError(
            "--connect and --probe are for a configuration on this machine", hint="give its file, or --config"
        )
    name, settings, warnings = _loaded(context.obj, file, values)
    sizes = ", ".join(
        f"{len(those)} {word}{'' if len(those) == 1 else 's'}"
        for word, those in (("source", settings.sources), ("target", settings.targets), ("job", settings.jobs))
    )
    rows: list[Row] = [("warning", *_split(warning), 0) for warning in warnings]
    # What comes through a pipe or from a chart is for another machine, which has the credentials and the ledger.
    if not elsewhere:
        ledger, here = _here(context.obj, settings)
        sizes += f"; {ledger}" if ledger else ""
        rows += here
    # First in the table and last to be known: the ledger tells how much it holds.
    rows.insert(0, ("ok", name, sizes, 0))
    if probe is not None and probe not in settings.targets:
        raise ConfigError(f"there is no target {probe}", hint=f"the targets are {', '.join(sorted(settings.targets))}")
    if connect or probe:
        rows += _connected(context.obj, settings, connect=connect, probe=probe)
    if as_json:
        show_json([{"result": result, "what": what, "seen": seen} for result, what, seen, _ in rows])
    else:
        show_table(["RESULT", "WHAT", "SEEN"], [row[:3] for row in rows])
    return worst({row[3] for row in rows})


def _loaded(options: Context, file: str | None, values: Path | None) -> tuple[str, Settings, tuple[str, ...]]:
    """Load the configuration that is to be checked. Returns: how it is called, its settings, its warnings.

    Raises `ConfigError`; a hint to run `syncd check` again names the same file.
    """
    from syncd.config.loader import load_helm_values, load_manifests, load_with_warnings

    if values is not None:
        name, again, load = f"config of {values}", f"check --values {values}", partial(load_helm_values, values)
    elif file == "-":
        name, again, load = "stdin", "check -, with what it reads", partial(load_manifests, _stdin(), "stdin")
    else:
        # What opens the ledger or connects later loads the file once more, and must load this one.
        options.config = Path(file) if file else options.config
        again = f"check {file}" if file else "check"
        name, load = str(options.config), partial(load_with_warnings, options.config)
    try:
        return name, *load()
    except ConfigError as error:
        # As this command was typed: a hint that checks another file tells nothing of this one.
        if error.hint.endswith("run: syncd check"):
            error.hint = f"{error.hint.removesuffix('check')}{again}"
        raise


def _here(options: Context, settings: Settings) -> tuple[str, list[Row]]:
    """Check this machine for the configuration: credentials, environment, extras and ledger. Raises `ConfigError`.

    Returns: the ledger in words (empty if nothing good can be said of it), and a row for each thing to know.
    """
    # No fault: a command needs only its own credentials, and this may be another machine than that of the jobs.
    rows: list[Row] = [
        ("note", what, f"not readable here: {error}", 0) for what, error in missing_credentials(settings)
    ]
    rows += environment(settings)
    rows += _extras(settings)
    ledger, row = state(options, settings)
    rows += [row] if row else []
    # Both read the ledger. Where it cannot be opened, its own row says why, once.
    rows += [*_rules(options, settings), *_pauses_of_nothing(options)] if ledger else []
    return ledger, rows


def _extras(settings: Settings) -> Iterator[Row]:
    """What the configuration needs, and this installation does not have: every cycle would refuse to begin."""
    if settings.notify:
        from syncd.notify.notifier import see_extra

        try:
            see_extra()
        except ConfigError as error:
            # A row and not the end of the command: what else is wrong is told in the same run.
            yield "failed", "notify", f"{error.message}; fix: {error.hint}", error.exit_code


def _rules(options: Context, settings: Settings) -> Iterator[Row]:
    """What the rules hit now, as far as the ledger knows; nothing is asked of any source or site."""
    if not settings.rules:
        return
    from syncd.cli.rules import rule_warnings

    with options.open(writable=False) as app:
        for line in rule_warnings(app):
            rule, _, said = line.partition(": ")
            # What was not judged yet is no pass.
            passed = said.startswith("0 hits") and "not judged" not in said
            yield "ok" if passed else "note", f"rule {rule}", said, 0


def _pauses_of_nothing(options: Context) -> Iterator[Row]:
    """Yield a warning for each pause of a job or target that the configuration does not have: it has no effect.

    Somebody may rely on such a pause.
    """
    with options.open(writable=False) as app:
        sites = frozenset().union(*app.sites.keys_of_targets().values())
        for pause in app.pauses.now():
            named = app.settings.jobs.keys() if pause.scope == "job" else app.settings.targets.keys()
            # The pause of a target is of its site, whatever targets on it are called today.
            is_there = pause.site in sites if pause.site else pause.name in named
            if pause.scope != "all" and not is_there:
                said = f"there is no {pause.scope} {pause.name} that could rest; fix: {pause.command_to_end}, or pause"
                yield "warning", f"pause of {pause.scope} {pause.name}", f"{said} what is meant by its name of today", 0


def _stdin() -> str:
    try:
        return sys.stdin.read()
    except (OSError, ValueError):
        raise ConfigError(
            "stdin cannot be read", hint="pipe a configuration in: helm template … | syncd check -"
        ) from None


def _split(warning: str) -> tuple[str, str]:
    """`FILE:LINE: PLACE: MESSAGE` as place and the rest."""
    file, _, rest = warning.partition(": ")
    place, _, message = rest.partition(": ")
    return f"{place} ({file.rpartition('/')[2]})", message


def _connected(options: Context, settings: Settings, *, connect: bool, probe: str | None) -> Iterator[Row]:
    for name, source in settings.sources.items():
        # Said before it is used, because nobody can unwrap it a second time.
        if getattr(getattr(source, "auth", None), "wrapped", False):
            warn(f"syncd: sources.{name}: its wrapped secret id can be unwrapped once; this check uses it up")
    # A probe journals its scratch secret before it is sent, as every write; to connect needs no ledger, and makes none.
    with options.open(writable=probe is not None) as app:
        if connect:
            yield from _sources(app)
            yield from _targets(app)
        if probe:
            yield from _probe(app, probe)


def _sources(app: App) -> Iterator[tuple[str, str, str, int]]:
    for name in sorted(app.settings.sources):
        rules = [rule for job in app.runtime.jobs.values() if job.source == name for rule in job.rules]
        try:
            for found in app.source(name).check(rules):
                yield _of_rule(name, found, app)
            if not rules:
                yield "ok", f"source {name}", "no job uses it", 0
        except SyncdError as error:
            # The other sources and the targets are tried all the same: one run tells all that is wrong.
            yield "failed", f"source {name}", f"{error.message}; fix: {error.hint}", error.exit_code


def _of_rule(source: str, found: ReadFailure | RuleCheck, app: App) -> Row:
    what = f"source {source}"
    if isinstance(found, RuleCheck):
        # A cycle would refuse it: what another mount lacks is not gone.
        taken_over = app.ledger.taken_over(source, {job.name: job.source for job in app.runtime.jobs.values()})
        known = expected(app.ledger.known_mounts(source), taken_over, found.mount, found.rule)
        conflict = (
            None if found.found and not found.mount_id else conflict_of(source, known, found.mount, found.mount_id)
        )
        if conflict is None and found.found:
            return "ok", what, f"{found.rule}: {found.found} found by {found.listing_method}", 0
        if conflict is None:
            levels = "" if "**" in found.rule or "*" not in found.rule else " `*` takes one level, `**` all below."
            seen = f"{found.rule} selects nothing (asked by {found.listing_method}): is the path right?{levels}"
            return "warning", what, seen, 0
        found = conflict
    return "failed", what, f"{found.location}: {found.message}; fix: {found.hint}", 4


def _targets(app: App) -> Iterator[tuple[str, str, str, int]]:
    for name in sorted(app.settings.targets):
        try:
            listed = app.target(name).list()
        except SyncdError as error:
            yield "failed", f"target {name}", f"{error.message}; fix: {error.hint}", error.exit_code
            continue
        ours = [secret for secret in listed if f"[syncd:{app.settings.owner}:" in secret.description]
        site, now = app.site_of(name), app.runtime.clock()
        held = {record.remote_id for record in app.ledger.records(site)}
        # A listing may lag behind a deletion.
        held |= app.ledger.deleted(site, Since(LISTING_LAG, now, now))
        yield "ok", f"target {name}", f"{len(listed)} secrets on the site, {len(ours)} of them with our mark", 0
        strays = sorted(secret.name for secret in ours if secret.id not in held)
        # A ledger that is empty lacks all of them, and the next cycle takes back by their marks those that are wanted.
        if strays and held:
            few = ", ".join(strays[:5]) + (" and more" if len(strays) > 5 else "")
            seen = f"{len(strays)} with our mark are not in the ledger, and are never deleted by syncd: {few}"
            yield "note", f"target {name}", seen, 0


def _probe(app: App, name: str) -> Iterator[tuple[str, str, str, int]]:
    from syncd.bootstrap.process import holder
    from syncd.diagnostics.site_probe import Probe
    from syncd.domain.ports import WhileWaiting

    # An interrupted probe removes its scratch secret before it leaves.
    Context.stoppable = True
    # A pause lets nothing be sent to the site, whoever asks.
    _see_that_it_does_not_rest(app, name)
    target = app.target(name)
    # Without the lock of the site nothing is sent; a cycle beside it would meet a half-made probe.
    meanwhile = WhileWaiting(app.stop.is_set, app.runtime.waits)
    with app.ledger.lock(target.site, holder=holder(), wait=timedelta(minutes=5), meanwhile=meanwhile) as journal:
        _see_that_it_does_not_rest(app, name)  # it may have waited for minutes
        probe = Probe(
            owner=app.settings.owner,
            target=target,
            store=app.ledger,
            journal=journal,
            clock=app.runtime.clock,
            stop=app.stop.wait,
            rests=lambda: bool(app.runtime.paused("(probe)", name)),
        )
        for what, well, seen in probe.run():
            yield "ok" if well else "note", f"probe {name}: {what}", seen, 0


def _see_that_it_does_not_rest(app: App, name: str) -> None:
    if rests := app.runtime.paused("(probe)", name):
        raise PlanMoved(f"target {name} is not probed: {rests}", hint="syncd resume, then probe it")
