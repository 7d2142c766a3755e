"""One secret that cannot be sent stops only itself."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.sandbox.wix_site import Refusal
from tests.chaos.peers import Answer, metadata, peer, vault
from tests.lab import Bao, Lab


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


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


def test_quarantine_ends_with_its_fix(lab: Lab, aws: Any, aws_url: str) -> None:
    aws.create_secret(Name="h/bin", SecretBinary=b"\x00")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "h/bin"})
    assert lab.run("sync").code == 1
    assert lab.statuses() == {"bin": "quarantined"}
    lab.config["jobs"]["job"]["secrets"][0]["binary"] = "base64"
    assert lab.run("sync").code == 0


@pytest.mark.long
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


@pytest.mark.parametrize(
    "odd",
    [
        {"current_version": 10**30}, {"current_version": -(10**19)}, {"current_version": True},
        {"versions": {"1": {"created_time": "2026-01-01T00:00:00Z\ud800"}}},
        {"versions": {"1": {"created_time": "2026-01-01T00:00:00Z\0"}}},
    ],
)  # fmt: skip
def test_odd_metadata_stops_only_its_secret(lab: Lab, odd: dict[str, Any]) -> None:
    version = metadata()["versions"]["1"] | {"version": 1}
    listing = Answer({"data": {"keys": ["good", "odd"], "key_info": {"good": metadata(), "odd": metadata(**odd)}}})
    document = Answer({"data": {"data": {"v": "1"}, "metadata": version}})
    lab.secret_file("vault-token", "generated-token")
    lab.job("job", "vault", {"path": "kv/**"})

    def answer(method: str, path: str) -> Answer | None:
        return listing if method == "SCAN" else document if "/data/" in path else None

    with peer(vault(answer)) as server:
        lab.config["sources"]["vault"] = {
            "type": "vault", "address": server.url,
            "auth": {"method": "token", "token": {"file": str(lab.folder / "vault-token")}},
        }  # fmt: skip
        done = lab.run("sync")
    assert done.code == 4 and "kv/odd: the answer is none of Vault's" in done.out, done.out + done.err
    assert lab.site.values() == {"good_v": "1"}


def test_a_path_that_no_index_takes_fails_alone(lab: Lab, bao: Bao) -> None:
    bao.put("app/a", v="1")
    bao.put("app/" + "/".join("x" * 100 for _ in range(30)), v="2")
    bao.put_all("app/b", {"v": "3", "f" * 600: "4"})
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**"})
    done = lab.run("sync")
    assert done.code == 4 and "2,000 bytes" in done.out and "500 bytes" in done.out, done.out
    assert lab.site.values() == {"a_v": "1", "b_v": "3"}


def with_vault(lab: Lab, url: str) -> None:
    lab.secret_file("vault-token", "generated-token-of-a-length")
    lab.config["sources"]["vault"] = {
        "type": "vault", "address": url,
        "auth": {"method": "token", "token": {"file": str(lab.folder / "vault-token")}},
    }  # fmt: skip


def test_a_listed_key_that_is_no_text_fails_alone(lab: Lab) -> None:
    def answer(method: str, path: str) -> Answer | None:
        if method == "SCAN":
            return Answer({"errors": []}, 405)
        if method == "LIST":
            return Answer({"data": {"keys": ["good", "a\ud800"]}})
        if "/metadata/" in path:
            return Answer({"data": metadata()})
        version = metadata()["versions"]["1"] | {"version": 1}
        return Answer({"data": {"data": {"v": "1"}, "metadata": version}}) if "/data/" in path else None

    lab.job("job", "vault", {"path": "kv/**"})
    with peer(vault(answer)) as server:
        with_vault(lab, server.url)
        done = lab.run("sync")
    assert done.code == 4 and lab.site.values() == {"good_v": "1"}, done.out + done.err
