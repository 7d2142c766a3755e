"""What a hostile tester found once: each stays mended."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from syncd.errors import LedgerError
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.request_quota import Quota
from syncd.ledger.store import Ledger
from syncd.sandbox.wix_site import Refusal
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.waiting import until

DELETING = {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 100}}


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


def test_reading_commands_beside_a_writer_leave_its_journal_alone(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    for number in range(40):
        bao.put(f"app/s{number}", v="x")
    lab.site.options.latency = 0.05
    writer = lab.popen("sync")
    for words in (["status"], ["state", "list"], ["plan"]):
        assert lab.spawn(*words).code in {0, 1}
    open_files = [str(path.readlink()) for path in Path(f"/proc/{writer.pid}/fd").iterdir()]
    assert not [name for name in open_files if "state.db" in name and "deleted" in name]
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    lab.site.options.latency = 0
    assert lab.settle().code == 0
    assert lab.ledger() == lab.ids() and len(lab.site.created_ids) == 40


@pytest.mark.parametrize("new", ["A_{path}", "TAKEN"])
def test_an_old_name_stays_while_its_new_one_cannot_be_made(lab: Lab, bao: Bao, new: str) -> None:
    """A bad name, a collision, somebody else's name: nothing of the old mapping is deleted."""
    vault_job(lab, bao, {"path": "app/**", "name": "OLD_{path}_{field}"}, **DELETING)
    bao.put("app/a", wix="1", v="2")
    bao.put("app/b", v="3")
    lab.site.create({"name": "TAKEN", "value": "theirs"})
    assert lab.run("sync").code == 0
    before = lab.site.values()
    rules(lab)[0]["name"] = "{field}" if new == "A_{path}" else new
    for _ in range(3):
        lab.run("sync")
        assert {name: value for name, value in lab.site.values().items() if name in before} == before


def test_a_name_that_is_still_anothers_does_not_settle_the_move(lab: Lab, bao: Bao) -> None:
    vault_job(
        lab,
        bao,
        {"path": "app/one", "field": "v", "name": "A"},
        {"path": "app/two", "field": "v", "name": "B"},
        **DELETING,
    )
    bao.put("app/one", v="v-one")
    bao.put("app/two", v="v-two")
    lab.run("sync")
    lab.run("state", "freeze", "B", "--reason", "agreed", "--until", "1d")
    rules(lab)[0]["name"], rules(lab)[1]["name"] = "B", "C"
    for _ in range(3):
        lab.run("sync")
    assert "v-one" in lab.site.values().values()


def test_a_mount_put_inside_a_removed_one_is_not_believed(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "pay/*"}, **DELETING)
    bao.put("pay/a", v="1")
    bao.put("pay/b", v="2")
    lab.run("sync")
    before = lab.site.values()
    bao.root.sys.disable_secrets_engine(bao.mount)
    bao.root.sys.enable_secrets_engine("kv", path=f"{bao.mount}/pay", options={"version": "2"})
    bao.root.secrets.kv.v2.create_or_update_secret("z", {"v": "3"}, mount_point=f"{bao.mount}/pay")
    for _ in range(2):
        assert lab.run("sync").code == 4
        assert lab.site.values() == before
    bao.root.sys.disable_secrets_engine(f"{bao.mount}/pay")


def test_another_aws_region_is_another_place(lab: Lab, aws: Any, aws_url: str) -> None:
    import boto3

    for name in ("h/a", "h/b", "h/c"):
        aws.create_secret(Name=name, SecretString="x")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "h/*"}, **DELETING)
    assert lab.run("sync").code == 0
    other = boto3.client(
        "secretsmanager", region_name="us-west-2", endpoint_url=aws_url,
        aws_access_key_id="lab", aws_secret_access_key=AWS_ENVIRON["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    other.create_secret(Name="h/a", SecretString="elsewhere")
    lab.config["sources"]["aws"]["region"] = "us-west-2"
    before = lab.site.values()
    for _ in range(2):
        assert lab.run("sync").code == 4
        assert lab.site.values() == before
    other.delete_secret(SecretId="h/a", ForceDeleteWithoutRecovery=True)
    assert lab.run("state", "remount", "aws", "account").code == 0
    other.close()


@pytest.mark.parametrize("kind", ["reset_after", "reset_before", "503"])
def test_a_lost_deletion_counts_for_the_rolling_day(lab: Lab, bao: Bao, kind: str) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **{**DELETING, "guard": {"max_deletes": 1}})
    for number in range(4):
        bao.put(f"app/s{number}", v="x")
    lab.run("sync")
    for number in range(1, 3):
        bao.remove(f"app/s{number - 1}")
        lab.wix.fault(kind, "DELETE", times=4)
        for _ in range(3):
            lab.run("sync")
        lab.wix.faults.clear()
    assert lab.run("sync").code == 6
    assert len(lab.ids()) == 3


def test_a_field_name_that_is_no_text_fails_alone(lab: Lab, aws: Any, aws_url: str) -> None:
    aws.create_secret(Name="h/odd", SecretString='{"x\\ud800": "v", "nul\\u0000": "v", "good": "w"}')
    aws.create_secret(Name="h/fine", SecretString='{"k": "v"}')
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "h/*", "field": "*"})
    result = lab.run("sync")
    assert result.code == 1 and "rename the field" in result.out
    assert lab.site.values() == {"odd_good": "w", "fine_k": "v"}


def test_a_deeply_nested_value_fails_alone(lab: Lab, bao: Bao) -> None:
    bao.root.sys.disable_secrets_engine(bao.mount)
    bao.enable("1")
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    kv = bao.root.secrets.kv.v1
    kv.create_or_update_secret("app/deep", {"v": deep}, mount_point=bao.mount)
    kv.create_or_update_secret("app/fine", {"v": "x"}, mount_point=bao.mount)
    vault_job(lab, bao, {"path": "app/*"})
    result = lab.run("sync")
    assert result.code in {0, 1, 4} and lab.site.values()["fine_v"] == "x"


def test_merged_jobs_with_other_descriptions_come_to_rest(lab: Lab, bao: Bao) -> None:
    for name in ("one", "two"):
        vault_job(lab, bao, {"path": "app/*", "description": f"of job {name}"}, name=name)
    bao.put("app/a", v="1")
    assert lab.run("sync").code == 0
    before = lab.writes()
    assert lab.run("sync").code == 0
    assert lab.writes() == before


def test_targets_on_one_site_must_agree(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    lab.config["targets"]["again"] = lab.config["targets"]["shop"] | {"name_profile": "dashboard", "rate_limit": "9/1s"}
    result = lab.run("check")
    assert result.code == 3 and "is another than that of shop" in result.err


def test_two_targets_on_one_site_share_everything(lab: Lab, bao: Bao) -> None:
    lab.config["targets"]["again"] = lab.config["targets"]["shop"]
    vault_job(lab, bao, {"path": "app/*"}, targets=["shop", "again"])
    bao.put("app/a", v="1")
    kept = lab.folder / "plan.json"
    assert lab.run("plan", "--out", str(kept)).code == 0
    assert lab.run("apply", str(kept)).code == 0
    assert len(lab.site.created_ids) == 1 and lab.site.values() == {"a_v": "1"}


def test_a_field_that_moves_to_another_path_takes_its_name_along(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "{field}"})
    bao.put("app/a", STRIPE="old", OTHER="x")
    assert lab.run("sync").code == 0
    ids = lab.ids()
    bao.put("app/a", OTHER="x")
    bao.put("app/b", STRIPE="new")
    assert lab.run("sync").code == 0
    assert lab.site.values()["STRIPE"] == "new" and lab.ids() == ids


@pytest.mark.parametrize("case_insensitive", [False, True])
def test_a_name_that_changes_in_case_alone_is_renamed(lab: Lab, bao: Bao, case_insensitive: bool) -> None:
    lab.site.options.case_insensitive = case_insensitive
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{field}"}, **DELETING)
    bao.put("app/a", v="1")
    lab.run("sync")
    (secret_id,) = lab.ids().values()
    rules(lab)[0]["name"] = "PAY_{field}"
    bao.put("app/a", v="2")
    assert lab.settle().code == 0
    assert lab.ids() == {"PAY_v": secret_id} == lab.ledger() and lab.site.values() == {"PAY_v": "2"}


def test_a_mistyped_glob_deletes_nothing(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "pay/**"}, **DELETING)
    bao.put("pay/a", v="1")
    bao.put("pay/b", v="1")
    lab.run("sync")
    rules(lab)[0]["path"] = f"{bao.mount}/pya/**"
    for _ in range(2):
        assert "selects nothing" in lab.run("sync").out
    assert len(lab.ids()) == 2


def test_an_outage_stops_the_grace(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **{**DELETING, "deletion_grace": "1h"})
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    bao.remove("app/a")
    lab.run("sync")
    row = next(one for one in lab.run("state", "export").json["records"] if one["name"] == "a_v")
    assert row["absent_at"]
    address = lab.config["sources"]["vault"]["address"]
    lab.config["sources"]["vault"]["address"] = "http://127.0.0.1:1"
    assert lab.run("sync").code == 4
    lab.config["sources"]["vault"]["address"] = address
    row = next(one for one in lab.run("state", "export").json["records"] if one["name"] == "a_v")
    assert row["absent_at"] is None


def test_forget_and_delete_asks_every_job(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, name="one")
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    rules(lab, "one")[0]["path"] = f"{bao.mount}/app/b"
    lab.run("sync")
    vault_job(lab, bao, {"path": "app/a"}, name="two")
    assert lab.run("state", "forget", "a_v", "--delete", "--reason", "agreed").code == 6
    bao.remove("app/a")
    assert lab.run("state", "forget", "a_v", "--delete", "--reason", "agreed").code == 0
    assert set(lab.ids()) == {"b_v"}


def test_a_site_that_is_not_ready(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    bao.put("app/a", v="1")
    lab.site.options.members_area = False
    result = lab.run("sync")
    assert result.code == 5 and "Members Area" in result.err
    lab.site.options.members_area = True
    assert lab.run("sync").code == 0


def test_quarantine_ends_with_its_fix(lab: Lab, aws: Any, aws_url: str) -> None:
    aws.create_secret(Name="h/bin", SecretBinary=b"\x00")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "h/bin"})
    assert lab.run("sync").code == 1
    assert lab.statuses() == {"bin": "quarantined"}
    lab.config["jobs"]["job"]["secrets"][0]["binary"] = "base64"
    assert lab.run("sync").code == 0


def test_merged_rules_of_which_the_first_knows_how(lab: Lab, aws: Any, aws_url: str) -> None:
    aws.create_secret(Name="h/bin", SecretBinary=b"\x00")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "h/bin", "binary": "base64", "name": "X"}, {"path": "h/*", "name": "X"})
    assert lab.run("sync").code == 0


def test_a_frozen_secret_is_not_written_to_in_any_way(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    lab.run("state", "freeze", "a_v", "--reason", "agreed", "--until", "1d")
    bao.remove("app/a")
    lab.site.options.hide = lambda one: one.name == "a_v"
    before = lab.writes()
    lab.run("sync")
    assert lab.writes() == before


def test_the_exact_name_goes_before_one_in_another_case(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "{field}"}, conflict_policy="adopt")
    lab.site.create({"name": "KEY", "value": "theirs"})
    lab.site.create({"name": "key", "value": "also theirs"})
    bao.put("app/a", KEY="ours")
    lab.run("sync")
    assert lab.site.values() == {"KEY": "ours", "key": "also theirs"}


def test_one_lagging_answer_is_one_answer_however_many_jobs_see_it(lab: Lab, bao: Bao) -> None:
    """The state of a path counts confirmations a minute apart at least."""
    from syncd.domain import Glob, Rule
    from syncd.ledger.engine import sqlite_engine
    from syncd.ledger.store import Ledger
    from syncd.reconcile.observe.freshness import SPACING
    from syncd.reconcile.observe.observation_cache import ObservationCache
    from syncd.reconcile.observe.source_observer import SourceAccess, SourceObserver
    from tests.fakes import FakeClock, FakeSource

    clock = FakeClock()
    source, ledger = FakeSource(clock), Ledger(sqlite_engine(None), "memory", None)
    rule = Rule(index=0, source="vault", path=Glob("kv/**"), field="*", name="{path}")
    source.put("kv/a", v="old")
    stale = dict(source.secrets)
    source.put("kv/a", v="new")

    def gather() -> str:
        with ledger.lock("s", holder="t", wait=timedelta(0)) as journal:
            access = SourceAccess(source=source, store=ledger, journal=journal, fingerprint=lambda _: "fp", clock=clock)
            SourceObserver((rule,), access, ObservationCache()).observe()
        return ledger.known_paths("vault")["kv/a", ""].version.token

    newest = gather()
    source.stale = stale
    for _ in range(5):
        assert gather() == newest, "five jobs in one second see one answer"
    clock.skip(SPACING)
    assert gather() == newest
    clock.skip(SPACING)
    assert gather() != newest, "several cycles confirm it: it was restored on purpose"
    ledger.close()


def test_json_of_every_listing_parses(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    bao.put("app/a", v="1")
    kept = lab.folder / "plan.json"
    lab.run("sync")
    lab.run("plan", "--out", str(kept))
    for words in (
        ["plan"],
        ["apply", str(kept)],
        ["status"],
        ["check"],
        ["state", "list"],
        ["explain", "a_v"],
        ["sync"],
    ):
        assert json.loads(lab.run(*words, "--json").out) is not None


# --- the second round


def named(lab: Lab, *names: str) -> None:
    for rule, name in zip(rules(lab), names, strict=True):
        rule["name"] = name


def one_two(lab: Lab, bao: Bao, *names: str, **more: Any) -> None:
    vault_job(
        lab,
        bao,
        *({"path": f"app/{p}", "field": "v", "name": n} for p, n in zip(("one", "two"), names, strict=True)),
        **more,
    )
    bao.put("app/one", v="v-one")
    bao.put("app/two", v="v-two")
    assert lab.run("sync").code == 0


def test_a_value_that_does_not_parse_for_another_job_deletes_nothing(lab: Lab, aws: Any, aws_url: str) -> None:
    aws.create_secret(Name="m/a", SecretString='{"k": "v"}')
    aws.create_secret(Name="m/b", SecretString='{"k": "v"}')
    lab.aws(aws_url)
    lab.job("one", "aws", {"path": "m/*", "field": "*"}, **DELETING)
    lab.job("two", "aws", {"path": "m/a", "field": "*"})
    lab.run("sync")
    aws.put_secret_value(SecretId="m/a", SecretString="not json")
    rules(lab, "one")[0]["path"] = "m/b"
    for _ in range(3):
        lab.run("sync")
    assert set(lab.ids()) == {"a_k", "b_k"}


def test_a_name_passes_on_only_when_its_old_reference_has_its_new_name(lab: Lab, bao: Bao) -> None:
    one_two(lab, bao, "A", "B", **DELETING)
    lab.site.create({"name": "C", "value": "theirs"})
    named(lab, "B", "C")
    for _ in range(3):
        lab.run("sync")
        assert {"v-one", "v-two"} <= set(lab.site.values().values())
    lab.site.delete(lab.ids()["C"])
    for _ in range(4):
        lab.run("sync")
    assert lab.site.values() == {"B": "v-one", "C": "v-two"}


def test_names_that_wait_for_one_another_are_a_conflict_and_a_third_name_helps(lab: Lab, bao: Bao) -> None:
    one_two(lab, bao, "A", "B", **DELETING)
    named(lab, "B", "A")
    for _ in range(2):
        result = lab.run("sync")
        assert result.code == 1 and "a third name" in result.out
        assert lab.site.values() == {"A": "v-one", "B": "v-two"}
    named(lab, "B", "THIRD")
    lab.settle(4)
    named(lab, "B", "A")
    lab.settle(4)
    lab.run("sync")
    assert lab.site.values() == {"A": "v-two", "B": "v-one"}


def test_jobs_whose_names_differ_in_case_do_not_fight(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{field}"}, name="one")
    vault_job(lab, bao, {"path": "app/*", "name": "PAY_{field}"}, name="two")
    bao.put("app/a", v="1")
    assert lab.run("sync").code == 1
    before = lab.writes()
    assert lab.run("sync").code == 1
    assert lab.writes() == before and set(lab.ids()) == {"pay_v"}


def test_a_squatter_of_the_new_case_is_a_conflict(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{field}"})
    bao.put("app/a", v="1")
    lab.run("sync")
    lab.site.create({"name": "PAY_v", "value": "theirs"})
    rules(lab)[0]["name"] = "PAY_{field}"
    before = lab.writes()
    for _ in range(2):
        result = lab.run("sync")
        assert result.code == 1 and "another one has its name" in result.out
    assert lab.writes() == before and set(lab.ledger()) >= {"pay_v"}


def test_a_frozen_name_keeps_its_case(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{field}"})
    bao.put("app/a", v="1")
    lab.run("sync")
    lab.run("state", "freeze", "pay_v", "--reason", "agreed", "--until", "1d")
    rules(lab)[0]["name"] = "PAY_{field}"
    lab.run("sync")
    assert set(lab.ledger()) == {"pay_v"} == set(lab.ids())
    assert lab.run("state", "freeze", "pay_v", "--reason", "agreed", "--until", "0s").code == 0
    lab.settle()
    assert set(lab.ledger()) == {"PAY_v"} == set(lab.ids())


def test_names_that_cross_in_case_lose_nothing(lab: Lab, bao: Bao) -> None:
    one_two(lab, bao, "key", "x")
    named(lab, "X", "KEY")
    for _ in range(2):
        assert lab.run("sync").code == 1
    assert lab.site.values() == {"key": "v-one", "x": "v-two"}


def test_a_lost_creation_whose_reference_changes_is_still_ours(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/one", "field": "v", "name": "A"})
    bao.put("app/one", v="v-one")
    bao.put("app/two", v="v-two")
    lab.wix.fault("reset_after", "POST")
    lab.site.options.hide = lambda _one: True
    assert lab.run("sync").code in {1, 5}
    rules(lab)[0]["path"] = f"{bao.mount}/app/two"
    lab.run("sync")
    lab.site.options.hide = lambda _one: False
    assert lab.settle().code == 0
    assert lab.site.values() == {"A": "v-two"} and len(lab.site.created_ids) == 1


def test_allowed_deletions_are_counted_when_their_answer_is_lost(lab: Lab, bao: Bao) -> None:
    other = "second-site"
    lab.secret_file("other-key", lab.wix.issue_key(other))
    lab.wix.site(other).options.quota = 1_000_000
    lab.config["targets"]["second"] = lab.target(other, "other-key")
    vault_job(lab, bao, {"path": "app/*"}, **{**DELETING, "guard": {"max_deletes": 0}}, targets=["shop", "second"])
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    bao.remove("app/a")
    lab.wix.fault("reset_after", "DELETE", times=1)
    lab.wix.fault("503", "DELETE", times=3)
    lab.run("sync", "--allow-deletes", "1", "--reason", "agreed")
    assert len(lab.ids()) + len(lab.wix.site(other).secrets) == 3


def test_adoption_does_not_throw_our_own_id_away(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, conflict_policy="adopt")
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    bao.put("app/c", v="1")
    lab.run("sync")
    ours = lab.ids()["a_v"]
    lab.site.update(ours, {"name": "moved"})
    lab.site.create({"name": "a_v", "value": "theirs"})
    lab.site.options.hide = lambda one: one.name == "moved"
    for _ in range(2):
        lab.run("sync")
    assert lab.site.values()["a_v"] == "theirs"
    assert lab.ledger()["a_v"] == ours


def test_an_unwanted_secret_whose_write_was_lost_says_so(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **DELETING)
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    bao.put("app/a", v="2")
    lab.wix.fault("reset_after", "PATCH", times=4)
    lab.run("sync")
    lab.wix.faults.clear()
    bao.remove("app/a")
    for _ in range(3):
        result = lab.run("sync")
        assert result.code == 1 and "is not known" in result.out
    assert "a_v" in lab.ids()


def test_a_losers_bad_value_does_not_stop_the_owner_of_the_name(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "{field}"})
    bao.put("app/b", KEY="one")
    lab.run("sync")
    bao.put("app/a", KEY="x" * 4000)
    bao.put("app/b", KEY="two")
    assert lab.run("sync").code == 1
    assert lab.site.values() == {"KEY": "two"}


def test_moved_and_renamed_is_one_write(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "{field}"})
    bao.put("app/a", KEY="one", OTHER="x")
    lab.run("sync")
    lab.site.update(lab.ids()["KEY"], {"name": "ELSE"})
    bao.put("app/a", OTHER="x")
    bao.put("app/b", KEY="two")
    assert lab.run("sync").code == 0
    before = lab.writes()
    assert lab.run("sync").code == 0
    assert lab.writes() == before and lab.site.values()["KEY"] == "two"


def test_odd_dates_are_no_dates() -> None:
    from datetime import timedelta as span

    from syncd.targets.wix.http import _window
    from syncd.targets.wix.target import _parsed

    for text in ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "soon", None, 5):
        assert _parsed(text) is None
    for text in ("Mon, 01 Jan 99999 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "x", ""):
        assert _window(text, span(seconds=1)) is None


def test_a_reload_that_forbids_deletions_reaches_a_cycle_that_waits(lab: Lab, bao: Bao) -> None:
    from tests.e2e.test_daemon import running

    lab.config["server"] = {"listen": "127.0.0.1:0"}
    vault_job(lab, bao, {"path": "slow/*"}, name="aa", schedule={"every": "1h"})
    vault_job(lab, bao, {"path": "app/*"}, name="bb", schedule={"every": "1h"}, **DELETING)
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    bao.put("slow/x", v="1")
    lab.run("sync")
    bao.remove("app/a")
    for number in range(30):
        bao.put(f"slow/s{number}", v="x")
    lab.site.options.latency = 0.2
    with running(lab) as (process, _):
        until(lambda: len(lab.site.secrets) > 6)
        lab.config["jobs"]["bb"]["deletion_policy"] = "keep"
        _ = lab.config_file
        process.send_signal(signal.SIGHUP)
        until(lambda: len(lab.site.secrets) == 33)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)
    assert "a_v" in lab.ids()


# --- the third round


def hidden_once(lab: Lab, *names: str) -> None:
    lab.site.options.hide = lambda one: one.name in names
    lab.run("sync")
    lab.site.options.hide = lambda _one: False


def test_looking_for_a_secret_does_not_hide_that_somebody_took_it_over(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **DELETING)
    for name in "abc":
        bao.put(f"app/{name}", v="1")
    lab.run("sync")
    lab.site.update(lab.ids()["a_v"], {"value": "THEIRS", "description": "now ours"})
    bao.remove("app/a")
    hidden_once(lab, "a_v")
    for _ in range(3):
        lab.run("sync")
    assert lab.site.values()["a_v"] == "THEIRS"


def test_the_mark_alone_never_lets_anything_be_deleted(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **DELETING)
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    for path in lab.state.parent.glob("state.db*"):
        path.unlink()
    lab.site.update(lab.ids()["a_v"], {"value": "theirs"})
    bao.put("app/a", v="x" * 4000)
    lab.run("sync")
    lab.rewrite(lambda record: replace(record, verified_at=record.verified_at - timedelta(hours=2.5)))
    bao.remove("app/a")
    for _ in range(3):
        assert lab.run("sync").code == 1
    assert lab.site.values()["a_v"] == "theirs"


def test_a_deletion_whose_write_was_lost_goes_on_where_the_value_was_seen(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **DELETING)
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    bao.remove("app/a")
    hidden_once(lab, "a_v")
    lab.run("sync")
    assert set(lab.ids()) == {"b_v"}


@pytest.mark.parametrize("trouble", ["pin", "bad name"])
def test_a_name_waits_for_what_cannot_be_made(lab: Lab, bao: Bao, trouble: str) -> None:
    field = "v" if trouble == "pin" else "wixk"
    vault_job(
        lab, bao, {"path": "app/one", "field": field, "name": "A"}, {"path": "app/two", "field": "v", "name": "B"}
    )
    bao.put("app/one", **{field: "v-one"})
    bao.put("app/two", v="v-two")
    lab.run("sync")
    lab.site.create({"name": "C", "value": "theirs"})
    named(lab, "C" if trouble == "pin" else "{field}", "A")
    if trouble == "pin":
        rules(lab)[0]["version"] = 1
    for _ in range(3):
        lab.run("sync")
        assert lab.site.values()["A"] == "v-one"


def test_a_path_that_goes_to_another_job_keeps_its_name_until_it_has_a_new_one(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "OLD_{path}_{field}"}, name="j1", **DELETING)
    bao.put("app/a", v="va")
    bao.put("app/b", v="vb")
    lab.run("sync")
    lab.site.create({"name": "NEW_a_v", "value": "theirs"})
    rules(lab, "j1")[0]["exclude"] = [f"{bao.mount}/app/a"]
    vault_job(lab, bao, {"path": "app/a", "name": "NEW_{path}_{field}"}, name="j2")
    for _ in range(3):
        lab.run("sync")
    assert lab.site.values()["OLD_a_v"] == "va"
    lab.site.delete(lab.ids()["NEW_a_v"])
    for _ in range(3):
        lab.run("sync")
    assert lab.site.values() == {"NEW_a_v": "va", "OLD_b_v": "vb"}


def test_a_pin_in_place_is_the_same_secret(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/one", "field": "v", "name": "A"})
    bao.put("app/one", v="first")
    bao.put("app/one", v="second")
    lab.run("sync")
    rules(lab)[0]["version"] = 1
    assert lab.run("sync").code == 0
    assert lab.site.values() == {"A": "first"} and len(lab.site.created_ids) == 1


def test_a_kept_secret_is_not_lent_to_another_reference(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "{field}"})
    bao.put("app/one", key="v-one")
    lab.run("sync")
    rules(lab)[0]["exclude"] = [f"{bao.mount}/app/one"]
    bao.put("app/two", KEY="v-two")
    assert lab.run("sync").code == 1
    assert lab.site.values() == {"key": "v-one"}


def test_a_change_of_case_goes_through_an_unlisted_moment(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{path}"}, drift_policy="report")
    rules(lab)[0]["field"] = "v"
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    bao.put("app/c", v="1")
    lab.run("sync")
    rules(lab)[0]["name"] = "PAY_{path}"
    hidden_once(lab, "pay_a")
    assert lab.settle().code == 0
    assert set(lab.ids()) == {"PAY_a", "PAY_b", "PAY_c"} and lab.ids() == lab.ledger()


def test_reloads_at_once_go_one_after_the_other(lab: Lab, bao: Bao) -> None:
    import threading

    from syncd.sandbox.launchers import free_ports
    from tests.e2e.test_daemon import ask, running

    lab.secret_file("api-token", "generated-token")
    lab.config["server"] = {"listen": f"127.0.0.1:{free_ports(1)}", "token": {"file": str(lab.folder / "api-token")}}
    vault_job(lab, bao, {"path": "app/*"}, schedule={"every": "1h"})
    bao.put("app/a", v="1")
    with running(lab) as (process, url):
        until(lambda: ask(url + "/readyz")[0] == 200)
        for _ in range(6):
            threads = [
                threading.Thread(target=ask, args=[url + "/-/reload", "POST", "generated-token"]) for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            process.send_signal(signal.SIGHUP)
            for thread in threads:
                thread.join()
        assert process.poll() is None and ask(url + "/livez")[0] == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)
        assert process.returncode == 0


def test_no_place_in_the_quota_before_it_is_committed(lab: Lab) -> None:
    """Threads that are served together share a failing commit: none of them may send."""
    engine = sqlite_engine(lab.state)
    Ledger(engine, str(lab.state), lab.state)
    quota = Quota(engine, "here", site="s", limit=100, window=timedelta(minutes=1), clock=lambda: datetime.now(UTC))
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


def test_refused_secrets_do_not_hold_up_the_others_for_ever(lab: Lab, bao: Bao) -> None:
    """A firewall before Wix that answers 403 to some values, first in order."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    for number in range(40):
        bao.put(f"app/{'a' if number < 12 else 'b'}{number:02}", v="x")
    create = lab.site.create

    def refusing(told: dict[str, object]) -> dict[str, object]:
        if str(told["name"]).startswith("a"):
            raise Refusal(403, "PERMISSION_DENIED")
        return create(told)

    lab.site.create = refusing  # type: ignore[method-assign]
    for _ in range(5):
        lab.run("sync")
    assert len(lab.site.secrets) == 28


def test_an_unwritable_stderr_stops_no_cycle(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    for number in range(20):
        bao.put(f"app/s{number}", v="x")
    argv = [sys.executable, "-m", "syncd", "--config", str(lab.config_file), "sync"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=full, check=False, text=True)
    assert done.returncode == 0 and "20 created" in done.stdout
    assert len(lab.ledger()) == 20 == len(lab.site.created_ids)
