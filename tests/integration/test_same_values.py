"""Which secrets have one value: by reference, so that one secret on a hundred sites is not a hundred."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from syncd.domain import Record, SecretRef
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger


def row(site: str, name: str, path: str, value: str | None, field: str | None = "f") -> Record:
    ref = SecretRef(source="v", path=path, field=field)
    return Record(
        site=site, target=site, job="j", name=name, remote_id=f"{site}-{name}", version="1", ref=ref, fingerprint=value
    )


def test_what_has_one_value(tmp_path: Path) -> None:
    ledger = Ledger(sqlite_engine(tmp_path / "state.db"), "here", tmp_path / "state.db")
    for site in ("one", "two"):
        with ledger.lock(site, holder="me", wait=timedelta(0)) as journal:
            journal.write(
                put=[
                    row(site, "FLEET", "p/fleet", "f1"),
                    row(site, "A", "p/a", "f2" if site == "one" else "f3"),
                    row(site, "B", "p/b", "f2" if site == "one" else "f4"),
                    row(site, "FIELD", "p/x", "f5", "one" if site == "one" else "two"),
                    row(site, "WHOLE", "p/whole", "f6", None if site == "one" else "f"),
                    row(site, "UNREAD", "p/unread", None),
                ]
            )
    of_several = {("one", "A"), ("one", "B"), *((site, name) for site in ("one", "two") for name in ("FIELD", "WHOLE"))}
    found = ledger.same_values(of_one_reference=False)
    assert found.keys() == of_several and found["one", "A"] == found["one", "B"] != found["one", "FIELD"]
    assert ledger.same_values().keys() == of_several | {("one", "FLEET"), ("two", "FLEET")}
    ledger.close()
