"""A cycle of twenty actions that can be played again and again, and a judge of what it left behind."""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import Bao, Lab, Result

CREATED, UPDATED, DELETED, KEPT = 8, 7, 5, 2
RULES = [
    {"id": "weak", "min_length": 8, "then": "deny"},
    {"id": "left", "placeholder": True, "then": "deny"},
    {"id": "old", "max_age": "90d", "then": "warn"},
    {"id": "twice", "duplicate": {"across": "names"}, "then": "warn"},
]
WATCHED = {"id": "watched", "name": ["s00", "t00"], "then": "hold"}
"""Both are released before the faulty cycle, which spends that."""


@dataclass
class Verdict:
    """What one fault did; all but `converged` count what must not be."""

    converged: bool
    duplicated: int
    lost: int
    leaked: int
    told: str = ""

    @property
    def clean(self) -> bool:
        return self.converged and not (self.duplicated or self.lost or self.leaked)


@dataclass
class Arena:
    """8 creations, 7 updates and 5 deletions are waiting; `reset` puts everything back to that moment."""

    lab: Lab
    bao: Bao
    releasing: bool = False
    planted: list[str] = field(default_factory=list)
    wanted: dict[str, str] = field(default_factory=dict)
    creations: int = 0
    _secrets: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lab, bao = self.lab, self.bao
        lab.vault(bao)
        lab.config["rules"] = [*RULES, *([WATCHED] if self.releasing else [])]
        lab.job(
            "job", "vault", {"path": f"{bao.mount}/app/*", "name": "{path}"},
            deletion_policy="delete", deletion_grace="0s", guard={"max_deletes": 100},
        )  # fmt: skip
        for number in range(UPDATED + DELETED + KEPT):
            self._put(f"s{number:02}")
        self._go_on()
        assert lab.run("sync").code == 0
        for name in ("s00", "t00"):
            self._put(name)
        self._go_on()
        for number in range(1, UPDATED):
            self._put(f"s{number:02}")
        for number in range(UPDATED, UPDATED + DELETED):
            bao.remove(f"app/s{number:02}")
            del self.wanted[f"s{number:02}"]
        for number in range(1, CREATED):
            self._put(f"t{number:02}")
        self.creations = UPDATED + DELETED + KEPT + CREATED
        self.planted += [bao.token, lab.key, lab.state.with_name("state.db.key").read_text().strip()]
        shutil.copytree(lab.state.parent, self._template)
        self._secrets, self._ids = dict(lab.site.secrets), list(lab.site.created_ids)

    def _go_on(self) -> None:
        """Let go what a rule holds; the next cycle sends it."""
        if not self.releasing:
            return
        assert self.lab.run("sync").code == 6
        for batch in {row["batch"] for row in self.lab.run("held", "--json").json}:
            assert self.lab.run("release", batch, "--reason", "planned").code == 0

    def _put(self, name: str) -> None:
        value = f"planted-{secrets.token_hex(12)}"
        self.planted.append(value)
        self.wanted[name] = value
        self.lab.config["jobs"]["job"]["secrets"][0]["field"] = "v"
        self.bao.put(f"app/{name}", v=value)

    @property
    def _template(self) -> Path:
        return self.lab.folder / "template"

    def reset(self) -> None:
        shutil.rmtree(self.lab.state.parent)
        shutil.copytree(self._template, self.lab.state.parent)
        self.lab.site.secrets = dict(self._secrets)
        self.lab.site.created_ids[:] = self._ids
        self.lab.site._past.clear()
        self.lab.wix.seen.clear()
        self.lab.wix.faults.clear()
        self.lab.wix.late.clear()

    def judge(self, *seen: Result | str, most: int = 4) -> Verdict:
        """Let it settle, and count. `seen`: all that the faulty runs printed."""
        files = self.files()
        last = self.lab.settle(most)
        verdict = self.look(*seen, last, *files)
        verdict.converged = verdict.converged and last.code == 0 and self._is_quiet()
        if last.code:
            verdict.told = last.out + last.err
        return verdict

    def judge_audited(self, *seen: Result | str, most: int = 4) -> Verdict:
        """As `judge`; besides, the audit trail verifies, and each intent has exactly one end."""
        verdict = self.judge(*seen, most=most)
        verdict.converged = verdict.converged and self._trail_is_whole()
        return verdict

    def _trail_is_whole(self) -> bool:
        verified = self.lab.run("audit", "verify")
        lines = [json.loads(line) for line in self.lab.run("audit", "export").out.splitlines()]
        intents = sorted((line["stream"], line["seq"]) for line in lines if line["outcome"] == "intent")
        ended = {"done", "failed", "unknown"}
        ends = sorted((line["stream"], line["intent"]) for line in lines if line["outcome"] in ended)
        return verified.code == 0 and intents == ends

    def look(self, *seen: Result | str) -> Verdict:
        """Count what is there now."""
        site = self.lab.site
        named = [one.name.casefold() for one in site.secrets.values()]
        duplicated = len(site.created_ids) - self.creations + len(named) - len(set(named))
        ledger, ids = self.lab.ledger(), self.lab.ids()
        lost = sum(site.values().get(name) != value for name, value in self.wanted.items())
        lost += sum(ledger.get(name) != secret_id for name, secret_id in ids.items())
        lost += sum(secret_id is not None and ids.get(name) != secret_id for name, secret_id in ledger.items())
        texts = [one if isinstance(one, str) else one.out + one.err for one in seen]
        leaked = sum(any(value in text for value in self.planted[:-1]) for text in (*texts, *self.files()))
        return Verdict(
            site.values() == self.wanted, max(0, duplicated), lost, leaked, "" if not lost else f"{ledger} {ids}"
        )

    def files(self) -> list[str]:
        """Everything under the state folder but the key itself, which is what it is for."""
        return [
            path.read_bytes().decode("latin-1")
            for path in self.lab.state.parent.rglob("*")
            if path.is_file() and path.suffix != ".key"
        ]

    def _is_quiet(self) -> bool:
        before = self.lab.writes()
        return self.lab.run("sync").code == 0 and self.lab.writes() == before
