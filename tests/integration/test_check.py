"""`syncd check` sees all that it can without sending: faults are 3, slips are warnings, each with its fix."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import Lab

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def job(lab: Lab) -> Lab:
    lab.secret_file("vault-token", "generated-token")
    token = {"file": str(lab.folder / "vault-token")}
    lab.config["sources"]["vault"] = {
        "type": "vault", "address": "https://vault.example.com", "auth": {"method": "token", "token": token},
    }  # fmt: skip
    lab.job("job", "vault", {"path": "secret/app/**"}, schedule={"every": "5m"})
    assert lab.run("check").code == 0
    return lab


def rule(**more: Any) -> Change:
    return lambda config: config["jobs"]["job"]["secrets"][0].update(more)


def in_job(**more: Any) -> Change:
    return lambda config: config["jobs"]["job"].update(more)


def two_rules(*rules: dict[str, Any]) -> Change:
    return lambda config: config["jobs"]["job"].update(secrets=list(rules))


def aws_region(region: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        config["sources"]["vault"] = {"type": "aws_secrets_manager", "region": region}
        config["jobs"]["job"]["secrets"] = [{"path": "app/*"}]

    return change


SLIPS: dict[str, tuple[Change, str]] = {
    "exclude without mount": (rule(exclude=["app/legacy/**"]), "excludes nothing that secret/app/** selects; it begins with secret/"),
    "exclude elsewhere": (rule(exclude=["secret/other/*"]), "excludes nothing"),
    "data/": (rule(path="secret/data/app/**"), "leave `data/` out"),
    "metadata/": (rule(path="secret/metadata/app/*"), "leave `metadata/` out"),
    "no schedule": (lambda config: config["jobs"]["job"].pop("schedule"), "has no schedule"),
    "grace": (in_job(deletion_grace="3h"), "means nothing without deletion_policy: delete"),
    "limit": (in_job(guard={"max_deletes": 3}), "means nothing without deletion_policy: delete"),
    "one name for many": (rule(name="KEY"), "is the same for every secret"),
    "one name for many fields": (rule(path="secret/app/db", name="DB_{mount}"), "is the same for every secret"),
    "one name twice": (two_rules({"path": "secret/a", "field": "x", "name": "X"}, {"path": "secret/b", "field": "x", "name": "x"}), "is the name that jobs.job.secrets[0] gives"),
    "a region": (aws_region("eu-wset-1"), "did you mean eu-west-1?"),
    "another region": (aws_region("ap-suotheast-2"), "did you mean ap-southeast-2?"),
    "/v1": (lambda config: config["sources"]["vault"].update(address="https://vault.example.com/v1"), "leave `/v1` out"),
    "/v1/": (lambda config: config["sources"]["vault"].update(address="https://vault.example.com:8200/v1/"), "leave `/v1` out"),
    "braces": (rule(name="KEY_{{path}}_{{field}}"), "holds `{{`, which stands for a brace as it is"),
    "a rule of no path": (lambda config: config.update(rules=[{"id": "r", "path": "sekret/**", "then": "deny"}]), "fits no path that a rule of a job takes"),
    "a rule of paths beside": (lambda config: config.update(rules=[{"id": "r", "path": ["secret/apps/*", "other/x"], "then": "deny"}]), "fits no path that a rule of a job takes"),
    "an exception of no path": (lambda config: config.update(rules=[{"id": "r", "min_length": 8, "then": "deny", "except": [{"path": "secret/ap/x", "until": "2099-01-01", "reason": "r"}]}]), "fits no path that a rule of a job takes"),
    "a source for nobody": (lambda config: config["sources"].update(spare=config["sources"]["vault"]), "no job reads it"),
}  # fmt: skip


@pytest.mark.sweep
@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_a_warning_with_its_line(job: Lab, slip: str) -> None:
    change, told = SLIPS[slip]
    change(job.config)
    done = job.run("check")
    assert done.code == 0 and "warning" in done.out and told in done.out, done.out + done.err
    rows = job.run("check", "--json").json
    assert any(row["result"] == "warning" and told in row["seen"] for row in rows)


@pytest.mark.parametrize(
    "change",
    [
        rule(exclude=["secret/app/legacy/**"]), rule(exclude=["**/test"]), rule(exclude=["secret/*/x"]),
        rule(path="secret/app/db", field="user", name="DB_USER"), rule(name="P_{basename}_{field}"),
        rule(path="secret/app/db", value="{a}:{b}", name="DB"), rule(path="secret/database/x"),
        in_job(deletion_policy="delete", deletion_grace="3h", guard={"max_deletes": 3}), aws_region("eu-west-1"),
    ],
)  # fmt: skip
def test_what_is_meant_is_no_slip(job: Lab, change: Change) -> None:
    change(job.config)
    done = job.run("check")
    assert done.code == 0 and "warning" not in done.out, done.out


FAULTS: dict[str, tuple[Change, str]] = {
    "approl": (lambda c: c["sources"]["vault"]["auth"].update(method="approl"), "did you mean approle?"),
    "hashicorp": (lambda c: c["sources"]["vault"].update(type="hashicorp"), "did you mean vault?"),
    "aws": (lambda c: c["sources"]["vault"].update(type="aws"), "did you mean aws_secrets_manager?"),
    "k8s": (lambda c: c["sources"]["vault"]["auth"].update(method="k8s"), "did you mean kubernetes?"),
    "secret": (lambda c: c["sources"]["vault"].update(auth={"method": "approle", "role_id": "r", "secret": {"env": "X"}}), "did you mean secret_id?"),
    "addr": (lambda c: c["sources"]["vault"].update(addr="x"), "sources.vault: unknown key; did you mean address?"),
    "interval": (in_job(interval="5m"), "did you mean schedule?"),
    "prune": (in_job(prune=True), "did you mean deletion_policy?"),
    "key of the target": (lambda c: c["targets"]["shop"]["auth"].update(key="x"), "did you mean api_key?"),
    "a key of another section": (in_job(rate_limit="1/1s"), "belongs into targets.NAME"),
    "time zone": (in_job(schedule={"cron": "@daily", "timezone": "Europe/Berln"}), "did you mean Europe/Berlin?"),
    "CEST": (in_job(schedule={"cron": "@daily", "timezone": "CEST"}), "no known time zone; write one such as Europe/Berlin"),
    "PDT": (in_job(schedule={"cron": "@daily", "timezone": "PDT"}), "no known time zone; write one such as Europe/Berlin"),
    "a city": (in_job(schedule={"cron": "@daily", "timezone": "Berlin"}), "did you mean Europe/Berlin?"),
    "path of a credential": (lambda c: c["sources"]["vault"]["auth"].update(method="token", token={"path": "x"}), "write either {env: NAME} or {file: PATH}"),
    "value of a credential": (lambda c: c["targets"]["shop"]["auth"].update(api_key={"value": "x"}), "write either {env: NAME} or {file: PATH}"),
    "from of a credential": (lambda c: c["targets"]["shop"]["auth"].update(api_key={"secretKeyRef": "x"}), "write either {env: NAME} or {file: PATH}"),
    "owner": (lambda c: c.update(owner="a b"), "owner: does not fit: up to 63 letters"),
    "empty": (rule(path=""), "must not be empty"),
    "long": (rule(description="x" * 501), "is longer than 500 characters"),
    "zero": (rule(path="secret/x", version=0), "must be 1 or more"),
    "no targets": (in_job(targets=[]), "must have at least one item"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_in_words(job: Lab, fault: str) -> None:
    change, told = FAULTS[fault]
    change(job.config)
    done = job.run("check")
    assert done.code == 3 and told in done.err, done.err
    for foreign in ("^[", "pydantic", "Input should", "String should", "validation error", "Extra inputs"):
        assert foreign not in done.err


ENVIRONMENT = {
    "SSL_CERT_FILE": "/nowhere/ca.pem", "SSL_CERT_DIR": "/nowhere", "REQUESTS_CA_BUNDLE": "/nowhere/ca.pem",
    "AWS_CA_BUNDLE": "/nowhere", "HTTPS_PROXY": "foo://bar", "ALL_PROXY": "http://[::1",
    "VAULT_CLIENT_CERT": "/nowhere/cert.pem",
}  # fmt: skip


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_the_environment_is_seen(job: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, ENVIRONMENT[name])
    done = job.run("check")
    assert done.code == 3 and name in done.err


def test_a_profile_that_is_not_there(job: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    aws_region("eu-west-1")(job.config)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    done = job.run("check")
    assert done.code == 3 and "AWS_PROFILE" in done.err


@pytest.mark.parametrize("state", ["a folder", "a file on its path", "damaged", "another program's"])
def test_a_ledger_that_cannot_be_used(job: Lab, state: str) -> None:
    if state == "a folder":
        job.state.mkdir(parents=True)
    elif state == "a file on its path":
        job.state.parent.write_text("x")
    elif state == "damaged":
        job.state.parent.mkdir()
        job.state.write_bytes(b"no database" * 100)
    else:
        import sqlite3

        job.state.parent.mkdir()
        connection = sqlite3.connect(job.state)
        connection.execute("CREATE TABLE theirs (a)")
        connection.commit()
        connection.close()
    done = job.run("check")
    assert done.code == 7 and "ledger" in done.out, done.out + done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as another user")
@pytest.mark.parametrize("what", ["file", "folder", "nothing"])
def test_a_ledger_that_is_not_writable(job: Lab, what: str) -> None:
    """As a user who may read everything here, and write nothing."""
    from syncd.bootstrap.app import App
    from syncd.config import load

    job.config["jobs"]["job"]["source"] = "vault"
    if what == "file":
        App(load(job.config_file)).close()
    else:
        job.state.parent.mkdir()
    if what == "nothing":
        job.state.parent.chmod(0o777)
    for place in (job.folder, *job.folder.parents, *job.folder.rglob("*")):
        if place != Path("/") and (place != job.state.parent or what != "nothing"):
            place.chmod(place.stat().st_mode | (0o055 if place.is_dir() else 0o044))
    job.config_file.chmod(0o666)
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:  # what is needed of Python is imported by now
        os.setgid(65534)
        os.setuid(65534)
        done = job.run("check")
        os.write(writes, f"{done.code} {done.out}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        code, _, out = pipe.read().partition(" ")
    assert int(code) == (0 if what == "nothing" else 7), out
    assert ("not writable" in out) == (what != "nothing")


VALUES = {
    "config": {
        "owner": "team",
        "sources": {"vault": {"type": "vault", "address": "https://v.example.com", "auth": {"method": "kubernetes", "role": "syncd"}}},
        "targets": {"shop": {"type": "wix", "auth": {"method": "api_key", "site_id": "s", "api_key": {"env": "KEY"}}}},
        "jobs": {"job": {"source": "vault", "targets": ["shop"], "schedule": {"every": "5m"}, "secrets": [{"path": "secret/**"}]}},
    }
}  # fmt: skip


def test_values_of_the_chart(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("# of the chart\n" + yaml.safe_dump(VALUES))
    done = lab.run("check", "--values", str(file))
    assert done.code == 0 and "1 source, 1 target, 1 job" in done.out, done.err
    text = file.read_text().replace("role: syncd", "rol: syncd")
    file.write_text(text)
    done = lab.run("check", "--values", str(file))
    line = next(number for number, one in enumerate(text.splitlines(), 1) if "rol: syncd" in one)
    assert done.code == 3 and f"values.yaml:{line}: sources.vault.auth.rol: unknown key; did you mean role?" in done.err
    file.write_text("image: {}\n")
    assert lab.run("check", "--values", str(file)).code == 3


@pytest.mark.parametrize("key", ["on", "On", "yes", "off", "no"])
def test_a_key_that_helm_reads_as_a_boolean(lab: Lab, tmp_path: Path, key: str) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(VALUES) + "  notify:\n  - url: {env: SYNCD_NOTIFY_URL}\n    " + key + ": [held]\n")
    done = lab.run("check", "--values", str(file))
    line = len(file.read_text().splitlines())
    assert done.code == 3 and f"values.yaml:{line}: Helm reads this key as true or false" in done.err
    file.write_text(file.read_text().replace(f"    {key}:", '    "on":'))
    assert lab.run("check", "--values", str(file)).code == 0


def test_what_the_chart_sets_by_itself(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({"config": VALUES["config"] | {"state": {"path": "/data/state.db"}}}))
    done = lab.run("check", "--values", str(file))
    assert done.code == 0 and "the chart sets it by itself; leave it out" in done.out


@pytest.mark.parametrize("words", [("rules",), ("check",)])
def test_a_rule_that_nothing_was_judged_by_has_not_passed(job: Lab, words: tuple[str, ...]) -> None:
    job.config["rules"] = [
        {"id": "weak", "min_length": 8, "then": "warn"},
        {"id": "held", "job": "job", "then": "hold"},
    ]
    said = job.run(*words).out
    assert said.count("not judged yet: no cycle has brought anything into the ledger") == 2 and "0 hits" not in said


@pytest.mark.parametrize("form", ["manifests", "plain"])
def test_from_a_pipe(lab: Lab, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_dump({**VALUES["config"], "state": {"path": "/var/lib/syncd/state.db"}})
    manifests = [
        {"kind": "Service"},
        {"kind": "ConfigMap", "metadata": {"name": "syncd"}, "data": {"syncd.yaml": content}},
    ]
    text = content if form == "plain" else yaml.safe_dump_all(manifests)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert lab.run("check", "-").code == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(text.replace("kubernetes", "kubernets")))
    done = lab.run("check", "-")
    assert done.code == 3 and "did you mean kubernetes?" in done.err
    assert lab.run("check", "-", "--connect").code == 3


@pytest.mark.parametrize(
    "text",
    ["a: 2026-13-45", "a: !!int x", "a: !!float 'x'", "a: 0x_", "a: 1__:2", "[" * 5000, "a: &x [*x]", "{? [a]: b}"],
)
def test_whatever_is_piped_in_is_a_fault_of_the_text(lab: Lab, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    done = lab.run("check", "-")
    assert done.code == 3 and "stdin" in done.err, done.err


@pytest.mark.parametrize("index", [0, 2])
def test_a_place_in_a_list_is_written_as_everywhere(job: Lab, index: int) -> None:
    job.config["notify"] = [{"url": {"env": f"SYNCD_NOTIFY_{number}"}, "on": ["held"]} for number in range(index + 1)]
    said = job.run("check").out
    assert f"notify[{index}].url" in said and f"environment variable SYNCD_NOTIFY_{index}" in said
