"""Rules on the real components: what is denied is not sent, what is held waits, and an idle cycle stays quiet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/good", v="a-long-enough-value")
    bao.put("app/weak", v="short")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, drift_policy="report")
    lab.config["targets"]["shop"]["labels"] = {"env": "prod"}
    return lab


def with_rules(lab: Lab, *rules: dict[str, Any]) -> Lab:
    lab.config["rules"] = list(rules)
    return lab


WEAK = {"id": "weak", "min_length": 16, "then": "deny"}


def test_a_weak_value_is_not_sent_and_is_not_read_again(job: Lab, bao: Bao) -> None:
    with_rules(job, WEAK)
    result = job.run("sync")
    assert result.code == 1 and "rule weak: its value is shorter than 16 characters" in result.out, result.out
    assert list(job.site.values()) == ["good_v"] and job.statuses() == {"good_v": "synced", "weak_v": "denied"}
    lines = [line for line in job.run("audit", "show", "--json").json if line["event"] == "secret.denied"]
    assert [(line["name"], line["rule"]) for line in lines] == [("weak_v", "weak")]
    without_values(job, bao)
    assert job.run("sync").code == 1, "what was judged is not read again"
    job.secret_file("vault-token", bao.token)
    bao.put("app/weak", v="now-it-is-long-enough")
    assert job.run("sync").code == 0 and set(job.site.values()) == {"good_v", "weak_v"}


def without_values(lab: Lab, bao: Bao) -> None:
    """From here on a value that is read is refused: metadata alone may be seen."""
    rules = "\n".join(
        f'path "{path}" {{ capabilities = ["read", "list", "scan"] }}'
        for path in (f"{bao.mount}/metadata/*", f"{bao.mount}/detailed-metadata/*", "sys/internal/ui/mounts/*")
    )
    lab.secret_file("vault-token", bao.policy(f"metadata-{bao.mount}", rules))


def test_what_was_synced_stays_and_breaks_the_rule(job: Lab, bao: Bao) -> None:
    assert job.run("sync").code == 0
    with_rules(job, WEAK)
    assert job.run("sync").code == 0, "nobody has judged it yet"
    rows = job.run("rules", "--json")
    assert rows.code == 0 and [hit["judged"] for hit in rows.json[0]["hits"]] == [False, False]
    assert "not judged yet" in job.run("rules").out
    assert job.run("rules", "--recheck").code == 1
    result = job.run("sync")
    assert result.code == 1 and job.statuses() == {"good_v": "synced", "weak_v": "synced"}
    bao.put("app/weak", v="other")
    assert job.run("sync").code == 1
    assert job.statuses()["weak_v"] == "behind" and job.site.values()["weak_v"] == "short", "what is at Wix stays"


def test_a_path_that_is_forbidden_by_a_label(job: Lab, bao: Bao) -> None:
    with_rules(
        job, {"id": "no-weak-in-prod", "path": f"{bao.mount}/app/weak", "label": {"env": "prod"}, "then": "deny"}
    )
    assert job.run("sync").code == 1 and list(job.site.values()) == ["good_v"]
    job.config["targets"]["shop"]["labels"] = {"env": "test"}
    assert job.run("sync").code == 0 and len(job.site.values()) == 2


def test_an_exception_ends(job: Lab, bao: Bao) -> None:
    today = datetime.now(UTC).date()
    left = {"name": "weak_v", "until": today.isoformat(), "reason": "relaunch"}
    with_rules(job, {**WEAK, "except": [left]})
    assert job.run("sync").code == 0 and len(job.site.values()) == 2
    assert "relaunch" in job.run("rules").out and job.run("rules").code == 0
    left["until"] = (today - timedelta(days=1)).isoformat()
    assert job.run("rules").code == 1


def test_owners_come_from_the_source(job: Lab, bao: Bao) -> None:
    bao.root.secrets.kv.v2.update_metadata("app/good", mount_point=bao.mount, custom_metadata={"owner": "shop-team"})
    with_rules(job, {"id": "owned", "require": {"owner": True}, "then": "deny"})
    assert job.run("sync").code == 1 and list(job.site.values()) == ["good_v"]
    bao.root.secrets.kv.v2.update_metadata("app/weak", mount_point=bao.mount, custom_metadata={"owner": "x"})
    assert job.run("sync").code == 0 and len(job.site.values()) == 2


def test_warnings_change_nothing(job: Lab, bao: Bao) -> None:
    job.site.create({"name": "LEGACY", "value": "x"})
    bao.put("app/twin", v="a-long-enough-value")
    with_rules(
        job,
        {"id": "old", "max_age": "90d", "then": "warn"},
        {"id": "twice", "duplicate": {"across": "names"}, "then": "warn"},
        {"id": "ours", "unmanaged": True, "then": "warn"},
        {"id": "weak", "min_length": 16, "then": "warn"},
    )
    assert job.run("sync").code == 0 and len(job.site.values()) == 4
    result = job.run("sync")
    assert result.code == 0 and "nobody manages it" in result.out, result.out
    hits = {rule["id"]: sorted(hit["name"] for hit in rule["hits"]) for rule in job.run("rules", "--json").json}
    assert hits == {"old": [], "twice": ["good_v", "twin_v"], "ours": ["LEGACY"], "weak": ["weak_v"]}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"id": "x", "then": "warn"}, "selects everything and checks nothing"),
        ({"id": "x", "max_age": "9d", "then": "deny"}, "can only warn"),
        ({"id": "x", "max_age": "9d", "min_length": 3, "then": "warn"}, "one kind of check a rule"),
        ({"id": "x", "color": "red", "then": "warn"}, "unknown key"),
        ({"id": "x", "path": "a", "then": "explode"}, "then"),
        (
            {"id": "x", "path": "a", "then": "deny", "except": [{"name": "a", "until": "2027-02-30", "reason": "r"}]},
            "not a day",
        ),
        ({"id": "x", "path": "a", "then": "deny", "except": [{"name": "a", "until": "2027-02-03"}]}, "reason"),
        ({"id": "x", "path": "a", "then": "deny", "except": [{"until": "2027-02-03", "reason": "r"}]}, "names nothing"),
        ({"id": "x", "require": {}, "then": "warn"}, "require names nothing"),
        ({"id": "x", "unmanaged": True, "path": "a", "then": "warn"}, "no source, path or job"),
    ],
)
def test_a_rule_that_cannot_be(job: Lab, rule: dict[str, Any], said: str) -> None:
    result = with_rules(job, rule).run("check")
    assert result.code == 3 and "syncd.yaml:" in result.err and "rules" in result.err, result.err
    assert said in result.err, result.err


@pytest.mark.parametrize("way", ["another field", "another path", "another job"])
def test_what_was_judged_of_one_value_says_nothing_of_another(lab: Lab, bao: Bao, way: str) -> None:
    lab.vault(bao)
    bao.put("app/pay", live="a-real-long-key-9173", draft="changeme")
    bao.put("app/old", live="changeme")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/pay", "field": "live", "name": "PAY_KEY"})
    lab.config["rules"] = [{"id": "weak", "placeholder": True, "then": "deny"}]
    assert lab.run("sync").code == 0
    entry = lab.config["jobs"]["job"]["secrets"][0]
    if way == "another field":
        entry["field"] = "draft"
    else:
        entry["path"] = f"{bao.mount}/app/old"
    if way == "another job":
        lab.config["jobs"]["next"] = lab.config["jobs"].pop("job")
    for _ in range(2):
        assert lab.run("sync").code == 1
    assert lab.site.values() == {"PAY_KEY": "a-real-long-key-9173"}
    assert lab.statuses() == {"PAY_KEY": "orphan" if way == "another job" else "behind"}


@pytest.mark.parametrize(("then", "code"), [("deny", 1), ("hold", 6)])
def test_a_rule_by_target_holds_for_a_second_name_of_its_site(job: Lab, bao: Bao, then: str, code: int) -> None:
    bao.put("app/x", v="a-long-enough-value")
    with_rules(job, {"id": "not-in-the-shop", "target": "shop", "path": "*/app/x", "then": then})
    job.config["targets"]["boutique"] = dict(job.config["targets"]["shop"])
    for targets in (["shop"], ["shop", "boutique"], ["boutique"]):
        job.config["jobs"]["job"]["targets"] = targets
        assert job.run("sync").code == code and set(job.site.values()) == {"good_v", "weak_v"}, targets
    del job.config["targets"]["shop"]
    assert job.run("sync").code == 0 and "x_v" in job.site.values(), "no target has that name any more"


@pytest.mark.parametrize("then", ["deny", "hold"])
@pytest.mark.parametrize("spelled", ["name", "arn"])
def test_a_rule_about_a_name_is_about_its_arn(lab: Lab, aws: Any, aws_url: str, then: str, spelled: str) -> None:
    arn = aws.create_secret(Name=f"stage{then}{spelled}/x", SecretString="forbidden")["ARN"]
    lab.aws(aws_url)
    lab.config["rules"] = [{"id": "no-staging", "path": f"stage{then}{spelled}/**", "then": then}]
    lab.job("job", "aws", {"path": f"stage{then}{spelled}/x" if spelled == "name" else arn, "name": "X"})
    assert lab.run("sync").code == {"deny": 1, "hold": 6}[then] and lab.site.values() == {}


@pytest.mark.parametrize("what", ["source", "job"])
def test_a_hold_by_a_name_that_changes_holds_deletions_too(lab: Lab, bao: Bao, what: str) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    for name in "ab":
        bao.put(f"app/{name}", v="1")
    assert lab.run("sync").code == 0
    lab.config["rules"] = [{"id": "by-release", what: "vault" if what == "source" else "job", "then": "hold"}]
    bao.remove("app/a")
    held = lab.run("sync")
    assert held.code == 6 and lab.statuses()["a_v"] == "held", held.out
    lab.config["rules"][0][what] = "renamed"
    if what == "source":
        lab.config["sources"]["renamed"] = lab.config["sources"].pop("vault")
        lab.config["jobs"]["job"]["source"] = "renamed"
    else:
        lab.config["jobs"]["renamed"] = lab.config["jobs"].pop("job")
    for _ in range(3):
        lab.run("sync")
        lab.let_pass(timedelta(hours=2))
    assert "a_v" in lab.site.values(), "nobody released it"


@pytest.mark.parametrize("then", ["deny", "hold"])
def test_a_new_version_that_a_rule_keeps_back_is_told_as_what_it_is(job: Lab, bao: Bao, then: str) -> None:
    """The site has the older one: the rule's hit, the trail and the evidence are about the one that waits."""
    bao.put("app/weak", v="long-enough-by-far")
    with_rules(job, {**WEAK, "then": then})
    assert job.run("sync").code == 0
    bao.put("app/weak", v="short")
    for _ in range(2):
        assert job.run("sync").code == (1 if then == "deny" else 6)
    (rule,) = job.run("rules", "--json").json
    assert [hit["message"] for hit in rule["hits"]] == ["its value is shorter than 16 characters"]
    lines = [
        line for line in job.run("audit", "show", "--json").json if line["event"] in {"secret.denied", "secret.held"}
    ]
    assert [line["name"] for line in lines] == ["weak_v"]
    assert job.site.values()["weak_v"] == "long-enough-by-far"


def test_a_rule_across_the_site_is_told_by_the_job_whose_secret_it_is(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for name in ("one", "two"):
        bao.put(f"{name}/a", v="one-value-in-two-places")
        lab.job(name, "vault", {"path": f"{bao.mount}/{name}/*", "name": f"{name.upper()}_{{field}}"})
    with_rules(lab, {"id": "twice", "duplicate": {"across": "names"}, "then": "warn"})
    lab.run("sync")
    said = {report["job"]: report for report in lab.run("sync", "--json").json}
    for name in ("one", "two"):
        told = [finding["name"] for finding in said[name]["findings"] if finding["kind"] == "rule"]
        assert told == [f"{name.upper()}_v"]


@pytest.mark.parametrize("lengths", [(16, 20), (20, 16), (16, 12, 18), (3, 30, 14)])
def test_what_an_edited_rule_judged_before_says_nothing_now(job: Lab, bao: Bao, lengths: tuple[int, ...]) -> None:
    bao.put("app/weak", v="long-enough-by-far-for-all-of-them")
    for length in lengths:
        with_rules(job, {**WEAK, "min_length": length, "then": "warn"})
        job.run("sync")
        job.run("rules", "--recheck")
    for value in ("short", "shorter"):
        bao.put("app/weak", v=value)
        job.run("sync")
        (rule,) = job.run("rules", "--json").json
        assert [hit["judged"] for hit in rule["hits"] if hit["name"] == "weak_v"] == [True]


def test_a_new_version_that_a_rule_denies_is_listed_with_its_fix(lab: Lab, bao: Bao) -> None:
    """The site keeps the version before, so the secret is behind, and somebody has to act."""
    lab.vault(bao)
    bao.put("app/a", v="long enough for it")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.config["rules"] = [{"id": "short", "then": "deny", "min_length": 16}]
    assert lab.run("sync").code == 0
    bao.put("app/a", v="short")
    lab.run("sync")
    told = lab.run("status").out
    assert lab.statuses() == {"a_v": "behind"} and "rule short" in told and "fix: change it at the source" in told, told
    bao.put("app/a", v="long enough for it again")
    assert lab.run("sync").code == 0 and "rule short" not in lab.run("status").out


def test_a_paused_job_is_looked_at_by_nobody(job: Lab) -> None:
    assert job.run("pause", "job", "--reason", "x").code == 0
    before = job.wix.count("GET", "POST", "PATCH", "DELETE")
    done = job.run("rules", "--recheck")
    assert job.wix.count("GET", "POST", "PATCH", "DELETE") == before and "not looked at" in done.err, done.err
