"""Places in the rate limit of a site, and sites that are not ready."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from syncd.errors import LedgerError
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.request_quota import Quota, RequestRate
from syncd.ledger.store import Ledger
from tests.lab import Bao, Lab
from tests.support.waiting import until


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


def test_a_site_that_is_not_ready(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    bao.put("app/a", v="1")
    lab.site.options.members_area = False
    result = lab.run("sync")
    assert result.code == 5 and "Members Area" in result.err
    lab.site.options.members_area = True
    assert lab.run("sync").code == 0


def test_odd_dates_are_no_dates() -> None:
    from datetime import timedelta as span

    from syncd.domain.untrusted import instant
    from syncd.targets.wix.http import _window

    for text in ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "soon", None, 5):
        assert instant(text) is None
    for text in ("Mon, 01 Jan 99999 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "x", ""):
        assert _window(text, span(seconds=1)) is None


def test_no_place_in_the_quota_before_it_is_committed(lab: Lab) -> None:
    """Threads that are served together share a failing commit: none of them may send."""
    engine = sqlite_engine(lab.state)
    Ledger(engine, str(lab.state), lab.state)
    quota = Quota(
        engine, "here", RequestRate(site="s", limit=100, window=timedelta(minutes=1)), lambda: datetime.now(UTC)
    )
    failing = [True]

    @event.listens_for(engine, "commit")
    def _(_connection: Any) -> None:
        if failing[0]:
            raise sqlite3.OperationalError("database or disk is full")

    told: list[object] = []

    def ask() -> None:
        try:
            told.append(quota.take()[0])
        except LedgerError as error:
            told.append(error)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    with quota._turn:  # one slow thread at the ledger: the others gather
        for thread in threads:
            thread.start()
        until(lambda: len(quota._asking) == 20)
    for thread in threads:
        thread.join()
    assert len(told) == 20 and all(isinstance(one, LedgerError) for one in told), "all at once, none with a place"
    failing[0] = False
    assert quota.take()[0]
    engine.dispose()


def test_an_id_that_is_listed_twice_is_given_away_once(lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the ledger lost, and both names wanted: the rest of the job goes on."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    for name in "abc":
        bao.put(f"app/{name}", v=name)
    assert lab.run("sync").code == 0
    for path in lab.state.parent.glob("state.db*"):
        path.unlink()
    honest, ids = lab.site.listing, lab.ids()

    def twice() -> dict[str, object]:
        told: Any = honest()
        for one in told["secrets"]:
            one["id"] = ids["a_v"] if one["name"] == "b_v" else one["id"]
        return told

    monkeypatch.setattr(lab.site, "listing", twice)
    bao.put("app/c", v="new")
    done = lab.run("sync")
    assert done.code in {1, 5} and lab.site.values()["c_v"] == "new", done.out + done.err
    monkeypatch.undo()
    assert lab.settle().code == 0 and lab.ledger() == lab.ids() == ids
