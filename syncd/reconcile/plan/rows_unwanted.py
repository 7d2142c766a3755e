"""Rows for a record that its job no longer wants: unknown, waiting out its grace, or to be deleted."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

from syncd.domain import Delete, FindingKind, Pending, Presence, Record, RemoteSecret
from syncd.domain.plan import BY_HAND
from syncd.domain.write_window import is_as_left
from syncd.reconcile.plan.builder import NOTHING, Row, Verdict, act, note, probe_by_id, report, rests, tried_recently
from syncd.reconcile.plan.theirs import with_known_change


def judge_unwanted(row: Row, record: Record) -> Verdict:
    """What is done about a record that its own job no longer wants."""
    if record.name in row.evidence.failed_names:
        return NOTHING
    if row.is_frozen(record.frozen_until):
        frozen = report(FindingKind.FROZEN, record, f"frozen until {record.frozen_until:%Y-%m-%d %H:%M} UTC")
        # A freeze leaves it alone, so the time of it brings no deletion nearer.
        return frozen + _without_tombstone(record)
    seen = with_known_change(row, record)
    noted = note(seen) if seen is not record else NOTHING
    sought = _sought(row, seen)
    asked = sought.record_update or seen
    return noted + sought + _of_presence(row.with_record(asked), asked)


def _sought(row: Row, record: Record) -> Verdict:
    """Look for a record that the listing lacks, once an hour at most.

    Where values may be read, it is asked for by its name: that changes nothing. If it is not found so, or values may
    not be read, it is asked for by its id, which writes our mark over whatever stands there now.
    """
    if record.remote_id is None or row.listed is not None or tried_recently(record, row.now):
        return NOTHING
    # A listing that shows another secret of this name says that the name is not ours any more.
    if row.same_name is None and record.name in row.evidence.site_values:
        return note(replace(record, unlisted_tried_at=row.now))
    if row.same_name is None and row.evidence.may_compare(record.name):
        return Verdict(compare=record.name)
    return probe_by_id(record)


def _without_tombstone(record: Record) -> Verdict:
    """Stop the tombstone: absence that was observed stays; the time until the next observation does not count."""
    return note(replace(record, absent_at=None)) if record.absent_at is not None else NOTHING


def _of_presence(row: Row, record: Record) -> Verdict:
    presence, why = row.evidence.presence.get(record.name, (Presence.UNKNOWN, "not looked for"))
    # "Could not read" is never "was deleted": the clock of the observed absence stops.
    if presence is Presence.UNKNOWN:
        # Where a slip may hide it, nobody can tell whether its source still has it: that is not done.
        code = 0 if row.evidence.lists_all else 1
        return report(FindingKind.UNKNOWN, record, why, exit_code=code) + _without_tombstone(record)
    kind = FindingKind.MISSING if presence is Presence.ABSENT else FindingKind.ORPHAN
    if record.name.casefold() in row.evidence.wanted_elsewhere:
        return report(kind, record, f"{why}; kept, another job wants its name") + _without_tombstone(record)
    # The row stays for that alone: without it the secret would come back as one of ours to delete.
    if record.remote_id is None and record.pending is None:
        return report(FindingKind.UNCHANGED, record, "it was adopted once, and is not on the site any more")
    if record.remote_id is None:
        why = "the response to its create request was lost; each listing is searched for it"
        return report(FindingKind.UNVERIFIED, record, why)
    if not row.policies.delete:
        return report(kind, record, f"{why}; kept (deletion_policy: keep)")
    if not record.unverified or row.listed is None:
        return _tombstone(row, record, kind, why)
    return _of_unverified(row, record, row.listed, kind, why)


def _of_unverified(row: Row, record: Record, listed: RemoteSecret, kind: FindingKind, why: str) -> Verdict:
    """Judge an unwanted record with unverified content: only what is seen to be our value may be deleted.

    Time alone verifies nothing.
    """
    evidence = row.evidence
    is_theirs = record.theirs or record.remarked
    looks_left = (listed.name, listed.description) == (record.name, record.description)
    as_left = record.fingerprint is not None and looks_left and not is_theirs
    comparable = as_left and record.name not in evidence.postponed and record.name not in evidence.uncompared
    held = evidence.site_values.get(record.name)
    # A write of ours whose answer was lost may have arrived: its value is ours as well.
    if (
        comparable
        and held is not None
        and held in {record.fingerprint, *(lost.fingerprint for lost in record.lost_writes)}
    ):
        known = replace(
            record, unverified=False, fingerprint=held, lost_writes=(), window=None, pinned_at=listed.updated_at
        )
        return note(known) + _tombstone(row, known, kind, why)
    asks = comparable and evidence.site_values_readable and record.name not in evidence.site_values
    unknown = report(
        FindingKind.UNVERIFIED,
        record,
        f"{why}; not deleted: what the site holds under this id is not known",
        f"{BY_HAND}, then: syncd state forget {record.name} --target {row.inputs.target}",
    )
    return Verdict(compare=record.name if asks else "") + unknown


def judge_of_gone_job(row: Row, record: Record) -> Verdict:
    """Judge a record that no job sends here any more: an orphan, which is deleted by command only.

    If the listing lacks it, it is looked for, once an hour at most.
    """
    if record.name in row.evidence.taken_over or row.is_frozen(record.frozen_until):
        return NOTHING
    sought, orphan = _sought(row, record), NOTHING
    seen = with_known_change(row, sought.record_update or record)
    # An idle cycle writes nothing: the row is noted once.
    if record.status != "orphan" or record.absent_at is not None:
        orphan = note(replace(seen, status="orphan", absent_at=None))
    elif seen is not record:
        orphan = note(seen)
    verdict = sought + orphan
    if record.name not in row.evidence.left_behind:
        return verdict
    why = f"job {record.job} sends nothing to this site any more; kept as it is"
    hint = f"to remove it: syncd state forget {record.name} --target {row.inputs.target} --delete --reason '…'"
    return verdict + report(FindingKind.ORPHAN, record, why, hint)


def _tombstone(row: Row, record: Record, kind: FindingKind, why: str) -> Verdict:
    """Add up the observed absence, and delete once it has reached the grace."""
    now, policies = row.inputs.site_now, row.policies
    seen = record.absent_for
    rested = row.evidence.rested_until
    # The first observation adds nothing, and neither does one from before a pause.
    if record.absent_at is not None and (rested is None or rested <= record.absent_at):
        # The shortest counts: either clock may have jumped, and nobody looked during a downtime.
        spans = (now - record.absent_at, row.evidence.unobserved_since, 2 * policies.interval)
        seen += max(timedelta(0), min(spans))
    absent = replace(record, absent_at=now, absent_for=seen)
    if seen < policies.grace:
        left = _in_words(policies.grace - seen)
        # What will keep it then is told from the beginning: nobody is frightened by a deletion that will not come.
        kept = row.evidence.objections.get(record.name, "")
        if kept:
            return note(absent) + report(kind, record, f"{why}; not deleted: {kept}")
        then = f"deleted after {left} more of observed absence"
        freeze = f"syncd state freeze {record.name} --target {row.inputs.target} --until 7d --reason '…'"
        keep = f"to keep it: bring it back at the source, or {freeze}"
        return note(absent) + report(kind, record, f"{why}; {then}", keep)
    obstacle = obstacle_to_deletion(record, row.listed, row.now, plausible=row.listing_is_plausible)
    obstacle = obstacle or row.evidence.objections.get(record.name, "")
    problem = row.evidence.problems.get(record.name)
    # A deletion brings no version and follows no rule, so its refusals are kept without either.
    if problem and rests(problem, "", "", row.now):
        return note(absent) + report(FindingKind.QUARANTINED, record, problem.message, problem.hint)
    if obstacle:
        return note(absent) + report(kind, record, f"{why}; not deleted: {obstacle}")
    return note(absent) + act(Delete(record=absent, reason=why, kind=kind))


def _in_words(left: timedelta) -> str:
    if left < timedelta(minutes=1):
        return f"{math.ceil(left.total_seconds())}s"
    minutes = int(left.total_seconds() // 60) + 1
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m"


def obstacle_to_deletion(record: Record, listed: RemoteSecret | None, now: datetime, *, plausible: bool) -> str:
    """Why an id may not be deleted now; empty if it is ours, listed, and as we left it.

    `plausible`: does the listing show enough of what the ledger holds to be believed?
    """
    if record.is_frozen(now):
        return "it is frozen"
    if record.adopted:
        return "it was adopted, not created by syncd; delete it at Wix"
    if record.remarked:
        return "no listing showed it once, and the look-up by its id wrote our mark there; delete it at Wix"
    if record.unverified or record.pending in {Pending.CREATE, Pending.UPDATE, Pending.DESCRIBE}:
        return "its content is not verified yet"
    if listed is None or not plausible:
        return "the site's listing does not show it (it is looked for by its id)"
    if listed.name != record.name:
        return f"it was renamed to {listed.name} at Wix"
    if listed.description != record.description:
        return "its description was changed at Wix"
    if not is_as_left(record, listed):
        return "it was changed at Wix by somebody else"
    return ""
