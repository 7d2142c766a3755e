"""The audit trail of what commands do: no request without its line, every line with who and why."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from syncd.domain.audit import Entry
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from tests.lab import Bao, Lab
from tests.support.wix_people import changed_by_hand

VERBS = {"POST": "secret.create", "PATCH": "secret.update", "DELETE": "secret.delete"}


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in range(4):
        bao.put(f"aud/s{number}", v="1")
    rule = {"path": f"{bao.mount}/aud/*"}
    lab.job("job", "vault", rule, deletion_policy="delete", deletion_grace="0s", guard={"max_deletes": 9})
    return lab


def trail(lab: Lab, *words: str) -> list[dict[str, Any]]:
    done = lab.run("audit", "export", *words)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def told(lines: list[dict[str, Any]], event: str, outcome: str | None = None) -> list[str]:
    return [line["name"] for line in lines if (line["event"], line["outcome"]) == (event, outcome)]


def test_every_request_has_its_intent_and_one_end(job: Lab, bao: Bao) -> None:
    assert job.run("sync").code == 0
    bao.put("aud/s0", v="2")
    bao.remove("aud/s3")
    job.wix.fault("503", "PATCH")
    job.run("sync")
    job.run("sync")
    job.config["jobs"]["job"]["secrets"][0]["exclude"] = ["s1"]
    job.run("state", "forget", "s1_v", "--delete", "--reason", "left behind")
    lines = trail(job)
    for method, event in VERBS.items():
        intents = {line["seq"] for line in lines if line["event"] == event and line["outcome"] == "intent"}
        ends = [line["intent"] for line in lines if line["event"] == event and line["outcome"] != "intent"]
        assert intents and sorted(ends) == sorted(intents), event
        assert len(intents) >= job.wix.count(method) - (1 if method == "PATCH" else 0)
    created = next(line for line in lines if line["event"] == "secret.create" and line["outcome"] == "done")
    assert created["request_id"] and created["remote_id"] and created["to"] == "1" and created["run"]
    assert created["config"] == lines[1]["detail"]["digest"]
    assert "v" not in {line["detail"].get("value") for line in lines}
    assert job.run("audit", "verify").code == 0


def test_an_idle_cycle_and_a_look_write_nothing(job: Lab) -> None:
    assert job.run("sync").code == 0
    before = len(trail(job))
    for words in (("sync",), ("plan",), ("status",), ("explain", "s1_v"), ("state", "list"), ("audit", "show")):
        job.run(*words)
    assert len(trail(job)) == before


def test_a_line_says_who_and_why(job: Lab, bao: Bao) -> None:
    claimed = ("--as", "ann", "--commit", "abc123")
    assert job.run("sync", options=claimed).code == 0
    assert job.run("state", "freeze", "s0_v", "--until", "3d", "--reason", "shop relaunch", options=claimed).code == 0
    assert job.run("state", "thaw", "s0_v").code == 0
    assert job.run("state", "forget", "s1_v").code == 0
    lines = trail(job)
    created = [line for line in lines if line["event"] == "secret.create"]
    assert all(line["actor"]["kind"] == "person" and "ann (claimed by " in line["actor"]["id"] for line in created)
    assert {line["actor"]["via"] for line in created} == {"syncd sync"} and {line["commit"] for line in created} == {
        "abc123"
    }
    frozen = next(line for line in lines if line["event"] == "secret.frozen")
    assert (frozen["stream"], frozen["name"], frozen["reason"]) == ("control", "s0_v", "shop relaunch")
    assert told(lines, "secret.thawed") == ["s0_v"] and told(lines, "secret.forgotten") == ["s1_v"]
    thawed = next(line for line in lines if line["event"] == "secret.thawed")
    assert thawed["reason"] is None and "ann" not in thawed["actor"]["id"]
    assert told(lines, "config.loaded") == [None], "one configuration, one line"
    job.config["jobs"]["job"]["deletion_grace"] = "1s"
    job.run("sync")
    assert told(trail(job), "config.loaded") == [None, None]


def test_a_killed_process_leaves_an_intent_that_ends_as_unknown(job: Lab) -> None:
    process = job.popen("sync")
    job.wix.fault("reset_after", "POST", on=lambda: os.kill(process.pid, signal.SIGKILL))
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    open_before = [line for line in trail(job) if line["outcome"] == "intent"]
    assert open_before and all(line["outcome"] in {"intent", None} for line in trail(job))
    assert job.run("sync").code == 0
    lines = trail(job)
    ends = {line["intent"]: line["outcome"] for line in lines if line["outcome"] not in {None, "intent"}}
    assert {ends[line["seq"]] for line in open_before} == {"unknown"}
    assert sorted(ends) == sorted(line["seq"] for line in lines if line["outcome"] == "intent")
    assert len(job.site.values()) == 4 and job.run("audit", "verify").code == 0


def test_drift_has_a_line_when_it_is_found_and_when_it_ends(job: Lab) -> None:
    job.config["jobs"]["job"]["drift_policy"] = "report"
    assert job.run("sync").code == 0
    changed_by_hand(job, "s2_v")
    for _ in range(3):
        job.run("sync")
    assert told(trail(job), "drift.found") == ["s2_v"]
    job.config["jobs"]["job"]["drift_policy"] = "restore"
    job.run("sync")
    job.run("sync")
    lines = trail(job)
    assert told(lines, "drift.found") == ["s2_v"] and told(lines, "finding.ended") == ["s2_v"]


def test_probes_have_their_lines(job: Lab) -> None:
    assert job.run("check", "--probe", "shop").code == 0
    lines = trail(job)
    for method, event in VERBS.items():
        assert len(told(lines, event, "intent")) == job.wix.count(method) > 0, event
    assert sum(line["outcome"] == "intent" for line in lines) == sum(line["intent"] is not None for line in lines)


def test_what_was_altered_is_named(job: Lab) -> None:
    done = job.run("sync")
    (heads,) = [event["audit_heads"] for event in done.events if event["event"] == "cycle.finished"]
    log = job.folder / "log"
    log.write_text(done.err)
    assert job.run("audit", "verify", "--heads", str(log)).code == 0
    with sqlite3.connect(job.state) as ledger:
        stream = next(name for name in heads if name != "control")
        last = heads[stream][0]
        ledger.execute("DELETE FROM syncd_audit WHERE stream = ? AND seq = ?", (stream, last))
        kept = ledger.execute(
            "SELECT hash FROM syncd_audit WHERE stream = ? AND seq = ?", (stream, last - 1)
        ).fetchone()
        ledger.execute("UPDATE syncd_audit_heads SET seq = ?, hash = ? WHERE stream = ?", (last - 1, *kept, stream))
    ledger.close()
    blind = job.run("audit", "verify")
    assert blind.code == 0 and "cut off" in blind.err
    # A log that is written to at this moment ends in the middle of a line.
    for cut in ('{"job": "job", "audit_he', '{"stream": "control"', "{"):
        (job.folder / "open-log").write_text(done.err + cut)
        told = job.run("audit", "verify", "--heads", str(job.folder / "open-log"))
        assert told.code == 7 and "is not whole" in told.err
    (job.folder / "few").write_text(json.dumps({"stream": "control", "seq": 1, "hash": control_hash(job)}))
    few = job.run("audit", "verify", "--heads", str(job.folder / "few"), "--json")
    assert few.code == 0 and few.json["tail_judged"] is False and stream in few.err
    log.write_text("syncd: a line for people\n" + log.read_text())
    seen = job.run("audit", "verify", "--heads", str(log), "--json")
    assert seen.code == 7 and f"stream {stream}, line {last} was removed" in seen.err
    assert seen.json["breaks"] == [{"stream": stream, "seq": last, "what": "was removed"}]


@pytest.mark.parametrize("way", ["as shipped", "set anew", "sorted"])
def test_a_copy_that_was_altered_is_named(job: Lab, way: str) -> None:
    """The lines that a sink got are judged themselves: each seals what it says."""
    sink = job.folder / "audit.jsonl"
    job.config["audit"] = {"file": str(sink)}
    assert job.run("sync").code == 0
    lines = [json.loads(text) for text in sink.read_text().splitlines()]
    text = {
        "as shipped": sink.read_text(),
        "set anew": "".join(json.dumps(line) + "\n" for line in lines),
        "sorted": "".join(json.dumps(line, sort_keys=True, indent=None) + "\n" for line in lines),
    }[way]
    copy = job.folder / "copy"
    copy.write_text(text)
    assert job.run("audit", "verify", "--heads", str(copy)).code == 0
    for key, value in (
        ("outcome", "refused"),
        ("actor", {"kind": "person", "id": "eve", "via": ""}),
        ("name", "OTHER"),
    ):
        altered = [dict(line) for line in lines]
        altered[2][key] = value
        copy.write_text("".join(json.dumps(line) + "\n" for line in altered))
        told = job.run("audit", "verify", "--heads", str(copy))
        where = f"{copy}, line 3: line {lines[2]['seq']} of stream {lines[2]['stream']} was altered there"
        assert told.code == 7 and where in told.err and "as they were written" in told.out, told.err


@pytest.mark.sweep
@pytest.mark.parametrize(
    "words",
    [("show",), ("show", "--json"), ("show", "--event", "secret.create"), ("export",), ("export", "--format", "csv")],
)
def test_an_altered_line_is_not_shown_as_if_it_were_whole(job: Lab, words: tuple[str, ...]) -> None:
    assert job.run("sync").code == 0
    assert job.run("audit", *words).code == 0
    with sqlite3.connect(job.state) as ledger:
        where = "event = 'secret.create' AND outcome = 'done'"
        stream, seq, text = ledger.execute(f"SELECT stream, seq, line FROM syncd_audit WHERE {where}").fetchone()
        altered = {**json.loads(text), "name": "another"}
        sealed_form = json.dumps(altered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        ledger.execute("UPDATE syncd_audit SET line = ? WHERE stream = ? AND seq = ?", (sealed_form, stream, seq))
    ledger.close()
    done = job.run("audit", *words)
    assert "another" in done.out
    assert done.code == 7 and f"line {seq} of stream {stream}" in done.err and "syncd audit verify" in done.err
    # What holds none of it is shown as before.
    assert job.run("audit", "show", "--event", "config.loaded").code == 0


def control_hash(lab: Lab) -> str:
    return next(line["hash"] for line in trail(lab) if (line["stream"], line["seq"]) == ("control", 1))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1]",
        '{"stream": "s", "seq": 1e999, "hash": "x"}',
        '{"a":' * 9999,
        '{"hash": "x"}',
        '{"audit_heads": 7}',
        "\x00",
    ],
)
def test_a_file_without_heads_is_refused(job: Lab, content: str) -> None:
    (job.folder / "heads").write_text(content)
    done = job.run("audit", "verify", "--heads", str(job.folder / "heads"))
    assert done.code == 3 and "heads" in done.err and "bug" not in done.err


def test_lines_are_filtered_and_exported(job: Lab) -> None:
    assert job.run("sync").code == 0
    shown = job.run("audit", "show", "--name", "s1_v", "--site", "shop", "--json").json
    assert [line["outcome"] for line in shown] == ["intent", "done"]
    assert job.run("audit", "show", "--event", "secret.*", "--job", "job").out.count("s1_v") == 2
    assert job.run("audit", "show", "--site", "shpo").code == 3
    assert job.run("audit", "show", "--since", "yesterday").code == 3
    assert trail(job, "--until", "2020-01-01") == []
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    for day in (today, today.replace("-", "")):
        assert len(trail(job, "--since", day, "--until", day)) == len(trail(job)), "a day is meant as a whole"
    rows = list(csv.DictReader(io.StringIO(job.run("audit", "export", "--format", "csv", "--since", "1h").out)))
    assert len(rows) == len(trail(job)) and rows[-1]["seq"]
    assert job.run("audit", "export", "--format", "xml").code == 3


@pytest.mark.parametrize("words", [("--as", ""), ("--as", "a\nb"), ("--commit", "x" * 201)])
def test_who_and_what_are_one_line(job: Lab, words: tuple[str, str]) -> None:
    assert job.run("sync", options=words).code == 3


@pytest.mark.long
def test_the_environment_does_not_say_who_somebody_is(job: Lab) -> None:
    assert job.spawn("sync", LOGNAME="ceo", USER="ceo", SYNCD_COMMIT="abc").code == 0
    lines = trail(job)
    assert not [line for line in lines if "ceo" in line["actor"]["id"]] and lines[-1]["commit"] == "abc"


def test_each_limit_has_a_line_of_its_own_and_its_end(job: Lab, bao: Bao) -> None:
    assert job.run("sync").code == 0
    job.config["jobs"]["job"]["guard"] = {"max_deletes": 0, "max_creates": 0}
    bao.remove("aud/s0")
    assert job.run("sync").code == 6
    bao.put("aud/new", v="1")
    assert job.run("sync").code == 6
    assert told(trail(job), "limit.withheld") == ["delete", "create"]
    bao.put("aud/s0", v="1")
    job.run("sync")
    ended = [line["name"] for line in trail(job) if line["event"] == "finding.ended"]
    assert "delete" in ended and "create" not in ended


def test_a_plan_that_is_applied_is_named(job: Lab) -> None:
    file = str(job.folder / "plan.json")
    job.run("plan", "--out", file)
    assert job.run("apply", file).code == 0
    plans = {line["plan"] for line in trail(job) if line["event"] == "secret.create"}
    assert len(plans) == 1 and None not in plans


@pytest.mark.parametrize("words", [("--since", "0001-01-01T00:00+14:00"), ("--until", "9999-12-31T23:59-14:00")])
def test_a_time_beyond_the_calendar_is_said(job: Lab, words: tuple[str, str]) -> None:
    assert job.run("audit", "show", *words).code == 3


def test_who_was_named_is_found(job: Lab) -> None:
    assert job.run("sync", options=("--as", "ann")).code == 0
    assert job.run("audit", "show", "--actor", "ann").out.count("secret.create") == 8
    assert job.run("audit", "show", "--actor", "an").out.count("secret.create") == 0
    machine = job.run("audit", "show", "--event", "secret.create", "--json").json[0]["actor"]["id"]
    machine = machine.partition("claimed by ")[2].rstrip(")")
    for name in (machine, machine.partition("@")[0]):
        assert job.run("audit", "show", "--actor", name).out.count("secret.create") == 8, "who claimed it is found, too"


def test_what_is_taken_back_has_its_line(job: Lab) -> None:
    assert job.run("sync").code == 0 and job.run("state", "forget", "s1_v").code == 0
    assert job.run("sync").code == 0
    assert told(trail(job), "secret.adopted") == ["s1_v"]


def test_a_name_and_its_line_change_together(job: Lab) -> None:
    assert job.run("sync").code == 0
    with sqlite3.connect(job.state) as ledger:
        ledger.execute(
            "CREATE TRIGGER t BEFORE INSERT ON syncd_audit WHEN NEW.event = 'owner.renamed' BEGIN SELECT RAISE(ABORT, ''); END"
        )
    ledger.close()
    job.config["owner"] = "other"
    assert job.run("state", "rename-owner", "lab", "other").code == 7
    job.config["owner"] = "lab"
    assert job.run("status").code == 0, "it is still the old one"


def test_a_restore_says_what_it_found_and_that_it_undid_it(job: Lab) -> None:
    assert job.run("sync").code == 0
    changed_by_hand(job, "s2_v")
    assert job.run("sync").code == 0 and job.run("sync").code == 0
    lines = [line["event"] for line in trail(job) if line["name"] == "s2_v"][2:]
    assert lines == ["drift.found", "secret.update", "secret.update", "drift.restored"]


def test_a_period_whose_lines_were_removed_is_told(job: Lab) -> None:
    assert job.run("sync").code == 0
    whole = json.loads(job.run("report", "--evidence", "1h..").out)["questions"]
    assert whole["q3"]["answer"]["complete"] is True and not whole["q8"]["answer"]["pruned"]
    detail = {"lines": 3, "until": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    ledger = Ledger(sqlite_engine(job.state), str(job.state), job.state)
    ledger.audit.note(Entry(event="audit.pruned", detail=detail))
    ledger.close()
    told = json.loads(job.run("report", "--evidence", "1h..").out)["questions"]
    assert told["q3"]["answer"]["complete"] is False and "removed by audit.keep" in told["q3"]["answer"]["missing"]
    assert told["q8"]["answer"]["pruned"][0]["lines"] == 3


@pytest.mark.sweep
@pytest.mark.parametrize("seq", [3, 7])
@pytest.mark.parametrize("said", ["nothing", "of another stream", "with another hash"])
def test_the_oldest_lines_cannot_be_removed_unseen(job: Lab, seq: int, said: str) -> None:
    """A checkpoint counts where a line of the trail vouches for it: anybody could write a row."""
    assert job.run("sync").code == 0
    with closing(sqlite3.connect(job.state)) as here, here:
        (digest,) = here.execute(
            "SELECT hash FROM syncd_audit WHERE stream = ? AND seq = ?", (job.site_id, seq)
        ).fetchone()
        here.execute("DELETE FROM syncd_audit WHERE stream = ? AND seq <= ?", (job.site_id, seq))
        here.execute("INSERT INTO syncd_audit_checkpoints VALUES (?, ?, ?)", (job.site_id, seq, digest))
    if said != "nothing":
        vouched = {"control": [seq, digest]} if said == "of another stream" else {job.site_id: [seq, "0" * 64]}
        ledger = Ledger(sqlite_engine(job.state), str(job.state), job.state)
        detail = {"lines": seq, "until": "2026-01-01T00:00:00Z", "checkpoints": vouched}
        ledger.audit.note(Entry(event="audit.pruned", detail=detail))
        ledger.close()
    verified = job.run("audit", "verify")
    assert verified.code == 7 and f"stream {job.site_id}, line {seq} and all before it were removed" in verified.err
    assert job.run("report", "--evidence", "1h..").json["questions"]["q3"]["answer"]["complete"] is False


def test_old_heads_say_nothing_of_what_came_after(job: Lab, bao: Bao, tmp_path: Path) -> None:
    assert job.run("sync").code == 0
    heads = tmp_path / "heads"
    heads.write_text(json.dumps(kept_heads(job)))
    newest = job.run("audit", "verify", "--heads", str(heads), "--json")
    assert newest.code == 0 and newest.json["tail_judged"] is True, newest.err
    bao.put("aud/s1", v="later")
    assert job.run("sync").code == 0
    older = job.run("audit", "verify", "--heads", str(heads), "--json")
    assert older.code == 0 and older.json["tail_judged"] is False and "what followed line" in older.err


def kept_heads(lab: Lab) -> dict[str, object]:
    """As `cycle.finished` in the log has them."""
    ledger = Ledger(sqlite_engine(lab.state), str(lab.state), lab.state)
    found = {stream: list(head) for stream, head in ledger.audit_heads().items()}
    ledger.close()
    return {"event": "cycle.finished", "audit_heads": found}


def test_what_rules_asked_for_is_in_the_trail(job: Lab) -> None:
    """The file changes, and with it whom a rule left alone; an auditor asks about the day before."""
    left = {"name": "LEGACY_*", "until": "2099-03-01", "reason": "moved with the relaunch"}
    job.config["rules"] = [{"id": "short", "min_length": 16, "path": "*/app/**", "then": "warn", "except": [left]}]
    job.run("sync")
    job.config["rules"][0] |= {"min_length": 8, "except": []}
    job.run("sync")
    first, second = [line["detail"] for line in trail(job) if line["event"] == "config.loaded"][-2:]
    assert first["checks"] == {"short": {"path": ["*/app/**"], "min_length": 16}}
    assert first["exceptions"] == {"short": [left | {"name": ["LEGACY_*"]}]}
    assert second["checks"]["short"]["min_length"] == 8 and second["exceptions"] == {}


def test_several_events_are_asked_for_at_once(job: Lab) -> None:
    assert job.run("sync").code == 0
    lines = job.run("audit", "show", "--event", "secret.create", "--event", "config.*", "--json").json
    assert {line["event"] for line in lines} == {"secret.create", "config.loaded"}


@pytest.mark.parametrize("command", ["show", "export"])
@pytest.mark.parametrize(
    ("since", "until"), [("2026-12-13", "2026-12-12"), ("1h", "2h"), ("20261213", "2026-12-01T08:00Z")]
)
def test_a_time_that_ends_before_it_begins_is_told(job: Lab, command: str, since: str, until: str) -> None:
    done = job.run("audit", command, "--since", since, "--until", until)
    assert done.code == 3 and f"--until {until} is not after --since {since}" in done.err and not done.out
