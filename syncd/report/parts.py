"""The parts of a report that the page of governance shows as well, and the choice of what is reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from syncd.bootstrap.app import App
from syncd.domain.governance import Hit
from syncd.ledger.audit_reading import Filter
from syncd.report.rule_hits import unmanaged_on, what_is_wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which part of the inventory a reader asks for, and may see."""

    site: str | None = None
    """A target's name, or a site's key."""
    job: str | None = None
    label: tuple[str, str] | None = None
    targets: frozenset[str] | None = None
    """The targets that the reader may know of; None: all."""

    def sees(self, target: str) -> bool:
        """May the reader know of this target?"""
        return self.targets is None or target in self.targets

    def takes(self, app: App, target: str, site: str, job: str) -> bool:
        """Is a secret of this job, on this target and site, in the chosen part?"""
        # Rights before filters: what the reader may not know of is left out, whatever is asked for.
        if not self.sees(target):
            return False
        if self.job is not None and job != self.job:
            return False
        if self.label is not None and app.runtime.labels.of(target).get(self.label[0]) != self.label[1]:
            return False
        if self.site is None or self.site == site:
            return True
        return self.site in app.settings.targets and app.site_of(self.site) == site


def hit_row(hit: Hit) -> dict[str, Any]:
    """Return the row of a hit: which secret breaks which rule, and how."""
    about = hit.subject
    # Of one value, in whatever place: the same for all that hold it, so that a table can be sorted by it.
    group = {"group": min(str(one.ref) for one in (about, *hit.others))} if hit.others else {}
    return {
        "rule": hit.rule.id, "then": hit.rule.then.value, "name": about.name, "target": about.target,
        "site": about.site, "ref": str(about.ref) if about.ref else None, "what": what_is_wrong(hit),
        "judged": hit.is_judged, **group,
    }  # fmt: skip


def unmanaged_rows(app: App, chosen: Chosen, site: str) -> Iterator[dict[str, Any]]:
    """What nobody manages on a site."""
    for item in unmanaged_on(app, site):
        if chosen.takes(app, item.target, item.site, ""):
            yield {"name": item.name, "target": item.target, "site": item.site}


def marked_rows(app: App, chosen: Chosen, site: str) -> Iterator[dict[str, Any]]:
    """Yield the secrets that a site listed last with an owner's mark, and that no row of the ledger holds.

    One with our own mark was deleted and is there again (a site that was restored), or was forgotten: no cycle looks
    at it.
    """
    target, owner = app.first_target_on(site, ""), app.settings.owner
    if not chosen.takes(app, target, site, ""):
        return
    for item in app.ledger.unheld(site):
        # One that is on its way has its row, and no id yet.
        if item.owner and app.ledger.record(site, item.name) is None:
            whose = "ours, and in no ledger" if item.owner == owner else "another installation's"
            yield {"name": item.name, "target": target, "site": site, "owner": item.owner, "what": whose}


def strays(app: App) -> list[dict[str, Any]]:
    """Return the rows of secrets on configured sites that carry our mark and that no row of the ledger holds."""
    rows = (row for site in sorted(app.served.jobs) for row in marked_rows(app, Chosen(), site))
    return [row for row in rows if row["owner"] == app.settings.owner]


def drift_rows(app: App, chosen: Chosen) -> Iterator[dict[str, Any]]:
    """Yield what others changed at Wix: when it was found, and when it ended or was undone (None: it lasts).

    `found_at` is None where the line of the beginning was removed by age.
    """
    asked = (
        Filter(event="drift.*"),
        Filter(event="finding.ended", text='"of":"drift.found"'),
    )
    lines = [line for item in asked for line in app.ledger.audit.lines(item)]
    opened: dict[tuple[str, str], dict[str, Any]] = {}
    # Lines of two questions: in one order of time each end meets its own beginning.
    for line in sorted(lines, key=lambda line: (line["at"], line["stream"], line["seq"])):
        key = (line["stream"], str(line["name"]))
        if line["event"] == "drift.found":
            opened[key] = line
        # Its beginning may have been removed by age (audit.keep).
        elif key in opened:
            yield from _one_drift(app, chosen, opened.pop(key), line["at"])
    # What lasts for longer than lines are kept has begun before the oldest.
    lasting = app.ledger.lasting_drift() if opened.keys() or app.ledger.open_drift() else []
    for site, job, name in lasting:
        if (site, name) not in opened:
            opened[site, name] = {"name": name, "site": site, "job": job, "at": None}
    for line in opened.values():
        yield from _one_drift(app, chosen, line, None)


def _one_drift(app: App, chosen: Chosen, line: Mapping[str, Any], ended: str | None) -> Iterator[dict[str, Any]]:
    # By the site, not by the name in the line: rights go by what its target is called today.
    target = app.first_target_on(str(line["site"]), str(line["job"]))
    if chosen.takes(app, target, str(line["site"]), str(line["job"])):
        yield {"name": line["name"], "target": target, "found_at": line["at"], "ended_at": ended}


def exception_rows(app: App, covering: set[int] | None) -> Iterator[dict[str, Any]]:
    """Yield the exceptions of rules.

    `covering`: the ids of those that leave alone something that the reader may know of; None: all.
    """
    today = app.runtime.clock().date()
    for rule in app.runtime.rules:
        for item in rule.exemptions:
            if covering is not None and id(item) not in covering:
                continue
            state = "holds" if today <= item.until else "expired"
            yield {"rule": rule.id, "which": item.label, "until": item.until, "reason": item.reason, "state": state}
