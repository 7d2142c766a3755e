"""An old name goes once what follows it is at Wix, in whatever form, by whatever spelling, through whichever job."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING, closed

pytestmark = pytest.mark.kind

NOW = {**DELETING, "deletion_grace": "0s"}
FORMS: dict[str, dict[str, Any]] = {
    "json": {"format": "json", "name": "{J}_{basename}"},
    "every field": {"name": "{J}_{basename}_{field}"},
    "a field": {"field": "p", "name": "{J}_{basename}"},
    "another field": {"field": "u", "name": "{J}_{basename}"},
    "a template": {"value": "{u}:{p}", "name": "{J}_{basename}"},
}


def rule(form: str, job: str, path: str) -> dict[str, Any]:
    given = FORMS[form]
    return {"path": path, **given, "name": given["name"].replace("{J}", job)}


def keeps_back(lab: Lab, why: str) -> None:
    """What the new name waits for."""
    if why in {"hold", "deny"}:
        lab.config["rules"] = [{"id": "r", "name": "Y_a*", "then": why}]
    elif why == "window":
        lab.config["jobs"]["joby"]["windows"] = {"allow": closed()}
    elif why == "paused":
        assert lab.run("pause", "joby", "--until", "1h", "--reason", "x").code == 0


def called_a(lab: Lab) -> set[str]:
    return {name for name in lab.site.values() if "_a" in name}


def two_teams(lab: Lab, aws: Any, aws_url: str) -> None:
    lab.aws(aws_url)
    for name, team in (("a", "x"), ("k", "x"), ("l", "y")):
        aws.create_secret(Name=f"p/{name}", SecretString='{"u":"u","p":"p"}', Tags=[{"Key": "team", "Value": team}])


def tagged_rule(form: str, letter: str) -> dict[str, Any]:
    """At AWS the whole string is its JSON, and each key has to be asked for."""
    given = {key: value for key, value in rule(form, letter, "p/*").items() if key != "format"}
    return {**given, "tags": {"team": letter.lower()}, **({"field": "*"} if form == "every field" else {})}


def the_tag_moves(lab: Lab, aws: Any, new: str, why: str) -> None:
    assert lab.run("sync").code == 0
    before = called_a(lab)
    keeps_back(lab, why)
    aws.untag_resource(SecretId="p/a", TagKeys=["team"])
    aws.tag_resource(SecretId="p/a", Tags=[{"Key": "team", "Value": "y"}])
    for _ in range(4):
        lab.run("sync")
    after = {"Y_a_u", "Y_a_p"} if new == "every field" else {"Y_a"}
    assert called_a(lab) == (after if why == "nothing" else before)


@pytest.mark.parametrize("old", FORMS)
@pytest.mark.parametrize("new", FORMS)
@pytest.mark.parametrize("why", ["hold", "deny", "window", "paused", "nothing"])
def test_a_rule_that_moves_to_another_job_in_another_form(lab: Lab, bao: Bao, old: str, new: str, why: str) -> None:
    lab.vault(bao)
    for name in ("app/a", "app/k", "other/l"):
        bao.put(name, u="u", p="p")
    lab.job("jobx", "vault", rule(old, "X", f"{bao.mount}/app/a"), rule(old, "X", f"{bao.mount}/app/k"), **NOW)
    lab.job("joby", "vault", rule(new, "Y", f"{bao.mount}/other/l"), **NOW)
    assert lab.run("sync").code == 0
    before = called_a(lab)
    lab.config["jobs"]["jobx"]["secrets"].pop(0)
    lab.config["jobs"]["joby"]["secrets"].append(rule(new, "Y", f"{bao.mount}/app/a"))
    keeps_back(lab, why)
    lab.run("sync", "jobx")
    assert called_a(lab) == before, "the new name is not there yet"
    for _ in range(3):
        lab.run("sync")
    after = {"Y_a_u", "Y_a_p"} if new == "every field" else {"Y_a"}
    assert called_a(lab) == (after if why == "nothing" else before)


@pytest.mark.parametrize(("old", "new"), [("json", "a field"), ("json", "every field"), ("a field", "another field"),
                                          ("a template", "every field"), ("every field", "json")])  # fmt: skip
@pytest.mark.parametrize("why", ["hold", "paused", "nothing"])
def test_a_tag_that_moves_to_a_job_with_another_form(
    lab: Lab, aws: Any, aws_url: str, old: str, new: str, why: str
) -> None:
    two_teams(lab, aws, aws_url)
    lab.job("jobx", "aws", tagged_rule(old, "X"), **NOW)
    lab.job("joby", "aws", tagged_rule(new, "Y"), **NOW)
    the_tag_moves(lab, aws, new, why)


@pytest.mark.parametrize("old", ["json", "a field", "a template"])
@pytest.mark.parametrize("new", ["json", "every field", "a field", "another field"])
@pytest.mark.parametrize("why", ["hold", "deny", "nothing"])
def test_a_tag_that_moves_to_another_rule_of_its_job(
    lab: Lab, aws: Any, aws_url: str, old: str, new: str, why: str
) -> None:
    two_teams(lab, aws, aws_url)
    lab.job("jobx", "aws", tagged_rule(old, "X"), tagged_rule(new, "Y"), **NOW)
    the_tag_moves(lab, aws, new, why)


@pytest.mark.parametrize("form", [("json", "a field"), ("a field", "another field"), ("a field", "json"),
                                  ("json", "a template"), ("a template", "a field")])  # fmt: skip
@pytest.mark.parametrize("first", ["jobx", "joby"])
@pytest.mark.parametrize("rests", [False, True])
def test_one_name_in_another_form_goes_with_its_tag(
    lab: Lab, aws: Any, aws_url: str, form: tuple[str, str], first: str, rests: bool
) -> None:
    """Neither job waits for the other for ever: the name gets what the secret's new tag asks for."""
    lab.aws(aws_url)
    for name, team in (("a", "x"), ("k", "x"), ("l", "y")):
        aws.create_secret(Name=f"p/{name}", SecretString='{"u":"u","p":"p"}', Tags=[{"Key": "team", "Value": team}])
    for job, team, given in (("jobx", "x", form[0]), ("joby", "y", form[1])):
        made = {key: value for key, value in rule(given, "N", "p/*").items() if key != "format"}
        lab.job(job, "aws", {**made, "tags": {"team": team}}, **NOW)
    if rests:
        lab.config["jobs"]["jobx"]["guard"] = {"max_deletes": 0}
    assert lab.run("sync").code == 0
    aws.untag_resource(SecretId="p/a", TagKeys=["team"])
    aws.tag_resource(SecretId="p/a", Tags=[{"Key": "team", "Value": "y"}])
    aws.put_secret_value(SecretId="p/a", SecretString='{"u":"u2","p":"p2"}')
    for _ in range(4):
        lab.run("sync", first, "joby" if first == "jobx" else "jobx")
    held = {"a field": "p2", "another field": "u2", "json": '{"u":"u2","p":"p2"}', "a template": "u2:p2"}[form[1]]
    assert lab.site.values()["N_a"] == held and lab.statuses()["N_a"] == "synced"


@pytest.mark.parametrize("to", ["its ARN", "its name", "an entry that is new", "an entry that is away"])
@pytest.mark.parametrize("why", ["hold", "paused", "order"])
@pytest.mark.parametrize("job", ["joby", "jobx"])
def test_another_spelling_is_the_same_secret(lab: Lab, aws: Any, aws_url: str, to: str, why: str, job: str) -> None:
    lab.aws(aws_url)
    arns = {name: aws.create_secret(Name=f"p/{name}", SecretString=name)["ARN"] for name in "akl"}
    old = arns["a"] if to == "its name" else "p/a"
    lab.job("jobx", "aws", {"path": old, "name": "X_a"}, {"path": "p/k", "name": "X_k"}, **NOW)
    if "entry" not in to:
        lab.job("joby", "aws", {"path": "p/l", "name": "Y_l"}, **NOW)
    assert lab.run("sync").code == 0
    lab.config["jobs"]["jobx"]["secrets"].pop(0)
    spelled = arns["a"] if to == "its ARN" else "p/a"
    new = {"path": spelled, "name": "Y_a"}
    if "entry" in to:
        if job == "jobx":
            pytest.skip("a job has one source")
        lab.aws(aws_url if to.endswith("new") else "http://127.0.0.1:9", "aws2")
        lab.job("joby", "aws2", new, **NOW)
    else:
        lab.config["jobs"][job]["secrets"].append(new)
    if why != "order":
        if why == "paused" and job == "jobx":
            pytest.skip("it deletes nothing then")
        keeps_back(lab, why)
    for _ in range(1 if why == "order" else 3):
        lab.run("sync", *(["jobx"] if why == "order" else []))
    there = called_a(lab)
    assert there if why == "order" else there == {"X_a"}, "the site is never without it"


@pytest.mark.parametrize(
    "to", ["its ARN through an entry that is away", "a new field through an entry that is away", "a new field that may not be read"]
)  # fmt: skip
def test_what_a_blind_job_makes_of_it_is_waited_for(lab: Lab, aws: Any, aws_url: str, bao: Bao, to: str) -> None:
    if "ARN" in to:
        lab.aws(aws_url)
        lab.aws("http://127.0.0.1:9", "aws2")
        arns = {name: aws.create_secret(Name=f"p/{name}", SecretString=name)["ARN"] for name in "ak"}
        lab.job("jobx", "aws", {"path": "p/a", "name": "X_a"}, {"path": "p/k", "name": "X_k"}, **NOW)
        assert lab.run("sync").code == 0
        lab.job("joby", "aws2", {"path": arns["a"], "name": "Y_a"}, **NOW)
    else:
        lab.vault(bao)
        lab.vault(bao, "vault2")
        for name in "ak":
            bao.put(f"app/{name}", u="u")
        path = f"{bao.mount}/app/"
        lab.job("jobx", "vault", rule("json", "X", path + "a"), rule("json", "X", path + "k"), **NOW)
        lab.job("joby", "vault2", rule("every field", "Y", path + "a"), **NOW)
        assert lab.run("sync").code == 0
        bao.put("app/a", u="u2", new="n")
        if "away" in to:
            lab.config["sources"]["vault2"]["address"] = "http://127.0.0.1:9"
        else:
            token = bao.policy("lists", f'path "{bao.mount}/metadata/*" {{ capabilities = ["read", "list"] }}')
            lab.secret_file("lists", token)
            lab.config["sources"]["vault2"]["auth"]["token"] = {"file": str(lab.folder / "lists")}
        lab.run("sync", "jobx")
    lab.config["jobs"]["jobx"]["secrets"].pop(0)
    for _ in range(2):
        done = lab.run("sync")
    assert "X_a" in lab.site.values() and "not deleted: " in done.out, done.out


def by_hand(lab: Lab, how: str) -> None:
    """What somebody did at Wix to what follows."""
    stored = lab.site.by_name("Y_a")
    assert stored is not None
    later = stored.updated + timedelta(seconds=30)
    if how == "deleted":
        del lab.site.secrets[stored.id]
    elif how == "renamed":
        lab.site.secrets[stored.id] = replace(stored, name="foo", updated=later)
    else:
        lab.site.secrets[stored.id] = replace(stored, value="foreign", updated=later)


@pytest.mark.parametrize("how", ["deleted", "renamed", "changed"])
@pytest.mark.parametrize("why", ["deny", "window", "paused", "order"])
@pytest.mark.parametrize("then", ["deleted", "passed on"])
def test_what_follows_has_to_be_there_now(lab: Lab, bao: Bao, how: str, why: str, then: str) -> None:
    """The ledger says that it came; the listing of this very cycle says that it is not there, or not as we left it."""
    lab.vault(bao)
    for name in "abkl":
        bao.put(f"app/{name}", p=f"value of {name}")
    path = f"{bao.mount}/app/"
    lab.job("jobx", "vault", rule("a field", "X", path + "a"), rule("a field", "X", path + "k"), **NOW)
    lab.job("joby", "vault", rule("a field", "Y", path + "a"), rule("a field", "Y", path + "l"), **NOW)
    assert lab.run("sync").code == 0
    keeps_back(lab, why)
    by_hand(lab, how)
    lab.config["jobs"]["jobx"]["secrets"].pop(0)
    if then == "passed on":
        lab.config["jobs"]["jobx"]["secrets"].append({**rule("a field", "X", path + "b"), "name": "X_a"})
    for _ in range(1 if why == "order" else 3):
        lab.run("sync", *(["jobx"] if why == "order" else []))
    assert "value of a" in lab.site.values().values(), "the site is never without it"


@pytest.mark.parametrize(("old", "new"), [("json", "a field"), ("json", "every field"), ("a template", "every field"),
                                          ("a field", "another field"), ("a field", "json"), ("json", "a template")])  # fmt: skip
@pytest.mark.parametrize("why", ["hold", "deny", "window", "paused", "nothing"])
@pytest.mark.parametrize("job", ["jobx", "joby"])
def test_a_name_passes_on_once_what_follows_is_there(
    lab: Lab, bao: Bao, old: str, new: str, why: str, job: str
) -> None:
    """N is of secret a, and is to be of secret b: a goes on under another name first."""
    if job == "jobx" and why in {"window", "paused"}:
        pytest.skip("the whole job rests then")
    lab.vault(bao)
    for name in "abkl":
        bao.put(f"app/{name}", u=f"u of {name}", p=f"p of {name}")
    path = f"{bao.mount}/app/"
    lab.job("jobx", "vault", {**rule(old, "N", path + "a"), "name": "N"}, rule("a field", "X", path + "k"))
    lab.job("joby", "vault", rule("a field", "Y", path + "l"))
    assert lab.run("sync").code == 0
    before = lab.site.values()["N"]
    lab.config["jobs"]["jobx"]["secrets"][0] = {**rule(old, "N", path + "b"), "name": "N"}
    lab.config["jobs"][job]["secrets"].append(rule(new, "Y", path + "a"))
    keeps_back(lab, why)
    for _ in range(3):
        done = lab.run("sync")
    if why == "nothing":
        assert done.code == 0 and lab.site.values()["N"] == before.replace("of a", "of b") and called_a(lab)
    else:
        assert lab.site.values()["N"] == before and "waits: " in done.out


@pytest.mark.parametrize("waiting", ["jobx", "jobz"])
@pytest.mark.parametrize("why", ["hold", "paused", "window", "nothing"])
def test_a_name_that_its_tag_leaves_passes_on_once_its_secret_is_there(
    lab: Lab, aws: Any, aws_url: str, waiting: str, why: str
) -> None:
    """Another secret waits for the name `a`; the tag of the one that has it moves to a job that calls it Y_a."""
    lab.aws(aws_url)
    for name, team in (("p/a", "x"), ("p/k", "x"), ("p/l", "y"), ("q/a", "x")):
        aws.create_secret(Name=name, SecretString=f"value of {name}", Tags=[{"Key": "team", "Value": team}])
    for team, name in (("x", "{basename}"), ("y", "Y_{basename}")):
        lab.job(f"job{team}", "aws", {"path": "p/*", "tags": {"team": team}, "name": name})
    assert lab.run("sync").code == 0
    if waiting == "jobz":
        lab.job("jobz", "aws", {"path": "q/a", "name": "a"})
    else:
        lab.config["jobs"]["jobx"]["secrets"].append({"path": "q/a", "name": "a"})
    assert lab.run("sync").code == 1
    keeps_back(lab, why)
    aws.untag_resource(SecretId="p/a", TagKeys=["team"])
    aws.tag_resource(SecretId="p/a", Tags=[{"Key": "team", "Value": "y"}])
    for _ in range(3):
        lab.run("sync")
    assert "value of p/a" in lab.site.values().values()
    assert (lab.site.values()["a"] == "value of q/a") is (why == "nothing")


CONTENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a pinned version and the newest": ({"field": "p", "version": 1}, {"field": "p"}),
    "JSON and a template": ({"format": "json"}, {"value": "{u}"}),
    "a template and JSON": ({"value": "{u}:{p}"}, {"format": "json"}),
    "two templates": ({"value": "{u}:{p}"}, {"value": "{u}"}),
}


@pytest.mark.parametrize("contents", CONTENTS)
@pytest.mark.parametrize("why", ["hold", "window", "nothing"])
@pytest.mark.parametrize("job", ["jobx", "joby"])
def test_a_name_that_changes_its_content_keeps_it_until_that_is_elsewhere(
    lab: Lab, bao: Bao, contents: str, why: str, job: str
) -> None:
    if why == "window" and job == "jobx":
        pytest.skip("the whole job rests then")
    lab.vault(bao)
    for name in "akl":
        for version in "12":
            bao.put(f"app/{name}", u=f"u{version}", p=f"p{version}")
    path, (before, after) = f"{bao.mount}/app/", CONTENTS[contents]
    lab.job(
        "jobx", "vault", {"path": path + "a", "name": "N", **before}, {"path": path + "k", "field": "p", "name": "K"}
    )
    lab.job("joby", "vault", {"path": path + "l", "field": "p", "name": "L"})
    assert lab.run("sync").code == 0
    held = lab.site.values()["N"]
    lab.config["jobs"]["jobx"]["secrets"][0] = {"path": path + "a", "name": "N", **after}
    lab.config["jobs"][job]["secrets"].append({"path": path + "a", "name": "Y_a", **before})
    keeps_back(lab, why)
    lab.run("sync", "jobx")
    assert held in {lab.site.values()["N"], lab.site.values().get("Y_a")}
    for _ in range(2):
        lab.run("sync")
    assert (lab.site.values()["N"] == held) is (why != "nothing")
    assert lab.site.values().get("Y_a") == (held if why == "nothing" else None)


def test_what_follows_holds_no_older_version(lab: Lab, bao: Bao) -> None:
    """It was written later, and taken back to the older one: the newest goes nowhere."""
    lab.vault(bao)
    for name in "akl":
        for version in "12":
            bao.put(f"app/{name}", p=version)
    path = f"{bao.mount}/app/"
    lab.job("jobx", "vault", rule("a field", "X", path + "a"), rule("a field", "X", path + "k"), **NOW)
    lab.job("joby", "vault", rule("a field", "Y", path + "a"), rule("a field", "Y", path + "l"), **NOW)
    assert lab.run("sync").code == 0
    assert lab.run("pause", "jobx", "--reason", "x").code == 0
    assert lab.run("rollback", f"vault:{path}a", "--to", "1", "--reason", "x").code == 6
    assert lab.site.values()["X_a"] == "2" and lab.site.values()["Y_a"] == "1"
    assert lab.run("resume", "jobx").code == 0
    lab.config["jobs"]["jobx"]["secrets"].pop(0)
    keeps_back(lab, "hold")
    lab.run("rollback", f"vault:{path}a", "--end", "--reason", "x")
    for _ in range(2):
        lab.run("sync")
    assert lab.site.values()["X_a"] == "2" and lab.site.values()["Y_a"] == "1"


@pytest.mark.parametrize("by", ["its name in another case", "its ARN", "an entry that is new", "an entry that is away"])
@pytest.mark.parametrize("first", ["jobx", "joby"])
def test_a_name_that_another_job_gives_the_same_secret_passes_to_nobody(
    lab: Lab, aws: Any, aws_url: str, by: str, first: str
) -> None:
    """jobx gives the name to another secret; joby goes on giving it to the one that has it."""
    lab.aws(aws_url)
    lab.aws("http://127.0.0.1:9" if by.endswith("away") else aws_url, "aws2")
    arns = {name: aws.create_secret(Name=f"p/{name}", SecretString=f"value of {name}")["ARN"] for name in "abk"}
    lab.job("jobx", "aws", {"path": "p/a", "name": "NAME"}, {"path": "p/k", "name": "K"})
    assert lab.run("sync").code == 0
    lab.config["jobs"]["jobx"]["secrets"][0] = {"path": "p/b", "name": "NAME"}
    path, name = arns["a"] if "ARN" in by else "p/a", "name" if "case" in by else "NAME"
    lab.job("joby", "aws2" if "entry" in by else "aws", {"path": path, "name": name})
    for _ in range(3):
        done = lab.run("sync", first, "joby" if first == "jobx" else "jobx")
    assert "value of a" in lab.site.values().values() and "conflict" in done.out, done.out


@pytest.mark.parametrize("known", [False, True])
def test_a_name_that_goes_to_another_field_waits_for_a_blind_job(lab: Lab, aws: Any, aws_url: str, known: bool) -> None:
    lab.aws(aws_url)
    lab.aws(aws_url if known else "http://127.0.0.1:9", "aws2")
    for name in "akl":
        aws.create_secret(Name=f"p/{name}", SecretString='{"u":"u","p":"p"}')
    lab.job("jobx", "aws", {"path": "p/a", "field": "p", "name": "N"}, {"path": "p/k", "field": "p", "name": "K"})
    if known:
        lab.job("joby", "aws2", {"path": "p/l", "field": "p", "name": "L"})
    assert lab.run("sync").code == 0
    lab.config["jobs"]["jobx"]["secrets"][0]["field"] = "u"
    lab.config["sources"]["aws2"]["endpoint_url"] = "http://127.0.0.1:9"
    lab.job("joby", "aws2", {"path": "p/l", "field": "p", "name": "L"}, {"path": "p/a", "field": "p", "name": "Y_a"})
    for _ in range(2):
        lab.run("sync")
    assert lab.site.values()["N"] == "p"
    lab.config["sources"]["aws2"]["endpoint_url"] = aws_url
    for _ in range(2):
        lab.run("sync")
    assert (lab.site.values()["N"], lab.site.values()["Y_a"]) == ("u", "p")


def test_a_pinned_name_is_there_though_its_version_is_old(lab: Lab, bao: Bao) -> None:
    """What nobody wants in another version is there for good, and nothing waits for it."""
    lab.vault(bao)
    for name in "abk":
        for version in "12":
            bao.put(f"app/{name}", p=f"{name}{version}")
    path = f"{bao.mount}/app/"
    lab.job("jobx", "vault", {"path": path + "a", "field": "p", "name": "X_a"},
            {"path": path + "a", "field": "p", "version": 1, "name": "Y_a"})  # fmt: skip
    assert lab.run("sync").code == 0
    lab.config["jobs"]["jobx"]["secrets"][0] = {"path": path + "b", "field": "p", "name": "X_a"}
    assert lab.run("sync").code == 0 and lab.site.values() == {"X_a": "b2", "Y_a": "a1"}


def test_a_lost_tag_whose_new_name_cannot_be_made(lab: Lab, aws: Any, aws_url: str) -> None:
    """The rule of the new tag asks for a version that the secret never had: the old name stays, and says why."""
    lab.aws(aws_url)
    for name, team in (("a", "x"), ("k", "x")):
        aws.create_secret(Name=f"p/{name}", SecretString=name, Tags=[{"Key": "team", "Value": team}])
    lab.job("jobx", "aws", {"path": "p/*", "tags": {"team": "x"}, "name": "X_{basename}"},
            {"path": "p/*", "tags": {"team": "y"}, "stage": "AWSPREVIOUS", "name": "Y_{basename}"}, **NOW)  # fmt: skip
    lab.run("sync")
    aws.untag_resource(SecretId="p/a", TagKeys=["team"])
    aws.tag_resource(SecretId="p/a", Tags=[{"Key": "team", "Value": "y"}])
    for _ in range(3):
        done = lab.run("sync")
    assert lab.site.values() == {"X_a": "a", "X_k": "k"} and "AWSPREVIOUS" in done.out
    aws.put_secret_value(SecretId="p/a", SecretString="a2")
    for _ in range(3):
        lab.run("sync")
    assert lab.site.values() == {"Y_a": "a", "X_k": "k"}


def test_a_changed_template_waits_for_no_pin_that_fails(lab: Lab, aws: Any, aws_url: str) -> None:
    lab.aws(aws_url)
    aws.create_secret(Name="p/a", SecretString='{"u":"u","p":"p"}')
    lab.job("jobx", "aws", {"path": "p/a", "value": "{u}:{p}", "name": "N"},
            {"path": "p/*", "stage": "AWSPREVIOUS", "name": "OLD_{basename}"})  # fmt: skip
    assert lab.run("sync").code == 1 and lab.site.values() == {"N": "u:p"}
    lab.config["jobs"]["jobx"]["secrets"][0]["value"] = "{u}/{p}"
    lab.run("sync")
    assert lab.site.values() == {"N": "u/p"}
