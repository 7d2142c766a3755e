"""One path or folder that the server fails on leaves the rest of its job as it is: it alone is told, by its name."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.peers import Answer, peer
from tests.lab import Bao, Lab
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind
FAULTS = {
    "a damaged entry": Answer({"errors": ["1 error occurred: decryption failed"]}, 500),
    "a firewall's page": Answer(b"<html>blocked</html>", 403, {"Content-Type": "text/html"}),
    "a gateway's page": Answer(b"<html>bad gateway</html>", 502, {"Content-Type": "text/html"}),
    "an answer that holds the login": Answer(b"", 200),
}


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


@pytest.mark.parametrize("where", ["its metadata", "its value", "its folder", "its mount"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_rest_of_the_job_goes_on(lab: Lab, bao: Bao, fault: str, where: str) -> None:
    for path in ("app/bad/x", "app/good/y", "single"):
        bao.put(path, v="1")
    lab.vault(bao)
    rules = [f"{bao.mount}/app/bad/x", f"{bao.mount}/app/good/*", f"{bao.mount}/single"]
    if where == "its folder":
        rules[:2] = [f"{bao.mount}/app/**"]
    lab.job("job", "vault", *({"path": rule, "name": "{basename}_{field}"} for rule in rules), **DELETING)
    assert lab.run("sync").code == 0
    for path in ("app/bad/x", "app/good/y", "single"):
        bao.put(path, v="2")
    answered = FAULTS[fault]
    if "login" in fault:
        answered = Answer({"data": {"data": {"v": bao.token}, "metadata": {"version": 2}, "keys": [bao.token]}}, 200)

    def is_bad(_method: str, path: str) -> bool:
        if where == "its folder":
            return path.partition("?")[0].endswith("app/bad")
        kind = {"its metadata": "/metadata/", "its value": "/data/", "its mount": "/mounts/"}[where]
        return "app/bad" in path and kind in path

    with peer(before(bao, is_bad, answered)) as front:
        lab.config["sources"]["vault"]["address"] = front.url
        result = lab.run("sync")
    assert result.code == 4, result.out + result.err
    values = lab.site.values()
    assert (values["y_v"], values["single_v"]) == ("2", "2"), result.out
    assert "app/bad" in result.out and values["x_v"] == "1"
    assert bao.token not in result.out + result.err


def test_a_server_that_fails_on_everything_is_asked_for_a_few_paths_alone(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.job("job", "vault", *({"path": f"{bao.mount}/app/{number}", "field": "v"} for number in range(40)))
    asked: list[str] = []
    fault = Answer({"errors": ["internal error"]}, 500)
    with peer(before(bao, lambda _, path: asked.append(path) or "mounts" in path, fault)) as front:
        lab.config["sources"]["vault"]["address"] = front.url
        result = lab.run("sync")
    assert result.code == 4 and len(asked) < 20, len(asked)
