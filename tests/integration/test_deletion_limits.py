"""What deletions wait for: limits of a rolling day, the observed grace, and what other jobs want."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.sandbox.wix_site import Refusal, Site
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock, one_cycle
from tests.support.hidden import hidden
from tests.support.policies import DELETING
from tests.support.waiting import until

pytestmark = pytest.mark.kind


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


@pytest.mark.parametrize("hours", [1, 23, 25])
def test_what_was_deleted_within_a_day_counts(lab: Lab, bao: Bao, hours: int) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **{**DELETING, "guard": {"max_deletes": 1}})
    for name in "abc":
        bao.put(f"app/{name}", v="x")
    assert lab.run("sync").code == 0
    bao.remove("app/a")
    assert lab.run("sync").code == 0 and len(lab.ids()) == 2
    bao.remove("app/b")
    later = timedelta(hours=hours)
    lab.wix.clock = lab.site._clock = lambda: datetime.now(UTC) + later
    with machine_clock(lab, later) as app:
        report = one_cycle(app)
    assert (report.exit_code, len(lab.ids())) == ((6, 2) if hours < 24 else (0, 1))


@pytest.mark.sweep
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


@pytest.mark.parametrize("policy", ["keep", "delete"])
def test_the_last_secrets_of_a_glob_go_by_command(lab: Lab, bao: Bao, policy: str) -> None:
    """The glob lists nothing, which is not believed; each path, asked for itself, is gone."""
    vault_job(lab, bao, {"path": "app/*"}, deletion_policy=policy)
    for name in "ab":
        bao.put(f"app/{name}", v="1")
    lab.run("sync")
    for name in "ab":
        bao.remove(f"app/{name}")
    said = lab.run("sync")
    assert said.code == 4 and "state forget NAME --delete" in said.out and set(lab.ids()) == {"a_v", "b_v"}
    for name in ("a_v", "b_v"):
        done = lab.run("state", "forget", name, "--delete", "--reason", "gone on purpose")
        assert done.code == 0, done.err
    assert lab.ids() == {} and lab.settle().code == 0


@pytest.mark.parametrize("way", ["its listing is hidden", "its source is away", "another path gives the name"])
def test_what_is_there_or_not_known_goes_by_no_command(
    lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    aws.create_secret(Name="app/a", SecretString="of app")
    lab.aws(aws_url)
    rule = {"name": "{basename}"}
    lab.job("job", "aws", {"path": "app/*", **rule}, {"path": "more/*", **rule})
    lab.run("sync")
    if way == "another path gives the name":
        aws.create_secret(Name="more/a", SecretString="of more")
        lab.run("sync")
        aws.delete_secret(SecretId="app/a", ForceDeleteWithoutRecovery=True)
        hidden(monkeypatch, "more/a")
    elif way == "its listing is hidden":
        hidden(monkeypatch, "app/a")
    else:
        lab.config["sources"]["aws"]["endpoint_url"] = "http://127.0.0.1:9"
    refused = lab.run("state", "forget", "a", "--delete", "--reason", "x")
    assert refused.code == 6 and "a" in lab.ids(), (refused.out, refused.err)


def test_what_is_rolled_back_goes_by_no_command_though_its_newest_version_is_gone(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    for version in ("1", "2"):
        bao.put("app/a", v=version)
    lab.run("sync")
    assert lab.run("rollback", "a_v", "--to", "1", "--reason", "x").code == 0
    bao.remove("app/a")
    refused = lab.run("state", "forget", "a_v", "--delete", "--reason", "x")
    assert refused.code == 6 and "a_v" in lab.ids(), refused.err


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


@pytest.mark.long
def test_a_reload_that_forbids_deletions_reaches_a_cycle_that_waits(lab: Lab, bao: Bao) -> None:
    from tests.support.daemon import running

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
        process.communicate(timeout=60)
    assert "a_v" in lab.ids()


@pytest.mark.parametrize("status", [403, 400])
def test_a_deletion_by_command_that_is_refused_leaves_nothing_open(
    lab: Lab, bao: Bao, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job is gone, so no cycle would ever close the row."""
    lab.vault(bao)
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/a"})
    assert lab.run("sync").code == 0
    lab.job("other", "vault", {"path": f"{bao.mount}/app/b"})
    del lab.config["jobs"]["job"]
    before = lab.run("state", "list", "--json").json

    def refuses(*_: object) -> None:
        raise Refusal(status, "PERMISSION_DENIED" if status == 403 else "INVALID_ARGUMENT")

    with monkeypatch.context() as patch:
        patch.setattr(Site, "delete", refuses)
        assert lab.run("state", "forget", "a_v", "--delete", "--reason", "agreed").code in {1, 5}
    assert lab.run("state", "list", "--json").json == before
    assert lab.run("audit", "verify").code == 0
    assert lab.run("state", "forget", "a_v", "--delete", "--reason", "agreed").code == 0 and not lab.ids()
