"""The demo: a story of four steps on the servers of this machine, each with the command that a user would type."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

from syncd.sandbox.environment import SITE, Say, Surroundings, seed, servers_in, surroundings


class _Surprise(Exception):
    """A step of the demo did not give the result that it should."""


def _expect(*, well: bool) -> None:
    # A step builds on the one before: to go on would tell a story that is not true.
    if not well:
        raise _Surprise


def run_demo(keep: Path | None, say: Say) -> int:
    """Run the demo, each step with the command that a user would type. Returns: 0 if all steps went well, else 1.

    `keep`: the folder for its files; None: a temporary one. Raises `SyncdError` if the servers cannot be started.
    """
    with servers_in(keep, "demo") as folder:
        say("Starting a real OpenBao (Vault's open fork), an AWS emulator and a Wix emulator on this machine ...")
        with surroundings(folder) as around:
            try:
                _story(around, say, kept=keep is not None)
            except _Surprise:
                say("This did NOT go as told; see above.")
                return 1
    return 0


def _story(around: Surroundings, say: Say, *, kept: bool) -> None:
    """Run the steps of the demo. Raises `_Surprise` at the first one that does not give the result that it should."""
    site = around.wix.site(SITE)
    expected = seed(around)
    say(f"Seeded 3 secrets in OpenBao and 2 in AWS: {expected} values in all. The Wix site is empty.\n")
    say("1. What would happen? Nothing is changed yet.")
    _expect(well=_syncd(around, say, "plan") == 0)
    say("\n2. Do it.")
    _expect(well=_syncd(around, say, "sync") == 0 and len(site.secrets) == expected)
    ids = {secret.name: secret.id for secret in site.secrets.values()}
    say("\n   Every id that Wix gave is in the ledger:")
    _expect(well=_syncd(around, say, "state", "list") == 0)
    say("\n3. Somebody rotates the Stripe API key in OpenBao; sync again.")
    around.put("payments/stripe", {"api_key": secrets.token_urlsafe(24), "webhook_secret": "whsec-of-the-demo"})
    _expect(well=_syncd(around, say, "sync") == 0)
    same = ids == {secret.name: secret.id for secret in site.secrets.values()}
    say(f"   Updated in place: the ids at Wix are {'the same as before' if same else 'NOT the same'}.")
    _expect(well=same)
    say("\n4. Nothing has changed now; sync once more.")
    before = around.wix.count("POST", "PATCH", "DELETE")
    _expect(well=_syncd(around, say, "sync") == 0)
    writes = around.wix.count("POST", "PATCH", "DELETE") - before
    say(f"   An idle cycle sent {writes} writes to Wix.")
    _expect(well=writes == 0)
    where = around.folder / "state.db"
    say(f"\nThe state file (the ledger) {'is' if kept else 'was'} {where}, the configuration {around.config}.")
    if not kept:
        say("Both are gone with the demo; `syncd demo --keep DIR` keeps them, `syncd sandbox` keeps the servers.")
    say("All went as told.")


def _syncd(around: Surroundings, say: Say, *words: str) -> int:
    say(f"   $ syncd {' '.join(words)}")
    # -P: the installed syncd and not a folder of this name, where the demo was started.
    argv = [sys.executable, "-P", "-m", "syncd", "--config", str(around.config), *words]
    environ = {**os.environ, **around.environ}
    done = subprocess.run(  # our own command with fixed words
        argv, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    for line in done.stdout.splitlines():
        say(f"   {line}".rstrip())
    # Of a step that went well stderr has nothing but the log.
    if done.returncode:
        say(done.stderr)
    return done.returncode
