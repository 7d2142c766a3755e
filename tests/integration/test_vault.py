"""The traps of hvac and OpenBao, and every login, on the real server."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hvac
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from syncd.bootstrap.process import now
from syncd.domain import Glob, Rule, SecretValue
from syncd.errors import SourceDenied, SourceError, SourceUnavailable
from syncd.sandbox.launchers import openbao
from syncd.sources.vault import Login, Server, VaultClient, VaultSource
from tests.fakes import FakeClock
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.http_stub import answering
from tests.support.vault import vault_source


def source(address: str, login: Login, **more: Any) -> tuple[VaultSource, list[str]]:
    calls: list[str] = []
    clock = more.pop("clock", now)
    if clock is not now:
        more["steady"] = lambda: clock().timestamp()
    server = Server(name="vault", address=address, on_call=calls.append, **more)
    return VaultSource(VaultClient(server, login, clock), clock), calls


def rule(bao: Bao, path: str = "**", **more: Any) -> Rule:
    return Rule(index=0, source="vault", path=Glob(f"{bao.mount}/{path}"), field="*", name="{path}", **more)


def fixed(**credentials: str) -> dict[str, Any]:
    return {name: lambda text=text: SecretValue(text) for name, text in credentials.items()}


@pytest.fixture
def policy(bao: Bao) -> str:
    name = f"read-{bao.mount}"
    bao.root.sys.create_or_update_policy(name, f'path "{bao.mount}/*" {{ capabilities = ["read", "list"] }}')
    bao.put("a", v="1")
    return name


def works(bao: Bao, login: Login, **more: Any) -> list[str]:
    """The source reads the mount with this login, which happened once."""
    one, calls = source(more.pop("address", bao.address), login, **more)
    for _ in range(2):
        snapshot = one.snapshot(rule(bao))
        assert len(snapshot.entries) == 1, snapshot.failures
        assert all(reading.document for reading in one.read(snapshot.entries))
    assert calls.count("login") == 1
    one.close()
    return calls


def enable(bao: Bao, method: str) -> str:
    path = f"{method}-{uuid.uuid4().hex[:8]}"
    bao.root.sys.enable_auth_method(method, path=path)
    return path


def approle(bao: Bao, policy: str) -> tuple[str, str, str]:
    mount = enable(bao, "approle")
    bao.root.auth.approle.create_or_update_approle("syncd", token_policies=[policy], mount_point=mount)
    role_id = bao.root.auth.approle.read_role_id("syncd", mount_point=mount)["data"]["role_id"]
    secret_id = bao.root.auth.approle.generate_secret_id("syncd", mount_point=mount)["data"]["secret_id"]
    return mount, role_id, secret_id


def test_token_ignores_the_environment(bao: Bao, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "not this one")
    token = bao.root.auth.token.create(policies=[policy])["auth"]["client_token"]
    works(bao, Login(method="token", credentials=fixed(token=token)))


def test_approle(bao: Bao, policy: str) -> None:
    mount, role_id, secret_id = approle(bao, policy)
    works(
        bao, Login(method="approle", mount=mount, settings={"role_id": role_id}, credentials=fixed(secret_id=secret_id))
    )


def test_approle_with_a_wrapped_secret_id(bao: Bao, policy: str) -> None:
    mount, role_id, _ = approle(bao, policy)
    wrapped = bao.root.write_data(f"auth/{mount}/role/syncd/secret-id", data={}, wrap_ttl="60s")["wrap_info"]["token"]
    login = Login(
        method="approle", mount=mount, settings={"role_id": role_id}, credentials=fixed(secret_id=wrapped), wrapped=True
    )
    works(bao, login)


def test_a_refused_login_is_not_tried_in_a_loop(bao: Bao, policy: str) -> None:
    mount, role_id, secret_id = approle(bao, policy)
    held = {"id": "wrong"}
    clock = FakeClock()
    login = Login(
        method="approle",
        mount=mount,
        settings={"role_id": role_id},
        credentials={"secret_id": lambda: SecretValue(held["id"])},
    )
    one, calls = source(bao.address, login, clock=clock)
    for _ in range(8):
        with pytest.raises(SourceDenied, match="refused the login"):
            one.snapshot(rule(bao))
    assert calls.count("login") == 1
    clock.skip(timedelta(minutes=2))
    with pytest.raises(SourceDenied):
        one.snapshot(rule(bao))
    assert calls.count("login") == 2
    held["id"] = secret_id  # another credential is tried at once
    assert one.snapshot(rule(bao)).entries
    one.close()


def test_userpass(bao: Bao, policy: str) -> None:
    mount = enable(bao, "userpass")
    password = uuid.uuid4().hex
    bao.root.auth.userpass.create_or_update_user("syncd", password=password, policies=[policy], mount_point=mount)
    works(
        bao, Login(method="userpass", mount=mount, settings={"username": "syncd"}, credentials=fixed(password=password))
    )


def key_pair() -> tuple[rsa.RSAPrivateKey, str]:
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key, public.decode()


def signed(key: rsa.RSAPrivateKey, **claims: Any) -> str:
    def part(thing: bytes) -> str:
        return base64.urlsafe_b64encode(thing).rstrip(b"=").decode()

    body = part(json.dumps({"alg": "RS256", "typ": "JWT"}).encode()) + "." + part(json.dumps(claims).encode())
    return body + "." + part(key.sign(body.encode(), padding.PKCS1v15(), hashes.SHA256()))


def test_jwt(bao: Bao, policy: str) -> None:
    mount = enable(bao, "jwt")
    key, public = key_pair()
    bao.root.auth.jwt.configure(jwt_validation_pubkeys=[public], path=mount)
    bao.root.auth.jwt.create_role(
        "syncd", user_claim="sub", allowed_redirect_uris=[], bound_audiences=["vault"],
        token_policies=[policy], path=mount,
    )  # fmt: skip
    token = signed(key, sub="syncd", aud="vault", iat=1700000000, nbf=1700000000, exp=4102444800)
    works(bao, Login(method="jwt", mount=mount, settings={"role": "syncd"}, credentials=fixed(jwt=token)))


def test_kubernetes(bao: Bao, policy: str, tmp_path: Path) -> None:
    """The token review is a stub; OpenBao's side is real."""
    key, _ = key_pair()
    token = signed(key, sub="system:serviceaccount:ns:syncd", iat=1700000000, nbf=1700000000, exp=4102444800, iss="kubernetes/serviceaccount",
                   **{"kubernetes.io/serviceaccount/namespace": "ns", "kubernetes.io/serviceaccount/service-account.name": "syncd", "kubernetes.io/serviceaccount/service-account.uid": "u"})  # fmt: skip

    def review(_method: str, path: str, body: bytes) -> tuple[int, bytes, str]:
        assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
        good = json.loads(body)["spec"]["token"] == token
        user = {"username": "system:serviceaccount:ns:syncd", "uid": "u", "groups": []}
        status = {"authenticated": good, "user": user if good else {}}
        return (
            201,
            json.dumps({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status}).encode(),
            "application/json",
        )

    mount = enable(bao, "kubernetes")
    with answering(review) as (host, _), openbao(tls_dir=tmp_path):
        ca_text = next(tmp_path.glob("*ca*.pem")).read_text()
        bao.root.auth.kubernetes.configure(
            kubernetes_host=host, kubernetes_ca_cert=ca_text, disable_local_ca_jwt=True, mount_point=mount,
        )  # fmt: skip
        bao.root.auth.kubernetes.create_role(
            "syncd", bound_service_account_names=["syncd"], bound_service_account_namespaces=["ns"],
            policies=[policy], mount_point=mount,
        )  # fmt: skip
        works(bao, Login(method="kubernetes", mount=mount, settings={"role": "syncd"}, credentials=fixed(jwt=token)))


def test_tls_with_a_ca_and_a_client_certificate(tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    with openbao(tls_dir=tmp_path) as server:
        ca = next(path for path in tmp_path.glob("*ca.pem"))
        root = hvac.Client(server.address, token=server.token, verify=str(ca))
        root.sys.create_or_update_policy("all", 'path "secret/*" { capabilities = ["read", "list"] }')
        root.secrets.kv.v2.create_or_update_secret("a", {"v": "1"}, mount_point="secret")
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "syncd")])
        started = now() - timedelta(days=1)
        cert = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(7).not_valid_before(started).not_valid_after(started + timedelta(days=30))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        cert_file, key_file = tmp_path / "client.pem", tmp_path / "client.key"
        cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        root.sys.enable_auth_method("cert")
        root.auth.cert.create_ca_certificate_role("syncd", certificate=cert_file.read_text(), token_policies=["all"])
        bao = Bao(server, "secret", server.token)
        login = Login(method="cert", settings={"role": "syncd"})
        works(bao, login, ca_file=str(ca), client_cert=(str(cert_file), str(key_file)))
        one, _ = source(server.address, login, client_cert=(str(cert_file), str(key_file)))
        with pytest.raises(SourceUnavailable, match="certificate is not trusted"):
            one.snapshot(rule(bao))
        one.close()


def test_aws_iam(bao: Bao, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenBao has no aws login, so a stub checks the signed request and hands out a token of the real server."""
    for name, value in AWS_ENVIRON.items():
        monkeypatch.setenv(name, value)
    token = bao.root.auth.token.create(policies=[policy])["auth"]["client_token"]
    seen = []

    def login(method: str, path: str, body: bytes) -> tuple[int, bytes, str]:
        told = json.loads(body)
        seen.append((path, told))
        auth = {"client_token": token, "lease_duration": 3600, "renewable": True}
        return 200, json.dumps({"auth": auth}).encode(), "application/json"

    with answering(login) as (address, _):
        one = Login(method="aws_iam", settings={"role": "syncd", "region": "eu-west-1", "server_id": "vault.example"})
        auth = one(hvac.Client(address, token=""))
    assert auth["client_token"] == token
    path, told = seen[0]
    assert path == "/v1/auth/aws/login"
    headers = json.loads(base64.b64decode(told["iam_request_headers"]))
    assert told["role"] == "syncd" and headers["X-Vault-AWS-IAM-Server-ID"] == ["vault.example"]
    assert "AWS4-HMAC-SHA256 Credential=lab/" in headers["Authorization"][0]
    assert AWS_ENVIRON["AWS_SECRET_ACCESS_KEY"] not in json.dumps(told)


def test_an_expired_token_is_replaced_by_one_login(bao: Bao, policy: str) -> None:
    mount, role_id, secret_id = approle(bao, policy)
    login = Login(method="approle", mount=mount, settings={"role_id": role_id}, credentials=fixed(secret_id=secret_id))
    one, calls = source(bao.address, login)
    assert one.snapshot(rule(bao)).entries
    bao.root.auth.token.revoke(one._client._session._hvac.token)
    assert one.snapshot(rule(bao)).entries
    assert calls.count("login") == 2
    one.close()


@pytest.mark.parametrize(
    "words",
    ["permission denied", "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"],
    ids=["OpenBao, older Vaults", "Vault since 1.17"],
)
def test_a_token_that_ended_early_is_replaced_in_whichever_words(words: str) -> None:
    clock, logins = FakeClock(), [0]

    def answer(_method: str, path: str, _body: bytes, headers: Any) -> tuple[int, bytes, str]:
        if path.endswith("/login"):
            logins[0] += 1
            given = {"auth": {"client_token": f"t-{logins[0]:09}", "lease_duration": 3600, "renewable": True}}
        elif logins[0] == 1 and clock.now > datetime(2026, 3, 1, 12, 5, tzinfo=UTC):
            return 403, json.dumps({"errors": [words]}).encode(), "application/json"
        else:
            given = {"data": {"value": headers["X-Vault-Token"]}}
        return 200, json.dumps(given).encode(), "application/json"

    login = Login(method="approle", settings={"role_id": "r"}, credentials=fixed(secret_id="generated-0001"))
    with answering(answer, with_headers=True) as (url, _):
        one, _ = source(url, login, clock=clock)
        assert one._client.get("get", "kv/a", "read")["data"]["value"] == "t-000000001"
        clock.skip(timedelta(minutes=10))
        assert one._client.get("get", "kv/a", "read")["data"]["value"] == "t-000000002" and logins == [2]
        one.close()


def test_a_token_is_renewed_before_it_ends(bao: Bao, policy: str) -> None:
    mount, role_id, secret_id = approle(bao, policy)
    bao.root.auth.approle.create_or_update_approle("syncd", token_policies=[policy], token_ttl="10m", mount_point=mount)
    clock = FakeClock()
    login = Login(method="approle", mount=mount, settings={"role_id": role_id}, credentials=fixed(secret_id=secret_id))
    one, calls = source(bao.address, login, clock=clock)
    assert one.snapshot(rule(bao)).entries
    token = one._client._session._hvac.token
    clock.skip(timedelta(minutes=8))
    assert one.snapshot(rule(bao)).entries
    assert one._client._session._hvac.token == token and calls.count("login") == 1
    assert one._client._session._state.lease.renew_at > clock.now.timestamp()
    one.close()


def test_a_policy_denial_is_told_from_an_expired_token(bao: Bao) -> None:
    token = bao.policy(f"none-{bao.mount}", f'path "{bao.mount}/metadata/*" {{ capabilities = ["read", "list"] }}')
    bao.put("a", v="1")
    one, calls = source(bao.address, Login(method="token", credentials=fixed(token=token)))
    (reading,) = one.read(one.snapshot(rule(bao, "*")).entries)
    assert reading.failure and "permission denied" in reading.failure.message
    assert calls.count("login") == 1
    one.close()


def test_namespaces(bao: Bao) -> None:
    namespace = f"ns-{uuid.uuid4().hex[:6]}"
    bao.root.sys.create_namespace(namespace)
    inner = hvac.Client(bao.address, token=bao.token, namespace=namespace)
    inner.sys.enable_secrets_engine("kv", path="team", options={"version": "2"})
    inner.secrets.kv.v2.create_or_update_secret("a", {"v": "inner"}, mount_point="team")
    one, _ = source(bao.address, Login(method="token", credentials=fixed(token=bao.token)), namespace=namespace)
    snapshot = one.snapshot(Rule(index=0, source="vault", path=Glob("team/**"), field="*", name="{path}"))
    (reading,) = one.read(snapshot.entries)
    assert reading.document.reveal() == {"v": "inner"}
    one.close()


def test_deleted_destroyed_and_undeleted_versions(bao: Bao) -> None:
    one = vault_source(bao)
    kv = bao.root.secrets.kv.v2
    for path in ("deleted", "destroyed", "future", "live"):
        bao.put(path, v="1")
    kv.delete_latest_version_of_secret("deleted", mount_point=bao.mount)
    kv.destroy_secret_versions("destroyed", versions=[1], mount_point=bao.mount)
    kv.update_metadata("future", delete_version_after="1h", mount_point=bao.mount)
    bao.put("future", v="2")
    paths = [entry.ref.path.rpartition("/")[2] for entry in one.snapshot(rule(bao)).entries]
    assert paths == ["future", "live"]
    for path in ("deleted", "destroyed"):
        assert one.check_path(f"{bao.mount}/{path}").existence == "gone"
    kv.undelete_secret_versions("deleted", versions=[1], mount_point=bao.mount)
    assert len(one.snapshot(rule(bao)).entries) == 3
    one.close()


def test_a_pinned_version_and_one_that_is_gone(bao: Bao) -> None:
    one = vault_source(bao)
    bao.put("a", v="first")
    bao.put("a", v="second")
    pinned = rule(bao, "a", pin="1")
    (reading,) = one.read(one.snapshot(pinned).entries)
    assert reading.document.reveal() == {"v": "first"}
    bao.root.secrets.kv.v2.destroy_secret_versions("a", versions=[1], mount_point=bao.mount)
    snapshot = one.snapshot(pinned)
    assert snapshot.failures[0].of_secret and "pinned version 1 is gone" in snapshot.failures[0].message
    one.close()


def test_a_key_that_is_a_secret_and_a_folder(bao: Bao) -> None:
    bao.put("both", v="1")
    bao.put("both/below", v="2")
    one = vault_source(bao)
    assert [e.ref.path for e in one.snapshot(rule(bao)).entries] == [f"{bao.mount}/both", f"{bao.mount}/both/below"]
    one.close()


def test_dot_segments_are_refused(bao: Bao) -> None:
    one = vault_source(bao)
    snapshot = one.snapshot(rule(bao, "../other/x"))
    assert not snapshot.complete and ". or .." in snapshot.failures[0].message
    with pytest.raises(SourceError, match=r"\. or \.\."):
        one.check_path(f"{bao.mount}/../x")
    one.close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, b"<html>sign in</html>", "text/html"), "none of Vault's"),
        ((500, b"planted-body", "text/plain"), "none of Vault's"),
        ((503, b'{"errors":["Vault is sealed"]}', "application/json"), "is sealed"),
        ((429, b'{"errors":["slow down"]}', "application/json"), "slow down"),
        ((302, b"", "text/plain"), "none of Vault's"),
    ],
)
def test_what_is_no_answer_of_vault(monkeypatch: pytest.MonkeyPatch, answer: tuple[int, bytes, str], told: str) -> None:
    monkeypatch.setattr("syncd.sources.retry.TRIED_FOR", 1.0)
    with answering(lambda *_: answer) as (address, asked):
        one, _ = source(address, Login(method="token", credentials=fixed(token="planted-token")))
        with pytest.raises(SourceUnavailable, match=told) as caught:
            one.snapshot(Rule(index=0, source="vault", path=Glob("kv/**"), field="*", name="{path}"))
        assert "planted" not in str(caught.value)
        assert not any(path == "/elsewhere" for _, path, _ in asked), "a redirect took the token along"
        one.close()


def test_nobody_listens() -> None:
    one, _ = source("http://127.0.0.1:1", Login(method="token", credentials=fixed(token="t")))
    with pytest.raises(SourceUnavailable, match="does not answer"):
        one.snapshot(Rule(index=0, source="vault", path=Glob("kv/**"), field="*", name="{path}"))
    one.close()


def test_kv_version_one_through_the_whole_cycle(lab: Lab, bao: Bao) -> None:
    bao.root.sys.disable_secrets_engine(bao.mount)
    bao.enable("1")
    kv = bao.root.secrets.kv.v1
    kv.create_or_update_secret("app/a", {"v": "one"}, mount_point=bao.mount)
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, {"path": f"{bao.mount}/single", "name": "SINGLE"})
    assert lab.run("sync").code == 1, "the exact path is missing"
    assert lab.statuses() == {"a_v": "synced", "vault:" + bao.mount + "/single": "missing"}
    kv.create_or_update_secret("app/a", {"v": "two"}, mount_point=bao.mount)
    kv.create_or_update_secret("single", {"v": "x"}, mount_point=bao.mount)
    lab.config["jobs"]["job"]["secrets"][1]["field"] = "v"
    assert lab.run("sync").code == 0
    assert lab.site.values() == {"a_v": "two", "SINGLE": "x"}
    before = lab.writes()
    assert lab.run("sync").code == 0
    assert lab.writes() == before
    row = lab.run("state", "list", "--json").json[0]
    assert row["version"] is None, "a fingerprint is never shown"


@pytest.mark.long
def test_idle_cycles_read_no_value(lab: Lab, tmp_path: Path) -> None:
    """Counted in OpenBao's own audit log, by both ways of listing."""
    log, config = tmp_path / "audit.log", tmp_path / "audit.hcl"
    config.write_text(f'audit "file" "x" {{ options = {{ file_path = "{log}" }} }}')
    with openbao(f"-config={config}") as server:
        bao = Bao(server, "secret", server.token)
        for number in range(40):
            bao.put_all(f"bulk/s{number}", {f"f{i}": f"{number}-{i}" for i in range(25)})
        lab.vault(bao)
        lab.job("bulk", "vault", {"path": "secret/bulk/**"})
        assert lab.run("sync").code == 0
        assert len(lab.ids()) == 1000
        log.write_text("")
        lab.wix.seen.clear()
        assert lab.run("sync").code == 0
        asked = [json.loads(line) for line in log.read_text().splitlines()]
        paths = [one["request"]["path"] for one in asked if one["type"] == "request"]
        assert not [path for path in paths if path.startswith("secret/data/")]
        assert sum("detailed-metadata" in path for path in paths) == 1
        assert [one.method for one in lab.wix.seen] == ["GET"]


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "permission denied"),
        (403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"),
        (400, "failed to persist lease entry: cannot write to readonly storage"),
        (412, "index"),
    ],
)
@pytest.mark.parametrize("late", [1, 2, 9])
def test_a_token_that_a_standby_does_not_know_yet_is_tried_again(lab: Lab, status: int, words: str, late: int) -> None:
    """`late`: how many requests find a standby that lags behind the login."""
    born = {"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False}
    listed = {"current_version": 1, "oldest_version": 1, "created_time": born["created_time"], "versions": {"1": born}}
    logins, refused = [0], [0]

    def content(method: str, path: str) -> tuple[int, dict[str, Any]]:
        if path.endswith("/auth/approle/login"):
            logins[0] += 1
            return 200, {"auth": {"client_token": f"t-{logins[0]:09}", "lease_duration": 3600, "renewable": True}}
        if refused[0] < late:
            # The look-up of the token itself is answered by the same standby, and is no request of a cycle.
            refused[0] += not path.endswith("/lookup-self")
            return status, {"errors": [words]}
        if method == "SCAN":
            return 200, {"data": {"keys": ["good"], "key_info": {"good": listed}}}
        if path.startswith("/v1/sys/internal/ui/mounts/"):
            return 200, {"data": {"type": "kv", "path": "kv/", "options": {"version": "2"}, "uuid": "u-1"}}
        return 200, {"data": {"data": {"v": "1"}, "metadata": {**born, "version": 1}}}

    def answer(method: str, path: str, _body: bytes) -> tuple[int, bytes, str]:
        code, told = content(method, path.partition("?")[0])
        return code, json.dumps(told).encode(), "application/json"

    lab.job("job", "vault", {"path": "kv/**"})
    auth = {"method": "approle", "role_id": "r", "secret_id": {"file": str(lab.secret_file("sid", "generated-0001"))}}
    with answering(answer) as (url, _):
        lab.config["sources"]["vault"] = {"type": "vault", "address": url, "auth": auth}
        result = lab.run("sync")
    assert result.code == (0 if late < 9 else 4), result.out
    assert logins[0] <= (1 if late < 9 else 2), "no loop of logins, which would lock the role out"
    if late == 9:
        assert "policy" not in result.out + result.err
