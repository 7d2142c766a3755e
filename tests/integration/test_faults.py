"""Each fault of the emulator on each method: within three runs the site is right, and nothing leaks."""

from __future__ import annotations

import secrets

import pytest

from syncd.sandbox.wix_server import KINDS
from tests.lab import Bao, Lab

CALLS = ("GET", "POST", "PATCH", "DELETE")


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_on_each_call(lab: Lab, bao: Bao, kind: str, method: str) -> None:
    values = {name: f"planted-{secrets.token_hex(12)}" for name in ("keep", "rotate", "gone", "new", "rotated")}
    lab.vault(bao)
    lab.job(
        "job", "vault", {"path": f"{bao.mount}/app/*"}, deletion_policy="delete", deletion_grace="0s",
        guard={"max_deletes": 5},
    )  # fmt: skip
    for name in ("keep", "rotate", "gone"):
        bao.put(f"app/{name}", v=values[name])
    assert lab.run("sync").code == 0
    bao.put("app/rotate", v=values["rotated"])
    bao.put("app/new", v=values["new"])
    bao.remove("app/gone")
    # More of them than the client tries again, so that the fault is felt.
    lab.wix.fault(kind, method, times=5, seconds=0.05)
    results = [lab.run("sync", options=("--debug",))]
    lab.wix.faults.clear()
    lab.wix.commit_late()
    results += [lab.run("sync", options=("--debug",)) for _ in range(2)]
    assert results[-1].code == 0, results[-1].out + results[-1].err
    assert lab.site.values() == {"keep_v": values["keep"], "rotate_v": values["rotated"], "new_v": values["new"]}
    assert lab.ledger() == lab.ids()
    assert len(lab.site.created_ids) == 4
    before = lab.writes()
    last = lab.run("sync")
    assert last.code == 0
    assert lab.writes() == before
    for text in (*(r.out + r.err for r in results), *_files(lab)):
        for planted in (*values.values(), lab.key, bao.token):
            assert planted not in text
        assert "Traceback" not in text


def _files(lab: Lab) -> list[str]:
    return [path.read_bytes().decode("latin-1") for path in lab.state.parent.iterdir()]
