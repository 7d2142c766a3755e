"""A rule that is changed by a slip deletes and overwrites nothing: the old name stays until the slip is mended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind
Rules = list[dict[str, Any]]


@pytest.fixture
def lab_of_two(lab: Lab, bao: Bao) -> Lab:
    """`one` sends app/a as OLD, and both send another secret each."""
    lab.vault(bao)
    bao.put("app/a", key="value of a", url="u")
    for name in "kl":
        bao.put(f"app/{name}", key=f"value of {name}", url="u")
    lab.job("one", "vault", rule(bao, "a", name="OLD"), rule(bao, "k", name="K"), **DELETING)
    lab.job("two", "vault", rule(bao, "l", name="L"), **DELETING)
    assert lab.run("sync").code == 0
    return lab


def rule(bao: Bao, path: str, **more: str) -> dict[str, Any]:
    return {"path": f"{bao.mount}/app/{path}", "field": "key", **more}


def wrong_field(bao: Bao) -> Rules:
    return [rule(bao, "a", name="NEW") | {"field": "kye"}]


def wrong_field_of_the_same_name(bao: Bao) -> Rules:
    return [rule(bao, "a", name="OLD") | {"field": "kye"}]


def wrong_field_of_a_glob(bao: Bao) -> Rules:
    return [rule(bao, "*", name="N_{basename}") | {"field": "kye"}]


def wrong_path_of_the_same_name(bao: Bao) -> Rules:
    return [rule(bao, "aa", name="OLD")]


def wrong_path_and_case(bao: Bao) -> Rules:
    return [rule(bao, "aa", name="old")]


def wrong_field_and_its_name_passes_on(bao: Bao) -> Rules:
    return [rule(bao, "l", name="OLD"), *wrong_field(bao)]


def wrong_field_of_a_glob_and_its_name_passes_on(bao: Bao) -> Rules:
    return [rule(bao, "l", name="OLD"), *wrong_field_of_a_glob(bao)]


def wrong_field_of_another_path(bao: Bao) -> Rules:
    return [rule(bao, "k", name="old") | {"field": "kye"}]


def a_path_without_fields(bao: Bao) -> Rules:
    bao.put_all("app/empty", {})
    return [{"path": f"{bao.mount}/app/empty", "name": "OLD"}]


def another_field_gets_the_name(bao: Bao) -> Rules:
    return [rule(bao, "a", name="OLD") | {"field": "url"}, *wrong_field(bao)]


def another_field_gets_the_name_and_a_pin_is_not_there(bao: Bao) -> Rules:
    return [rule(bao, "a", name="OLD") | {"field": "url"}, rule(bao, "a", name="NEW") | {"version": 9}]


SLIPS = [
    wrong_field_of_another_path,
    a_path_without_fields,
    another_field_gets_the_name,
    another_field_gets_the_name_and_a_pin_is_not_there,
    wrong_field,
    wrong_field_of_the_same_name,
    wrong_field_of_a_glob,
    wrong_path_of_the_same_name,
    wrong_path_and_case,
    wrong_field_and_its_name_passes_on,
    wrong_field_of_a_glob_and_its_name_passes_on,
]


@pytest.mark.parametrize("job", ["one", "two"])
@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.__name__)
def test_a_slip_keeps_the_old_name_and_says_so(
    lab_of_two: Lab, bao: Bao, slip: Callable[[Bao], Rules], job: str
) -> None:
    lab, jobs = lab_of_two, lab_of_two.config["jobs"]
    del jobs["one"]["secrets"][0]
    jobs[job]["secrets"] += slip(bao)
    for _ in range(3):
        done = lab.run("sync")
        assert lab.site.values() == {"OLD": "value of a", "K": "value of k", "L": "value of l"}
    assert done.code != 0 or "has a field kye" in done.out or "has no fields" in done.out, done.out
    assert any(words in done.out for words in ("waits", "not deleted", "cannot be made")), done.out
    # mended, it all goes as it was meant
    for mended in jobs[job]["secrets"]:
        is_slip = mended.get("field", "kye") == "kye" or mended["path"].endswith(("/aa", "/k")) or "version" in mended
        mended.pop("version", None)
        if is_slip and mended["name"] != "K":
            mended |= {"field": "key", "path": f"{bao.mount}/app/{'*' if '*' in mended['path'] else 'a'}"}
    for _ in range(3):
        done = lab.run("sync")
    assert done.code == 0 and "value of a" in lab.site.values().values()
    assert len(lab.site.values()) == len({name.casefold() for name in lab.site.values()})


@pytest.mark.parametrize("job", ["one", "two"])
@pytest.mark.parametrize("slip", [{"field": "kye"}, {"field": "key", "version": 9}, {"value": "{kye}"}])
def test_a_name_passes_to_no_other_part_before_the_slip_is_mended(
    lab: Lab, bao: Bao, slip: dict[str, Any], job: str
) -> None:
    """No other rule makes that part of anything."""
    lab.vault(bao)
    bao.put("app/a", key="value of a", url="u")
    bao.put("app/l", url="l")
    lab.job("one", "vault", rule(bao, "a", name="OLD"))
    lab.job("two", "vault", rule(bao, "l", name="L") | {"field": "url"})
    assert lab.run("sync").code == 0
    follows = {"path": f"{bao.mount}/app/a", "name": "NEW", **slip}
    lab.config["jobs"]["one"]["secrets"] = [rule(bao, "a", name="OLD") | {"field": "url"}]
    lab.config["jobs"][job]["secrets"].append(follows)
    lab.run("sync")
    # A template that cannot be filled in is a name of its own, and known not to be the part that had this one.
    assert lab.site.values()["OLD"] == ("u" if "value" in slip else "value of a")


@pytest.mark.parametrize("job", ["one", "two"])
@pytest.mark.parametrize("slip", [{"path": "b"}, {"path": "k", "field": "kye"}])
def test_a_slip_keeps_the_name_of_what_is_gone(lab_of_two: Lab, bao: Bao, slip: dict[str, str], job: str) -> None:
    """It moved at its source, and the rule that has its name finds nothing: a path or a field that is not there."""
    lab, jobs = lab_of_two, lab_of_two.config["jobs"]
    bao.put("moved/a", key="value of a")
    bao.remove("app/a")
    jobs["one"]["secrets"][0] = rule(bao, "*", name="{basename}") | {"exclude": [f"{bao.mount}/app/[kl]"]}
    jobs[job]["secrets"].append(rule(bao, slip["path"], name="OLD") | {"field": slip.get("field", "key")})
    for _ in range(3):
        done = lab.run("sync")
        assert lab.site.values()["OLD"] == "value of a"
    assert "makes nothing of" in done.out or "cannot be made" in done.out or "lists nothing" in done.out
    jobs[job]["secrets"][-1] |= {"path": f"{bao.mount}/moved/a", "field": "key"}
    assert lab.settle().code in {0, 1, 4} and lab.site.values()["OLD"] == "value of a"


@pytest.mark.parametrize("same_job", [True, False])
def test_a_tag_that_asks_for_a_field_which_it_lacks_keeps_the_old_name(
    lab: Lab, aws: Any, aws_url: str, same_job: bool
) -> None:
    lab.aws(aws_url)
    for name, team, field in (("a", "x", "key"), ("k", "x", "key"), ("l", "y", "other")):
        tags = [{"Key": "team", "Value": team}]
        aws.create_secret(Name=f"p/{name}", SecretString=f'{{"{field}": "value of {name}"}}', Tags=tags)
    x = {"path": "p/*", "tags": {"team": "x"}, "field": "key", "name": "X_{basename}"}
    y = {"path": "p/*", "tags": {"team": "y"}, "field": "other", "name": "Y_{basename}"}
    lab.job("jobx", "aws", x, *([y] if same_job else []), **DELETING)
    if not same_job:
        lab.job("joby", "aws", y, **DELETING)
    assert lab.run("sync").code == 0
    aws.untag_resource(SecretId="p/a", TagKeys=["team"])
    aws.tag_resource(SecretId="p/a", Tags=[{"Key": "team", "Value": "y"}])
    for _ in range(3):
        done = lab.run("sync")
    assert lab.site.values()["X_a"] == "value of a" and "new name cannot be made" in done.out


def test_what_many_have_may_be_lacking(lab_of_two: Lab, bao: Bao) -> None:
    """A glob for a field that some have is no slip: what its own rule gave up goes."""
    lab = lab_of_two
    bao.put("app/k", key="value of k", tls="t")
    lab.config["jobs"]["two"]["secrets"] += [rule(bao, "*", name="T_{basename}") | {"field": "tls"}]
    del lab.config["jobs"]["one"]["secrets"][0]
    for _ in range(2):
        lab.run("sync")
    assert set(lab.site.values()) == {"K", "L", "T_k"}


@pytest.mark.parametrize("grace", ["0s", "24h"])
def test_what_keeps_it_is_told_from_the_beginning(lab: Lab, bao: Bao, grace: str) -> None:
    """Neither a countdown to a deletion that will not come, nor a batch that releases nothing."""
    lab.vault(bao)
    for name in ("stripe", "other"):
        bao.put(f"app/{name}", v="1")
    rules = [{"path": f"{bao.mount}/app/{name}", "field": "v", "name": name.upper()} for name in ("stripe", "other")]
    lab.job("job", "vault", *rules, **{**DELETING, "deletion_grace": grace, "guard": {"max_deletes": 0}})
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["secrets"][0]["path"] = f"{bao.mount}/app/strpie"
    for _ in range(2):
        told = lab.run("sync").out
        assert "not deleted: rule" in told and "of observed absence" not in told and "withheld" not in told, told
    assert lab.site.values()["STRIPE"] == "1" and lab.run("held", "--json").json == []


@pytest.mark.parametrize("command", ["plan", "sync"])
@pytest.mark.parametrize("slip", ["folder", "mount's end", "tags", "exclude"])
def test_a_slip_that_leaves_every_secret_unknown_is_no_success(
    lab: Lab, bao: Bao, aws: Any, aws_url: str, slip: str, command: str
) -> None:
    """A scheduler that watches exit codes hears of it, as of an exact path that is not there."""
    rules = {
        "folder": {"path": f"{bao.mount}/ap/*"},
        "mount's end": {"path": f"{bao.mount}/app"},
        "exclude": {"path": f"{bao.mount}/app/*", "exclude": [f"{bao.mount}/app/**"]},
    }
    if slip == "tags":
        lab.aws(aws_url)
        for name in ("prod/x", "prod/y"):
            aws.create_secret(Name=name, SecretString="value", Tags=[{"Key": "team", "Value": "shop"}])
        lab.job("job", "aws", {"path": "prod/*", "name": "{basename}", "tags": {"team": "shop"}})
    else:
        lab.vault(bao)
        for name in ("x", "y"):
            bao.put(f"app/{name}", v="value")
        lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    assert lab.run("sync").code == 0 and set(lab.site.values()) == {"x", "y"}
    lab.config["jobs"]["job"]["secrets"][0] |= rules.get(slip, {"tags": {"team": "shpo"}})
    done = lab.run(command)
    assert done.code in {1, 4}, done.out
    assert set(lab.site.values()) == {"x", "y"} and (command == "plan" or "synced" not in lab.statuses().values())
