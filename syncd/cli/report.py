"""`syncd report`: the inventory with all that a security officer asks, and the auditor's evidence."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.context import end_of_span, moment
from syncd.cli.output import shortened, show, show_json, show_table, warn
from syncd.errors import ConfigError, LedgerError

if TYPE_CHECKING:
    from syncd.bootstrap.app import App

FORMS = ("table", "json", "csv", "md", "html")
PART_HELP = "Of csv: secrets, rules, duplicates, drift, unmanaged, marked, exceptions, held, released, never_arrived."


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(report)


def report(
    context: typer.Context,
    *,
    form: Annotated[str, typer.Option("--format", help="table, json, csv (one part), md or html.")] = "table",
    part: Annotated[str | None, typer.Option("--part", help=PART_HELP)] = None,
    site: Annotated[str | None, typer.Option("--site", help="Only this site, by its target or its key.")] = None,
    job: Annotated[str | None, typer.Option("--job", help="Only of this job.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="KEY=VALUE", help="Only targets with it.")] = None,
    evidence: Annotated[
        str | None, typer.Option("--evidence", metavar="FROM..TO", help="The auditor's file of that time, as JSON.")
    ] = None,
) -> int:
    """Report on every secret: where it comes from, whose it is, how old, what breaks a rule, what nobody manages."""
    from syncd.report import formats
    from syncd.report.evidence import write_evidence
    from syncd.report.inventory import report_now
    from syncd.report.parts import Chosen

    if form not in FORMS:
        raise ConfigError(f"--format {form} is not known", hint=f"one of {', '.join(FORMS)}")
    if part is not None and form != "csv":
        raise ConfigError(f"--part {part} is of csv alone", hint="add: --format csv")
    span = _span(evidence) if evidence is not None else None
    if span is not None and (site or job or label or form not in {"table", "json"}):
        raise ConfigError(
            "--evidence is of everything, as JSON: an auditor's file with parts left out proves nothing",
            hint="leave the other options out; of one secret: syncd audit show --name NAME",
        )
    with context.obj.open(writable=False) as app:
        if span is not None:
            # Written while the trail is read: a million lines are never in memory at once.
            broken = write_evidence(app, *span, sys.stdout)
            if broken:
                first = broken[0]
                warn(f"syncd: line {first.seq} of {first.stream} in the audit trail {first.what}")
                warn("  see: syncd audit verify")
            return LedgerError.exit_code if broken else 0
        chosen = Chosen(site=_known_site(app, site), job=_known_job(app, job), label=_label(app, label))
        found = report_now(app, chosen)
    if form == "json":
        show_json(formats.as_json(found))
    elif form == "csv":
        # Not by `show`, which takes line breaks for something from outside and replaces them.
        sys.stdout.write(formats.as_csv(found, part or "secrets"))
    elif form == "md":
        sys.stdout.write(formats.as_markdown(found))
    elif form == "html":
        sys.stdout.write(formats.as_html(found))
    else:
        for title, rows in found.sections():
            show(f"{title}: {len(rows)}")
            if rows:
                columns = [key for key in rows[0] if key not in {"site", "field"}]
                table = [[_in_a_column(key, formats.cell(row[key])) for key in columns] for row in rows]
                show_table([key.upper().replace("_", " ") for key in columns], table, lean=True)
            show()
    return 0


def _in_a_column(key: str, text: str) -> str:
    """Shorten a cell of a table: a version to the 12 characters that identify it, all else on a terminal to 40."""
    return text[:12] if key == "version" else shortened(text, 40)


EVIDENCE_HINT = "write FROM..TO, such as 2026-10-01..2026-10-31 (whole days), 90d.. or 2026-10-01T08:00Z.."


def _span(text: str) -> tuple[datetime, datetime]:
    first, dots, last = text.partition("..")
    if not dots or not first:
        raise ConfigError(f"--evidence {text} is no time", hint=EVIDENCE_HINT)
    try:
        since = moment(first, "--evidence", ahead=False)
        until = end_of_span(last or "0s", "--evidence")
    except ConfigError:
        raise ConfigError(f"--evidence {text} is no time", hint=EVIDENCE_HINT) from None
    if until <= since:
        raise ConfigError(f"--evidence {text} ends before it begins", hint="write the earlier time first")
    return since, until


def _label(app: App, text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ConfigError(f"--label {text} is no label", hint="write KEY=VALUE, such as env=prod")
    known = {f"{k}={v}" for target in app.settings.targets.values() for k, v in target.labels.items()}
    if text not in known:
        hint = f"the labels are {', '.join(sorted(known))}" if known else "no target has labels"
        raise ConfigError(f"no target has the label {text}", hint=hint)
    return key, value


def _known_site(app: App, site: str | None) -> str | None:
    settings, ledger = app.settings, app.ledger
    # A site that no target names any more has its stream all the same, and is asked for by its key.
    if site is not None and site not in settings.targets and site not in ledger.audit_heads(site):
        raise ConfigError(f"there is no site {site}", hint=f"the targets are {', '.join(sorted(settings.targets))}")
    return site


def _known_job(app: App, job: str | None) -> str | None:
    settings = app.settings
    if job is not None and job not in settings.jobs:
        raise ConfigError(f"there is no job {job}", hint=f"the jobs are {', '.join(sorted(settings.jobs))}")
    return job
