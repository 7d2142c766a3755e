"""Each refusal with its own fix: wrong credential, no permission, expired, another clock, a redirect, a full site."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import hvac
import pytest

from syncd.domain.recency import clock_skew, skew_in_words
from tests.lab import Bao, Lab
from tests.support.http_stub import answering

CODES = {
    "ExpiredTokenException": "has expired",
    "UnrecognizedClientException": "does not know the access key",
    "InvalidSignatureException": "refused the signature",
    "AccessDeniedException": "secretsmanager:ListSecrets",
}


@pytest.fixture
def synced(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    return lab


@pytest.mark.parametrize("words", [("sync",), ("plan",), ("check", "--connect")], ids=lambda words: words[0])
def test_wix_tells_a_wrong_key_from_one_for_another_site(synced: Lab, words: tuple[str, ...]) -> None:
    key = (synced.folder / "wix-key").read_text()
    synced.secret_file("wix-key", "IST.wrong-generated")
    wrong = synced.run(*words)
    synced.secret_file("wix-key", synced.wix.issue_key(str(uuid.uuid4())))
    elsewhere = synced.run(*words)
    assert wrong.code == elsewhere.code == 5
    assert "refused the credential" in wrong.out + wrong.err and "expired or revoked" in wrong.out + wrong.err
    told = elsewhere.out + elsewhere.err
    assert f"no permission for it on site {synced.site_id}" in told and "Manage Secrets permission" in told
    synced.secret_file("wix-key", key.strip())
    assert synced.run(*words).code == 0


@pytest.mark.parametrize("code", CODES)
def test_aws_refusals(lab: Lab, code: str) -> None:
    refusal = json.dumps({"__type": code, "message": "planted"}).encode()
    lab.job("job", "aws", {"path": "m/*"})
    with answering(lambda *_: (400, refusal, "application/x-amz-json-1.1")) as (url, _):
        lab.aws(url)
        done = lab.run("sync")
    assert done.code == 4 and CODES[code] in done.out and "planted" not in done.out + done.err


LOGINS: dict[str, dict[str, Any]] = {
    "approle": {"method": "approle", "role_id": "nobody", "secret_id": {"file": "CREDENTIAL"}},
    "userpass": {"method": "userpass", "username": "nobody", "password": {"file": "CREDENTIAL"}},
    "token": {"method": "token", "token": {"file": "CREDENTIAL"}},
    "no such mount": {"method": "approle", "role_id": "x", "secret_id": {"file": "CREDENTIAL"}, "mount": "nowhere"},
}


@pytest.mark.parametrize("method", LOGINS)
def test_a_refused_login_says_what_to_look_at(synced: Lab, bao: Bao, method: str) -> None:
    if method != "no such mount":
        mount = f"{method}-{uuid.uuid4().hex[:6]}"
        if method != "token":
            bao.root.sys.enable_auth_method(method, path=mount)
            LOGINS[method]["mount"] = mount
    file = str(synced.secret_file("credential", "hvs.wrong-generated-credential"))
    auth = json.loads(json.dumps(LOGINS[method]).replace("CREDENTIAL", file))
    synced.config["sources"]["vault"]["auth"] = auth
    done = synced.run("sync")
    assert done.code == 4 and "refused the login (HTTP" in done.err and "wrong-generated" not in done.err + done.out
    told = {"no such mount": ("auth.mount", "role"), "token": ("expired or revoked",)}.get(
        method, ("wrong", "credential")
    )
    assert any(word in done.err for word in told), done.err


@pytest.mark.parametrize("away", [timedelta(hours=-2), timedelta(minutes=11), timedelta(days=400)])
def test_a_clock_that_is_off_is_named(lab: Lab, bao: Bao, away: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's `Date` tells; the login of a signed token dies of it."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    from syncd.sources.vault import answers as module

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + away

    monkeypatch.setattr(module, "datetime", Clock)
    lab.secret_file("vault-token", "hvs.wrong-generated")
    done = lab.run("sync")
    which = "ahead of" if away > timedelta(0) else "behind"
    assert done.code == 4 and f"{which} the server's" in done.err


def test_the_difference_of_clocks() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for away, words in (
        (timedelta(seconds=20), ""),
        (timedelta(minutes=-6), "6.0 minutes behind"),
        (timedelta(hours=1), "60.0 minutes ahead of"),
    ):
        skew = clock_skew(format_datetime(now - away, usegmt=True), now)
        assert skew == away and words in skew_in_words(skew) and bool(skew_in_words(skew)) == bool(words)
    for odd in ("", "yesterday", "Thu, 99 Jan 2026", "\x00"):
        assert clock_skew(odd, now) == timedelta(0)


@pytest.mark.sweep
@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("peer", ["vault", "wix"])
def test_a_redirect_says_where_to(synced: Lab, status: int, peer: str) -> None:
    with answering(lambda *_: (status, b"", "text/html")) as (url, asked):
        if peer == "vault":
            synced.config["sources"]["vault"]["address"] = url
        else:
            synced.config["targets"]["shop"]["base_url"] = url
        done = synced.run("sync")
        assert not any(path == "/elsewhere" for _, path, _ in asked)
    assert done.code == (4 if peer == "vault" else 5)
    assert f"to {url}" in done.err and "address" in done.err


def test_a_full_site_is_told_once_and_rotations_go_on(synced: Lab, bao: Bao) -> None:
    synced.site.options.capacity = 3
    for number in range(8):
        bao.put(f"app/n{number}", v="new")
    bao.put("app/x", v="rotated")
    synced.wix.seen.clear()
    done = synced.run("sync")
    assert done.code == 5 and synced.site.values()["x_v"] == "rotated" and len(synced.site.values()) == 3
    posts = [one for one in synced.wix.seen if one.method == "POST"]
    assert len(posts) <= 8 and sum(one.status == 200 for one in posts) == 2
    synced.site.options.capacity = None
    assert synced.run("sync").code == 0 and len(synced.site.values()) == 9
    assert len(set(synced.site.created_ids)) == len(synced.site.created_ids) == 9


def test_a_full_site_that_is_made_room_on(synced: Lab, bao: Bao) -> None:
    """A deletion that waits is not held up by the creations that the site refuses."""
    synced.config["jobs"]["job"] |= {"deletion_policy": "delete", "deletion_grace": "0s"}
    synced.site.options.capacity = 1
    bao.put("app/y", v="new")
    bao.remove("app/x")
    for _ in range(3):
        done = synced.run("sync")
    assert done.code == 0 and set(synced.site.values()) == {"y_v"}


@pytest.mark.sweep
@pytest.mark.parametrize("password", ["pass word", "pässwört", "tab\there", '"quoted"\\', "🔑" * 4, " leading"])
def test_a_password_may_hold_any_character(lab: Lab, bao: Bao, password: str) -> None:
    mount, policy = f"userpass-{uuid.uuid4().hex[:6]}", f"read-{bao.mount}"
    bao.root.sys.create_or_update_policy(policy, f'path "{bao.mount}/*" {{ capabilities = ["read", "list"] }}')
    bao.root.sys.enable_auth_method("userpass", path=mount)
    bao.root.auth.userpass.create_or_update_user("reader", password, policies=[policy], mount_point=mount)
    bao.put("app/x", v="1")
    lab.vault(bao)
    lab.config["sources"]["vault"]["auth"] = {
        "method": "userpass", "mount": mount, "username": "reader",
        "password": {"file": str(lab.secret_file("password", password))},
    }  # fmt: skip
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0 and lab.site.values() == {"x_v": "1"}
    lab.secret_file("wix-key", password)
    visible = all("!" <= char <= "~" for char in password)
    assert lab.run("sync").code == (5 if visible else 3), "what goes into a header is visible ASCII"


@pytest.mark.parametrize("method", ["userpass", "approle"])
def test_a_login_in_another_namespace_than_the_secrets(lab: Lab, bao: Bao, method: str) -> None:
    """The login lives at the top, the secrets in a namespace below it."""
    inner_name, mount = f"ns-{uuid.uuid4().hex[:6]}", f"{method}-{uuid.uuid4().hex[:6]}"
    bao.root.sys.create_namespace(inner_name)
    inner = hvac.Client(bao.address, token=bao.token, namespace=inner_name)
    inner.sys.enable_secrets_engine("kv", path="team", options={"version": "2"})
    inner.secrets.kv.v2.create_or_update_secret("x", {"v": "inner"}, mount_point="team")
    policy = f"ns-{inner_name}"
    bao.root.sys.create_or_update_policy(policy, f'path "{inner_name}/team/*" {{ capabilities = ["read", "list"] }}')
    bao.root.sys.enable_auth_method(method, path=mount)
    if method == "userpass":
        bao.root.auth.userpass.create_or_update_user("reader", "lab-generated", policies=[policy], mount_point=mount)
        auth = {"username": "reader", "password": {"file": str(lab.secret_file("password", "lab-generated"))}}
    else:
        bao.root.auth.approle.create_or_update_approle("syncd", token_policies=[policy], mount_point=mount)
        role_id = bao.root.auth.approle.read_role_id("syncd", mount_point=mount)["data"]["role_id"]
        secret_id = bao.root.auth.approle.generate_secret_id("syncd", mount_point=mount)["data"]["secret_id"]
        auth = {"role_id": role_id, "secret_id": {"file": str(lab.secret_file("secret-id", secret_id))}}
    lab.vault(bao, namespace=inner_name)
    lab.config["sources"]["vault"]["auth"] = {"method": method, "mount": mount, **auth}
    lab.job("job", "vault", {"path": "team/*"})
    assert lab.run("sync").code == 4, "the method is not in the secrets' namespace"
    lab.config["sources"]["vault"]["auth"]["namespace"] = ""
    done = lab.run("sync")
    assert done.code == 0 and lab.site.values() == {"x_v": "inner"}, done.err + done.out
