"""syncd under strace: count its system calls, kill it at the nth, or let the nth fail."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.zygote import Zygote
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


@contextmanager
def attached(warm: Zygote, *options: str, trace: Path) -> Iterator[None]:
    """strace on what the zygote forks: without its start-up, a run costs a fraction."""
    argv = ["strace", "-f", "-o", str(trace), "-p", str(warm.pid), *options]
    tracer = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr
    try:
        assert "attached" in tracer.stderr.readline()
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()


def warm_points(lab: Lab, warm: Zygote) -> Iterator[tuple[str, int]]:
    """Each system call of one whole run, as (name, its number among those of its name and thread)."""
    trace = lab.folder / "trace"
    with attached(warm, "-e", "trace=" + ",".join(CALLS), trace=trace):
        warm.start(lab, "sync")
        assert warm.ended().code == 0
    counts: Counter[tuple[str, str]] = Counter()
    seen = set()
    for match in re.finditer(r"^(\d+)\s+(\w+)\(", trace.read_text(), re.MULTILINE):
        if int(match[1]) == warm.pid:
            continue
        counts[match[1], match[2]] += 1
        point = match[2], counts[match[1], match[2]]
        if point not in seen:
            seen.add(point)
            yield point


def killed_at(lab: Lab, warm: Zygote, call: str, number: int, program: str) -> Result:
    """kill -9 when the call is entered for the nth time."""
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}")
    if call == "write":  # the zygote writes, too
        return traced(lab, *inject, program=program)
    with attached(warm, *inject, trace=lab.folder / "trace"):
        warm.start(lab, "sync")
        return warm.ended()


def last_number(lab: Lab, call: str) -> int:
    """How often one thread makes this call in a run."""
    assert traced(lab, "-e", f"trace={call}", program="syncd").code == 0
    counts = Counter(re.findall(rf"^(\d+)\s+{call}\(", (lab.folder / "trace").read_text(), re.MULTILINE))
    return max(counts.values())


def failing(lab: Lab, call: str, error: str, when: str, **more: str) -> Result:
    """Let the call fail; `when` as strace writes it: `3`, or `3+` for it and all that follow."""
    return traced(lab, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}", **more)
