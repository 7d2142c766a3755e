"""What the benchmarks run on: real servers in processes of their own, seeded, at the far end of a long wire."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import yaml

from syncd.sandbox.launchers import OpenBao, moto, openbao

HERE = Path(__file__).parent
PYTHON = sys.executable
AWS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-generated", "AWS_DEFAULT_REGION": "eu-west-1"}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run of one program; seconds, and MiB of the most memory it held."""

    wall: float
    cpu: float
    peak: float
    out: str = ""


def measured(argv: Sequence[str], environ: dict[str, str]) -> Measured:
    """Run to the end, start-up included. A failure is an error with what it said."""
    started = time.perf_counter()
    process = subprocess.Popen(
        argv, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(argv)} ended with {process.returncode}:\n{out[-2000:]}")
    return Measured(wall=wall, cpu=usage.ru_utime + usage.ru_stime, peak=0.0, out=out)


@contextmanager
def told(*argv: str) -> Iterator[str]:
    """A helper server in a process of its own, and the line that it prints once it is up."""
    process = subprocess.Popen([PYTHON, "-m", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline()
    finally:
        process.kill()
        process.wait()


@dataclass
class Stage:
    """The servers, what they hold, and the way to them."""

    folder: Path
    bao: OpenBao
    aws: str
    wix: dict[str, Any]
    latency: int = 0
    stack: ExitStack = field(default_factory=ExitStack)
    seeded: dict[tuple[str, int], str] = field(default_factory=dict)
    ways: dict[tuple[str, int], str] = field(default_factory=dict)
    used_sites: int = 0

    def way(self, url: str) -> str:
        """The address to use for a server, at the present latency (milliseconds of a round trip)."""
        if not self.latency:
            return url
        if (url, self.latency) not in self.ways:
            port = url.split(":")[2].split("/", maxsplit=1)[0]
            line = self.stack.enter_context(told("tests.benchmarks.delay", port, str(self.latency)))
            self.ways[url, self.latency] = url.replace(f":{port}", f":{line.strip()}")
        return self.ways[url, self.latency]

    def site(self) -> str:
        """A site that nobody used yet."""
        self.used_sites += 1
        return str(self.wix["sites"][self.used_sites - 1])

    def options(self, site: str, **options: Any) -> None:
        """Set how the emulated Wix behaves for a site."""
        origin = self.wix["url"].split("/_api")[0]
        httpx.post(f"{origin}/_sandbox/options/{site}", json=options).raise_for_status()

    def requests(self, site: str) -> list[dict[str, Any]]:
        """What a site was asked."""
        origin = self.wix["url"].split("/_api")[0]
        return [one for one in httpx.get(f"{origin}/_sandbox/requests").json() if one["site"] == site]

    def seed(self, source: str, count: int) -> str:
        """`count` secrets of one field; the mount that holds them (for AWS, nothing else is there then)."""
        if source == "vault":
            if (source, count) not in self.seeded:
                self.seeded[source, count] = self._mount(count)
            return self.seeded[source, count]
        if self.seeded.get(("aws", 0)) != str(count):
            urllib.request.urlopen(urllib.request.Request(f"{self.aws}/moto-api/reset", method="POST")).close()
            client = boto3.client(
                "secretsmanager", endpoint_url=self.aws, region_name="eu-west-1",
                aws_access_key_id="bench", aws_secret_access_key="bench-generated",
            )  # fmt: skip
            for number in range(count):
                client.create_secret(Name=f"s{number:05}", SecretString=f"value of {number:05}")
            self.seeded["aws", 0] = str(count)
        return ""

    def _mount(self, count: int) -> str:
        mount = f"kv{count}-{len(self.seeded)}"
        with httpx.Client(base_url=f"{self.bao.address}/v1/", headers={"X-Vault-Token": self.bao.token}) as client:
            client.post(f"sys/mounts/{mount}", json={"type": "kv", "options": {"version": "2"}}).raise_for_status()

            def put(number: int) -> None:
                body = {"data": {"value": f"value of {number:05}"}}
                while client.post(f"{mount}/data/s{number:05}", json=body).status_code == 400:
                    time.sleep(0.05)  # a new mount is still being upgraded

            put(0)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(put, range(count)))
        return mount

    def environ(self, source: str, mount: str, site: str) -> dict[str, str]:
        """Where everything is, for the baselines."""
        return {
            **AWS,
            "VAULT_ADDR": self.way(self.bao.address),
            "BAO_ADDR": self.way(self.bao.address),
            "VAULT_TOKEN": self.bao.token,
            "BAO_TOKEN": self.bao.token,
            "BENCH_MOUNT": mount,
            "AWS_ENDPOINT_URL": self.way(self.aws),
            "WIX_URL": self.way(self.wix["url"]),
            "WIX_KEY": self.wix["key"],
            "WIX_SITE": site,
            "PYTHON": PYTHON,
        }

    def config(self, jobs: dict[str, tuple[str, str]], sites: Sequence[str], **target: Any) -> Path:
        """A configuration: job to (source, mount), each on all of the sites, in a folder of its own."""
        folder = self.folder / f"run-{self.used_sites}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        auth = {"method": "token", "token": {"env": "VAULT_TOKEN"}}
        vault = {"type": "vault", "address": self.way(self.bao.address), "auth": auth}
        aws = {"type": "aws_secrets_manager", "region": "eu-west-1", "endpoint_url": self.way(self.aws)}
        used = {source for source, _ in jobs.values()}
        told = {
            "owner": "bench",
            "state": {"path": str(folder / "state.db")},
            "sources": {name: made for name, made in (("vault", vault), ("aws", aws)) if name in used},
            "targets": {
                f"site{number}": {
                    "type": "wix", "base_url": self.way(self.wix["url"]), "rate_limit": "5000/1s",
                    "auth": {"method": "api_key", "site_id": site, "api_key": {"env": "WIX_KEY"}},
                    **target,
                }
                for number, site in enumerate(sites)
            },
            "jobs": {
                name: {
                    "source": source, "targets": [f"site{number}" for number in range(len(sites))],
                    "secrets": [{"path": f"{mount}/**" if mount else "s*"}],
                }
                for name, (source, mount) in jobs.items()
            },
        }  # fmt: skip
        path = folder / "syncd.yaml"
        path.write_text(yaml.safe_dump(told))
        return path

    def syncd(self, config: Path, *words: str) -> Measured:
        """The command in a process of its own, with the most memory that it held."""
        peak = config.with_name("peak")
        argv = [PYTHON, "-m", "tests.chaos.measured", str(peak), "--config", str(config), *words]
        environ = {**AWS, "VAULT_TOKEN": self.bao.token, "WIX_KEY": self.wix["key"]}
        one = measured(argv, environ)
        return Measured(wall=one.wall, cpu=one.cpu, peak=int(peak.read_text()) / 1024, out=one.out)


@contextmanager
def stage(folder: Path, sites: int = 400) -> Iterator[Stage]:
    """All servers up, nothing seeded."""
    with ExitStack() as stack:
        bao, aws = stack.enter_context(openbao()), stack.enter_context(moto())
        wix = json.loads(stack.enter_context(told("tests.benchmarks.emulator", str(sites))))
        yield Stage(folder=folder, bao=bao, aws=aws, wix=wix, stack=stack)
