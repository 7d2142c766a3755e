"""What rollbacks reach: every row and every job of the secrets that they hold, under whatever name or spelling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from syncd.domain import Record
from syncd.domain.job import Job
from syncd.domain.naming import selects_path
from syncd.domain.places import ACCOUNT, secret_at
from syncd.reconcile.runtime import Runtime

Key = tuple[str, str]
"""A source, and a path of it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Whoever reads the very secret of a rollback gets its version."""

    by_path: Mapping[Key, tuple[Record, ...]]
    """By each path that was asked for, the rows that come from its secret; a rule's own pin is left alone."""
    read: Mapping[str, frozenset[str]]
    """By the names of the jobs that send any of it somewhere, the paths by which each reads it."""

    @property
    def rows(self) -> tuple[Record, ...]:
        """All of them."""
        return tuple(row for rows in self.by_path.values() for row in rows)


def reach_of(runtime: Runtime, records: Iterable[Record], paths: Iterable[Key]) -> Reach:
    """What rollbacks of these paths reach, among these rows."""
    known, keys = [row for row in records if not row.pin], sorted(paths)
    configured = {job.source for job in runtime.jobs.values()}
    sources = configured | {row.ref.source for row in known} | {source for source, _ in keys}
    held = _Held(keys, {name: runtime.store.known_mounts(name) for name in sources})
    by_path: dict[Key, list[Record]] = {}
    for row in known:
        if (key := held.key_of(row.ref.source, row.ref.path)) is not None:
            by_path.setdefault(key, []).append(row)
    rows = [row for found in by_path.values() for row in found]
    read = {job.name: frozenset(held.taken_by(job, rows, configured)) for job in runtime.jobs.values()}
    return Reach(
        {key: tuple(found) for key, found in by_path.items()}, {name: taken for name, taken in read.items() if taken}
    )


class _Held:
    """The secrets that some paths mean; those whose place was never learnt are known by their paths alone."""

    def __init__(self, paths: Sequence[Key], mounts: Mapping[str, Mapping[str, str]]) -> None:
        self._paths, self._mounts = frozenset(paths), mounts
        self._secrets = {secret: key for key in paths if (secret := self._secret_at(*key)) is not None}

    def _secret_at(self, source: str, path: str) -> tuple[str, str] | None:
        return secret_at(self._mounts.get(source, {}), path)

    def key_of(self, source: str, path: str) -> Key | None:
        """Under which of the paths it is held, if it is."""
        if (source, path) in self._paths:
            return source, path
        secret = self._secret_at(source, path)
        return self._secrets.get(secret) if secret else None

    def taken_by(self, job: Job, rows: Iterable[Record], configured: set[str]) -> Iterator[str]:
        """The paths by which a job's rules take any of them. `rows`: those that come from them."""
        rules = [rule for rule in job.rules if not rule.pin]
        # An ARN ends in letters that no name tells: those that rules and rows have are asked as well.
        exact = {rule.path.text for rule in rules if not rule.path.has_wildcard}
        called = {path for path in exact if self.key_of(job.source, path)}
        called |= {row.ref.path for row in rows if row.ref.source == job.source}
        called |= set(self._called_at(job.source))
        called |= {path for source, path in self._paths if self._may_be(source, job.source, path, configured)}
        return (path for path in called if any(selects_path(rule, path) for rule in rules))

    def _called_at(self, source: str) -> Iterator[str]:
        """What the secrets are called at a source whose mounts are known."""
        for mount, mount_id in self._mounts.get(source, {}).items():
            for name in (name for place, name in self._secrets if place == mount_id):
                yield name if mount == ACCOUNT else mount + name

    def _may_be(self, source: str, today: str, path: str, configured: set[str]) -> bool:
        """May a job's source be the one of a path, perhaps under a new name?"""
        if source == today or source in configured:
            return source == today
        # Two Vaults may have one path; a source that no cycle has seen yet may be the one with a new name.
        then, now = (self._secret_at(name, path) for name in (source, today))
        return then is None or now is None or then == now
