"""Planted values and credentials show nowhere: every command, every log level, every file, and `ps`."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from syncd.domain import SecretValue
from syncd.telemetry.logs import configure, logger, redacted
from tests.lab import AWS_ENVIRON, Bao, Lab


@pytest.fixture
def planted(lab: Lab, bao: Bao, aws: Any, aws_url: str) -> tuple[Lab, list[str]]:
    values = {name: f"planted-{secrets.token_hex(16)}" for name in ("a", "b", "aws", "json", "approle")}
    lab.vault(bao)
    lab.aws(aws_url)
    bao.put("app/a", v=values["a"], empty="", long=values["b"] * 200)
    aws.create_secret(Name="leak/text", SecretString=values["aws"])
    aws.create_secret(Name="leak/json", SecretString=json.dumps({"k": values["json"]}))
    lab.job("vault", "vault", {"path": f"{bao.mount}/app/**"})
    lab.job("aws", "aws", {"path": "leak/json", "field": "*"}, {"path": "leak/text"})
    return lab, [*values.values(), bao.token, lab.key, AWS_ENVIRON["AWS_SECRET_ACCESS_KEY"]]


COMMANDS = (
    ["plan"], ["plan", "--json"], ["sync"], ["sync", "--json"], ["status"], ["status", "--json"], ["state", "list"],
    ["state", "export"], ["explain", "a_v"], ["explain", "a_v", "--json"], ["check", "--connect"],
    ["check", "--probe", "shop"], ["schema"], ["sync", "--wait", "0s"],
)  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_no_command_shows_a_value(planted: tuple[Lab, list[str]], debug: tuple[str, ...]) -> None:
    lab, values = planted
    kept = lab.folder / "plan.json"
    shown = []
    for words in (*COMMANDS[:1], ["plan", "--out", str(kept)], *COMMANDS):
        for form in ("json", "console"):
            result = lab.run(*words, options=(*debug, "--log-format", form))
            shown.append(result.out + result.err)
    shown.append(kept.read_text())
    shown += [path.read_bytes().decode("latin-1") for path in lab.state.parent.iterdir()]
    assert lab.site.values()["a_v"] == values[0]
    key = lab.state.with_name("state.db.key").read_text().strip()
    for text in shown[:-3]:
        for value in (*values, key):
            assert value not in text
    for value in values:
        assert not any(value in text for text in shown)


@pytest.mark.sweep
@pytest.mark.parametrize(
    "trouble", ["wrong vault token", "wrong wix key", "vault down", "wix down", "aws down", "key with line break"]
)
def test_no_failure_shows_a_credential(planted: tuple[Lab, list[str]], trouble: str) -> None:
    lab, values = planted
    wrong = f"planted-{secrets.token_hex(16)}"
    if trouble == "wrong vault token":
        lab.secret_file("vault-token", wrong)
    elif trouble == "wrong wix key":
        lab.secret_file("wix-key", wrong)
    elif trouble == "key with line break":
        lab.secret_file("wix-key", f"{wrong}\n{wrong}")
    elif trouble == "vault down":
        lab.config["sources"]["vault"]["address"] = "http://127.0.0.1:1"
    elif trouble == "wix down":
        lab.config["targets"]["shop"]["base_url"] = "http://127.0.0.1:1"
    else:
        lab.config["sources"]["aws"]["endpoint_url"] = "http://127.0.0.1:1"
    for words in (["sync"], ["plan"], ["check", "--connect"]):
        result = lab.run(*words, options=("--debug",))
        assert result.code in {3, 4, 5}, result.out + result.err
        for value in (*values, wrong):
            assert value not in result.out + result.err


def test_nothing_is_in_argv_or_the_environment_of_children(planted: tuple[Lab, list[str]]) -> None:
    lab, values = planted
    lab.site.options.latency = 0.3
    process = lab.popen("sync")
    seen = ""
    while process.poll() is None:
        try:
            seen += Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
        except OSError:
            break
        if lab.wix.seen:
            break
    process.communicate()
    assert seen and not any(value in seen for value in values)


def test_the_second_net_of_the_log() -> None:
    event = {
        "event": "x",
        "token": "planted",
        "deep": {"Authorization": "planted", "list": [SecretValue("planted"), {"password": "planted"}]},
        "error": ValueError("planted"),
        "object": SecretValue("planted"),
        "name": "shown",
    }
    told = json.dumps(redacted(None, "info", dict(event)))
    assert "planted" not in told and "shown" in told


def test_database_errors_hide_their_parameters(tmp_path: Path) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    from syncd.errors import LedgerError
    from syncd.ledger.engine import sqlite_engine
    from syncd.ledger.faults import translated

    engine = sqlite_engine(tmp_path / "x.db")
    with pytest.raises(LedgerError) as caught, translated("x"), engine.connect() as connection:
        connection.execute(text("INSERT INTO none VALUES (:v)"), {"v": "planted"})
    assert "planted" not in str(caught.value) and caught.value.__cause__ is None
    with pytest.raises(SQLAlchemyError) as raw, engine.connect() as connection:
        connection.execute(text("INSERT INTO none VALUES (:v)"), {"v": "planted"})
    assert "planted" not in str(raw.value)
    engine.dispose()


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_log_chain_has_its_net(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure(form=form, level="debug")
    logger().info("x", token="planted", deep={"password": "planted"}, error=ValueError("planted"))
    logger().bind(api_key="planted").warning("y", value=SecretValue("planted"))
    said = capsys.readouterr().err
    assert "planted" not in said and "y" in said
