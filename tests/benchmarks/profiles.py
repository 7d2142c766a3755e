"""Where the time and the memory of a first sync and of an idle cycle go: py-spy by line, memray at the peak.

python -m tests.benchmarks.profiles [--out FOLDER] [--secrets N]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.benchmarks.stage import AWS, PYTHON, Stage, stage

BIN = Path(sys.executable).parent
SHOWN = 12


def by_function(raw: str) -> list[tuple[str, int, int]]:
    """py-spy's folded stacks: (our innermost function, samples in it and below, samples in all)."""
    own: Counter[str] = Counter()
    total = 0
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = re.findall(r"[^;]+", stack)
        ours = [frame for frame in frames if "syncd/" in frame] or ["(imports and libraries)"]
        own[re.sub(r":\d+\)", ")", ours[-1])] += int(count)
        total += int(count)
    return [(name, count, total) for name, count in own.most_common(SHOWN)]


def profile(on: Stage, out: Path, count: int) -> None:
    config = on.config({"job": ("vault", on.seed("vault", count))}, [on.site()])
    environ = {**AWS, "VAULT_TOKEN": on.bao.token, "WIX_KEY": on.wix["key"]}
    command = ["-m", "syncd", "--config", str(config), "sync"]
    for work in ("first sync", "idle cycle"):
        stem = out / f"{work.replace(' ', '-')}-{count}"
        if work == "first sync":  # what a profiler slows down is synced once more, under the other one, elsewhere
            again = on.config({"job": ("vault", on.seed("vault", count))}, [on.site()])
        folded = stem.with_suffix(".folded")
        argv = [str(BIN / "py-spy"), "record", "-r", "200", "-f", "raw", "-o", str(folded), "--gil", "--", PYTHON]
        _run([*argv, *command], environ)
        print(f"\n{work} of {count:,} secrets, time with the interpreter's lock held (py-spy):")
        for name, samples, total in by_function(folded.read_text()):
            print(f"  {100 * samples / total:5.1f} %  {name}")
        trace = stem.with_suffix(".memray")
        other = ["-m", "syncd", "--config", str(again), "sync"]
        os.environ["COLUMNS"] = "160"  # of memray's table
        _run([PYTHON, "-m", "memray", "run", "-q", "-f", "-o", str(trace), *other], environ)
        summary = subprocess.run(
            [PYTHON, "-m", "memray", "summary", "-s", "3", "-r", "30", str(trace)],
            capture_output=True,
            text=True,
            check=True,
        )
        print(f"\n{work}: who holds memory at the peak (memray, own size):\n{summary.stdout}")


def _run(argv: list[str], environ: dict[str, str]) -> None:
    done = subprocess.run(argv, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout[-1000:] + done.stderr[-1000:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--secrets", type=int, default=10_000)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder), sites=8) as on:
        profile(on, given.out, given.secrets)
