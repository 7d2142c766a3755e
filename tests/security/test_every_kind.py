"""Credentials of every kind, peers that echo them, and whoever listens: library loggers, crash dumps, the server."""

from __future__ import annotations

import json
import logging
import pickle
import secrets
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from syncd.domain import Record, SecretRef, SecretValue
from syncd.sandbox.launchers import free_ports
from tests.chaos.peers import Answer, metadata, peer, vault
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.daemon import ask, running
from tests.support.waiting import until


def planted() -> str:
    return f"planted-{secrets.token_hex(16)}"


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What every library says to the root logger at DEBUG."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(f"{record.getMessage()} {record.__dict__}")

    ear, root = Ear(level=logging.DEBUG), logging.getLogger()
    before = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    yield said
    root.removeHandler(ear)
    root.setLevel(before)


METHODS: dict[str, dict[str, str]] = {
    "token": {"token": "secret"},
    "approle": {"role_id": "plain", "secret_id": "secret"},
    "userpass": {"username": "plain", "password": "secret"},
    "jwt": {"role": "plain", "jwt": "secret"},
    "kubernetes": {"role": "plain", "jwt": "secret"},
}


def login(lab: Lab, method: str, secret: str) -> dict[str, Any]:
    lab.secret_file("credential", secret)
    where = {"file": str(lab.folder / "credential")}
    plain = {"role_id": {"file": str(lab.secret_file("role-id", "role"))}} if method == "approle" else {}
    return {"method": method} | {
        key: where if kind == "secret" else plain.get(key, "somebody") for key, kind in METHODS[method].items()
    }


@pytest.mark.sweep
@pytest.mark.parametrize("status", [400, 403, 500, 200])
@pytest.mark.parametrize("method", METHODS)
def test_a_vault_that_echoes_the_login(lab: Lab, heard: list[str], method: str, status: int) -> None:
    secret = planted()

    def echo(_method: str, path: str, body: bytes) -> Answer:
        said = body.decode() + secret + path
        return Answer({"errors": [said], "data": {"keys": said}, "auth": said, "warnings": [said]}, status)

    with peer(echo) as server:
        lab.config["sources"]["vault"] = {
            "type": "vault", "address": server.url, "auth": login(lab, method, secret),
        }  # fmt: skip
        lab.job("job", "vault", {"path": "kv/**"})
        shown = [lab.run(*words, options=("--debug",)) for words in (["sync"], ["plan"], ["check", "--connect"])]
        assert any(secret in str(one) for one in server.asked) or method not in {"token"}
    for one in shown:
        assert one.code in {4, 5}, one.err
        assert secret not in one.out + one.err
    assert not any(secret in line for line in heard)
    assert not any(secret in path.read_text("latin-1") for path in lab.state.parent.iterdir())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 428, 500, 200])
def test_a_wix_that_echoes_what_it_was_sent(lab: Lab, bao: Bao, heard: list[str], status: int) -> None:
    value = planted()
    bao.put("app/a", v=value)
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})

    def echo(method: str, _path: str, body: bytes) -> Answer:
        if method == "GET":
            return Answer({"secrets": []})
        said = body.decode() + value + lab.key
        violation = {"field": said, "description": said, "violatedRule": said, "ruleName": said, "data": {"v": said}}
        details = {
            "applicationError": {"code": said, "description": said},
            "validationError": {"fieldViolations": [violation]},
        }
        return Answer({"message": said, "id": said, "details": details}, status, {"X-Wix-Request-Id": said[:70]})

    with peer(echo) as server:
        lab.config["targets"]["shop"]["base_url"] = server.url
        shown = [lab.run("sync", *more, options=("--debug",)) for more in ([], ["--json"])]
        shown += [lab.run("status"), lab.run("explain", "a_v"), lab.run("state", "export")]
    for one in shown:
        assert value not in one.out + one.err and lab.key not in one.out + one.err
    assert not any(value in line or lab.key in line for line in heard)
    assert not any(value in path.read_text("latin-1") for path in lab.state.parent.iterdir())


@pytest.mark.parametrize("answer", ["refuses", "gives a broken token"])
def test_an_app_secret_and_its_token(lab: Lab, bao: Bao, heard: list[str], answer: str) -> None:
    secret = planted()
    lab.vault(bao)
    lab.secret_file("app-secret", secret)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})

    def echo(_method: str, _path: str, body: bytes) -> Answer:
        said = body.decode() + secret
        return Answer({"message": said}, 400) if answer == "refuses" else Answer({"access_token": said + "\n"})

    with peer(echo) as server:
        lab.config["targets"]["shop"] = {
            "type": "wix", "base_url": server.url,
            "auth": {
                "method": "app", "app_id": "app", "instance_id": "instance",
                "app_secret": {"file": str(lab.folder / "app-secret")},
            },
        }  # fmt: skip
        shown = [lab.run(*words, options=("--debug",)) for words in (["sync"], ["check", "--connect"])]
    for one in shown:
        assert one.code == 5 and secret not in one.out + one.err, one.out + one.err
    assert not any(secret in line for line in heard)


def test_a_good_cycle_is_silent_at_every_logger(lab: Lab, bao: Bao, aws: Any, aws_url: str, heard: list[str]) -> None:
    values = [planted(), planted()]
    bao.put("app/a", v=values[0])
    aws.create_secret(Name="leak/a", SecretString=values[1])
    lab.vault(bao)
    lab.aws(aws_url)
    lab.job("vault", "vault", {"path": f"{bao.mount}/app/*"})
    lab.job("aws", "aws", {"path": "leak/*"})
    heard.clear()  # boto3 of the test itself
    result = lab.run("sync", options=("--debug",))
    assert result.code == 0 and set(lab.site.values().values()) == set(values)
    for secret in (*values, bao.token, lab.key, AWS_ENVIRON["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in result.out + result.err and not any(secret in line for line in heard)


def test_a_password_in_the_address_of_the_ledger(lab: Lab, bao: Bao, heard: list[str]) -> None:
    secret = planted()
    lab.vault(bao)
    lab.secret_file("url", f"postgresql://syncd:{secret}@127.0.0.1:1/none")
    key = {"file": str(lab.secret_file("fingerprint-key", secrets.token_hex(32)))}
    lab.config["state"] = {"url": {"file": str(lab.folder / "url")}, "fingerprint_key": key}
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    for words in (["sync"], ["status"], ["plan"]):
        result = lab.run(*words, options=("--debug",))
        assert result.code == 7 and secret not in result.out + result.err
    assert not any(secret in line for line in heard)


@pytest.mark.parametrize(
    "where",
    [
        "syncd.reconcile.apply.applier.after_success",
        "syncd.reconcile.desired.desired_state.extract",
        "syncd.targets.wix.retries.exchange",
        "syncd.reconcile.planned_pass.recover",
    ],
)
def test_a_bug_shows_nothing_of_its_text(lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """An exception that we know nothing of, with everything in its message and its locals."""
    value = planted()
    bao.put("app/a", v=value)
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})

    def broken(*args: Any, **options: Any) -> Any:
        everything = f"{value} {lab.key} {args!r} {options!r}"
        raise ZeroDivisionError(everything)

    monkeypatch.setattr(where, broken)
    result = lab.run("sync", options=("--debug",))
    assert result.code == 70 and "bug: ZeroDivisionError" in result.err and "broken" in result.err
    assert value not in result.out + result.err and lab.key not in result.out + result.err


def test_a_crash_dump_holds_no_value(lab: Lab, bao: Bao) -> None:
    """faulthandler prints frames, in the middle of a write; nothing is left in temporary files."""
    value = planted()
    bao.put("app/a", v=value)
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.site.options.latency = 3
    temporary = lab.folder / "tmp"
    temporary.mkdir()
    process = lab.popen("--debug", "sync", PYTHONFAULTHANDLER="1", TMPDIR=str(temporary))
    until(lambda: bao.token and lab.site._accepted and len(lab.site._accepted) >= 2)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    process.send_signal(signal.SIGABRT)
    out, err = process.communicate(timeout=30)
    assert "Fatal Python error: Aborted" in err and "in exchange" in err, err
    files = [
        path.read_text("latin-1") for path in (*temporary.rglob("*"), *lab.state.parent.iterdir()) if path.is_file()
    ]
    for text in (out, err, listed, *files):
        assert value not in text and bao.token not in text and lab.key not in text


def test_the_server_shows_no_value_and_names_only_with_its_token(lab: Lab, bao: Bao) -> None:
    values = [planted(), "x" * 4000 + planted()]
    bao.put("app/a", v=values[0], long=values[1])
    lab.vault(bao)
    lab.secret_file("api-token", token := planted())
    lab.config["server"] = {"listen": f"127.0.0.1:{free_ports(1)}", "token": {"file": str(lab.folder / "api-token")}}
    lab.job("payments", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"})
    with running(lab) as (process, url):
        until(lambda: lab.site.values())
        until(lambda: json.loads(ask(url + "/status")[1])["jobs"][0]["targets"])
        pages = {path: ask(url + path)[1] for path in ("/livez", "/readyz", "/metrics", "/status", "/")}
        known = [ask(url + path, token=token)[1] for path in ("/status", "/")]
        wrong = [ask(url + path, method, "wrong")[1] for path, method in (("/status", "GET"), ("/-/sync", "POST"))]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    for text in (*pages.values(), *known, *wrong, out, err):
        for secret in (*values, bao.token, lab.key, token):
            assert secret not in text
    for path in ("/status", "/"):
        assert not any(name in pages[path] for name in ("payments", "a_v", "shop", bao.mount)), path


def fingerprints(lab: Lab) -> list[str]:
    with sqlite3.connect(lab.state) as ledger:
        rows = [row[0] for row in ledger.execute("SELECT fingerprint FROM syncd_records")]
    ledger.close()
    return rows


def test_fingerprints_are_kept_and_never_shown(lab: Lab, bao: Bao) -> None:
    bao.put("app/a", v=planted())
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    (kept,) = fingerprints(lab)
    bao.put("app/a", v=planted())
    plan = lab.folder / "plan.json"
    shown = [
        lab.run(*words, options=("--debug",))
        for words in (
            ["plan", "--out", str(plan)], ["plan", "--json"], ["state", "export"], ["state", "list", "--json"],
            ["explain", "a_v", "--json"], ["status", "--json"], ["sync", "--json"],
        )
    ]  # fmt: skip
    for text in (*(one.out + one.err for one in shown), plan.read_text()):
        assert kept not in text and kept[:16] not in text
    record = Record(site="s", name="n", target="t", job="j", ref=SecretRef(source="v", path="p"), fingerprint=kept)
    assert kept not in repr(record)


@pytest.mark.parametrize(
    "show", [repr, str, "{}".format, "{:>40}".format, lambda v: json.dumps(v, default=str), lambda v: f"{v!r:>9}", "%s".__mod__],
)  # fmt: skip
def test_a_value_masks_itself(show: Callable[[Any], str]) -> None:
    secret = planted()
    assert secret not in show(SecretValue(secret)) and secret not in str([SecretValue(secret)])
    assert secret.encode() not in pickle.dumps(SecretValue(secret))


def test_a_broken_configuration_shows_nothing_of_what_was_written(lab: Lab) -> None:
    """A credential written into the file, a mistyped key beside it, a value of the wrong type."""
    secret = planted()
    lab.config["targets"]["shop"]["auth"]["api_key"] = secret
    lab.config["targets"]["shop"]["tokn"] = secret
    lab.config["state"] = {"path": [secret]}
    lab.config["owner"] = {"x": secret}
    result = lab.run("check", options=("--debug",))
    assert result.code == 3 and "not written into the file" in result.err
    assert secret not in result.out + result.err


def test_a_credential_that_a_library_would_print(lab: Lab, bao: Bao) -> None:
    """http.client names a header that it cannot send; such a credential never comes that far."""
    for broken in ("line\nbreak", "ünïcode", "nul\0", "tab\tbed", "two\r\nlines"):
        secret = planted()
        lab.vault(bao)
        lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
        (lab.folder / "vault-token").write_text(secret + broken)
        result = lab.run("sync", options=("--debug",))
        assert result.code == 3 and "visible ASCII" in result.err
        assert secret not in result.out + result.err


def test_what_a_vault_returns_for_a_token_is_not_printed(lab: Lab) -> None:
    """A login's answer holds a token that no header can carry."""
    token = planted() + "\nnext"
    lab.config["sources"]["vault"] = {}
    with peer(lambda *_: Answer({"auth": {"client_token": token, "lease_duration": 60}})) as server:
        lab.config["sources"]["vault"] = {
            "type": "vault", "address": server.url, "auth": login(lab, "userpass", planted()),
        }  # fmt: skip
        lab.job("job", "vault", {"path": "kv/**"})
        result = lab.run("sync", options=("--debug",))
    assert result.code == 4 and token.partition("\n")[0] not in result.out + result.err, result.err


def test_metadata_is_not_taken_for_a_value(lab: Lab) -> None:
    """A Vault that answers a value where metadata belongs: nothing of it is shown."""
    value = planted()
    listing = Answer({"data": {"keys": ["a"], "key_info": {"a": metadata(current_version=value, created_time=value)}}})
    with peer(vault(lambda method, _path: listing if method == "SCAN" else None)) as server:
        lab.secret_file("vault-token", planted())
        lab.config["sources"]["vault"] = {
            "type": "vault", "address": server.url,
            "auth": {"method": "token", "token": {"file": str(lab.folder / "vault-token")}},
        }  # fmt: skip
        lab.job("job", "vault", {"path": "kv/**"})
        result = lab.run("sync", options=("--debug",))
    assert result.code == 4 and value not in result.out + result.err


@pytest.mark.parametrize("where", ["code", "request id", "id"])
def test_a_wix_that_echoes_a_value_where_an_id_belongs(lab: Lab, bao: Bao, where: str) -> None:
    value = "PLANTED" + "".join(secrets.choice("ABCDEFGHIJ") for _ in range(20))
    bao.put("app/a", v=value)
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})

    def echo(method: str, _path: str, _body: bytes) -> Answer:
        if method == "GET":
            return Answer({"secrets": []})
        if where == "id":
            return Answer({"id": value})
        code = value if where == "code" else "INVALID"
        headers = {"X-Wix-Request-Id": value if where == "request id" else "r-1"}
        return Answer({"message": "", "details": {"applicationError": {"code": code}}}, 400, headers)

    with peer(echo) as server:
        lab.config["targets"]["shop"]["base_url"] = server.url
        shown = [lab.run(*words, options=("--debug",)) for words in (["sync"], ["sync", "--json"], ["state", "export"])]
    for text in (*(one.out + one.err for one in shown), *(p.read_text("latin-1") for p in lab.state.parent.iterdir())):
        assert value not in text


def test_a_vault_that_echoes_the_token_into_the_ledger(lab: Lab) -> None:
    token = planted()
    lab.secret_file("vault-token", token)
    lab.job("job", "vault", {"path": "kv/**"})
    listing = Answer({"data": {"keys": ["a"], "key_info": {"a": metadata(created_time=token)}}})
    mount = Answer({"data": {"type": "kv", "path": "kv/", "options": {"version": "2"}, "uuid": token}})
    with peer(vault(lambda m, path: listing if m == "SCAN" else mount if "/mounts/" in path else None)) as server:
        lab.config["sources"]["vault"] = {
            "type": "vault", "address": server.url,
            "auth": {"method": "token", "token": {"file": str(lab.folder / "vault-token")}},
        }  # fmt: skip
        done = lab.run("sync", options=("--debug",))
    assert done.code == 4
    for text in (done.out, done.err, *(path.read_text("latin-1") for path in lab.state.parent.iterdir())):
        assert token not in text
