"""Well-formed answers of a source that prove no absence, and answers without an end."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

import syncd.sources.aws.listing
import syncd.sources.vault.listing
from tests.chaos.peers import Answer, metadata, peer, spent, vault
from tests.lab import Bao, Lab
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind

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


@pytest.mark.sweep
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


@pytest.mark.sweep
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


@pytest.mark.sweep
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
    monkeypatch.setattr(syncd.sources.aws.listing, "MOST_PAGES", 50)
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


@pytest.mark.long
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
