"""What rollbacks reach: every row and every job of the secrets that they hold, under whatever name or spelling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from syncd.domain import Record
from syncd.domain.job import Job
from syncd.domain.naming import selects_path
from syncd.domain.places import secret_at, spellings
from syncd.reconcile.runtime import Runtime

Key = tuple[str, str]
"""A source, and a path of it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The rows and jobs that a rollback reaches."""

    by_path: Mapping[Key, tuple[Record, ...]]
    """For each path that was asked for, the rows that come from its secret, without those that a rule pins."""
    read: Mapping[str, frozenset[str]]
    """By the name of each job that reads any of it, the paths by which the job does."""

    @property
    def rows(self) -> tuple[Record, ...]:
        """The rows of all paths."""
        return tuple(row for rows in self.by_path.values() for row in rows)


def reach_of(runtime: Runtime, records: Iterable[Record], paths: Iterable[Key]) -> Reach:
    """Return which of these rows, and which jobs, rollbacks of these paths reach. Raises `LedgerError`."""
    known, keys = [row for row in records if not row.pin], sorted(paths)
    configured = {job.source for job in runtime.jobs.values()}
    sources = configured | {row.ref.source for row in known} | {source for source, _ in keys}
    held = _Held(keys, {name: runtime.store.known_mounts(name) for name in sources}, configured)
    by_path: dict[Key, list[Record]] = {}
    for row in known:
        if (key := held.key_of(row.ref.source, row.ref.path)) is not None:
            by_path.setdefault(key, []).append(row)
    rows = [row for found in by_path.values() for row in found]
    read = {job.name: frozenset(held.taken_by(job, rows)) for job in runtime.jobs.values()}
    return Reach(
        {key: tuple(found) for key, found in by_path.items()}, {name: taken for name, taken in read.items() if taken}
    )


class _Held:
    """The secrets that some paths mean; without a known mount or account, the path alone tells."""

    def __init__(
        self, paths: Sequence[Key], mounts: Mapping[str, Mapping[str, str]], configured: AbstractSet[str]
    ) -> None:
        """`configured`: the sources of all jobs."""
        self._paths, self._mounts, self._configured = frozenset(paths), mounts, configured
        self._secrets = {secret: key for key in paths if (secret := self._secret_at(*key)) is not None}

    def _secret_at(self, source: str, path: str) -> tuple[str, str] | None:
        return secret_at(self._mounts.get(source, {}), path)

    def key_of(self, source: str, path: str) -> Key | None:
        """Return which of the paths holds the secret of this one; None if none does."""
        if (source, path) in self._paths:
            return source, path
        secret = self._secret_at(source, path)
        return self._secrets.get(secret) if secret else None

    def taken_by(self, job: Job, rows: Iterable[Record]) -> Iterator[str]:
        """Yield the paths by which a job's rules take any of the secrets. `rows`: the rows that come from them."""
        rules = [rule for rule in job.rules if not rule.pin]
        mounts = self._mounts.get(job.source, {})
        called = {row.ref.path for row in rows if row.ref.source == job.source}
        for source, path in self._paths:
            secret = self._secret_at(source, path)
            # Of a place that was never learnt only its own path is held; one whose source has no job may be renamed.
            if source == job.source or secret is not None or source not in self._configured:
                called |= spellings(path, secret, mounts, (rule.path.text for rule in rules))
        return (path for path in called if any(selects_path(rule, path) for rule in rules))
