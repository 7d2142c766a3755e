"""The ledger's tables. Times are whole microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    or_,
    text,
)
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LEAST_INSTANT, LAST_INSTANT = (
    (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND,
    (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND,
)
"""What Python's calendar holds, in microseconds since 1970."""


class Instant(TypeDecorator[datetime]):
    """An aware datetime as microseconds: exact, ordered, the same in SQLite and PostgreSQL."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else EPOCH + value * MICROSECOND


def only_where(condition: ColumnElement[bool]) -> dict[str, Any]:
    """Return the options of an index that holds only rows for which this is true."""
    return {"sqlite_where": condition, "postgresql_where": condition}


metadata = MetaData()

meta = Table("syncd_meta", metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))
records = Table(
    "syncd_records",
    metadata,
    Column("site", String(200), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("target", String(200), nullable=False),
    Column("job", String(200), nullable=False),
    Column("source", String(200), nullable=False),
    Column("path", Text, nullable=False),
    Column("field", Text),
    Column("pin", String(200), nullable=False),
    Column("remote_id", String(64)),
    Column("adopted", Boolean, nullable=False),
    Column("description", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("fingerprint", String(64)),
    Column("pending", String(8)),
    Column("pending_at", Instant),
    Column("unverified", Boolean, nullable=False),
    Column("theirs", Boolean, nullable=False),
    Column("remarked", Boolean, nullable=False),
    Column("window_start", Instant),
    Column("window_end", Instant),
    Column("pinned_at", Instant),
    Column("last_synced_at", Instant),
    Column("source_updated_at", Instant),
    Column("verified_at", Instant),
    Column("unlisted_tried_at", Instant),
    Column("doubted_at", Instant),
    Column("lost_writes", Text, nullable=False),
    Column("restores", Text, nullable=False),
    Column("absent_at", Instant),
    Column("absent_for", BigInteger, nullable=False),
    Column("frozen_until", Instant),
    Column("status", String(16), nullable=False),
    Column("seal", BigInteger),
    # One record per Wix id.
    Index("syncd_records_by_id", "site", "remote_id", unique=True),
    Index("syncd_records_by_remote_id", "remote_id"),
)
# A filter of the page of secrets each, in the order of its rows; and what is rare, by itself.
Index("syncd_records_by_name", records.c.name, records.c.site)
Index("syncd_records_by_status", records.c.status, records.c.name, records.c.site)
Index("syncd_records_by_arrival", text("coalesce(last_synced_at, 0)"), records.c.site, records.c.name)
Index("syncd_records_by_age", text("coalesce(source_updated_at, 0)"), records.c.site, records.c.name)
Index("syncd_records_by_path", records.c.source, records.c.path)
Index("syncd_records_by_value", records.c.fingerprint, **only_where(records.c.fingerprint.is_not(None)))
Index("syncd_records_frozen", records.c.frozen_until, **only_where(records.c.frozen_until.is_not(None)))
is_open = or_(records.c.pending.is_not(None), records.c.remote_id.is_(None))
"""Is an action on it under way, or was it never created?"""
Index("syncd_records_open", records.c.name, **only_where(is_open))
Index("syncd_records_unverified", records.c.name, **only_where(records.c.unverified))
counts = Table(
    "syncd_counts",
    metadata,
    Column("site", String(200), primary_key=True),
    Column("job", String(200), primary_key=True),
    Column("status", String(16), primary_key=True),
    Column("is_open", Boolean, primary_key=True),
    Column("unverified", Boolean, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
# What protects a secret follows its id, also while no record holds it.
ids = Table(
    "syncd_ids",
    metadata,
    Column("remote_id", String(64), primary_key=True),
    Column("adopted", Boolean, nullable=False),
    Column("frozen_until", Instant),
    Column("seal", BigInteger),
)
# `line` is what was hashed; the other columns come from it, to filter by, and `verify` compares them.
audit = Table(
    "syncd_audit",
    metadata,
    Column("stream", String(200), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("event", String(40), nullable=False),
    Column("outcome", String(16)),
    Column("site", String(200)),
    Column("name", Text),
    Column("job", String(200)),
    Column("actor", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Index("syncd_audit_at", "at"),
    Index("syncd_audit_name", "name"),
)
audit_heads = Table(
    "syncd_audit_heads",
    metadata,
    Column("stream", String(200), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
# Intents without an end: whoever holds the site after a kill finds them here.
audit_open = Table(
    "syncd_audit_open",
    metadata,
    Column("stream", String(200), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
)
# What lasts, so that a finding has a line when it begins and one when it ends, and none in between.
audit_findings = Table(
    "syncd_audit_findings",
    metadata,
    Column("stream", String(200), primary_key=True),
    Column("job", String(200), primary_key=True),
    Column("event", String(40), primary_key=True),
    Column("name", Text, primary_key=True),
)
# The hash before the oldest line that is left: a chain that was pruned still verifies.
audit_checkpoints = Table(
    "syncd_audit_checkpoints",
    metadata,
    Column("stream", String(200), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
# How far each sink has come, so that one that was away catches up.
audit_shipped = Table(
    "syncd_audit_shipped",
    metadata,
    Column("sink", Text, primary_key=True),
    Column("stream", String(200), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)
audit_pruned = Table(
    "syncd_audit_pruned",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("until", Instant, nullable=False),
)
held = Table(
    "syncd_held",
    metadata,
    Column("site", String(200), primary_key=True),
    Column("job", String(200), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("cause", String(120), primary_key=True),
    Column("target", String(200), nullable=False),
    Column("action", String(8), nullable=False),
    Column("ref", Text, nullable=False),
    Column("from_version", Text, nullable=False),
    Column("to_version", Text, nullable=False),
    Column("remote_id", String(64), nullable=False),
    Column("batch", String(12), nullable=False, index=True),
    Column("since", Instant, nullable=False),
    Column("released_at", Instant),
    Column("released_by", Text, nullable=False),
)
# They outlast their actions: a batch of which nothing waits any more is told from one that never was.
batches = Table(
    "syncd_batches",
    metadata,
    Column("batch", String(12), primary_key=True),
    Column("since", Instant, nullable=False),
    Column("released_at", Instant),
    Column("released_by", Text, nullable=False),
)
# By site as well: a target's name may come to stand for another site, whose pause is not this one.
pauses = Table(
    "syncd_pauses",
    metadata,
    Column("scope", String(8), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("site", String(200), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("until", Instant),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # Does the audit trail say that it ended?
    Column("end_told", Boolean, nullable=False),
)
rollbacks = Table(
    "syncd_rollbacks",
    metadata,
    Column("source", String(200), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("number", BigInteger),
    Column("lineage", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
# What a check came to, and never the value: rules are judged in an idle cycle, which reads none.
facts = Table(
    "syncd_facts",
    metadata,
    Column("site", String(200), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("digest", String(8), primary_key=True),
    Column("ref", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("fault", Text, nullable=False),
)
listings = Table(
    "syncd_listings",
    metadata,
    Column("site", String(200), primary_key=True),
    Column("remote_id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("updated_at", Instant),
    Column("seen_at", Instant, nullable=False),
)
# What people were told of, so that each cause has one message when it begins and one when it ends.
notices = Table(
    "syncd_notices",
    metadata,
    Column("cause", String(400), primary_key=True),
    Column("at", Instant, nullable=False),
)
# Hashes alone: nobody can log in with what the ledger holds.
sessions = Table(
    "syncd_sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("credential", String(64), nullable=False),
    Column("until", Instant, nullable=False),
)
# Keys that sites were known under, and the one that their ids led to.
aliases = Table(
    "syncd_aliases",
    metadata,
    Column("old", String(200), primary_key=True),
    Column("site", String(200), nullable=False),
)
# When a job's source last had something new.
news = Table(
    "syncd_news",
    metadata,
    Column("job", String(200), primary_key=True),
    Column("at", Instant, nullable=False),
)
joined_sites = Table(
    "syncd_joined_sites",
    metadata,
    Column("old", String(200), primary_key=True),
    Column("site", String(200), nullable=False),
)
paths = Table(
    "syncd_paths",
    metadata,
    Column("source", String(200), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("pin", String(200), primary_key=True),
    Column("version", Text, nullable=False),
    Column("number", BigInteger),
    Column("lineage", Text, nullable=False),
    Column("fields", Text),
    Column("updated_at", Instant),
    Column("owner", Text, nullable=False, server_default=""),
    Column("seen_at", Instant),
    # An older answer and how often it came: a standby that lags is not believed at once.
    Column("older_token", Text, nullable=False),
    Column("older_count", Integer, nullable=False),
    Column("older_at", Instant),
    Column("seal", BigInteger),
)
mounts = Table(
    "syncd_mounts",
    metadata,
    Column("source", String(200), primary_key=True),
    Column("mount", Text, primary_key=True),
    Column("mount_id", Text, nullable=False),
    Column("seal", BigInteger),
)
troubles = Table(
    "syncd_troubles",
    metadata,
    Column("site", String(200), primary_key=True),
    Column("job", String(200), primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("rule", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("retry_at", Instant),
)
grants = Table(
    "syncd_grants",
    metadata,
    Column("site", String(200), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("remote_id", String(64), nullable=False),
    Column("owner", Text, nullable=False),
)
history = Table(
    "syncd_history",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    # By the site's clock, and by this machine's: what a limit counts is of this day by either.
    Column("at", Instant, nullable=False, index=True),
    Column("noted_at", Instant, nullable=False, index=True),
    Column("site", String(200), nullable=False),
    Column("target", String(200), nullable=False),
    Column("job", String(200), nullable=False),
    Column("name", String(64), nullable=False, index=True),
    Column("action", String(16), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("result", String(8)),
    Column("remote_id", String(64), nullable=False),
    Column("version", Text, nullable=False),
    Column("request_id", Text, nullable=False),
)
runs = Table(
    "syncd_runs",
    metadata,
    Column("job", String(200), primary_key=True),
    Column("site", String(200), primary_key=True),
    Column("target", String(200), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    Column("exit_code", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("succeeded_at", Instant),
    Column("counts", Text, nullable=False),
    Column("recent", Text, nullable=False, server_default=""),
)
# Kept for all processes: two with a count of their own would break a site's limit together.
requests = Table(
    "syncd_requests",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("site", String(200), nullable=False),
    Column("at", Instant, nullable=False),
    Index("syncd_requests_by_site", "site", "at"),
)
# Only says who holds a site, for whoever waits: the lock itself has to die with its process.
locks = Table(
    "syncd_locks",
    metadata,
    Column("site", String(200), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("since", Instant, nullable=False),
)
