"""The ledger's schema version: made, brought up to date with a copy kept, or refused."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, func, inspect, or_, select, text, update
from sqlalchemy.exc import DBAPIError

from syncd.errors import LedgerError
from syncd.ledger import schema as tables
from syncd.ledger import words
from syncd.ledger.counting import install
from syncd.ledger.engine import APPLICATION_ID
from syncd.ledger.faults import DAMAGED, translated, undamaged
from syncd.ledger.rows import sealed
from syncd.ledger.statements import upsert
from syncd.transport.private_files import draft_in, publish


def _add_seals(connection: Connection) -> None:
    """To 2: a column for a checksum in each row; the rows get theirs at the end."""
    for table in ("syncd_records", "syncd_paths", "syncd_mounts"):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN seal BIGINT")


def _follow_ids(connection: Connection) -> None:
    """To 3: every lost write, dates that were doubted, grants that end, typed results, what is known of ids."""
    refs = connection.exec_driver_sql("SELECT DISTINCT ref FROM syncd_troubles WHERE ref <> ''").scalars().all()
    for statement in (
        "ALTER TABLE syncd_records ADD COLUMN doubted_at BIGINT",
        "ALTER TABLE syncd_records ADD COLUMN lost_writes TEXT NOT NULL DEFAULT '[]'",
        "UPDATE syncd_records SET lost_writes = '[' || lost_at || ']' WHERE lost_at IS NOT NULL",
        "ALTER TABLE syncd_records DROP COLUMN lost_at",
        "CREATE INDEX syncd_records_by_remote_id ON syncd_records (remote_id)",
        """CREATE TABLE syncd_ids (
            remote_id VARCHAR(64) NOT NULL PRIMARY KEY, adopted BOOLEAN NOT NULL, frozen_until BIGINT, seal BIGINT)""",
        "CREATE TABLE syncd_joined_sites (old VARCHAR(200) NOT NULL PRIMARY KEY, site VARCHAR(200) NOT NULL)",
        "ALTER TABLE syncd_grants ADD COLUMN until BIGINT NOT NULL DEFAULT 0",
        # A day, in microseconds: no grant lasts longer now, and those had no end.
        "UPDATE syncd_grants SET until = at + 86400000000",
        "ALTER TABLE syncd_history ADD COLUMN result VARCHAR(8)",
        """UPDATE syncd_history SET result = CASE
            WHEN outcome = 'sent' THEN 'sent'
            WHEN substr(outcome, 1, 4) = 'lost' THEN 'lost'
            WHEN substr(outcome, 1, 7) = 'refused' THEN 'refused'
            ELSE 'done' END""",
    ):
        connection.exec_driver_sql(statement)
    for ref in refs:
        source, _, rest = ref.partition(":")
        path, mark, field = rest.partition("#")
        parts = json.dumps([source, path, field if mark else None])
        connection.execute(
            text("UPDATE syncd_troubles SET ref = :parts WHERE ref = :ref"), {"parts": parts, "ref": ref}
        )


def _bind_grants(connection: Connection) -> None:
    """To 4: a grant names the id it was given for; one that names none is given anew (none lasts longer than a day)."""
    for statement in (
        "DELETE FROM syncd_grants",
        "ALTER TABLE syncd_grants ADD COLUMN remote_id VARCHAR(64) NOT NULL DEFAULT ''",
        "ALTER TABLE syncd_grants ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
    ):
        connection.exec_driver_sql(statement)


def _keep_an_audit_trail(connection: Connection) -> None:
    """To 5: the audit trail. Lines of the history are carried over, marked as such."""
    for statement in (
        """CREATE TABLE syncd_audit (
            stream VARCHAR(200) NOT NULL, seq BIGINT NOT NULL, at BIGINT NOT NULL, event VARCHAR(40) NOT NULL,
            outcome VARCHAR(16), site VARCHAR(200), name TEXT, job VARCHAR(200), actor TEXT NOT NULL,
            line TEXT NOT NULL, hash VARCHAR(64) NOT NULL, PRIMARY KEY (stream, seq))""",
        "CREATE INDEX syncd_audit_at ON syncd_audit (at)",
        "CREATE INDEX syncd_audit_name ON syncd_audit (name)",
        """CREATE TABLE syncd_audit_heads (
            stream VARCHAR(200) NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, hash VARCHAR(64) NOT NULL)""",
        """CREATE TABLE syncd_audit_open (
            stream VARCHAR(200) NOT NULL, seq BIGINT NOT NULL, name TEXT NOT NULL,
            PRIMARY KEY (stream, seq))""",
        """CREATE TABLE syncd_audit_findings (
            stream VARCHAR(200) NOT NULL, job VARCHAR(200) NOT NULL, event VARCHAR(40) NOT NULL, name TEXT NOT NULL,
            PRIMARY KEY (stream, job, event, name))""",
        """CREATE TABLE syncd_audit_checkpoints (
            stream VARCHAR(200) NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, hash VARCHAR(64) NOT NULL)""",
        """CREATE TABLE syncd_audit_shipped (
            sink TEXT NOT NULL, stream VARCHAR(200) NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (sink, stream))""",
        """CREATE TABLE syncd_audit_pruned (
            id INTEGER NOT NULL PRIMARY KEY, at BIGINT NOT NULL, until BIGINT NOT NULL)""",
    ):
        connection.exec_driver_sql(statement)
    _carry_history_over(connection)


def _carry_history_over(connection: Connection) -> None:
    """The history as lines of the trail."""
    heads: dict[str, tuple[int, str]] = {}
    # What was sent is followed by how it ended; a line that is not was cut off by a kill and ends as unknown.
    rows = connection.exec_driver_sql(
        "SELECT at, site, target, job, name, action, result, remote_id, request_id FROM syncd_history"
        " AS line WHERE result <> 'sent' OR NOT EXISTS (SELECT 1 FROM syncd_history AS later WHERE later.id > line.id"
        " AND later.site = line.site AND later.name = line.name AND later.action = line.action) ORDER BY id"
    ).all()
    for row in rows:
        if row.site not in heads:  # as every stream begins
            chain = {"chain": secrets.token_hex(8), "migrated": True}
            heads[row.site] = _carry(connection, row.site, (0, "0" * 64), row.at, event="audit.opened", detail=chain)
        verb = "update" if row.action in {"restore", "seek"} else row.action
        heads[row.site] = _carry(
            connection,
            row.site,
            heads[row.site],
            row.at,
            event=f"secret.{verb}",
            outcome={"done": "done", "lost": "unknown", "sent": "unknown"}.get(row.result or "", "failed"),
            site=row.site,
            name=row.name,
            job=row.job,
            target=row.target,
            remote_id=row.remote_id or None,
            request_id=row.request_id or None,
            detail={"migrated": True},
        )
    for stream, (seq, digest) in heads.items():
        connection.execute(
            text("INSERT INTO syncd_audit_heads (stream, seq, hash) VALUES (:stream, :seq, :hash)"),
            {"stream": stream, "seq": seq, "hash": digest},
        )


def _carry(connection: Connection, stream: str, head: tuple[int, str], at: int, **facts: object) -> tuple[int, str]:
    """One line behind the head, as schema 5 has it; later code does not change it. Returns: the new head."""
    seconds, rest = divmod(at, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    keys = (
        "outcome", "intent", "reason", "run", "job", "target", "site", "name", "ref", "from", "to", "remote_id",
        "request_id", "rule", "plan", "config", "commit",
    )  # fmt: skip
    line: dict[str, object] = dict.fromkeys(keys)
    line |= {"stream": stream, "seq": head[0] + 1, "at": f"{moment}.{rest:06}Z", "version": "", "prev": head[1]}
    line |= {"actor": {"kind": "system", "id": "history", "via": "migration"}, **facts}
    digest = hashlib.sha256(_canonical(line).encode("utf-8", "surrogatepass")).hexdigest()
    columns = ("stream", "seq", "event", "outcome", "site", "name", "job")
    connection.execute(
        text(
            "INSERT INTO syncd_audit (stream, seq, at, event, outcome, site, name, job, actor, line, hash)"
            " VALUES (:stream, :seq, :at, :event, :outcome, :site, :name, :job, 'history', :line, :hash)"
        ),
        {key: line[key] for key in columns} | {"at": at, "line": _canonical({**line, "hash": digest}), "hash": digest},
    )
    return head[0] + 1, digest


def _canonical(line: dict[str, object]) -> str:
    return json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _see_that_rows_are_whole(connection: Connection, version: int) -> None:
    """The checksums of the schema as it was, before anything is written over them. Raises ValueError."""
    sealed: dict[str, tuple[str, ...]] = {}
    if version >= 2:
        sealed = {"syncd_records": ("adopted", "unverified"), "syncd_paths": (), "syncd_mounts": ()}
    if version >= 3:
        sealed["syncd_ids"] = ("adopted",)
    for table, booleans in sealed.items():
        for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings():  # noqa: S608  # a fixed name
            plain = [
                (key, bool(row[key]) if key in booleans else row[key]) for key in sorted(map(str, row)) if key != "seal"
            ]
            if row["seal"] != zlib.crc32(repr(plain).encode("utf-8", "surrogatepass")):
                raise ValueError("seal")


def _seal(connection: Connection) -> None:
    """Every row's checksum, over the columns of today; the tables are today's by now."""
    for table in (tables.records, tables.paths, tables.mounts, tables.ids):
        rows = [dict(row) for row in connection.execute(select(table)).mappings()]
        upsert(connection, table, [sealed(row) for row in rows])


def _keep_decisions(connection: Connection) -> None:
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


def _judge_by_reference(connection: Connection) -> None:
    """To 7: what was judged of a value names its reference. What was judged without one is judged anew."""
    for statement in (
        "DROP TABLE syncd_facts",
        """CREATE TABLE syncd_facts (
            site VARCHAR(200) NOT NULL, name VARCHAR(64) NOT NULL, digest VARCHAR(8) NOT NULL, ref TEXT NOT NULL,
            version TEXT NOT NULL, fault TEXT NOT NULL, PRIMARY KEY (site, name, digest))""",
    ):
        connection.exec_driver_sql(statement)


def _count_and_index(connection: Connection) -> None:
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


def _keep_sites_apart(connection: Connection) -> None:
    """To 9: a pause of a target is of its site, and its end is told; what sites were called has a table of its own;
    the history has the time of both clocks.

    Pauses of before hold for the target's name.
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


def _remember_whose(connection: Connection) -> None:
    """To 10: the row tells that somebody else's change was found and left at Wix, and that a look-up wrote its mark."""
    for statement in (
        "ALTER TABLE syncd_records ADD COLUMN theirs BOOLEAN NOT NULL DEFAULT FALSE",
        "ALTER TABLE syncd_records ADD COLUMN remarked BOOLEAN NOT NULL DEFAULT FALSE",
        """UPDATE syncd_records SET theirs = TRUE WHERE status = 'contested' OR EXISTS (
            SELECT 1 FROM syncd_audit_findings AS found WHERE found.stream = syncd_records.site
            AND found.job = syncd_records.job AND found.name = syncd_records.name AND found.event = 'drift.found')""",
    ):
        connection.exec_driver_sql(statement)


STEPS: tuple[Callable[[Connection], None], ...] = (
    _add_seals,
    _follow_ids,
    _bind_grants,
    _keep_an_audit_trail,
    _keep_decisions,
    _judge_by_reference,
    _count_and_index,
    _keep_sites_apart,
    _remember_whose,
)
"""Migrations, each in the SQL of its time: the first leads from schema version 1 to 2, and so on."""
CURRENT = 1 + len(STEPS)


def schema_version(connection: Connection) -> int:
    """Of the ledger as it is now; 0 where there is none."""
    if not inspect(connection).has_table(tables.meta.name):
        return 0
    version = connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == "schema_version")).scalar()
    return int(version or 0)


def _refuse_foreign(connection: Connection, place: str) -> None:
    if connection.dialect.name != "sqlite":
        return
    ours = connection.exec_driver_sql("PRAGMA application_id").scalar()
    if ours == APPLICATION_ID:
        # Rows have checksums of their own, so the pages are looked at, and not whether each index has each row.
        broken = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if broken != "ok":
            raise LedgerError(
                f"the ledger {place} is damaged",
                hint=DAMAGED,
            )
    elif ours or inspect(connection).get_table_names():
        raise LedgerError(
            f"{place} is another program's database", hint="name another `state.path`; it was not touched"
        )


def migrate(engine: Engine, place: str, backup: Path | None) -> None:
    """Bring the schema to this version, with a copy of an older file kept beside it.

    Raises `LedgerError` for a damaged file, another program's, or one from a newer syncd.
    """
    with translated(place):
        with engine.connect() as connection, undamaged(place):
            _refuse_foreign(connection, place)
            version = schema_version(connection)
            out_of_step = version == CURRENT and words.is_out_of_step(connection)
        if version == CURRENT:
            if out_of_step:
                # One that may only be looked at is searched as it is.
                with (
                    suppress(DBAPIError),
                    engine.connect().execution_options(writes=True) as connection,
                    connection.begin(),
                ):
                    words.index_anew(connection)
            return
        if version > CURRENT:
            raise LedgerError(
                f"the ledger {place} has schema {version}, this syncd knows {CURRENT}",
                hint="run the newer syncd that wrote it; it was not touched",
            )
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":  # one at a time, as SQLite's writers are
                connection.execute(select(func.pg_advisory_xact_lock(APPLICATION_ID)))
            version = schema_version(connection)  # another process may have been quicker
            if version == 0:
                tables.metadata.create_all(connection)
                install(connection)
                words.install(connection)
            else:
                # Before anything is changed: the copy is what an older syncd goes back to.
                if version < CURRENT and backup is not None:
                    _copy(engine, backup.with_name(f"{backup.name}.v{version}.bak"))
                # Looked at before the steps: their new seals would make a damaged row look whole.
                with undamaged(place):
                    _see_that_rows_are_whole(connection, version)
                for step in STEPS[version - 1 :]:
                    step(connection)
                _seal(connection)
            _note_version(connection, fresh=version == 0)


def _copy(engine: Engine, copy: Path) -> None:
    # It gets its name once it is whole: a kill leaves no half of a backup.
    with engine.connect() as connection, draft_in(copy.parent) as draft:
        raw = connection.connection.driver_connection
        target = sqlite3.connect(draft)
        raw.backup(target)  # type: ignore[union-attr]  # the driver's own connection: sqlite3's
        target.close()
        publish(draft, copy)


def _note_version(connection: Connection, *, fresh: bool) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    value = str(CURRENT)
    if fresh and schema_version(connection) == 0:
        connection.execute(tables.meta.insert().values(key="schema_version", value=value))
    else:
        connection.execute(update(tables.meta).where(tables.meta.c.key == "schema_version").values(value=value))
