"""Steps to the schemas 2 to 5, each as the SQL of its time."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC, datetime

from sqlalchemy import Connection, text


def add_seals(connection: Connection) -> None:
    """To 2: a column for a checksum in each row; the rows get theirs at the end."""
    for table in ("syncd_records", "syncd_paths", "syncd_mounts"):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN seal BIGINT")


def follow_ids(connection: Connection) -> None:
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


def bind_grants(connection: Connection) -> None:
    """To 4: a grant names the id it was given for. Older grants are dropped, to be given anew.

    None of them lasts longer than a day.
    """
    for statement in (
        "DELETE FROM syncd_grants",
        "ALTER TABLE syncd_grants ADD COLUMN remote_id VARCHAR(64) NOT NULL DEFAULT ''",
        "ALTER TABLE syncd_grants ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
    ):
        connection.exec_driver_sql(statement)


def keep_an_audit_trail(connection: Connection) -> None:
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
