"""A name passes from one secret of the source to another, and an old name goes, when nothing stands against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind

WIX = [{"Key": "sync", "Value": "wix"}]


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ("untag", True),
        ("another value", True),
        ("one of two", True),
        ("more tags", False),
        ("nothing", False),
    ],
)
@pytest.mark.parametrize("owner", ["same job", "another job"])
def test_a_name_whose_secret_lost_its_tags(
    lab: Lab, aws: Any, aws_url: str, change: str, passes: bool, owner: str
) -> None:
    asked = {"sync": "wix"} if change != "one of two" else {"sync": "wix", "env": "prod"}
    tags = [{"Key": key, "Value": value} for key, value in asked.items()]
    for name in ("old/x", "old/y"):
        aws.create_secret(Name=name, SecretString="old", Tags=tags)
    lab.aws(aws_url)
    rules = [{"path": "old/*", "tags": asked, "name": "{basename}"}, {"path": "new/*", "name": "{basename}"}]
    if owner == "same job":
        lab.job("a", "aws", *rules)
    else:
        lab.job("a", "aws", rules[0])
        lab.job("b", "aws", rules[1])
    lab.run("sync")
    if change in {"untag", "one of two"}:
        aws.untag_resource(SecretId="old/x", TagKeys=["env" if change == "one of two" else "sync"])
    elif change != "nothing":
        tag = {"Key": "sync", "Value": "no"} if change == "another value" else {"Key": "team", "Value": "b"}
        aws.tag_resource(SecretId="old/x", Tags=[tag])
    aws.create_secret(Name="new/x", SecretString="new")
    for _ in range(3):
        lab.run("sync")
    assert (lab.site.values()["x"] == "new") is passes
    in_conflict = [problem["name"] for problem in lab.run("status", "--json").json["troubles"]]
    assert in_conflict == ([] if passes else ["x"])
    # The conflict is the other reference's; the secret that has the name is as its source says.
    assert lab.statuses()["x"] == "synced"


@pytest.mark.parametrize("bad", ["", "x" * 4000])
def test_an_old_name_does_not_wait_for_a_field_that_has_nothing_to_do_with_it(lab: Lab, bao: Bao, bad: str) -> None:
    lab.vault(bao)
    bao.put("app/x", good="1", other=bad)
    bao.put("app/y", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "OLD_{path}_{field}"}, **DELETING)
    assert lab.run("sync").code == 1
    lab.config["jobs"]["job"]["secrets"][0]["name"] = "NEW_{path}_{field}"
    for _ in range(3):
        lab.run("sync")
    assert set(lab.site.values()) == {"NEW_x_good", "NEW_y_v"}


def test_a_whole_value_stays_until_every_field_of_it_is_there(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/x", good="1", other="")
    bao.put("app/y", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "format": "json"}, **DELETING)
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["secrets"][0].pop("format")
    for _ in range(3):
        lab.run("sync")
    assert "x" in lab.site.values(), "one of the fields that follow it cannot be made"
    bao.put("app/x", good="1", other="2")
    for _ in range(3):
        lab.run("sync")
    assert set(lab.site.values()) == {"x_good", "x_other", "y_v"}


def test_an_encoding_that_is_taken_away_is_another_version(lab: Lab, aws: Any, aws_url: str) -> None:
    aws.create_secret(Name="app/bin", SecretBinary=b"\x00\xff\x01")
    aws.create_secret(Name="app/text", SecretString="plain")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "app/*", "binary": "base64"})
    assert lab.run("sync").code == 0 and lab.site.values() == {"bin": "AP8B", "text": "plain"}
    lab.config["jobs"]["job"]["secrets"][0].pop("binary")
    writes = lab.writes
    assert {lab.run("sync").code for _ in range(2)} == {1}
    assert lab.statuses() == {"bin": "quarantined", "text": "synced"} and lab.writes == writes
    assert lab.site.values() == {"bin": "AP8B", "text": "plain"}, "nothing was emptied"
    lab.config["jobs"]["job"]["secrets"][0]["binary"] = "base64"
    assert lab.run("sync").code == 0 and lab.statuses() == {"bin": "synced", "text": "synced"}
    assert lab.writes == writes


@pytest.mark.sweep
@pytest.mark.parametrize("how", ["latest deleted", "latest destroyed", "two deleted"])
@pytest.mark.parametrize("taker", ["another job", "another rule"])
def test_a_pinned_version_keeps_its_name_whatever_the_latest_is(lab: Lab, bao: Bao, how: str, taker: str) -> None:
    lab.vault(bao)
    for value in ("pinned", "two", "three"):
        bao.put("a/x", v=value)
    bao.put("b/other", v="taken")
    pinned = {"path": f"{bao.mount}/a/x", "field": "v", "version": 1, "name": "KEY"}
    other = {"path": f"{bao.mount}/b/other", "field": "v", "name": "KEY"}
    lab.job("a", "vault", pinned)
    assert lab.run("sync").code == 0
    kv = bao.root.secrets.kv.v2
    if how == "latest destroyed":
        kv.destroy_secret_versions("a/x", [3], mount_point=bao.mount)
    else:
        kv.delete_secret_versions("a/x", [3] if how == "latest deleted" else [2, 3], mount_point=bao.mount)
    if taker == "another job":
        lab.job("b", "vault", other)
    else:
        lab.job("a", "vault", pinned, other)
    for _ in range(2):
        assert lab.run("sync").code == 1
        assert lab.site.values()["KEY"] == "pinned"


@pytest.mark.parametrize("missing", ["tag", "path"])
def test_what_a_renamed_job_does_not_take_over_is_reported(lab: Lab, aws: Any, aws_url: str, missing: str) -> None:
    lab.aws(aws_url)
    aws.create_secret(Name="tg/one", SecretString="1", Tags=WIX)
    aws.create_secret(Name="tg/two", SecretString="1")
    lab.job("old", "aws", {"path": "tg/*"})
    assert lab.run("sync").code == 0
    del lab.config["jobs"]["old"]
    lab.job("new", "aws", {"path": "tg/*", **({"tags": {"sync": "wix"}} if missing == "tag" else {})})
    if missing == "path":
        aws.delete_secret(SecretId="tg/two", ForceDeleteWithoutRecovery=True)
    result = lab.run("sync")
    assert lab.statuses() == {"one": "synced", "two": "orphan"} and "orphan" in result.out


@pytest.mark.sweep
@pytest.mark.parametrize("waits", ["hold", "deny", "limit"])
def test_a_chain_waits_for_its_end_though_the_source_has_another_name(lab: Lab, bao: Bao, waits: str) -> None:
    """X becomes Y and Y becomes Z: what Y held goes to Z before Y takes anything."""
    lab.vault(bao)
    bao.put("app/a", v="of a")
    bao.put("app/b", v="of b")

    def named(a: str, b: str) -> list[dict[str, str]]:
        return [{"path": f"{bao.mount}/app/{path}", "field": "v", "name": name} for path, name in (("a", a), ("b", b))]

    lab.job("job", "vault", *named("X", "Y"), deletion_policy="delete", deletion_grace="0s")
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["secrets"] = named("Y", "Z")
    if waits == "limit":
        lab.config["jobs"]["job"]["guard"] = {"max_creates": 0}
    else:
        lab.config["rules"] = [{"id": "r", "name": "Z", "then": waits}]
    lab.config["sources"]["renamed"] = lab.config["sources"].pop("vault")
    lab.config["jobs"]["job"]["source"] = "renamed"
    for _ in range(3):
        assert lab.run("sync").code in {0, 1, 6}
        assert "of b" in lab.site.values().values(), lab.site.values()


RULES_AFTER = {
    # what the job's rules become in the commit that renames its source, and what the site has in the end
    "a chain": ([("app/a", "Y"), ("app/b", "Z")], {"Y": "of app/a", "Z": "of app/b"}),
    "a swap": ([("app/a", "Y"), ("app/b", "X")], {"X": "of app/a", "Y": "of app/b"}),
    "another path on the name": ([("lib/a", "X"), ("app/b", "Y")], {"X": "of lib/a", "Y": "of app/b"}),
    "two on one name": ([("app/a", "X"), ("lib/a", "X"), ("app/b", "Y")], {"X": "of app/a", "Y": "of app/b"}),
    "a glob": ([("lib/*", "X"), ("app/a", "X"), ("app/b", "Y")], {"X": "of app/a", "Y": "of app/b"}),
}


@pytest.mark.sweep
@pytest.mark.parametrize("how", RULES_AFTER)
def test_a_renamed_source_stops_nobody(lab: Lab, bao: Bao, how: str) -> None:
    """The ledger has a name that no configuration has any more; what passes on is looked at under the new one."""
    lab.vault(bao)
    for path in ("app/a", "app/b", "lib/a", "other/x"):
        bao.put(path, v=f"of {path}")

    def rules(pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        return [{"path": f"{bao.mount}/{path}", "field": "v", "name": name} for path, name in pairs]

    lab.job("job", "vault", *rules([("app/a", "X"), ("app/b", "Y")]), **DELETING)
    lab.job("zz", "vault", *rules([("other/x", "OTHER")]))
    assert lab.run("sync").code == 0
    after, wanted = RULES_AFTER[how]
    lab.config["jobs"]["job"]["secrets"] = rules(after)
    lab.config["sources"]["renamed"] = lab.config["sources"].pop("vault")
    for job in lab.config["jobs"].values():
        job["source"] = "renamed"
    bao.put("other/x", v="rotated")
    assert all(lab.run("sync").code in {0, 1} for _ in range(4))
    values = lab.site.values()
    assert values.pop("OTHER") == "rotated", "one job's names stop no other job"
    if how == "a swap":  # neither name is free before the other is: said, and nothing lost
        assert set(values.values()) == set(wanted.values())
    else:
        assert values == wanted


@pytest.mark.sweep
@pytest.mark.parametrize("form", [{"value": "of {v}"}, {"format": "json"}, {"field": "v"}], ids=str)
def test_a_chain_waits_for_its_end_in_another_form(lab: Lab, bao: Bao, form: dict[str, str]) -> None:
    lab.vault(bao)
    bao.put("app/a", v="a-value")
    bao.put("app/b", v="b-value")
    rules = [{"path": f"{bao.mount}/app/{path}", "field": "v", "name": name} for path, name in (("a", "X"), ("b", "Y"))]
    lab.job("job", "vault", *rules, **DELETING)
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["secrets"] = [
        {**rules[0], "name": "Y"},
        {"path": rules[1]["path"], "name": "Z", **form},
    ]
    lab.config["rules"] = [{"id": "waits", "name": "Z", "then": "hold"}]
    for _ in range(3):
        lab.run("sync")
        assert "b-value" in str(lab.site.values()), lab.site.values()


@pytest.mark.sweep
@pytest.mark.parametrize("form", [{"value": "of {v}"}, {"format": "json"}], ids=str)
def test_an_old_name_stays_until_its_new_form_in_another_job_is_there(lab: Lab, bao: Bao, form: dict[str, str]) -> None:
    lab.vault(bao)
    bao.put("app/a", v="a-value")
    bao.put("app/c", v="1")
    other = {"path": f"{bao.mount}/app/c", "field": "v", "name": "C"}
    lab.job("job", "vault", {"path": f"{bao.mount}/app/a", "field": "v", "name": "X"}, other, **DELETING)
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["secrets"] = [other]
    lab.job("third", "vault", {"path": f"{bao.mount}/app/a", "name": "X2", **form})
    lab.config["rules"] = [{"id": "waits", "name": "X2", "then": "hold"}]
    for _ in range(3):
        lab.run("sync")
        assert "X" in lab.site.values()
