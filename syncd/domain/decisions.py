"""What people decide about what syncd does: batches that wait, releases, pauses, rollbacks. Pure types."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from syncd.domain.governance import SiteNames
from syncd.domain.recency import TOLERANCE
from syncd.domain.source import Version, version_label
from syncd.errors import ConfigError, PlanMoved

RELEASED_FOR = timedelta(hours=24)
"""How long a release holds."""


class ReleaseOutcome(StrEnum):
    """What became of a release."""

    DONE = "released"
    AGAIN = "already released"
    UNKNOWN = "unknown"
    MOVED = "moved"
    """Nothing of the batch waits any more, and nobody released it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAction:
    """One action that waits for a person."""

    site: str
    job: str
    target: str
    cause: str
    """`rule ID`, or the limit that withheld it."""
    action: str
    """create, update or delete."""
    name: str
    ref: str
    from_version: str = field(default="", repr=False)
    """The version as a token, which may hold a fingerprint: only its label may be shown (so for `to_version`)."""
    to_version: str = field(default="", repr=False)
    remote_id: str = ""
    batch: str = ""
    """The id of its batch; empty while it has none."""
    since: datetime | None = None
    released_at: datetime | None = None
    released_by: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """What has to be equal for a release to cover an action; where one differs, it is another action."""
        # Not the target: it is a name for the site, and may be another one tomorrow.
        return (
            self.site, self.job, self.cause, self.action, self.name, self.ref,
            self.from_version, self.to_version, self.remote_id,
        )  # fmt: skip

    def __str__(self) -> str:
        versions = f"{version_label(self.from_version) or '-'} -> {version_label(self.to_version) or '-'}"
        return f"{self.action} {self.name} {versions} on {self.target}"

    def covers(self, wanted: HeldAction, *, finishing: bool) -> bool:
        """Does a release of this action allow the `wanted` one?

        `finishing`: `wanted` completes an earlier write that was interrupted; then the same version of the same secret,
        held under the same name for the same cause, is enough.
        """
        # A creation that was interrupted goes on as an update of its id, which is another identity.
        if finishing and (self.name, self.cause, self.ref) == (wanted.name, wanted.cause, wanted.ref):
            return self.to_version == wanted.to_version
        return self.identity == wanted.identity

    def is_released(self, now: datetime) -> bool:
        """May it go at this moment? A release from the future was given by a wrong clock, and counts for nothing."""
        return self.released_at is not None and -TOLERANCE <= now - self.released_at < RELEASED_FOR


def by_name(actions: Iterable[HeldAction]) -> dict[str, tuple[HeldAction, ...]]:
    """The actions of each secret: one for each cause that holds it."""
    found = defaultdict[str, list[HeldAction]](list)
    for action in actions:
        found[action.name].append(action)
    return {name: tuple(same) for name, same in found.items()}


def batched(waiting: Iterable[HeldAction], known: Iterable[HeldAction], now: datetime) -> tuple[HeldAction, ...]:
    """Return the actions, each with its batch.

    An action that waits already (`known`) keeps its batch. The new actions of one cause are one new batch; the
    deletions among them are another, because whoever releases writes has not agreed to deletions.
    """
    before = {action.identity: action for action in known}
    found, fresh = list[HeldAction](), dict[tuple[str, bool], list[HeldAction]]()
    for action in waiting:
        # It keeps the batch that somebody may be looking at right now.
        if action.identity in before:
            found.append(before[action.identity])
        else:
            fresh.setdefault((action.cause, action.action == "delete"), []).append(action)
    for (cause, _), actions in fresh.items():
        batch = _batch_id(cause, actions)
        found += [replace(action, batch=batch, since=now) for action in actions]
    return tuple(sorted(found, key=lambda action: (action.cause, action.batch, action.name)))


def _batch_id(cause: str, actions: Iterable[HeldAction]) -> str:
    """12 hex digits over the cause and its actions."""
    # The same actions have the same id: a plan names the batch that the next cycle makes.
    parts = [cause, *(repr(action.identity) for action in sorted(actions, key=lambda action: action.identity))]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def said_of_release(batch: str, outcome: ReleaseOutcome, done: str) -> str:
    """What a release came to, in words. `done`: the words for what happens next, where it let something go.

    Raises `ConfigError` if there is no such batch, `PlanMoved` if nothing of it waits any more.
    """
    if outcome is ReleaseOutcome.UNKNOWN:
        raise ConfigError(
            # It is what somebody typed or sent: shown cut, and in ASCII.
            f"there is no batch {batch[:20]!a}",
            hint="a plan names batches that the next cycle makes: run it (syncd sync), then see: syncd held",
        )
    if outcome is ReleaseOutcome.MOVED:
        raise PlanMoved(
            f"nothing of batch {batch} waits any more: its actions changed or are no longer wanted",
            hint="see what waits now: syncd held",
        )
    if outcome is ReleaseOutcome.AGAIN:
        return f"batch {batch} is already released; what waits since then is in other batches: syncd held"
    return f"batch {batch} is released; {done}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A person's decision that a job, a target or everything rests."""

    scope: str
    """job, target or all."""
    name: str
    """The name of the job or target; empty for all."""
    at: datetime
    until: datetime | None
    """None: until it is resumed."""
    by: str
    reason: str
    site: str = ""
    """The key of the site that the target stood for: that site rests, whatever its targets are called later."""

    def covers(self, job: str, target: str, sites: Collection[str]) -> bool:
        """Does it hold for this job on this target? `sites`: every key that the target's site is known under."""
        # A pause from before sites were kept has the target's name alone.
        if self.scope == "target" and self.site:
            return self.site in sites
        return self.scope == "all" or (self.scope, self.name) in {("job", job), ("target", target)}

    def by_todays_name(self, sites: Mapping[str, Collection[str]]) -> Pause:
        """Return this pause; the pause of a target under the name that a target of its site has now.

        `sites`: the keys of each target's site, by the target's name.
        """
        if self.scope != "target" or self.site in sites.get(self.name, ()):
            return self
        name = next((name for name, keys in sites.items() if self.site in keys), self.name)
        return replace(self, name=name)

    @property
    def command_to_end(self) -> str:
        """The command that ends the pause."""
        return f"syncd resume {({'all': '--all', 'target': f'--target {self.name}'}).get(self.scope, self.name)}"

    def __str__(self) -> str:
        what = "everything" if self.scope == "all" else f"{self.scope} {self.name}"
        until = f"until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else "until it is resumed"
        return f"{what} is paused by {self.by} {until}: {self.reason}"


@dataclass(frozen=True, slots=True)
class RestingOwner:
    """A paused job whose secrets another job would take over."""

    why: str
    worked_before: bool
    """Had the other job worked on the site before the pause began? Then it is not the paused job under a new name."""


def said_of_pause(pause: Pause, before: Pause | None) -> str:
    """A pause in words, with the one that it replaces."""
    return f"{pause} (it replaces: {before})" if before is not None else str(pause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """A person's decision that the sites get an older version of a source path, until a time."""

    source: str
    path: str
    version: Version
    label: str
    """The version as people write it: a number, an id, or a stage as it was resolved."""
    at: datetime
    until: datetime
    by: str
    reason: str

    def __str__(self) -> str:
        return f"rolled back to {self.label} until {self.until:%Y-%m-%d %H:%M} UTC by {self.by}: {self.reason}"


UNTRUSTED = timedelta(hours=1)
"""How long a clock that jumped forward has to run without another jump until it is believed."""


def protective_now(now: datetime, jumped: tuple[datetime, timedelta] | None) -> datetime:
    """Return the time that decides whether a protection (a pause, a rollback) has ended.

    `jumped`: when the clock was last seen to jump forward, and how far; None: it never did. For an hour after that the
    jump is subtracted, so that a protection ends late and never early.
    """
    if jumped is None:
        return now
    at, step = jumped
    return now - step if timedelta(0) <= now - at < UNTRUSTED else now


@dataclass(frozen=True, slots=True)
class Labels:
    """What rules select targets by: their labels, and the keys of their sites."""

    by_target: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sites: Mapping[str, SiteNames] = field(default_factory=dict)
    """By the site's key in the ledger."""

    def of(self, target: str) -> Mapping[str, str]:
        """A target's labels; none for one that is configured no more."""
        return self.by_target.get(target, {})

    def names_of(self, site: str) -> SiteNames:
        """What a site is called."""
        return self.sites.get(site, SiteNames())
