"""A month of changes on real servers: the auditor's file, `explain` and Wix's own log tell one story of each."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import libfaketime
import pytest

from syncd.sandbox.launchers import free_ports
from syncd.sandbox.wix_server import Seen
from syncd.sandbox.wix_site import Site
from tests.lab import Bao, Lab, Result
from tests.support.daemon import ask
from tests.support.waiting import until

LIBRARY = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
METHODS = {"secret.create": "POST", "secret.update": "PATCH", "secret.delete": "DELETE"}
DAYS, PATHS, PICKED = 30, 30, 25
SOON = timedelta(seconds=30)
"""From a request to the line that says how it ended."""


@dataclass
class Month:
    """Time that goes on by days: for commands and the daemon by libfaketime, for Wix by its own clock."""

    lab: Lab
    offset: timedelta = timedelta(0)
    offsets: list[tuple[float, timedelta]] = field(default_factory=list)
    """From which moment of this machine's clock on time was so far ahead."""

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def day(self, number: int) -> None:
        self.offset = timedelta(days=number)
        self.offsets.append((datetime.now(UTC).timestamp(), self.offset))

    def environ(self) -> dict[str, str]:
        ahead = f"+{int(self.offset.total_seconds())}"
        return {"LD_PRELOAD": str(LIBRARY), "DONT_FAKE_MONOTONIC": "1", "FAKETIME": ahead}

    def run(self, *words: str) -> Result:
        return self.lab.spawn(*words, **self.environ())

    def sync(self, *words: str, codes: frozenset[int] = frozenset({0})) -> Result:
        done = self.run("sync", *words)
        assert done.code in codes, (self.offset, done.code, done.out, done.err)
        return done

    def at(self, request: Seen) -> datetime:
        """When a request came, by the month's time."""
        ahead = [offset for since, offset in self.offsets if since <= request.at][-1]
        return datetime.fromtimestamp(request.at, UTC) + ahead


@pytest.fixture
def month(lab: Lab, bao: Bao) -> Month:
    found = Month(lab)
    lab.wix.clock = found.clock
    lab.vault(bao)
    for name in ("shop", "outlet"):  # sites made anew, which know the month's clock
        site = str(uuid.uuid4())
        lab.secret_file(f"{name}-key", lab.wix.issue_key(site))
        lab.config["targets"][name] = lab.target(site, f"{name}-key")
        lab.wix.site(site).options.quota = 10**6
    for number in range(PATHS):
        bao.put(f"app/k{number:02}", v=f"0-{number}")
    bao.put("held/stripe", key="0")
    usual = {"schedule": {"every": "1d"}, "deletion_policy": "delete", "deletion_grace": "0s"}
    lab.job("app", "vault", {"path": f"{bao.mount}/app/*"}, **usual, guard={"max_deletes": 2})
    lab.job("stripe", "vault", {"path": f"{bao.mount}/held/*"}, **usual)
    lab.job("night", "vault", {"path": f"{bao.mount}/night/*"}, **usual)
    for job in lab.config["jobs"].values():
        job["targets"] = ["shop", "outlet"]
    lab.config["jobs"]["night"]["windows"] = {"allow": ["00:00-00:01 Pacific/Kiritimati"]}
    lab.config["rules"] = [{"id": "by-release", "path": f"{bao.mount}/held/**", "then": "hold"}]
    lab.config["server"] = {
        "listen": f"127.0.0.1:{free_ports(1)}",
        "tokens": [{"name": "ci", "token": {"file": str(lab.secret_file("ci-token", "generated-ci-token"))}, "may": ["sync", "read"]}],
    }  # fmt: skip
    return found


@contextmanager
def daemon(month: Month) -> Iterator[str]:
    process = month.lab.popen("run", **month.environ())
    try:
        url = "http://" + month.lab.config["server"]["listen"]
        until(lambda: ask(url + "/readyz")[0] == 200, 30)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=30)


def changed_by_hand(month: Month, name: str) -> None:
    """Hours after the last cycle."""
    site = month.lab.wix.site(month.lab.config["targets"]["shop"]["auth"]["site_id"])
    month.day(month.offset.days)
    month.offset -= timedelta(hours=6)
    (stored,) = [secret for secret in site.secrets.values() if secret.name == name]
    site.update(stored.id, {"value": "by hand"})
    month.offset += timedelta(hours=6)


def releases(month: Month) -> None:
    for batch in json.loads(month.run("held", "--json").out):
        done = month.run("release", batch["batch"], "--as", "carol", "--reason", f"CHG-{month.offset.days}")
        assert done.code == 0, done.err


def live(month: Month, bao: Bao, chance: random.Random) -> None:
    """Thirty days of a small company."""
    held = frozenset({0, 6})
    for day in range(DAYS):
        month.day(day)
        present = [name.rstrip("/") for name in _listed(bao)]
        for name in chance.sample(present, 2):
            bao.put(f"app/{name}", v=f"{day}-{name}")
        if day in {9, 23}:
            bao.remove(f"app/{present[0]}")
        if day in {3, 17}:
            changed_by_hand(month, f"{present[-1]}_v")
        if day in {6, 20}:
            bao.put("held/stripe", key=str(day))
        if day == 12:
            assert (
                month.run("rollback", "k20_v", "--to", "1", "--until", "2d", "--as", "bob", "--reason", "bad").code == 0
            )
        if day == 15:
            with daemon(month) as url:  # a pipeline wakes a job, and the schedule does the rest
                for value in ("woken", "woken again"):  # the first may go with the cycle of the start
                    bao.put("app/k25", v=value)
                    assert ask(url + "/-/sync?job=app", "POST", "generated-ci-token")[0] == 202
                    until(lambda value=value: all(value in site.values().values() for site in _sites(month)), 20)
        if day == 26:
            bao.put("night/key", v="in a hurry")
            month.sync("night", codes=held)
            month.sync("night", "--outside-window", "--as", "dora", "--reason", "leaked, cannot wait for the night")
        if day == 28:
            for name in present[1:5]:
                bao.remove(f"app/{name}")
            month.sync(codes=held)
            month.sync("--allow-deletes", "8", "--as", "carol", "--reason", "the old shop is closed", codes=held)
        month.sync(codes=held)
        if day in {0, 7, 21}:
            releases(month)
            month.sync(codes=held)


def _listed(bao: Bao) -> list[str]:
    found: list[str] = bao.root.secrets.kv.v2.list_secrets("app", mount_point=bao.mount)["data"]["keys"]
    return found


def _sites(month: Month) -> list[Site]:
    return [month.lab.wix.site(target["auth"]["site_id"]) for target in month.lab.config["targets"].values()]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not LIBRARY.exists(), reason="libfaketime's library is not where it was")
def test_evidence_explain_and_wix_tell_one_story(month: Month, bao: Bao) -> None:
    chance = random.Random(20261128)
    live(month, bao, chance)
    file = json.loads(month.run("report", "--evidence", "32d..").out)
    changes: list[dict[str, Any]] = file["changes"]
    done = [line for line in changes if line["outcome"] == "done"]
    assert len(changes) == len(done) == file["questions"]["q3"]["answer"]["count"] > 100

    # The population: what Wix took, site by site and kind by kind, and nothing else.
    log = [request for request in month.lab.wix.seen if request.method in METHODS.values() and request.status == 200]
    asked = Counter((request.site, request.method) for request in log)
    assert asked == Counter((line["site"], METHODS[line["event"]]) for line in done)

    # Wix's own log and `explain` agree about each of those that are picked.
    ours, theirs = defaultdict(list), defaultdict(list)
    for line in done:
        key = line["name"] if line["event"] == "secret.create" else line["remote_id"]
        ours[line["site"], METHODS[line["event"]], key].append(line)
    for request in log:
        theirs[request.site, request.method, request.path.rpartition("/")[2]].append(request)
    for line in chance.sample(done, PICKED):
        method = METHODS[line["event"]]
        if method == "POST":
            near = [one for one in log if one.method == method and one.site == line["site"]]
            assert any(abs(month.at(one) - _at(line)) < SOON for one in near), line
        else:
            mine, seen = ours[line["site"], method, line["remote_id"]], theirs[line["site"], method, line["remote_id"]]
            assert len(mine) == len(seen), line
            assert abs(month.at(seen[mine.index(line)]) - _at(line)) < SOON, line
        told = json.loads(month.run("explain", line["name"], "--json").out)["history"]
        same = [one for one in told if one["request_id"] == line["request_id"]]
        assert [(one["action"], one["outcome"]) for one in same] == [(line["event"].removeprefix("secret."), "done")], (
            line
        )

    _see_the_answers(file, done)


def _at(line: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(line["at"])


def _see_the_answers(file: dict[str, Any], done: list[dict[str, Any]]) -> None:
    """Each question has its answer, and each kind of change says who and why."""
    questions = file["questions"]
    assert list(questions) == [f"q{number}" for number in range(1, 18)]
    missing = {key for key, found in questions.items() if found["answer"] in ("not recorded", None, {}, "")}
    assert missing <= {"q17"}, "only whether a restore was proved may be unknown"
    reasons = {line["reason"] for line in done}
    assert {"leaked, cannot wait for the night", "the old shop is closed"} <= reasons
    assert {line["detail"].get("released_by", "").partition(" ")[0] for line in done} >= {"carol"}
    assert {line["detail"].get("because") for line in done} >= {"bad"}
    kinds = {line["actor"]["kind"] for line in done}
    assert kinds == {"person", "token", "schedule"}, kinds
    assert questions["q13"]["answer"]["counts"] == {"found": 2, "restored": 2}
    assert not file["chains"]["breaks"]
    assert {item["reason"] for item in questions["q5"]["answer"]} >= {"bad", "CHG-0", "the old shop is closed"}
