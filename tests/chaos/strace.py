"""syncd under strace: count its system calls, kill it at the nth, or let the nth fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab import AWS_ENVIRON, Lab, Result

CALLS = (
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "link",
    "unlink",
    "ftruncate",
    "connect",
    "sendto",
    "recvfrom",
)
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed (make chaos installs it)")


def traced(lab: Lab, *options: str, program: str = "tests.chaos.serial", words: tuple[str, ...] = ("sync",)) -> Result:
    """One run of syncd under strace with these options."""
    # --seccomp-bpf is quicker, but loses the signals of `inject`.
    quick = () if any("signal=" in option for option in options) else ("--seccomp-bpf",)
    argv = ["strace", "-f", "-qq", *quick, "-o", str(lab.folder / "trace"), *options]
    argv += [sys.executable, "-m", program, "--config", str(lab.config_file), *words]
    done = subprocess.run(
        argv, capture_output=True, text=True, env={**os.environ, **AWS_ENVIRON}, timeout=120, check=False
    )
    return Result(done.returncode, done.stdout, done.stderr)


def points(lab: Lab, program: str = "tests.chaos.serial") -> Iterator[tuple[str, int]]:
    """Each system call of one whole run, as (name, its number among those of its name and thread)."""
    assert traced(lab, "-e", "trace=" + ",".join(CALLS), program=program).code == 0
    counts: Counter[tuple[str, str]] = Counter()
    seen = set()
    for match in re.finditer(r"^(\d+)\s+(\w+)\(", (lab.folder / "trace").read_text(), re.MULTILINE):
        counts[match[1], match[2]] += 1
        point = match[2], counts[match[1], match[2]]
        if point not in seen:
            seen.add(point)
            yield point


def killed_at(lab: Lab, call: str, number: int, program: str = "tests.chaos.serial") -> Result:
    """kill -9 when the call is entered for the nth time."""
    return traced(lab, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}", program=program)


def failing(lab: Lab, call: str, error: str, when: str, **more: str) -> Result:
    """Let the call fail; `when` as strace writes it: `3`, or `3+` for it and all that follow."""
    return traced(lab, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}", **more)
