"""A daemon whose schedule is rare, so that it looks only when it is woken."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from syncd.sandbox.launchers import free_ports
from tests.lab import Bao, Lab
from tests.support.daemon import ask, running
from tests.support.waiting import until


def line(path: str, version: int | None = None, operation: str = "update") -> str:
    """An audit device's, with the version or, as some devices leave that out, without."""
    told = {"response": {"data": {"version": version}}} if version is not None else {}
    return json.dumps({"type": "response", "request": {"operation": operation, "path": path}, **told})


class Woken:
    """A daemon that is handed the lines of writes to paths of `app`."""

    def __init__(self, mount: str, url: str, process: Any) -> None:
        self.url, self.process, self._mount = url, process, mount

    def __call__(self, *names: str, version: int | None = None, deleted: bool = False) -> int:
        call, operation = ("metadata", "delete") if deleted else ("data", "update")
        body = "\n".join(line(f"{self._mount}/{call}/app/{name}", version, operation) for name in names)
        return ask(self.url + "/hooks/vault-audit", "POST", "generated-token", body.encode())[0]

    def has_begun(self, lab: Lab) -> bool:
        """Each job runs once at the start: what is asked for in the middle of that would be its doing."""
        told = self.metrics()
        rows = [row for row in lab.run("status", "--json").json["jobs"] if not row["paused"]]
        rows = [row for row in rows if row["job"] in lab.config["jobs"]]
        # Another daemon may work on the same ledger: only this one's own numbers tell of its own runs.
        pairs = [f'syncd_cycle_duration_seconds_count{{job="{row["job"]}",target="{row["target"]}"}}' for row in rows]
        return all(pair in told for pair in pairs)

    def metrics(self) -> str:
        return ask(self.url + "/metrics", token="generated-token")[1]

    def hears_a_pause(self) -> bool:
        """Does it know that a job is paused? It looks for that every two seconds."""
        return any(row.startswith("syncd_job_paused") and row.endswith(" 1.0") for row in self.metrics().splitlines())

    def ends_a_run(self, lab: Lab) -> Callable[[], bool]:
        """Asked from now on: has a run ended since?"""
        before = [row["last_run_at"] for row in lab.run("status", "--json").json["jobs"]]
        return lambda: before != [row["last_run_at"] for row in lab.run("status", "--json").json["jobs"]]

    def decide(self, call: str, **body: object) -> str:
        """Over the API."""
        sent = json.dumps({"reason": "leak", **body}).encode()
        status, told = ask(f"{self.url}/api/v1/{call}", "POST", "generated-token", sent)
        assert status == 200, told
        return str(told)


@contextmanager
def woken(lab: Lab, bao: Bao, tokens: Sequence[dict[str, Any]] = (), *, own_file: bool = False) -> Iterator[Woken]:
    """A daemon whose schedule is rare. `tokens`: what others than the one of everything may.

    `own_file`: one that stays as it is, whatever is configured later, as that of another pod.
    """
    for job in lab.config["jobs"].values():
        job["schedule"] = {"every": "1h"}
    token = lab.secret_file("api-token", "generated-token")
    server = {"listen": f"127.0.0.1:{free_ports(1)}", "token": {"file": str(token)}}
    lab.config["server"] = {**server, **({"tokens": [*tokens]} if tokens else {})}
    copied = lab.folder / f"{uuid.uuid4()}.yaml"
    copied.write_text(lab.config_file.read_text())
    with running(lab, *(("--config", str(copied)) if own_file else ())) as (process, url):
        begun = Woken(bao.mount, url, process).has_begun
        until(lambda: ask(url + "/livez")[0] == 200 and begun(lab))
        yield Woken(bao.mount, url, process)
        process.terminate()
        assert process.wait(30) == 0
