"""What the demo and the sandbox need: the servers of this machine, a configuration, credentials and first secrets."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request

from syncd.errors import ConfigError
from syncd.sandbox.launchers import OpenBao, here, moto, openbao
from syncd.sandbox.wix_server import Wix, serving

SITE = "5f1c9b6e-0000-4000-8000-000000000001"
REGION = "eu-west-1"
Say = Callable[[str], None]

CONFIG = """\
# What `syncd demo` and `syncd sandbox` run with. Credentials are references, never values.
owner: demo-team

state:
  path: {folder}/state.db

sources:
{sources}
targets:
{targets}
jobs:
{jobs}"""
TARGET = """\
  {name}:
    type: wix
    base_url: {wix}
    auth: {{method: api_key, site_id: {site}, api_key: {{file: {folder}/wix-key}}}}
"""
VAULT = """\
  vault:
    type: vault
    address: {address}
    auth: {{method: token, token: {{file: {folder}/vault-token}}}}
"""
AWS = """\
  aws:
    type: aws_secrets_manager
    region: {region}
    endpoint_url: {aws}
"""
JOBS = """\
  payments:
    source: vault
    targets: [{targets}]
    schedule: {{every: 30s}}
    secrets:
      - path: secret/payments/**
        name: "PAY_{{path}}_{{field}}"
  feeds:
    source: aws
    targets: [{targets}]
    schedule: {{every: 1m}}
    secrets:
      - path: prod/feeds/*
        field: "*"
"""


@dataclass(kw_only=True)
class Surroundings:
    """The three servers and the folder with what is needed to reach them."""

    folder: Path
    wix: Wix
    wix_url: str
    bao: OpenBao
    aws_url: str
    environ: dict[str, str] = field(repr=False)

    @property
    def config(self) -> Path:
        """The ready configuration."""
        return self.folder / "syncd.yaml"

    def put(self, path: str, fields: dict[str, Any]) -> None:
        """Write a secret in OpenBao's KV v2 at `secret/`."""
        body = json.dumps({"data": fields}).encode()
        request = Request(  # noqa: S310  # our own http address on this machine
            f"{self.bao.address}/v1/secret/data/{path}", body, {"X-Vault-Token": self.bao.token}, method="POST"
        )
        # Directly: a company's proxy cannot reach this machine.
        with here.open(request, timeout=5):
            pass

    def put_aws(self, name: str, value: str) -> None:
        """Write a secret in the AWS emulator."""
        import boto3
        from botocore.config import Config

        # Without the proxies of the environment, as for OpenBao.
        client = boto3.client(
            "secretsmanager", region_name=REGION, endpoint_url=self.aws_url,
            aws_access_key_id="demo", aws_secret_access_key="demo",  # noqa: S106  # moto takes any
            config=Config(proxies={}),
        )  # fmt: skip
        client.create_secret(Name=name, SecretString=value)
        client.close()


@contextmanager
def surroundings(folder: Path, ports: dict[str, int] | None = None, sites: int = 1) -> Iterator[Surroundings]:
    """Start the three servers, and write credentials and a configuration for so many Wix sites into the folder.

    `ports`: under "wix" the port of the emulated Wix; a free one without it. Raises `SyncdError`.
    """
    with ExitStack() as stack:
        bao = stack.enter_context(openbao())
        aws_url = stack.enter_context(moto())
        wix = Wix()
        wix_url = stack.enter_context(serving(wix, (ports or {}).get("wix", 0)))
        given = site_ids(sites)
        # Files, because a credential that stands in a configuration itself is refused.
        private_file(folder / "wix-key", wix.issue_key(*given.values()))
        private_file(folder / "vault-token", bao.token)
        targets = "".join(TARGET.format(name=n, wix=wix_url, site=s, folder=folder) for n, s in given.items())
        jobs = JOBS.format(targets=", ".join(given))
        sources = VAULT.format(address=bao.address, folder=folder) + AWS.format(region=REGION, aws=aws_url)
        text = CONFIG.format(folder=folder, sources=sources, targets=targets, jobs=jobs)
        (folder / "syncd.yaml").write_text(text)
        # The emulator takes any, but the SDK sends no request without.
        environ = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo"}
        yield Surroundings(folder=folder, wix=wix, wix_url=wix_url, bao=bao, aws_url=aws_url, environ=environ)


def site_ids(count: int) -> dict[str, str]:
    """Target names and the ids of as many sites: `shop`, then `shop2` and so on."""
    ids = [SITE, *(f"{SITE[:-12]}{number:012}" for number in range(2, count + 1))]
    return {"shop" if number == 1 else f"shop{number}": site_id for number, site_id in enumerate(ids, 1)}


def private_file(path: Path, text: str) -> None:
    """Write a credential that nobody else on the machine can read."""
    # The rights come with the file: between a write and a chmod others could read it.
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")


def seed(around: Surroundings) -> int:
    """Write a few secrets, as a company might have them. Returns: how many Wix secrets they make."""
    # KV v2 replaces a secret whole: with a fixed hook, the curl line that the sandbox prints can repeat it.
    around.put("payments/stripe", {"api_key": secrets.token_urlsafe(24), "webhook_secret": "whsec-of-the-demo"})
    around.put("payments/paypal", {"client_id": "shop-1", "client_secret": secrets.token_urlsafe(24)})
    around.put("payments/eu/adyen", {"merchant": "DemoShop", "retries": 5, "live": False})
    around.put_aws("prod/feeds/google", json.dumps({"token": secrets.token_urlsafe(24), "account": "g-100"}))
    around.put_aws("prod/feeds/meta", json.dumps({"token": secrets.token_urlsafe(24)}))
    return 10


@contextmanager
def servers_in(keep: Path | None, what: str) -> Iterator[Path]:
    """Give a folder for the servers' files: `keep`, or a temporary one that is removed at the end.

    `what`: a word for the temporary folder's name. Raises `ConfigError` for a `keep` that running servers use, or that
    holds the ledger of servers which are gone.
    """
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        with (keep / "in-use").open("w") as used:
            try:
                # The system lets go of it when the process ends, however that was.
                fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(
                    f"{keep} is of servers that run, whose keys would be written over", hint="name another folder"
                ) from None
            if (keep / "state.db").exists():
                raise ConfigError(
                    f"{keep} holds a ledger of secrets on servers that are gone",
                    hint="name another folder, or remove this one",
                )
            # Paths in a configuration start at its file: a relative folder would be looked for within itself.
            yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix=f"syncd-{what}-") as folder:
        yield Path(folder)
