"""The report and the auditor's evidence on a seeded world; nothing of a value or a fingerprint in any of it."""

from __future__ import annotations

import csv
import io
import json
import secrets
import shutil
import sqlite3
from array import array
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.domain.audit import Entry
from syncd.domain.windows import Window, Windows
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from syncd.report.evidence import write_evidence
from syncd.report.governance import governance_now
from syncd.report.parts import Chosen
from syncd.report.population import Population
from syncd.report.questions import _missed
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock
from tests.support.policies import closed
from tests.support.wix_people import changed_by_hand

SECRET = "canary-value-7f3a-that-nobody-may-see"


@pytest.fixture
def world(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/a", v=SECRET)
    bao.put("app/b", v=SECRET)
    bao.put("app/weak", v="tiny")
    bao.root.secrets.kv.v2.update_metadata("app/a", mount_point=bao.mount, custom_metadata={"owner": "shop-team"})
    lab.site.create({"name": "LEGACY", "value": SECRET})
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.config["targets"]["shop"]["labels"] = {"env": "prod"}
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    lab.config["rules"] = [
        {"id": "weak", "min_length": 8, "then": "deny"},
        {"id": "twice", "duplicate": {"across": "names"}, "then": "warn"},
        {"id": "ours", "unmanaged": True, "then": "warn"},
        {"id": "old", "max_age": "90d", "then": "warn"},
        {
            "id": "owned",
            "require": {"owner": True},
            "then": "warn",
            "except": [{"name": "b_v", "until": tomorrow, "reason": "=cmd"}],
        },
    ]
    assert lab.run("sync", options=("--commit", "abc123")).code == 1
    changed_by_hand(lab, "a_v")
    assert lab.run("sync").code == 1
    return lab


def test_every_form_says_the_same_and_no_value(world: Lab) -> None:
    found = world.run("report", "--format", "json").json
    assert {row["name"]: (row["owner"], row["status"]) for row in found["secrets"]} == {
        "a_v": ("shop-team", "synced"), "b_v": (None, "synced"),
    }  # fmt: skip
    assert {(row["rule"], row["name"]) for row in found["rules"]} == {("weak", "weak_v"), ("owned", "weak_v")}
    assert [(row["name"], row["status"]) for row in found["never_arrived"]] == [("weak_v", "denied")]
    assert [row["name"] for row in found["duplicates"]] == ["a_v", "b_v"]
    assert [row["name"] for row in found["unmanaged"]] == ["LEGACY"]
    assert [row["name"] for row in found["drift"]] == ["a_v"] and found["drift"][0]["ended_at"]
    assert [(row["rule"], row["state"]) for row in found["exceptions"]] == [("owned", "holds")]
    texts = [world.run("report", "--format", form).out for form in ("table", "json", "csv", "md", "html")]
    texts.append(world.run("report", "--evidence", "1h..").out)
    for text in texts:
        assert SECRET not in text and "a_v" in text.replace("\\_", "_")
        for fingerprint in fingerprints(world):
            assert fingerprint not in text


def fingerprints(lab: Lab) -> list[str]:
    from syncd.ledger.engine import sqlite_engine
    from syncd.ledger.store import Ledger

    ledger = Ledger(sqlite_engine(lab.state), "lab", lab.state)
    found = [str(record.fingerprint) for record in ledger.records()]
    ledger.close()
    return found


def test_filters(world: Lab) -> None:
    for words in (("--site", "shop"), ("--job", "job"), ("--label", "env=prod"), ("--site", world.site_id)):
        assert len(world.run("report", "--format", "json", *words).json["secrets"]) == 2
    for words in (
        ("--label", "env=prd"),  # a slip would read as "all is well"
        ("--part", "drift"),
        ("--site", "nowhere"),
        ("--job", "nobody"),
        ("--label", "env"),
        ("--format", "xls"),
        ("--evidence", "x"),
        ("--evidence", "1h..2h"),
    ):
        assert world.run("report", *words).code == 3, words


def test_a_spreadsheet_takes_no_cell_for_a_formula(world: Lab, bao: Bao) -> None:
    world.config["jobs"]["job"]["secrets"][0]["name"] = "-{path}_{field}"
    world.run("sync")
    rows = list(csv.DictReader(io.StringIO(world.run("report", "--format", "csv").out)))
    assert rows and all(not row["name"].startswith(("-", "=", "+", "@")) for row in rows)


def test_the_page_counts_what_an_exception_leaves_alone(world: Lab) -> None:
    with App(load(world.config_file)) as app:
        told = {one.rule.id: (one.count, one.excepted) for one in governance_now(app, Chosen()).rules}
    assert told == {"weak": (1, 0), "twice": (2, 0), "ours": (1, 0), "old": (0, 0), "owned": (1, 1)}


def test_the_evidence_answers_every_question_and_agrees_with_the_trail(world: Lab) -> None:
    evidence = json.loads(world.run("report", "--evidence", "1h..").out)
    assert list(evidence["questions"]) == [f"q{number}" for number in range(1, 18)]
    assert evidence["of"]["owner"] == "lab" and evidence["of"]["targets"] == {"shop": world.site_id}
    assert datetime.now(UTC) - datetime.fromisoformat(evidence["made_at"]) < timedelta(minutes=5)
    dated = {key for key, one in evidence["questions"].items() if one.get("as_of") == evidence["made_at"]}
    assert dated == {"q1", "q8", "q10", "q12", "q14", "q15"}, "what is answered for now is not passed off as of then"
    said = {key: one["answer"] for key, one in evidence["questions"].items()}
    assert said["q3"]["count"] == len(evidence["changes"]) == 3 and said["q12"]["found"] and said["q14"]
    assert "1 of 3" not in str(said["q4"]) and "2 of 3 name a commit" in said["q4"]["agreed by another"]
    assert said["q7"]["chains"]["breaks"] == [] and said["q13"]["counts"]["restored"] == 1
    assert said["q17"] == "not recorded" and [key for key, answer in said.items() if answer == "not recorded"] == [
        "q17"
    ]
    assert len(evidence["changes"]) == world.writes() and all(change["request_id"] for change in evidence["changes"])
    assert {change["remote_id"] for change in evidence["changes"]} == {world.ids()["a_v"], world.ids()["b_v"]}
    assert world.run("report", "--evidence", "2020-01-01..2020-02-01").code == 0


@pytest.mark.parametrize("how", ["moved", "lost"])
def test_a_trail_that_begins_within_the_period_is_not_called_complete(lab: Lab, bao: Bao, how: str) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    asked = ("report", "--evidence", "1h..")
    assert lab.run(*asked).json["questions"]["q3"]["answer"]["complete"] is True
    if how == "moved":
        export = lab.folder / "export.json"
        export.write_text(lab.run("state", "export", "--full").out)
        lab.config["state"] = {"path": str(lab.folder / "new" / "state.db")}
        assert lab.run("state", "import", str(export)).code == 0
    else:
        shutil.rmtree(lab.state.parent)
    lab.run("sync")
    answer = lab.run(*asked).json["questions"]["q3"]["answer"]
    assert answer["complete"] is False and "moved or rebuilt" in answer["begins"]


@pytest.mark.sweep
@pytest.mark.parametrize("how", ["moved", "lost", "new"])
def test_a_period_from_before_the_trail_is_not_called_complete(lab: Lab, bao: Bao, how: str) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    if how != "new":
        assert lab.run("sync").code == 0
    if how == "moved":
        file = lab.folder / "export.json"
        file.write_text(lab.run("state", "export", "--full").out)
    if how in {"moved", "lost"}:
        lab.config["state"] = {"path": str(lab.folder / "another" / "state.db")}
    if how == "moved":
        assert lab.run("state", "import", str(file)).code == 0
    assert lab.run("sync").code == 0
    told = lab.run("report", "--evidence", "2026-01-01..2026-01-31").json["questions"]["q3"]["answer"]
    assert told["complete"] is False and told["count"] == 0 and "begins at" in told["begins"]


def test_a_broken_chain_is_not_called_complete(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    with closing(sqlite3.connect(lab.state)) as ledger, ledger:
        ledger.execute("UPDATE syncd_audit SET at = at - 86400000000 WHERE event = 'secret.create'")
    told = lab.run("report", "--evidence", "1h..").json["questions"]["q3"]["answer"]
    assert told["complete"] is False and "q7" in told["broken"]


def test_who_could_release_when_the_period_began_is_told(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    for name in ("bob", "alice"):
        lab.secret_file(name, secrets.token_hex(16))
        token = {"name": name, "token": {"file": str(lab.folder / name)}, "may": ["read", "release"]}
        lab.config["server"] = {"listen": "127.0.0.1:9", "tokens": [token]}
        assert lab.run("sync").code == 0
        if name == "bob":
            begins = datetime.now(UTC)
    asked = f"{begins:%Y-%m-%dT%H:%M:%S.%fZ}.."
    told = lab.run("report", "--evidence", asked).json["questions"]["q2"]["answer"]
    assert [list(one["tokens"]) for one in told] == [["bob"], ["alice"]]


def test_rotations_are_counted_as_they_arrived(lab: Lab, bao: Bao) -> None:
    """Neither a first arrival, nor a restore, nor a rollback is one; each rotation of the period counts."""
    lab.vault(bao)
    for name in "ab":
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, objective="1h")
    begins = datetime.now(UTC)
    assert lab.run("sync").code == 0
    for value in "23":
        bao.put("app/a", v=value)
        assert lab.run("sync").code == 0
    changed_by_hand(lab, "b_v")
    assert lab.run("sync").code == 0
    assert lab.run("rollback", "a_v", "--to", "1", "--reason", "leak").code == 0
    asked = f"{begins - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}.."
    told = lab.run("report", "--evidence", asked).json["questions"]["q11"]["answer"]
    assert told["rotations"] == 2 and told["objective"]["job"] == {
        "promised": "1:00:00",
        "missed": 0,
        "misses it now": {},
    }
    assert told["not there"] == [], "what is rolled back is there as it was asked for"
    assert (
        lab.run("report", "--evidence", "2026-01-01..2026-01-31").json["questions"]["q11"]["answer"]["rotations"] == 0
    )


def test_an_outage_of_the_sink_is_told_of_each_period_that_it_reaches_into(world: Lab) -> None:
    with App(load(world.config_file)) as app:
        now = app.runtime.clock()
        for days, event, sink in (
            (-38, "audit.unshipped", "a"),
            (-20, "audit.unshipped", "b"),
            (-10, "audit.shipped", "a"),
        ):
            app.ledger.audit._clock = lambda days=days: now + timedelta(days=days)
            app.ledger.audit.note(Entry(event=event, detail={"sink": sink}))

    def told(first: int, last: int) -> set[str]:
        asked = "..".join(f"{now + timedelta(days=day):%Y-%m-%d}" for day in (first, last))
        answer = world.run("report", "--evidence", asked).json["questions"]["q9"]["answer"]
        return {f"{row['sink']} {row['event']}" for row in answer["behind for more than five minutes"]}

    assert told(-60, -45) == set()
    assert told(-35, -25) == {"a audit.unshipped"}
    assert told(-15, -12) == {"a audit.unshipped", "b audit.unshipped"}
    assert told(-15, -5) == {"a audit.unshipped", "a audit.shipped", "b audit.unshipped"}
    assert told(-5, -2) == {"b audit.unshipped"}, "that one never got them"


def test_drift_of_another_time_is_not_told(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    changed_by_hand(lab, "a_v")
    assert lab.run("sync").code == 0
    now = lab.run("report", "--evidence", "1h..").json["questions"]["q13"]["answer"]
    then = lab.run("report", "--evidence", "2026-01-01..2026-01-31").json["questions"]["q13"]["answer"]
    assert len(now["drift"]) == 1 and then == {"counts": {}, "drift": []}


def test_what_was_never_sent_has_no_age(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for name in "abc":
        bao.put(f"app/{name}", v="1")
    bao.put("app/other", w="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.config["rules"] = [
        {"id": "no", "name": "b_v", "then": "deny"},
        {"id": "old", "name": "*_v", "max_age": "1d", "then": "warn",
         "except": [{"name": "c_v", "until": f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}", "reason": "x"}]},
    ]  # fmt: skip
    lab.run("sync")
    with machine_clock(lab, timedelta(days=3)) as app:
        out = io.StringIO()
        write_evidence(app, datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC), out)
    told = json.loads(out.getvalue())["questions"]["q10"]["answer"]
    assert [row["name"] for row in told["older"]] == ["a_v"] and told["of"] == 2
    assert told["without a stated period"] == 1
    assert [row["name"] for row in told["excepted"]] == ["c_v"]


@pytest.mark.parametrize("line", ["cut", "another text", "no line at all"])
def test_evidence_of_a_trail_that_was_altered_can_be_read_and_says_so(lab: Lab, bao: Bao, line: str) -> None:
    lab.vault(bao)
    for name in ("a", "b"):
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    altered = {"cut": "substr(line, 1, 40)", "another text": "replace(line, 'a_v', 'x_v')", "no line at all": "'odd'"}
    with closing(sqlite3.connect(lab.state)) as connection, connection:
        connection.execute(f"update syncd_audit set line = {altered[line]} where name = 'a_v' and outcome = 'done'")
    today = datetime.now(UTC).date()
    done = lab.run("report", "--evidence", f"{today - timedelta(days=1)}..{today + timedelta(days=1)}")
    assert done.code == 7, done.err
    told = json.loads(done.out)
    assert done.code == 7 and "in the audit trail" in done.err
    assert len(told["changes"]) == 2 and told["chains"]["breaks"]


def test_what_waited_for_its_window_or_a_pause_kept_its_objective(lab: Lab, bao: Bao) -> None:
    """A day is judged by the hours in which it might have been sent."""
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, objective="1h")
    assert lab.run("sync").code == 0
    with App(load(lab.config_file)) as app:
        now = app.runtime.clock()
        population = Population()
        begin = now - timedelta(hours=5)
        population.arrivals["job", "shop"] = array("d", [begin.timestamp(), now.timestamp()])
        population.arrived["job", "shop"] = ["a_v"]
        job = app.runtime.jobs["job"]
        assert _missed(app, job, timedelta(hours=1), population) == 1
        shut = replace(job, windows=Windows(allow=tuple(map(Window.parse, closed()))))
        assert _missed(app, shut, timedelta(hours=1), population) == 0
        for name in ("a_v", "other"):
            app.ledger.audit._clock = lambda: begin + timedelta(minutes=5)
            detail = {"until": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
            site = app.site_of("shop")
            app.ledger.audit.note(Entry(event="secret.frozen", name=name, site=site, detail=detail))
            population.arrived["job", "shop"] = [name]
            assert _missed(app, job, timedelta(hours=1), population) == 0
        population.arrived["job", "shop"] = ["never frozen"]
        app.ledger.decisions._clock = lambda: begin + timedelta(minutes=5)
        app.ledger.decisions.pause("job", "job", begin + timedelta(minutes=30), "x")
        # Nobody has told yet that it ran out; and when somebody does, it ended long before.
        app.ledger.decisions._clock = lambda: now
        app.ledger.decisions.tell_what_ran_out()
        assert _missed(app, job, timedelta(hours=1), population) == 1
        app.ledger.decisions._clock = lambda: begin + timedelta(minutes=35)
        app.ledger.decisions.pause("target", "shop", begin + timedelta(minutes=45), "x")
        app.ledger.decisions._clock = lambda: begin + timedelta(hours=2)
        app.ledger.decisions.pause("target", "shop", None, "x")
        assert _missed(app, job, timedelta(hours=1), population) == 1, "nobody told of the end of the first one"
        app.ledger.decisions._clock = lambda: begin + timedelta(minutes=50)
        app.ledger.decisions.pause("all", "", None, "x")
        assert _missed(app, job, timedelta(hours=1), population) == 0


@pytest.mark.parametrize(
    "words",
    [*(("--format", form) for form in ("table", "json", "md", "html")), ("--format", "csv", "--part", "drift"), ("--evidence", "1h..")],
    ids=" ".join,
)  # fmt: skip
def test_drift_that_lasts_for_longer_than_lines_are_kept(lab: Lab, bao: Bao, words: tuple[str, ...]) -> None:
    lab.vault(bao)
    bao.put_all("app/a", {"older": "1", "newer": "1", "other": "1"})
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, drift_policy="report")
    assert lab.run("sync").code == 0
    changed_by_hand(lab, "a_older")
    lab.run("sync")
    bao.put_all("app/a", {"older": "1", "newer": "1", "other": "2"})
    lab.run("sync")
    ledger = Ledger(sqlite_engine(lab.state), "lab", lab.state, lambda: datetime.now(UTC) + timedelta(days=3))
    assert ledger.audit.prune(timedelta(days=1), None)
    ledger.close()
    changed_by_hand(lab, "a_newer")
    lab.run("sync")
    done = lab.run("report", *words)
    assert done.code == 0, done.err
    said = done.out.replace("\\", "")
    assert "a_older" in said and "a_newer" in said
    if words == ("--format", "json"):
        assert {row["name"]: bool(row["found_at"]) for row in done.json["drift"]} == {"a_older": False, "a_newer": True}
    if words[0] == "--evidence":
        shown = done.json["questions"]["q13"]["answer"]["drift"]
        assert [(row["name"], row["ended_at"]) for row in shown] == [("a_newer", None), ("a_older", None)]
    with App(load(lab.config_file)) as app:
        rows = governance_now(app, Chosen()).drift.rows
    assert [row["name"] for row in rows] == ["a_newer", "a_older"], "the newest first"


@pytest.mark.parametrize("ends", ["2h ahead", "a year ahead", "today", "9999-12-31"])
def test_a_period_that_is_not_over_is_not_called_complete(world: Lab, ends: str) -> None:
    now = datetime.now(UTC)
    until = {
        "2h ahead": f"{now + timedelta(hours=2):%Y-%m-%dT%H:%MZ}",
        "a year ahead": f"{now + timedelta(days=365):%Y%m%d}",
        "today": f"{now:%Y-%m-%d}",
    }.get(ends, ends)
    answer = world.run("report", "--evidence", f"1h..{until}").json["questions"]["q3"]["answer"]
    assert answer["complete"] is False and "ends after this file was made" in answer["not over"]
    assert world.run("report", "--evidence", "1h..").json["questions"]["q3"]["answer"]["complete"] is True
