"""What stands before a real OpenBao, and answers some of its requests by itself."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any

from tests.chaos.peers import Answer
from tests.lab import Bao


def before(bao: Bao, is_bad: Callable[[str, str], bool], fault: Answer) -> Any:
    """What stands before the real server, answers what is bad by itself, and knows no SCAN."""
    host = bao.address.removeprefix("http://")

    def answer(method: str, path: str, sent: bytes) -> Answer:
        if method == "SCAN":
            return Answer(b"<html>no such method</html>", 405)
        if is_bad(method, path):
            return fault
        connection = http.client.HTTPConnection(host)
        connection.request(method, path, sent, {"X-Vault-Token": bao.token, "X-Vault-Request": "true"})
        given = connection.getresponse()
        data = given.read()
        connection.close()
        return Answer(json.loads(data) if data else b"", given.status)

    return answer
