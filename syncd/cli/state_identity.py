"""`syncd state join-site / rename-owner / remount`: what a person says that the ledger cannot know by itself."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.output import show
from syncd.cli.reasons import Reason, required_reason
from syncd.cli.state_lookup import locked
from syncd.domain import Record
from syncd.errors import ConfigError, PlanMoved

if TYPE_CHECKING:
    from syncd.bootstrap.app import App


def join_site(
    context: typer.Context,
    old: Annotated[str, typer.Argument(help="The site's key that the ledger gives up.")],
    new: Annotated[str, typer.Argument(help="The key of the same site that it keeps: a site_id or an instance_id.")],
) -> int:
    """Say that two keys are one site at Wix: what is known under OLD is kept under NEW from now on."""
    from syncd.reconcile.observe.same_site import merged

    with context.obj.open() as app, ExitStack() as stack:
        keys = {settings.site for settings in app.settings.targets.values()}
        if new not in keys or old == new:
            raise ConfigError(
                f"{new} is not the key of a configured site, or is {old} itself",
                hint=f"the keys are {', '.join(sorted(keys))}",
            )
        # Always in the same order: two commands that lock two sites the other way round would wait for each other.
        for site in sorted((old, new)):
            stack.enter_context(locked(app, site))
        moving = app.ledger.records(old)
        _see_that_they_are_one(app, old, new, moving)
        app.ledger.join_sites(old, new, merged(moving, app.ledger.records(new), new))
    show(f"{len(moving)} secrets are kept under {new} now; {old} is another key of the same site")
    return 0


def _see_that_they_are_one(app: App, old: str, new: str, moving: tuple[Record, ...]) -> None:
    """Raise `ConfigError` unless the site shows at least one secret id under both keys: then they are one site.

    `moving`: the records under `old`; they stand for its listing where no target has this key any more.
    Raises `TargetError`, too.
    """
    names = {settings.site: name for name, settings in app.settings.targets.items()}
    held = {str(record.remote_id) for record in moving if record.remote_id}
    # A key that no target has any more cannot log in; what the ledger holds under it stands for its listing.
    under_old = {secret.id for secret in app.target(names[old]).list()} if old in names else held
    if not under_old & {secret.id for secret in app.target(names[new]).list()}:
        raise ConfigError(
            f"{old} and {new} show no secret in common, so nothing tells that they are one site",
            hint="see site_id and instance_id; two sites are never joined",
        )


def rename_owner(
    context: typer.Context,
    old: Annotated[str, typer.Argument(help="The owner that the ledger has.")],
    new: Annotated[str, typer.Argument(help="The owner that the configuration says now.")],
) -> int:
    """Say that this installation is called NEW from now on; the next cycle changes the marks and no value."""
    with context.obj.open(renaming=True) as app, ExitStack() as stack:
        if app.settings.owner != new:
            raise ConfigError(
                f"the configuration says owner: {app.settings.owner}", hint=f"write owner: {new} there first"
            )
        if app.ledger.owner not in {old, None}:
            raise ConfigError(
                f"the ledger is of owner {app.ledger.owner}, not {old}", hint="see the mark in a description at Wix"
            )
        records = app.ledger.records()
        _lock_all_sites(app, stack)
        # Asked under the locks: a create whose answer was lost is found again only by the mark of the old owner.
        if under_way := [record.name for record in app.ledger.records() if record.pending is not None]:
            raise PlanMoved(
                f"{len(under_way)} secrets are under way under the old owner's mark: {', '.join(under_way[:5])}",
                hint=f"write owner: {old} once more, run `syncd sync`, then try again",
            )
        app.ledger.rename_owner(old, new)
    show(f"this installation is {new} now; the next cycles change the marks of {len(records)} secrets, and no value;")
    show("a new mark counts for max_updates, which may spread them over some days")
    return 0


def _lock_all_sites(app: App, stack: ExitStack) -> None:
    """Lock all sites until `stack` ends. Raises `LedgerBusy`.

    A cycle that is under way meanwhile would write rows back as it had read them before.
    """
    # Also where no row is yet: a cycle that begins there now would work with what was true before.
    sites = {record.site for record in app.ledger.records()} | {app.site_of(name) for name in app.settings.targets}
    for site in sorted(sites):
        stack.enter_context(locked(app, site))


def remount(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A configured source.")],
    mount: Annotated[
        str, typer.Argument(help="The mount that was replaced on purpose, such as secret/; for AWS: account.")
    ],
    *,
    reason: Reason = None,
) -> int:
    """Accept that a mount (or an AWS account) was really replaced by another one."""
    # It overrides no safeguard, so no reason is asked for; one that is given goes into the line of the trail.
    if reason is not None:
        required_reason(reason, "state remount")
    with context.obj.open() as app, ExitStack() as stack:
        if source not in app.settings.sources:
            raise ConfigError(
                f"there is no source {source}", hint=f"the sources are {', '.join(sorted(app.settings.sources))}"
            )
        readers = {name: job.source for name, job in app.runtime.jobs.items()}
        _lock_all_sites(app, stack)
        if not app.ledger.remount(source, mount, readers):
            known = ", ".join(sorted(app.ledger.known_mounts(source)))
            raise ConfigError(
                f"the ledger knows no mount {mount} of {source}: the next cycle accepts the one that it finds there",
                hint=f"it knows {known}" if known else "see the path of the rule",
            )
    show(f"the next cycle accepts the mount that is at {mount} now")
    return 0
