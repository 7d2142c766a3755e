"""`make bench`: every case, printed as it is measured, written as JSON, Markdown and a plot.

python -m tests.benchmarks [--out FOLDER] [--sizes 100,1000,10000] [--latencies 0,20,50] [CASE...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import cases, speed
from tests.benchmarks.stage import Stage, stage

CASES: dict[str, Callable[[Stage], cases.Told]] = {
    "startup": cases.startup,
    "quota": cases.quota,
    "calls": lambda on: cases.calls(on, 1000),
    "scale": lambda on: cases.scale(on, (2500, 10_000)),
    "audit": lambda on: cases.audit(on, 10_000),
    "rules": lambda on: cases.rules(on, 10_000),
    "evidence": lambda on: cases.evidence(on, 1_000_000),
    "search": lambda on: cases.search(on, 1_000_000),
    "sites": lambda on: cases.sites(on, 200, 50),
}


def machine() -> str:
    """The machine in words: figures of another are others."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores ({model}), {platform.system()}, Python {platform.python_version()}, all servers on the same machine"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--sizes", default="100,300,1000,10000")
    parser.add_argument("--latencies", default="0,20,50")
    parser.add_argument("--sources", default="vault,aws")
    parser.add_argument("cases", nargs="*", help=f"speed, {', '.join(CASES)}; all if left out")
    given = parser.parse_args()
    wanted = given.cases or [*CASES, "speed"]
    given.out.mkdir(parents=True, exist_ok=True)
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder), sites=700) as on:
        told: cases.Told = []
        for name, case in CASES.items():
            if name in wanted:
                found = case(on)
                told += found
                print(
                    "\n".join(f"{what}: {figure} (held against: {against})" for what, figure, against in found),
                    flush=True,
                )
        if told:
            lines = [
                "| what | measured | held against |",
                "| --- | --- | --- |",
                *(f"| {a} | {b} | {c} |" for a, b, c in told),
            ]
            (given.out / "promises.md").write_text(f"{machine()}\n\n" + "\n".join(lines) + "\n")
            (given.out / "promises.json").write_text(json.dumps({"machine": machine(), "promises": told}, indent=1))
        if "speed" in wanted:
            sizes, latencies = ([int(one) for one in text.split(",")] for text in (given.sizes, given.latencies))
            rows = []
            for row in speed.measure(on, sizes, latencies, given.sources.split(",")):
                rows.append(row)
                print(
                    f"{row.source} {row.work} {row.latency} ms {row.secrets:,}: {row.contender} {row.shown} s",
                    flush=True,
                )
            (given.out / "speed.json").write_text(
                json.dumps({"machine": machine(), "rows": speed.as_json(rows)}, indent=1)
            )
            text = f"{machine()}\n\n{speed.table(rows)}\n"
            (given.out / "speed.md").write_text(text)
            print(text)
            plot(rows, given.out / "speed.svg")


def plot(rows: list[speed.Row], path: Path) -> None:
    """Time against size, a panel for each source and latency; a dashed line was scaled up."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "syncd"
    sources, latencies = sorted({row.source for row in rows}, reverse=True), sorted({row.latency for row in rows})
    figure, grid = plt.subplots(
        len(sources),
        len(latencies),
        figsize=(4.2 * len(latencies), 3.4 * len(sources)),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    colours = {"plain script": "#b5472f", "shell CronJob": "#8a6d1f", "syncd": "#14629b", "bare requests": "#8a8f98"}
    for across, latency in enumerate(latencies):
        for down, source in enumerate(sources):
            axes = grid[down][across]
            for contender, colour in colours.items():
                for work, marker in (("first sync", "o"), ("idle", "s")):
                    mine = [
                        r
                        for r in rows
                        if (r.source, r.latency, r.contender, r.work) == (source, latency, contender, work)
                    ]
                    if not mine or (work == "idle" and contender not in {"syncd", "plain script"}):
                        continue
                    axes.plot(
                        [row.secrets for row in mine], [row.seconds for row in mine], color=colour, marker=marker, markersize=4,
                        linewidth=1.8 if contender == "syncd" else 1.1, linestyle="-" if work == "first sync" else ":",
                        label=f"{contender}, {work}", markerfacecolor=colour if not any(r.scaled_from for r in mine[-1:]) else "white",
                    )  # fmt: skip
            axes.set(
                xscale="log",
                yscale="log",
                title=f"{'OpenBao' if source == 'vault' else 'AWS (moto)'}, {latency} ms round trip",
            )
            axes.grid(visible=True, which="major", linewidth=0.4, color="#d5d8dc")
    for axes in grid[-1]:
        axes.set_xlabel("secrets")
    for line in grid:
        line[0].set_ylabel("seconds, start-up included")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=3, frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
