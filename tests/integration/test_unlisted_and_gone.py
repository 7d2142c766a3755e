"""What a rule takes and did not show (a value unread, a listing that lags, in whichever form and job) keeps its old name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from syncd.sandbox.launchers import OpenBao, openbao
from syncd.sources.aws.listing import AwsListing
from tests.chaos.peers import Answer, peer
from tests.lab import Bao, Lab
from tests.support.fronts import before, lagging
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind
FAULT = Answer({"errors": ["1 error occurred: decryption failed"]}, 500)
FORMS: dict[str, dict[str, Any]] = {
    "the same": {"field": "v"}, "as JSON": {"format": "json"}, "a template": {"value": "u:{v}"},
    "another field": {"field": "w"}, "a pin": {"field": "v", "version": 1},
}  # fmt: skip
HOW = ("passed on", "gone")


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    """`x` holds A, `q` and `L` are others."""
    lab.vault(bao)
    for path, value in (("a/x", "A"), ("a/q", "Q"), ("b/y", "B")):
        bao.put(path, v=value, w="W")
    lab.job("job", "vault", rule(bao, "a/*", "{basename}"), rule(bao, "b/y", "L"), **DELETING)
    assert lab.run("sync").code == 0
    return lab


def rule(bao: Bao, path: str, name: str, **form: Any) -> dict[str, Any]:
    return {"path": f"{bao.mount}/{path}", "name": name, **(form or {"field": "v"})}


def deleted_softly(bao: Bao) -> None:
    """The newest version alone; those before it can be read."""
    bao.root.secrets.kv.v2.delete_latest_version_of_secret("a/x", mount_point=bao.mount)


def second(bao: Bao, how: str) -> dict[str, Any]:
    """Another secret, which gets the name `x` or leaves it alone."""
    return rule(bao, "b/y", "x" if how == "passed on" else "L")


@pytest.fixture(scope="module")
def other_server() -> Iterator[OpenBao]:
    with openbao() as server:
        yield server


@contextmanager
def behind(lab: Lab, bao: Bao, front_of: Any) -> Iterator[None]:
    """The source is reached through a front for a while."""
    with peer(front_of) as front:
        lab.config["sources"]["vault"]["address"] = front.url
        yield
    lab.config["sources"]["vault"]["address"] = bao.address


def without_x(bao: Bao) -> Any:
    """Its folder is listed without x; the path itself tells that it is there."""
    return lagging(bao, Answer({"data": {"keys": ["q"]}}))


def unread_x(bao: Bao) -> Any:
    """Its value cannot be read."""
    return before(bao, lambda _, path: "/data/a/x" in path, FAULT)


def kept(lab: Lab) -> str:
    told = [lab.run("sync").out for _ in range(3)]
    assert lab.site.values().get("x") == "A", told[0]
    return told[0]


def settled(lab: Lab) -> None:
    """Once all of it can be seen, the old name goes to its new owner, or away, and the new one is there."""
    for _ in range(5):
        lab.run("sync")
    values = lab.site.values()
    assert values.keys() & {"N_x", "N_v"} and values.get("x") in {None, "B"}, lab.run("sync").out


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("form", [form for form in FORMS if form != "a pin"])
def test_a_listing_that_lags(job: Lab, bao: Bao, form: str, how: str) -> None:
    job.job("job", "vault", rule(bao, "a/*", "N_{basename}", **FORMS[form]), second(bao, how), **DELETING)
    with behind(job, bao, without_x(bao)):
        told = kept(job)
        assert "which is there" in told or "still finds it" in told
    settled(job)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("copier", ["the job itself", "another job"])
@pytest.mark.parametrize("what", ["its listing", "its value"])
def test_a_copy_that_was_there_all_along(job: Lab, bao: Bao, what: str, copier: str, how: str) -> None:
    """It has the same of the secret under another name, and is not the new name that is waited for."""
    copy, old = rule(bao, "a/x", "COPY"), rule(bao, "a/*", "{basename}")

    def configured(*rules: dict[str, Any]) -> None:
        own = [copy] if copier == "the job itself" else []
        job.job("job", "vault", *rules, *own, **DELETING)
        if not own:
            job.job("copier", "vault", copy, **DELETING)

    configured(old, rule(bao, "b/y", "L"))
    assert job.run("sync").code == 0 and job.site.values()["COPY"] == "A"
    if what == "its value":
        bao.put("a/x", v="A2", w="W")
    configured(rule(bao, "a/*", "N_{basename}"), second(bao, how))
    with behind(job, bao, without_x(bao) if what == "its listing" else unread_x(bao)):
        kept(job)
    settled(job)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("form", ["the same", "as JSON"])
@pytest.mark.parametrize("order", [("job", "next"), ("next", "job")], ids=["first", "last"])
def test_a_listing_of_another_job_that_lags(job: Lab, bao: Bao, form: str, how: str, order: tuple[str, str]) -> None:
    job.config["jobs"] = {}
    for name in order:
        if name == "job":
            job.job("job", "vault", second(bao, how), **DELETING)
        else:
            job.job("next", "vault", rule(bao, "a/*", "N_{basename}", **FORMS[form]), **DELETING)
    with behind(job, bao, without_x(bao)):
        kept(job)
    settled(job)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", ["its source is renamed", "another entry"])
def test_a_value_that_was_never_read_under_its_name(job: Lab, bao: Bao, what: str, form: str, how: str) -> None:
    """It is listed, and what was read of it before is known under another name of its source."""
    sources = job.config["sources"]
    sources["second"] = sources.pop("vault") if "renamed" in what else dict(sources["vault"])
    if "another" in what:
        job.job("stays", "vault", rule(bao, "b/y", "STAYS"), **DELETING)
    own = rule(bao, "a/x", "N_x", **FORMS[form])
    job.job("job", "second", own, rule(bao, "a/q", "q"), second(bao, how), **DELETING)
    with peer(before(bao, lambda _, path: "/data/a/x" in path, FAULT)) as front:
        sources["second"]["address"] = front.url
        kept(job)
    sources["second"]["address"] = bao.address
    settled(job)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("form", [form for form in FORMS if form not in {"the same", "a pin"}])
def test_a_newest_version_that_was_never_read(job: Lab, bao: Bao, form: str, how: str) -> None:
    """What is known of the version before tells nothing of what the rule makes of this one."""
    bao.put("a/x", v="A", w="W", new="N")
    own = [rule(bao, "a/x", "N_x", **FORMS[form]), rule(bao, "a/q", "q")]
    job.job("job", "vault", *own, second(bao, how), **DELETING)
    with behind(job, bao, unread_x(bao)):
        kept(job)
    settled(job)


@pytest.mark.parametrize("how", HOW)
def test_a_field_that_only_the_newest_version_has(job: Lab, bao: Bao, how: str) -> None:
    for path in ("a/x", "a/q"):
        bao.put(path, v="A" if path == "a/x" else "Q")
    job.config["jobs"]["job"]["secrets"] = [rule(bao, "a/*", "{basename}"), rule(bao, "b/y", "L")]
    assert job.run("sync").code == 0
    for path in ("a/x", "a/q"):
        bao.put(path, v="A" if path == "a/x" else "Q", w="W")
    job.job("job", "vault", rule(bao, "a/*", "N_{basename}", field="w"), second(bao, how), **DELETING)
    with behind(job, bao, unread_x(bao)):
        kept(job)
    settled(job)


@pytest.mark.parametrize("how", HOW)
def test_what_is_rolled_back_and_lacks_the_field(job: Lab, bao: Bao, how: str) -> None:
    bao.remove("a/x")
    bao.put("a/x", v="A")
    for _ in range(2):
        job.run("sync")
    bao.put("a/x", v="A2", w="W")
    assert job.run("sync").code == 0
    assert job.run("rollback", "x", "--to", "1", "--reason", "leaked").code == 0
    job.job("job", "vault", rule(bao, "a/*", "N_{basename}", field="w"), second(bao, how), **DELETING)
    kept(job)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("form", ["as JSON", "another field", "every field"])
def test_a_pinned_version_whose_newest_one_is_deleted(job: Lab, bao: Bao, form: str, how: str) -> None:
    """That the newest version is gone says nothing of the one that the rule pins by now."""
    bao.put("a/x", v="bad", w="bad")
    deleted_softly(bao)
    own = rule(bao, "a/x", "N_x" if form in FORMS else "N_{field}", **FORMS.get(form, {"field": "*"}), version=1)
    job.job("job", "vault", own, rule(bao, "a/q", "q"), second(bao, how), **DELETING)
    with behind(job, bao, unread_x(bao)):
        kept(job)
    settled(job)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("there", ["other secrets", "nothing"])
def test_another_vault_with_the_same_paths_holds_nothing(
    job: Lab, bao: Bao, other_server: OpenBao, there: str, how: str
) -> None:
    """A second cluster of which nothing was ever read: its rule takes the path there, and not this secret."""
    other = Bao(other_server, bao.mount, other_server.token)
    other.enable()
    if there == "other secrets":
        other.put("a/z", v="Z")
    job.vault(other, "stage")
    job.job("stage", "stage", rule(bao, "a/*", "S_{basename}"), **DELETING)
    job.job("job", "vault", rule(bao, "a/q", "q"), second(bao, how), **DELETING)
    for _ in range(3):
        job.run("sync")
    assert job.site.values().get("x") == ("B" if how == "passed on" else None)


def test_it_is_not_gone_after_a_day_either(job: Lab, bao: Bao) -> None:
    """A policy that lacks `read` lets all be listed, and the usual grace runs."""
    job.config["sources"]["second"] = job.config["sources"].pop("vault")
    own = rule(bao, "a/x", "N_x", **FORMS["as JSON"])
    deleting = {**DELETING, "deletion_grace": "24h", "schedule": {"every": "12h"}}
    job.job("job", "second", own, rule(bao, "a/q", "q"), rule(bao, "b/y", "L"), **deleting)
    denied = Answer({"errors": ["1 error occurred: permission denied"]}, 403)
    with peer(before(bao, lambda _, path: "/data/a/x" in path, denied)) as front:
        job.config["sources"]["second"]["address"] = front.url
        for _ in range(4):
            job.run("sync")
            job.let_pass(timedelta(hours=12))
        kept(job)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "the same"])
def test_a_wiped_mount_leaves_the_last_copy_in_any_form(job: Lab, bao: Bao, bao_server: Any, form: str) -> None:
    other = Bao(bao_server, f"{bao.mount}-other", bao_server.token)
    other.enable()
    other.put("b/y", v="B")
    bao.root.sys.disable_secrets_engine(bao.mount)
    bao.enable()
    taker = {"path": f"{other.mount}/b/y", "field": "v", "name": "x"}
    job.job("job", "vault", rule(bao, "a/x", "N_x", **FORMS[form]), taker, **DELETING)
    try:
        kept(job)
    finally:
        other.root.sys.disable_secrets_engine(other.mount)


def test_what_is_rolled_back_and_deleted_since(job: Lab, bao: Bao) -> None:
    bao.put("a/x", v="A2", w="W")
    assert job.run("sync").code == 0
    assert job.run("rollback", "x", "--to", "1", "--reason", "leaked").code == 0
    deleted_softly(bao)
    job.job("job", "vault", rule(bao, "a/x", "N_x"), rule(bao, "a/q", "q"), second(bao, "passed on"), **DELETING)
    kept(job)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("to", ["the job itself", "another job"])
def test_at_aws(lab: Lab, aws: Any, aws_url: str, to: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.aws(aws_url)
    for name, value in (("p/x", '{"v":"A","w":"W"}'), ("p/q", '{"v":"Q","w":"W"}'), ("q", "B")):
        aws.create_secret(Name=name, SecretString=value)
    lab.job("job", "aws", {"path": "p/*", "field": "v", "name": "{basename}"}, {"path": "q", "name": "L"}, **DELETING)
    assert lab.run("sync").code == 0
    moved, taker = {"path": "p/*", "name": "N_{basename}"}, {"path": "q", "name": "x" if how == "passed on" else "L"}
    if to == "another job":
        lab.job("job", "aws", taker, **DELETING)
        lab.job("next", "aws", {**moved, "field": "v"}, **DELETING)
    else:
        lab.job("job", "aws", moved, taker, **DELETING)
    pages = AwsListing._pages

    def cut(self: AwsListing, rule: Any) -> Any:
        for page in pages(self, rule):
            yield [secret for secret in page if secret["Name"] != "p/x"]

    with monkeypatch.context() as patch:
        patch.setattr(AwsListing, "_pages", cut)
        kept(lab)
    settled(lab)


@pytest.mark.parametrize(
    "change", ["excluded", "narrower", "gone at the source", "deleted softly", "without the field", "out of the file"]
)
def test_a_legal_change_settles(job: Lab, bao: Bao, change: str) -> None:
    """What no rule makes any more goes, without anything that waits for ever."""
    rules = [rule(bao, "a/*", "{basename}"), rule(bao, "b/y", "L")]
    if change == "excluded":
        rules[0]["exclude"] = [f"{bao.mount}/a/x"]
    elif change == "narrower":
        rules[0]["path"] = f"{bao.mount}/a/q"
    elif change == "gone at the source":
        bao.remove("a/x")
    elif change == "deleted softly":
        deleted_softly(bao)
    elif change == "without the field":
        bao.put("a/x", w="W")
    else:
        del rules[0]
    job.job("job", "vault", *rules, **DELETING)
    for _ in range(4):
        done = job.run("sync")
    assert done.code == 0 and "x" not in job.site.values(), done.out
