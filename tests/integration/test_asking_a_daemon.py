"""Commands with `--server`: the token stays on its way, and what is no daemon's answer is taken for none."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.support.http_stub import answering

ASKING = (
    ("where", "vault:kv/app/x", "--version", "4", "--wait", "1s"),
    ("where", "vault:kv/app/x", "--json"),
    ("held",),
    ("held", "--json"),
    ("release", "b-1", "--reason", "x"),
    ("pause", "job", "--reason", "x"),
    ("resume", "job"),
    ("rollback", "A", "--to", "1", "--reason", "x"),
)


@pytest.fixture
def token(lab: Lab) -> Path:
    lab.config["sources"]["vault"] = {
        "type": "vault", "address": "http://127.0.0.1:9", "auth": {"method": "token", "token": {"env": "NO_TOKEN"}},
    }  # fmt: skip
    lab.job("job", "vault", {"path": "kv/app/*"})
    return lab.secret_file("token", secrets.token_hex(24))


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (302, b""), (307, b"<a>elsewhere</a>"), (204, b""), (200, b""), (200, b"null"), (200, b"5"), (200, b"[[]]"),
        (200, b'{"status": "ok"}'), (200, b'[{"name": "x"}]'), (200, b"<html>"), (404, b"not found"), (201, b"[]"),
        (502, b'{"error": {"a": 1}}'), (200, b"[" * 100_000), (200, b'{"message": 7}'),
    ],
)  # fmt: skip
def test_what_no_daemon_says_is_no_answer(lab: Lab, token: Path, status: int, body: bytes) -> None:
    with answering(lambda *_: (status, body, "application/json")) as (url, asked):
        for words in ASKING:
            said = lab.run(*words, "--server", url, "--token-file", str(token))
            assert said.code == 4 and "does not answer as one" in said.err and not said.out, (words, said)
    assert not any("elsewhere" in path for _, path, _ in asked), "no redirect is followed with the token"


def test_nothing_on_no_site_is_not_everywhere(lab: Lab, token: Path) -> None:
    with answering(lambda *_: (200, b"[]", "application/json")) as (url, _):
        assert lab.run("where", "kv/app/x", "--server", url, "--token-file", str(token)).code == 1
        nothing = lab.run("held", "--server", url, "--token-file", str(token))
        assert nothing.code == 0 and "nothing waits" in nothing.out


@pytest.mark.sweep
@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_PROXY": "{proxy}"}, {"http_proxy": "{proxy}"}, {"ALL_PROXY": "{proxy}"},
        {"HTTP_PROXY": "{proxy}", "NO_PROXY": "10.0.0.0/8,fd00::/8,::1/128"},
        {"HTTPS_PROXY": "{proxy}", "NO_PROXY": "localhost,fd00::/8"},
        {"ALL_PROXY": "socks5://127.0.0.1:9"},
    ],
)  # fmt: skip
def test_the_token_passes_no_proxy_of_the_environment(
    lab: Lab, token: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    given = token.read_text().strip()
    with (
        answering(lambda *_: (200, b"[]", "application/json")) as (proxy, through),
        answering(
            lambda _method, _path, _body, headers: (
                200 if headers["Authorization"] == f"Bearer {given}" else 401,
                b"[]",
                "application/json",
            ),
            with_headers=True,
        ) as (url, asked),
    ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value.format(proxy=proxy))
        said = lab.run("held", "--server", url, "--token-file", str(token))
    assert said.code == 0 and len(asked) == 1 and not through, said.err


@pytest.mark.sweep
@pytest.mark.parametrize(("code", "status"), [(1, 409), (3, 400), (4, 502), (5, 502), (6, 409), (7, 503), (None, 403)])
def test_a_refusal_ends_as_the_same_command_without_a_daemon(
    lab: Lab, token: Path, code: int | None, status: int
) -> None:
    content: dict[str, Any] = {"error": "so it is", "fix": "this"} | ({} if code is None else {"exit_code": code})
    with answering(lambda *_: (status, json.dumps(content).encode(), "application/json")) as (url, _):
        for words in ASKING:
            said = lab.run(*words, "--server", url, "--token-file", str(token))
            assert said.code == (code or 3) and "so it is" in said.err and "this" in said.err


@pytest.mark.sweep
@pytest.mark.parametrize(
    "server",
    [
        "https://user:{}@127.0.0.1:1", "https://:{}@127.0.0.1:1", "https://{}@127.0.0.1:1", "https://127.0.0.1:1?token={}",
        "https://127.0.0.1:1#{}", "{}", "ftp://{}", "https://[{}", "https://127.0.0.1:{}", "https:///{}", "http://{}",
    ],
)  # fmt: skip
def test_what_is_no_address_is_not_shown(lab: Lab, token: Path, server: str) -> None:
    planted = secrets.token_hex(16)
    for words in (("held",), ("where", "kv/app/x"), ("pause", "job", "--reason", "x")):
        said = lab.run(*words, "--server", server.format(planted), "--token-file", str(token))
        assert said.code == 3 and planted not in said.out + said.err and "--server" in said.err, said
