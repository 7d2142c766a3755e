"""A job with a secret called `token`, for what becomes of that name."""

from __future__ import annotations

from typing import Any

from tests.lab import Bao, Lab
from tests.support.policies import DELETING


def rule(bao: Bao, path: str, name: str) -> dict[str, Any]:
    return {"path": f"{bao.mount}/{path}", "field": "v", "name": name}


def token_and_other(lab: Lab, bao: Bao) -> None:
    """`token` of app/a and `other` of app/c; app/b is there, and nobody's."""
    lab.vault(bao)
    for name in "abc":
        bao.put(f"app/{name}", v=f"of {name}")
    lab.job("job", "vault", rule(bao, "app/a", "token"), rule(bao, "app/c", "other"), **DELETING)
    assert lab.run("sync").code == 0
