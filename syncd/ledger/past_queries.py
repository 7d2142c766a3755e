"""What cycles and pages read of the past: actions, runs, decisions, what was judged, what a site was called."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, or_, select

from syncd.domain import (
    HistoryEntry,
    LastRun,
    Result,
    SecretRef,
    version_label,
)
from syncd.domain.arn import name_in
from syncd.domain.decisions import HeldAction, RestingOwner, Rollback
from syncd.domain.governance import Facts
from syncd.domain.lateness import Rest
from syncd.domain.places import place_of, secret_at
from syncd.domain.recency import Since
from syncd.domain.untrusted import mapping
from syncd.ledger import history
from syncd.ledger import schema as tables
from syncd.ledger.audit_reading import Filter
from syncd.ledger.audit_trail import AuditTrail
from syncd.ledger.decisions import Decisions
from syncd.ledger.listings import ListedSecret, facts_of, unheld_secrets
from syncd.ledger.record_queries import RecordQueries
from syncd.ledger.replaced_mounts import before
from syncd.ledger.rows import as_recent, as_run


class PastQueries(RecordQueries):
    """More reads of the ledger; `Ledger` gives the audit trail and the decisions. All methods raise `LedgerError`."""

    audit: AuditTrail
    decisions: Decisions

    def deletions(
        self, site: str, job: str | None, since: Since, known: Collection[str] | None = None
    ) -> frozenset[str]:
        """Return the ids sent for deletion on a site since then, except those that were surely refused.

        `job`: of this job alone; None: of all. `known`: the configured jobs; what other jobs sent counts as this job's,
        which may have had their name.
        """
        rows = self._all(history.deletions(site, job, since, known))
        return frozenset(history.not_refused((row["remote_id"], row["result"]) for row in rows))

    def deleted(self, site: str, since: Since) -> frozenset[str]:
        """Return the ids whose deletion a site has confirmed since then."""
        rows = self._all(history.deletions(site, None, since))
        return frozenset(row["remote_id"] for row in rows if row["result"] == Result.DONE)

    def names_sent(
        self, site: str, job: str, action: str, since: Since, known: Collection[str] | None = None
    ) -> tuple[tuple[str, str], ...]:
        """Return the names and versions that a job sent since then, except what was surely refused.

        In the order of sending. `action`: create, or update (with restores). `known`: as for `deletions`.
        """
        rows = self._all(history.names_sent(site, job, action, since, known))
        return history.not_refused(((row["name"], row["version"]), row["result"]) for row in rows)

    def history(self, name: str, site: str | None = None, *, most: int = 10) -> tuple[HistoryEntry, ...]:
        """The last actions on a name, on one site or on all, newest first."""
        table = tables.history
        query = select(table).where(table.c.name == name).order_by(table.c.id.desc()).limit(most)
        if site is not None:
            query = query.where(table.c.site == site)
        names = HistoryEntry.__dataclass_fields__
        return tuple(HistoryEntry(**{key: row[key] for key in names}) for row in self._all(query))

    def audit_heads(self, *streams: str) -> dict[str, tuple[int, str]]:
        """The last line of each of these streams of the audit trail, or of all: its seq and hash."""
        return self.audit.heads(*streams)

    def held(self, site: str, job: str) -> tuple[HeldAction, ...]:
        """What waits for a release, or was released and is not sent yet."""
        return self.decisions.held(site, job)

    def reason_of_release(self, released: HeldAction) -> str:
        """Why a person let an action go, by the audit trail; empty where it does not tell."""
        if released.released_at is None:
            return ""
        # The line is of the moment that the release has.
        at = released.released_at
        asked = Filter(event="secret.released", since=at, until=at + timedelta(microseconds=1), name=released.name)
        lines = [line for line in self.audit.lines(asked) if mapping(line["detail"]).get("batch") == released.batch]
        return str(lines[-1]["reason"] or "") if lines else ""

    def rollbacks(self, source: str) -> dict[str, Rollback]:
        """Return the rollbacks in force of a source, by path."""
        return {path: item for (_, path), item in self.decisions.rollbacks(source).items()}

    def orphaned_mounts(self, source: str, configured: Container[str], job: str = "") -> dict[str, frozenset[str]]:
        """Return, by mount, the ids it had under sources that no job reads any more and that still have rows.

        `source`: who asks; its own former mounts, set aside by `state remount`, do not count. `configured`: the sources
        of jobs. `job`: where it has rows from such sources itself, these sources alone count. Else a source that
        already knows its mounts gets none: it is no new name of another one.
        """
        sources = {row["source"] for row in self._all(select(tables.mounts.c.source).distinct())}
        gone = (name for name in sources if name not in configured and not name.startswith(before(source)))
        left = {name for name in gone if self._left_by(tables.records.c.source == name)}
        own = {name for name in left if self._left_by(tables.records.c.source == name, tables.records.c.job == job)}
        taken_over = own or (set() if self.known_mounts(source) else left)
        found: dict[str, frozenset[str]] = {}
        for name in sorted(taken_over):
            # An empty id says nothing of where a secret is from; beside a known one any place would be believed.
            for mount, mount_id in ((mount, one) for mount, one in self.known_mounts(name).items() if one):
                found[mount] = found.get(mount, frozenset()) | {mount_id}
        return found

    def taken_over(self, source: str, readers: Mapping[str, str]) -> dict[str, frozenset[str]]:
        """Return `orphaned_mounts` of all jobs that read a source, together.

        `readers`: each configured job's source.
        """
        found: dict[str, frozenset[str]] = {}
        for job in (job for job, reads in readers.items() if reads == source):
            for mount, ids in self.orphaned_mounts(source, set(readers.values()), job).items():
                found[mount] = found.get(mount, frozenset()) | ids
        return found

    def _left_by(self, *where: ColumnElement[bool]) -> bool:
        return bool(self._all(select(tables.records.c.name).where(*where).limit(1)))

    def rollbacks_by_secret(self) -> dict[tuple[str, str], Rollback]:
        """Return the rollbacks in force by the secret that they hold (see `secret_at`). Of two, the later one.

        A path whose place was never learnt is left out: nothing shows which secret it is.
        """
        known = sorted(self.decisions.rollbacks().items(), key=lambda entry: entry[1].at)
        secrets = self.secrets_of([key for key, _ in known])
        return {secrets[key]: item for key, item in known if key in secrets}

    def secrets_of(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
        """Which secret each of these sources and paths means, where its place was learnt; see `places.secret_at`."""
        mounts = {source: self.known_mounts(source) for source in {source for source, _ in keys}}
        found = ((key, secret_at(mounts[key[0]], key[1])) for key in keys)
        return {key: secret for key, secret in found if secret is not None}

    def rollback_of(self, source: str, path: str) -> Rollback | None:
        """The rollback of a path: its own, else one of the same secret by another name or spelling."""
        own = self.decisions.rollbacks(source).get((source, path))
        secret = self.secret_at(source, path)
        return own or (self.rollbacks_by_secret().get(secret) if secret else None)

    def secret_at(self, source: str, path: str) -> tuple[str, str] | None:
        """Which secret a path of a source means; see `places.secret_at`."""
        return secret_at(self.known_mounts(source), path)

    def mount_id(self, source: str, path: str) -> str:
        """Return the accepted id of the mount or account that a path lies in; empty where it was never learnt."""
        return place_of(self.known_mounts(source), path)

    def spellings(self, source: str, path: str) -> frozenset[str]:
        """The paths of a source under which the ledger has this very secret: at AWS its name and its ARN."""
        c, mount_id, name = tables.records.c, self.mount_id(source, path), name_in(path)
        query = select(c.path).where(c.source == source, or_(c.path == name, c.path.like("arn:%"))).distinct()
        # Where the account was never learnt, nothing says that a name and an ARN are one secret.
        found = (row["path"] for row in self._all(query)) if mount_id else ()
        same = (item for item in found if name_in(item) == name and self.mount_id(source, item) == mount_id)
        return frozenset({path, *same})

    def arrived(self, remote_id: str, name: str, refs: Collection[SecretRef], version: str) -> bool:
        """Did the secret with this id ever get exactly this version (a token)? `refs`: every form of its reference.

        The history must have the token, which no later version of the same number has, and the trail the reference.
        What either of them has forgotten counts as never.
        """
        c, label = tables.history.c, version_label(version)
        sent = and_(c.name == name, c.remote_id == remote_id, c.version == version, c.result == "done")
        if not self._all(select(c.id).where(sent).limit(1)):
            return False
        lines = self.audit.lines(Filter(name=name, event="secret.*"))
        known = ((line["remote_id"], line["ref"], line["to"]) for line in lines if line["outcome"] == "done")
        return not {(remote_id, str(ref), label) for ref in refs}.isdisjoint(known)

    def aliases(self, site: str) -> frozenset[str]:
        """Other keys that the site was known under."""
        return frozenset(other for other, now in self.known_aliases().items() if now == site and other != site)

    def known_aliases(self) -> dict[str, str]:
        """Return, by former key of a site, its key of today.

        A person joined the two, or a cycle recognized the site by its ids.
        """
        moves = {row["old"]: row["site"] for row in self._all(select(tables.aliases))} | self.joined_sites()
        return {old: today(old, moves) for old in moves}

    def resting_owners(self, site: str, job: str, owners: Collection[str]) -> Mapping[str, RestingOwner]:
        """Return which of these owners a person paused, for a job on the site that would take their secrets over."""
        pauses = {owner: pause for owner in owners if (pause := self.decisions.pause_of("job", owner))}
        # Nearly always nothing is paused, and no run has to be looked at.
        ran = [ended for ended, _, _ in self.recent_runs().get((site, job), [])] if pauses else []
        first = min(ran, default=None)
        return {
            owner: RestingOwner(str(pause), worked_before=first is not None and first < pause.at)
            for owner, pause in pauses.items()
        }

    def rested_until(self, job: str, target: str, site: str) -> datetime | None:
        """When the last pause that covered this job on this target ended, by its time or by a person; None for none."""
        return self.decisions.rested_until(job, target, {site, *self.aliases(site)})

    def rests(self, job: str, target: str, site: str) -> list[Rest]:
        """Return when a job rested on a target: of each scope the pause in force, or else the last one."""
        return self.decisions.rests(job, target, {site, *self.aliases(site)})

    def clock_is_ahead(self, site: str, by: timedelta) -> bool:
        """Note how far this clock is ahead of a site's; protections end by the slower one.

        Returns: does that move their end?
        """
        return self.decisions.clock_is_ahead(site, by)

    def tell_what_ran_out(self) -> None:
        """Write a line for each pause and rollback whose time ran out, and drop those rollbacks."""
        self.decisions.tell_what_ran_out()

    def news_at(self, job: str) -> datetime | None:
        """When a cycle last saw something new at a job's source; None for never."""
        found = self._all(select(tables.news.c.at).where(tables.news.c.job == job))
        return found[0]["at"] if found else None

    def open_drift(self) -> set[tuple[str, str]]:
        """Sites and jobs with secrets that others changed at Wix, as the last cycles found."""
        c = tables.audit_findings.c
        query = select(c.stream, c.job).distinct().where(c.event == "drift.found")
        return {(row["stream"], row["job"]) for row in self._all(query)}

    def lasting_drift(self) -> list[tuple[str, str, str]]:
        """The site, job and name of each secret that others changed at Wix, as the last cycles found."""
        c = tables.audit_findings.c
        query = select(c.stream, c.job, c.name).where(c.event == "drift.found").order_by(c.stream, c.job, c.name)
        return [(row["stream"], row["job"], row["name"]) for row in self._all(query)]

    def facts(self, site: str, names: Collection[str] | None = None) -> Facts:
        """Return what checks said of values when they were read, of a whole site or of these names alone."""
        with self.reading() as connection:
            return facts_of(connection, site, names)

    def unheld(self, site: str) -> list[ListedSecret]:
        """Return what a site listed last whose id no row holds, on any site; by name."""
        with self.reading() as connection:
            return unheld_secrets(connection, site)

    def runs(self) -> tuple[LastRun, ...]:
        """The last cycle of each job on each site."""
        query = select(tables.runs).order_by(tables.runs.c.job, tables.runs.c.target)
        return tuple(self._each(query, as_run))

    def looks(self) -> dict[tuple[str, str], datetime | None]:
        """Return when each job last looked at everything on each site; None where no such look came to its end."""
        return {(run.site, run.job): run.looked_at for run in self.runs()}

    def looked_at(self, site: str, job: str) -> datetime | None:
        """Return when a job last looked at everything on a site; None where no such look came to its end."""
        run = self.last_run(site, job)
        return run.looked_at if run else None

    def last_run(self, site: str, job: str) -> LastRun | None:
        """The last cycle of a job on a site."""
        c = tables.runs.c
        query = select(tables.runs).where(and_(c.site == site, c.job == job))
        return self._one(query, as_run)

    def recent_runs(self) -> dict[tuple[str, str], list[tuple[datetime, int, float]]]:
        """The last cycles by site and job, oldest first: when each ended, its exit code, its seconds."""
        c = tables.runs.c
        query = select(c.site, c.job, c.recent)
        return dict(self._each(query, lambda row: ((row["site"], row["job"]), as_recent(row["recent"]))))

    def told_causes(self) -> set[str]:
        """Return the causes whose beginning people were told, and not yet their end."""
        return {row["cause"] for row in self._all(select(tables.notices.c.cause))}

    def meta(self, key: str) -> str | None:
        """Return one of the ledger's own facts; None where it has none under this key."""
        rows = self._all(select(tables.meta.c.value).where(tables.meta.c.key == key))
        return str(rows[0]["value"]) if rows else None


def today(key: str, moves: Mapping[str, str]) -> str:
    """Where a chain of moves from a key ends; a ring of them, which somebody made by hand, is left where it closes."""
    seen = {key}
    while (following := moves.get(key)) is not None and following not in seen:
        key = following
        seen.add(key)
    return key
