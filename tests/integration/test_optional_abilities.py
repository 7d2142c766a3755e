"""An optional ability that is refused is no fault: the next means is tried."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.peers import Answer, peer
from tests.lab import Bao, Lab
from tests.support.fronts import passing


def refusing(bao: Bao, refused: tuple[str, ...], status: int, body: bytes) -> Any:
    """A proxy before the real server that does not pass these methods on."""
    refusal = Answer(body, status, {"Content-Type": "text/html"})
    return passing(bao, lambda method, _: refusal if method in refused else None)


@pytest.mark.sweep
@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
@pytest.mark.parametrize("refused", [("SCAN",), ("SCAN", "LIST")], ids=str)
def test_a_proxy_that_does_not_know_a_method(lab: Lab, bao: Bao, refused: tuple[str, ...], status: int) -> None:
    for path in ("app/a", "app/deep/b", "app/deep/er/c"):
        bao.put(path, v=path)
    with peer(refusing(bao, refused, status, b"<html>no such method</html>")) as proxy:
        lab.vault(bao)
        lab.config["sources"]["vault"]["address"] = proxy.url
        lab.job("job", "vault", {"path": f"{bao.mount}/app/**"})
        result = lab.run("sync")
        assert result.code == 0, result.out + result.err
        assert set(lab.site.values().values()) == {"app/a", "app/deep/b", "app/deep/er/c"}
        before = lab.writes()
        assert lab.run("sync").code == 0 and lab.writes() == before


@pytest.mark.sweep
@pytest.mark.parametrize("status", [200, 404, 405, 500, 502])
def test_a_proxy_that_answers_everything_itself_is_no_listing(lab: Lab, bao: Bao, status: int) -> None:
    bao.put("app/a", v="1")
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**"}, deletion_policy="delete", deletion_grace="0s")
    assert lab.run("sync").code == 0
    with peer(lambda *_: Answer(b"<html>sign in</html>", status)) as proxy:
        lab.config["sources"]["vault"]["address"] = proxy.url
        for _ in range(2):
            assert lab.run("sync").code == 4
    assert lab.site.values() == {"a_v": "1"}
