"""Who syncd is inside a cluster, and what it may: rotated tokens, web identity, pod identity, and the policies of deploy/."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.lab import Bao, Lab

POLICIES = Path("deploy/policies")


def signed(key: rsa.RSAPrivateKey, **claims: Any) -> str:
    """A JWT as an identity provider signs it."""
    parts = [json.dumps(one, separators=(",", ":")).encode() for one in ({"alg": "RS256", "typ": "JWT"}, claims)]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mark = key.sign(text, padding.PKCS1v15(), hashes.SHA256())
    return (text + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")).decode()


def test_a_rotated_token_file_is_read_again_at_the_next_login(lab: Lab, bao: Bao) -> None:
    """The kubelet replaces a projected token; the old one has ended by the time that Vault's own lease is over."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    mount = f"jwt-{bao.mount}"
    bao.root.sys.enable_auth_method("jwt", path=mount)
    try:
        bao.root.auth.jwt.configure(jwt_validation_pubkeys=[public], path=mount)
        bao.root.sys.create_or_update_policy(
            bao.mount, f'path "{bao.mount}/*" {{ capabilities = ["read","list","scan"] }}'
        )
        bao.root.auth.jwt.create_role(
            name="syncd", role_type="jwt", user_claim="sub", allowed_redirect_uris=[], bound_audiences=["vault"], path=mount,
            token_policies=[bao.mount], token_ttl="2s", token_max_ttl="2s", clock_skew_leeway=1, expiration_leeway=1,
        )  # fmt: skip

        def token(seconds: float) -> str:
            now = int(time.time())
            return signed(
                key, sub="system:serviceaccount:ns:syncd", aud="vault", iat=now, nbf=now - 5, exp=now + int(seconds)
            )

        file = lab.secret_file("projected", token(-30))
        lab.vault(bao)
        lab.config["sources"]["vault"]["auth"] = {
            "method": "jwt", "role": "syncd", "mount": mount, "jwt": {"file": str(file)},
        }  # fmt: skip
        lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
        bao.put("app/a", v="one")
        refused = lab.run("sync")
        assert refused.code == 4 and "refused the login" in refused.err
        file.write_text(token(60))
        assert lab.run("sync").code == 0 and lab.site.values() == {"a_v": "one"}
    finally:
        bao.root.sys.disable_auth_method(mount)


@contextmanager
def pod_identity(**credentials: str) -> Iterator[tuple[str, list[str]]]:
    """The agent of EKS Pod Identity on this machine: credentials for whoever shows the pod's token."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization") or "")
            data = json.dumps(
                {**credentials, "Expiration": (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/credentials", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def from_aws(lab: Lab, aws: Any, aws_url: str) -> Lab:
    aws.create_secret(Name="prod/a", SecretString="one")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "prod/*"})
    return lab


NO_KEYS = {
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_SESSION_TOKEN": "",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.mark.long
def test_pod_identity_gives_container_credentials(from_aws: Lab) -> None:
    token = from_aws.folder / "pod-token"
    token.write_text("generated-pod-token")
    with pod_identity(AccessKeyId="pod", SecretAccessKey="generated", Token="generated") as (url, seen):
        environ = {
            **NO_KEYS,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        done = from_aws.spawn("sync", **environ)
    assert done.code == 0, done.err
    assert from_aws.site.values() == {"a": "one"} and seen[0].strip() == "generated-pod-token"


@pytest.mark.long
def test_web_identity_as_irsa_gives_it(from_aws: Lab, aws_url: str) -> None:
    """The projected token is exchanged at STS (moto's); a token that is not there is told, with its fix."""
    token = from_aws.secret_file(
        "web-token", signed(rsa.generate_private_key(public_exponent=65537, key_size=2048), sub="ns:syncd")
    )
    environ = {
        **NO_KEYS,
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/syncd",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ENDPOINT_URL_STS": aws_url,
    }
    done = from_aws.spawn("sync", **environ)
    assert done.code == 0, done.err
    assert from_aws.site.values() == {"a": "one"}
    token.unlink()
    missing = from_aws.spawn("sync", **environ)
    assert missing.code == 4 and "token file cannot be read (there is no such file)" in missing.err + missing.out


def blocks(name: str, mount: str) -> list[str]:
    """The path blocks of a policy file, for this mount."""
    text = (POLICIES / name).read_text().replace('"secret/', f'"{mount}/')
    return re.findall(r'path "[^"]+" \{[^}]*\}', text)


def governed(lab: Lab, bao: Bao, name: str, rules: list[str]) -> Lab:
    token = bao.policy(f"{bao.mount}-{name}", "\n".join(rules))
    lab.vault(bao)
    lab.secret_file("vault-token", token)
    if "job" not in lab.config["jobs"]:
        bao.put("payments/a", v="one")
        bao.put("payments/deep/b", v="two")
        bao.put("other/c", v="three")
    lab.job("job", "vault", {"path": f"{bao.mount}/payments/**"}, deletion_policy="delete", deletion_grace="0s")
    return lab


@pytest.mark.parametrize(
    ("name", "means"),
    [("vault-one-call.hcl", "one call (detailed-metadata)"), ("vault-list.hcl", "LIST and a metadata read each")],
)
def test_a_policy_is_enough_for_the_whole_life_of_a_secret(lab: Lab, bao: Bao, name: str, means: str) -> None:
    governed(lab, bao, "whole", blocks(name, bao.mount))
    assert means in lab.run("check", "--connect").out
    assert lab.run("sync").code == 0 and lab.site.values() == {"a_v": "one", "deep_b_v": "two"}
    bao.put("payments/a", v="rotated")
    bao.remove("payments/deep/b")
    lab.run("sync", "--allow-deletes", "1", "--reason", "agreed")
    assert lab.run("sync", "--allow-deletes", "1", "--reason", "agreed").code == 0
    assert lab.site.values() == {"a_v": "rotated"}


@pytest.mark.parametrize(
    ("name", "step", "told"),
    [
        ("vault-one-call.hcl", "detailed-metadata", "the policy needs list on {mount}/metadata/payments"),
        ("vault-one-call.hcl", "/data/", "the policy needs read on its data and metadata paths"),
        ("vault-list.hcl", '"list"', "the policy needs list on {mount}/metadata/payments"),
        ("vault-list.hcl", '"read", ', "the policy needs read on {mount}/metadata/payments/a"),
        ("vault-list.hcl", "/data/", "the policy needs read on its data and metadata paths"),
    ],
)
def test_one_step_less_is_refused_with_what_is_missing(lab: Lab, bao: Bao, name: str, step: str, told: str) -> None:
    whole = blocks(name, bao.mount)
    if step.startswith('"'):
        rules = [rule.replace(step, "").replace(", ]", "]").replace('"read", ]', '"read"]') for rule in whole]
    else:
        rules = [rule for rule in whole if step not in rule.split("{")[0]]
    assert rules != whole
    governed(lab, bao, "less", rules)
    done = lab.run("sync")
    assert done.code == 4 and told.format(mount=bao.mount) in done.out, done.out
    assert not lab.site.values()


def test_without_metadata_nothing_is_deleted(lab: Lab, bao: Bao) -> None:
    """What the direct look before a deletion needs."""
    governed(lab, bao, "whole", blocks("vault-one-call.hcl", bao.mount))
    assert lab.run("sync").code == 0
    bao.remove("payments/deep/b")
    rules = [rule for rule in blocks("vault-one-call.hcl", bao.mount) if "/metadata/" not in rule.split("{")[0]]
    governed(lab, bao, "less", rules)
    lab.run("sync", "--allow-deletes", "1", "--reason", "agreed")
    done = lab.run("sync", "--allow-deletes", "1", "--reason", "agreed")
    assert "permission denied" in done.out and "deep_b_v" in lab.site.values()


def test_the_aws_policies_name_what_syncd_calls() -> None:
    """moto enforces no policies; that the actions are those that the code calls is compared instead."""
    from syncd.sources.aws import event_queue, session, source

    def called(*modules: Any) -> set[str]:
        text = "".join(Path(module.__file__).read_text() for module in modules)
        found = set(re.findall(r'"((?:list|get|batch_get|describe|receive|delete)_[a-z_]+)"', text))
        found |= set(re.findall(r"\.((?:receive|delete)_message)(?:_batch)?\(", text))
        return {"".join(word.capitalize() for word in one.split("_")) for one in found}

    def allowed(name: str) -> set[str]:
        told = json.loads((POLICIES / name).read_text())["Statement"]
        actions = [a for one in told for a in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])]
        return {action.split(":")[1] for action in actions if action.startswith(("secretsmanager:", "sqs:"))}

    assert called(source, session) <= allowed("aws-read.json"), called(source, session)
    assert {one.removesuffix("Batch") for one in called(event_queue)} <= allowed("aws-events.json"), called(event_queue)
