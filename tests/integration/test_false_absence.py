"""Well-formed answers that are no absence, and odd ones that stop only themselves: a hostile tester's third round."""

from __future__ import annotations

import gzip
import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

import syncd.sources.aws.source
import syncd.sources.vault.listing
from syncd.bootstrap.app import App
from syncd.config import load
from syncd.reconcile.run_job import Run, sync_job
from syncd.sandbox.launchers import openbao
from tests.chaos.peers import Answer, metadata, peer, spent, vault
from tests.integration.test_aws import rule
from tests.integration.test_hostile import DELETING
from tests.lab import AWS_ENVIRON, Bao, Lab

NOT_FOUND: tuple[Any, ...] = (
    {"message": "no Route matched with those values"},
    {"error": "not found"},
    {"errors": None},
    {"errors": {}},
    {"errors": "no handler for route"},
    {"errors": [], "warnings": ["Invalid path for a versioned K/V secrets engine"]},
    {"errors": [], "data": {"x": 1}},
)


def gateway(bao: Bao, broken: list[Any]) -> Callable[[str, str, bytes], Answer]:
    """Passes on to OpenBao; what is below the mount is answered by itself once something is in `broken`."""

    def answer(method: str, path: str, body: bytes) -> Answer:
        if broken and path.startswith(f"/v1/{bao.mount}/"):
            return Answer(broken[0], 404)
        request = urllib.request.Request(
            bao.address + path, data=body or None, method=method, headers={"X-Vault-Token": bao.token}
        )
        try:
            with urllib.request.urlopen(request) as told:
                return Answer(told.read(), told.status)
        except urllib.error.HTTPError as error:
            return Answer(error.read(), error.code)

    return answer


@pytest.mark.parametrize("body", NOT_FOUND)
@pytest.mark.parametrize("path", ["app", "app/**"])
def test_a_gateways_404_is_no_absence(lab: Lab, bao: Bao, path: str, body: Any) -> None:
    broken: list[Any] = []
    with peer(gateway(bao, broken)) as server:
        lab.vault(bao)
        lab.config["sources"]["vault"]["address"] = server.url
        where = path.replace("/**", "/a")
        bao.put(where, v="1")
        lab.job("job", "vault", {"path": f"{bao.mount}/{path}"}, **DELETING)
        assert lab.run("sync").code == 0
        broken.append(body)
        for _ in range(3):
            done = lab.run("sync")
            assert done.code == 4, done.out + done.err
    assert len(lab.ids()) == 1


def aws_peer(state: dict[str, Any]) -> Callable[[str, str, bytes], Answer]:
    """A Secrets Manager of one secret `app/a`, which answers as `state` says."""
    told = {
        "Name": "app/a", "ARN": f"arn:aws:secretsmanager:eu-west-1:{1111:012}:secret:app/a-AbCdEf",
        "VersionIdsToStages": {"v1": ["AWSCURRENT"]}, "SecretVersionsToStages": {"v1": ["AWSCURRENT"]},
    }  # fmt: skip

    def answer(_method: str, _path: str, body: bytes) -> Answer:
        asked = json.loads(body)
        if "MaxResults" in asked:
            return Answer(state.get("list") or {"SecretList": [told]})
        if "SecretIdList" in asked:
            return Answer({"SecretValues": [{"Name": "app/a", "VersionId": "v1", "SecretString": "one"}]})
        if "VersionStage" in asked:
            return Answer({"Name": "app/a", "VersionId": "v1", "SecretString": "one"})
        if state.get("describe") == "gone":
            return Answer({"__type": "ResourceNotFoundException", "message": "x"}, 400)
        return Answer(state.get("describe") or told)

    return answer


@pytest.mark.parametrize(
    ("path", "broken"),
    [
        ("app/a", {"describe": {"message": "ok"}}),
        ("app/a", {"describe": {"Name": "other"}}),
        ("app/*", {"list": {"SecretList": []}, "describe": {"message": "ok"}}),
    ],
)
def test_an_aws_answer_about_nothing_is_no_absence(lab: Lab, path: str, broken: dict[str, Any]) -> None:
    state: dict[str, Any] = {}
    with peer(aws_peer(state)) as server:
        lab.aws(server.url)
        lab.job("job", "aws", {"path": path, "name": "A"}, **DELETING)
        assert lab.run("sync").code == 0
        state |= broken
        for _ in range(3):
            assert lab.run("sync").code == 4
    assert set(lab.ids()) == {"A"}


def test_another_account_is_seen_by_a_process_that_lives_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that change under a daemon: the account is learnt anew with each look."""
    for name, value in AWS_ENVIRON.items():
        monkeypatch.setenv(name, value)
    from datetime import timedelta

    state: dict[str, Any] = {}
    other = {"Name": "else", "ARN": f"arn:aws:secretsmanager:eu-west-1:{2222:012}:secret:else-AbCdEf"}
    with peer(aws_peer(state)) as server:
        lab.aws(server.url)
        lab.job("job", "aws", {"path": "app/a", "name": "A"}, **DELETING)
        with App(load(lab.config_file)) as app:
            for _ in range(4):
                (report,) = sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="t", wait=timedelta(0)))
                state |= {"describe": "gone", "list": {"SecretList": [other]}}
    assert report.exit_code == 4 and set(lab.ids()) == {"A"}


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


def test_a_mount_whose_identity_is_no_text(lab: Lab) -> None:
    lab.secret_file("vault-token", "generated-token")
    lab.job("job", "vault", {"path": "kv/**"})
    mount = Answer({"data": {"type": "kv", "path": "kv/", "options": {"version": "2"}, "uuid": "u\ud800"}})
    with peer(vault(lambda _method, path: mount if "/mounts/" in path else None)) as server:
        lab.config["sources"]["vault"] = {
            "type": "vault", "address": server.url,
            "auth": {"method": "token", "token": {"file": str(lab.folder / "vault-token")}},
        }  # fmt: skip
        assert lab.run("sync").code == 4


@pytest.mark.parametrize(
    "listed",
    [
        {"SecretList": [{"Name": 5}]},
        {"SecretList": [{"Name": "app/a", "Tags": [{"Key": ["x"]}]}]},
        {"SecretList": [], "NextToken": ["x"]},
        {"SecretList": [{"Name": "app/a", "LastChangedDate": 1e18}]},
    ],
)
def test_odd_aws_listings_are_failures(lab: Lab, listed: dict[str, Any]) -> None:
    with peer(aws_peer({"list": listed})) as server:
        lab.aws(server.url)
        lab.job("job", "aws", {"path": "app/*", "tags": {"k": "v"}})
        done = lab.run("sync", options=("--debug",))
    assert done.code in {0, 4} and "bug" not in done.err, done.err


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


def test_a_process_of_another_version_writes_nothing_more(lab: Lab, bao: Bao) -> None:
    """The ledger was migrated under a daemon that goes on with the old version."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    bao.put("app/a", v="1")
    assert lab.run("sync").code == 0
    from datetime import timedelta

    with App(load(lab.config_file)) as app:
        with sqlite3.connect(lab.state) as other:
            other.execute("UPDATE syncd_meta SET value = '99' WHERE key = 'schema_version'")
        other.close()
        bao.put("app/a", v="2")
        (report,) = sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="t", wait=timedelta(0)))
    assert report.exit_code == 7 and "another version" in str(report.error)
    assert lab.site.values() == {"a_v": "1"}


def test_the_account_of_an_empty_rule_is_told_by_another_secret(aws: Any) -> None:
    from syncd.sources.aws.source import AwsSource

    aws.create_secret(Name="else", SecretString="x")
    snapshot = AwsSource("aws", aws, lambda _call: None).snapshot(rule("none/*"))
    assert snapshot.complete and snapshot.mount_id.startswith("eu-west-1:")


# --- what has no end, no fallback, no room


@pytest.mark.parametrize("keys", [[f"f{number}/" for number in range(1000)], ["a/"]])
@pytest.mark.parametrize("glob", ["kv/**", "kv/*/*/*/*/*"])
def test_a_vault_whose_folders_have_no_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, keys: list[str], glob: str
) -> None:
    monkeypatch.setattr(syncd.sources.vault.listing, "MOST_FOLDERS", 300)
    lab.secret_file("vault-token", "generated-token")
    lab.job("job", "vault", {"path": glob})

    def answer(method: str, _path: str) -> Answer | None:
        return (
            Answer({"errors": []}, 405)
            if method == "SCAN"
            else Answer({"data": {"keys": keys}})
            if method == "LIST"
            else None
        )

    with peer(vault(answer)) as server:
        lab.config["sources"]["vault"] = {
            "type": "vault", "address": server.url,
            "auth": {"method": "token", "token": {"file": str(lab.folder / "vault-token")}},
        }  # fmt: skip
        done = lab.run("sync", options=("--debug",))
        assert len(server.asked) < 700
    assert done.code in {0, 4} and "bug" not in done.err, done.err[-500:]


def test_an_aws_whose_pages_have_no_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncd.sources.aws.source, "MOST_PAGES", 50)
    numbers = iter(range(10**9))
    with peer(lambda *_: Answer({"SecretList": [], "NextToken": f"t{next(numbers)}"})) as server:
        lab.aws(server.url)
        lab.job("job", "aws", {"path": "app/*"})
        done = lab.run("sync")
        assert len(server.asked) < 60
    assert done.code == 4 and "without end" in done.out


def test_a_second_page_without_its_list_is_no_absence(lab: Lab) -> None:
    state: dict[str, Any] = {}
    with peer(aws_peer(state)) as server:
        lab.aws(server.url)
        lab.job("job", "aws", {"path": "app/*", "name": "A"}, **DELETING)
        assert lab.run("sync").code == 0
        state["list"] = {"message": "ok"}
        for _ in range(2):
            assert lab.run("sync").code == 4
    assert set(lab.ids()) == {"A"}


@pytest.mark.parametrize("status", [400, 500, 203])
@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 100_000])
def test_deep_answers_of_aws_of_any_status(lab: Lab, status: int, body: bytes) -> None:
    with peer(lambda *_: Answer(body, status)) as server:
        lab.aws(server.url)
        lab.job("job", "aws", {"path": "app/*"})
        done = lab.run("sync")
    assert done.code == 4 and "bug" not in done.err, done.err


def test_a_vault_without_the_one_call_listing_is_listed_plainly(lab: Lab, bao: Bao) -> None:
    """HashiCorp's KV answers a path that it does not know with 404 and a warning."""
    warned = {"data": None, "warnings": ["Invalid path for a versioned K/V secrets engine"]}
    honest = gateway(bao, [])

    def answer(method: str, path: str, body: bytes) -> Answer:
        return Answer(warned, 404) if "detailed-metadata" in path else honest(method, path, body)

    with peer(answer) as server:
        lab.vault(bao)
        lab.config["sources"]["vault"]["address"] = server.url
        bao.put("app/a", v="1")
        lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
        assert lab.run("sync").code == 0
    assert lab.site.values() == {"a_v": "1"}


def test_a_path_that_no_index_takes_fails_alone(lab: Lab, bao: Bao) -> None:
    bao.put("app/a", v="1")
    bao.put("app/" + "/".join("x" * 100 for _ in range(30)), v="2")
    bao.put_all("app/b", {"v": "3", "f" * 600: "4"})
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**"})
    done = lab.run("sync")
    assert done.code == 4 and "2,000 bytes" in done.out and "500 bytes" in done.out, done.out
    assert lab.site.values() == {"a_v": "1", "b_v": "3"}


def test_a_name_that_another_job_has_costs_no_value_read(lab: Lab, tmp_path: Any) -> None:
    """Quiet when idle: whether the other's reference is still there, its metadata tells."""
    log, config = tmp_path / "audit.log", tmp_path / "audit.hcl"
    config.write_text(f'audit "file" "x" {{ options = {{ file_path = "{log}" }} }}')
    with openbao(f"-config={config}") as server:
        bao = Bao(server, "secret", server.token)
        for name in ("one", "two"):
            bao.put(f"app/{name}", v=name)
            lab.vault(bao)
            lab.job(name, "vault", {"path": f"secret/app/{name}", "field": "v", "name": "SHARED"})
        lab.run("sync")
        log.write_text("")
        assert lab.run("sync").code == 1
        asked = [json.loads(line)["request"]["path"] for line in log.read_text().splitlines()]
    assert asked and not [path for path in asked if path.startswith("secret/data/")]


def test_a_line_break_in_a_name_fakes_no_line(lab: Lab, bao: Bao) -> None:
    bao.put_all("app/odd", {"a\npayments -> shop: ok\x1b[31m": "1", "b": ""})
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    shown = [
        lab.run(*words).out for words in (["sync"], ["plan"], ["explain", f"{bao.mount}/app/odd"], ["state", "list"])
    ]
    bao.put("app/odd", b="2")
    shown += [lab.run(*words).out for words in (["sync"], ["status"], ["plan"])]
    for text in shown:
        assert not any(line.startswith("payments") for line in text.splitlines()) and "\x1b" not in text


# --- the fourth round


def with_vault(lab: Lab, url: str) -> None:
    lab.secret_file("vault-token", "generated-token-of-a-length")
    lab.config["sources"]["vault"] = {
        "type": "vault", "address": url,
        "auth": {"method": "token", "token": {"file": str(lab.folder / "vault-token")}},
    }  # fmt: skip


@pytest.mark.parametrize("where", ["http://[", "http://x/\xff", "https://xn--999999999/"])
@pytest.mark.parametrize("which", ["vault", "wix"])
def test_redirects_to_nowhere(lab: Lab, bao: Bao, which: str, where: str) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    with peer(lambda *_: Answer(b"", 302, {"Location": where})) as server:
        if which == "vault":
            with_vault(lab, server.url)
        else:
            lab.config["targets"]["shop"]["base_url"] = server.url
        done = lab.run("sync")
    assert done.code == (4 if which == "vault" else 5), done.err


def test_a_redirect_with_a_bomb_is_not_unpacked(lab: Lab) -> None:
    body = gzip.compress(b" " * (200 << 20), 9)
    lab.job("job", "vault", {"path": "kv/**"})
    headers = {"Location": "http://127.0.0.1:1/", "Content-Encoding": "gzip"}
    with peer(lambda *_: Answer(body, 302, headers)) as server:
        with_vault(lab, server.url)
        run = spent(lab, "sync")
    assert run.code == 4 and run.megabytes < 150


def test_a_lookup_that_lasts_for_ever(lab: Lab) -> None:
    lab.job("job", "vault", {"path": "kv/**"})
    with peer(lambda *_: Answer(b'{"data": {"ttl": 1' + b"0" * 400 + b"}}")) as server:
        with_vault(lab, server.url)
        assert lab.run("sync").code == 4


def test_nulls_for_a_secret_are_no_absence(lab: Lab) -> None:
    """The listing lacks it, and the direct look gets an answer of nulls."""
    version = metadata()["versions"]["1"] | {"version": 1}
    nulls: list[bool] = []

    def answer(method: str, path: str) -> Answer | None:
        if method == "SCAN":
            keys = ["b"] if nulls else ["a", "b"]
            return Answer({"data": {"keys": keys, "key_info": {key: metadata() for key in keys}}})
        if "/metadata/" in path:
            return Answer({"data": {"current_version": 1, "versions": {}}})
        if "/data/" in path:
            told = {"data": None, "metadata": None} if nulls else {"data": {"v": "1"}, "metadata": version}
            return Answer({"data": told})
        return None

    lab.job("job", "vault", {"path": "kv/**"}, **DELETING)
    with peer(vault(answer)) as server:
        with_vault(lab, server.url)
        assert lab.run("sync").code == 0
        nulls.append(True)
        for _ in range(3):
            lab.run("sync")
    assert set(lab.ids()) == {"a_v", "b_v"}


@pytest.mark.parametrize("listed", [{"SecretList": [None]}, {"SecretList": [{"Name": "app/a", "Tags": [None]}]}])
def test_nulls_in_aws_listings(lab: Lab, listed: dict[str, Any]) -> None:
    with peer(aws_peer({"list": listed})) as server:
        lab.aws(server.url)
        lab.job("job", "aws", {"path": "app/*", "tags": {"k": "v"}})
        assert lab.run("sync").code in {0, 4}


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
