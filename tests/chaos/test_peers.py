"""Hostile and broken peers: a clear error, bounded memory, credentials sent nowhere else, nothing at Wix touched."""

from __future__ import annotations

import gzip
import json
import random
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.arena import Arena
from tests.chaos.peers import MEGABYTE, Answer, metadata, peer, spent, vault
from tests.lab import AWS_ENVIRON, Lab

Tally = Callable[..., None]
MOST_MEGABYTES = 200


def hundred_megabytes(start: bytes = b"") -> Iterator[bytes]:
    yield start
    for _ in range(100):
        yield b" " * MEGABYTE


@cache
def packed(megabytes: int) -> bytes:
    """Packing takes seconds on a busy machine, and a server is asked several times."""
    return gzip.compress(b'{"secrets":[' + b" " * (megabytes * MEGABYTE) + b"]}", 6)


def bomb(megabytes: int = 100) -> Answer:
    return Answer(packed(megabytes), headers={"Content-Encoding": "gzip"})


def crowd(start: bytes, end: bytes, limit: int) -> bytes:
    """As many empty objects as the size allows: parsed, they are 24 times as large."""
    return start + b"{}," * ((limit - len(start) - len(end)) // 3) + b"{}" + end


DEEP = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
WIDE = json.dumps({"secrets": "\U0001f600" + "x" * (7 * MEGABYTE)}, ensure_ascii=False).encode()
GUID = "00000000-0000-4000-8000-000000000001"

LISTINGS: dict[str, tuple[Callable[[], Answer], str]] = {
    "100 MB": (lambda: Answer(hundred_megabytes(b'{"secrets":[')), "answer too large"),
    "a gzip bomb": (bomb, "answer compressed"),
    "nested 200,000 deep": (lambda: Answer(DEEP), "no usable answer"),
    "millions of objects": (lambda: Answer(crowd(b'{"secrets":[', b"]}", 8_000_000)), "no usable answer"),
    "one wide character in 7 MB": (lambda: Answer(WIDE), "the listing is no list"),
    "an object for the list": (lambda: Answer({"secrets": {"a": 1}}), "the listing is no list"),
    "a list for the object": (lambda: Answer([1, 2]), "no usable answer"),
    "numbers for ids": (lambda: Answer({"secrets": [{"id": 5, "name": "A"}]}), "without id or name"),
    "no names": (lambda: Answer({"secrets": [{"id": GUID, "name": None}]}), "without id or name"),
    "an id that is a path": (lambda: Answer({"secrets": [{"id": "../../x", "name": "A"}]}), "without id or name"),
    "an id of 10,000 characters": (lambda: Answer({"secrets": [{"id": "a" * 10000, "name": "A"}]}), "without id"),
    "half a JSON": (lambda: Answer(b'{"secrets":[{"id"'), "no usable answer"),
    "a sign-in page": (lambda: Answer(b"<html>sign in</html>", headers={"Content-Type": "text/html"}), "no usable"),
    "100,000 headers": (
        lambda: Answer({}, headers={f"X-{number}": "x" for number in range(100_000)}), "no complete answer",
    ),
    "not UTF-8": (lambda: Answer(b'{"secrets":[{"id":"\xff\xfe"}]}'), "no usable answer"),
}  # fmt: skip


def told(request: pytest.FixtureRequest, row: str, run: Any) -> None:
    line = next((one.strip() for one in run.said.splitlines() if one.startswith("syncd:")), "")
    line = line or next((one.strip() for one in run.said.splitlines() if "fix" in one or "unreadable" in one), "")
    request.node.user_properties.append(("answer", [row, run.code, round(run.megabytes), line]))
    assert run.megabytes < MOST_MEGABYTES, f"{row}: {run.megabytes:.0f} MB"
    assert "bug" not in run.said and "Traceback" not in run.said, run.said


@pytest.fixture
def ready(lab: Lab, aws: Any, aws_url: str) -> Lab:
    aws.create_secret(Name="p/a", SecretString="planted-value")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "p/*", "name": "{path}"}, deletion_policy="delete", deletion_grace="0s")
    return lab


@pytest.mark.parametrize("row", LISTINGS)
def test_a_wix_that_lists_nonsense(ready: Lab, request: pytest.FixtureRequest, row: str) -> None:
    make, message = LISTINGS[row]
    with peer(lambda *_: make()) as wix:
        ready.config["targets"]["shop"]["base_url"] = wix.url
        run = spent(ready, "sync")
        told(request, f"Wix: {row}", run)
        assert run.code == 5 and message in run.said and "fix:" in run.said, run.said
        assert {method for method, _, _ in wix.asked} == {"GET"}, "something was written on a listing that is none"
        assert "planted" not in run.said and ready.key not in run.said


def test_a_wix_that_sends_elsewhere(ready: Lab, request: pytest.FixtureRequest) -> None:
    with peer(lambda *_: Answer({"secrets": []})) as other:
        with peer(lambda *_: Answer(status=307, headers={"Location": other.url + "/x"})) as wix:
            ready.config["targets"]["shop"]["base_url"] = wix.url
            run = spent(ready, "sync")
        told(request, "Wix: a redirect to another host", run)
        assert run.code == 5 and "redirected" in run.said and not other.asked, run.said


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS, and the CA that vouches for it, for the name of another host."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    ca, private = folder / "other-ca.pem", folder / "other-key.pem"
    ca.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, private)
    return context, ca


def test_certificates_of_another_name(ready: Lab, request: pytest.FixtureRequest) -> None:
    context, ca = certificate(ready.folder, "other.example")
    with peer(lambda *_: Answer({"secrets": []}), context) as other:
        aws_job = ready.config["jobs"]["job"]
        url, ready.config["targets"]["shop"]["base_url"] = ready.config["targets"]["shop"]["base_url"], other.url
        run = spent(ready, "sync")
        told(request, "Wix: a certificate of another name", run)
        assert run.code == 5 and "cannot be reached" in run.said and "certificates" in run.said, run.said
        ready.config["targets"]["shop"]["base_url"] = url
        ready.secret_file("vault-token", "generated-token")
        ready.config["sources"]["vault"] = {
            "type": "vault", "address": other.url, "ca_file": str(ca),
            "auth": {"method": "token", "token": {"file": str(ready.folder / "vault-token")}},
        }  # fmt: skip
        ready.config["jobs"] = {"job": aws_job | {"source": "vault", "secrets": [{"path": "kv/**"}]}}
        run = spent(ready, "sync")
        told(request, "Vault: a certificate of another name", run)
        assert run.code == 4 and "certificate is not trusted" in run.said, run.said
        assert not other.asked, "a request was sent over a connection to somebody else"


def scan(body: Any) -> Callable[[str, str], Answer | None]:
    return lambda method, path: (body() if callable(body) else body) if method == "SCAN" else None


def plain(body: Any) -> Callable[[str, str], Answer | None]:
    """A Vault that knows no SCAN."""
    return lambda method, _path: (
        Answer({"errors": ["unsupported operation"]}, 405) if method == "SCAN" else body if method == "LIST" else None
    )


def keyed(keys: Any, info: Any = None) -> Answer:
    return Answer({"data": {"keys": keys, "key_info": info if info is not None else {}}})


def one_with(told: Any) -> Callable[[str, str], Answer | None]:
    return scan(keyed(["a"], {"a": told}))


def value_of(size: int) -> Callable[[str, str], Answer | None]:
    version = metadata()["versions"]["1"] | {"version": 1}
    document = Answer({"data": {"data": {"v": "x" * size}, "metadata": version}})
    listing = one_with(metadata())
    return lambda method, path: document if "/data/" in path else listing(method, path)


VAULTS: dict[str, tuple[Callable[[str, str], Answer | None], int, str]] = {
    "a sign-in page": (lambda *_: Answer(b"<html>sign in</html>"), 4, "none of Vault's"),
    "a listing of 100 MB": (scan(lambda: Answer(hundred_megabytes(b'{"data":{'))), 4, "more than 16 MB"),
    "a gzip bomb": (scan(bomb), 4, "none of Vault's"),
    "nested 200,000 deep": (scan(Answer(DEEP)), 4, "none of Vault's"),
    "millions of objects": (scan(Answer(crowd(b'{"data":[', b"]}", 15_000_000))), 4, "none of Vault's"),
    "100,000 keys with metadata": (
        scan(lambda: keyed([f"k{n:06}" for n in range(100_000)], {f"k{n:06}": metadata() for n in range(100_000)})),
        4, "more than 16 MB",
    ),
    "100,000 keys": (plain(keyed([f"k{n:06}" for n in range(100_000)])), 4, "narrow the rule's path"),
    "keys that leave the mount": (scan(keyed(["../other/x", "."], {"../other/x": metadata()})), 4, ". or .. segment"),
    "keys that leave the mount, listed": (plain(keyed(["../", ".."])), 4, ". or .. segment"),
    "keys that are no list": (scan(keyed({"a": 1})), 4, "none of Vault's"),
    "keys that are numbers": (scan(keyed([1, 2])), 4, "none of Vault's"),
    "no keys at all": (plain(Answer({"data": {}})), 4, "none of Vault's"),
    "metadata that is text": (one_with("x"), 4, "without its metadata"),
    "versions that are a list": (one_with(metadata(versions=[])), 4, "none of Vault's"),
    "a version that is not there": (one_with(metadata(current_version=7)), 4, "none of Vault's"),
    "a version number that is text": (one_with(metadata(current_version="1")), 4, "none of Vault's"),
    "a time that is a number": (one_with(metadata(versions={"1": {"created_time": 5}})), 4, "none of Vault's"),
    "a value of 1 MB": (value_of(MEGABYTE), 1, "the value has 1,048,576 characters"),
    "a value of 20 MB": (value_of(20 * MEGABYTE), 4, "more than 16 MB"),
}  # fmt: skip


@pytest.mark.parametrize("row", VAULTS)
def test_a_vault_that_answers_nonsense(lab: Lab, request: pytest.FixtureRequest, row: str) -> None:
    listing, code, message = VAULTS[row]
    theirs = lab.site.create({"name": "a_v", "value": "here before"})
    lab.secret_file("vault-token", "generated-token")
    lab.job("job", "vault", {"path": "kv/**"}, conflict_policy="adopt", deletion_policy="delete", deletion_grace="0s")
    with peer(vault(listing)) as server:
        lab.config["sources"]["vault"] = {
            "type": "vault", "address": server.url,
            "auth": {"method": "token", "token": {"file": str(lab.folder / "vault-token")}},
        }  # fmt: skip
        run = spent(lab, "sync")
    told(request, f"Vault: {row}", run)
    assert run.code == code and message in run.said and "fix:" in run.said, run.said
    assert lab.site.secrets[str(theirs["id"])].value == "here before" and not lab.writes()
    assert "generated-token" not in run.said


def test_a_vault_that_sends_elsewhere(lab: Lab, request: pytest.FixtureRequest) -> None:
    lab.secret_file("vault-token", "generated-token")
    lab.job("job", "vault", {"path": "kv/**"})
    with (
        peer(lambda *_: Answer({"data": {}})) as other,
        peer(lambda *_: Answer(status=307, headers={"Location": other.url})) as server,
    ):
        lab.config["sources"]["vault"] = {
            "type": "vault", "address": server.url,
            "auth": {"method": "token", "token": {"file": str(lab.folder / "vault-token")}},
        }  # fmt: skip
        run = spent(lab, "sync")
        told(request, "Vault: a redirect to another host", run)
        assert run.code == 4 and not other.asked, run.said


def aws_error(code: str) -> Answer:
    return Answer({"__type": code, "message": "planted"}, 400, {"Content-Type": "application/x-amz-json-1.1"})


def pages(second: Answer) -> Callable[[bytes], Answer]:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:p/a-x"
    first = {"SecretList": [{"Name": "p/a", "ARN": arn, "SecretVersionsToStages": {"v1": ["AWSCURRENT"]}}]}
    return lambda body: second if b"NextToken" in body else Answer({**first, "NextToken": "again"})


AWSES: dict[str, tuple[Callable[[bytes], Answer], str]] = {
    "throttles without end": (lambda _: aws_error("ThrottlingException"), "asks to wait"),
    "the token expires in mid-listing": (pages(aws_error("ExpiredTokenException")), "ExpiredTokenException"),
    "repeats a NextToken": (pages(Answer({"SecretList": [], "NextToken": "again"})), "repeats a page"),
    "100 MB": (lambda _: Answer(hundred_megabytes(b'{"SecretList":[')), "more than 16 MB"),
    "a gzip bomb": (lambda _: bomb(), "does not answer (no answer)"),
    "nested 200,000 deep": (lambda _: Answer(DEEP), "does not answer (no answer)"),
    "millions of objects": (lambda _: Answer(crowd(b'{"SecretList":[', b"]}", 15_000_000)), "no answer"),
    "an object for the list": (lambda _: Answer({"SecretList": {"a": 1}}), "AWS"),
    "numbers for names": (lambda _: Answer({"SecretList": [{"Name": 5, "SecretVersionsToStages": 3}]}), "AWS"),
    "a list for the object": (lambda _: Answer([1, 2]), "AWS"),
    "a sign-in page": (lambda _: Answer(b"<html>sign in</html>"), "AWS"),
    "a server error in HTML": (lambda _: Answer(b"<html>502</html>", 502), "AWS"),
}  # fmt: skip


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=pytest.mark.chaos if row.startswith("throttles") else ()) for row in AWSES]
)
def test_an_aws_that_answers_nonsense(lab: Lab, request: pytest.FixtureRequest, row: str) -> None:
    make, message = AWSES[row]
    theirs = lab.site.create({"name": "a", "value": "here before"})
    lab.job("job", "aws", {"path": "p/*", "name": "{path}"}, conflict_policy="adopt", deletion_policy="delete")
    with peer(lambda _method, _path, body: make(body)) as server:
        lab.aws(server.url)
        run = spent(lab, "sync")
    told(request, f"AWS: {row}", run)
    assert run.code == 4 and message in run.said and "fix:" in run.said, run.said
    assert lab.site.secrets[str(theirs["id"])].value == "here before" and not lab.writes()
    assert AWS_ENVIRON["AWS_SECRET_ACCESS_KEY"] not in run.said and "planted" not in run.said


# --- answers that are well formed and false


def test_a_wix_that_gives_one_id_to_all(arena: Arena, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of the answers are not believed; the listing's are, by the marks."""
    arena.reset()
    site = arena.lab.site
    create, first = site.create, next(iter(site.secrets))
    monkeypatch.setattr(site, "create", lambda secret: (create(secret), {"id": first})[1])
    done = arena.lab.run("sync")
    assert done.code == 5 and "id of another secret" in done.out, done.out + done.err
    monkeypatch.undo()
    tally("Wix gives one id to all", arena.judge(done))


def test_a_wix_whose_ids_are_paths(arena: Arena, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    arena.reset()
    site = arena.lab.site
    create = site.create
    monkeypatch.setattr(site, "create", lambda secret: (create(secret), {"id": "../../x"})[1])
    done = arena.lab.run("sync")
    assert done.code in {1, 5} and "names no id" in done.out + done.err, done.out + done.err
    monkeypatch.undo()
    tally("Wix gives paths for ids", arena.judge(done))


@pytest.mark.parametrize("seed", range(4))
def test_a_listing_that_leaves_out_what_it_likes(arena: Arena, tally: Tally, seed: int) -> None:
    arena.reset()
    rng = random.Random(seed)
    arena.lab.site.options.hide = lambda _one: rng.random() < 0.3
    said = [arena.lab.run("sync") for _ in range(4)]
    assert len(arena.lab.site.created_ids) <= arena.creations, "a secret that was not listed was created again"
    arena.lab.site.options.hide = lambda _one: False
    # A secret that took a write unlisted within the hour is left alone until it is over.
    arena.lab.rewrite(lambda record: replace(record, unlisted_tried_at=None))
    tally("a listing that leaves out what it likes", arena.judge(*said))


def test_a_listing_that_shows_names_twice(arena: Arena, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    arena.reset()
    site = arena.lab.site
    listing = site.listing

    def doubled() -> dict[str, object]:
        told = listing()
        listed: Any = told.get("secrets", [])
        return {"secrets": [*listed, *({**one, "id": one["id"][::-1]} for one in listed)]}

    monkeypatch.setattr(site, "listing", doubled)
    said = [arena.lab.run("sync") for _ in range(2)]
    assert all(secret_id in site.created_ids for secret_id in site.secrets)
    monkeypatch.undo()
    tally("a listing that shows names twice", arena.judge(*said))
