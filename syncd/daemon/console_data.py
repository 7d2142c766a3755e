"""What the pages and the API show: all of it from the ledger and the configuration, nothing is asked of any site."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from syncd.bootstrap.app import App
from syncd.config.fields import format_duration
from syncd.config.settings import Schedule
from syncd.daemon.generations import Generations
from syncd.daemon.secrets_page import row_of_problem, secret_row, secrets_page, see_choice
from syncd.daemon.status import counted
from syncd.errors import ConfigError
from syncd.ledger.audit import Filter, Place, place_of
from syncd.report import formats
from syncd.report.grouping import Problem, grouped_by_cause, names_in_words
from syncd.report.held import batch_rows
from syncd.report.inventory import Chosen, Report, record_owner, report_now
from syncd.report.rule_hits import hits_now, hits_on, told_to, what_is_wrong
from syncd.report.whereabouts import whereabouts
from syncd.web.principal import Principal

SHOWN_LINES = 200
FORMS = {
    "json": "application/json", "csv": "text/csv; charset=utf-8", "md": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
}  # fmt: skip


class ConsoleData:
    """Implements the protocol that `syncd.web` is handed. All methods raise `LedgerError`."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations

    @property
    def _app(self) -> App:
        return self._generations.current.app

    def overview(self, who: Principal) -> dict[str, Any]:
        """What needs somebody, and jobs by sites."""
        app = self._app
        now = app.runtime.clock()
        sites = [row for row in self._matrix(app, now) if who.sees(row["target"])]
        statuses: Counter[str] = Counter()
        for row in sites:
            statuses.update(row["statuses"])
        attention = [*self._failed_runs(sites), *self._pauses(app, who), *self._problems(app, who)]
        looked = [row["as_of"] for row in sites if row["as_of"]]
        return {
            "now": now,
            "total": sum(statuses.values()),
            "statuses": dict(sorted(statuses.items(), key=lambda item: (-item[1], item[0]))),
            "sites": len({row["site"] for row in sites}),
            # The oldest look of all: the page's first sentence speaks of every site.
            "as_of": min(looked, default=None),
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
                    "last_run_at": run.finished_at if run else None,
                    "as_of": run.succeeded_at if run else None,
                    "next_run_at": schedule.next_run(name),
                    "paused": app.runtime.paused(name, target),
                    "objective": job.objective.total_seconds() if job.objective else None,
                    "statuses": dict(numbers.get((site, name), {})),
                    "recent": [
                        {"at": at, "exit_code": code, "seconds": seconds}
                        for at, code, seconds in recent.get((site, name), [])
                    ],
                }  # fmt: skip

    def _pauses(self, app: App, who: Principal) -> Iterator[dict[str, Any]]:
        for pause in app.pauses.now():
            # A pause of everything holds for each target: everybody is told.
            if pause.scope != "all" and not sees_scope(app, who, pause.scope, pause.name):
                continue
            yield {
                "kind": "paused", "what": str(pause), "where": pause.name or "everything", "targets": "",
                "since": pause.at, "fix": pause.command_to_end, "scope": pause.scope, "name": pause.name,
            }  # fmt: skip

    def _problems(self, app: App, who: Principal) -> Iterator[dict[str, Any]]:
        """What keeps failing, one row a cause; what waits for a release stands apart."""
        rows = {}
        for problem in app.ledger.all_problems():
            target = app.first_target_on(problem.site, problem.job)
            # Held batches have cards of their own, with the button.
            if problem.kind != "held" and who.sees(target):
                member = Problem(label=problem.kind, name=problem.subject, message=problem.message, hint=problem.hint)
                rows[id(member)] = (member, problem, target)
        for group in grouped_by_cause(member for member, _, _ in rows.values()):
            members = [rows[id(member)] for member in group]
            _, first, _ = members[0]
            alone = len(group) == 1
            message, hint = (first.message, first.hint) if alone else group[0].cause[1:]
            yield {
                "kind": first.kind,
                "what": message,
                "where": names_in_words(list(dict.fromkeys(member.name for member in group))),
                "targets": names_in_words(sorted({target for _, _, target in members})),
                "since": min(problem.first_at for _, problem, _ in members),
                "fix": hint,
                "names": [problem.subject for _, problem, _ in members[:1]],
            }

    @staticmethod
    def _failed_runs(matrix: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Runs that ended in an error of the whole source or site: one row a cause."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in matrix:
            if row["exit_code"] in {3, 4, 5, 7}:
                # Without its own names, one refusal on twelve sites is one cause and one row.
                text = row["message"].removeprefix(f"{row['target']}: ").replace(row["site"], "its site")
                groups.setdefault(text, []).append(row)
        for text, rows in groups.items():
            yield {
                "kind": "failed",
                "what": text,
                "where": names_in_words(sorted({row["job"] for row in rows})),
                "targets": names_in_words(sorted({row["target"] for row in rows})),
                "since": min(row["as_of"] or row["last_run_at"] for row in rows),
                "fix": "syncd check --connect",
            }

    def secrets(self, who: Principal, asked: Mapping[str, str]) -> dict[str, Any]:
        """A page of secrets. Raises `ConfigError` for a filter that is none."""
        return secrets_page(self._app, who, asked, self.choices(who))

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
            raise ConfigError("no site has a secret from that path", hint="give the path with its mount")
        return rows

    def secret(self, who: Principal, site: str, name: str) -> dict[str, Any] | None:
        """One secret's story: every place of its path, what it breaks, what happened to it."""
        app = self._app
        now = app.runtime.clock()
        record = app.ledger.record(site, name)
        problems = [member for member in app.ledger.all_problems() if (member.site, member.subject) == (site, name)]
        if record is None and not problems:
            return None
        job = record.job if record else problems[0].job
        target = app.first_target_on(site, job)
        # Answered as if it were not there: nobody learns which names others have.
        if not who.sees(target):
            return None
        ref = record.ref if record else problems[0].ref
        same = [row for row in app.ledger.records_from(ref.source, ref.path) if row.ref == ref] if ref else []
        served = app.served
        places = [secret_row(app, record, served, now) for record in same]
        rollback = app.ledger.decisions.rollbacks().get((ref.source, ref.path)) if ref else None
        run = app.ledger.last_run(site, job)
        asked = Filter(site=site, name=name)
        lines = list(app.ledger.audit.lines(asked, most=50))
        return {
            "name": name, "site": site, "target": target, "job": job,
            "row": secret_row(app, record, served, now) if record else row_of_problem(problems[0], target),
            "ref": str(ref) if ref else None,
            "path": f"{ref.source}:{ref.path}" if ref and record else None,
            "goes_back": sorted({row["target"] for row in places if who.sees(row["target"])}),
            "is_whole": all(who.sees(row["target"]) for row in places),
            "job_is_whole": sees_scope(app, who, "job", job),
            "owner": record_owner(app, record) if record else "",
            "rests": app.runtime.paused(job, target),
            "run": {"exit_code": run.exit_code, "message": run.message, "at": run.finished_at, "good": run.succeeded_at}
            if run else None,
            "frozen_until": record.frozen_until if record and record.is_frozen(now) else None,
            "rollback": str(rollback) if rollback else None,
            "places": [place for place in places if who.sees(place["target"])],
            "problems": [
                {"status": found.kind, "message": found.message, "fix": found.hint, "since": found.first_at}
                for found in problems
            ],
            "rules": [
                {"rule": hit.rule.id, "then": hit.rule.then.value, "message": what_is_wrong(hit),
                 "judged": hit.is_judged, "left alone": hit.exemption.reason if hit.exemption else None}
                for hit in told_to(hits_on(app, record) if record else hits_now(app), who.sees)
                if (hit.subject.site, hit.subject.name) == (site, name)
            ],
            "held": [
                batch
                for batch in self.held(who)
                if batch["site"] == site and any(action["name"] == name for action in batch["actions"])
            ],
            "lines": list(reversed(lines)),
        }  # fmt: skip

    def governance(self, who: Principal) -> dict[str, Any]:
        """The rules with their hits, the oldest values, secrets that nobody manages, drift, and exceptions."""
        app, found = self._app, self._report(who)
        nobodys = [{**row, "ref": None, "what": "nobody manages it"} for row in found.unmanaged]
        of_rules = (*found.hits, *found.duplicates)
        rules = [
            {
                "id": rule.id,
                "then": rule.then.value,
                "hits": nobodys if rule.unmanaged else [row for row in of_rules if row["rule"] == rule.id],
            }
            for rule in app.runtime.rules
        ]
        oldest = sorted(
            (row for row in found.secrets if row["source_changed_at"]), key=lambda row: row["source_changed_at"]
        )
        return {
            "rules": rules, "oldest": oldest[:20], "duplicates": found.duplicates, "unmanaged": found.unmanaged,
            "orphans": [row for row in found.secrets if row["status"] == "orphan"], "exceptions": found.exceptions,
            "drift": found.drift,
        }  # fmt: skip

    def _report(self, who: Principal) -> Report:
        return report_now(self._app, Chosen(targets=who.targets))

    def activity(self, who: Principal, asked: Mapping[str, str]) -> dict[str, Any]:
        """The newest lines of the audit trail that fit, and the head of each chain."""
        app = self._app
        target, day = asked.get("target", ""), asked.get("day", "")
        see_choice(target, self.choices(who)["targets"], "target")
        since = _day(day) if day else None
        # Within the query: lines of others would push out those that this person may see.
        mine = None if who.targets is None else frozenset(map(app.site_of, who.targets))
        lines = app.ledger.audit.lines(
            Filter(
                site=app.site_of(target) if target else None,
                sites=mine,
                name=asked.get("name", "").strip() or None,
                actor=asked.get("actor") or None,
                event=_event(asked.get("event", "").strip()),
                since=since,
                until=since + timedelta(days=1) if since else None,
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
        """The report as text, and its media type."""
        see_choice(form, FORMS, "format")
        found = self._report(who)
        makers: dict[str, Callable[[Report], str]] = {
            "csv": lambda report: formats.as_csv(report, part or formats.INVENTORY),
            "md": formats.as_markdown,
            "html": formats.as_html,
            "json": lambda report: json.dumps(formats.as_json(report), default=str, ensure_ascii=False),
        }
        return makers[form](found), FORMS[form]


def sees_scope(app: App, who: Principal, kind: str, name: str) -> bool:
    """Is it there, and are all its targets within the rights?"""
    jobs, targets = app.settings.jobs, app.settings.targets
    reached = {
        "all": set(targets),
        "job": set(jobs[name].targets) if name in jobs else set[str](),
        "target": {name} & set(targets),
    }.get(kind, set[str]())
    # What reaches nothing is not there; of nothing, `all` would say that everybody may see it.
    return bool(reached) and all(map(who.sees, reached))


def _in_words(schedule: Schedule | None) -> str:
    """When a job runs by itself."""
    if schedule is None:
        return "by hand"
    return f"every {format_duration(schedule.every)}" if schedule.every else f"at {schedule.cron} {schedule.timezone}"


def _event(text: str) -> str | None:
    """The events that are meant: whole names and patterns as they are, a word wherever it stands."""
    return None if not text else text if set(text) & {".", "*"} else f"*{text}*"


def _place(text: str) -> Place | None:
    """Where a page of the trail begins. Raises `ConfigError` for what no page gave."""
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
