"""A place to try syncd: a folder with a configuration, an emulated Wix, and real sources beside it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import hvac
import yaml

from syncd.cli.app import run
from syncd.cli.context import Context
from syncd.domain import Record
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from syncd.sandbox.launchers import OpenBao
from syncd.sandbox.wix_server import Wix
from syncd.sandbox.wix_site import Site

AWS_ENVIRON = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab-generated", "AWS_DEFAULT_REGION": "eu-west-1"}


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]


@dataclass
class Lab:
    folder: Path
    wix: Wix
    wix_url: str
    site_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = self.wix.issue_key(self.site_id)
        self.secret_file("wix-key", self.key)
        self.site.options.quota = 1_000_000
        self.config = {
            "owner": "lab",
            "state": {"path": str(self.folder / "state" / "state.db")},
            "sources": {},
            "targets": {"shop": self.target(self.site_id, "wix-key")},
            "jobs": {},
        }

    def target(self, site_id: str, key_file: str) -> dict[str, Any]:
        return {
            "type": "wix",
            "base_url": self.wix_url,
            "rate_limit": "5000/1s",
            "auth": {"method": "api_key", "site_id": site_id, "api_key": {"file": str(self.folder / key_file)}},
        }

    def secret_file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    @property
    def site(self) -> Site:
        return self.wix.site(self.site_id)

    @property
    def state(self) -> Path:
        return Path(self.config["state"]["path"])

    def vault(self, bao: Bao, name: str = "vault", **more: Any) -> None:
        self.secret_file(f"{name}-token", bao.token)
        self.config["sources"][name] = {
            "type": "vault",
            "address": bao.address,
            "auth": {"method": "token", "token": {"file": str(self.folder / f"{name}-token")}},
            **more,
        }

    def aws(self, url: str, name: str = "aws") -> None:
        self.config["sources"][name] = {"type": "aws_secrets_manager", "region": "eu-west-1", "endpoint_url": url}

    def job(self, name: str, source: str, *secrets: dict[str, Any], **more: Any) -> None:
        self.config["jobs"][name] = {"source": source, "targets": ["shop"], "secrets": list(secrets), **more}

    @property
    def config_file(self) -> Path:
        path = self.folder / "syncd.yaml"
        path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        return path

    def run(self, *words: str, options: tuple[str, ...] = ()) -> Result:
        """A command in this process."""
        out, err = io.StringIO(), io.StringIO()
        Context.stop.clear()
        Context.stoppable = False
        argv = ["--config", str(self.config_file), *options, *words]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _environ(AWS_ENVIRON):
            code = run(argv)
        return Result(code, out.getvalue(), err.getvalue())

    def popen(self, *words: str, wrap: tuple[str, ...] = (), **environ: str) -> subprocess.Popen[str]:
        """A command in a process of its own."""
        argv = [*wrap, sys.executable, "-m", "syncd", "--config", str(self.config_file), *words]
        return subprocess.Popen(
            argv,
            env={**os.environ, **AWS_ENVIRON, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def spawn(self, *words: str, **environ: str) -> Result:
        process = self.popen(*words, **environ)
        out, err = process.communicate(timeout=120)
        return Result(process.returncode, out, err)

    def ledger(self) -> dict[str, str | None]:
        """Name to id, as the ledger has them."""
        return {row["name"]: row["remote_id"] for row in self.run("state", "list", "--json").json}

    def let_pass(self, span: timedelta) -> None:
        """As if the last cycle, and what it saw of absences, were that much longer ago."""
        self.rewrite(lambda row: replace(row, absent_at=row.absent_at - span) if row.absent_at else row)
        with contextlib.closing(sqlite3.connect(self.state)) as database, database:
            micro = int(span.total_seconds() * 10**6)
            database.execute("UPDATE syncd_runs SET started_at = started_at - ?", (micro,))

    def rewrite(self, change: Callable[[Record], Record]) -> None:
        """Change the ledger's rows behind syncd's back, as if time had passed."""
        ledger = Ledger(sqlite_engine(self.state), "lab", self.state)
        with ledger.lock(self.site_id, holder="lab", wait=timedelta(0)) as journal:
            journal.write(put=[change(record) for record in ledger.records(self.site_id)])
        ledger.close()

    def statuses(self) -> dict[str, str]:
        return {row["name"]: row["status"] for row in self.run("state", "list", "--json").json}

    def ids(self) -> dict[str, str]:
        """Name to id, as the site has them."""
        return {one.name: one.id for one in self.site.secrets.values()}

    def writes(self) -> int:
        return self.wix.count("POST", "PATCH", "DELETE")

    def settle(self, most: int = 3) -> Result:
        """Cycles until one is clean."""
        for _ in range(most):
            result = self.run("sync")
            if result.code == 0:
                return result
        return result


@dataclass
class Bao:
    """A mount of its own on a shared OpenBao."""

    server: OpenBao
    mount: str
    token: str

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def root(self) -> hvac.Client:
        return hvac.Client(self.server.address, token=self.server.token)

    def enable(self, version: str = "2") -> None:
        """Mount it; a KV v2 mount is not ready at once."""
        self.root.sys.enable_secrets_engine("kv", path=self.mount, options={"version": version})
        while version == "2":
            try:
                self.root.secrets.kv.v2.list_secrets("", mount_point=self.mount)
            except hvac.exceptions.InvalidPath:
                return
            except hvac.exceptions.InvalidRequest:
                continue

    def put(self, path: str, **fields: Any) -> None:
        self.put_all(path, fields)

    def put_all(self, path: str, fields: dict[str, Any]) -> None:
        self.root.secrets.kv.v2.create_or_update_secret(path, fields, mount_point=self.mount)

    def remove(self, path: str) -> None:
        self.root.secrets.kv.v2.delete_metadata_and_all_versions(path, mount_point=self.mount)

    def policy(self, name: str, rules: str) -> str:
        """A token with just this policy."""
        self.root.sys.create_or_update_policy(name, rules)
        token: str = self.root.auth.token.create(policies=[name])["auth"]["client_token"]
        return token


@contextlib.contextmanager
def _environ(more: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
