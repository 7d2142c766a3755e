"""What commands say where people go wrong, or look for something: true, and with the next step."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from syncd.cli.app import run
from syncd.sandbox.wix_server import BASE
from tests.lab import Bao, Lab

pytestmark = pytest.mark.kind


@pytest.fixture
def synced(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for name in "xy":
        bao.put(f"app/{name}", v=f"value-{name}")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, deletion_policy="delete", deletion_grace="0s")
    assert lab.run("sync").code == 0
    return lab


@pytest.mark.parametrize("words", [("status",), ("state", "list")])
@pytest.mark.parametrize(("option", "meant"), [("--job", "jib"), ("--target", "shap"), ("--target", "nowhere")])
def test_a_filter_that_names_nothing(synced: Lab, words: tuple[str, ...], option: str, meant: str) -> None:
    result = synced.run(*words, option, meant)
    assert result.code == 3 and f"there is no {option[2:]} {meant}" in result.err
    assert "the " + option[2:] + "s are" in result.err and result.out == ""
    assert synced.run(*words, "--job", "job", "--target", "shop").code == 0


def test_a_filter_by_a_job_that_is_gone_but_left_something(synced: Lab, bao: Bao) -> None:
    synced.config["jobs"] = {"other": synced.config["jobs"]["job"] | {"secrets": [{"path": f"{bao.mount}/none/*"}]}}
    assert "x_v" in synced.run("state", "list", "--job", "job").out


@pytest.mark.parametrize("until", ["2020-01-01", "2026-01-01T10:00Z", "0s"])
def test_a_freeze_that_has_ended_before_it_begins(synced: Lab, until: str) -> None:
    result = synced.run("state", "freeze", "x_v", "--until", until, "--reason", "r")
    assert result.code == 3 and "has passed already" in result.err and "safeguard" not in result.err


def test_a_thaw_of_what_is_not_frozen(synced: Lab) -> None:
    assert "x_v on shop is not frozen" in synced.run("state", "thaw", "x_v").err
    assert synced.run("state", "freeze", "x_v", "--until", "3d", "--reason", "r").code == 0
    assert synced.run("state", "thaw", "x_v").code == 0 and synced.statuses()["x_v"] != "synced"
    assert synced.run("sync").code == 0 and synced.statuses()["x_v"] == "synced"


def test_an_override_is_logged_once_it_overrides(synced: Lab) -> None:
    refused = synced.run("state", "forget", "x_v", "--delete", "--reason", "gone")
    assert refused.code == 6 and not [one for one in refused.events if one["event"] == "safeguard.overridden"]
    synced.config["jobs"]["job"]["secrets"][0]["exclude"] = [
        synced.config["jobs"]["job"]["secrets"][0]["path"][:-1] + "x"
    ]
    done = synced.run("state", "forget", "x_v", "--delete", "--reason", "gone")
    assert done.code == 0 and [one["reason"] for one in done.events if one["event"] == "safeguard.overridden"] == [
        "gone"
    ]


def test_a_deleted_name_still_has_its_history(synced: Lab, bao: Bao) -> None:
    bao.remove("app/x")
    assert synced.run("sync", "--allow-deletes", "1", "--reason", "r").code == 0 and "x_v" not in synced.ids()
    told = synced.run("explain", "x_v")
    assert told.code == 0 and "not in the ledger any more" in told.out and "delete: " in told.out
    assert synced.run("explain", "x_v", "--json").json["history"][0]["action"] == "delete"


def test_the_version_at_the_source_is_the_one_that_is_there(synced: Lab, bao: Bao) -> None:
    bao.put("app/x", v="newer")
    lines = {line.split("  ")[1].strip(): line.split()[-1] for line in synced.run("explain", "x_v").out.splitlines()
             if line.startswith("  version")}  # fmt: skip
    assert lines == {"version at Wix": "1", "version at source": "2"}


def test_what_a_rule_leaves_out_by_tags_is_told_so(lab: Lab, aws_url: str) -> None:
    import boto3

    client = boto3.client(
        "secretsmanager", region_name="eu-west-1", endpoint_url=aws_url,
        aws_access_key_id="lab", aws_secret_access_key="lab-generated",
    )  # fmt: skip
    client.create_secret(Name=f"{lab.site_id}/a", SecretString="value", Tags=[{"Key": "team", "Value": "b"}])
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": f"{lab.site_id}/*", "tags": {"team": "a"}})
    assert "its rule takes only what has the tags team=a" in lab.run("explain", f"{lab.site_id}/a").out


def test_explain_on_one_target(synced: Lab) -> None:
    synced.config["targets"]["outlet"] = synced.target(f"{synced.site_id}-2", "wix-key")
    synced.config["jobs"]["job"]["targets"] = ["shop", "outlet"]
    assert "outlet" not in synced.run("explain", "x_v", "--target", "shop").out
    assert synced.run("explain", "x_v", "--target", "shap").code == 3


def test_troubles_say_where(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/empty", v="")
    other = str(uuid.uuid4())
    lab.secret_file("key-2", lab.wix.issue_key(other))
    lab.config["targets"]["outlet"] = lab.target(other, "key-2")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, targets=["shop", "outlet"])
    lab.run("sync")
    rows = [line.split() for line in lab.run("status").out.splitlines() if line.startswith("quarantined")]
    assert sorted(row[3] for row in rows) == ["outlet", "shop"]
    assert {one["target"] for one in lab.run("status", "--json").json["troubles"]} == {"outlet", "shop"}


def test_an_answer_that_was_lost_is_told_once_and_not_called_failed(synced: Lab, bao: Bao) -> None:
    bao.put("app/x", v="newer")
    synced.wix.fault("reset_after", "PATCH", times=50)
    synced.site.options.may_read = False
    lines = [line for line in synced.run("sync").out.splitlines() if "x_v" in line]
    assert len(lines) == 1
    (trouble,) = synced.run("status", "--json").json["troubles"]
    assert trouble["status"] == synced.statuses()["x_v"] == "unverified" and trouble["ref"]


def test_a_plan_that_is_applied_twice(synced: Lab, bao: Bao) -> None:
    bao.put("app/x", v="newer")
    plan = str(synced.folder / "plan.json")
    assert synced.run("plan", "--out", plan).code == 0 and synced.run("apply", plan).code == 0
    again = synced.run("apply", plan)
    assert again.code == 6 and "the plan was carried out already: x_v" in again.err
    bao.put("app/x", v="newer still")
    synced.run("sync")
    moved = synced.run("apply", plan)
    assert moved.code == 6 and "what the plan touches has moved: x_v" in moved.err, (
        "that version never went by the plan"
    )


@pytest.mark.sweep
@pytest.mark.parametrize("put_back", [True, False])
def test_a_deletion_of_a_kept_plan_is_carried_out_where_it_is_gone(synced: Lab, bao: Bao, put_back: bool) -> None:
    job = synced.config["jobs"]["job"]
    bao.put("app/other", v="1")
    synced.run("sync")
    job.update(deletion_policy="delete", deletion_grace="0s", guard={"max_deletes": 0})
    bao.remove("app/x")
    synced.run("sync")
    job["guard"] = {"max_deletes": 5}
    plan = str(synced.folder / "plan.json")
    assert synced.run("plan", "--out", plan).code == 0
    if put_back:
        bao.put("app/x", v="back")
    synced.run("sync")
    again = synced.run("apply", plan)
    said = "what the plan touches has moved: x_v" if put_back else "the plan was carried out already: x_v"
    assert again.code == 6 and said in again.err and ("x_v" in synced.ids()) is put_back


def test_check_warns_of_a_rule_that_selects_nothing(synced: Lab, bao: Bao) -> None:
    synced.job("other", "vault", {"path": f"{bao.mount}/nothing/*"})
    rows = synced.run("check", "--connect", "--json").json
    assert [row["result"] for row in rows if "selects nothing" in row["seen"]] == ["warning"]
    bao.remove("app/x")
    told = synced.run("plan").out
    assert "could not be listed completely" not in told


def test_values_of_the_chart_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("image: {tag: '1'}\nconfig:\n  owner: team\n")
    assert run(["check", str(values)]) == 3
    assert f"syncd check --values {values}" in capsys.readouterr().err


def test_a_relative_grace_is_told_in_seconds(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/x", v="1")
    bao.put("app/y", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, deletion_policy="delete", deletion_grace="30s")
    lab.run("sync")
    bao.remove("app/x")
    assert "deleted after 30s more" in lab.run("sync").out


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("options/nosite", {"quota": 3}, 404),
        ("options/SITE", {"qouta": 3}, 400),
        ("options/SITE", {"quota": "many"}, 400),
        ("options/SITE", {"dates": 1}, 400),
        ("options/SITE", {"latency": True}, 400),
        ("options/SITE", {"quota": 3, "capacity": None, "latency": 0, "listing_lag": 2}, 200),
    ],
)
def test_options_of_the_sandbox(lab: Lab, path: str, body: dict[str, object], status: int) -> None:
    assert lab.site is not None
    url = f"{lab.wix_url.removesuffix(BASE)}/_sandbox/{path.replace('SITE', lab.site_id)}"
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")
    try:
        with urlopen(request) as answer:
            assert answer.status == status
    except HTTPError as error:
        assert error.code == status
        said = json.loads(error.read())["message"]
        assert "options" in said or lab.site_id in said


@pytest.mark.parametrize("words", [["demo", "--keep"], ["sandbox", "--dir"]])
def test_a_folder_of_servers_that_are_gone(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state.db").write_text("old")
    assert run([*words, str(tmp_path)]) == 3
    assert "servers that are gone" in capsys.readouterr().err


def test_a_port_in_use(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    port = lab.wix_url.removesuffix(BASE).rpartition(":")[2]
    assert run(["sandbox", "--only", "wix", "--port", port]) == 3
    assert f"port {port} cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["audit", "state"])
def test_a_job_may_be_called_as_a_group_of_commands(lab: Lab, bao: Bao, name: str) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job(name, "vault", {"path": f"{bao.mount}/app/*"})
    for words in (("plan", name), ("sync", name)):
        done = lab.run(*words)
        assert done.code == 0 and f"{name} -> shop" in done.out, done.out
    assert lab.site.values() == {"a_v": "1"}
    for words in ((name,), ("--debug", name), (name, "--config", str(lab.config_file))):
        assert "Usage" in lab.run(*words).out, "a group alone shows what there is"


def test_ten_hits_are_no_hits_that_are_none(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for number in range(10):
        bao.put(f"app/s{number}", v=f"value-{number}")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.config["rules"] = [
        {"id": "all", "path": "**", "then": "warn"},
        {"id": "none", "path": "nowhere/**", "then": "warn"},
    ]
    lab.run("sync")
    told = {
        row["what"]: (row["result"], row["seen"])
        for row in lab.run("check", "--json").json
        if row["what"].startswith("rule ")
    }
    assert told["rule all (warn)"] == ("note", "10 hits") and told["rule none (warn)"] == ("ok", "0 hits"), told


def test_a_freeze_finds_its_row_under_a_target_that_has_another_name_now(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    lab.config["targets"]["store"] = lab.config["targets"].pop("shop")
    lab.config["jobs"]["job"]["targets"] = ["store"]
    assert lab.run("state", "freeze", "a_v", "--target", "store", "--until", "1d", "--reason", "x").code == 0
    assert lab.run("state", "thaw", "a_v", "--target", "store").code == 0


@pytest.mark.parametrize("crossed", [False, True], ids=["one", "two that are crossed"])
def test_a_path_that_is_called_as_another_targets_name(synced: Lab, crossed: bool) -> None:
    """Nothing is known of it on that target, and nothing is wrong with the ledger."""
    synced.config["targets"]["outlet"] = synced.target(f"{synced.site_id}-2", "wix-key")
    names = [("KEY", "OTHER"), ("OTHER", "KEY")] if crossed else [("KEY", "KEY")]
    synced.config["sources"]["aws"] = {
        "type": "aws_secrets_manager",
        "region": "eu-west-1",
        "endpoint_url": "http://127.0.0.1:9",
    }
    synced.job("aws", "aws", *({"path": path, "name": name} for path, name in names))
    done = synced.run("explain", "KEY", "--target", "outlet")
    assert done.code == 3 and "damaged" not in done.err and "Traceback" not in done.err, done.err


@pytest.mark.parametrize("option", ["--dry-run", "--dryrun", "-n"])
def test_who_asks_for_a_run_that_sends_nothing_is_led_to_the_plan(lab: Lab, option: str) -> None:
    done = lab.run("sync", option)
    assert done.code == 3 and "syncd plan" in done.err and "--due" not in done.err, done.err


def test_a_slip_of_the_hand_resumes_nothing(synced: Lab) -> None:
    assert synced.run("pause", "job", "--reason", "x").code == 0
    done = synced.run("resume", "jbo")
    assert done.code == 3 and "job" in done.err
    assert synced.run("resume", "job").code == 0 and synced.run("resume", "job").code == 0
    assert "no pause of everything" in synced.run("resume", "--all").out


@pytest.mark.parametrize("day", ["2026-12-32", "2026-13-01", "31.12.2026", "2026-02-30 "])
def test_a_day_that_is_none_is_named_with_its_line(lab: Lab, bao: Bao, day: str) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    excepted = {"name": "X", "until": "DAY", "reason": "x"}
    lab.config["rules"] = [{"id": "one", "job": "job", "then": "warn", "max_age": "90d", "except": [excepted]}]
    text = lab.config_file.read_text().replace("DAY", day).replace(f"'{day}'", day).replace(f'"{day}"', day)
    other = lab.folder / "odd.yaml"
    other.write_text(text)
    done = lab.run("check", options=("--config", str(other)))
    assert done.code == 3 and "until: not a day" in done.err and "odd.yaml:" in done.err, done.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("plan", "--job", "job"), "syncd plan JOB"),
        (("sync", "--job", "job"), "syncd sync JOB"),
        (("where", "--path", "kv/x"), "syncd where PATH"),
        (("release", "--batch", "4498"), "syncd release BATCH"),
    ],
)
def test_what_another_command_has_as_an_option_is_led_to_its_place(lab: Lab, typed: list[str], meant: str) -> None:
    done = lab.run(*typed)
    assert done.code == 3 and f"without {typed[1]}: {meant}" in done.err, done.err


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("job.puased", "did you mean job.paused?"),
        ("secret.deleted", "did you mean secret.delete?"),
        ("nothing.like.it", "there is no event nothing.like.it"),
        ("secret.delete", "docs/audit.md lists the events"),
        ("drift.*", "docs/audit.md lists the events"),
    ],
)
def test_an_event_that_there_is_not_is_told(synced: Lab, event: str, said: str) -> None:
    done = synced.run("audit", "show", "--event", event)
    assert done.code == 0 and said in done.err, done.err
