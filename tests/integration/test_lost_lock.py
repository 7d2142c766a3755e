"""A site's lock that is lost with its database connection: nothing more is sent, and nothing on an old listing."""

from __future__ import annotations

import secrets
import time
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text

from syncd.errors import LedgerError
from syncd.ledger.postgres import postgres_engine
from syncd.ledger.store import Ledger
from tests.lab import Bao, Lab
from tests.support.policies import DELETING
from tests.support.postgres import emptied
from tests.support.waiting import until

NAMES = [f"s{number}" for number in range(8)]
SLOW = "4/6s"


def eight_gone(lab: Lab, bao: Bao) -> None:
    """Eight secrets that are due for deletion, and one that stays."""
    lab.vault(bao)
    for name in [*NAMES, "keep"]:
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    assert lab.run("sync").code == 0
    lab.config["targets"]["shop"]["rate_limit"] = SLOW
    for name in NAMES:
        bao.remove(f"app/{name}")


@pytest.mark.long
def test_without_the_lock_nothing_is_sent(lab: Lab, bao: Bao, postgres: str) -> None:
    emptied(postgres)
    lab.config["state"] = {
        "url": {"file": str(lab.secret_file("url", postgres))},
        "fingerprint_key": {"file": str(lab.secret_file("key", secrets.token_hex(32)))},
    }
    eight_gone(lab, bao)
    first = lab.popen("sync")
    until(lambda: lab.wix.count("DELETE") >= 2, 60)
    engine = create_engine(postgres.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:  # a failover, an idle timeout, an administrator
        held = text("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
        for (session,) in connection.execute(held).all():
            connection.execute(text("SELECT pg_terminate_backend(:session)"), {"session": session})
        connection.commit()
    engine.dispose()
    for name in NAMES:
        bao.put(f"app/{name}", v="1")
    lab.config["targets"]["shop"]["rate_limit"] = "5000/1s"
    assert lab.settle().code == 0 and len(lab.site.secrets) == 9
    seen = len(lab.wix.seen)
    _, said = first.communicate(timeout=90)
    assert [one.method for one in lab.wix.seen[seen:] if one.method != "GET"] == []
    assert first.returncode == 7 and "lock of site" in said, said
    assert set(lab.site.values()) == set(lab.statuses()) and set(lab.statuses().values()) == {"synced"}


def test_a_lock_that_is_lost_within_a_write_is_told_as_that(postgres: str) -> None:
    emptied(postgres)
    ledger = Ledger(postgres_engine(postgres), "in PostgreSQL", None)
    with (
        pytest.raises(LedgerError, match="lock of site s was lost"),
        ledger.lock("s", holder="test", wait=timedelta(0)) as journal,
        journal._transaction() as connection,
    ):
        own = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with ledger.reading() as other:
            other.execute(text("SELECT pg_terminate_backend(:session)"), {"session": own})
        connection.execute(text("SELECT 1"))
    ledger.close()


@pytest.mark.long
def test_a_deletion_that_would_wait_for_the_rate_limit_is_looked_at_anew(lab: Lab, bao: Bao) -> None:
    eight_gone(lab, bao)
    process = lab.popen("sync")
    until(lambda: lab.wix.count("DELETE") >= 2, 60)
    for secret_id in sorted(one.id for one in lab.site.secrets.values() if one.name != "keep_v"):
        lab.site.update(secret_id, {"value": "HAND-MADE"})
    changed = time.time()
    process.communicate(timeout=90)
    late = [one.at - changed for one in lab.wix.seen if one.method == "DELETE" and one.at > changed + 1]
    assert "HAND-MADE" in lab.site.values().values() and late == []


@pytest.mark.long
def test_a_lock_file_that_is_removed_is_a_lock_that_is_lost(lab: Lab, bao: Bao) -> None:
    eight_gone(lab, bao)
    first = lab.popen("sync")
    until(lambda: lab.wix.count("DELETE") >= 2, 60)
    for file in lab.state.parent.glob("*.lock"):  # somebody tidies up
        file.unlink()
    for name in NAMES:
        bao.put(f"app/{name}", v="1")
    lab.config["targets"]["shop"]["rate_limit"] = "5000/1s"
    assert lab.settle().code == 0 and len(lab.site.secrets) == 9
    seen = len(lab.wix.seen)
    _, said = first.communicate(timeout=90)
    assert [one.method for one in lab.wix.seen[seen:] if one.method != "GET"] == []
    assert first.returncode == 7 and "lock of site" in said, said
