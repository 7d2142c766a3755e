"""The configuration: every fault with its path, line and fix; cron lines as Kubernetes means them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from syncd.config import json_schema, load
from syncd.config.cron import fires
from syncd.config.fields import Credential, parse_duration
from syncd.config.yaml_file import parsed
from syncd.errors import ConfigError

EXAMPLES = sorted(Path("config").glob("*.yaml"))
GOOD = yaml.safe_load(Path("config/vault-to-two-sites.yaml").read_text())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_each_example_loads(path: Path) -> None:
    assert load(path).jobs


def problems(tmp_path: Path, text: str) -> tuple[str, ...]:
    path = tmp_path / "syncd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code == 3 and caught.value.hint
    return caught.value.problems or (caught.value.message,)


def changed(*keys: Any, value: Any) -> str:
    content = json.loads(json.dumps(GOOD))
    here = content
    for key in keys[:-1]:
        here = here[key]
    here[keys[-1]] = value
    return yaml.safe_dump(content, sort_keys=False)


FAULTS = [
    (("ownr",), "x", "ownr: unknown key; did you mean owner?"),
    (("owner",), "a b", "owner: does not fit"),
    (("server", "listen"), "x:99999", "server.listen: a port is at most 65535"),
    (("jobs", "payments", "secrets", 0, "name"), "wix_{path}", "Wix keeps names"),
    (("guard",), {}, "guard: unknown key; it belongs into jobs.NAME"),
    (("state",), {}, "state: write either path or url"),
    (("state", "url"), {"env": "X"}, "state: write either path or url"),
    (("server", "listen"), "nowhere", "server.listen"),
    (("server", "listen"), "300.1.1.1:8080", "server.listen: not an address"),
    (("server", "listen"), "[:::::]:8080", "server.listen: not an address"),
    (("server", "listen"), "1.2.3:8080", "server.listen: not an address"),
    (("sources", "vault", "type"), "valt", "sources.vault: needs 'type', one of"),
    (("sources", "vault", "address"), "http://vault.example.com", "plain http is for this machine only"),
    (("sources", "vault", "address"), "https://user:planted@vault", "no user or password"),
    (("sources", "vault", "auth", "rol"), "x", "sources.vault.auth.rol: unknown key; did you mean role?"),
    (("targets", "shop", "auth", "api_key"), "planted-key", "a credential is not written into the file"),
    (("targets", "shop", "rate_limit"), "many", "targets.shop.rate_limit: not a rate"),
    (("jobs", "payments", "source"), "valt", "jobs.payments.source: there is no valt under sources"),
    (
        ("jobs", "payments", "targets"),
        ["shop", "nope"],
        "jobs.payments.targets[1]: this names nothing under targets; it has shop, outlet",
    ),
    (("jobs", "payments", "targets"), ["shop", "shop"], "shop is named twice"),
    (("jobs", "payments", "targets"), [], "jobs.payments.targets"),
    (("jobs", "payments", "schedule", "every"), "5 minutes", "jobs.payments.schedule.every: not a duration"),
    (("jobs", "payments", "schedule"), {"cron": "61 * * * *"}, "jobs.payments.schedule: not a cron line"),
    (("jobs", "payments", "schedule"), {"cron": "0 0 30 2 *"}, "jobs.payments.schedule: not a cron line"),
    (("jobs", "payments", "schedule"), {"every": "5m", "cron": "@daily"}, "write either every"),
    (("jobs", "payments", "schedule"), {"cron": "@daily", "timezone": "Mars/X"}, "no known time zone"),
    (("jobs", "payments", "secrets", 0, "path"), "secret//x", "jobs.payments.secrets[0].path: no slash"),
    (("jobs", "payments", "secrets", 0, "path"), "secret/../x", "no . or .. segments"),
    (("jobs", "payments", "secrets", 0, "path"), "secret", "begins with its mount"),
    (("jobs", "payments", "secrets", 0, "path"), "*/x", "the mount cannot hold a wildcard"),
    (("jobs", "payments", "secrets", 0, "name"), "{pth}", "jobs.payments.secrets[0].name: {pth} means nothing here"),
    (("jobs", "payments", "secrets", 0, "name"), "{path", "jobs.payments.secrets[0].name: no template"),
    (("jobs", "payments", "secrets", 0, "stage"), "AWSPREVIOUS", "stage is for AWS sources"),
    (("jobs", "payments", "secrets", 0, "version"), 3, "one version for many paths"),
    (("jobs", "feeds", "secrets", 1, "version"), 3, "version is for Vault sources"),
    (("jobs", "feeds", "secrets", 1, "name"), "X_{field}", "{field} stands for nothing here"),
    (("jobs", "feeds", "guard", "max_deletes"), "lots", "jobs.feeds.guard.max_deletes: not a limit"),
    (("jobs", "feeds", "deletion_policy"), "perhaps", "jobs.feeds.deletion_policy"),
    (("jobs", "feeds", "secrets"), "x", "jobs.feeds.secrets: must be a list"),
]


@pytest.mark.parametrize(("keys", "value", "told"), FAULTS, ids=[fault[2][:40] for fault in FAULTS])
def test_each_fault_is_told_with_its_path_and_line(tmp_path: Path, keys: Any, value: Any, told: str) -> None:
    found = problems(tmp_path, changed(*keys, value=value))
    assert any(told in one for one in found), found
    assert all(one.startswith(f"{tmp_path}/syncd.yaml:") for one in found)
    assert "planted" not in str(found)


def test_all_faults_at_once_with_their_lines(tmp_path: Path) -> None:
    text = changed("jobs", "payments", "schedule", "every", value="soon")
    text = text.replace("source: aws", "source: azure").replace("owner: platform-team", "ownr: x")
    found = problems(tmp_path, text)
    assert len(found) == 3, found
    lines = text.splitlines()
    for one in found:
        number = int(one.split(":")[1])
        key = one.split(": ")[1].split(".")[-1].split("[")[0]
        assert key in lines[number - 1]


@pytest.mark.parametrize(
    ("right", "written"),
    [("owner:", "ownr:"), ("sources:", "source_s:"), ("address:", "addr:"), ("api_key: {", "apikey: {")],
)
def test_a_misspelt_key_is_one_fault(tmp_path: Path, right: str, written: str) -> None:
    text = changed("owner", value="x")
    flow = yaml.safe_dump(yaml.safe_load(text), sort_keys=False, default_flow_style=None)
    found = problems(tmp_path, flow.replace(right, written, 1))
    assert [one.split(": ")[2].split(";")[0] for one in found if "required" in one or "unknown" in one] == [
        "unknown key"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: b: c",
        "\tx: 1",
        "a: &a [*a]",
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]",
        "owner: a\nowner: b",
        "- a\n- b",
        "",
        "just text",
        "a: \x00",
    ],
)
def test_broken_yaml_is_one_clear_message(tmp_path: Path, text: str) -> None:
    assert len(problems(tmp_path, text)) == 1


@pytest.mark.parametrize("number", ["010", "0x1F", "0b11", "1_000", "1:30", "-017", "+0o7", "190:20:30"])
@pytest.mark.parametrize("place", ["max_deletes", "version"])
def test_a_number_that_yaml_reads_in_its_own_way(tmp_path: Path, number: str, place: str) -> None:
    """PyYAML's version 1.1 of YAML takes 010 for 8: another version of a secret, another limit."""
    text = yaml.safe_dump(GOOD, sort_keys=False)
    if place == "version":
        text = text.replace("secrets:\n    - path", f"secrets:\n    - version: {number}\n      path", 1)
    else:
        text = text.replace("    secrets:", f"    guard: {{max_deletes: {number}}}\n    secrets:", 1)
    assert number in text
    (said,) = problems(tmp_path, text)
    line = next(index for index, one in enumerate(text.splitlines(), 1) if number in one)
    assert f":{line}" in said and ("its own way" in said or number == "+0o7"), said


@pytest.mark.parametrize("key", ["010", "1_000", "0x1F"])
def test_a_name_that_yaml_takes_for_a_number(tmp_path: Path, key: str) -> None:
    path = tmp_path / "syncd.yaml"
    path.write_text(yaml.safe_dump(GOOD, sort_keys=False).replace("labels:", f"labels:\n      {key}: x", 1))
    assert key in path.read_text() or "labels:" not in path.read_text()
    load(path)


def test_anchors_may_be_used(tmp_path: Path) -> None:
    text = (
        yaml.safe_dump(GOOD, sort_keys=False)
        .replace("every: 15m", "<<: *often")
        .replace("schedule:\n      every: 5m", "schedule: &often\n      every: 5m")
    )
    path = tmp_path / "syncd.yaml"
    path.write_text(text)
    assert load(path).jobs["feeds"].schedule == load(path).jobs["payments"].schedule


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no configuration"):
        load(tmp_path / "none.yaml")
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "x")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    here = Credential(env=None, file=str(path))
    with pytest.raises(ConfigError, match="does not exist"):
        here.read("x")
    path.write_text("generated\n")
    assert here.read("x").reveal() == "generated"
    path.write_text("rotated")
    assert here.read("x").reveal() == "rotated", "read again at each use"
    for bad in ("two\nlines\n", "a b", "ключ", "", "\n"):
        path.write_text(bad)
        with pytest.raises(ConfigError) as caught:
            here.read("what")
        assert "what" in caught.value.message
    with pytest.raises(ConfigError, match="is not set"):
        Credential(env="SYNCD_NOT_SET", file=None).read("x")
    monkeypatch.setenv("SYNCD_SET", "generated")
    assert Credential(env="SYNCD_SET", file=None).read("x").reveal() == "generated"


def test_durations() -> None:
    assert [parse_duration(t).total_seconds() for t in ("0s", "1s", "5m", "24h", "7d")] == [0, 1, 300, 86400, 604800]


MONDAY = datetime(2026, 3, 2, 0, 0, tzinfo=ZoneInfo("UTC"))  # a Monday


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("0 0 * * 1", ["Mon"]),
        ("0 0 * * 0", ["Sun"]),
        ("0 0 * * 7", ["Sun"]),
        ("0 0 * * MON-FRI", ["Mon", "Tue", "Wed", "Thu", "Fri"]),
        ("0 0 * * 5-6", ["Fri", "Sat"]),
        ("0 0 * * */2", ["Tue", "Thu", "Sat", "Sun"]),
        ("0 0 * * sun,wed", ["Wed", "Sun"]),
    ],
)
def test_weekdays_mean_what_cron_means(line: str, days: list[str]) -> None:
    times = fires(line, MONDAY.replace(day=1, hour=23))
    week = {next(times).strftime("%a") for _ in range(len(days))}
    assert week == set(days)


def test_day_of_month_and_weekday_are_either_or() -> None:
    times = fires("0 0 15 * 1", MONDAY)
    assert [next(times).day for _ in range(3)] == [9, 15, 16]


def test_time_zones() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = next(fires("30 2 * * *", datetime(2026, 7, 1, tzinfo=berlin)))
    assert first.astimezone(ZoneInfo("UTC")).hour == 0


def test_the_schema_is_one_for_editors() -> None:
    schema = json_schema()
    assert schema["required"] == ["owner", "state", "sources", "targets", "jobs"]
    assert "SecretRule" in schema["$defs"]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\nc: {<<: *b, y: 4}\n",
        # Used above the place where it is written out, at another depth: PyYAML merges in place.
        "base: &base {x: 1, y: 2}\nhere:\n  deep:\n    deeper: &mid {<<: *base, y: 3}\nc: {<<: *mid, y: 4}\n",
        "base: &base {x: 1}\nlist:\n- in: {very: {deep: &mid {<<: *base, x: 2, y: 4}}}\nc:\n  <<: *mid\n",
        "one: &one {x: 1, y: 4}\ntwo: &two {x: 2}\nc: {<<: [*one, *two], on: x}\n",
    ],
)
def test_merged_mappings_may_have_a_key_again(text: str) -> None:
    assert parsed(text, "here")[0]["c"]["y"] == 4


@pytest.mark.parametrize("text", ["a: {x: 1, x: 2}", "a: &a {x: 1, x: 2}\nb: {<<: *a}", "a: 1\nb: [{c: {d: 1, d: 2}}]"])
def test_a_key_that_is_written_twice_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a key is written twice"):
        parsed(text, "here")
