"""What stands before a real OpenBao, and answers some of its requests by itself."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.chaos.peers import Answer, peer
from tests.lab import Bao, Lab


def before(bao: Bao, is_bad: Callable[[str, str], bool], fault: Answer) -> Any:
    """What stands before the real server, answers what is bad by itself, and knows no SCAN."""
    no_scan = Answer(b"<html>no such method</html>", 405)
    return passing(bao, lambda method, path: no_scan if method == "SCAN" else fault if is_bad(method, path) else None)


def lagging(bao: Bao, listed: Answer) -> Any:
    """A standby that lags lists the folder `a` so, completely; the paths themselves it tells as they are."""
    real = before(bao, lambda *_: False, listed)

    def lags(method: str, path: str, sent: bytes) -> Answer:
        if "detailed-metadata" in path:
            return Answer({"errors": ["1 error occurred: unsupported path"]}, 404)
        return listed if path.partition("?")[0].endswith("metadata/a") else real(method, path, sent)

    return lags


def passing(bao: Bao, own: Callable[[str, str], Answer | None]) -> Any:
    """What passes everything on to the real server but that to which it has an answer of its own."""
    host = bao.address.removeprefix("http://")

    def answer(method: str, path: str, sent: bytes) -> Answer:
        if (said := own(method, path)) is not None:
            return said
        connection = http.client.HTTPConnection(host)
        connection.request(method, path, sent, {"X-Vault-Token": bao.token, "X-Vault-Request": "true"})
        given = connection.getresponse()
        data = given.read()
        connection.close()
        return Answer(json.loads(data) if data else b"", given.status)

    return answer


@contextmanager
def job_behind(lab: Lab, bao: Bao, front: Callable[[str, str, bytes], Answer | None]) -> Iterator[None]:
    """A job `job` of `app/*`, field `v`, whose server is what this front makes of it."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    with peer(front) as server:
        lab.config["sources"]["vault"]["address"] = server.url
        yield
