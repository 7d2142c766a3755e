"""`syncd audit`: the trail of all that syncd decided and did, looked at, verified, exported."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.context import end_of_span, moment
from syncd.cli.output import shortened, show, show_json, show_table, warn
from syncd.cli.parameters import Json
from syncd.domain.audit_chain import KEYS, WHOLE, is_sealed
from syncd.domain.readable import readable
from syncd.errors import ConfigError, LedgerError

if TYPE_CHECKING:
    from syncd.bootstrap.app import App

app = typer.Typer(help="Look at the audit trail, verify and export it.", no_args_is_help=True)
SHOWN = 200
"""Lines that `syncd audit show` prints at most; an export has all."""
HEADERS = (
    "AT",
    "EVENT",
    "OUTCOME",
    "NAME",
    "TARGET",
    "FROM",
    "TO",
    "ACTOR",
    "REASON",
    "RULE",
    "SEQ",
    "STREAM",
    "DETAIL",
)
"""Column headers of `syncd audit show`. The widest column is the last one, so that it pushes no other aside."""
Since = Annotated[str | None, typer.Option("--since", help="From this time on: 24h, 2026-11-01, or RFC 3339.")]
Until = Annotated[
    str | None, typer.Option("--until", help="Up to this time: 1h, 2026-11-30 (with that day), or RFC 3339.")
]


@app.callback()
def _called(context: typer.Context) -> None:
    """Look at the audit trail, verify and export it."""
    context.obj.calls(context.invoked_subcommand)


@app.command("show")
def show_(
    context: typer.Context,
    *,
    site: Annotated[str | None, typer.Option("--site", help="Only about this site, by its target or its key.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Only about this name.")] = None,
    job: Annotated[str | None, typer.Option("--job", help="Only of this job.")] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", help="Only by this user, or whoever was named with --as.")
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option("--event", help="Only these, such as secret.delete or secret.*; repeatable.")
    ] = None,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> int:
    """Show the newest lines that match the filters."""
    from syncd.ledger.audit_reading import Filter

    first, last = _between(since, until)
    with context.obj.open(writable=False) as opened:
        key = _stream(opened, site) if site else None
        asked = Filter(
            site=key, name=name, job=job, actor=actor, event=",".join(event or ()) or None, since=first, until=last,
        )  # fmt: skip
        lines = list(opened.ledger.audit.lines(asked, most=SHOWN))
        names = {opened.site_of(target): target for target in reversed(opened.settings.targets)}
        if not lines:
            _see_that_it_is_known(opened, {"job": job, "name": name})
    if len(lines) == SHOWN:
        warn(f"syncd: the newest {SHOWN} lines; narrow it down, or export them")
    altered = [line for line in lines if not is_sealed(line)]
    if as_json:
        show_json(lines)
    else:
        show_table([*HEADERS], [_row(line, names) for line in lines], lean=True)
    if not lines and not as_json:
        meant = _meant(event or ())
        warn(f"syncd: no line matches these filters; {meant or 'docs/audit.md lists the events'}")
    _see_that_none_is_altered(altered)
    return 0


def _see_that_none_is_altered(altered: Sequence[Mapping[str, Any]]) -> None:
    """Raise `LedgerError` for lines whose seal shows that they were altered after they were written.

    To be called after all lines were shown. The error names the first five.
    """
    if altered:
        told = ", ".join(f"line {line['seq']} of stream {line['stream']}" for line in altered[:5])
        more = f" and {len(altered) - 5} more" if len(altered) > 5 else ""
        raise LedgerError(f"{told}{more}: altered since written", hint="see all that is broken: syncd audit verify")


def _see_that_it_is_known(opened: App, given: Mapping[str, str | None]) -> None:
    """Raise `ConfigError` for a job or name that neither the configuration nor the ledger knows.

    Called where nothing was found: the filter may be mistyped. `given`: what was asked for, by "job" and "name".
    """
    records, problems = opened.ledger.records(), opened.ledger.all_problems()
    known = {
        "job": {*opened.settings.jobs, *(record.job for record in records)},
        "name": {*(record.name for record in records), *(problem.subject for problem in problems)},
    }
    for what, value in given.items():
        if value is not None and value not in known[what]:
            near = get_close_matches(value, known[what], n=1)
            hint = f"did you mean {near[0]}?" if near else "docs/audit.md lists what a line holds"
            raise ConfigError(f"there is no {what} {value}, and the trail has no line of it", hint=hint)


def _stream(opened: App, site: str) -> str:
    """The stream of a site, by its target or its key. Raises `ConfigError`."""
    if site in opened.settings.targets:
        return opened.site_of(site)
    # A site that no target names any more keeps its stream.
    if site not in opened.ledger.audit_heads(site):
        targets = ", ".join(sorted(opened.settings.targets))
        raise ConfigError(f"there is no site {site}", hint=f"give a target ({targets}) or the key of a site")
    return site


def _meant(events: Iterable[str]) -> str:
    """Say in words which of these events do not exist, each with the nearest one that does; empty if all are known.

    A pattern, such as `secret.*`, counts as known.
    """
    from difflib import get_close_matches

    from syncd.domain.audit_events import EVENTS

    near = [(one, get_close_matches(one, EVENTS, n=1)) for one in events if "*" not in one and one not in EVENTS]
    return "; ".join(f"there is no event {one}{f', did you mean {close[0]}?' if close else ''}" for one, close in near)


def _row(line: Mapping[str, Any], names: Mapping[str, str]) -> list[Any]:
    """Return a line of the trail as the cells of its row in the table.

    `names`: targets by their sites. They stand in for the target in a line about a whole site, which names none.
    """
    where = line["target"] or names.get(line["site"], line["site"])
    # What is about a whole job, such as a pause, names it in the place of a secret.
    about = line["name"] or (f"job {line['job']}" if line["job"] else None)
    cells = (line["at"][:19], line["event"], line["outcome"], about, where, line["from"], line["to"])
    # What a configuration leaves out says nothing.
    told_elsewhere = {"message", "because"}
    said = {
        key: words for key, value in line["detail"].items() if key not in told_elsewhere and (words := readable(value))
    }
    detail = " ".join(f"{key}={shortened(words, 40)}" for key, words in said.items())
    # What waits, and in which batch, is in the finding's own words alone.
    detail = detail or shortened(str(line["detail"].get("message", "")), 120)
    why = line["reason"] or line["detail"].get("because")  # of the release or the rollback that is behind it
    more = (line["actor"]["id"], why, line["rule"], line["seq"], line["stream"], detail)
    return [cell or "-" for cell in (*cells, *more)]


def _between(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the two moments that `--since` and `--until` give. Raises `ConfigError`."""
    first = None if since is None else moment(since, "--since", ahead=False)
    last = None if until is None else end_of_span(until, "--until")
    if first is not None and last is not None and last <= first:
        raise ConfigError(f"--until {until} is not after --since {since}", hint="give the earlier time to --since")
    return first, last


@app.command()
def verify(
    context: typer.Context,
    *,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="Hashes kept elsewhere: JSON lines with stream, seq and hash, or the log."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Check every chain, and name the stream and line where a line was altered, removed, inserted or moved."""
    expected, altered = _expected(heads) if heads else ({}, [])
    with context.obj.open(writable=False) as opened:
        broken, count = opened.ledger.audit.verify(expected)
        streams = opened.ledger.audit_heads()
    unjudged = sorted(streams.keys() - expected.keys())
    # What followed the newest head that was kept may have been cut off, or more of it than is there now.
    older = {stream: max(kept) for stream, kept in expected.items() if stream in streams}
    older = {stream: seq for stream, seq in older.items() if seq < streams[stream][0]}
    if as_json:
        rows = [{"stream": item.stream, "seq": item.seq, "what": item.what} for item in broken]
        tail_judged = not unjudged and not older
        show_json(
            {"lines": count, "streams": len(streams), "breaks": rows, "tail_judged": tail_judged, "altered": altered}
        )
    else:
        for item in broken:
            show(f"stream {item.stream}, line {item.seq}: {item.what}")
        show(f"{count} lines in {len(streams)} streams: {'broken' if broken else 'as they were written'}")
        for place in altered:
            show(f"{place} was altered there")
    if unjudged:
        which = f"streams {', '.join(unjudged[:5])}" if expected else "any stream"
        warn(f"syncd: nothing kept elsewhere (--heads) tells whether the newest lines of {which} were cut off")
    for stream, seq in sorted(older.items())[:5]:
        warn(f"syncd: nothing kept elsewhere tells what followed line {seq} of stream {stream}, its newest head given")
    if broken:
        # After all breaks were shown: the error ends the command with 7, and names the first.
        first = broken[0]
        raise LedgerError(
            f"the audit trail is not as it was written: stream {first.stream}, line {first.seq} {first.what}",
            hint="compare it with what a sink received, or with a backup of the ledger",
        )
    if altered:
        hint = "take another copy; what the ledger itself holds is judged above"
        raise LedgerError(f"{altered[0]} was altered there", hint=hint)
    return 0


def _expected(file: Path) -> tuple[dict[str, dict[int, str]], list[str]]:
    """Read the heads of the trail that were kept elsewhere, and check the whole lines of the trail in the same file.

    Returns: the hashes by stream and seq, and the places of lines that were altered in the file, in words.
    Raises `ConfigError` for a file that cannot be read or holds no heads.
    """
    found: dict[str, dict[int, str]] = {}
    altered = list[str]()
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        # A log that is written to at this moment ends in the middle of a line.
        cut = lines.pop() if lines[-1] and not _is_json(lines[-1]) else ""
        for number, text in enumerate(lines, start=1):
            if text.startswith("{"):  # beside its events a log has lines for people
                line = json.loads(text)
                for stream, seq, digest in _heads_in(line):
                    found.setdefault(stream, {})[seq] = digest
                if line.keys() == WHOLE and not is_sealed(line, text):
                    altered.append(f"{file}, line {number}: line {line['seq']} of stream {line['stream']}")
        if not found:
            raise ValueError
        if cut:
            warn(f"syncd: the last line of {file} is not whole, and was passed over")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror})", hint="name a file for --heads") from None
    # Somebody's log may hold any JSON: whatever it is, it is an answer and no bug.
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        hint = 'JSON lines such as {"stream": "control", "seq": 3, "hash": "…"}, or lines of the log with audit_heads'
        raise ConfigError(f"{file} holds no heads of an audit trail", hint=hint) from None
    return found, altered


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _heads_in(line: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    if "audit_heads" in line:
        for stream, (seq, digest) in line["audit_heads"].items():
            yield str(stream), _seq(seq), str(digest)
    elif "hash" in line:
        yield str(line["stream"]), _seq(line["seq"]), str(line["hash"])


def _seq(given: object) -> int:
    if not isinstance(given, int) or given < 1:
        raise ValueError
    return given


@app.command()
def export(
    context: typer.Context,
    *,
    since: Since = None,
    until: Until = None,
    form: Annotated[str, typer.Option("--format", help="jsonl or csv.")] = "jsonl",
) -> int:
    """Print the audit trail's lines between two moments, oldest first."""
    from syncd.ledger.audit_reading import Filter

    if form not in {"jsonl", "csv"}:
        raise ConfigError(f"--format {form} is not known", hint="jsonl or csv")
    first, last = _between(since, until)
    asked = Filter(since=first, until=last)
    altered = list[dict[str, Any]]()
    with context.obj.open(writable=False) as opened:
        _print(_noting(altered, opened.ledger.audit.lines(asked)), form)
    _see_that_none_is_altered(altered)
    return 0


def _noting(altered: list[dict[str, Any]], lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Pass lines on, and add to `altered` each one whose seal shows that it was altered after it was written."""
    for line in lines:
        if not is_sealed(line):
            altered.append(line)
        yield line


def _print(lines: Iterator[dict[str, Any]], form: str) -> None:
    if form == "jsonl":
        for line in lines:
            # Line by line as it is read: a trail may be longer than memory.
            sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
        return
    from syncd.report.formats import csv_cell

    writer = csv.writer(sys.stdout)
    writer.writerow(KEYS)
    for line in lines:
        # Names and reasons come from outside, and a spreadsheet would run one that is a formula.
        writer.writerow([csv_cell(_as_cell(line[key])) for key in KEYS])


def _as_cell(value: object) -> object:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
