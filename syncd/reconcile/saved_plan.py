"""A plan kept as a file: versions and ids, no values, no fingerprints, no clock time. Pure but for the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from syncd.domain import Action, Delete, FindingKind, Plan, RemoteSecret, SyncReport, Update, is_fingerprint
from syncd.errors import ConfigError, PlanMoved, worst
from syncd.reconcile.planned_pass import PlannedPass
from syncd.transport.fault_words import in_words
from syncd.transport.private_files import read_bounded, write_private

FORMAT = "syncd-plan/2"
MOST_BYTES = 64 * 1024 * 1024
FIELDS = {
    "action", "name", "source", "path", "field", "from_version", "to_version", "description", "reason",
    "remote_id", "remote_name", "remote_description", "remote_updated",
}  # fmt: skip
"""The keys of an action in a plan file, no more and no less."""


def digest(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex digits, of a configuration or of a plan's content, in whatever order its keys are."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def unversioned(action: Action) -> bool:
    """Does the action bring a secret of KV v1? Such an action cannot be kept in a plan file.

    A secret of KV v1 has no version to compare it by, only a fingerprint of its value, which is never written into a
    file.
    """
    return not isinstance(action, Delete) and is_fingerprint(action.desired.version)


def action_row(action: Action, remote: Mapping[str, RemoteSecret]) -> dict[str, Any]:
    """An action with everything that may not move until it is applied."""
    record = action.record
    listed = remote.get(record.remote_id or "") if record else None
    ref = action.record.ref if isinstance(action, Delete) else action.desired.ref
    return {
        "action": type(action).__name__.lower(),
        "name": action.name,
        "source": ref.source,
        "path": ref.path,
        "field": ref.field,
        "from_version": _shown(record.version) if record else None,
        "to_version": None if isinstance(action, Delete) else _shown(action.desired.version),
        "description": None if isinstance(action, Delete) else action.desired.description,
        "remote_id": record.remote_id if record else None,
        "remote_name": listed.name if listed else None,
        "remote_description": listed.description if listed else None,
        "remote_updated": listed.updated_at.isoformat() if listed and listed.updated_at else None,
        "reason": action.reason if isinstance(action, (Update, Delete)) else "new",
    }


def _shown(version: str) -> str | None:
    # A version of KV v1 is a fingerprint, which is never written into a file.
    return None if not version or is_fingerprint(version) else version


def actions_of(planned: PlannedPass) -> list[dict[str, Any]]:
    """The actions of a plan that can be kept."""
    remote = {secret.id: secret for secret in planned.remote}
    return [action_row(action, remote) for action in planned.plan.actions if not unversioned(action)]


def see_place(path: Path) -> None:
    """Raise `ConfigError` where writing a plan would replace any other file, which nobody could bring back."""
    with suppress(RuntimeError, ValueError):  # links that lead to one another, no name at all: told when it is written
        if path.is_file() and not _is_a_plan(path):
            raise ConfigError(
                f"{path} is there and no plan of syncd's, so it is not replaced",
                hint="give the plan another name, or remove that file first",
            )


LIVE = (".lock", "-wal", "-shm", "-journal")
"""Suffixes of files that are often empty and in use: a ledger's lock, and what SQLite keeps beside it."""


def _is_a_plan(path: Path) -> bool:
    """Is the file a plan (any format, whole or edited), or empty and not in use? One that cannot be read is none."""
    try:
        if not path.stat().st_size:
            return not path.resolve().name.endswith(LIVE)
        content = json.loads(read_bounded(path, MOST_BYTES).decode())
        return str(content["format"]).startswith(FORMAT.partition("/")[0])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a plan file: whole or not at all, readable by this user alone, replacing only an older plan.

    An empty file is replaced, too. Raises `ConfigError`.
    """
    see_place(path)
    try:
        write_private(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{path} cannot be written ({in_words(error)})",
            hint="name a file in a folder that is writable, with space left",
        ) from None


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content with its checksum: a plan is carried out as it was made, or not at all."""
    return {**content, "checksum": digest(content)}


def read(path: Path) -> dict[str, Any]:
    """A kept plan. Raises `ConfigError` for anything else, and for one that was edited since it was made."""
    if not path.exists():
        raise ConfigError(f"there is no file {path}", hint="make a plan with: syncd plan --out FILE")
    try:
        content = json.loads(read_bounded(path, MOST_BYTES).decode())
        if content["format"] != FORMAT or not isinstance(content["configuration"], str):
            raise ValueError
        seen = set()
        for plan in content["plans"]:
            if plan.keys() != {"job", "target", "site", "actions"}:
                raise ValueError
            for key in ("job", "target", "site"):
                if not isinstance(plan[key], str):
                    raise TypeError
            if (plan["job"], plan["target"]) in seen:
                raise ValueError
            seen.add((plan["job"], plan["target"]))
            for action in plan["actions"]:
                if action.keys() != FIELDS or not isinstance(action["name"], str):
                    raise TypeError
        checksum = content.pop("checksum")
    # A file from outside may hold anything: whatever breaks while it is read means that it is no plan.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(f"{path} is no plan of syncd's", hint="make one with: syncd plan --out FILE") from None
    # A plan is an approval: what was edited after the review is another plan.
    if checksum != digest(content):
        raise ConfigError(f"{path} was changed since it was made", hint="make a new one with: syncd plan --out FILE")
    return dict(content)


def check(kept: list[dict[str, Any]], planned: PlannedPass, undone: str = "nothing was done") -> tuple[Action, ...]:
    """Return the actions of a fresh plan that were kept. Raises `PlanMoved` unless each is there unchanged.

    `undone`: what the error says that was not done.
    """
    remote = {secret.id: secret for secret in planned.remote}
    same = tuple(action for action in planned.plan.actions if action_row(action, remote) in kept)
    if len(same) != len(kept):
        names = {action.name for action in same}
        moved = ", ".join(sorted(str(action["name"]) for action in kept if action["name"] not in names)[:5])
        # Nothing has moved where the plan was applied before: whoever applies it twice is told so.
        if all(_is_carried_out(action, planned) for action in kept if action["name"] not in names):
            raise PlanMoved(
                f"the plan was carried out already: {moved}",
                hint="look again with: syncd plan; what was released meanwhile goes with: syncd sync",
            )
        raise PlanMoved(f"what the plan touches has moved: {moved}; {undone}", hint="look again with: syncd plan")
    return same


def with_what_is_left(kept: list[dict[str, Any]], report: SyncReport) -> SyncReport:
    """Return the report with a `PlanMoved` error that names the kept actions which were neither sent nor needless.

    A report without such actions, or with another error, stays as it is.
    """
    done = {outcome.action.name for outcome in report.outcomes}
    # A write that turned out needless is done as well; a deletion of what is there is not.
    needless = {finding.name for finding in report.findings if finding.kind is FindingKind.UNCHANGED}
    left = sorted(
        str(action["name"])
        for action in kept
        if action["name"] not in (done if action["action"] == "delete" else done | needless)
    )
    if not left or report.error is not None:
        return report
    error = PlanMoved(
        f"agreed on and not carried out: {', '.join(left[:5])}; something came between while the plan was applied",
        hint="look again with: syncd plan",
    )
    return replace(report, error=error, exit_code=worst({report.exit_code, error.exit_code}))


def _is_carried_out(action: Mapping[str, Any], planned: PlannedPass) -> bool:
    """Is the site as this action would leave it?"""
    if action["action"] == "delete":
        return action["remote_id"] not in {secret.id for secret in planned.remote}
    settled = {finding.name for finding in planned.plan.findings if finding.kind is FindingKind.UNCHANGED}
    versions = {record.name: _shown(record.version) for record in planned.records}
    return action["name"] in settled and versions.get(action["name"]) == action["to_version"]


def exactly(kept: list[dict[str, Any]]) -> Callable[[PlannedPass], Plan]:
    """Return a function that picks the kept actions from a fresh plan.

    In the first look it raises `PlanMoved` unless each is there unchanged; in later looks of the same cycle it goes on
    with what is still the same.
    """
    first = [True]

    def choose(planned: PlannedPass) -> Plan:
        # Only in the first look: what this very cycle has sent is in no later plan, and has not moved.
        if first[0]:
            # Other parts of the plan may have been carried out by now.
            check(kept, planned, "nothing of this job was done on this site")
        first[0] = False
        remote = {secret.id: secret for secret in planned.remote}
        same = [action for action in planned.plan.actions if action_row(action, remote) in kept]
        return replace(planned.plan, actions=tuple(same))

    return choose
