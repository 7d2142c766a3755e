"""Whatever comes from outside: nothing but our own errors, no hang, no illegal name."""

from __future__ import annotations

import copy
import json
import os
import string
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import syncd.sources.retry
from syncd.config import load
from syncd.domain import Glob, RemoteSecret, Rule, SecretValue, Snapshot, WriteResult
from syncd.errors import ConfigError, SyncdError
from syncd.reconcile.saved_plan import FORMAT, read
from syncd.sandbox.launchers import OpenBao
from syncd.sandbox.wix_server import Wix, serving
from syncd.sources.aws.source import AwsSource
from syncd.sources.vault import Login, Server, VaultClient, VaultSource
from syncd.targets.wix.auth import ApiKeyAuth
from syncd.targets.wix.retries import Line
from syncd.targets.wix.target import WixTarget
from syncd.transport.httpx_client import client_for
from tests.chaos.peers import Answer, Peer, metadata, peer, vault
from tests.lab import Bao, Lab
from tests.support.aws import aws_at

TIMES = int(os.environ.get("SYNCD_FUZZ_TIMES", "1"))
"""How many times the usual number of examples: `make fuzz`."""
EXAMPLES = [yaml.safe_load(path.read_text()) for path in sorted(Path("config").glob("*.yaml"))]
ODD = st.sampled_from(
    ["", "\0", "\ud800", "../..", "*", "**", "{", "{path!r}", "{0}", "1e999", "9" * 400, "0x", "~", "{env: X}", "a\nb"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | ODD
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | ODD, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def places(thing: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree."""
    yield here
    items = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    for key, value in items:
        yield from places(value, (*here, key))


def put(thing: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    thing = copy.deepcopy(thing)
    parent = thing
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    return thing


def grown(examples: list[Any]) -> st.SearchStrategy[Any]:
    """An honest tree with some of its places replaced by anything."""

    @st.composite
    def one(draw: st.DrawFn) -> Any:
        tree = draw(st.sampled_from(examples))
        for _ in range(draw(st.integers(0, 3))):
            tree = put(tree, draw(st.sampled_from(list(places(tree)))), draw(JSON))
        return tree

    return one()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "syncd.yaml"


@settings(max_examples=200 * TIMES)
@given(tree=grown(EXAMPLES))
def test_configurations(file: Path, tree: Any) -> None:
    with suppress(UnicodeEncodeError):
        file.write_text(yaml.safe_dump(tree, allow_unicode=False))
        try:
            load(file)
        except ConfigError as error:
            assert error.message and error.hint


@settings(max_examples=150 * TIMES)
@given(data=st.binary(max_size=300) | st.text(alphabet=string.printable, max_size=300).map(str.encode))
def test_files_of_anything(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    with suppress(ConfigError):
        load(file)


KEPT = {
    "format": FORMAT, "configuration": "x",
    "plans": [{"job": "j", "target": "t", "site": "s", "actions": [
        {"action": "update", "name": "A", "ref": {"source": "v", "path": "p", "field": "f"}, "version": "1"}]}],
}  # fmt: skip


@settings(max_examples=100 * TIMES)
@given(tree=grown([KEPT]))
def test_kept_plans(file: Path, tree: Any) -> None:
    with suppress(UnicodeEncodeError):
        file.write_text(json.dumps(tree))
        with suppress(SyncdError):
            read(file)


# --- Wix


@pytest.fixture(scope="module")
def answered() -> Iterator[tuple[list[Answer], Peer]]:
    """A server that gives the one answer in the list to every call."""
    given_: list[Answer] = [Answer()]
    with peer(lambda *_: given_[0]) as server:
        yield given_, server


class Free:
    """A quota without end."""

    def take(self) -> tuple[int, timedelta]:
        return 1, timedelta(0)

    def room(self) -> int:
        return 1

    def answered(self, ticket: int) -> None:
        pass


@pytest.fixture(scope="module")
def wix(answered: tuple[list[Answer], Peer]) -> Iterator[WixTarget]:
    stop = threading.Event()
    stop.set()  # nothing is waited for, nothing sent again
    client = client_for(answered[1].url, seconds=8, connections=2)
    line = Line(
        name="shop", site="s", base_url=answered[1].url, client=client,
        auth=ApiKeyAuth("s", lambda: SecretValue("generated")), quota=Free(), window_seconds=60, stop=stop,
    )  # fmt: skip
    yield WixTarget(line)
    client.close()


LISTED = {
    "secrets": [
        {"id": "00000000-0000-4000-8000-00000000000a", "name": "A", "description": "d [syncd:o:12345678]",
         "createdDate": "2026-01-01T00:00:00Z", "updatedDate": "2026-01-01T00:00:00.123Z"},
    ],
    "id": "00000000-0000-4000-8000-00000000000b", "value": "v", "message": "m",
    "details": {"applicationError": {"code": "NOT_FOUND", "description": "", "data": {}}},
}  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["Date", "Retry-After", "X-Wix-Request-Id", "Content-Type", "Location"]),
    st.text(alphabet=string.ascii_letters + string.digits + " :,-+.", max_size=40),
    max_size=3,
)


@settings(max_examples=200 * TIMES)
@given(
    tree=grown([LISTED]) | JSON,
    raw=st.none() | st.binary(max_size=60),
    status=st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 409, 418, 428, 429, 500, 504, 599]),
    headers=HEADERS,
)
def test_wix_answers(
    answered: tuple[list[Answer], Peer],
    wix: WixTarget,
    tree: Any,
    raw: bytes | None,
    status: int,
    headers: dict[str, str],
) -> None:
    body = json.dumps(tree).encode() if raw is None else raw
    answered[0][0] = Answer(body if status != 204 else b"", status, headers)
    value = SecretValue("generated")
    for call, kind in (
        (wix.list, tuple),
        (lambda: wix.create("A", value, "d"), WriteResult),
        (lambda: wix.update("id-1", name="A", value=value, description="d"), WriteResult),
        (lambda: wix.delete("id-1"), WriteResult),
        (lambda: wix.value("A"), SecretValue | None),
    ):
        try:
            told = call()
        except SyncdError as error:
            assert error.message and "generated" not in error.message
            continue
        assert isinstance(told, kind)
        if isinstance(told, tuple):
            assert all(isinstance(one, RemoteSecret) and one.id and one.name for one in told)
        if isinstance(told, WriteResult):
            json.dumps([told.id, told.request_id]).encode()


# --- Vault


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked again: waiting finds nothing."""
    monkeypatch.setattr(syncd.sources.retry, "TRIED_FOR", 0.0)


def answers() -> dict[str, Any]:
    version = metadata()["versions"]["1"] | {"version": 1}
    return {
        "login": {"data": {"ttl": 0, "renewable": False}},
        "mount": {"data": {"type": "kv", "path": "kv/", "options": {"version": "2"}, "uuid": "u-1"}},
        "list": {"data": {"keys": ["a", "b/"], "key_info": {"a": metadata(), "b/": metadata()}}},
        "metadata": {"data": metadata()},
        "data": {"data": {"data": {"v": "generated"}, "metadata": version}},
    }


@pytest.fixture(scope="module")
def vaulted() -> Iterator[tuple[list[Any], str]]:
    """A server that answers as the function in the list says."""
    handler: list[Any] = [None]
    with peer(lambda *asked: handler[0](*asked)) as server:
        yield handler, server.url


@settings(max_examples=150 * TIMES)
@given(
    tree=grown([answers()]),
    status=st.sampled_from([200, 200, 200, 200, 204, 400, 403, 404, 405, 412, 429, 500, 503]),
    broken=st.sampled_from(["login", "mount", "list", "metadata", "data"]),
    scans=st.booleans(),
    path=st.sampled_from(["kv/**", "kv/*", "kv/a", "kv/b/**"]),
    pin=st.sampled_from(["", "1", "2"]),
)
def test_vault_answers(
    vaulted: tuple[list[Any], str], tree: Any, status: int, broken: str, scans: bool, path: str, pin: str
) -> None:
    told = tree if isinstance(tree, dict) else {}

    def answer(method: str, where: str, _body: bytes) -> Answer:
        what = (
            "login" if "/auth/" in where else "mount" if "/mounts/" in where
            else "list" if method in {"LIST", "SCAN"} else "metadata" if "/metadata/" in where else "data"
        )  # fmt: skip
        if method == "SCAN" and not scans:
            return Answer({"errors": []}, 405)
        if method == "LIST" and where.rstrip("/") != "/v1/kv/metadata":
            return Answer({"errors": []}, 404)
        return Answer(json.dumps(told.get(what)).encode() if status != 204 else b"", status if what == broken else 200)

    now = datetime(2026, 6, 1, tzinfo=UTC)
    vaulted[0][0] = answer
    login = Login(method="token", credentials={"token": lambda: SecretValue("generated")})
    client = VaultClient(Server(name="vault", address=vaulted[1]), login, lambda: now)
    source = VaultSource(client, lambda: now)
    rule = Rule(index=0, source="vault", path=Glob(path), field="*", name="{path}_{field}", pin=pin)
    with suppress(SyncdError):
        snapshot = source.snapshot(rule)
        assert isinstance(snapshot, Snapshot)
        assert snapshot.complete == all(failure.of_secret for failure in snapshot.failures)
        assert all(entry.ref.path.startswith("kv/") and ".." not in entry.ref.path for entry in snapshot.entries)
        for reading in source.read(snapshot.entries):
            assert reading.document is not None or reading.failure or reading.gone
            if reading.document is not None:
                assert isinstance(reading.document.reveal(), dict)
                assert reading.version or reading.entry.version is None  # KV v1 has none
    with suppress(SyncdError):
        source.check_path("kv/a")
    source.close()


# --- AWS


def aws_answers() -> dict[str, Any]:
    stages = {"00000000-0000-4000-8000-00000000000c": ["AWSCURRENT"]}
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kv/a-Ab12Cd"
    secret = {"ARN": arn, "Name": "kv/a", "Tags": [{"Key": "owner", "Value": "me"}], "LastChangedDate": 1767225600.0}
    value = {
        "ARN": arn, "Name": "kv/a", "VersionId": next(iter(stages)), "SecretString": '{"v": "generated"}',
        "VersionStages": ["AWSCURRENT"], "CreatedDate": 1767225600.0,
    }  # fmt: skip
    return {
        "ListSecrets": {"SecretList": [secret | {"SecretVersionsToStages": stages}], "NextToken": ""},
        "DescribeSecret": secret | {"VersionIdsToStages": stages},
        "BatchGetSecretValue": {"SecretValues": [value], "Errors": []},
        "GetSecretValue": value,
    }


REFUSED = st.sampled_from(
    ["", "ResourceNotFoundException", "AccessDeniedException", "ThrottlingException", "Odd", "\0"]
)


@pytest.fixture(scope="module")
def aws_peer() -> Iterator[tuple[list[Any], AwsSource]]:
    """A server that answers as the function in the list says, and a source on it."""
    handler: list[Any] = [None]
    with peer(lambda *asked: handler[0](*asked)) as server:
        source = aws_at(server.url)
        yield handler, source
        source.close()


@settings(max_examples=150 * TIMES)
@given(
    tree=grown([aws_answers()]),
    status=st.sampled_from([200, 200, 200, 200, 204, 400, 400, 403, 500, 503]),
    broken=st.sampled_from(sorted(aws_answers())),
    refused=REFUSED,
    raw=st.none() | st.none() | st.binary(max_size=60),
    path=st.sampled_from(["kv/**", "*", "kv/a"]),
    pin=st.sampled_from(["", "AWSCURRENT", "AWSPENDING"]),
)
def test_aws_answers(
    aws_peer: tuple[list[Any], AwsSource],
    tree: Any,
    status: int,
    broken: str,
    refused: str,
    raw: bytes | None,
    path: str,
    pin: str,
) -> None:
    told = tree if isinstance(tree, dict) else {}

    def answer(_method: str, _where: str, asked: bytes) -> Answer:
        words = json.loads(asked)
        call = (
            "BatchGetSecretValue" if "SecretIdList" in words else "ListSecrets" if "MaxResults" in words
            else "GetSecretValue" if "VersionStage" in words or "VersionId" in words else "DescribeSecret"
        )  # fmt: skip
        if call != broken:
            return Answer(json.dumps(told.get(call)).encode())
        body = json.dumps({"__type": refused, "message": "m"} if status >= 400 else told.get(call)).encode()
        return Answer(b"" if status == 204 else body if raw is None else raw, status)

    aws_peer[0][0], source = answer, aws_peer[1]
    rule = Rule(index=0, source="aws", path=Glob(path), field="*", name="{path}_{field}", pin=pin)
    with suppress(SyncdError):
        snapshot = source.snapshot(rule)
        assert isinstance(snapshot, Snapshot)
        for reading in source.read(snapshot.entries):
            assert reading.document is not None or reading.failure or reading.gone
            if reading.document is not None:
                assert isinstance(reading.document.reveal(), str | bytes)
                assert reading.version or reading.entry.version
    with suppress(SyncdError):
        source.check_path("kv/a")


# --- The environment


VARIABLES = (
    "SYNCD_CONFIG", "VAULT_ADDR", "VAULT_TOKEN", "VAULT_NAMESPACE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE",
    "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HOME", "TZ", "NO_COLOR", "COLUMNS", "LANG", "TMPDIR", "PATH", "USER", "SUDO_USER", "CI", "PAGER",
)  # fmt: skip


@pytest.fixture(scope="module")
def own_lab(bao_server: OpenBao, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A job whose credentials come from the environment."""
    wix = Wix()
    with serving(wix) as url:
        one, mount = Lab(tmp_path_factory.mktemp("fuzz-lab"), wix, url), Bao(bao_server, "fuzz", bao_server.token)
        mount.enable()
        mount.put("app/a", v="1")
        one.vault(mount)
        one.config["sources"]["vault"]["auth"] = {"method": "token", "token": {"env": "VAULT_TOKEN"}}
        one.job("job", "vault", {"path": "fuzz/app/*"})
        yield one
        mount.root.sys.disable_secrets_engine("fuzz")


@settings(max_examples=4 * TIMES)
@given(
    given_=st.dictionaries(
        st.sampled_from(VARIABLES),
        st.text(min_size=0, max_size=20).filter(lambda word: "\0" not in word)
        | st.sampled_from(
            ["http://[", "://", "127.0.0.1:1", "/dev/null", "/proc/self/mem", "-1", "9" * 400, "x" * 9000]
        ),
        min_size=1,
        max_size=4,
    ),
    command=st.sampled_from([("check",), ("plan",), ("status",), ("sync",), ("check", "--connect")]),
)
def test_environments(own_lab: Lab, bao_server: OpenBao, given_: dict[str, str], command: tuple[str, ...]) -> None:
    token = bao_server.token
    process = own_lab.popen(*command, **({"VAULT_TOKEN": token} | given_))
    _, err = process.communicate(timeout=60)
    assert process.returncode in range(7) and "Traceback" not in err, (given_, err)


def test_the_honest_answers_are_understood() -> None:
    """What is grown from them says something only where they themselves pass."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    told = answers()
    with peer(vault(lambda method, where: Answer(told["data" if "/data/" in where else "list"]))) as server:
        login = Login(method="token", credentials={"token": lambda: SecretValue("generated")})
        client = VaultClient(Server(name="vault", address=server.url), login, lambda: now)
        source = VaultSource(client, lambda: now)
        del told["list"]["data"]["key_info"]["b/"]
        told["list"]["data"] |= told["mount"]["data"]
        rule = Rule(index=0, source="vault", path=Glob("kv/**"), field="*", name="{path}")
        snapshot = source.snapshot(rule)
        assert snapshot.complete and [entry.ref.path for entry in snapshot.entries] == ["kv/a"]
        assert [reading.document.reveal() for reading in source.read(snapshot.entries)] == [{"v": "generated"}]
        source.close()
