"""`state export --full` and `state import`: to another place, to PostgreSQL; nothing is lost, doubled or leaked."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from syncd.domain import LostWrite
from syncd.ledger.decisions import JUMPED_BY
from tests.lab import Bao, Lab
from tests.support.postgres import emptied


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    lab.config["state"]["fingerprint_key"] = {"file": str(lab.secret_file("key", secrets.token_hex(32)))}
    for number in range(4):
        bao.put(f"app/s{number}", v=f"value {number}")
    lab.site.create({"name": "taken", "value": "by hand", "description": ""})
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, {"path": f"{bao.mount}/app/s0", "name": "taken"})
    assert lab.run("sync").code == 1
    assert lab.run("state", "freeze", "s1_v", "--until", "3d", "--reason", "x").code == 0
    return lab


def moved(job: Lab, kind: str, postgres: str | None) -> Path:
    export = job.folder / "ledger.json"
    export.write_text(job.run("state", "export", "--full").out)
    if kind == "postgres":
        assert postgres is not None
        emptied(postgres)
        job.config["state"] = {
            "url": {"file": str(job.secret_file("url", postgres))}, "fingerprint_key": job.config["state"]["fingerprint_key"],
        }  # fmt: skip
    else:
        job.config["state"]["path"] = str(job.folder / "elsewhere" / "state.db")
    return export


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_ledger_that_moved_goes_on_as_it_was(job: Lab, bao: Bao, kind: str, request: pytest.FixtureRequest) -> None:
    listed, seen = job.run("state", "list", "--json").json, len(job.wix.seen)
    export = moved(job, kind, request.getfixturevalue("postgres") if kind == "postgres" else None)
    assert job.run("state", "import", str(export)).code == 0
    assert job.run("state", "list", "--json").json == listed
    assert job.run("sync").code == 1, "the conflict is still one"
    assert [one.method for one in job.wix.seen[seen:]] == ["GET"], "nothing is written or read again"
    bao.put("app/s2", v="rotated")
    bao.put("app/s1", v="rotated")
    job.run("sync")
    assert job.site.values()["s2_v"] == "rotated" and job.site.values()["s1_v"] == "value 1", "frozen is frozen"
    assert len(job.site.created_ids) == 5
    assert "create: done" in job.run("explain", "s0_v").out, "its history came along"


def test_it_leaves_no_fingerprint_and_refuses_a_ledger_that_is_in_use(job: Lab) -> None:
    import sqlite3

    job.rewrite(lambda record: replace(record, lost_writes=(LostWrite(datetime.now(UTC), str(record.fingerprint)),)))
    connection = sqlite3.connect(job.state)
    fingerprints = [row[0] for row in connection.execute("SELECT fingerprint FROM syncd_records") if row[0]]
    connection.close()
    text = job.run("state", "export", "--full").out
    assert (
        len(fingerprints) == 4
        and "lost_writes" in text
        and not any(one in text for one in fingerprints)
        and "value 1" not in text
    )
    export = job.folder / "ledger.json"
    export.write_text(text)
    before = job.run("state", "export", "--full").out
    done = job.run("state", "import", str(export))
    assert done.code == 7 and "holds something already" in done.err
    assert job.run("state", "export", "--full").out == before


def spoil_value(content: Any) -> None:
    content["tables"]["syncd_records"][0]["adopted"] = "yes"


def spoil_column(content: Any) -> None:
    content["tables"]["syncd_records"][1]["other"] = 1


def spoil_table(content: Any) -> None:
    del content["tables"]["syncd_paths"]


def spoil_time(content: Any) -> None:
    content["tables"]["syncd_runs"][0]["finished_at"] = 10**40


def spoil_calendar(content: Any) -> None:
    content["tables"]["syncd_runs"][0]["finished_at"] = 2**61


def spoil_owner(content: Any) -> None:
    content["owner"] = "somebody"


def spoil_former_owners(content: Any) -> None:
    content["facts"] = {"former_owners": '["lab", 7]'}


def spoil_clock(content: Any) -> None:
    content["facts"] = {JUMPED_BY: "soon"}


def spoil_jump(content: Any) -> None:
    content["facts"] = {JUMPED_BY: "9" * 18}


def spoil_facts(content: Any) -> None:
    content["facts"] = {"owner": "somebody"}


def spoil_rows(content: Any) -> None:
    content["tables"]["syncd_runs"] = 5


def spoil_rows_away(content: Any) -> None:
    content["tables"]["syncd_records"] = None


def spoil_schema(content: Any) -> None:
    content["schema"] = 2


@pytest.mark.sweep
@pytest.mark.parametrize(
    "spoil",
    [
        spoil_value,
        spoil_column,
        spoil_table,
        spoil_time,
        spoil_calendar,
        spoil_owner,
        spoil_former_owners,
        spoil_clock,
        spoil_jump,
        spoil_facts,
        spoil_rows,
        spoil_rows_away,
        spoil_schema,
    ],
    ids=lambda one: one.__name__,
)
def test_what_is_no_export_changes_nothing(job: Lab, spoil: Any) -> None:
    export = moved(job, "sqlite", None)
    content = json.loads(export.read_text())
    spoil(content)
    export.write_text(json.dumps(content))
    done = job.run("state", "import", str(export))
    assert done.code == 3 and done.err.count("fix") == 1
    assert job.run("state", "list", "--json").json == []


@pytest.mark.sweep
@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": "syncd-ledger/1"}', "[" * 100_000])
def test_what_is_no_json(job: Lab, text: str) -> None:
    moved(job, "sqlite", None)
    file = job.folder / "odd.json"
    file.write_text(text)
    assert job.run("state", "import", str(file)).code == 3
    assert job.run("state", "import", str(job.folder / "nowhere")).code == 3


@pytest.mark.sweep
@pytest.mark.parametrize("names", [1, 2], ids=["one move", "two moves"])
def test_marks_with_a_name_of_before_are_ours_after_the_move(job: Lab, bao: Bao, names: int) -> None:
    job.wix.fault("504_after", "PATCH", times=1000)
    moves = {1: [("lab", "third")], 2: [("lab", "second"), ("second", "third")]}
    for before, after in moves[names]:
        job.config["owner"] = after
        assert job.run("state", "rename-owner", before, after).code == 0
        if after != "third":
            job.run("sync")
    job.wix.faults.clear()
    export = moved(job, "sqlite", None)
    assert job.run("state", "import", str(export)).code == 0
    bao.put("app/s2", v="rotated")
    for _ in range(2):
        said = job.run("sync")
        assert said.code == 1 and "handed over" not in said.out, "the conflict of before alone"
    assert job.site.values()["s2_v"] == "rotated"


def test_a_value_that_changed_while_it_moved_is_found_by_the_verification(job: Lab, bao: Bao) -> None:
    job.config["jobs"]["job"]["verify_every"] = "1s"
    export = moved(job, "sqlite", None)
    assert job.run("state", "import", str(export)).code == 0
    job.run("sync")
    assert [one.method for one in job.wix.seen if one.method == "PATCH"] == [], "compared, and the same"


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59Z", "9999-12-31", "2100-01-01"])
def test_what_may_be_written_may_be_moved(job: Lab, until: str) -> None:
    name = next(iter(job.ledger()))
    assert job.run("state", "freeze", name, "--until", until, "--reason", "for good").code == 0
    assert job.run("state", "import", str(moved(job, "sqlite", None))).code == 0
    assert job.statuses()[name] == "frozen"
