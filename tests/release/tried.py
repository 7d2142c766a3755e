"""Use an installed syncd as a new user would, against the sandbox's servers: `make dist`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from syncd import __version__
from syncd.sandbox.environment import seed, surroundings


def main() -> int:
    """Run the command that is named through a first day. Returns: 0 if all went as it should."""
    command = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="syncd-release-") as folder, surroundings(Path(folder)) as around:
        expected = seed(around)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "AWS_ACCESS_KEY_ID": "demo",
            "AWS_SECRET_ACCESS_KEY": "demo",
        }

        def ran(*words: str) -> subprocess.CompletedProcess[str]:
            argv = [str(command), *words, "--config", str(around.config)]
            print("$ syncd", *words, flush=True)
            done = subprocess.run(
                argv, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
            )
            print("\n".join(done.stdout.splitlines()[:12]), flush=True)
            if done.returncode:
                print(done.stderr, end="", file=sys.stderr)
            return done

        version = ran("--version").stdout.split()
        well = version[-1:] == [__version__]
        for words in (
            ("check",),
            ("check", "--connect"),
            ("plan",),
            ("sync",),
            ("status",),
            ("state", "list"),
            ("schema",),
        ):
            well &= ran(*words).returncode == 0
        well &= len(around.wix.site(next(iter(around.wix.sites))).secrets) == expected
    print("as it should be" if well else "NOT as it should be")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
