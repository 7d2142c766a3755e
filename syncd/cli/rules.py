"""`syncd rules`: what the company asks of its secrets, and what breaks it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.output import show, show_json, show_table, warn
from syncd.cli.parameters import Json
from syncd.domain.governance import GovernanceRule, Hit, Subject, Then
from syncd.errors import ConfigError

if TYPE_CHECKING:
    from syncd.bootstrap.app import App

WAIT = timedelta(minutes=5)
"""How long `--recheck` waits for another process that works on a site."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(rules)


def rules(
    context: typer.Context,
    *,
    rule_id: Annotated[str | None, typer.Option("--id", help="Only this rule.")] = None,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Read the values that a rule was not judged on yet; sends nothing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Show what each rule hits now, by what the last cycles saw. Exit code 1: a rule that denies is broken."""
    from syncd.report.rule_hits import hits_now

    # What a recheck judges is kept in the ledger; a mere look makes none.
    with context.obj.open(writable=recheck) as app:
        chosen = _chosen(app, rule_id)
        if recheck:
            _recheck(app)
        hits = [hit for hit in hits_now(app) if hit.rule in chosen]
        is_judged = bool(_everything(app))
    if as_json:
        show_json([_rule_row(rule, [hit for hit in hits if hit.rule is rule]) for rule in chosen])
    elif not chosen:
        show("the configuration has no rules; docs/governance.md shows how they are written")
    else:
        rows = [_row(hit) for hit in hits]
        show_table(["RULE", "THEN", "NAME", "TARGET", "SOURCE", "WHAT"], rows)
        for rule in chosen:
            show(
                _summary(rule, [hit for hit in hits if hit.rule is rule])
                if is_judged
                else f"{rule.id}: {NOTHING_JUDGED}"
            )
    # A warning is no failure: what is only warned of is sent, what is denied is not.
    broken = any(hit.counts and hit.rule.then is Then.DENY for hit in hits)
    return 1 if broken else 0


def _chosen(app: App, rule_id: str | None) -> tuple[GovernanceRule, ...]:
    known = app.runtime.rules
    chosen = tuple(rule for rule in known if rule_id in {None, rule.id})
    if rule_id is not None and not chosen:
        ids = ", ".join(rule.id for rule in known) or "none"
        raise ConfigError(f"there is no rule {rule_id}", hint=f"the rules are {ids}")
    return chosen


def _recheck(app: App) -> None:
    """Read the values that a rule was not judged on yet, under the lock of each site, and keep what comes out.

    Nothing is sent. A paused job is passed over with a warning.
    """
    from syncd.domain.ports import WhileWaiting
    from syncd.reconcile.observe.observation_cache import ObservationCache
    from syncd.reconcile.plan.comparisons import CycleState
    from syncd.reconcile.planned_pass import Look

    cache = ObservationCache()
    for job in app.runtime.jobs.values():
        for target in job.targets:
            # A paused job lists nothing and recovers nothing, whoever asks.
            if why := app.runtime.paused(job.name, target):
                warn(f"syncd: not looked at: {why}")
                continue
            look = Look(runtime=app.runtime, job=job, target_name=target, holder="syncd rules", recheck=True)
            stopped = WhileWaiting(app.stop.is_set)
            with app.ledger.lock(look.site, holder="syncd rules", wait=WAIT, meanwhile=stopped) as journal:
                look.plan(cache.fresh(), journal, CycleState())


def _row(hit: Hit) -> list[Any]:
    from syncd.report.rule_hits import what_is_wrong

    what = what_is_wrong(hit)
    if hit.exemption is not None:
        what = f"{what}; left alone until {hit.exemption.until}: {hit.exemption.reason}"
    subject = hit.subject
    return [hit.rule.id, hit.rule.then.value, subject.name, subject.target, subject.ref or "-", what]


def _summary(rule: GovernanceRule, hits: Sequence[Hit]) -> str:
    broken = sum(hit.counts for hit in hits)
    excepted = sum(hit.exemption is not None for hit in hits)
    unjudged = sum(not hit.is_judged for hit in hits)
    parts = [f"{broken} hit{'s' if broken != 1 else ''}"]
    parts += [f"{excepted} left alone by an exception"] if excepted else []
    parts += [f"{unjudged} not judged yet (syncd rules --recheck)"] if unjudged else []
    return f"{rule.id} ({rule.then.value}): {', '.join(parts)}"


def _rule_row(rule: GovernanceRule, hits: Sequence[Hit]) -> dict[str, Any]:
    return {"id": rule.id, "then": rule.then.value, "hits": [hit_row(hit) for hit in hits]}


def hit_row(hit: Hit) -> dict[str, Any]:
    """A hit, for scripts."""
    from syncd.report.rule_hits import what_is_wrong

    subject, exemption = hit.subject, hit.exemption
    return {
        "name": subject.name,
        "target": subject.target,
        "site": subject.site,
        "job": subject.job or None,
        "ref": str(subject.ref) if subject.ref else None,
        "message": what_is_wrong(hit),
        "judged": hit.is_judged,
        "except": {"until": exemption.until, "reason": exemption.reason} if exemption else None,
    }


def _everything(app: App) -> list[Subject]:
    """Return all that rules are judged on now. Where nothing is known yet, no rule has passed."""
    from syncd.report.rule_hits import subjects, unmanaged_on

    return [one for site in app.served.jobs for one in (*subjects(app, site), *unmanaged_on(app, site))]


NOTHING_JUDGED = "not judged yet: no cycle has brought anything into the ledger"


def rule_warnings(app: App) -> list[str]:
    """What `syncd check` says of the rules: what is broken, and selectors that select nothing that is known."""
    from syncd.report.rule_hits import hits_now

    hits = hits_now(app)
    everything = _everything(app)
    if not everything:
        return [f"{rule.id}: {NOTHING_JUDGED}" for rule in app.runtime.rules]
    lines = [_summary(rule, [hit for hit in hits if hit.rule is rule]) for rule in app.runtime.rules]
    idle = [rule for rule in app.runtime.rules if not any(map(rule.selects_it, everything))]
    lines += [f"{rule.id}: selects nothing of the {len(everything)} secrets that the ledger knows" for rule in idle]
    return lines
