"""What overrides a safeguard names its target and its reason, and a hint works as it is printed."""

from __future__ import annotations

import re
import shlex
import uuid
from datetime import timedelta

import pytest

from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from tests.lab import Bao, Lab
from tests.support.wix_people import changed_by_hand

OTHER = "00000000-0000-4000-8000-0000000000ab"
DELETING = {"deletion_policy": "delete", "deletion_grace": "0s"}


@pytest.fixture
def two_sites(lab: Lab, bao: Bao) -> Lab:
    """Four secrets on each of two sites, by one job or by two; three of them are gone at the source."""
    lab.vault(bao)
    lab.secret_file("other-key", lab.wix.issue_key(OTHER))
    lab.wix.site(OTHER).options.quota = 10**6
    lab.config["targets"]["outlet"] = lab.target(OTHER, "other-key")
    return lab


def gone(lab: Lab, bao: Bao, prefix: str) -> None:
    for number in range(4):
        bao.put(f"{prefix}/s{number}", v="1")
    assert lab.run("sync").code == 0
    for number in range(3):
        bao.remove(f"{prefix}/s{number}")


def hints(text: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in re.findall(r"syncd sync \S+ --allow-deletes .*$", text, re.MULTILINE)]


@pytest.mark.sweep
@pytest.mark.parametrize("jobs", ["one", "two"])
def test_each_printed_hint_lets_just_that_target_through(two_sites: Lab, bao: Bao, jobs: str) -> None:
    lab, prefix = two_sites, f"over{jobs}"
    rule = {"path": f"{bao.mount}/{prefix}/*"}
    if jobs == "one":
        lab.job("a", "vault", rule, targets=["shop", "outlet"], **DELETING)
    else:
        lab.job("a", "vault", rule, targets=["shop"], **DELETING)
        lab.job("b", "vault", rule, targets=["outlet"], **DELETING)
    gone(lab, bao, prefix)
    withheld = lab.run("sync")
    assert withheld.code == 6
    printed = hints(withheld.out)
    assert len(printed) == 2
    last = next(hint for hint in printed if any(word.startswith("outlet=") for word in hint))
    assert lab.run(*last).code == (6 if jobs == "one" else 0), "the other target of the job still waits"
    assert len(lab.wix.site(OTHER).values()) == 1 and len(lab.site.values()) == 4
    first = next(hint for hint in printed if hint is not last)
    assert lab.run(*first).code == 0 and len(lab.site.values()) == 1


def test_a_total_is_shared_by_the_run_and_a_target_has_its_own(two_sites: Lab, bao: Bao) -> None:
    lab = two_sites
    lab.job("a", "vault", {"path": f"{bao.mount}/sum/*"}, targets=["shop", "outlet"], **DELETING)
    gone(lab, bao, "sum")
    given = ("sync", "--reason", "planned", "--allow-deletes", "3")
    assert lab.run(*given).code == 6, "three for the whole run are enough for one of two sites"
    assert sorted((len(lab.site.values()), len(lab.wix.site(OTHER).values()))) == [1, 4]
    assert lab.run(*given, "--allow-deletes", "shop=3").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("sync", "--allow-deletes", "1"),
        ("state", "adopt", "x_v"),
        ("state", "freeze", "x_v", "--until", "1d"),
        ("state", "forget", "x_v", "--delete"),
    ],
    ids=lambda words: words[1],
)
def test_an_override_needs_a_reason(lab: Lab, bao: Bao, words: tuple[str, ...]) -> None:
    lab.vault(bao)
    bao.put("why/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/why/*"})
    assert lab.run("sync").code == 0
    for reason in ((), ("--reason", ""), ("--reason", " \t"), ("--reason", "a\nb"), ("--reason", "x" * 501)):
        done = lab.run(*words, *reason)
        said = "takes at most" if "".join(reason[1:]).strip() else "needs a reason"
        assert done.code == 3 and said in done.err and lab.site.values() == {"x_v": "1"}, (reason, done.err)
    assert "frozen" not in lab.run("explain", "x_v").out


def test_the_reason_is_logged(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("why/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/why/*"})
    lab.run("sync")
    done = lab.run("state", "freeze", "x_v", "--until", "1d", "--reason", "INC-1234, the partner changes it")
    assert done.code == 0
    assert "safeguard.overridden" in done.err and "INC-1234, the partner changes it" in done.err


@pytest.mark.parametrize("busy", ["shop", "outlet"])
def test_a_busy_site_keeps_nobody_from_the_next_one(two_sites: Lab, bao: Bao, busy: str) -> None:
    """Where deletions are allowed by number the sites go one after the other."""
    lab = two_sites
    lab.job("a", "vault", {"path": f"{bao.mount}/busy{busy}/*"}, targets=["shop", "outlet"], **DELETING)
    gone(lab, bao, f"busy{busy}")
    site = {"shop": lab.site_id, "outlet": OTHER}[busy]
    held = Ledger(sqlite_engine(lab.state), "somebody else", lab.state)
    with held.lock(site, holder="somebody else", wait=timedelta(0)):
        done = lab.run("sync", "--reason", "planned", "--allow-deletes", "6", "--wait", "0s", "--json")
    held.close()
    assert done.code == 7
    assert sorted(row["target"] for row in done.json) == ["outlet", "shop"], "each site has its report"
    assert len(lab.wix.site(site).values()) == 4
    assert len(lab.wix.site({"shop": OTHER, "outlet": lab.site_id}[busy]).values()) == 1


def typed_hints(said: str) -> list[list[str]]:
    """The commands that a text tells to type, without their first word."""
    return [shlex.split(text) for text in re.findall(r"syncd (state \w+ [^,;()\n]*)", said)]


@pytest.mark.parametrize("case", ["missing", "orphan", "adopt", "contested", "frozen"])
def test_a_hint_works_as_it_is_typed_where_a_name_is_on_two_sites(lab: Lab, bao: Bao, case: str) -> None:
    lab.vault(bao)
    other = str(uuid.uuid4())
    lab.secret_file("key-two", lab.wix.issue_key(other))
    lab.config["targets"]["two"] = lab.target(other, "key-two")
    bao.put("app/x", v="1")
    bao.put("app/y", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, targets=["shop", "two"], deletion_policy="delete")
    if case == "adopt":
        for site in (lab.site, lab.wix.site(other)):
            site.create({"name": "x_v", "value": "somebody's"})
    lab.run("sync")
    if case == "missing":
        bao.remove("app/x")
    elif case == "orphan":
        lab.config["jobs"]["new"] = lab.config["jobs"].pop("job") | {"secrets": [{"path": f"{bao.mount}/app/y"}]}
    elif case == "contested":
        for _ in range(4):
            changed_by_hand(lab, "x_v")
            lab.run("sync")
        changed_by_hand(lab, "x_v")
    said = lab.run("sync").out
    if case == "frozen":
        assert lab.run("state", "freeze", "x_v", "--target", "two", "--until", "3d", "--reason", "CHG-7").code == 0
        said = lab.run("status", "--status", "frozen").out
    hints = [hint for hint in typed_hints(said) if "x_v" in hint]
    assert hints, said
    for hint in hints:
        typed = lab.run(*hint)
        assert typed.code == 0, (hint, typed.err)
