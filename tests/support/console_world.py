"""A world for the page to show: jobs, sites of which some refuse, every status, rules, held batches, drift."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime, timedelta

from syncd.sandbox.launchers import free_ports
from tests.lab import Bao, Lab
from tests.support.wix_people import changed_by_hand

RULES = [
    {"id": "rotate-quarterly", "max_age": "90d", "then": "warn"},
    {"id": "weak", "path": "*/app/weak*", "min_length": 16, "then": "deny"},
    {"id": "prod-by-release", "label": {"env": "prod"}, "path": "*/held/**", "then": "hold"},
    {"id": "one-value-one-place", "duplicate": {"across": "names"}, "then": "warn"},
    {"id": "only-ours", "unmanaged": True, "then": "warn"},
]


def seeded(lab: Lab, bao: Bao, *, sites: int = 12, refusing: int = 2, secrets_a_job: int = 7) -> dict[str, str]:
    """Fill it and sync it. Returns: the tokens by name."""
    lab.vault(bao)
    tokens = {name: secrets.token_hex(16) for name in ("alice", "reader", "shop-team", "shop-lead")}
    for name, token in tokens.items():
        lab.secret_file(f"token-{name}", token)
    keys = []
    for number in range(1, sites):
        site = str(uuid.uuid4())
        keys.append(lab.wix.issue_key(site))
        lab.secret_file(f"key-{number}", keys[-1])
        lab.config["targets"][f"site{number:02}"] = {
            **lab.target(site, f"key-{number}"), "labels": {"env": "test", "team": "other"},
        }  # fmt: skip
    lab.config["targets"]["shop"]["labels"] = {"env": "prod", "team": "shop"}
    for number in range(secrets_a_job):
        bao.put(f"app/pay{number:02}", api_key=secrets.token_hex(20))
        bao.put(f"feeds/f{number:02}", url=secrets.token_hex(20), user=f"feed-user-{number}")
    bao.put("app/weak", v="tiny")
    bao.put("app/twin", api_key="one-and-the-same-value")
    bao.put("app/other", api_key="one-and-the-same-value")
    bao.put("held/stripe", key=secrets.token_hex(20))
    every = list(lab.config["targets"])
    job = {"schedule": {"every": "1h"}, "deletion_policy": "delete", "deletion_grace": "24h", "objective": "10m"}
    lab.job("payments", "vault", {"path": f"{bao.mount}/app/**", "name": "PAY_{path}_{field}"}, **job)
    lab.config["jobs"]["payments"]["targets"] = every
    lab.job("feeds", "vault", {"path": f"{bao.mount}/feeds/*"}, **job)
    lab.config["jobs"]["feeds"]["targets"] = every[:6]
    lab.job("stripe", "vault", {"path": f"{bao.mount}/held/*"}, drift_policy="report", **job)
    lab.config["rules"] = RULES
    lab.config["server"] = {
        "listen": f"127.0.0.1:{free_ports(1)}",
        "token": {"file": str(lab.secret_file("token", secrets.token_hex(16)))},
        "tokens": [
            {"name": "alice", "token": {"file": str(lab.folder / "token-alice")},
             "may": ["read", "sync", "release", "pause", "rollback", "freeze"]},
            {"name": "reader", "token": {"file": str(lab.folder / "token-reader")}, "may": ["read"]},
            {"name": "shop-team", "token": {"file": str(lab.folder / "token-shop-team")}, "may": ["read", "release"],
             "only": {"label": {"team": "shop"}}},
            {"name": "shop-lead", "token": {"file": str(lab.folder / "token-shop-lead")},
             "may": ["read", "pause", "sync", "rollback"], "only": {"label": {"team": "shop"}}},
        ],
    }  # fmt: skip
    lab.site.create({"name": "LEGACY_SMTP", "value": "x"})
    lab.site.create({"name": "PAY_pay01_api_key", "value": "somebody's"})
    lab.run("sync")
    for key in keys[:refusing]:
        lab.wix.keys.pop(key, None)
    changed_by_hand(lab, "PAY_pay02_api_key")
    bao.put("app/pay03", api_key=secrets.token_hex(20))
    bao.remove("app/pay04")
    lab.run("state", "freeze", "PAY_pay05_api_key", "--until", "3d", "--target", "shop", "--reason", "shop relaunch")
    lab.run("sync")
    tomorrow = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    lab.config["rules"][4]["except"] = [{"name": "LEGACY_SMTP", "until": tomorrow, "reason": "moved with the relaunch"}]
    return tokens
