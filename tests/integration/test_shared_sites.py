"""Jobs and targets on one site share its names, its records and its limits."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from syncd.sandbox.launchers import openbao
from tests.lab import Bao, Lab


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


def test_merged_jobs_with_other_descriptions_come_to_rest(lab: Lab, bao: Bao) -> None:
    for name in ("one", "two"):
        vault_job(lab, bao, {"path": "app/*", "description": f"of job {name}"}, name=name)
    bao.put("app/a", v="1")
    assert lab.run("sync").code == 0
    before = lab.writes()
    assert lab.run("sync").code == 0
    assert lab.writes() == before


def test_targets_on_one_site_must_agree(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    lab.config["targets"]["again"] = lab.config["targets"]["shop"] | {"name_profile": "dashboard", "rate_limit": "9/1s"}
    result = lab.run("check")
    assert result.code == 3 and "is another than that of shop" in result.err


def test_two_targets_on_one_site_share_everything(lab: Lab, bao: Bao) -> None:
    lab.config["targets"]["again"] = lab.config["targets"]["shop"]
    vault_job(lab, bao, {"path": "app/*"}, targets=["shop", "again"])
    bao.put("app/a", v="1")
    kept = lab.folder / "plan.json"
    assert lab.run("plan", "--out", str(kept)).code == 0
    assert lab.run("apply", str(kept)).code == 0
    assert len(lab.site.created_ids) == 1 and lab.site.values() == {"a_v": "1"}


def test_merged_rules_of_which_the_first_knows_how(lab: Lab, aws: Any, aws_url: str) -> None:
    aws.create_secret(Name="h/bin", SecretBinary=b"\x00")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "h/bin", "binary": "base64", "name": "X"}, {"path": "h/*", "name": "X"})
    assert lab.run("sync").code == 0


def test_one_lagging_answer_is_one_answer_however_many_jobs_see_it(lab: Lab, bao: Bao) -> None:
    """The state of a path counts confirmations a minute apart at least."""
    from syncd.domain import Glob, Rule
    from syncd.reconcile.observe.freshness import SPACING
    from syncd.reconcile.observe.observation_cache import ObservationCache
    from syncd.reconcile.observe.source_access import SourceAccess
    from syncd.reconcile.observe.source_observer import SourceObserver
    from tests.fakes import FakeClock, FakeSource

    clock = FakeClock()
    source, ledger = FakeSource(clock), Ledger(sqlite_engine(None), "memory", None)
    rule = Rule(index=0, source="vault", path=Glob("kv/**"), field="*", name="{path}")
    source.put("kv/a", v="old")
    stale = dict(source.secrets)
    source.put("kv/a", v="new")

    def gather() -> str:
        with ledger.lock("s", holder="t", wait=timedelta(0)) as journal:
            access = SourceAccess(
                source=source,
                store=ledger,
                journal=journal,
                fingerprint=lambda _: "fp",
                clock=clock,
                takers=lambda _: ["job"],
            )
            SourceObserver((rule,), access, ObservationCache()).observe()
        return ledger.known_paths("vault")["kv/a", ""].version.token

    newest = gather()
    source.stale = stale
    for _ in range(5):
        assert gather() == newest, "five jobs in one second see one answer"
    clock.skip(SPACING)
    assert gather() == newest
    clock.skip(SPACING)
    assert gather() != newest, "several cycles confirm it: it was restored on purpose"
    ledger.close()


def test_a_losers_bad_value_does_not_stop_the_owner_of_the_name(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "{field}"})
    bao.put("app/b", KEY="one")
    lab.run("sync")
    bao.put("app/a", KEY="x" * 4000)
    bao.put("app/b", KEY="two")
    assert lab.run("sync").code == 1
    assert lab.site.values() == {"KEY": "two"}


def test_a_name_that_another_job_has_costs_no_value_read(lab: Lab, tmp_path: Any) -> None:
    """Quiet when idle: whether the other's reference is still there, its metadata tells."""
    log, config = tmp_path / "audit.log", tmp_path / "audit.hcl"
    config.write_text(f'audit "file" "x" {{ options = {{ file_path = "{log}" }} }}')
    with openbao(f"-config={config}") as server:
        bao = Bao(server, "secret", server.token)
        for name in ("one", "two"):
            bao.put(f"app/{name}", v=name)
            lab.vault(bao)
            lab.job(name, "vault", {"path": f"secret/app/{name}", "field": "v", "name": "SHARED"})
        lab.run("sync")
        log.write_text("")
        assert lab.run("sync").code == 1
        asked = [json.loads(line)["request"]["path"] for line in log.read_text().splitlines()]
    assert asked and not [path for path in asked if path.startswith("secret/data/")]
