"""What the audit trail tells: who did what to which secret, and why. Pure. How it is sealed: `audit_chain`."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from syncd.domain.plan import Action, Create, Delete, Outcome, Reason, Update, puts_back
from syncd.domain.records import Record
from syncd.domain.source import SecretRef, is_fingerprint, version_label

CONTROL = "control"
"""The stream for what people and configurations decide, or what is of no site; each site has a stream of its own."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_REASON = 500
"""Most characters that a reason may have."""
RUN, RELOAD = "syncd run", "POST /-/reload"
"""`Actor.via` where a daemon loads a configuration; one that is loaded otherwise is a command's, for its own time."""


def is_reason(text: str) -> bool:
    """Is it one line of text, not too long to be kept? An empty one is no reason."""
    return 0 < len(text) <= LONGEST_REASON and text.isprintable()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who caused what an audit line tells."""

    kind: str
    """schedule, event, person, token or system."""
    id: str
    via: str = ""
    """Through what: a command (`syncd run`), a queue, an HTTP request (`POST /-/reload`)."""

    def row(self) -> dict[str, str]:
        """Return the `actor` of an audit line."""
        return {"id": self.id, "kind": self.kind, "via": self.via}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to send something: who made it, why, and for which sites."""

    by: Actor
    reason: str | None = None
    sites: frozenset[str] | None = None
    """Keys of the sites that it is for; None: all sites."""
    at: float = 0.0
    """When it was made, by one clock for all: of several requests for a secret the audit line names the latest."""

    def holds_on(self, site: str | None) -> bool:
        """Does the request cover this site? `site` None (a line about no site): only a request for all sites does."""
        return self.sites is None or site in self.sites


@dataclass(frozen=True, slots=True)
class Cause:
    """In whose name, and for which reason, a process or a run acts."""

    actor: Actor = Actor("system", "syncd")
    reason: str | None = None
    run: str | None = None
    plan: str | None = None
    config: str | None = None
    commit: str | None = None
    of_paths: Mapping[SecretRef, tuple[Asked, ...]] = field(default_factory=dict)
    """Requests to send all secrets of a path, by its reference without a field; on a site the first that covers it."""
    of_names: Mapping[tuple[str, str], Asked] = field(default_factory=dict)
    """Requests to send single secrets, by the site's key and the secret's name there."""
    of_all: Asked | None = None
    """The request for everything else that the run does; None: nobody asked, the run acts by itself."""

    def of(self, entry: Entry) -> tuple[Actor, str | None]:
        """Return the actor and the reason of an audit line.

        A line that sends a secret has them from the request for that secret: a person's before an event's, of several
        the latest. Any other line has them from the request for everything, else from the run itself.
        """
        there: list[Asked] = []
        # Whoever asks for a secret asks for what is sent of it; what a run finds beside that is its own.
        if (ref := entry.sends) is not None:
            named = self.of_names.get((entry.site or "", entry.name or ""))
            of_path = self.of_paths.get(replace(ref, field=None), ())
            there = [named] if named is not None and named.holds_on(entry.site) else []
            there += [item for item in of_path if item.holds_on(entry.site)][:1]
        if there:
            # What an event tells of later takes no person's name away.
            last = max(there, key=lambda item: (item.by.kind != "event", item.at))
            return last.by, last.reason
        if self.of_all is not None and self.of_all.holds_on(entry.site):
            return self.of_all.by, self.of_all.reason
        return self.actor, self.reason


CAUSE: ContextVar[Cause] = ContextVar("cause", default=Cause())  # noqa: B039  # frozen
"""The cause of the command or run that is under way; set where it begins, and copied to the threads of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a line says, before it has its place in a stream."""

    event: str
    outcome: str | None = None
    name: str | None = None
    ref: str | None = None
    from_version: str | None = None
    to_version: str | None = None
    remote_id: str | None = None
    request_id: str | None = None
    rule: str | None = None
    job: str | None = None
    target: str | None = None
    site: str | None = None
    reason: str | None = None
    intent: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    sends: SecretRef | None = None
    """The reference of the secret that a request to Wix is about; None for a line about anything else."""


def stamp(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def shown(version: str, at: datetime) -> tuple[str | None, dict[str, str]]:
    """Return how an audit line shows a version: its label, and more for the line's `detail`.

    A version of KV v1 is a fingerprint and may not be shown: then the label is None, and `read_at` (that is, `at`)
    tells when the version was read.
    """
    if is_fingerprint(version):
        return None, {"read_at": stamp(at)}
    return (version_label(version) or None), {}


NOBODY: Mapping[str, Any] = {}
"""No person had to agree."""


def entry_of(action: Action, record: Record, at: datetime, agreed: Mapping[str, Any] = NOBODY) -> Entry:
    """Return the intent line of an action.

    `record`: its row as it is journaled; `agreed`: who let this very action go, as a part of the line's `detail`.
    """
    before, _ = shown(action.record.version, at) if action.record else (None, {})
    wanted = record.version if isinstance(action, Delete) else action.desired.version
    after, detail = (None, {}) if isinstance(action, Delete) else shown(wanted, at)
    ref = record.ref if isinstance(action, Delete) else action.desired.ref
    if made := rotated_at(action):
        # How long it took to arrive is asked for later, when the row has another version already.
        detail = {**detail, "source_changed_at": stamp(made)}
    why = str(action.reason) if not isinstance(action, Create) else REMOVED if puts_back(action) else "new"
    return Entry(
        event=f"secret.{_verb(action)}",
        outcome="intent",
        name=action.name,
        ref=str(ref),
        from_version=before,
        to_version=after,
        remote_id=record.remote_id,
        job=record.job if isinstance(action, Delete) else action.desired.job,
        target=record.target,
        site=record.site,
        detail={"why": why, **detail, **agreed},
        sends=ref,
    )


def rotated_at(action: Action) -> datetime | None:
    """Return when the source made the version that an update rotates to; None if that is not known, or no rotation.

    First arrivals and restores are no rotations, nor is the return to what the site had before a rollback.
    """
    if not isinstance(action, Update) or action.reason is not Reason.ROTATED:
        return None
    made, sent = action.desired.updated_at, action.record.last_synced_at
    # The end of a rollback may wait for a release. What was made before the site got something else was there already.
    may_be_its_end = action.record.status in {"rolled_back", "held"}
    return None if may_be_its_end and made is not None and sent is not None and made <= sent else made


def _verb(action: Action) -> str:
    return {Create: "create", Update: "update", Delete: "delete"}[type(action)]


def end_of(outcome: Outcome, record: Record, at: datetime, agreed: Mapping[str, Any] = NOBODY) -> Entry:
    """Return the line that tells how an action ended: `done`, `failed`, or `unknown` where the answer was lost."""
    intent = entry_of(outcome.action, record, at, agreed)
    error = outcome.error
    # A lost answer is neither done nor failed: the request may have taken effect.
    result = "done" if error is None else "unknown" if getattr(error, "maybe_done", False) else "failed"
    detail = {**intent.detail, **({"error": str(error)} if error else {})}
    return Entry(
        event=intent.event,
        outcome=result,
        name=intent.name,
        ref=intent.ref,
        from_version=intent.from_version,
        to_version=intent.to_version,
        remote_id=outcome.remote_id or intent.remote_id,
        request_id=outcome.request_id or None,
        job=intent.job,
        target=intent.target,
        site=intent.site,
        detail=detail,
        sends=intent.sends,
    )


REMOVED = "removed at Wix by somebody else"


def drift_entry(event: str, action: Create | Update, record: Record, what: str = "") -> Entry:
    """Return a line about what somebody else did at Wix.

    `event`: `drift.found` (before it is undone) or `drift.restored`; `what`: what was done; empty: as the action
    tells.
    """
    return Entry(
        event=event,
        name=action.name,
        ref=str(action.desired.ref),
        remote_id=record.remote_id,
        job=action.desired.job,
        target=record.target,
        site=record.site,
        detail={"message": what or (REMOVED if isinstance(action, Create) else str(action.reason))},
    )


def taken_back_entry(record: Record, job: str) -> Entry:
    """The line of a secret that is ours again by its mark: the ledger had lost or forgotten it."""
    return entry_about(event="secret.adopted", record=record, job=job, by="its mark")


def handed_over_entry(record: Record, job: str) -> Entry:
    """The line of a secret that another installation took over at Wix: the ledger keeps no row of it any more."""
    return entry_about("secret.forgotten", record, job=job, by="the mark of another syncd")


def entry_about(event: str, record: Record, *, job: str | None = None, **detail: str) -> Entry:
    """A line about one secret as the ledger has it. `job`: where it is another one than the row's."""
    return Entry(
        event=event,
        name=record.name,
        ref=str(record.ref),
        remote_id=record.remote_id,
        job=record.job if job is None else job,
        target=record.target,
        site=record.site,
        detail=detail,
    )
