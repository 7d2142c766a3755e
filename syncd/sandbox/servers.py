"""The sandbox: the servers of this machine, with what to type against them, until asked to stop."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from syncd.errors import ConfigError
from syncd.sandbox.environment import REGION, Say, private_file, seed, servers_in, site_ids, surroundings
from syncd.sandbox.launchers import moto, openbao
from syncd.sandbox.wix_server import BASE, Wix, serving


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """Which servers are wanted, and where."""

    only: str | None = None
    """openbao, aws or wix; None: all three."""
    port: int = 0
    """With `only`: the port to listen on; 0: a free one."""
    folder: Path | None = None
    """The folder for the files; None: a temporary one, which is removed with the servers."""
    sites: int = 1


def run_sandbox(wanted: SandboxRequest, say: Say, stop: threading.Event) -> int:
    """Run the servers until `stop` is set, and print how to use them. Returns: 0.

    Raises `ConfigError` for a port or folder that cannot be used, `SyncdError` if a server cannot be started.
    """
    only, port, sites = wanted.only, wanted.port, wanted.sites
    # Before any server is started for nothing.
    _see_free(port)
    with servers_in(wanted.folder, "sandbox") as home, ExitStack() as stack:
        if only == "wix":
            wix = Wix()
            url = stack.enter_context(serving(wix, port))
            given = site_ids(sites)
            private_file(home / "wix-key", wix.issue_key(*given.values()))
            say(f"Wix emulator: {url}")
            say(f"  site_id {', '.join(given.values())}, api_key in {home / 'wix-key'}")
            _say_control(say, url)
        elif only == "openbao":
            bao = stack.enter_context(openbao(port=port))
            private_file(home / "vault-token", bao.token)
            say(f"OpenBao: {bao.address}, token in {home / 'vault-token'}, KV v2 at secret/")
        elif only == "aws":
            say(f"AWS emulator: {stack.enter_context(moto(port))} (any credentials, region {REGION})")
        else:
            around = stack.enter_context(surroundings(home, sites=sites))
            seed(around)
            say(f"OpenBao:      {around.bao.address}, token in {home / 'vault-token'}, KV v2 at secret/")
            say(f"AWS emulator: {around.aws_url} (any credentials, region {REGION})")
            listed = ", ".join(site_ids(sites).values())
            say(f"Wix emulator: {around.wix_url}, site_id {listed}, api_key in {home / 'wix-key'}")
            _say_control(say, around.wix_url)
            say(f"\nA ready configuration: {around.config}. Try, in another terminal:")
            say("  export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo")
            say(f"  syncd --config {around.config} plan")
            say("Rotate a secret:")
            say(f'  curl -H "X-Vault-Token: $(cat {home / "vault-token"})" \\')
            fields = '{"data": {"api_key": "another", "webhook_secret": "whsec-of-the-demo"}}'
            say(f"    -d '{fields}' {around.bao.address}/v1/secret/data/payments/stripe")
            say("… or delete one (and see deletion_policy), or rotate one at the AWS emulator:")
            say(f'  curl -X DELETE -H "X-Vault-Token: $(cat {home / "vault-token"})" \\')
            say(f"    {around.bao.address}/v1/secret/metadata/payments/paypal")
            say(f"  AWS_ENDPOINT_URL={around.aws_url} aws secretsmanager put-secret-value --region {REGION} \\")
            fields = '{"token": "another", "account": "g-100"}'
            say(f"    --secret-id prod/feeds/google --secret-string '{fields}'    # with the AWS CLI")
        ends = "ends the servers" if wanted.folder else f"ends the servers and removes {home}; --dir keeps the folder"
        say(f"Ctrl-C {ends}.")
        # Who started it in a pipe waits for these lines, and no others come until the end.
        sys.stdout.flush()
        stop.wait()
    return 0


def _see_free(port: int) -> None:
    with socket.socket() as probe:
        # As servers do: connections of the last run that are not timed out yet hold no port up.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ConfigError(f"port {port} cannot be used", hint="is it in use? name another --port") from None


def _say_control(say: Say, url: str) -> None:
    control = url.removesuffix(BASE) + "/_sandbox"
    say(f"  look inside: GET {control}/secrets and {control}/requests")
    say(f"  make trouble: POST {control}/faults, and {control}/options/SITE; how: syncd sandbox --help")
