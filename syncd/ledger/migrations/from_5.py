"""Steps to the schemas after 5, each as the SQL of its time."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, or_, select, text

from syncd.ledger import schema as tables
from syncd.ledger import words
from syncd.ledger.counting import install


def keep_decisions(connection: Connection) -> None:
    """To 6: what people decide (releases, pauses, rollbacks), facts about values, and listings of the sites."""
    for statement in (
        """CREATE TABLE syncd_held (
            site VARCHAR(200) NOT NULL, job VARCHAR(200) NOT NULL, name VARCHAR(64) NOT NULL,
            cause VARCHAR(120) NOT NULL, target VARCHAR(200) NOT NULL, action VARCHAR(8) NOT NULL, ref TEXT NOT NULL,
            from_version TEXT NOT NULL, to_version TEXT NOT NULL,
            remote_id VARCHAR(64) NOT NULL, batch VARCHAR(12) NOT NULL, since BIGINT NOT NULL,
            released_at BIGINT, released_by TEXT NOT NULL, PRIMARY KEY (site, job, name, cause))""",
        "CREATE INDEX ix_syncd_held_batch ON syncd_held (batch)",
        """CREATE TABLE syncd_batches (
            batch VARCHAR(12) NOT NULL PRIMARY KEY, since BIGINT NOT NULL, released_at BIGINT,
            released_by TEXT NOT NULL)""",
        """CREATE TABLE syncd_pauses (
            scope VARCHAR(8) NOT NULL, name VARCHAR(200) NOT NULL, at BIGINT NOT NULL, until BIGINT,
            by TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (scope, name))""",
        """CREATE TABLE syncd_rollbacks (
            source VARCHAR(200) NOT NULL, path TEXT NOT NULL, version TEXT NOT NULL, number BIGINT,
            lineage TEXT NOT NULL, label TEXT NOT NULL, at BIGINT NOT NULL, until BIGINT NOT NULL, by TEXT NOT NULL,
            reason TEXT NOT NULL, PRIMARY KEY (source, path))""",
        """CREATE TABLE syncd_facts (
            site VARCHAR(200) NOT NULL, name VARCHAR(64) NOT NULL, digest VARCHAR(8) NOT NULL, version TEXT NOT NULL,
            fault TEXT NOT NULL, PRIMARY KEY (site, name, digest))""",
        """CREATE TABLE syncd_listings (
            site VARCHAR(200) NOT NULL, remote_id VARCHAR(64) NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL,
            updated_at BIGINT, seen_at BIGINT NOT NULL, PRIMARY KEY (site, remote_id))""",
        "CREATE TABLE syncd_notices (cause VARCHAR(400) NOT NULL PRIMARY KEY, at BIGINT NOT NULL)",
        """CREATE TABLE syncd_sessions (
            hash VARCHAR(64) NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL, credential VARCHAR(64) NOT NULL,
            until BIGINT NOT NULL)""",
        "ALTER TABLE syncd_paths ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE syncd_paths ADD COLUMN seen_at BIGINT",
        "ALTER TABLE syncd_runs ADD COLUMN recent TEXT NOT NULL DEFAULT ''",
    ):
        connection.exec_driver_sql(statement)


def judge_by_reference(connection: Connection) -> None:
    """To 7: what was judged of a value names its reference. What was judged without one is judged anew."""
    for statement in (
        "DROP TABLE syncd_facts",
        """CREATE TABLE syncd_facts (
            site VARCHAR(200) NOT NULL, name VARCHAR(64) NOT NULL, digest VARCHAR(8) NOT NULL, ref TEXT NOT NULL,
            version TEXT NOT NULL, fault TEXT NOT NULL, PRIMARY KEY (site, name, digest))""",
    ):
        connection.exec_driver_sql(statement)


def count_and_index(connection: Connection) -> None:
    """To 8: counts of the records, and an index for each filter of the page of secrets."""
    is_open = "pending IS NOT NULL OR remote_id IS NULL"
    for statement in (
        """CREATE TABLE syncd_counts (
            site VARCHAR(200) NOT NULL, job VARCHAR(200) NOT NULL, status VARCHAR(16) NOT NULL,
            is_open BOOLEAN NOT NULL, unverified BOOLEAN NOT NULL, count BIGINT NOT NULL,
            PRIMARY KEY (site, job, status, is_open, unverified))""",
        "CREATE INDEX syncd_records_by_name ON syncd_records (name, site)",
        "CREATE INDEX syncd_records_by_status ON syncd_records (status, name, site)",
        "CREATE INDEX syncd_records_by_arrival ON syncd_records (coalesce(last_synced_at, 0), site, name)",
        "CREATE INDEX syncd_records_by_age ON syncd_records (coalesce(source_updated_at, 0), site, name)",
        "CREATE INDEX syncd_records_by_path ON syncd_records (source, path)",
        "CREATE INDEX syncd_records_by_value ON syncd_records (fingerprint) WHERE fingerprint IS NOT NULL",
        "CREATE INDEX syncd_records_frozen ON syncd_records (frozen_until) WHERE frozen_until IS NOT NULL",
        f"CREATE INDEX syncd_records_open ON syncd_records (name) WHERE {is_open}",
        "CREATE INDEX syncd_records_unverified ON syncd_records (name) WHERE unverified",
    ):
        connection.exec_driver_sql(statement)
    install(connection)
    words.install(connection)


def keep_sites_apart(connection: Connection) -> None:
    """To 9: a pause of a target is of its site and knows whether its end was told; former keys of sites have a table.

    The history has the time of both clocks. Pauses from before hold for the target's name.
    """
    meta, now = tables.meta.c, (datetime.now(UTC) - tables.EPOCH) // tables.MICROSECOND
    kept = connection.execute(select(meta.value).where(meta.key.startswith("alias "))).scalars().all()
    for statement in (
        "CREATE TABLE syncd_aliases (old VARCHAR(200) NOT NULL PRIMARY KEY, site VARCHAR(200) NOT NULL)",
        "CREATE TABLE syncd_news (job VARCHAR(200) NOT NULL PRIMARY KEY, at BIGINT NOT NULL)",
        """CREATE TABLE syncd_pauses_9 (
            scope VARCHAR(8) NOT NULL, name VARCHAR(200) NOT NULL, site VARCHAR(200) NOT NULL, at BIGINT NOT NULL,
            until BIGINT, by TEXT NOT NULL, reason TEXT NOT NULL, end_told BOOLEAN NOT NULL,
            PRIMARY KEY (scope, name, site))""",
        """INSERT INTO syncd_pauses_9 SELECT scope, name, '', at, until, by, reason, until IS NOT NULL
            FROM syncd_pauses""",
        "ALTER TABLE syncd_history ADD COLUMN noted_at BIGINT NOT NULL DEFAULT 0",
        # The only time that lines of before have.
        "UPDATE syncd_history SET noted_at = at",
        "CREATE INDEX ix_syncd_history_noted_at ON syncd_history (noted_at)",
        "DROP TABLE syncd_pauses",
        "ALTER TABLE syncd_pauses_9 RENAME TO syncd_pauses",
    ):
        connection.exec_driver_sql(statement)
    # The end of a pause that is over was nobody's to tell; one that holds still gets its line.
    holds = "UPDATE syncd_pauses SET end_told = :no WHERE until > :now"
    connection.execute(text(holds), {"no": False, "now": now})
    # Not as text: PostgreSQL's driver takes a % in it for a place of a value.
    connection.execute(delete(tables.meta).where(or_(meta.key.startswith("alias "), meta.key.startswith("news "))))
    for old, site in map(json.loads, kept):
        connection.execute(text("INSERT INTO syncd_aliases VALUES (:old, :site)"), {"old": old, "site": site})


def remember_whose(connection: Connection) -> None:
    """To 10: a row says that somebody else's change was left at Wix, and that a look-up wrote our mark again."""
    for statement in (
        "ALTER TABLE syncd_records ADD COLUMN theirs BOOLEAN NOT NULL DEFAULT FALSE",
        "ALTER TABLE syncd_records ADD COLUMN remarked BOOLEAN NOT NULL DEFAULT FALSE",
        """UPDATE syncd_records SET theirs = TRUE WHERE status = 'contested' OR EXISTS (
            SELECT 1 FROM syncd_audit_findings AS found WHERE found.stream = syncd_records.site
            AND found.job = syncd_records.job AND found.name = syncd_records.name AND found.event = 'drift.found')""",
    ):
        connection.exec_driver_sql(statement)
