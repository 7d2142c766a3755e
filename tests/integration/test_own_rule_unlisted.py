"""A name passes to nobody while the job's own rule did not list what has it: what that is called now is not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncd.errors import SourceUnavailable
from syncd.sources.aws.listing import AwsListing
from tests.chaos.peers import Answer, peer
from tests.lab import Bao, Lab
from tests.support.fronts import before, lagging
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind
FAULTS = {
    "a fault": Answer({"errors": ["1 error occurred: decryption failed"]}, 500),
    "a policy": Answer({"errors": ["1 error occurred: permission denied"]}, 403),
    "a firewall": Answer(b"<html>blocked</html>", 403, {"Content-Type": "text/html"}),
}
WHERE: dict[str, Callable[[str], bool]] = {
    "its metadata": lambda path: "metadata/a/x" in path,
    "its folder": lambda path: path.endswith("metadata/a"),
    "its mount": lambda path: "mounts" in path and "/a/x" in path,
    "its value": lambda path: "/data/a/x" in path,
}


def rule(bao: Bao, path: str, name: str) -> dict[str, str]:
    return {"path": f"{bao.mount}/{path}", "field": "v", "name": name}


def names(lab: Lab, bao: Bao, a: str, *, old: bool, job: str = "job") -> None:
    """Two secrets, of which the second one gets the first one's name, and the first one another."""
    template = "{basename}" if "*" in a else "x"
    one, two = (template, "L") if old else (f"N_{template}", "x")
    lab.job(job, "vault", rule(bao, a, one), rule(bao, "b/y", two), **DELETING)


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for path, value in (("a/x", "A"), ("a/q", "Q"), ("b/y", "B")):
        bao.put(path, v=value)
    return lab


def settled(lab: Lab, bao: Bao) -> None:
    """Once all can be listed, every name is where it belongs, and nothing was lost on the way."""
    lab.config["sources"]["vault"]["address"] = bao.address
    for _ in range(4):
        lab.run("sync")
    values = lab.site.values()
    assert (values["x"], values["N_x"], "L" in values) == ("B", "A", False), values


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("a", ["a/x", "a/*", "a/**"])
def test_what_cannot_be_listed_keeps_its_name(job: Lab, bao: Bao, a: str, where: str, fault: str) -> None:
    names(job, bao, a, old=True)
    assert job.run("sync").code == 0
    names(job, bao, a, old=False)
    if where == "its value":
        bao.put("a/x", v="A2")
    with peer(before(bao, lambda _, path: WHERE[where](path.partition("?")[0]), FAULTS[fault])) as front:
        job.config["sources"]["vault"]["address"] = front.url
        results = [job.run("sync") for _ in range(2)]
    values = job.site.values()
    is_shown = (
        (where == "its metadata" and "*" not in a) or (where == "its folder" and "*" in a) or where == "its value"
    )
    if is_shown:
        assert all(result.code == 4 for result in results), results[0].out
        assert values["x"] == "A" and values["L"] == "B", results[0].out
    else:
        assert "A" in values.values()
    bao.put("a/x", v="A")
    settled(job, bao)


@pytest.mark.parametrize("keys", [["q"], []], ids=["lacks it", "is empty"])
def test_what_a_lagging_listing_lacks_keeps_its_name(job: Lab, bao: Bao, keys: list[str]) -> None:
    """A standby that lags lists the folder without it, completely; the path itself tells that it is there."""
    names(job, bao, "a/*", old=True)
    assert job.run("sync").code == 0
    names(job, bao, "a/*", old=False)
    listed = Answer({"data": {"keys": keys}}) if keys else Answer({"errors": []}, 404)
    with peer(lagging(bao, listed)) as front:
        job.config["sources"]["vault"]["address"] = front.url
        for _ in range(2):
            told = job.run("sync").out
    assert job.site.values()["x"] == "A" and "which is there" in told, told
    settled(job, bao)


def test_a_wiped_mount_leaves_the_last_copy(job: Lab, bao: Bao, bao_server: Any) -> None:
    other = Bao(bao_server, f"{bao.mount}-other", bao_server.token)
    other.enable()
    other.put("b/y", v="B")

    def configured(first: str, second: str) -> None:
        rules = [rule(bao, "a/x", first), {**rule(bao, "b/y", second), "path": f"{other.mount}/b/y"}]
        job.job("job", "vault", *rules, **DELETING)

    configured("x", "L")
    assert job.run("sync").code == 0
    bao.root.sys.disable_secrets_engine(bao.mount)
    bao.enable()
    configured("N_x", "x")
    for _ in range(3):
        assert job.run("sync").code == 4
    other.root.sys.disable_secrets_engine(other.mount)
    assert job.site.values() == {"x": "A", "L": "B"}


@pytest.mark.parametrize("also", ["is rolled back", "its job is renamed", "its source is renamed"])
def test_it_holds_whatever_else_changes(job: Lab, bao: Bao, also: str) -> None:
    bao.put("a/x", v="A2")
    names(job, bao, "a/x", old=True)
    assert job.run("sync").code == 0
    if also == "is rolled back":
        assert job.run("rollback", "x", "--to", "1", "--reason", "leaked").code == 0
    if also == "its job is renamed":
        del job.config["jobs"]["job"]
    if also == "its source is renamed":
        job.config["sources"]["bao"] = job.config["sources"].pop("vault")
    names(job, bao, "a/x", old=False, job="renamed" if "job" in also else "job")
    for settings in job.config["jobs"].values():
        settings["source"] = next(iter(job.config["sources"]))
    with peer(before(bao, lambda _, path: "metadata/a" in path, FAULTS["a fault"])) as front:
        next(iter(job.config["sources"].values()))["address"] = front.url
        for _ in range(2):
            job.run("sync")
    assert job.site.values()["x"] == ("A" if also == "is rolled back" else "A2")


@pytest.mark.parametrize("what", ["its description fails", "a later page fails", "its page lags", "it lost its tag"])
def test_at_aws(lab: Lab, aws: Any, aws_url: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.aws(aws_url)
    tag = [{"Key": "sync", "Value": "wix"}]
    for name, value in (("p/x", "A"), ("p/b", "X"), ("q", "B")):
        aws.create_secret(Name=name, SecretString=value, Tags=tag)
    path = "p/x" if "description" in what else "p/*"
    tags = {"tags": {"sync": "wix"}} if "tag" in what else {}
    own, template = {"path": path, **tags}, "{basename}"
    lab.job("job", "aws", {**own, "name": template}, {"path": "q", "name": "L"}, **DELETING)
    assert lab.run("sync").code == 0
    more = [{"path": "p/x", "name": "NEW"}] if tags else []
    kept = {**own, "name": template if tags else f"N_{template}"}
    lab.job("job", "aws", kept, {"path": "q", "name": "x"}, *more, **DELETING)
    if tags:
        aws.untag_resource(SecretId="p/x", TagKeys=["sync"])
    pages, described = AwsListing._pages, AwsListing.described

    def cut(self: AwsListing, rule: Any) -> Any:
        for page in pages(self, rule):
            yield [secret for secret in page if secret["Name"] != "p/x"]
        if "fails" in what:
            raise SourceUnavailable("source aws: InternalServiceError on the second page")

    def fails(self: AwsListing, path: str) -> Any:
        if path == "p/x":
            raise SourceUnavailable("source aws: p/x: InternalServiceError")
        return described(self, path)

    with monkeypatch.context() as patch:
        if "page" in what:
            patch.setattr(AwsListing, "_pages", cut)
        else:
            patch.setattr(AwsListing, "described", fails)
        results = [lab.run("sync") for _ in range(2)]
    assert lab.site.values()["x"] == "A", results[0].out
    for _ in range(4):
        lab.run("sync")
    values = lab.site.values()
    assert (values["x"], values["NEW" if tags else "N_x"]) == ("B", "A"), values
