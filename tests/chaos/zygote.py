"""Runs of syncd that start warm, so that a thousand of them take minutes: forked after the imports.

A line of JSON on stdin, {"argv": […], "out": FILE}; a line on stdout with the child's id; after its end
another with how it ended (as `Popen.returncode` says it). With `serial` all thread pools are done in line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.serial import Inline
from tests.lab import AWS_ENVIRON, Lab, Result


def main() -> None:
    import httpx  # noqa: F401
    import hvac  # noqa: F401

    import syncd.bootstrap.app
    import syncd.reconcile.cycle
    import syncd.sources.vault
    import syncd.targets.wix.target  # noqa: F401
    from syncd.cli.app import run

    if sys.argv[1:] == ["serial"]:
        for name, module in list(sys.modules.items()):
            if name.startswith("syncd.") and hasattr(module, "ThreadPoolExecutor"):
                module.ThreadPoolExecutor = Inline  # type: ignore[attr-defined]
    for line in sys.stdin:
        told = json.loads(line)
        child = os.fork()
        if child == 0:
            out = os.open(told["out"], os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            code = run(told["argv"])
            sys.stdout.flush()
            os._exit(code)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


class Zygote:
    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._out = process, folder / "zygote.out"
        self.pid = process.pid

    def start(self, lab: Lab, *words: str) -> int:
        """A run of syncd; its process id."""
        told = {"argv": ["--config", str(lab.config_file), *words], "out": str(self._out)}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return self._said()

    def ended(self) -> Result:
        """Wait for it."""
        return Result(self._said(), self._out.read_text(), "")

    def _said(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


@contextmanager
def zygote(folder: Path, *options: str) -> Iterator[Zygote]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.zygote", *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **AWS_ENVIRON},
    )  # fmt: skip
    try:
        yield Zygote(process, folder)
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    main()
