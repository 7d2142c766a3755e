"""`--server URL --token-file F`: ask a running daemon instead of the ledger, with the token's rights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.errors import ConfigError

if TYPE_CHECKING:
    from syncd.transport.api_client import ApiClient

Server = Annotated[
    str | None, typer.Option("--server", metavar="URL", help="Ask this daemon instead of opening the ledger.")
]
# A file and not the token itself: arguments of a process are read by all users of its machine.
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="With --server: a file with the token.")
]


def remote(server: str | None, token_file: Path | None) -> ApiClient | None:
    """Return a client of the daemon at `server`; None if no `--server` was given. Raises `ConfigError`."""
    if server is None:
        # Who gives a token means a daemon. Without it the command would act on the ledger, as the user of this machine.
        if token_file is not None:
            raise ConfigError("--token-file goes with --server", hint="add: --server https://HOST:PORT")
        return None
    if token_file is None:
        raise ConfigError("--server needs --token-file", hint="name a file that holds a token of server.tokens")
    from syncd.transport.api_client import ApiClient

    return ApiClient(server, token_file)
