"""A standby answers as of a while ago: what was seen of a path before a rollback stays the newest version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.peers import Answer
from tests.lab import Bao, Lab
from tests.support.fronts import job_behind, passing

pytestmark = pytest.mark.kind


class Standby:
    """OpenBao, and from some moment on as it was at an earlier one."""

    def __init__(self, bao: Bao) -> None:
        self._bao, self._real = bao, passing(bao, lambda _method, _path: None)
        self._then: dict[tuple[str, str], Answer] = {}
        self.lags = False

    def remember(self, folder: str, name: str) -> None:
        """How it is now."""
        mount = f"/v1/{self._bao.mount}"
        for path in (f"{mount}/metadata/{folder}", f"{mount}/metadata/{folder}/"):
            self._then["LIST", path] = self._real("LIST", path, b"")
        for path in (
            f"metadata/{folder}/{name}",
            *(f"data/{folder}/{name}{v}" for v in ("", *(f"?version={n}" for n in range(1, 5)))),
        ):
            self._then["GET", f"{mount}/{path}"] = self._real("GET", f"{mount}/{path}", b"")

    def __call__(self, method: str, path: str, sent: bytes) -> Answer | None:
        if method == "SCAN" or "detailed-metadata" in path:
            return Answer(b"", 405) if method == "SCAN" else Answer({"errors": ["unsupported path"]}, 404)
        if not self.lags or f"/v1/{self._bao.mount}/" not in path:
            return self._real(method, path, sent)
        if "list=true" in path:
            method, path = "LIST", path.partition("?")[0]
        return self._then.get((method, path), Answer({"errors": []}, 404))


@pytest.fixture
def standby(lab: Lab, bao: Bao) -> Iterator[Standby]:
    made = Standby(bao)
    with job_behind(lab, bao, made):
        yield made


def sent(lab: Lab, bao: Bao, *values: str) -> None:
    """Each of them is a version of its own, and arrives."""
    for value in values:
        bao.put("app/x", v=value)
        assert lab.run("sync").code == 0 and lab.site.values() == {"x": value}


@pytest.mark.parametrize("ended", [True, False])
def test_a_lag_lets_no_older_version_out_when_a_rollback_ends(
    lab: Lab, bao: Bao, standby: Standby, ended: bool
) -> None:
    sent(lab, bao, "1", "2")
    standby.remember("app", "x")
    sent(lab, bao, "3")
    assert lab.run("rollback", "x", "--to", "1", "--reason", "leak").code == 0
    standby.lags = True
    told = lab.run("plan").out
    assert "3 at the source waits" in told and "2 at the source waits" not in told, told
    if ended:
        lab.run("rollback", "x", "--end", "--reason", "mended")
    for _ in range(3):
        lab.run("sync")
        assert lab.site.values() == {"x": "1"}, "nobody wanted the second one"
        assert lab.statuses() == {"x": "behind" if ended else "rolled_back"}
    assert lab.run("where", f"{bao.mount}/app/x").code == 1
    standby.lags = False
    if not ended:
        lab.run("rollback", "x", "--end", "--reason", "mended")
    assert lab.run("sync").code == 0 and lab.site.values() == {"x": "3"}
    before = lab.writes()
    assert lab.run("sync").code == 0 and lab.writes() == before


def test_a_second_rollback_knows_what_was_sent_after_the_first(lab: Lab, bao: Bao, standby: Standby) -> None:
    sent(lab, bao, "1", "2")
    assert lab.run("rollback", "x", "--to", "1", "--reason", "leak").code == 0
    assert lab.run("rollback", "x", "--end", "--reason", "mended").code == 0 and lab.site.values() == {"x": "2"}
    sent(lab, bao, "3")
    standby.remember("app", "x")
    sent(lab, bao, "4")
    assert lab.run("rollback", "x", "--to", "1", "--reason", "leak").code == 0
    standby.lags = True
    lab.run("rollback", "x", "--end", "--reason", "mended")
    for _ in range(2):
        lab.run("sync")
        assert lab.site.values() == {"x": "1"}, "the third one is old, too"
    standby.lags = False
    assert lab.run("sync").code == 0 and lab.site.values() == {"x": "4"}
