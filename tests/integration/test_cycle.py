"""The cycle on a real OpenBao and moto against the emulated Wix."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from typing import Any

import pytest

from tests.lab import Bao, Lab

PEM = "-----BEGIN CERTIFICATE-----\n" + "\n".join(["MIIB" + "q" * 60] * 6) + "\n-----END CERTIFICATE-----\n"


@pytest.fixture
def payments(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    lab.job("payments", "vault", {"path": f"{bao.mount}/pay/**", "name": "PAY_{path}_{field}"})
    return lab


def test_sixty_awkward_secrets_arrive_byte_for_byte(lab: Lab, bao: Bao, aws: Any, aws_url: str) -> None:
    values: dict[str, object] = {
        "crlf": "a\r\nb\r\n",
        "newline": "ends\n",
        "pem": PEM,
        "json": '{"a": 1,  "b": [true]}',
        "emoji": "key-\U0001f511-ключ",
        "nul": "a\x00b",
        "quote": "\"'\\`$(x)",
        "long": "x" * 3500,
        "spaces": "  both ends  ",
        "number": 5,
        "float": 1.5,
        "yes": True,
        "nothing": None,
        "list": [1, "zwei", None],
        "object": {"a": {"b": 1}},
    }
    bao.put_all("app/values", values)
    paths = ["a b/c d", "uni/ключ", "dots/v1.2.3", "pct/100%", "hash/a#b", "dollar/$x", "deep/" + "n/" * 12 + "x"]
    paths += [
        "q?x",
        "plus+plus",
        "amp&amp",
        "key",
        "key/below",
        "eq=eq",
        "at@at",
        "tilde~",
        "semi;colon",
        "comma,",
        "UPPER",
    ]
    for number, path in enumerate(paths):
        bao.put_all(f"app/paths/{path}", {"v": f"value {number}", "füld name": f"second {number}"})
    for number in range(6):
        aws.create_secret(Name=f"app/text-{number}", SecretString=f"aws {number}\r\n")
    aws.create_secret(Name="app/json/one", SecretString=json.dumps({"k 1": "v", "n": 7, "o": {"x": []}}))
    aws.create_secret(Name="app/bin", SecretBinary=b"\x00\xff\x10")
    bad = {"empty": "", "long": "x" * 3501, "astral": "\U0001f511" * 1751}
    bao.put_all("app/bad", bad)
    lab.vault(bao)
    lab.aws(aws_url)
    mount = bao.mount
    lab.job("vault", "vault", {"path": f"{mount}/app/**", "name": "V_{path}_{field}"})
    lab.job(
        "aws",
        "aws",
        {"path": "app/text-*", "name": "A_{path}"},
        {"path": "app/json/*", "field": "*", "name": "A_{path}_{field}"},
        {"path": "app/bin", "binary": "base64", "name": "A_BIN"},
    )
    first = lab.run("sync")
    assert first.code == 1, first.err
    for name in bad:
        assert f"V_bad_{name}" in first.out

    held = lab.site.values()
    expected = len(values) + 2 * len(paths) + 6 + 3 + 1
    assert len(held) == expected >= 60
    assert held["V_values_crlf"] == "a\r\nb\r\n"
    assert held["V_values_pem"] == PEM
    assert held["V_values_json"] == '{"a": 1,  "b": [true]}'
    assert held["V_values_emoji"] == "key-\U0001f511-ключ"
    assert held["V_values_nul"] == "a\x00b"
    assert held["V_values_number"] == "5"
    assert held["V_values_float"] == "1.5"
    assert held["V_values_yes"] == "true"
    assert held["V_values_nothing"] == "null"
    assert held["V_values_list"] == '[1,"zwei",null]'
    assert held["V_values_object"] == '{"a":{"b":1}}'
    assert held["V_values_spaces"] == "  both ends  "
    assert len(held["V_values_long"]) == 3500
    assert sorted(v for n, v in held.items() if n.startswith("V_paths") and v.startswith("value")) == sorted(
        f"value {n}" for n in range(len(paths))
    )
    assert held["A_text-3"] == "aws 3\r\n"
    assert held["A_one_k_1"] == "v" and held["A_one_n"] == "7" and held["A_one_o"] == '{"x":[]}'
    assert held["A_BIN"] == "AP8Q"

    ledger = lab.ledger()
    assert {name: ledger[name] for name in held} == lab.ids()
    before = lab.writes()
    second = lab.run("sync")
    assert second.code == 1
    assert lab.writes() == before


def test_rotation_updates_in_place(payments: Lab, bao: Bao) -> None:
    bao.put("pay/stripe", key="one")
    assert payments.run("sync").code == 0
    ids = payments.ids()
    bao.put("pay/stripe", key="two")
    assert payments.run("sync").code == 0
    assert payments.ids() == ids
    assert payments.site.values() == {"PAY_stripe_key": "two"}


def test_a_new_version_with_the_old_value_moves_only_the_record(payments: Lab, bao: Bao) -> None:
    bao.put("pay/stripe", key="one")
    payments.run("sync")
    before = payments.writes()
    bao.put("pay/stripe", key="one")
    assert payments.run("sync").code == 0
    assert payments.writes() == before
    assert payments.run("state", "list", "--json").json[0]["version"] == "2"


def test_deleting_at_the_source_does_nothing_by_default(payments: Lab, bao: Bao) -> None:
    bao.put("pay/a", key="1")
    bao.put("pay/b", key="2")
    payments.run("sync")
    bao.remove("pay/a")
    result = payments.run("sync")
    assert result.code == 0
    assert "kept" in result.out
    assert set(payments.ids()) == {"PAY_a_key", "PAY_b_key"}
    assert payments.statuses()["PAY_a_key"] == "missing"


def test_with_consent_it_is_deleted_after_the_grace(payments: Lab, bao: Bao) -> None:
    payments.config["jobs"]["payments"] |= {"deletion_policy": "delete", "deletion_grace": "0s"}
    bao.put("pay/a", key="1")
    bao.put("pay/b", key="2")
    payments.run("sync")
    bao.remove("pay/a")
    assert payments.run("sync").code == 0
    assert set(payments.ids()) == {"PAY_b_key"}
    assert set(payments.ledger()) == {"PAY_b_key"}


def test_the_grace_is_waited_out(payments: Lab, bao: Bao) -> None:
    payments.config["jobs"]["payments"] |= {"deletion_policy": "delete", "deletion_grace": "1h"}
    bao.put("pay/a", key="1")
    bao.put("pay/b", key="2")
    payments.run("sync")
    bao.remove("pay/a")
    for _ in range(3):
        result = payments.run("sync")
        assert "deleted after" in result.out
    assert set(payments.ids()) == {"PAY_a_key", "PAY_b_key"}


def test_a_limit_withholds_a_mass_deletion_while_rotations_go_through(payments: Lab, bao: Bao) -> None:
    payments.config["jobs"]["payments"] |= {"deletion_policy": "delete", "deletion_grace": "0s"}
    for number in range(20):
        bao.put(f"pay/s{number}", key=str(number))
    payments.run("sync")
    for number in range(5):
        bao.remove(f"pay/s{number}")
    bao.put("pay/s19", key="rotated")
    result = payments.run("sync")
    assert result.code == 6
    assert "5 deletions withheld" in result.out and "--allow-deletes shop=5 --reason" in result.out
    assert len(payments.ids()) == 20
    assert payments.site.values()["PAY_s19_key"] == "rotated"
    assert payments.run("sync", "--allow-deletes", "4", "--reason", "agreed").code == 6
    assert payments.run("sync", "--allow-deletes", "5", "--reason", "agreed").code == 0
    assert len(payments.ids()) == 15


def test_somebody_elses_secret_is_untouched_and_adopted_only_on_request(payments: Lab, bao: Bao) -> None:
    payments.site.create({"name": "PAY_stripe_key", "value": "theirs", "description": "by hand"})
    ids = payments.ids()
    bao.put("pay/stripe", key="ours")
    result = payments.run("sync")
    assert result.code == 1
    assert "did not create" in result.out
    assert payments.site.values() == {"PAY_stripe_key": "theirs"}
    assert payments.statuses() == {"PAY_stripe_key": "conflict"}
    payments.config["jobs"]["payments"]["conflict_policy"] = "adopt"
    assert payments.run("sync").code == 0
    assert payments.site.values() == {"PAY_stripe_key": "ours"}
    assert payments.ids() == ids == payments.ledger()


def test_an_adopted_secret_is_never_deleted(payments: Lab, bao: Bao) -> None:
    payments.site.create({"name": "PAY_stripe_key", "value": "theirs"})
    bao.put("pay/stripe", key="ours")
    bao.put("pay/other", key="x")
    payments.run("sync")
    assert payments.run("state", "adopt", "PAY_stripe_key", "--reason", "agreed").code == 0
    assert payments.run("sync").code == 0
    assert payments.site.values()["PAY_stripe_key"] == "ours"
    payments.config["jobs"]["payments"] |= {"deletion_policy": "delete", "deletion_grace": "0s"}
    bao.remove("pay/stripe")
    result = payments.run("sync")
    assert "adopted" in result.out
    assert "PAY_stripe_key" in payments.ids()


def shift(lab: Lab, name: str, by: timedelta) -> None:
    """Somebody else's change: as if written that much later."""
    from dataclasses import replace

    one = lab.site.by_name(name)
    assert one is not None
    lab.site.secrets[one.id] = replace(one, value="theirs", updated=one.updated + by)


def test_drift_is_restored_three_times_and_then_contested(payments: Lab, bao: Bao) -> None:
    payments.site.options.may_read = False
    bao.put("pay/stripe", key="ours")
    payments.run("sync")
    for _ in range(3):
        shift(payments, "PAY_stripe_key", timedelta(seconds=30))
        assert payments.run("sync").code == 0
        assert payments.site.values() == {"PAY_stripe_key": "ours"}
    shift(payments, "PAY_stripe_key", timedelta(seconds=30))
    result = payments.run("sync")
    assert result.code == 1
    assert payments.statuses() == {"PAY_stripe_key": "contested"}
    assert payments.site.values() == {"PAY_stripe_key": "theirs"}
    bao.put("pay/stripe", key="new version")
    payments.run("sync")
    assert payments.site.values() == {"PAY_stripe_key": "new version"}


def test_drift_is_only_reported_where_the_job_says_so(payments: Lab, bao: Bao) -> None:
    payments.config["jobs"]["payments"]["drift_policy"] = "report"
    bao.put("pay/stripe", key="ours")
    payments.run("sync")
    shift(payments, "PAY_stripe_key", timedelta(seconds=30))
    result = payments.run("sync")
    assert "changed at Wix" in result.out
    assert payments.site.values() == {"PAY_stripe_key": "theirs"}


def test_the_verification_sees_what_no_date_tells(payments: Lab, bao: Bao) -> None:
    from dataclasses import replace

    payments.config["jobs"]["payments"]["verify_every"] = "1s"
    bao.put("pay/stripe", key="ours")
    payments.run("sync")
    one = payments.site.by_name("PAY_stripe_key")
    payments.site.secrets[one.id] = replace(one, value="changed within the two seconds")
    for _ in range(100):
        payments.run("sync")
        if payments.site.values() == {"PAY_stripe_key": "ours"}:
            break
    assert payments.site.values() == {"PAY_stripe_key": "ours"}
    assert payments.ids() == {"PAY_stripe_key": one.id}


def test_a_secret_removed_by_hand_comes_back(payments: Lab, bao: Bao) -> None:
    bao.put("pay/stripe", key="ours")
    payments.run("sync")
    payments.site.secrets.clear()
    assert payments.run("sync").code == 0
    assert payments.site.values() == {"PAY_stripe_key": "ours"}
    assert payments.ledger() == payments.ids()


def test_a_renamed_secret_gets_its_name_back(payments: Lab, bao: Bao) -> None:
    bao.put("pay/stripe", key="ours")
    payments.run("sync")
    one = payments.site.by_name("PAY_stripe_key")
    assert one
    payments.site.update(one.id, {"name": "HAND_MADE"})
    assert payments.run("sync").code == 0
    assert payments.ids() == {"PAY_stripe_key": one.id}


@pytest.fixture
def deleting(payments: Lab, bao: Bao) -> Lab:
    """Two secrets synced under the readiest consent to delete."""
    payments.config["jobs"]["payments"] |= {
        "deletion_policy": "delete",
        "deletion_grace": "0s",
        "guard": {"max_deletes": 100},
    }
    bao.put("pay/a", key="1")
    bao.put("pay/sub/b", key="2")
    assert payments.run("sync").code == 0
    return payments


def unchanged(lab: Lab) -> None:
    before, writes = lab.site.values(), lab.writes()
    for _ in range(2):
        result = lab.run("sync")
        assert result.code == 4, result.out + result.err
    assert lab.site.values() == before
    assert lab.writes() == writes


def test_a_denied_subfolder_changes_nothing(deleting: Lab, bao: Bao) -> None:
    m = bao.mount
    rules = f"""
    path "{m}/data/pay/a" {{ capabilities = ["read"] }}
    path "{m}/metadata/pay" {{ capabilities = ["list"] }}
    path "{m}/metadata/pay/" {{ capabilities = ["list"] }}
    path "{m}/metadata/pay/a" {{ capabilities = ["read"] }}
    """
    deleting.secret_file("vault-token", bao.policy(f"narrow-{m}", rules))
    unchanged(deleting)


def test_a_wrong_namespace_changes_nothing(deleting: Lab) -> None:
    deleting.config["sources"]["vault"]["namespace"] = "nowhere"
    unchanged(deleting)


def test_an_unmounted_and_a_remounted_empty_mount_change_nothing(deleting: Lab, bao: Bao) -> None:
    bao.root.sys.disable_secrets_engine(bao.mount)
    unchanged(deleting)
    bao.enable()
    unchanged(deleting)
    bao.put("pay/a", key="other mount")
    unchanged(deleting)
    assert deleting.run("state", "remount", "vault", bao.mount).code == 0
    assert deleting.run("sync").code == 0
    assert deleting.site.values() == {"PAY_a_key": "other mount"}


def test_an_emptied_tree_is_not_believed(deleting: Lab, bao: Bao) -> None:
    bao.remove("pay/a")
    bao.remove("pay/sub/b")
    before = deleting.site.values()
    result = deleting.run("sync")
    assert "not believed" in result.out
    assert result.code == 4
    assert deleting.site.values() == before


def test_the_ledger_is_rebuilt_with_the_same_ids(payments: Lab, bao: Bao) -> None:
    for number in range(5):
        bao.put(f"pay/s{number}", key=str(number))
    payments.run("sync")
    ids = payments.ids()
    shutil.rmtree(payments.state.parent)
    assert payments.settle().code == 0
    assert payments.wix.count("POST") == 5
    assert payments.ledger() == ids == payments.ids()


def test_an_old_copy_of_the_ledger_converges(payments: Lab, bao: Bao) -> None:
    bao.put("pay/a", key="1")
    bao.put("pay/b", key="2")
    payments.run("sync")
    copy = payments.folder / "copy"
    shutil.copytree(payments.state.parent, copy)
    bao.put("pay/a", key="1 rotated")
    bao.put("pay/c", key="3")
    bao.remove("pay/b")
    payments.config["jobs"]["payments"] |= {"deletion_policy": "delete", "deletion_grace": "0s"}
    payments.run("sync")
    ids = payments.ids()
    assert set(ids) == {"PAY_a_key", "PAY_c_key"}
    shutil.rmtree(payments.state.parent)
    shutil.copytree(copy, payments.state.parent)
    assert payments.settle().code == 0
    assert payments.site.values() == {"PAY_a_key": "1 rotated", "PAY_c_key": "3"}
    assert payments.ids() == ids
    before = payments.writes()
    assert payments.run("sync").code == 0
    assert payments.writes() == before


def test_a_target_pointed_at_another_site_leaves_the_first_alone(payments: Lab, bao: Bao) -> None:
    payments.config["jobs"]["payments"] |= {"deletion_policy": "delete", "deletion_grace": "0s"}
    bao.put("pay/a", key="1")
    payments.run("sync")
    first, before = payments.site, payments.site.values()
    other = "another-site"
    payments.secret_file("other-key", payments.wix.issue_key(other))
    payments.config["targets"]["shop"] = payments.target(other, "other-key")
    bao.put("pay/b", key="2")
    assert payments.run("sync").code == 0
    assert payments.wix.site(other).values() == {"PAY_a_key": "1", "PAY_b_key": "2"}
    assert first.values() == before
    rows = payments.run("state", "list", "--json").json
    assert sorted(row["status"] for row in rows) == ["detached", "synced", "synced"]


@pytest.mark.long
def test_an_idle_cycle_of_a_thousand(lab: Lab, bao: Bao, aws: Any, aws_url: str) -> None:
    for number in range(40):
        bao.put_all(f"bulk/s{number}", {f"f{i}": f"{number}-{i}" for i in range(25)})
    lab.vault(bao)
    lab.job("bulk", "vault", {"path": f"{bao.mount}/bulk/**"})
    assert lab.run("sync").code == 0
    assert len(lab.ids()) == 1000
    lab.wix.seen.clear()
    assert lab.run("sync").code == 0
    assert [one.method for one in lab.wix.seen] == ["GET"]


def test_a_sealed_vault_changes_nothing(lab: Lab) -> None:
    from syncd.sandbox.launchers import openbao

    with openbao() as server:
        bao = Bao(server, "secret", server.token)
        bao.put("pay/a", key="1")
        lab.vault(bao)
        lab.job(
            "payments",
            "vault",
            {"path": "secret/pay/**"},
            deletion_policy="delete",
            deletion_grace="0s",
        )
        assert lab.run("sync").code == 0
        bao.root.sys.seal()
        unchanged(lab)
        result = lab.run("sync")
        assert "is sealed" in result.err
    unchanged(lab)
    assert "does not answer" in lab.run("sync").err


def test_rotations_go_first_then_creations_and_deletions_last_on_a_listing_of_their_own(
    deleting: Lab, bao: Bao
) -> None:
    deleting.wix.seen.clear()
    bao.put("pay/a", key="rotated")
    bao.remove("pay/sub/b")
    bao.put("pay/new", key="1")
    assert deleting.run("sync").code == 0
    methods = [one.method for one in deleting.wix.seen]
    assert sorted(methods[1:3]) == ["PATCH", "POST"]
    assert methods[0] == methods[3] == "GET" and methods[4] == "DELETE" and len(methods) == 5


@pytest.mark.long
def test_a_long_cycle_looks_again_and_lets_others_have_their_turn(
    lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    import syncd.reconcile.cycle
    from syncd.bootstrap.app import App
    from syncd.config import load
    from syncd.reconcile.run_job import Run, sync_job

    monkeypatch.setattr(syncd.reconcile.cycle, "APPLY_SECONDS", 0.3)
    lab.vault(bao)
    for number in range(60):
        bao.put(f"long/s{number}", v="x")
    bao.put("short/one", v="x")
    lab.job("long", "vault", {"path": f"{bao.mount}/long/*"})
    lab.job("short", "vault", {"path": f"{bao.mount}/short/*", "name": "SHORT_{path}"})
    lab.site.options.latency = 0.1
    ended: list[str] = []

    def work(app: App, name: str) -> None:
        (report,) = sync_job(app.runtime, app.runtime.jobs[name], Run(holder=name, wait=timedelta(minutes=1)))
        assert report.exit_code == 0, report
        ended.append(name)

    with App(load(lab.config_file)) as app:
        first = threading.Thread(target=work, args=[app, "long"])
        first.start()
        while not lab.wix.seen:
            pass
        second = threading.Thread(target=work, args=[app, "short"])
        second.start()
        first.join()
        second.join()
    assert ended == ["short", "long"], "a thousand creations do not hold up another job"
    assert lab.wix.count("GET") > 3, "it never writes on an old picture"
    assert len(lab.site.created_ids) == 61 == len(lab.ids())
