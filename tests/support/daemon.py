"""A daemon in a process of its own, and what to ask it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.lab import Lab


def ask(url: str, method: str = "GET", token: str = "", body: bytes | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, body, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


@contextmanager
def running(lab: Lab, *options: str) -> Iterator[tuple[Any, str]]:
    process = lab.popen("run", *options)
    try:
        yield process, "http://" + lab.config["server"]["listen"]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
