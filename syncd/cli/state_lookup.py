"""One secret of the ledger as a `state` command finds and locks it."""

from __future__ import annotations

import difflib
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.context import Context
from syncd.domain import Record
from syncd.domain.ports import WhileWaiting
from syncd.errors import ConfigError

if TYPE_CHECKING:
    from syncd.bootstrap.app import App
    from syncd.ledger.journal import SiteJournal

Name = Annotated[str, typer.Argument(help="A Wix name.")]
Target = Annotated[
    str | None, typer.Option("--target", help="On which target; needed where several hold a secret of this name.")
]
WAIT = timedelta(minutes=5)


def locked(app: App, site: str) -> AbstractContextManager[SiteJournal]:
    """Lock a site for this command alone. Raises `LedgerBusy` if another process holds it for longer than `WAIT`."""
    meanwhile = WhileWaiting(Context.stop.is_set, app.runtime.waits)
    return app.ledger.lock(site, holder="syncd state", wait=WAIT, meanwhile=meanwhile)


def found_record(app: App, name: str, target: str | None) -> Record:
    """Return the one record of this name. Raises `ConfigError` for none, for several, and for an unknown target."""
    if target is not None and target not in app.settings.targets:
        raise ConfigError(
            f"there is no target {target}", hint=f"the targets are {', '.join(sorted(app.settings.targets))}"
        )
    # By site: two targets may lead to one, and its records bear the name of either.
    site = app.site_of(target) if target else None
    named = [record for record in app.ledger.records() if record.name == name]
    found = [record for record in named if site in {None, record.site}]
    if named and not found:
        elsewhere = ", ".join(record.target for record in named)
        raise ConfigError(f"the ledger has no {name} on {target}; it is on {elsewhere}", hint="see: syncd state list")
    if not found:
        names = {record.name for record in app.ledger.records()}
        near = difflib.get_close_matches(name, names, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"the ledger has no {name}", hint=f"{meant}see: syncd state list")
    # Never guessed: a freeze or a deletion on the wrong site would be done in silence.
    if len(found) > 1:
        raise ConfigError(
            f"{name} is on several targets: {', '.join(record.target for record in found)}",
            hint="say which with --target",
        )
    return found[0]
