"""What looks unwanted is deleted only where a second look leaves no doubt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from syncd.domain import Rule
from syncd.sources.aws.listing import AwsListing
from tests.lab import Bao, Lab
from tests.support.elsewhere import elsewhere
from tests.support.policies import DELETING
from tests.support.token import rule, token_and_other

pytestmark = pytest.mark.kind


@pytest.mark.sweep
@pytest.mark.parametrize("wanted", ["token", "TOKEN", "another"])
@pytest.mark.parametrize("way", ["a cycle", "a command"])
def test_a_name_is_kept_for_another_job_in_whichever_case(lab: Lab, bao: Bao, way: str, wanted: str) -> None:
    lab.vault(bao)
    for name in "abc":
        bao.put(f"app/{name}", v=name)
    lab.job("one", "vault", rule(bao, "app/a", "token"), rule(bao, "app/c", "other"), **DELETING)
    assert lab.run("sync").code == 0
    lab.config["jobs"]["one"]["secrets"].pop(0)
    lab.job("two", "vault", rule(bao, "app/b", wanted))
    if way == "a cycle":
        for _ in range(2):
            lab.run("sync", "one")
    else:
        result = lab.run("state", "forget", "token", "--delete", "--reason", "not used")
        assert result.code == (0 if wanted == "another" else 6), result.err
    assert ("token" in lab.site.values()) is (wanted != "another")


@pytest.mark.parametrize("twin", ["held", "none"])
def test_a_name_makes_no_room_for_a_twin_that_is_held(lab: Lab, bao: Bao, twin: str) -> None:
    lab.vault(bao)
    for name in "abc":
        bao.put(f"app/{name}", v=name)
    lab.job("job", "vault", rule(bao, "app/a", "token"), rule(bao, "app/c", "other"), **DELETING)
    lab.config["rules"] = [{"id": "of-b", "path": "*/app/b", "then": "hold"}]
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["secrets"][0] = rule(bao, "app/b", "TOKEN" if twin == "held" else "unlike")
    for _ in range(3):
        lab.run("sync")
    assert lab.site.values() == {"other": "c", **({"token": "a"} if twin == "held" else {})}


@pytest.mark.parametrize("left", ["nothing", "another"])
def test_a_glob_of_another_job_that_lists_nothing_may_want_the_name(lab: Lab, bao: Bao, left: str) -> None:
    lab.vault(bao)
    for path in ("a/x", "a/z", "b/x", "b/y"):
        bao.put(path, v=path)
    lab.job("one", "vault", rule(bao, "a/x", "DB_x"), rule(bao, "a/z", "other"), **DELETING)
    lab.job("two", "vault", rule(bao, "b/*", "DB_{path}"))
    assert lab.run("sync").code == 1, "both want one name; the first one has it"
    bao.remove("a/x")
    bao.remove("b/x")
    if left == "nothing":
        bao.remove("b/y")
    for _ in range(2):
        result = lab.run("sync", "one")
    assert ("DB_x" in lab.site.values()) is (left == "nothing"), result.out


@pytest.mark.sweep
@pytest.mark.parametrize("back", [True, False])
def test_a_field_that_is_back_is_seen_though_the_listing_lags(
    lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    def put(**fields: str) -> None:
        aws.put_secret_value(SecretId="app/db", SecretString=json.dumps(fields))

    aws.create_secret(Name="app/db", SecretString=json.dumps({"v": "1", "w": "needed"}))
    aws.create_secret(Name="app/x", SecretString=json.dumps({"v": "1"}))
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "app/*", "field": "*"}, **{**DELETING, "deletion_grace": "1h"})
    assert lab.run("sync").code == 0
    put(v="2")
    assert lab.run("sync").code == 0 and "db_w" in lab.site.values()
    lab.let_pass(timedelta(hours=2))
    honest, pages = AwsListing._pages, {}

    def first_answer(source: AwsListing, asked: Rule) -> Iterator[Any]:
        if asked.index not in pages:
            pages[asked.index] = list(honest(source, asked))
        return iter(pages[asked.index])

    monkeypatch.setattr(AwsListing, "_pages", first_answer)
    assert lab.run("plan").code == 0 and pages
    put(v="3", **({"w": "needed"} if back else {}))
    result = lab.run("sync")
    assert ("db_w" in lab.site.values()) is back, result.out


@pytest.mark.parametrize("place", ["another server", "the same server"])
def test_a_source_with_a_new_name_has_to_lead_to_the_same_mount(lab: Lab, bao: Bao, place: str) -> None:
    for name in "abc":
        bao.put(f"app/{name}", v="ours")
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    assert lab.run("sync").code == 0
    before = lab.site.values()
    lab.config["sources"].clear()
    if place == "another server":
        other = elsewhere(bao)
        other.put("app/a", v="theirs")
        lab.vault(other, "renamed", namespace=other.namespace)
    else:
        bao.remove("app/c")
        lab.vault(bao, "renamed")
    lab.config["jobs"]["job"]["source"] = "renamed"
    for _ in range(3):
        result = lab.run("sync")
        assert result.code == (4 if place == "another server" else 0), result.out
    gone = set() if place == "another server" else {"c_v"}
    assert lab.site.values() == {name: value for name, value in before.items() if name not in gone}


def test_a_twin_in_another_case_takes_the_place(lab: Lab, bao: Bao) -> None:
    token_and_other(lab, bao)
    lab.config["jobs"]["job"]["secrets"][0] = rule(bao, "app/b", "TOKEN")
    lab.settle()
    assert lab.site.values() == {"TOKEN": "of b", "other": "of c"}


def test_a_twin_that_is_held_takes_the_place_after_its_release(lab: Lab, bao: Bao) -> None:
    token_and_other(lab, bao)
    lab.config["rules"] = [{"id": "watched", "path": "*/app/b", "then": "hold"}]
    lab.config["jobs"]["job"]["secrets"][0] = rule(bao, "app/b", "TOKEN")
    for _ in range(2):
        lab.run("sync")
    assert lab.site.values() == {"token": "of a", "other": "of c"}
    (batch,) = {row["batch"] for row in lab.run("held", "--json").json}
    released = lab.run("release", batch, "--reason", "planned")
    (override,) = [line for line in released.events if line["event"] == "safeguard.overridden"]
    assert released.code == 0 and override["reason"] == "planned"
    for _ in range(2):
        lab.run("sync")
    assert lab.site.values() == {"TOKEN": "of b", "other": "of c"}


def test_a_name_makes_no_room_for_a_twin_that_cannot_be_read(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for path in "abc":
        bao.put(f"app/{path}", v=f"value-{path}")
    rules = {"path": f"{bao.mount}/app/a", "field": "v", "name": "token"}, {
        "path": f"{bao.mount}/app/b", "field": "v", "name": "OTHER",
    }  # fmt: skip
    lab.job("job", "vault", *rules, **DELETING)
    assert lab.run("sync").code == 0
    token = bao.policy(
        f"twin-{bao.mount}",
        f'path "{bao.mount}/metadata/*" {{ capabilities = ["read", "list"] }}\n'
        f'path "{bao.mount}/data/app/a" {{ capabilities = ["read"] }}\n'
        'path "sys/internal/ui/mounts/*" { capabilities = ["read"] }',
    )
    lab.secret_file("vault-token", token)
    lab.config["jobs"]["job"]["secrets"] = [{**rules[1], "name": "TOKEN"}]
    for _ in range(2):
        lab.run("sync")
        assert lab.site.values().get("token") == "value-a", "the site would have neither of the two"
    lab.secret_file("vault-token", bao.token)
    assert lab.settle().code == 0 and lab.site.values()["TOKEN"] == "value-b" and "token" not in lab.site.values()
