"""A person reads what happened, never the name of a class of a library."""

from __future__ import annotations

import errno
import json
import re
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.session import get_session

import syncd
from syncd.transport.fault_words import in_words, proxy_status, why_not_trusted
from syncd.transport.httpx_client import client_for
from syncd.transport.private_files import SpecialFile

EVERY_LIBRARY = (httpx.HTTPError, requests.RequestException, BotoCoreError)


def nobody() -> str:
    """An address of this machine on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def by_httpx(url: str) -> None:
    """As Wix is asked."""
    with client_for(url, seconds=2) as client:
        client.get(url)


def by_requests(url: str) -> None:
    """As Vault is asked."""
    requests.get(url, timeout=2)


def by_botocore(url: str) -> None:
    """As AWS is asked."""
    options = {"endpoint_url": url, "aws_access_key_id": "lab", "aws_secret_access_key": "generated"}
    quick = Config(retries={"total_max_attempts": 1})
    get_session().create_client("secretsmanager", "eu-west-1", config=quick, **options).list_secrets()


@pytest.mark.parametrize("ask", [by_httpx, by_requests, by_botocore])
def test_what_the_system_says_is_told_through_every_library(ask: Callable[[str], None]) -> None:
    with pytest.raises(EVERY_LIBRARY) as caught:
        ask(nobody())
    assert in_words(caught.value) == "connection refused"


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (lambda folder: folder.read_text(), "it is a folder"),
        (lambda folder: (folder / "missing").read_text(), "there is no such file"),
        (lambda folder: json.loads("{planted"), "it is no JSON"),
        (lambda folder: b"\xff\xfeplanted".decode(), "it is no UTF-8 text"),
        (lambda folder: (folder / ("x" * 300)).read_text(), "its name is too long"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, read: Callable[[Path], object], told: str) -> None:
    with pytest.raises((OSError, ValueError)) as caught:
        read(tmp_path)
    assert in_words(caught.value) == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (httpx.ConnectTimeout("planted"), "no connection in time"),
        (httpx.ReadTimeout("planted"), "no answer in time"),
        (socket.gaierror(socket.EAI_NONAME, "planted"), "its host name cannot be resolved"),
        (SpecialFile(), "it is no regular file"),
        (OSError(errno.EXDEV, "planted"), "invalid cross-device link"),
        (httpx.RemoteProtocolError("planted"), "remote protocol error"),
        (type("ABCError", (Exception,), {})("planted"), "abc error"),
    ],
)
def test_no_text_of_a_library_is_told(error: Exception, told: str) -> None:
    assert in_words(error) == told


def test_no_message_holds_the_name_of_a_class() -> None:
    """Logs may: who reads a bug there reads the code, too."""
    house = Path(syncd.__file__).parent
    shown = {
        f"{file.relative_to(house)}:{number}"
        for file in house.rglob("*.py")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(r"\{type\(\w+\)\.__name__\}", line) and "syncd: bug" not in line
    }
    assert shown == set()


def wrapped(inner: BaseException, way: str) -> BaseException:
    """As a library may wrap it: as its cause, an argument, a keyword, or (urllib3) its reason."""
    outer: Any = RuntimeError("outer")
    if way == "cause":
        outer.__cause__ = inner
    elif way == "argument":
        outer = RuntimeError(inner)
    elif way == "keyword":
        outer.kwargs = {"error": inner}
    else:
        outer.reason = inner
    return RuntimeError(outer)


@pytest.mark.parametrize("way", ["cause", "argument", "keyword", "reason"])
def test_why_a_certificate_is_not_trusted_is_found_within(way: str) -> None:
    refused = ssl.SSLCertVerificationError(1, "planted")
    refused.verify_message = "Hostname mismatch"
    assert why_not_trusted(wrapped(refused, way)) == " (Hostname mismatch)"
    assert why_not_trusted(wrapped(ssl.SSLError(1, "planted"), way)) == ""


@pytest.mark.parametrize("way", ["cause", "argument", "keyword", "reason"])
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Tunnel connection failed: 407 Proxy Authentication Required for planted", " (HTTP 407)"),
        ("Tunnel connection failed: 403 Forbidden", " (HTTP 403)"),
        ("Cannot connect to proxy planted", ""),
    ],
)
def test_the_status_of_a_proxy_is_found_within(way: str, said: str, told: str) -> None:
    assert proxy_status(wrapped(OSError(said), way)) == told


def test_errors_that_hold_one_another_come_to_an_end() -> None:
    one, other = RuntimeError("a"), RuntimeError("b")
    one.__cause__, other.__cause__ = other, one
    assert proxy_status(one) == why_not_trusted(one) == ""
