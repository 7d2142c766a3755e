"""What the pages and the API show: all of it from the ledger and the configuration, nothing is asked of any site."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from syncd.bootstrap.app import App
from syncd.config.fields import format_duration
from syncd.config.settings import Schedule
from syncd.daemon.attention import (
    failed_runs,
    missed_objectives,
    open_freezes,
    open_pauses,
    open_problems,
    open_rollbacks,
)
from syncd.daemon.generations import Generations
from syncd.daemon.last_known import LastKnown
from syncd.daemon.rights import sites_of
from syncd.daemon.secret_story import secret_story
from syncd.daemon.secrets_page import secrets_page, see_choice
from syncd.daemon.status import counted
from syncd.domain.recency import day_after
from syncd.errors import ConfigError
from syncd.ledger.audit_reading import Filter, Place, place_of
from syncd.report import formats
from syncd.report.governance import Governance, governance_now
from syncd.report.held import batch_rows
from syncd.report.inventory import Report, report_now
from syncd.report.lateness import why_late
from syncd.report.parts import Chosen
from syncd.report.whereabouts import NO_SITE, whereabouts
from syncd.web.principal import Principal

SHOWN_LINES = 200
FORMS = {
    "json": "application/json", "csv": "text/csv; charset=utf-8", "md": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
}  # fmt: skip


class ConsoleData:
    """Implement `syncd.web.service.Reading`. All methods raise `LedgerError`."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._made_anew = threading.Lock()
        self._of: App | None = None
        self._known: LastKnown[frozenset[str] | None, Governance]

    @property
    def _app(self) -> App:
        return self._generations.current.app

    def overview(self, who: Principal) -> dict[str, Any]:
        """Return what a person has to look at, the numbers of secrets by status, and each job on each of its sites."""
        app = self._app
        now = app.runtime.clock()
        sites = [row for row in self._matrix(app, now) if who.sees(row["target"])]
        statuses: Counter[str] = Counter()
        for row in sites:
            statuses.update(row["statuses"])
        attention = [
            *failed_runs(sites), *missed_objectives(app, sites), *open_pauses(app, who), *open_rollbacks(app, who),
            *open_freezes(app, who), *open_problems(app, who),
        ]  # fmt: skip
        looked = [row["as_of"] for row in sites if row["as_of"]]
        return {
            "now": now,
            "total": sum(statuses.values()),
            "statuses": dict(sorted(statuses.items(), key=lambda item: (-item[1], item[0]))),
            "sites": len({row["site"] for row in sites}),
            # The oldest look of all: the page's first sentence speaks of every site.
            "as_of": min(looked, default=None),
            # Nobody knows yet what is to be there.
            "unseen": len(sites) - len(looked),
            "attention": attention,
            "held": self.held(who),
            "matrix": sites,
        }

    def _matrix(self, app: App, now: datetime) -> Iterator[dict[str, Any]]:
        """Each job on each of its sites."""
        runs = {(run.site, run.job): run for run in app.ledger.runs()}
        recent, numbers = app.ledger.recent_runs(), counted(app.ledger, app.served, now)
        schedule = self._generations.current.schedule
        for name, job in sorted(app.runtime.jobs.items()):
            seen = set()
            for target in job.targets:
                site = app.runtime.site_of(target)
                if site in seen:  # two targets on one site share its secrets
                    continue
                seen.add(site)
                run = runs.get((site, name))
                yield {
                    "job": name, "target": target, "site": site, "labels": dict(app.runtime.labels.of(target)),
                    "exit_code": run.exit_code if run else None,
                    "message": run.message if run else "",
                    "fix": json.loads(run.counts or "{}").get("fix", "") if run else "",
                    "last_run_at": run.finished_at if run else None,
                    "as_of": run.succeeded_at if run else None,
                    "next_run_at": schedule.next_run(name),
                    "paused": app.runtime.paused(name, target),
                    "late": why_late(app, job, target, run, now),
                    "statuses": dict(numbers.get((site, name), {})),
                    "recent": [
                        {"at": at, "exit_code": code, "seconds": seconds}
                        for at, code, seconds in recent.get((site, name), [])
                    ],
                }  # fmt: skip

    def secrets(self, who: Principal, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return one page of the secrets that `who` may see.

        Raises `ConfigError` for a filter's value that is not offered.
        """
        return secrets_page(self._app, who, asked, self.choices(who), lambda rule: self.governance(who).hit_by(rule))

    def choices(self, who: Principal) -> dict[str, list[str]]:
        """What the filters of the pages offer."""
        app = self._app
        targets = [name for name in sorted(app.settings.targets) if who.sees(name)]
        jobs = [name for name, job in sorted(app.settings.jobs.items()) if any(map(who.sees, job.targets))]
        return {"targets": targets, "jobs": jobs, "rules": [rule.id for rule in app.runtime.rules]}

    def where(self, who: Principal, path: str) -> list[dict[str, Any]]:
        """On which sites a path's secrets are. Raises `ConfigError` for a path that no site has."""
        try:
            rows = [row for row in whereabouts(self._app, path) if who.sees(row["target"])]
        except ConfigError:
            rows = []
        if not rows:  # the same words, whether it is not there or not theirs
            raise ConfigError(f"{NO_SITE} that path", hint="give the path with its mount")
        return rows

    def secret(self, who: Principal, site: str, name: str) -> dict[str, Any] | None:
        """One secret's story; None for one that is not there, or not within the rights."""
        generation = self._generations.current
        return secret_story(generation.app, who, (site, name), self.held(who), generation.schedule.next_run)

    def governance(self, who: Principal) -> Governance:
        """Return the rules with their hits, the oldest values, secrets that nobody manages, drift, and exceptions.

        Raises `LedgerBusy` while a large ledger is gone through for the first time.
        """
        return self._governed()(who.targets)

    def _governed(self) -> LastKnown[frozenset[str] | None, Governance]:
        """Return the cache that answers `governance`, by the caller's rights; made anew for another configuration."""
        with self._made_anew:
            if self._of is not self._app:
                app = self._of = self._app
                self._known = LastKnown(lambda targets: governance_now(app, Chosen(targets=targets)))
            return self._known

    def _report(self, who: Principal) -> Report:
        return report_now(self._app, Chosen(targets=who.targets))

    def activity(self, who: Principal, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return the newest lines of the audit trail that fit `asked` and the rights, and the head of each chain.

        At most 200 lines. The heads are only for rights on everything. Raises `ConfigError` for an unknown target, a
        text that is no day, and a cursor that no page gave.
        """
        app = self._app
        target, day = asked.get("target", ""), asked.get("day", "")
        see_choice(target, self.choices(who)["targets"], "target")
        since = _day(day) if day else None
        # Within the query: lines of others would push out those that this person may see.
        mine = sites_of(app, who)
        lines = app.ledger.audit.lines(
            Filter(
                site=app.site_of(target) if target else None,
                sites=mine,
                name=asked.get("name", "").strip() or None,
                actor=asked.get("actor") or None,
                event=_event(asked.get("event", "").strip()),
                since=since,
                until=day_after(since) if since else None,
                before=_place(asked.get("before", "")),
            ),
            most=SHOWN_LINES,
        )
        found = list(lines)
        seen = [line for line in found if line["target"] is None or who.sees(line["target"])]
        # A line without a target may speak of any: it is for whoever sees all.
        if who.targets is not None:
            seen = [line for line in seen if line["target"] is not None]
        # Streams are called by their sites, those of others among them.
        heads = app.ledger.audit.heads() if who.targets is None else {}
        return {
            "lines": list(reversed(seen)),
            # Of what was found, not of what may be shown: a page of others' lines alone is no end.
            "older": "|".join(map(str, place_of(found[0]))) if len(found) == SHOWN_LINES else None,
            "heads": [
                {"stream": stream, "seq": seq, "hash": digest} for stream, (seq, digest) in sorted(heads.items())
            ],
        }

    def jobs(self, who: Principal) -> list[dict[str, Any]]:
        """Jobs and their last runs."""
        app = self._app
        now = app.runtime.clock()
        found: dict[str, dict[str, Any]] = {}
        for row in self._matrix(app, now):
            if who.sees(row["target"]):
                job = app.settings.jobs[row["job"]]
                every = _in_words(job.schedule)
                entry = found.setdefault(
                    row["job"],
                    {
                        "job": row["job"],
                        "source": job.source,
                        "schedule": every,
                        "runs": [],
                        "is_whole": all(map(who.sees, job.targets)),
                    },
                )
                entry["runs"].append(row)
        return list(found.values())

    def held(self, who: Principal) -> list[dict[str, Any]]:
        """What waits for a release, by batch."""
        app = self._app
        return [row for row in batch_rows(app.held(), app.runtime.clock(), app.served) if who.sees(row["target"])]

    def report(self, who: Principal, form: str, part: str = "") -> tuple[str, str]:
        """Return the report as text, and its media type.

        Raises `ConfigError` for an unknown format, or an unknown part of the CSV.
        """
        see_choice(form, FORMS, "format")
        found = self._report(who)
        makers: dict[str, Callable[[Report], str]] = {
            "csv": lambda report: formats.as_csv(report, part or formats.INVENTORY),
            "md": formats.as_markdown,
            "html": formats.as_html,
            "json": lambda report: json.dumps(formats.as_json(report), default=str, ensure_ascii=False),
        }
        return makers[form](found), FORMS[form]


def _in_words(schedule: Schedule | None) -> str:
    """When a job runs by itself."""
    if schedule is None:
        return "by hand"
    return f"every {format_duration(schedule.every)}" if schedule.every else f"at {schedule.cron} {schedule.timezone}"


CALLED = {
    "rollback": "rolled_back", "freeze": "frozen", "thaw": "thawed", "created": "create", "updated": "update",
    "deleted": "delete", "deletion": "delete", "sent": "secret.", "removed": "delete",
}  # fmt: skip
"""Words that people use for an event, each with the part of the event's name that is meant."""


def _event(text: str) -> str | None:
    """Return the pattern of the events that a filter's text means; None for an empty text.

    A text with a dot or a star counts as it is; any other word is looked for anywhere in an event's name.
    """
    if not text or set(text) & {".", "*"}:
        return text or None
    words = text.lower().replace(" ", "_")
    return f"*{CALLED.get(words, words)}*"


def _place(text: str) -> Place | None:
    """Return before which line of the audit trail a page begins; None for the first page.

    Raises `ConfigError` for a text that no page gave.
    """
    if not text:
        return None
    try:
        at, stream, seq = text.split("|")
        return datetime.fromisoformat(at).astimezone(UTC), stream, int(seq[:15])
    except (ValueError, OverflowError):
        raise ConfigError("that page is none", hint="begin with the first one") from None


def _day(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ConfigError("that is no day", hint="write 2026-11-28") from None
