"""What is only partly known, or known from before, neither deletes a secret nor reads `synced`."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING


@pytest.fixture
def two_logins(lab: Lab, bao: Bao) -> Lab:
    """Two jobs on one site, each with a login of its own."""
    lab.vault(bao)
    lab.vault(bao, "second")
    bao.put("a/gone", v="1")
    bao.put("a/known", v="1", w="1")
    bao.put("b/known", x="1")
    lab.job("a", "vault", {"path": f"{bao.mount}/a/*"}, **DELETING)
    lab.job("b", "second", {"path": f"{bao.mount}/b/*"}, **DELETING)
    assert lab.run("sync").code == 0
    return lab


def deny_second(lab: Lab, bao: Bao, path: str) -> None:
    """From now on the second login may not read this path's data."""
    policy = f"part-{bao.mount}"
    bao.root.sys.create_or_update_policy(
        policy,
        f'path "{bao.mount}/data/*" {{ capabilities = ["read"] }}\n'
        f'path "{bao.mount}/metadata/*" {{ capabilities = ["read", "list"] }}\n'
        f'path "{bao.mount}/data/{path}" {{ capabilities = ["deny"] }}',
    )
    token = bao.root.auth.token.create(policies=[policy])["auth"]["client_token"]
    lab.secret_file("second-token", token)


def test_a_secret_moved_to_where_its_new_job_may_not_read_stays(two_logins: Lab, bao: Bao) -> None:
    deny_second(two_logins, bao, "b/gone")
    bao.put("b/gone", v="1")
    bao.remove("a/gone")
    done = two_logins.run("sync", "a")
    assert "gone_v" in two_logins.site.values() and "job b may want the name" in done.out, done.out


def test_a_field_moved_to_a_known_path_that_cannot_be_read_stays(two_logins: Lab, bao: Bao) -> None:
    deny_second(two_logins, bao, "b/known")
    bao.put("b/known", x="1", w="2")
    bao.remove("a/known")
    assert "known_w" in two_logins.run("sync", "a").out
    assert "known_w" in two_logins.site.values()


@pytest.mark.parametrize("first", [{"value": "A:{user}:{pw}"}, {"format": "json"}], ids=["template", "json"])
def test_two_jobs_that_make_different_values_of_one_name_conflict(lab: Lab, bao: Bao, first: dict[str, str]) -> None:
    lab.vault(bao)
    bao.put("app/db", user="u", pw="p")
    rule = {"path": f"{bao.mount}/app/db", "name": "DB"}
    lab.job("a", "vault", {**rule, **first})
    lab.job("b", "vault", {**rule, "value": "B:{user}:{pw}"})
    lab.run("sync", "a")
    held, writes = lab.site.values(), lab.writes()
    for _ in range(2):
        assert lab.run("sync", "a").code == 0
        assert lab.run("sync", "b").code == 1
    assert (lab.site.values(), lab.writes()) == (held, writes)
    assert "by another template" in lab.run("sync", "b").out


def test_an_arn_asked_at_another_account_deletes_nothing(lab: Lab, aws: Any, aws_url: str) -> None:
    """The login points at an account that is empty: it cannot tell that the other one's secret is gone."""
    told = aws.create_secret(Name="prod/x", SecretString="1")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": told["ARN"], "name": "X"}, **DELETING)
    assert lab.run("sync").code == 0
    urllib.request.urlopen(urllib.request.Request(f"{aws_url}/moto-api/reset", method="POST")).close()
    for _ in range(2):
        assert lab.run("sync").code != 0
    assert "X" in lab.site.values()


def test_a_rule_that_lists_nothing_holds_up_no_other_rules_deletion(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for path in ("app/a", "app/b", "later/keep"):
        bao.put(path, v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, {"path": f"{bao.mount}/later/x*"}, **DELETING)
    lab.run("sync")
    bao.remove("app/a")
    lab.run("sync")
    assert set(lab.site.values()) == {"b_v"}
