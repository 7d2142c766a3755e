"""A deletion that waits says for whom and why; one broken job does not hold up a whole site."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING


@pytest.fixture
def two_jobs(lab: Lab, bao: Bao) -> Lab:
    """Two jobs on one site, from two logins of one server; `b` knows two secrets."""
    lab.vault(bao)
    lab.vault(bao, "second")
    for name in ("gone", "stays"):
        bao.put(f"a/{name}", v="1")
    for name in ("known", "other"):
        bao.put(f"b/{name}", v="1")
    lab.job("a", "vault", {"path": f"{bao.mount}/a/*"}, **DELETING)
    lab.job("b", "second", {"path": f"{bao.mount}/b/**"}, **DELETING)
    assert lab.run("sync").code == 0
    return lab


def bad_token(lab: Lab, bao: Bao) -> None:
    lab.secret_file("second-token", "hvs.wrong-generated")


def down(lab: Lab, bao: Bao) -> None:
    lab.config["sources"]["second"]["address"] = "http://127.0.0.1:1"


def no_permission_for_a_folder(lab: Lab, bao: Bao) -> None:
    bao.put("b/closed/x", v="1")
    policy = f"part-{bao.mount}"
    bao.root.sys.create_or_update_policy(
        policy,
        f'path "{bao.mount}/data/*" {{ capabilities = ["read"] }}\n'
        f'path "{bao.mount}/metadata/*" {{ capabilities = ["read", "list"] }}\n'
        f'path "{bao.mount}/metadata/b/closed/*" {{ capabilities = ["deny"] }}',
    )
    token = bao.root.auth.token.create(policies=[policy])["auth"]["client_token"]
    lab.secret_file("second-token", token)


BREAKS = [bad_token, down, no_permission_for_a_folder]


@pytest.mark.parametrize("broken", BREAKS, ids=lambda one: one.__name__)
def test_what_the_broken_job_is_not_known_to_want_goes(
    two_jobs: Lab, bao: Bao, broken: Callable[[Lab, Bao], None]
) -> None:
    broken(two_jobs, bao)
    bao.remove("a/gone")
    assert two_jobs.run("sync", "a").code == 0
    assert set(two_jobs.site.values()) == {"stays_v", "known_v", "other_v"}


@pytest.mark.sweep
@pytest.mark.parametrize("broken", BREAKS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("how", ["a known path's name", "a rule of which nothing is known", "the same path"])
def test_what_it_may_want_waits_and_says_why(
    two_jobs: Lab, bao: Bao, broken: Callable[[Lab, Bao], None], how: str
) -> None:
    rules = two_jobs.config["jobs"]["b"]["secrets"]
    if how == "a known path's name":
        bao.put("b/deep/x", gone_v="1")
        rules.append({"path": f"{bao.mount}/b/deep/x", "name": "x_{field}"})
        assert two_jobs.run("sync", "b").code in {0, 1}
        rules[-1]["name"] = "{field}"
    elif how == "a rule of which nothing is known":
        rules.append({"path": f"{bao.mount}/c/**"})
    else:
        rules.append({"path": f"{bao.mount}/a/gone"})
    broken(two_jobs, bao)
    bao.remove("a/gone")
    for _ in range(2):
        done = two_jobs.run("sync", "a")
        assert "gone_v" in two_jobs.site.values()
        assert "gone_v" in done.out and "not deleted" in done.out and "job b" in done.out, done.out
        assert "not deleted" in two_jobs.run("plan", "a").out
    assert two_jobs.run("state", "forget", "gone_v", "--delete", "--reason", "x").code == 6


def test_a_prefix_of_its_own_keeps_a_job_out_of_it(two_jobs: Lab, bao: Bao) -> None:
    """Nothing is known of the broken job's rule, but it gives other names than this one."""
    two_jobs.config["jobs"]["b"]["secrets"].append({"path": f"{bao.mount}/c/**", "name": "C_{path}_{field}"})
    down(two_jobs, bao)
    bao.remove("a/gone")
    assert two_jobs.run("sync", "a").code == 0 and "gone_v" not in two_jobs.site.values()


def test_one_secret_without_a_value_holds_up_no_other_deletion(two_jobs: Lab, bao: Bao) -> None:
    two_jobs.config["jobs"]["a"]["secrets"].append(
        {"path": f"{bao.mount}/b/known", "version": 7, "name": "PIN_{field}"}
    )
    bao.remove("a/gone")
    for _ in range(2):
        done = two_jobs.run("sync", "a")
    assert done.code == 1 and "pinned version 7" in done.out and "gone_v" not in two_jobs.site.values()


def test_the_jobs_own_unread_part_holds_up_what_it_could_name(two_jobs: Lab, bao: Bao) -> None:
    two_jobs.config["jobs"]["a"]["secrets"].append({"path": f"{bao.mount}/b/known", "version": 7, "name": "{field}"})
    bao.remove("a/gone")
    for _ in range(2):
        done = two_jobs.run("sync", "a")
        assert "gone_v" in two_jobs.site.values() and "not deleted" in done.out and "b/known" in done.out


def test_the_jobs_own_newest_version_holds_up_what_it_could_name(two_jobs: Lab, bao: Bao) -> None:
    """While a rollback reads the older one, nobody knows which fields the newest has."""
    two_jobs.config["jobs"]["a"]["secrets"].append({"path": f"{bao.mount}/c/*", "name": "{field}"})
    for value in ("1", "2"):
        bao.put("c/known", other=value)
        assert two_jobs.run("sync", "a").code == 0
    assert two_jobs.run("rollback", f"{bao.mount}/c/known", "--to", "1", "--reason", "leak").code == 0
    bao.remove("a/gone")
    for _ in range(2):
        done = two_jobs.run("sync", "a")
        assert "gone_v" in two_jobs.site.values(), done.out
        assert "c/known of its own job was not read in its newest version" in done.out, done.out


@pytest.mark.parametrize("chain", [3, 4, 6, 12])
def test_a_deletion_is_done_or_told_however_many_passes_the_names_take(lab: Lab, bao: Bao, chain: int) -> None:
    """Names that move on by one take a pass each, and a deletion has one of its own behind them."""
    lab.vault(bao)
    for number in range(chain):
        bao.put(f"a/p{number}", v=str(number))
    bao.put("b/gone", v="g")
    bao.put("b/stays", v="s")

    def rules(step: int) -> list[dict[str, str]]:
        named = [
            {"path": f"{bao.mount}/a/p{number}", "field": "v", "name": f"N{number + step}"} for number in range(chain)
        ]
        return [*named, {"path": f"{bao.mount}/b/*", "field": "v", "name": "{basename}"}]

    lab.job("job", "vault", *rules(0), **DELETING)
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["secrets"] = rules(1)
    bao.remove("b/gone")
    result = lab.run("sync")
    is_there = "gone" in lab.site.values()
    assert is_there is (chain > 6), lab.site.values()
    if is_there:
        assert lab.statuses()["gone"] == "missing" and "its path is gone at the source; not sent yet" in result.out
        assert lab.run("where", f"{bao.mount}/b/gone").code == 1
    for _ in range(3):
        result = lab.run("sync")
    assert result.code == 0 and set(lab.site.values()) == {"stays", *(f"N{number + 1}" for number in range(chain))}
