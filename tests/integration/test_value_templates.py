"""One Wix secret of several fields, through the whole cycle, from both kinds of source."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab import Bao, Lab

TEMPLATE = "postgres://{user}:{password|url}@{host}/{db}"
FIELDS = {"user": "app", "password": "a/b c", "host": "db.internal", "db": "shop"}


class Source:
    """One secret, at Vault or at AWS."""

    def __init__(self, lab: Lab, kind: str, bao: Bao, aws: Any, aws_url: str) -> None:
        self.kind, self.bao, self.aws = kind, bao, aws
        self.path = f"{bao.mount}/app/db" if kind == "vault" else "app/db"
        lab.vault(bao) if kind == "vault" else lab.aws(aws_url)
        if kind == "aws":
            aws.create_secret(Name="app/db", SecretString="{}")

    def put(self, fields: dict[str, Any]) -> None:
        if self.kind == "vault":
            self.bao.put("app/db", **fields)
        else:
            self.aws.put_secret_value(SecretId="app/db", SecretString=json.dumps(fields))


@pytest.fixture(params=["vault", "aws"])
def source(request: pytest.FixtureRequest, lab: Lab, bao: Bao, aws: Any, aws_url: str) -> Source:
    one = Source(lab, request.param, bao, aws, aws_url)
    one.put(FIELDS)
    rule = {"path": one.path, "name": "DATABASE_URL", "value": TEMPLATE}
    lab.job("job", request.param, rule, deletion_policy="delete", deletion_grace="0s")
    return one


@pytest.mark.long
def test_a_template_follows_its_fields_and_itself(lab: Lab, source: Source) -> None:
    assert lab.run("sync").code == 0
    assert lab.site.values() == {"DATABASE_URL": "postgres://app:a%2Fb%20c@db.internal/shop"}
    assert lab.run("plan", "--detailed-exitcode").code == 0
    source.put({**FIELDS, "password": "new"})
    assert lab.run("sync").code == 0
    assert lab.site.values() == {"DATABASE_URL": "postgres://app:new@db.internal/shop"}
    secret_id = lab.ids()["DATABASE_URL"]
    lab.config["jobs"]["job"]["secrets"][0]["value"] = "mysql://{user}@{host}"
    assert lab.run("plan", "--detailed-exitcode").code == 2, "a changed template is a change"
    assert lab.run("sync").code == 0
    assert lab.site.values() == {"DATABASE_URL": "mysql://app@db.internal"} and lab.ids()["DATABASE_URL"] == secret_id
    assert lab.run("plan", "--detailed-exitcode").code == 0
    version = lab.run("state", "list", "--json").json[0]["version"]
    assert version and "~" not in version


@pytest.mark.sweep
@pytest.mark.parametrize("lost", ["password", "host", "user"])
def test_a_field_that_is_missing_is_no_absence_and_no_empty_text(lab: Lab, source: Source, lost: str) -> None:
    assert lab.run("sync").code == 0
    before = lab.site.values()
    source.put({key: value for key, value in FIELDS.items() if key != lost})
    for _ in range(2):
        done = lab.run("sync")
        assert done.code == 1 and "DATABASE_URL" in done.out and f"field {lost}" in done.out
        assert lab.site.values() == before, "neither emptied nor deleted"
    assert lab.statuses()["DATABASE_URL"] == "quarantined"
    source.put({**FIELDS, "db": "healed"})
    assert lab.run("sync").code == 0 and lab.site.values()["DATABASE_URL"].endswith("/healed")


def test_two_templates_for_one_name_are_reported(lab: Lab, source: Source) -> None:
    rules = lab.config["jobs"]["job"]["secrets"]
    rules.append({**rules[0], "value": "{user}"})
    done = lab.run("sync")
    assert done.code == 1 and "different templates" in done.out and lab.site.values() == {}
    rules[1]["value"] = TEMPLATE
    assert lab.run("sync").code == 0 and len(lab.site.values()) == 1, "the same twice merges"


@pytest.mark.parametrize(
    ("more", "where"),
    [({"value": "{user|upper}"}, "value"), ({"value": "nothing"}, "value"), ({"field": "user"}, "field"),
     ({"value": "{user"}, "value"), ({"name": "X_{field}"}, "name")],
)  # fmt: skip
def test_what_check_says_of_a_template(lab: Lab, source: Source, more: dict[str, str], where: str) -> None:
    lab.config["jobs"]["job"]["secrets"][0] |= more
    done = lab.run("check")
    assert done.code == 3 and f"jobs.job.secrets[0].{where}" in done.err


def test_text_has_no_fields(lab: Lab, aws: Any, aws_url: str) -> None:
    aws.create_secret(Name="app/text", SecretString="no JSON")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "app/text", "value": "{user}", "name": "T"})
    done = lab.run("sync")
    assert done.code == 1 and "no fields" in done.out and lab.site.values() == {}


def test_another_template_is_no_new_version_of_the_source(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/db", **FIELDS)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/db", "value": TEMPLATE, "name": "DATABASE_URL"})
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["secrets"][0]["value"] = "{user}@{host}"
    assert "the rule makes another value of it" in lab.run("plan").out
    assert lab.run("sync").code == 0
    bao.put("app/db", **{**FIELDS, "user": "other"})
    assert "new source version" in lab.run("plan").out
