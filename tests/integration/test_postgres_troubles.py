"""A PostgreSQL that becomes a standby, has a narrow encoding, or refuses: what is said, and what is done after it."""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.ledger import bounded_connection
from syncd.reconcile.run_job import Run, sync_job
from tests.lab import Bao, Lab
from tests.support.postgres import emptied
from tests.support.seals import seal_of


@contextmanager
def database(postgres: str, encoding: str) -> Iterator[str]:
    """A database of its own with this encoding."""
    name = f"d_{secrets.token_hex(4)}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        try:
            yield postgres.rpartition("/")[0] + f"/{name}"
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def using(lab: Lab, url: str) -> None:
    lab.config["state"] = {
        "url": {"file": str(lab.secret_file("url", url))},
        "fingerprint_key": {"file": str(lab.secret_file("key", secrets.token_hex(32)))},
    }


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/a", v="1")
    bao.put("app/ключ-🔑", v="2")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "K_{field}_{n}", "field": "v"})
    lab.config["jobs"]["job"]["secrets"] = [
        {"path": f"{bao.mount}/app/a", "field": "v", "name": "A"},
        {"path": f"{bao.mount}/app/ключ-🔑", "field": "v", "name": "B"},
    ]
    return lab


def test_a_failover_costs_no_more_than_a_cycle(job: Lab, bao: Bao, postgres: str) -> None:
    with database(postgres, "UTF8") as url, psycopg.connect(postgres, autocommit=True) as admin:
        using(job, url)
        name = url.rpartition("/")[2]
        with App(load(job.config_file)) as app:

            def cycle() -> int:
                run = Run(holder="test", wait=timedelta(seconds=5))
                (report,) = sync_job(app.runtime, app.runtime.jobs["job"], run)
                return report.exit_code

            assert cycle() == 0
            admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            bao.put("app/a", v="new")
            assert cycle() == 7 and job.site.values()["A"] == "1"
            admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            cycle()
            assert cycle() == 0 and job.site.values()["A"] == "new"


@pytest.mark.parametrize(("encoding", "code"), [("UTF8", 0), ("SQL_ASCII", 0), ("LATIN1", 7), ("EUC_JP", 7)])
def test_every_name_can_be_kept_or_none_is(job: Lab, postgres: str, encoding: str, code: int) -> None:
    with database(postgres, encoding) as url:
        using(job, url)
        done = job.run("sync")
        assert done.code == code, done.err
        if code:
            assert f"encoding {encoding}" in done.err and "ENCODING 'UTF8'" in done.err and not job.writes()
        else:
            assert set(job.statuses()) == {"A", "B"} and job.run("status").code == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("/postgres", "/not_there"), "no such database"),
        (("syncd@", "nobody-there:planted-password@"), "refuses the user"),
        (("127.0.0.1", "127.0.0.2"), "no connection"),
        (("/postgres", "/postgres?sslmode=verify-full"), "no connection"),
    ],
)
def test_why_it_cannot_be_used_is_said(job: Lab, postgres: str, change: tuple[str, str], said: str) -> None:
    using(job, postgres.replace(*change))
    for words in (("sync",), ("check", "--connect"), ("status",)):
        done = job.run(*words)
        assert done.code == 7 and said in done.err + done.out, (words, done.err, done.out)
        assert "planted" not in done.err + done.out


@pytest.mark.parametrize("url", ["mysql://u@h/d", "postgresql://", "nothing", "postgresql://u@h:port/d"])
def test_check_sees_an_address_that_is_none(job: Lab, url: str) -> None:
    using(job, url)
    done = job.run("check")
    assert done.code == 7 and "is no PostgreSQL address" in done.out + done.err


def test_the_whole_cycle_on_a_database_that_was_emptied(job: Lab, postgres: str) -> None:
    emptied(postgres)
    using(job, postgres)
    assert job.run("sync").code == 0 and job.run("sync").code == 0


BEFORE = """
DROP TABLE syncd_aliases; DROP TABLE syncd_news; DROP TABLE syncd_pauses;
ALTER TABLE syncd_history DROP COLUMN noted_at;
ALTER TABLE syncd_records DROP COLUMN theirs, DROP COLUMN remarked;
CREATE TABLE syncd_pauses (
    scope VARCHAR(8) NOT NULL, name VARCHAR(200) NOT NULL, at BIGINT NOT NULL, until BIGINT, by TEXT NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (scope, name));
INSERT INTO syncd_pauses VALUES ('target', 'shop', 1, NULL, 'ann', 'freeze of 100 % of it');
INSERT INTO syncd_meta VALUES ('alias 1', '["first", "second"]'), ('news 1', '5'), ('alike', 'stays');
UPDATE syncd_meta SET value = '8' WHERE key = 'schema_version'
"""
"""The schema of version 8, with what people decided under it."""


def test_a_ledger_of_before_is_brought_up_to_date(job: Lab, postgres: str) -> None:
    with database(postgres, "UTF8") as url:
        using(job, url)
        assert job.run("sync").code == 0
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(BEFORE)
            rows = admin.cursor(row_factory=dict_row).execute("SELECT * FROM syncd_records").fetchall()
            for row in rows:
                # A checksum over the columns of its time.
                admin.execute("UPDATE syncd_records SET seal = %s WHERE name = %s", (seal_of(row), row["name"]))
        result = job.run("sync")
        assert "target shop is paused" in result.out and "100 % of it" in result.out, result.err
        assert job.run("resume", "--target", "shop").code == 0 and job.run("sync").code == 0
        with psycopg.connect(url) as seen:
            assert seen.execute("SELECT old, site FROM syncd_aliases").fetchall() == [("first", "second")]
            kept = dict(seen.execute("SELECT key, value FROM syncd_meta").fetchall())
        assert kept["alike"] == "stays" and not {"alias 1", "news 1"} & kept.keys()
        assert job.run("audit", "verify").code == 0


def test_a_server_that_takes_no_writes_is_told_as_that(job: Lab, postgres: str) -> None:
    """Not as a lock that was lost: there was none yet."""
    with database(postgres, "UTF8") as url, psycopg.connect(postgres, autocommit=True) as admin:
        using(job, url)
        assert job.run("sync").code == 0
        admin.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
        done = job.run("sync")
        assert done.code == 7 and "takes no writes" in done.err and "lost" not in done.err, done.err


class Gate:
    """Stands before a server, and can let what old connections say go nowhere: nobody is told, as of a lost machine."""

    def __init__(self, port: int) -> None:
        self._port, self._shut, self._open = port, 0, list[socket.socket]()
        self._listens = socket.create_server(("127.0.0.1", 0))
        self.port = self._listens.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_all(self) -> None:
        self._shut = len(self._open)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listens.accept()
                there = socket.create_connection(("127.0.0.1", self._port))
                number = len(self._open)
                self._open += [here, there]
                for source, sink in ((here, there), (there, here)):
                    threading.Thread(target=self._pump, args=(source, sink, number), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, number: int) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if number >= self._shut:
                    sink.sendall(data)
            if number >= self._shut:
                sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for one in (self._listens, *self._open):
            one.close()


@pytest.mark.parametrize("when", ["before a cycle", "before a look", "in the middle of a push"])
def test_a_server_that_is_gone_without_a_word_holds_nothing(
    job: Lab, bao: Bao, postgres: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Its old connections are dead, and new ones reach the server that took its place."""
    monkeypatch.setattr(bounded_connection, "SECONDS", 1.0)
    with database(postgres, "UTF8") as url, closing(Gate(int(url.rpartition(":")[2].partition("/")[0]))) as gate:
        using(job, re.sub(r":\d+/", f":{gate.port}/", url))
        with App(load(job.config_file)) as app:

            def cycle() -> int:
                run = Run(holder="test", wait=timedelta(seconds=5))
                (report,) = sync_job(app.runtime, app.runtime.jobs["job"], run)
                return report.exit_code

            def lose_all() -> None:
                gate.lose_all()
                # What a lost machine held is lost with it, its locks as well.
                with psycopg.connect(postgres, autocommit=True) as admin:
                    name = (url.rpartition("/")[2],)
                    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name)

            assert cycle() == 0
            bao.put("app/a", v="new")
            if when == "in the middle of a push":
                job.wix.fault("slow", "PATCH", times=1, on=lose_all)
                assert cycle() == 7, "the lock went with its connection"
            else:
                lose_all()
            if when == "before a look":
                assert len(app.ledger.records()) == 2
            assert cycle() == 0 and job.site.values()["A"] == "new"
