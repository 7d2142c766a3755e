"""`syncd forecast`: what the configuration will cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from syncd.cli.output import show, show_json, show_table


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(forecast)


def forecast(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Tell the calls of a quiet day to each source and site, AWS's price, and how long a push of everything takes."""
    from syncd.forecast import inputs as outlook

    # From the ledger alone: AWS asks a price for each call, and a forecast makes none.
    with context.obj.open(writable=False) as app:
        facts = outlook.job_facts(app)
        sources, targets = outlook.sources(app, facts), outlook.targets(app, facts)
        content: dict[str, Any] = {
            "sources": [
                {
                    "source": source.source,
                    "calls_a_day": round(source.calls),
                    "calls_a_month": round(source.calls * 30),
                    "dollars_a_month": None if source.dollars is None else round(source.dollars, 2),
                }
                for source in sources
            ],
            "targets": [
                {
                    "target": target.target,
                    "requests_a_day": round(target.requests),
                    "requests_a_month": round(target.requests * 30),
                    "quota_share": round(target.share, 4),
                    "secrets": target.secrets,
                    "push_all_seconds": target.push_all.total_seconds(),
                }
                for target in targets
            ],
        }
    if as_json:
        show_json(content)
        return 0
    show_table(
        ["SOURCE", "CALLS A DAY", "A MONTH", "PRICE A MONTH"],
        [
            [
                row["source"],
                f"{row['calls_a_day']:,}",
                f"{row['calls_a_month']:,}",
                "-" if row["dollars_a_month"] is None else f"${row['dollars_a_month']:,.2f}",
            ]
            for row in content["sources"]
        ],
    )
    show()
    show_table(
        ["TARGET", "REQUESTS A DAY", "A MONTH", "OF THE QUOTA", "SECRETS", "PUSH ALL IN"],
        [
            [
                row["target"],
                f"{row['requests_a_day']:,}",
                f"{row['requests_a_month']:,}",
                f"{row['quota_share']:.1%}",
                f"{row['secrets']:,}",
                f"{max(1, round(row['push_all_seconds'] / 60))} min" if row["push_all_seconds"] else "seconds",
            ]
            for row in content["targets"]
        ],
    )
    show(
        "a quiet day: listings and verifications; each change adds a read (20 of AWS's are one call) and a write a site"
    )
    return 0
