"""What people type: options in any place, filters, a first configuration, several sites in the sandbox."""

from __future__ import annotations

import os
import pty
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from syncd.cli.app import in_front, run
from syncd.sandbox.environment import SITE, servers_in, site_ids
from tests.lab import Bao, Lab


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        (["sync", "--config", "a.yaml", "job"], ["--config", "a.yaml", "sync", "job"]),
        (["plan", "-c", "a.yaml", "--debug", "--json"], ["-c", "a.yaml", "--debug", "plan", "--json"]),
        (["state", "list", "--log-format=json"], ["--log-format=json", "state", "list"]),
        (["--debug", "status"], ["--debug", "status"]),
        (["explain", "--", "--debug"], ["explain", "--", "--debug"]),
        ([], []),
    ],
)
def test_global_options_may_stand_anywhere(given: list[str], ordered: list[str]) -> None:
    assert in_front(given) == ordered


def test_they_work_behind_the_command(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.aws("http://127.0.0.1:1")
    lab.job("job", "aws", {"path": "a/*"})
    assert run(["check", "--config", str(lab.config_file), "--debug"]) == 0
    assert run(["-h"]) == run(["sync", "-h"]) == run(["state", "list", "-h"]) == run(["--version"]) == 0
    assert "completion" in capsys.readouterr().out


@pytest.fixture
def two(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    site = "00000000-0000-4000-8000-0000000000ad"
    lab.secret_file("other-key", lab.wix.issue_key(site))
    lab.wix.site(site).options.quota = 10**6
    lab.config["targets"]["outlet"] = lab.target(site, "other-key")
    for letter in "ab":
        bao.put(f"{letter}/x", v="1")
    bao.put("b/empty", v="")
    lab.job("a", "vault", {"path": f"{bao.mount}/a/*", "name": "A"})
    lab.job("b", "vault", {"path": f"{bao.mount}/b/*"}, targets=["outlet"])
    assert lab.run("sync").code == 1
    return lab


def test_filters(two: Lab) -> None:
    def names(*words: str) -> set[str]:
        return {row["name"] for row in two.run("state", "list", "--json", *words).json}

    assert names() == {"A", "x_v", "empty_v"}
    assert names("--job", "a") == {"A"} == names("--target", "shop") and names("--status", "quarantined") == {"empty_v"}
    assert names("--job", "b", "--status", "synced") == {"x_v"}
    status = two.run("status", "--json", "--job", "a").json
    assert [row["job"] for row in status["jobs"]] == ["a"] and status["troubles"] == []
    assert len(two.run("status", "--json", "--target", "outlet").json["troubles"]) == 1
    assert [row["job"] for row in two.run("status", "--json", "--status", "quarantined").json["jobs"]] == ["b"]
    wrong = two.run("state", "list", "--status", "sinced")
    assert wrong.code == 3 and "did you mean synced?" in wrong.err


FLAGS = {
    "vault": ["--source", "vault", "--address", "https://vault.example.com", "--path", "secret/shop/**"],
    "kubernetes": ["--source", "vault", "--address", "https://v.example.com", "--path", "kv/**", "--auth", "kubernetes"],
    "approle": ["--source", "vault", "--address", "https://v.example.com", "--path", "kv/**", "--auth", "approle"],
    "aws": ["--source", "aws", "--region", "eu-west-1", "--path", "prod/*"],
    "both": ["--source", "both", "--address", "https://v.example.com", "--region", "eu-west-1",
             "--path", "kv/**", "--aws-path", "prod/*"],
}  # fmt: skip


@pytest.mark.parametrize("kind", FLAGS)
def test_init_writes_what_check_takes(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new.yaml"
    words = [
        "init",
        "--config",
        str(file),
        "--owner",
        "platform-team",
        "--site-id",
        "5f1c9b6e-0000-4000-8000-000000000001",
        *FLAGS[kind],
    ]
    assert run(words) == 0
    out, n = capsys.readouterr().out, 2 if kind == "both" else 1
    sizes = "1 source, 1 target, 1 job" if n == 1 else f"{n} sources, 1 target, {n} jobs"
    assert "written" in out and sizes in out and "warning" not in out
    assert yaml.safe_load(file.read_text())["owner"] == "platform-team" and file.read_text().count("#") >= 6
    before = file.read_text()
    assert run(words) == 3 and file.read_text() == before, "nothing is written over"


@pytest.mark.parametrize("wrong", [["--path", "kv"], ["--region", "eu west"], ["--owner", "a b"]])
def test_init_writes_nothing_that_cannot_work(wrong: list[str], tmp_path: Path) -> None:
    words = ["--owner", "t", "--site-id", "5f1c9b6e-0000-4000-8000-000000000001", *FLAGS["both"], *wrong]
    assert run(["init", "--config", str(tmp_path / "x.yaml"), *words]) == 3 and not (tmp_path / "x.yaml").exists()


@pytest.mark.parametrize("missing", ["--owner", "--site-id", "--source", "--path"])
def test_init_names_what_it_needs(missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--owner", "t", "--site-id", "5f1c9b6e-0000-4000-8000-000000000001", *FLAGS["aws"]]
    at = words.index(missing)
    assert run(["init", "--config", str(tmp_path / "x.yaml"), *words[:at], *words[at + 2 :]]) == 3
    assert missing in capsys.readouterr().err and not (tmp_path / "x.yaml").exists()


@pytest.mark.parametrize("option", ["--path", "--address", "--site-id", "--owner"])
def test_init_names_what_does_not_fit_and_no_file_that_is_not_there(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--owner": "a", "--address": "https://v:8200", "--path": "secret/shop/**", "--site-id": SITE}
    wrong = {"--path": "payments", "--address": "nonsense", "--site-id": "0", "--owner": "a" * 99}
    words = [word for item in {**given, option: wrong[option]}.items() for word in item]
    assert run(["--config", str(tmp_path / "syncd.yaml"), "init", "--source", "vault", *words]) == 3
    told = capsys.readouterr().err
    assert f"{option}" in told and "syncd.yaml:" not in told and "syncd check" not in told, told
    assert not list(tmp_path.iterdir())


def test_init_asks_nobody_about_a_source_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--config", str(tmp_path / "syncd.yaml"), "init", "--source", "gcp"]) == 3
    assert "--source gcp is not known" in capsys.readouterr().err


def test_init_breaks_no_file(tmp_path: Path) -> None:
    for odd in ("a\nb", "a: b #", "{x}", '"'):
        words = [
            "init",
            "--config",
            str(tmp_path / "x.yaml"),
            "--owner",
            odd,
            "--site-id",
            "5f1c9b6e-0000-4000-8000-000000000001",
            *FLAGS["aws"],
        ]
        assert (run(words) == 3 and not (tmp_path / "x.yaml").exists()) or (tmp_path / "x.yaml").unlink() is None


def answered(file: Path, answers: list[str]) -> str:
    """`syncd init` at a terminal, each question answered in turn. Returns: all that it said."""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-m", "syncd", "--config", str(file), "init"])
    said = b""
    with suppress(OSError):  # the terminal is gone when the command has ended
        for answer in answers:
            while not said.rstrip().endswith((b":", b"]:")):
                said += os.read(terminal, 4096)
            os.write(terminal, answer.encode() + b"\n")
            said += b"\n"
        while part := os.read(terminal, 4096):
            said += part
    os.waitpid(process, 0)
    os.close(terminal)
    return said.decode()


def test_init_asks_again_for_what_does_not_fit_and_loses_no_answer(tmp_path: Path) -> None:
    file, site = tmp_path / "new.yaml", "5f1c9b6e-1111-4000-8000-000000000001"
    said = answered(
        file,
        ["a b", "team", "vualt", "both", "vault.example.com", "https://v.example.com", "kv", "kv/**", "eu west",
         "eu-west-1", "prod/*", "00000000-0000-0000-0000-000000000000", site],
    )  # fmt: skip
    made = yaml.safe_load(file.read_text())
    assert said.count("that does not fit") == 6 and "all zeros" in said, said
    assert made["owner"] == "team" and made["targets"]["site"]["auth"]["site_id"] == site
    assert [job["secrets"][0]["path"] for job in made["jobs"].values()] == ["kv/**", "prod/*"]


@pytest.mark.parametrize("again", [["demo", "--keep"], ["sandbox", "--only", "wix", "--dir"]])
def test_servers_that_run_keep_their_folder(
    again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with servers_in(tmp_path, "sandbox"):
        before = sorted(tmp_path.iterdir())
        assert run([*again, str(tmp_path)]) == 3 and "servers that run" in capsys.readouterr().err
        assert sorted(tmp_path.iterdir()) == before
    with servers_in(tmp_path, "sandbox"):
        pass  # they ended, so the folder is free


def test_the_sandbox_has_as_many_sites_as_asked() -> None:
    ids = site_ids(3)
    assert list(ids) == ["shop", "shop2", "shop3"] and len(set(ids.values())) == 3
