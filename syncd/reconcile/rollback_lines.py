"""What the audit trail and people are told of rollbacks and their ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from syncd.domain import Record, version_label
from syncd.domain.audit import Entry
from syncd.domain.decisions import Rollback
from syncd.reconcile.rollback import Taken, paths_of
from syncd.reconcile.rollback_reach import reach_of
from syncd.reconcile.runtime import Runtime


def entries_of(records: Iterable[Record], rollback: Rollback | None) -> Iterator[Entry]:
    """Yield one line of the audit trail for each record. `rollback`: None where it ends."""
    for record in records:
        ends = {"until": f"{rollback.until:%Y-%m-%dT%H:%M:%SZ}"} if rollback else {"ended": "true"}
        yield Entry(
            event="secret.rolled_back",
            name=record.name,
            ref=str(record.ref),
            from_version=version_label(record.version) or None,
            to_version=rollback.label if rollback else None,
            remote_id=record.remote_id,
            job=record.job,
            target=record.target,
            site=record.site,
            detail=ends,
        )


def entries_of_rollbacks(
    runtime: Runtime, records: Iterable[Record], kept: Collection[tuple[Taken, Rollback]]
) -> Iterator[Entry]:
    """Yield the audit lines of paths that are rolled back: one for every row that gets the version."""
    reached = reach_of(runtime, records, paths_of(item for item, _ in kept)).by_path
    for item, rollback in kept:
        # A row of before its source got another name, in a place that was never learnt, is known by its path alone.
        rows = dict.fromkeys((*item.records, *reached.get((item.source, item.path), ())))
        yield from entries_of(rows, rollback)


def entries_of_end(runtime: Runtime, records: Iterable[Record], paths: Collection[tuple[str, str]]) -> Iterator[Entry]:
    """Yield the audit lines of rollbacks that end; a path without a secret at any site has one, too."""
    reached = reach_of(runtime, records, paths).by_path
    yield from entries_of((row for rows in reached.values() for row in rows), None)
    for source, path in paths:
        if (source, path) not in reached:
            yield Entry(event="secret.rolled_back", ref=f"{source}:{path}", detail={"ended": "true"})


def said_of_end(source: str, path: str, still: Rollback | None) -> str:
    """What the end of a rollback means. `still`: another one that holds the same secret."""
    if still is not None:
        other = f"{still.source}:{still.path}"
        return f"{source}:{path} ends; {other}, which is the same secret, still is {still}; end that one as well"
    return f"{path}: goes on to its newest version; where a rule holds that, a site stays as it is until a release"
