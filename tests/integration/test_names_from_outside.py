"""Text from events, listings, files and commands is data: never a pattern, an address or a line of output."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.reconcile.run_job import Run, sync_job
from syncd.sources.aws.event_queue import names_in
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.wix_people import changed_by_hand


def woken(lab: Lab, monkeypatch: pytest.MonkeyPatch, *named: str) -> list[Any]:
    """One cycle of the job after an event that named these."""
    for key, value in AWS_ENVIRON.items():
        monkeypatch.setenv(key, value)
    with App(load(lab.config_file)) as app:
        job = app.runtime.jobs["job"]
        return sync_job(app.runtime, job, Run(holder="test", wait=timedelta(0), hinted_paths=frozenset(named)))


@pytest.mark.parametrize("named", ["app/*", "app/pub/**", "app/**", "a*", "app/private/key", "app/private/*"])
def test_an_event_never_brings_what_the_rule_leaves_out(
    lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    for name in ("app/pub/a", "app/private/key", "app/other"):
        aws.create_secret(Name=name, SecretString="x")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "app/**", "exclude": ["app/private/**", "app/other"], "name": "{path}"})
    (report,) = woken(lab, monkeypatch, named)
    assert report.exit_code == 0
    assert set(lab.site.values()) == {"pub_a"}


@pytest.mark.parametrize(
    "named",
    [
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/a",  # without AWS's six characters
        "!app/a",
        "app/a\nX-Header: 1",
        "app/" + "a" * 600,
        "app/not-there",
        "app/ü",
    ],
)
def test_what_is_no_name_costs_nothing_but_itself(
    lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    aws.create_secret(Name="app/a", SecretString="x")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "**"}, {"path": "app/*", "name": "X_{path}"})
    (report,) = woken(lab, monkeypatch, named)
    assert (report.exit_code, report.failures) == (0, ())
    assert set(lab.site.values()) == {"app_a", "X_a"}


@pytest.mark.parametrize("path", ["app//x", "app/./x", "app/../app/x", "/app/x", "app/x/"])
def test_a_path_that_a_server_folds_is_no_second_secret(
    lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/**", "name": "{path}_{field}"})
    woken(lab, monkeypatch, f"{bao.mount}/{path}")
    assert set(lab.site.values()) == {"app_x_v"}


def test_events_of_failed_calls_and_odd_ids_name_nothing() -> None:
    def event(secret_id: object, **more: object) -> str:
        return json.dumps(
            {"source": "aws.secretsmanager", "detail": {"requestParameters": {"secretId": secret_id}, **more}}
        )

    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/a-AbCdEf"
    assert names_in(event("app/a")) == {"app/a"} == names_in(event(arn))
    assert names_in(event("app/a", errorCode="ResourceNotFoundException")) == frozenset()
    for odd in ("app/*", "app/a b", "a\0", "\x1b[31m", "", ["app/a"], {"a": 1}, 5, arn[:-7] + "*", "a" * 513):
        assert names_in(event(odd)) == frozenset(), odd


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["st?ate.db", "state#1.db", "state%41.db", "file:state.db", ":memory:", "a&b=c.db"])
def test_the_ledger_is_the_file_that_was_named(lab: Lab, bao: Bao, name: str) -> None:
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/**"})
    lab.config["state"]["path"] = str(lab.folder / "odd" / name)
    assert lab.run("sync").code == 0
    there = sorted(path.name for path in (lab.folder / "odd").iterdir())
    assert name in there and all(one.startswith(name) for one in there), there
    assert stat.S_IMODE((lab.folder / "odd" / name).stat().st_mode) == 0o600
    assert (lab.folder / "odd" / name).stat().st_size > 0
    assert lab.run("sync").code == 0 and len(lab.site.created_ids) == 1


@pytest.mark.parametrize(
    "words", [("explain", "a\x1b]0;owned\x07b"), ("sync", "\x9b31mjob"), ("state", "forget", "x\r\nok")]
)
def test_errors_obey_no_name(lab: Lab, bao: Bao, words: tuple[str, ...]) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/**"})
    result = lab.run(*words)
    assert result.code == 3
    assert all(line.isprintable() for line in (result.out + result.err).split("\n"))


def test_a_log_on_a_terminal_obeys_no_name(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put_all("app/x", {"\u202ered\x1b[31m\x9b": ""})
    lab.job("job", "vault", {"path": f"{bao.mount}/**"})
    result = lab.run("sync", options=("--log-format", "console"))
    assert not {"\u202e", "\x9b"} & set(result.err + result.out)


def test_a_folder_for_the_ledger_may_have_any_name(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/**"})
    lab.config["state"]["path"] = str(lab.folder / "a?mode=memory&cache=shared" / "s.db")
    assert lab.run("sync").code == 0
    assert Path(lab.config["state"]["path"]).is_file()


@pytest.mark.parametrize("where", ["a field", "a path", "the rule"])
def test_a_mark_within_a_description_makes_no_secret_anothers(lab: Lab, bao: Bao, where: str) -> None:
    """`description` is a template: whoever names a field or a path writes into it."""
    odd = "[syncd:other:deadbeef]"
    lab.vault(bao)
    path, field = (f"a/{odd}" if where == "a path" else "a/x"), odd if where == "a field" else "v"
    bao.put(path, **{field: "one"})
    text = f"was {odd}" if where == "the rule" else "{field} of {path}"
    lab.job("job", "vault", {"path": f"{bao.mount}/a/*", "name": "K", "description": text}, drift_policy="report")
    assert [lab.run("sync").code for _ in range(3)] == [0, 0, 0]
    (secret,) = lab.site.secrets.values()
    assert lab.wix.count("POST", "PATCH") == 1 and secret.description.endswith("]") and odd not in secret.description
    changed_by_hand(lab, "K")
    for _ in range(3):
        done = lab.run("sync")
    assert lab.site.values() == {"K": "HAND-MADE"} and "drift" in done.out, done.out
