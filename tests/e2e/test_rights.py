"""Rights that end at a label: what somebody does, sees and can find out stays within it, whichever way it is asked."""

from __future__ import annotations

import http.client
import json
import secrets
import urllib.parse
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from syncd.sandbox.launchers import free_ports
from tests.lab import Bao, Lab
from tests.support.daemon import ask, running
from tests.support.waiting import until

HOLD = {"id": "prod", "label": {"env": "prod"}, "then": "hold"}
EVERYTHING = ["read", "sync", "release", "pause", "rollback", "freeze"]


@dataclass(frozen=True, slots=True)
class Teams:
    """Two teams, a site each: `lead` has all rights on the shop's, `boss` on both, `reader` may look."""

    lab: Lab
    bao: Bao
    bank: str
    tokens: dict[str, str]

    def ask(self, token: str, method: str, path: str, body: Any = None, headers: Any = {}) -> tuple[int, Any]:  # noqa: B006
        connection = http.client.HTTPConnection(self.lab.config["server"]["listen"], timeout=30)
        given = {"Content-Type": "application/json", **headers}
        given |= {"Authorization": f"Bearer {self.tokens[token]}"} if token else {}
        connection.request(method, f"/api/v1/{path}", None if body is None else json.dumps(body), given)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text)


@pytest.fixture
def teams(lab: Lab, bao: Bao) -> Teams:
    lab.vault(bao)
    bank = str(uuid.uuid4())
    lab.secret_file("bank-key", lab.wix.issue_key(bank))
    lab.config["targets"]["shop"]["labels"] = {"team": "shop", "env": "test"}
    lab.config["targets"]["bank"] = {**lab.target(bank, "bank-key"), "labels": {"team": "bank", "env": "prod"}}
    tokens = {name: secrets.token_hex(16) for name in ("lead", "boss", "reader")}
    for name, token in tokens.items():
        lab.secret_file(f"token-{name}", token)
    files = {name: {"file": str(lab.folder / f"token-{name}")} for name in tokens}
    lab.config["server"] = {
        "listen": f"127.0.0.1:{free_ports(1)}",
        "tokens": [
            {"name": "lead", "token": files["lead"], "may": EVERYTHING, "only": {"label": {"team": "shop"}}},
            {"name": "boss", "token": files["boss"], "may": EVERYTHING},
            {"name": "reader", "token": files["reader"], "may": ["read"]},
        ],
    }
    return Teams(lab, bao, bank, tokens)


def job(teams: Teams, name: str, path: str, *targets: str, schedule: Any = {"every": "1h"}, **more: Any) -> None:  # noqa: B006
    teams.lab.job(name, "vault", {"path": f"{teams.bao.mount}/{path}"}, **({"schedule": schedule} if schedule else {}))
    teams.lab.config["jobs"][name] |= {"targets": list(targets), **more}


def is_ready(url: str) -> None:
    until(lambda: ask(url + "/readyz")[0] == 200, 60)


def test_a_rollback_ends_at_the_rights_and_sends_nothing_that_waits(teams: Teams) -> None:
    lab, bao = teams.lab, teams.bao
    bao.put("both/db", v="first-value")
    bao.put("both/db", v="second-value")
    bao.put("own/mail", v="first-mail")
    bao.put("own/mail", v="second-mail")
    job(teams, "both", "both/*", "shop", "bank")
    job(teams, "own", "own/*", "shop")
    lab.config["rules"] = [HOLD]
    assert lab.run("sync").code == 6
    with running(lab) as (_, url):
        is_ready(url)
        status, answer = teams.ask("lead", "POST", "rollback", {"what": "db_v", "to": "1", "reason": "mine"})
        assert status == 400 and "beyond your rights" in str(answer)
        status, _ = teams.ask("lead", "POST", "rollback", {"what": "mail_v", "to": "1", "reason": "mine"})
        until(lambda: lab.site.values()["mail_v"] == "first-mail", 20)
        assert status == 200 and lab.site.values()["db_v"] == "second-value"
        # Who may roll it back on both does not release what the bank's site waits for.
        assert teams.ask("boss", "POST", "rollback", {"what": "db_v", "to": "1", "reason": "all"})[0] == 200
        until(lambda: lab.site.values()["db_v"] == "first-value", 20)
        until(lambda: teams.ask("boss", "GET", "held")[1] != [], 20)
    assert not lab.wix.site(teams.bank).values()


def test_a_wish_ends_at_the_rights(teams: Teams) -> None:
    for path in ("both/db", "own/mail"):
        teams.bao.put(path, v="1")
    job(teams, "both", "both/*", "shop", "bank")
    job(teams, "own", "own/*", "shop")
    assert teams.lab.run("sync").code == 0
    with running(teams.lab) as (_, url):
        is_ready(url)
        ways = {
            f"path={teams.bao.mount}/both/db": 404, "job=both": 404, f"path={teams.bao.mount}/own/mail": 202, "job=own": 202,
        }  # fmt: skip
        for way, status in ways.items():
            assert ask(f"{url}/-/sync?{way}", "POST", teams.tokens["lead"])[0] == status, way
            assert ask(f"{url}/-/sync?{way}", "POST", teams.tokens["boss"])[0] == 202, way


def test_the_status_names_what_is_within_the_rights(teams: Teams) -> None:
    for path in ("both/db", "own/mail", "hush/merger"):
        teams.bao.put(path, v="1")
    job(teams, "both", "both/*", "shop", "bank")
    job(teams, "own", "own/*", "shop")
    job(teams, "hush", "hush/*", "bank")
    assert teams.lab.run("sync").code == 0
    with running(teams.lab) as (_, url):
        is_ready(url)
        told = json.loads(ask(url + "/status", token=teams.tokens["lead"])[1])
        names = {item["job"]: [run["target"] for run in item["targets"]] for item in told["jobs"]}
        assert names == {"both": ["shop"], "own": ["shop"]} and told["secrets"] == {"synced": 2}, told
        by_api = teams.ask("lead", "GET", "status")[1]
        assert {item["job"] for item in by_api["jobs"]} == set(names) and by_api["secrets"] == told["secrets"]
        told = json.loads(ask(url + "/status", token=teams.tokens["reader"])[1])
        assert {item["job"] for item in told["jobs"]} == {"both", "own", "hush"} and told["secrets"] == {"synced": 4}
        assert "shop" not in ask(url + "/status")[1]


@pytest.mark.long
def test_nothing_of_others_is_told(teams: Teams) -> None:
    lab, bao = teams.lab, teams.bao
    lab.config["rules"] = [
        {"id": "twice", "duplicate": {"across": "names"}, "then": "warn"},
        {"id": "mails", "require": {"name": "MAIL*"}, "then": "warn",
         "except": [{"name": "hush_key", "target": "bank", "until": "2099-12-31", "reason": "hush, hush"}]},
    ]  # fmt: skip
    bao.put("mine/a", v="one-and-the-same-value")
    bao.put("theirs/hush", key="one-and-the-same-value")
    job(teams, "mine", "mine/*", "shop")
    job(teams, "theirs", "theirs/*", "bank")
    assert lab.run("sync").code == 0
    assert "hush_key on bank" in lab.run("rules").out
    with running(lab) as (_, url):
        is_ready(url)
        assert teams.ask("boss", "POST", "pause", {"scope": "job", "name": "theirs", "reason": "hush"})[0] == 200
        theirs = f"{bao.mount}/theirs"
        pairs = [
            ("POST", "rollback", {"what": "hush_key", "reason": "x"}, {"what": "nobodys", "reason": "x"}),
            ("POST", "rollback", {"what": f"{theirs}/hush", "reason": "x"}, {"what": f"{theirs}/none", "reason": "x"}),
            ("POST", "freeze", {"site": teams.bank, "name": "hush_key", "until": "1h", "reason": "x"},
             {"site": teams.bank, "name": "nobodys", "until": "1h", "reason": "x"}),
            ("POST", "pause", {"scope": "job", "name": "theirs", "reason": "x"},
             {"scope": "job", "name": "nobodys", "reason": "x"}),
            ("POST", "sync", {"job": "theirs"}, {"job": "nobodys"}),
            ("GET", "secrets?job=theirs", None, None), ("GET", "secrets?target=bank", None, None),
            ("GET", "audit?target=bank", None, None),
        ]  # fmt: skip
        for method, path, there, not_there in pairs:
            other = path.replace("theirs", "nobodys").replace("=bank", "=nobodys")
            assert teams.ask("lead", method, path, there) == teams.ask("lead", method, other, not_there), path
        pages = ["overview", "secrets", "held", "report", "audit", f"secrets/{lab.site_id}/a_v", "secrets?rule=twice"]
        told = "".join(json.dumps(teams.ask("lead", "GET", page)[1]) for page in pages)
        assert "same value" not in told, "it would be a way to guess a value of others"
        for word in ("hush", "theirs", "bank", teams.bank):
            assert word not in told, word
        whole = "".join(json.dumps(teams.ask("boss", "GET", page)[1]) for page in pages)
        assert "hush_key on bank" in whole and "hush, hush" in whole


def test_each_refusal_by_a_label_is_a_line(teams: Teams) -> None:
    lab, bao = teams.lab, teams.bao
    lab.config["rules"] = [HOLD]
    bao.put("theirs/a", v="1")
    bao.put("both/b", v="1")
    job(teams, "theirs", "theirs/*", "bank")
    job(teams, "both", "both/*", "shop", "bank")
    assert lab.run("sync").code == 6
    (batch, *_) = {row["batch"] for row in lab.run("held", "--json").json if row["job"] == "theirs"}
    asked = [
        ("pause", {"scope": "job", "name": "theirs"}), ("pause", {"scope": "all"}),
        ("pause", {"scope": "target", "name": "bank"}), ("resume", {"scope": "target", "name": "bank"}),
        ("rollback", {"what": "b_v"}), ("rollback", {"what": "a_v"}), ("sync", {"job": "theirs"}),
        ("freeze", {"site": teams.bank, "name": "a_v", "until": "1h"}), ("release", {"batch": batch}),
    ]  # fmt: skip
    with running(lab) as (_, url):
        is_ready(url)
        for path, body in asked:
            status, answer = teams.ask("lead", "POST", path, {**body, "reason": "x"})
            assert status != 200 or "there is no" in str(answer), (path, answer)
        lines = lab.run("audit", "show", "--event", "access.denied", "--json").json
        assert [line["detail"]["what"] for line in lines] == [path for path, _ in asked]
        assert {line["actor"]["id"] for line in lines} == {"lead"}


@pytest.mark.long
def test_it_is_said_when_nothing_is_sent_now(teams: Teams) -> None:
    lab, bao = teams.lab, teams.bao
    lab.config["rules"] = [HOLD]
    bao.put("app/a", v="1")
    job(teams, "byhand", "app/*", "bank", schedule=None)
    job(teams, "other", "other/*", "shop")
    assert lab.run("sync", "byhand").code == 6
    with running(lab) as (_, url):
        until(lambda: ask(url + "/livez")[0] == 200, 60)
        assert "syncd sync byhand" in str(teams.ask("boss", "POST", "sync", {"job": "byhand"})[1])
        assert teams.ask("boss", "POST", "pause", {"scope": "all", "reason": "a quiet day"})[0] == 200
        until(lambda: "a quiet day" in str(teams.ask("boss", "GET", "overview")[1]), 10)
        assert "a quiet day" in str(teams.ask("boss", "POST", "sync", {"job": "other"})[1])
        (batch,) = teams.ask("boss", "GET", "held")[1]
        answer = teams.ask("boss", "POST", "release", {"batch": batch["batch"], "reason": "x"})[1]
        assert "syncd sync byhand" in str(answer) and "sends it now" not in str(answer)
        resumed = teams.ask("boss", "POST", "resume", {"scope": "all"})[1]
        assert "everything goes on" in str(resumed) and "syncd sync byhand" in str(resumed)


def test_only_what_is_rolled_back_is_ended(teams: Teams) -> None:
    bao, lab = teams.bao, teams.lab
    bao.put("app/a", v="1")
    job(teams, "app", "app/*", "shop")
    assert lab.run("sync").code == 0
    with running(lab) as (_, url):
        is_ready(url)
        for token in ("lead", "boss"):
            status, answer = teams.ask(token, "POST", "rollback", {"what": "a_v", "end": True, "reason": "x"})
            assert status == 400 and "is not rolled back" in str(answer)
    assert not [line for line in lab.run("audit", "show", "--json").json if line["event"] == "secret.rolled_back"]


@pytest.mark.parametrize("entry", ["vault", "second"])
def test_rights_end_where_the_very_secret_does(teams: Teams, entry: str) -> None:
    """Another entry for the same mount sends the other team the same secret: a rollback, or its end, holds there, too."""
    lab, bao = teams.lab, teams.bao
    lab.vault(bao, "second")
    for value in ("first", "second"):
        bao.put("app/db", v=value)
    job(teams, "mine", "app/*", "shop")
    lab.job("theirs", entry, {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"})
    lab.config["jobs"]["theirs"]["targets"] = ["bank"]
    assert lab.run("sync").code == 0
    path = f"vault:{bao.mount}/app/db"
    with running(lab) as (_, url):
        is_ready(url)
        status, answer = teams.ask("lead", "POST", "rollback", {"what": path, "to": "1", "reason": "mine"})
        assert status == 400 and "beyond your rights" in str(answer)
        assert teams.ask("boss", "POST", "rollback", {"what": path, "to": "1", "reason": "all"})[0] == 200
        until(lambda: lab.wix.site(teams.bank).values()["db_v"] == lab.site.values()["db_v"] == "first", 20)
        status, answer = teams.ask("lead", "POST", "rollback", {"what": path, "end": True, "reason": "mine"})
        assert status == 400 and "beyond your rights" in str(answer)
    lines = lab.run("audit", "show", "--event", "secret.rolled_back", "--json").json
    assert {(line["name"], line["site"]) for line in lines} == {("db_v", lab.site_id), ("db_v", teams.bank)}


def planned(teams: Teams, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a candidate would do, by name."""
    status, answer = teams.ask("reader", "POST", "plan", {"configuration": yaml.safe_dump(config)})
    assert status == 200, answer
    return {action["name"]: action for plan in answer["plans"] for action in plan["actions"]}


@pytest.mark.long
def test_a_candidate_tells_nothing_of_values(teams: Teams) -> None:
    lab, bao = teams.lab, teams.bao
    bao.put(
        "app/door", pin="0042", note="a-long-and-real-value", code="s3cr3t-of-the-house", same="s3cr3t-of-the-house"
    )
    bao.put("safe/box", pin="0077")
    bao.put("guess/of", it="s3cr3t-of-the-house", other="something-else")
    lab.config["rules"] = [{"id": "weak", "placeholder": True, "then": "deny"}]
    job(teams, "app", "app/*", "shop")
    assert lab.run("sync").code == 0
    config = yaml.safe_load(lab.config_file.read_text())
    config.pop("server")
    door, guess = f"{bao.mount}/app/door", f"{bao.mount}/guess/of"
    with running(lab) as (_, url):
        is_ready(url)
        # By a rule that compares a value with the name that somebody gives it, …
        config["jobs"]["app"]["secrets"] = [
            {"path": door, "field": "pin", "name": f"{number:04}"} for number in range(30, 60)
        ]
        names = planned(teams, config)
        assert {name for name in names if name.isdecimal()} == {f"{number:04}" for number in range(30, 60)}
        # … of a path that no job reads yet, too, …
        secret = f"{bao.mount}/safe/box"
        config["jobs"]["app"]["secrets"] = [
            {"path": secret, "field": "pin", "name": f"{number:04}"} for number in range(60, 90)
        ]
        assert {name for name in planned(teams, config) if name.isdecimal()} == {f"{n:04}" for n in range(60, 90)}
        # … by the candidate's own rules about the value, …
        for check in ({"min_length": 5}, {"min_length": 3}, {"equals_name": True}):
            config["rules"] = [{"id": "own", **check, "then": "deny"}] if "equals_name" not in check else []
            config["jobs"]["app"]["secrets"] = [{"path": door, "field": "pin", "name": "pin_of_it"}]
            assert planned(teams, config)["pin_of_it"]["action"] == "create", check
        # … and by whether a guess is what a site holds already.
        config["rules"] = [{"id": "own", "name": "door_code", "then": "hold"}]
        for path, fields in ((guess, ("it", "other")), (door, ("same", "note"))):
            told = []
            for field in fields:
                config["jobs"]["app"]["secrets"] = [{"path": path, "field": field, "name": "door_code"}]
                told.append("door_code" in planned(teams, config))
            assert told == [False, False], "a new value is held, and so is one that only may be new"


def test_the_trail_has_every_refusal_and_who_it_was(teams: Teams) -> None:
    lab = teams.lab
    job(teams, "app", "app/*", "shop")
    may = {"*": ["read"], "dave": ["read", "pause"]}
    proxy = {"header": "X-Forwarded-User", "from": ["127.0.0.0/8"], "may": may}
    lab.config["server"]["proxy"] = proxy
    with running(lab) as (process, url):
        until(lambda: ask(url + "/livez")[0] == 200, 60)
        body = {"batch": "0" * 12, "reason": "x"}
        for user in ("boss", "carol"):
            assert teams.ask("", "POST", "release", body, {"X-Forwarded-User": user})[0] == 403
        assert teams.ask("reader", "POST", "release", body)[0] == 403
        # A browser behind the proxy is let in by itself: what another site's page makes it ask is not its user's word.
        pause = {"scope": "target", "name": "shop", "reason": "x"}
        for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
            headers = {"X-Forwarded-User": "dave", "Sec-Fetch-Site": site}
            assert teams.ask("", "POST", "pause", pause, headers)[0] == status, site
        strangers = 17
        for _ in range(strangers):
            assert ask(url + "/api/v1/held", token="wrong")[0] == 401
        process.terminate()
        process.wait(30)
    lines = [line for line in lab.run("audit", "show", "--json").json if line["event"] == "access.denied"]
    kinds = {line["actor"]["id"]: line["actor"]["kind"] for line in lines}
    assert kinds == {"boss": "person", "carol": "person", "reader": "token", "anonymous": "token"}
    assert sum(line["detail"].get("count", 0) for line in lines) == strangers


@pytest.mark.sweep
@pytest.mark.parametrize("forged", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP"])
def test_only_the_proxys_own_address_is_believed(teams: Teams, forged: str) -> None:
    lab = teams.lab
    job(teams, "app", "app/*", "shop")
    lab.config["server"]["proxy"] = {"header": "X-Forwarded-User", "from": ["10.0.0.0/8"], "may": {"*": EVERYTHING}}
    with running(lab) as (_, url):
        until(lambda: ask(url + "/livez")[0] == 200, 60)
        for address in ("10.1.2.3", "10.1.2.3, 127.0.0.1", "for=10.1.2.3"):
            headers = {"X-Forwarded-User": "alice", forged: address, "X-Forwarded-Proto": "https"}
            assert teams.ask("", "GET", "held", None, headers)[0] == 401, address


@pytest.mark.long
def test_pages_show_everything_and_count_alike(teams: Teams) -> None:
    lab, bao = teams.lab, teams.bao
    lab.config["rules"] = [{"id": "weak", "placeholder": True, "then": "deny"}]
    bao.put("mine/a", v="a-long-enough-value")
    bao.put("many/s", **{f"k{number:03}": "changeme" for number in range(230)})
    job(teams, "mine", "mine/*", "shop")
    job(teams, "many", "many/*", "bank")
    assert lab.run("sync").code == 1
    with running(lab) as (_, url):
        is_ready(url)
        for asked, expected in (("status=denied", 230), ("rule=weak", 230), ("", 231), ("q=k22", 10), ("q=nothing", 0)):
            names, cursor = [], ""
            while True:
                page = teams.ask("boss", "GET", f"secrets?{asked}&after={cursor}")[1]
                names += [row["name"] for row in page["rows"]]
                cursor = (page["next"] or "").replace(" ", "%20").replace("|", "%7C")
                if not cursor:
                    break
            assert len(names) == len(set(names)) == expected, asked
        # Lines of others, however many, do not push out what one may see.
        assert teams.ask("lead", "GET", "audit")[1]["lines"]


ODD = ["\ud800", "a\x00b", "9" * 30, "99999999999999999999|s|n", "-99999999999999999999|s|n", "never 9" + "9" * 30]


@pytest.mark.long
def test_odd_texts_are_refused_and_never_a_fault_of_ours(teams: Teams) -> None:
    lab, bao = teams.lab, teams.bao
    bao.put("app/a", v="1")
    job(teams, "app", "app/*", "shop")
    assert lab.run("sync").code == 0
    with running(lab) as (_, url):
        is_ready(url)
        for odd in ODD:
            bodies = [
                ("freeze", {"site": odd, "name": "a_v", "until": "1h", "reason": "x"}),
                ("freeze", {"site": lab.site_id, "name": "a_v", "until": "1h", "reason": odd}),
                ("rollback", {"what": "a_v", "to": odd, "reason": "x"}),
                ("rollback", {"what": "a_v", "to": {"x": [odd]}, "reason": "x"}),
                ("pause", {"scope": odd, "name": odd, "reason": "x"}), ("release", {odd: odd, "batch": odd}),
                ("plan", {"configuration": odd}), ("sync", {"job": odd}),
            ]  # fmt: skip
            for action, body in bodies:
                status, answer = teams.ask("boss", "POST", action, body)
                assert status in {200, 400, 409}, (action, odd, answer)
            quoted = urllib.parse.quote(odd.encode("utf-8", "surrogatepass"), safe="")
            for page in (
                "secrets?sort=age&after=",
                "secrets?sort=arrival&after=",
                "secrets?q=",
                "audit?name=",
                "where?path=",
            ):
                assert teams.ask("boss", "GET", page + quoted)[0] in {200, 400}, (page, odd)


def test_metrics_are_for_whoever_may_see_everything(teams: Teams) -> None:
    lab = teams.lab
    job(teams, "merger", "app/*", "bank")
    lab.config["server"]["metrics"] = "token"
    with running(lab) as (_, url):
        until(lambda: ask(url + "/livez")[0] == 200, 60)
        assert ask(url + "/metrics", token=teams.tokens["boss"])[0] == 200
        status, told = ask(url + "/metrics", token=teams.tokens["lead"])
        assert status == 403 and "merger" not in told and "bank" not in told


@pytest.mark.long
def test_who_asked_for_what_a_reload_cut_short(teams: Teams) -> None:
    lab, bao = teams.lab, teams.bao
    lab.config["server"]["tokens"][1]["may"] = [*EVERYTHING, "reload"]
    for name in ("shop", "bank"):
        lab.config["targets"][name]["rate_limit"] = "8/1s"
    bao.put("none/x", v="1")
    bao.put("app/a", **{f"k{number:02}": str(number) for number in range(30)})
    job(teams, "app", "app/*", "shop", windows={"allow": ["00:00-00:01 Pacific/Kiritimati"]})
    with running(lab) as (_, url):
        is_ready(url)
        del lab.config["jobs"]["app"]["windows"]
        lab.run("check")  # writes the file
        assert ask(url + "/-/reload", "POST", teams.tokens["boss"])[0] == 200
        assert teams.ask("boss", "POST", "sync", {"job": "app"})[0] == 200
        until(lambda: len(lab.site.values()) >= 5, 30)
        lab.config["jobs"]["app"]["verify_every"] = "23h"
        lab.run("check")
        assert ask(url + "/-/reload", "POST", teams.tokens["boss"])[0] == 200
        until(lambda: len(lab.site.values()) == 30, 60)
    lines = lab.run("audit", "show", "--event", "secret.create", "--json").json
    late = [line["actor"]["id"] for line in lines if line["outcome"] == "done"][-10:]
    assert set(late) == {"boss"}


@pytest.mark.long
def test_a_candidates_template_tells_neither_a_guess_nor_a_length(teams: Teams) -> None:
    lab, bao = teams.lab, teams.bao
    pin, password = f"{secrets.randbelow(40):04}", secrets.token_hex(8)
    bao.put("app/door", user="keeper", pin=pin)
    bao.put("safe/box", pw=password)
    job(teams, "app", "app/*", "shop")
    door = {"path": f"{bao.mount}/app/door", "name": "DOOR", "value": "{user}:{pin}"}
    lab.config["jobs"]["app"]["secrets"] = [door]
    assert lab.run("sync").code == 0 and lab.site.values() == {"DOOR": f"keeper:{pin}"}
    config = yaml.safe_load(lab.config_file.read_text())
    config.pop("server")
    with running(lab) as (_, url):
        is_ready(url)

        def told(*rules: dict[str, str]) -> list[bool]:
            """Of each rule, as the only one of a job: is something planned?"""
            rule_jobs = {f"job-{n}": {**config["jobs"]["app"], "secrets": [one]} for n, one in enumerate(rules)}
            body = {"configuration": yaml.safe_dump({**config, "jobs": rule_jobs})}
            status, answer = teams.ask("reader", "POST", "plan", body)
            assert status == 200 and len(answer["plans"]) == len(rules), answer
            return [bool(plan["actions"]) for plan in answer["plans"]]

        for numbers in (range(40), reversed(range(40))):
            guesses = told(*({**door, "value": f"{{user}}:{number:04}"} for number in numbers))
            # They all want one name, which the first of them has: wherever the right one stands, it looks like a wrong one.
            assert guesses == [True] + [False] * 39
        box = {"path": f"{bao.mount}/safe/box", "name": "BOX"}
        for escaped in ("", "|url", "|json"):
            lengths = (3500 - number for number in range(10, 25))
            assert all(told(*({**box, "value": "x" * padding + f"{{pw{escaped}}}"} for padding in lengths))), escaped


@pytest.fixture
def names_given_anew(teams: Teams) -> Teams:
    """The site of the shop's target is the bank's now, and another site is called shop."""
    lab, bao = teams.lab, teams.bao
    targets = lab.config["targets"]
    bao.put("deal/agreed", v="first")
    job(teams, "deal", "deal/*", "shop", schedule=None)
    job(teams, "other", "other/*", "shop")
    assert lab.run("sync", "deal").code == 0
    lab.config["rules"] = [{"id": "deals", "path": "*/deal/*", "then": "hold"}]
    bao.put("deal/agreed", v="second")
    assert lab.run("sync", "deal").code == 6
    targets["shop"], targets["bank"] = (
        {**targets[to], "labels": targets[of]["labels"]} for to, of in (("bank", "shop"), ("shop", "bank"))
    )
    lab.config["jobs"]["deal"]["targets"] = ["bank"]
    return teams


@pytest.mark.long
def test_rights_go_by_the_site_and_not_by_a_name_that_it_had(names_given_anew: Teams) -> None:
    teams, lab = names_given_anew, names_given_anew.lab
    path = urllib.parse.quote(f"{teams.bao.mount}/deal/agreed", safe="")
    with running(lab) as (_, url):
        until(lambda: ask(url + "/livez")[0] == 200, 60)
        (batch,) = teams.ask("boss", "GET", "held")[1]
        assert batch["target"] == "bank" and teams.ask("lead", "GET", "held") == (200, [])
        unknown = teams.ask("lead", "POST", "release", {"batch": "0" * 12, "reason": "x"})
        status, answer = teams.ask("lead", "POST", "release", {"batch": batch["batch"], "reason": "x"})
        assert status == unknown[0] == 400 and str(answer) == str(unknown[1]).replace("0" * 12, batch["batch"])
        assert "agreed" in str(teams.ask("boss", "GET", f"where?path={path}")[1])
        assert "agreed_v" not in str(teams.ask("lead", "GET", f"where?path={path}")[1])
        assert lab.run("sync", "deal").code == 6 and lab.site.values() == {"agreed_v": "first"}
        assert teams.ask("boss", "POST", "release", {"batch": batch["batch"], "reason": "x"})[0] == 200
    assert lab.run("sync", "deal").code == 0 and lab.site.values() == {"agreed_v": "second"}


@pytest.mark.long
def test_what_rests_elsewhere_is_told_in_no_answer(teams: Teams) -> None:
    lab, bao = teams.lab, teams.bao
    bao.put("both/a", v="1")
    job(teams, "both", "both/*", "shop", "bank")
    lab.config["rules"] = [{"id": "shops", "label": {"team": "shop"}, "then": "hold"}]
    assert lab.run("sync").code == 6
    with running(lab) as (_, url):
        is_ready(url)
        pause = {"scope": "target", "name": "bank", "reason": "the quiet merger"}
        assert teams.ask("boss", "POST", "pause", pause)[0] == 200
        (batch,) = teams.ask("lead", "GET", "held")[1]
        secret = {"site": lab.site_id, "name": "a_v"}
        release, thaw = {"batch": batch["batch"], "reason": "x"}, {**secret, "reason": "x"}
        for action, body in (("release", release), ("freeze", {**thaw, "until": "1h"}), ("freeze", thaw)):
            if action == "freeze":
                until(lambda: "a_v" in lab.site.values(), 20)
            status, answer = teams.ask("lead", "POST", action, body)
            assert status == 200 and "merger" not in str(answer) and "bank" not in str(answer), answer
        theirs = {"site": teams.bank, "name": "a_v", "reason": "x"}
        assert teams.ask("boss", "POST", "freeze", theirs)[0] == 400, "what is not frozen cannot thaw"
        until(lambda: "a_v" in lab.wix.site(teams.bank).values() or True, 1)
        teams.ask("boss", "POST", "freeze", {**theirs, "until": "1h"})
        answer = teams.ask("boss", "POST", "freeze", theirs)
        assert "the quiet merger" in str(answer), answer
        # One site rests, and the job runs on the others.
        said = teams.ask("boss", "POST", "sync", {"job": "both"})[1]["message"]
        assert said.startswith("job both runs now; not on bank: target bank is paused by boss"), said
        teams.ask("boss", "POST", "pause", {"scope": "job", "name": "both", "reason": "all of it"})
        said = teams.ask("boss", "POST", "sync", {"job": "both"})[1]["message"]
        assert said.startswith("job both rests: ") and "runs now" not in said, said


def test_a_refused_reload_names_no_job_of_others(teams: Teams) -> None:
    lab = teams.lab
    for token in lab.config["server"]["tokens"]:
        token["may"] = ["read", "reload"]
    job(teams, "merger", "app/*", "bank")
    with running(lab) as (_, url):
        until(lambda: ask(url + "/livez")[0] == 200, 60)
        lab.config["jobs"]["merger"]["colour"] = "red"
        lab.run("check")  # writes the file
        status, told = ask(url + "/-/reload", "POST", teams.tokens["lead"])
        assert status == 422 and "the old configuration goes on" in told and "merger" not in told, told
        status, told = ask(url + "/-/reload", "POST", teams.tokens["boss"])
        assert status == 422 and "merger" in told, told
