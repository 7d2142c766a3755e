"""The demo's story and the sandbox's stay, both on the three servers of this machine."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request

from syncd.errors import ConfigError
from syncd.sandbox.launchers import OpenBao, here, moto, openbao
from syncd.sandbox.wix_server import BASE, Wix, serving

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
    """Start the three and write the configuration, for so many sites, beside their credentials."""
    with ExitStack() as stack:
        bao = stack.enter_context(openbao())
        aws_url = stack.enter_context(moto())
        wix = Wix()
        wix_url = stack.enter_context(serving(wix, (ports or {}).get("wix", 0)))
        given = site_ids(sites)
        # Files, because a credential that stands in a configuration itself is refused.
        _private(folder / "wix-key", wix.issue_key(*given.values()))
        _private(folder / "vault-token", bao.token)
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


def _private(path: Path, text: str) -> None:
    # The rights come with the file: between a write and a chmod others could read it.
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")


def seed(around: Surroundings) -> int:
    """A few secrets, as a company might have them; the number of Wix secrets that they make."""
    # KV v2 replaces a secret whole: with a fixed hook, the curl line that the sandbox prints can repeat it.
    around.put("payments/stripe", {"api_key": secrets.token_urlsafe(24), "webhook_secret": "whsec-of-the-demo"})
    around.put("payments/paypal", {"client_id": "shop-1", "client_secret": secrets.token_urlsafe(24)})
    around.put("payments/eu/adyen", {"merchant": "DemoShop", "retries": 5, "live": False})
    around.put_aws("prod/feeds/google", json.dumps({"token": secrets.token_urlsafe(24), "account": "g-100"}))
    around.put_aws("prod/feeds/meta", json.dumps({"token": secrets.token_urlsafe(24)}))
    return 10


@contextmanager
def servers_in(keep: Path | None, what: str) -> Iterator[Path]:
    """The folder given, or one that is gone afterwards. Raises `ConfigError` for one of servers that are gone."""
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


class _Surprise(Exception):
    """A step did not go as told."""


def _expect(*, well: bool) -> None:
    # A step builds on the one before: to go on would tell a story that is not true.
    if not well:
        raise _Surprise


def run_demo(keep: Path | None, say: Say) -> int:
    """The story, each step with the command that a user would type. 0 when all went as told."""
    with servers_in(keep, "demo") as folder:
        say("Starting a real OpenBao (Vault's open fork), an AWS emulator and a Wix emulator on this machine ...")
        with surroundings(folder) as around:
            try:
                _story(around, say, kept=keep is not None)
            except _Surprise:
                say("This did NOT go as told; see above.")
                return 1
    return 0


def _story(around: Surroundings, say: Say, *, kept: bool) -> None:
    """Raises `_Surprise` at the first step that goes otherwise."""
    site = around.wix.site(SITE)
    expected = seed(around)
    say(f"Seeded 3 secrets in OpenBao and 2 in AWS: {expected} values in all. The Wix site is empty.\n")
    say("1. What would happen? Nothing is changed yet.")
    _expect(well=_syncd(around, say, "plan") == 0)
    say("\n2. Do it.")
    _expect(well=_syncd(around, say, "sync") == 0 and len(site.secrets) == expected)
    ids = {secret.name: secret.id for secret in site.secrets.values()}
    say("\n   Every id that Wix gave is in the ledger:")
    _expect(well=_syncd(around, say, "state", "list") == 0)
    say("\n3. Somebody rotates the Stripe API key in OpenBao; sync again.")
    around.put("payments/stripe", {"api_key": secrets.token_urlsafe(24), "webhook_secret": "whsec-of-the-demo"})
    _expect(well=_syncd(around, say, "sync") == 0)
    same = ids == {secret.name: secret.id for secret in site.secrets.values()}
    say(f"   Updated in place: the ids at Wix are {'the same as before' if same else 'NOT the same'}.")
    _expect(well=same)
    say("\n4. Nothing has changed now; sync once more.")
    before = around.wix.count("POST", "PATCH", "DELETE")
    _expect(well=_syncd(around, say, "sync") == 0)
    writes = around.wix.count("POST", "PATCH", "DELETE") - before
    say(f"   An idle cycle sent {writes} writes to Wix.")
    _expect(well=writes == 0)
    where = around.folder / "state.db"
    say(f"\nThe state file (the ledger) {'is' if kept else 'was'} {where}, the configuration {around.config}.")
    if not kept:
        say("Both are gone with the demo; `syncd demo --keep DIR` keeps them, `syncd sandbox` keeps the servers.")
    say("All went as told.")


def _syncd(around: Surroundings, say: Say, *words: str) -> int:
    say(f"   $ syncd {' '.join(words)}")
    # -P: the installed syncd and not a folder of this name, where the demo was started.
    argv = [sys.executable, "-P", "-m", "syncd", "--config", str(around.config), *words]
    environ = {**os.environ, **around.environ}
    done = subprocess.run(  # our own command with fixed words
        argv, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    for line in done.stdout.splitlines():
        say(f"   {line}".rstrip())
    # Of a step that went well stderr has nothing but the log.
    if done.returncode:
        say(done.stderr)
    return done.returncode


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """Which servers are wanted, and where."""

    only: str | None = None
    """openbao, aws or wix; None: all three."""
    port: int = 0
    """0: a free one."""
    folder: Path | None = None
    """Where the files go; None: into a folder that goes with the servers."""
    sites: int = 1


def run_sandbox(wanted: SandboxRequest, say: Say, stop: threading.Event) -> int:
    """Servers until asked to stop. Raises `ConfigError` for a port that is in use."""
    only, port, sites = wanted.only, wanted.port, wanted.sites
    # Before any server is started for nothing.
    _see_free(port)
    with servers_in(wanted.folder, "sandbox") as home, ExitStack() as stack:
        if only == "wix":
            wix = Wix()
            url = stack.enter_context(serving(wix, port))
            given = site_ids(sites)
            _private(home / "wix-key", wix.issue_key(*given.values()))
            say(f"Wix emulator: {url}")
            say(f"  site_id {', '.join(given.values())}, api_key in {home / 'wix-key'}")
            _say_control(say, url)
        elif only == "openbao":
            bao = stack.enter_context(openbao(port=port))
            _private(home / "vault-token", bao.token)
            say(f"OpenBao: {bao.address}, token in {home / 'vault-token'}, KV v2 at secret/")
        elif only == "aws":
            say(f"AWS emulator: {stack.enter_context(moto(port))} (any credentials, region {REGION})")
        else:
            around = stack.enter_context(surroundings(home, sites=sites))
            seed(around)
            say(f"OpenBao:      {around.bao.address}, token in {home / 'vault-token'}, KV v2 at secret/")
            say(f"AWS emulator: {around.aws_url} (any credentials, region {REGION})")
            listed = ", ".join(site_ids(sites).values())
            say(f"Wix emulator: {around.wix_url}, site_id {listed}, api_key in {home / 'wix-key'}")
            _say_control(say, around.wix_url)
            say(f"\nA ready configuration: {around.config}. Try, in another terminal:")
            say("  export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo")
            say(f"  syncd --config {around.config} plan")
            say("Rotate a secret:")
            say(f'  curl -H "X-Vault-Token: $(cat {home / "vault-token"})" \\')
            fields = '{"data": {"api_key": "another", "webhook_secret": "whsec-of-the-demo"}}'
            say(f"    -d '{fields}' {around.bao.address}/v1/secret/data/payments/stripe")
            say("… or delete one (and see deletion_policy), or rotate one at the AWS emulator:")
            say(f'  curl -X DELETE -H "X-Vault-Token: $(cat {home / "vault-token"})" \\')
            say(f"    {around.bao.address}/v1/secret/metadata/payments/paypal")
            say(f"  AWS_ENDPOINT_URL={around.aws_url} aws secretsmanager put-secret-value --region {REGION} \\")
            say("    --secret-id NAME --secret-string another    # with the AWS CLI; names: syncd state list")
        ends = "ends the servers" if wanted.folder else f"ends the servers and removes {home}; --dir keeps the folder"
        say(f"Ctrl-C {ends}.")
        # Who started it in a pipe waits for these lines, and no others come until the end.
        sys.stdout.flush()
        stop.wait()
    return 0


def _see_free(port: int) -> None:
    with socket.socket() as probe:
        # As servers do: connections of the last run that are not timed out yet hold no port up.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ConfigError(f"port {port} cannot be used", hint="is it in use? name another --port") from None


def _say_control(say: Say, url: str) -> None:
    control = url.removesuffix(BASE) + "/_sandbox"
    say(f"  look inside: GET {control}/secrets and {control}/requests")
    say(f"  make trouble: POST {control}/faults, and {control}/options/SITE; how: syncd sandbox --help")
