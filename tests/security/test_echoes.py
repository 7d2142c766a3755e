"""Nothing secret can be sent without being looked for in what comes back; a place of the configuration shows nothing."""

from __future__ import annotations

import base64
import inspect
import json
import os
import secrets
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml

from syncd.domain import SecretValue
from syncd.targets.wix.http import REQUEST_ID, exchange
from syncd.transport.echoes import echoes
from tests.chaos.peers import Answer, metadata, peer, vault
from tests.lab import Bao, Lab

ENCODED: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "a part": lambda text: text[5:17],
    "the first 80": lambda text: (text * 5)[:80],
    "upper case": str.upper,
    "without its signs": lambda text: "".join(char for char in text if char.isalnum()),
    "within more": lambda text: f"id-{text}-1",
    "base64": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "in a URL": lambda text: quote(text, safe=""),
}


@pytest.mark.parametrize("form", ENCODED)
def test_a_part_of_a_secret_is_seen_in_any_form(form: str) -> None:
    secret = "s.Ab/" + secrets.token_urlsafe(24)
    assert echoes(ENCODED[form](secret), [secret])
    for honest in ("1764071234.5678123456789", "RESOURCE_EXHAUSTED", secrets.token_hex(16), "", "x"):
        assert not echoes(honest, [secret])


@pytest.mark.parametrize("run", [8, 16])
@pytest.mark.parametrize("length", range(6, 21))
def test_a_text_of_any_length_that_is_a_part_is_seen(run: int, length: int) -> None:
    """Shorter than the run that is looked for, it is looked for whole."""
    secret = secrets.token_urlsafe(30)
    assert echoes(secret[5 : 5 + length].upper(), [secret], run)
    assert not echoes(secrets.token_urlsafe(30)[:length], [secret], run)


def test_what_is_sent_is_said() -> None:
    """There is no way to send something without naming it: both parts are required, and secrets go by their type."""
    told = inspect.signature(exchange).parameters
    assert told["payload"].default is told["headers"].default is inspect.Parameter.empty
    assert "SecretValue" in str(told["headers"].annotation)


@pytest.mark.sweep
@pytest.mark.parametrize("form", ENCODED)
@pytest.mark.parametrize("where", ["token", "listing", "creation", "429"])
def test_a_peer_that_gives_back_what_it_was_sent(lab: Lab, bao: Bao, form: str, where: str) -> None:
    """As a request id, an error's code, an id or a name, in whatever encoding."""
    app_secret, token, value = (f"{kind}.{secrets.token_urlsafe(24)}" for kind in ("app", "tok", "val"))
    lab.secret_file("app-secret", app_secret)
    lab.vault(bao)
    bao.put("app/x", v=value)

    def answer(method: str, path: str, _body: bytes) -> Answer:
        if path.endswith("/oauth2/token"):
            bad = {"message": app_secret, "details": {"applicationError": {"code": app_secret}}}
            if where == "token":
                return Answer(bad, 400, {"X-Wix-Request-Id": ENCODED[form](app_secret)})
            return Answer(
                {"access_token": token, "expires_in": 14400}, 200, {"X-Wix-Request-Id": ENCODED[form](app_secret)}
            )
        echo = {"X-Wix-Request-Id": ENCODED[form](token if method == "GET" else value)}
        if where == "429":
            return Answer(
                {"details": {"applicationError": {"code": ENCODED[form](token).upper()}}},
                429,
                {**echo, "Retry-After": "0"},
            )
        if method == "GET":
            listed = (
                [{"id": "a" * 8, "name": token, "description": f"[syncd:lab:{token[:8]}]"}]
                if where == "listing"
                else []
            )
            return Answer({"secrets": listed}, 200, echo)
        return Answer({"id": ENCODED[form](value)}, 200, echo)

    with peer(answer) as server:
        auth = {
            "method": "app",
            "app_id": "a",
            "instance_id": "i",
            "app_secret": {"file": str(lab.folder / "app-secret")},
        }
        lab.config["targets"]["shop"] |= {"base_url": server.url, "auth": auth, "rate_limit": "900/1s"}
        lab.job("job", "vault", {"path": f"{bao.mount}/**"})
        shown = ""
        for words in (("sync",), ("plan", "--json"), ("status",), ("explain", "x_v"), ("state", "export")):
            result = lab.run(*words, options=("--debug",))
            shown += result.out + result.err
        if where == "listing":
            assert lab.run("check", "--connect").code == 5, "a listing that holds the token is not Wix's"
    kept = b"".join(path.read_bytes() for path in lab.state.parent.iterdir())
    for secret in (app_secret, token, value):
        assert not echoes_within(shown, secret), shown
        assert secret.encode() not in kept and ENCODED[form](secret).encode() not in kept


def echoes_within(shown: str, secret: str) -> bool:
    runs = {secret[at : at + 10] for at in range(len(secret) - 9)}
    return any(run.casefold() in shown.casefold() for run in runs) or secret.encode().hex() in shown


def planted() -> str:
    return f"planted-{secrets.token_urlsafe(18)}"


PLACES: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "{KEY}": lambda config, key: config["targets"]["shop"]["auth"].update(api_key={key: None}),
    "{KEY: VALUE}": lambda config, key: config["targets"]["shop"]["auth"].update(api_key={key: key}),
    "plain": lambda config, key: config["targets"]["shop"]["auth"].update(api_key=key),
    "env": lambda config, key: config["targets"]["shop"]["auth"].update(api_key={"env": key}),
    "env that looks like one": lambda config, key: config["targets"]["shop"]["auth"].update(api_key={"env": key.replace("-", "_")}),
    "file": lambda config, key: config["targets"]["shop"]["auth"].update(api_key={"file": key}),
    "a file below a folder that is not there": lambda config, key: config["targets"]["shop"]["auth"].update(api_key={"file": f"/{key}/x"}),
    "both": lambda config, key: config["targets"]["shop"]["auth"].update(api_key={"env": key, "file": key}),
    "a list": lambda config, key: config["targets"]["shop"]["auth"].update(api_key=[key]),
    "a list in env": lambda config, key: config["targets"]["shop"]["auth"].update(api_key={"env": [key]}),
    "method": lambda config, key: config["targets"]["shop"]["auth"].update(method=key),
    "an unknown key": lambda config, key: config["sources"]["vault"]["auth"].update({key: "x"}),
    "an unknown section": lambda config, key: config.update({key: {"a": 1}}),
    "the name of a source": lambda config, key: config["sources"].update({key: None}),
    "a source that is not there": lambda config, key: config["jobs"]["job"].update(source=key),
    "a target that is not there": lambda config, key: config["jobs"]["job"].update(targets=[key, key]),
    "a placeholder": lambda config, key: config["jobs"]["job"]["secrets"][0].update(name="{%s}" % key),
    "a tag": lambda config, key: config["jobs"]["job"]["secrets"][0].update(tags={key: [key]}),
    "the address": lambda config, key: config["sources"]["vault"].update(address=f"https://{key}@host:8200"),
    "a query": lambda config, key: config["sources"]["vault"].update(address=f"https://host:8200/?token={key}"),
    "a duration": lambda config, key: config["jobs"]["job"].update(deletion_grace=key),
    "the rate": lambda config, key: config["targets"]["shop"].update(rate_limit=key),
    "a cron line": lambda config, key: config["jobs"]["job"].update(schedule={"cron": key}),
    "a time zone": lambda config, key: config["jobs"]["job"].update(schedule={"cron": "@daily", "timezone": key}),
    "the token": lambda config, key: config.update(server={"listen": ":0", "token": {"env": key}}),
    "state.url": lambda config, key: config.update(state={"url": {"env": key}, "fingerprint_key": {"file": key}}),
    "the owner": lambda config, key: config.update(owner=f"{key} {key}"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_credential_in_the_wrong_place_is_not_shown(lab: Lab, bao: Bao, place: str) -> None:
    key = planted()
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/**"})
    PLACES[place](lab.config, key)
    for words in (("check",), ("sync",), ("check", "--connect")):
        result = lab.run(*words, options=("--debug",))
        if words != ("check",):
            assert result.code in {3, 4}, (words, result)
        for form in (key, key.replace("-", "_")):
            assert form not in result.out + result.err, result.err
            assert not echoes_within(result.out + result.err, form.removeprefix("planted").strip("-_"))


TEXTS = {
    "an alias": "owner: *KEY\n",
    "an anchor twice": "owner: &KEY a\nstate: &KEY b\n",
    "a tag": "owner: !KEY a\n",
    "a long tag": "owner: !<tag:KEY> a\n",
    "a handle": "owner: !KEY!x a\n",
    "a key twice": "KEY: 1\nKEY: 2\n",
    "a key twice, deep": "targets: {shop: {auth: {KEY: 1, KEY: 2}}}\n",
    "a colon": "owner: a: KEY: b\n",
    "no colon": "owner: x\nKEY\nstate: y\n",
    "a reserved sign": "owner: @KEY\n",
    "an open quote": 'owner: "KEY\n',
    "an open bracket": "owner: [KEY\n",
    "an escape": 'owner: "\\KEY"\n',
    "a template": "owner: {{ KEY }}\n",
    "a directive": "%KEY 1\n---\nowner: x\n",
    "a merge": "<<: KEY\nowner: x\n",
    "two documents": "owner: x\n---\nKEY: 1\n",
}


@pytest.mark.parametrize("text", TEXTS)
def test_broken_yaml_shows_nothing_of_what_was_written(lab: Lab, text: str) -> None:
    key = "planted" + secrets.token_hex(12)
    path = lab.folder / "broken.yaml"
    path.write_text(TEXTS[text].replace("KEY", key))
    for words in (("check",), ("sync",)):
        result = lab.run(*words, options=("--config", str(path), "--debug"))
        assert result.code == 3, result
        assert key not in result.out + result.err and "broken.yaml" in result.err, result.err


@pytest.mark.parametrize("name", ["SYNCD_CONFIG", "NAME=VALUE"])
def test_the_environment_is_not_shown(lab: Lab, bao: Bao, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential that was put where a name of the environment should be, and one that is there under an odd name."""
    key = planted()
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/**"})
    monkeypatch.setenv("WIX_KEY_OF_THE_TEST", f"{key} with a space")
    lab.config["targets"]["shop"]["auth"]["api_key"] = {"env": "WIX_KEY_OF_THE_TEST"}
    result = lab.run("sync")
    assert result.code == 3 and key not in result.out + result.err and "WIX_KEY_OF_THE_TEST" in result.err
    assert "visible ASCII" in result.err and name


def test_places_stay_readable(lab: Lab, bao: Bao) -> None:
    """Masks are no excuse: the place, its line and the fix are there."""
    lab.vault(bao)
    lab.job("payments", "vault", {"path": f"{bao.mount}/**"}, schedule={"evry": "5m"})
    lab.config["targets"]["shop"]["auth"]["api_key"] = {"planted": None}
    result = lab.run("check")
    line = 1 + lab.config_file.read_text().split("\n").index("      evry: 5m")
    assert f"syncd.yaml:{line}: jobs.payments.schedule.evry: unknown key; did you mean every?" in result.err
    assert "targets.shop.auth.api_key: write either {env: NAME} or {file: PATH}" in result.err
    assert yaml.safe_load(lab.config_file.read_text()) and os.environ
    assert str(SecretValue("x")) == "***"


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


@pytest.mark.sweep
@pytest.mark.parametrize("where", ["a folder auth", "a key", "the mount's uuid"])
@pytest.mark.parametrize("form", ["whole", "part", "upper", "base64", "escaped"])
def test_a_vault_that_gives_back_the_token(lab: Lab, form: str, where: str) -> None:
    token = planted()
    told = {"part": token[:-3], "upper": token.upper(), "base64": base64.b64encode(token.encode()).decode()}.get(
        form, token
    )
    lab.secret_file("vault-token", token)
    lab.job("job", "vault", {"path": "kv/auth/x/**" if where == "a folder auth" else "kv/**"})
    key = "a" if where == "the mount's uuid" else told
    listing = json.dumps({"data": {"keys": [key], "key_info": {key: metadata()}}})
    uuid = told if where == "the mount's uuid" else "u"
    mounts = json.dumps({"data": {"type": "kv", "path": "kv/", "options": {"version": "2"}, "uuid": uuid}})
    if form == "escaped":
        listing, mounts = listing.replace(token, escaped(token)), mounts.replace(token, escaped(token))

    def respond(method: str, path: str) -> Answer | None:
        if "/mounts/" in path:
            return Answer(mounts.encode())
        if method == "SCAN":
            return Answer(listing.encode())
        held = {"version": 1, "created_time": "2024-01-01T00:00:00Z", "deletion_time": "", "destroyed": False}
        return Answer({"data": {"data": {"v": "1"}, "metadata": held}}) if "/data/" in path else None

    with peer(vault(respond)) as server:
        auth = {"method": "token", "token": {"file": str(lab.folder / "vault-token")}}
        lab.config["sources"]["vault"] = {"type": "vault", "address": server.url, "auth": auth}
        shown = [lab.run(*words, options=("--debug",)) for words in (("sync",), ("state", "list", "--json"), ("plan",))]
    texts = [one.out + one.err for one in shown]
    texts += [path.read_text("latin-1") for path in lab.state.parent.iterdir()]
    assert shown[0].code == 4 and not [text for text in texts if told in text or token in text]


@pytest.mark.parametrize(("section", "named"), [("sources", "nope"), ("targets", "nope"), ("sources", "1")])
def test_a_key_that_is_no_name_is_not_shown(lab: Lab, bao: Bao, section: str, named: str) -> None:
    key = f"pa55/{secrets.token_urlsafe(12)}+"
    lab.vault(bao)
    lab.job("job", "vault", {"path": "kv/a"})
    lab.config[section][key] = {"a": "b"}
    given = key + named if named == "1" else named
    lab.config["jobs"]["job"].update({"source": given} if section == "sources" else {"targets": [given, key, key]})
    for words in (("check",), ("status",)):
        result = lab.run(*words)
        assert result.code == 3 and key not in result.out + result.err


@pytest.mark.parametrize("where", ["listing", "uuid", "created", "field"])
@pytest.mark.parametrize("method", ["userpass", "approle"])
def test_a_vault_that_gives_back_what_was_logged_in_with(lab: Lab, where: str, method: str) -> None:
    credential = "Pw." + secrets.token_urlsafe(24)
    held = {"file": str(lab.secret_file("credential", credential))}
    created = credential if where == "created" else "2026-01-01T00:00:00.000000000Z"
    key, uuid, field = (credential if where == one else "u" for one in ("listing", "uuid", "field"))
    about = metadata(created_time=created)
    about["versions"]["1"]["created_time"] = created

    def respond(verb: str, path: str) -> Answer | None:
        if "/login" in path:
            return Answer({"auth": {"client_token": f"hvs.{secrets.token_hex(16)}", "lease_duration": 3600}})
        if "/mounts/" in path:
            return Answer({"data": {"type": "kv", "path": "kv/", "options": {"version": "2"}, "uuid": uuid}})
        if verb == "SCAN":
            return Answer({"data": {"keys": [key], "key_info": {key: about}}})
        told = {"version": 1, "created_time": created, "deletion_time": "", "destroyed": False}
        return Answer({"data": {"data": {field: "1"}, "metadata": told}}) if "/data/" in path else None

    auth = (
        {"method": "userpass", "username": "u", "password": held}
        if method == "userpass"
        else {"method": "approle", "role_id": "r", "secret_id": held}
    )
    lab.job("job", "vault", {"path": "kv/**"})
    with peer(vault(respond)) as server:
        lab.config["sources"]["vault"] = {"type": "vault", "address": server.url, "auth": auth}
        shown = [lab.run(*words) for words in (("sync",), ("state", "list", "--json"))]
    texts = [one.out + one.err for one in shown] + [one.read_text("latin-1") for one in lab.state.parent.iterdir()]
    assert not [text for text in texts if credential in text]


@pytest.mark.parametrize("where", ["name", "version", "account", "region", "date"])
def test_an_aws_that_gives_back_the_session_token(lab: Lab, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    token = "FwoGZXIvYXdzEJ" + secrets.token_hex(20)
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    name, version, account, region = (
        token if where == one else other
        for one, other in (("name", "a"), ("version", "v1"), ("account", "123456789012"), ("region", "eu-west-1"))
    )
    one: dict[str, Any] = {"Name": f"p/{name}", "ARN": f"arn:aws:secretsmanager:{region}:{account}:secret:p/a-abcdef"}
    if where == "date":
        one |= {"LastChangedDate": "2024-01-01T00:00:00", "CreatedDate": "2024-01-01T00:00:00"}

    def answer(_method: str, _path: str, body: bytes) -> Answer:
        if "SecretIdList" in json.loads(body):
            return Answer({"SecretValues": [{**one, "VersionId": version, "SecretString": "honest-value"}]})
        return Answer({"SecretList": [{**one, "SecretVersionsToStages": {version: ["AWSCURRENT"]}}]})

    lab.job("job", "aws", {"path": "p/*", "name": "{path}"})
    with peer(answer) as server:
        lab.aws(server.url)
        shown = [lab.run(*words, options=("--debug",)) for words in (("sync",), ("state", "list", "--json"))]
    assert shown[0].code == (0 if where == "date" else 4), shown[0].err
    texts = [one.out + one.err for one in shown] + [path.read_text("latin-1") for path in lab.state.parent.iterdir()]
    assert not [text for text in texts if token in text]


def test_a_wix_that_calls_its_error_by_a_value_of_another_day(lab: Lab, bao: Bao) -> None:
    value = "SECRETVALUE_" + "".join(secrets.choice("ABCDEFGH") for _ in range(20))
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/**"})
    with peer(lambda *_: Answer({"details": {"applicationError": {"code": value}}}, 403)) as server:
        lab.config["targets"]["shop"]["base_url"] = server.url
        result = lab.run("sync")
    assert result.code == 5 and value not in result.out + result.err


@pytest.mark.parametrize("what", ["app secret", "older token", "another call's value"])
@pytest.mark.parametrize("form", ["as it is", "without its signs", "base64"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_peer_that_gives_back_what_another_request_brought(what: str, form: str, status: int) -> None:
    """A cache or proxy that mixes requests up: the answer holds nothing that was sent with it."""
    texts = {kind: f"{kind[:3]}.{secrets.token_urlsafe(24)}" for kind in ("app secret", "older token")}
    texts["another call's value"] = str(uuid.uuid4())
    echo = ENCODED[form](texts[what])

    def answer(_method: str, path: str, _body: bytes) -> Answer:
        return Answer({}, status, {"X-Wix-Request-Id": echo if path == "/last" else "1764071234.5678123456789"})

    with peer(answer) as server, httpx.Client() as client:

        def call(path: str, headers: Any, payload: Any, **more: Any) -> str:
            return exchange(client, "POST", f"{server.url}{path}", headers=headers, payload=payload, **more).request_id

        assert call("/login", {}, {"client_secret": SecretValue(texts["app secret"])}, is_login=True)
        assert call("/first", {"Authorization": SecretValue(texts["older token"])}, None)
        token = {"Authorization": SecretValue("a-newer-token")}
        for number in range(20):
            assert call("/writes", token, {"value": SecretValue(f"value-of-write-{number}-{secrets.token_hex(9)}")})
        assert call("/write", token, {"value": SecretValue(texts["another call's value"])})
        assert call("/last", token, None) == ""
        with httpx.Client() as other:
            client = other
            known = echo if REQUEST_ID.fullmatch(echo) else ""
            assert call("/last", token, None) == known, "of another client nothing is known"
