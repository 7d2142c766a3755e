"""`syncd forecast`: what the configuration will cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.output import show, show_json, show_table

if TYPE_CHECKING:
    from syncd.forecast.model import SourceForecast, TargetForecast


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(forecast)


def forecast(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Show the calls of a day without changes to each source and site, AWS's price, and how long sending all takes."""
    from syncd.forecast import inputs as outlook

    # From the ledger alone: AWS asks a price for each call, and a forecast makes none.
    with context.obj.open(writable=False) as app:
        facts = outlook.job_facts(app)
        sources, targets = outlook.sources(app, facts), outlook.targets(app, facts)
        content = {"sources": list(map(_source_row, sources)), "targets": list(map(_target_row, targets))}
    if as_json:
        show_json(content)
        return 0
    show_table(["SOURCE", "CALLS A DAY", "A MONTH", "PRICE A MONTH"], list(map(_source_cells, content["sources"])))
    show()
    headers = ["TARGET", "REQUESTS A DAY", "A MONTH", "OF THE QUOTA", "SECRETS", "PUSH ALL IN"]
    show_table(headers, list(map(_target_cells, content["targets"])))
    show(
        "a quiet day: listings and verifications; each change adds a read (20 of AWS's are one call) and a write a site"
    )
    return 0


def _source_row(source: SourceForecast) -> dict[str, Any]:
    return {
        "source": source.source,
        "calls_a_day": round(source.calls),
        "calls_a_month": round(source.calls * 30),
        "dollars_a_month": None if source.dollars is None else round(source.dollars, 2),
    }


def _target_row(target: TargetForecast) -> dict[str, Any]:
    return {
        "target": target.target,
        "requests_a_day": round(target.requests),
        "requests_a_month": round(target.requests * 30),
        "quota_share": round(target.share, 4),
        "secrets": target.secrets,
        "push_all_seconds": target.push_all.total_seconds(),
    }


def _source_cells(row: dict[str, Any]) -> list[str]:
    price = "-" if row["dollars_a_month"] is None else f"${row['dollars_a_month']:,.2f}"
    return [row["source"], f"{row['calls_a_day']:,}", f"{row['calls_a_month']:,}", price]


def _target_cells(row: dict[str, Any]) -> list[str]:
    seconds = row["push_all_seconds"]
    return [
        row["target"],
        f"{row['requests_a_day']:,}",
        f"{row['requests_a_month']:,}",
        f"{row['quota_share']:.1%}",
        f"{row['secrets']:,}",
        f"{max(1, round(seconds / 60))} min" if seconds else "seconds",
    ]
