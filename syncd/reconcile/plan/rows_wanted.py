"""Rows for a name that is wanted: nothing at the site, somebody else's, ours and unlisted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from syncd.domain import Create, DesiredSecret, FindingKind, Pending, Reason, Record, RemoteSecret, Update, name_in
from syncd.domain.ownership import MARK, is_for_another, other_owner, owner_in
from syncd.domain.value_templates import form_in
from syncd.domain.write_window import may_be_late_commit
from syncd.reconcile.plan.builder import (
    NOTHING,
    Row,
    Verdict,
    act,
    note,
    owns,
    probe_by_id,
    report,
    rests,
    tried_recently,
    update,
)
from syncd.reconcile.plan.inputs import Evidence
from syncd.reconcile.plan.rows_listed import judge_listed
from syncd.reconcile.plan.theirs import SOMEBODY, as_policy_says, is_found, with_known_change

ANOTHER_NAME = "give one of the two rules another `name`"


def judge_wanted(row: Row, desired: DesiredSecret) -> Verdict:
    """What is done about a name that is wanted."""
    record = row.record
    if record is None:
        return _judge(row, desired, None)
    # Whatever else is said of it: being there ends its absence, and what is not known to be gone adds nothing to it.
    awake = _without_absence(record, is_there=owns(record, desired))
    verdict = _judge(row.with_record(awake), desired, awake)
    verdict = (note(awake) if awake != record else NOTHING) + verdict
    if verdict.actions or verdict.compare:
        return verdict
    # Whatever kept it from being judged, what the listing shows of others is known from now on.
    final = verdict.record_update or awake
    seen = with_known_change(row.with_record(final), final)
    return verdict + note(seen) if seen is not final else verdict


def _without_absence(record: Record, *, is_there: bool) -> Record:
    if is_there and (record.absent_at or record.absent_for):
        return replace(record, absent_at=None, absent_for=timedelta(0))
    return replace(record, absent_at=None) if record.absent_at else record


def _judge(row: Row, desired: DesiredSecret, record: Record | None) -> Verdict:
    evidence = row.evidence
    if desired.name in evidence.failed_names:
        return NOTHING
    if record and row.is_frozen(record.frozen_until):
        frozen = report(FindingKind.FROZEN, desired, f"frozen until {record.frozen_until:%Y-%m-%d %H:%M} UTC")
        if not is_found(record, row.listed, row.now):
            return frozen
        # Left alone, and told all the same.
        return frozen + report(FindingKind.DRIFT, desired, f"{SOMEBODY}, and frozen")
    fault = evidence.faults.get(desired.key)
    if fault is not None:
        return report(FindingKind.FAILED, desired, fault.message, fault.hint)
    problem = evidence.problems.get(desired.name)
    if problem and rests(problem, desired.version, desired.rule, row.now):
        return report(FindingKind.QUARANTINED, desired, problem.message, problem.hint)
    if record is None:
        return _create(row, desired) if row.same_name is None else _foreign(row, desired, row.same_name)
    sender = evidence.sent_by_another.get(desired.name, "")
    other_form = form_in(record.version) != form_in(desired.version)
    if sender and not (owns(record, desired) and other_form):
        return _kept_by_its_job(desired, record, sender)
    if objection := _objection(row, desired, record):
        return objection
    if resting := _resting_owner(evidence, desired, record):
        return report(FindingKind.BEHIND, desired, f"{resting}; no other job takes its secrets over meanwhile")
    ours = _of_this_job(row, desired, record)
    return (note(ours) if ours != record else NOTHING) + _recorded(row.with_record(ours), desired, ours)


def _resting_owner(evidence: Evidence, desired: DesiredSecret, record: Record) -> str:
    """Return why a row of another job rests: a person paused that job, under the name in the row; else empty."""
    owner = evidence.resting.get(record.job) if record.job != desired.job else None
    if owner is None:
        return ""
    # A job that gave the name to the same secret all along goes on alone once the other one is taken out.
    is_alone = record.job not in evidence.jobs and desired.name not in evidence.wanted_by_others
    goes_on = is_alone and owns(record, desired) and owner.worked_before
    return "" if goes_on else owner.why


def _objection(row: Row, desired: DesiredSecret, record: Record) -> Verdict | None:
    """Return the verdict that keeps the wanted reference from using the row of this name; None if it may use it."""
    evidence = row.evidence
    # A transfer that waits is told first: what it waits for makes the name free, or keeps it.
    if desired.name in evidence.blocked_transfers:
        hint = "if two names wait for one another, give one of the rules a third name first"
        return report(FindingKind.CONFLICT, desired, evidence.blocked_transfers[desired.name], hint)
    claimed = record.name in evidence.claimed_by_own_job
    if record.name != desired.name and claimed:
        why = f"{record.name} of job {record.job} differs only in case"
        return report(FindingKind.CONFLICT, desired, why, ANOTHER_NAME)
    other_form = form_in(record.version) != form_in(desired.version)
    if record.job != desired.job and claimed and owns(record, desired) and other_form:
        why = f"job {record.job} already sends {desired.name} of the same secret, made by another template or encoding"
        return report(FindingKind.CONFLICT, desired, why, f"{ANOTHER_NAME}, or both the same `value` and `binary`")
    if not owns(record, desired) and desired.name not in evidence.transferable:
        why = f"{desired.name} belongs to {record.ref} of job {record.job}"
        return report(FindingKind.CONFLICT, desired, why, ANOTHER_NAME)
    return None


def _kept_by_its_job(desired: DesiredSecret, record: Record, sender: str) -> Verdict:
    """Report a name that another job, `sender`, sends from the same secret.

    That job's pause, windows, policies and rules count.
    """
    # It may send it through another entry for the same place, or by an ARN: the same secret, as is known already.
    is_spelled = name_in(record.ref.path) == name_in(desired.ref.path)
    ref = replace(record.ref, source=desired.ref.source, path=desired.ref.path if is_spelled else record.ref.path)
    is_same = owns(replace(record, ref=ref), desired)
    is_there = is_same and record.remote_id is not None and record.pending is None
    is_known = not (record.unverified or record.theirs)
    if is_there and record.version == desired.version and is_known:
        return report(FindingKind.UNCHANGED, desired, f"job {sender} sends it")
    if is_there and record.version == desired.version:
        return report(FindingKind.BEHIND, desired, f"job {sender} sends it, and what the site holds is not known")
    return report(FindingKind.BEHIND, desired, f"job {sender} sends it, and has not yet")


def _of_this_job(row: Row, desired: DesiredSecret, record: Record) -> Record:
    """Return a wanted record with this target, and with this job if its own job no longer wants it."""
    moved = record if record.target == row.inputs.target else replace(record, target=row.inputs.target)
    if record.job != desired.job and desired.name not in row.evidence.claimed_by_own_job and owns(record, desired):
        moved = replace(moved, job=desired.job)
    return moved


def _foreign(row: Row, desired: DesiredSecret, found: RemoteSecret) -> Verdict:
    """A secret that is not ours has the name. It is left alone unless the job or a grant says adopt."""
    grant, owner = row.evidence.grants.get(desired.name), other_owner(found.description, row.inputs.owner)
    # The permission was for the secret that the person saw: another id or another mark voids it.
    granted = grant is not None and grant.remote_id == found.id and owner in {"", grant.owner}
    known = row.evidence.known_ids.get(found.id)
    adopting = f"syncd state adopt {desired.name} --target {row.inputs.target} --reason '…'"
    # A freeze follows the id: it holds whatever the job and a grant allow.
    if known and row.is_frozen(known.frozen_until):
        until = f"frozen until {known.frozen_until:%Y-%m-%d %H:%M} UTC, by its id"
        return report(FindingKind.FROZEN, desired, until)
    if row.holder is not None:
        why = f"{found.name} on the site is our secret {row.holder.name}, under another name"
        return report(FindingKind.CONFLICT, desired, why, "it goes back to its own name first, or rename it at Wix")
    if found.name != desired.name:
        why = f"the site has {found.name}, which differs only in case"
        # Whoever's mark it carries would lose it.
        is_marked = MARK.search(found.description) is not None
        hint = (
            "give the rule another `name`"
            if is_marked
            else "rename or remove it at Wix, or give the rule another `name`"
        )
        return report(FindingKind.CONFLICT, desired, why, hint)
    # Two installations would fight over it: only a person's grant for this very secret takes it.
    if owner and not granted:
        why = f"the secret of this name carries the mark of another syncd, {owner}"
        hint = f"let one of the two installations leave it out; to take it over: {adopting}"
        return report(FindingKind.CONFLICT, desired, why, hint)
    # Our mark for another reference: it may be another rule's, which takes it back by that as soon as it can. Only a
    # person can know that none does, and not before each job has looked.
    is_anothers = is_for_another(found.description, row.inputs.owner, desired.description)
    if granted and is_anothers and row.evidence.yet_to_look:
        why = "the site already has a secret of this name, with our mark for another one"
        hint = f"it may be of job {min(row.evidence.yet_to_look)}, which has not looked at all of its source yet"
        return report(FindingKind.CONFLICT, desired, why, hint)
    if granted or (row.policies.adopt and not is_anothers):
        return _adopt(row, desired, found)
    if grant is not None:
        why = f"the permission to take it over was given for another secret of this name, id {grant.remote_id}"
        hint = f"look at this one, id {found.id}; to take it over: {adopting}"
        return report(FindingKind.CONFLICT, desired, why, hint)
    if is_anothers:
        why = "the site already has a secret of this name, with our mark for another one"
        hint = (
            "whatever gives it takes it back once its source can be read: give one of the two another name; "
            f"where nothing gives it any more: {adopting}"
        )
        return report(FindingKind.CONFLICT, desired, why, hint)
    is_ours = owner_in(found.description) == row.inputs.owner
    whose = "with our mark, under an id that is new" if is_ours else "that syncd did not create"
    why = f"the site already has a secret of this name {whose}"
    hint = f"rename it at Wix, or take it over: {adopting}, or conflict_policy: adopt"
    return report(FindingKind.CONFLICT, desired, why, hint)


def _adopt(row: Row, desired: DesiredSecret, found: RemoteSecret) -> Verdict:
    """Take a secret over. Where its value may be read it is compared first, and the same value is not sent."""
    evidence = row.evidence
    if desired.name in evidence.postponed:
        return NOTHING
    seed = row.record or Record(
        site=row.inputs.site, name=desired.name, target=row.inputs.target, job=desired.job, ref=desired.ref
    )
    # It never becomes ours to delete, and what it holds is not known before it is compared or written.
    taken = replace(
        seed,
        remote_id=found.id,
        pin=desired.pin,
        adopted=True,
        fingerprint=None,
        unverified=True,
        theirs=False,
        pending=None,
        window=None,
    )
    site_value = evidence.site_values.get(desired.name)
    if site_value is None or desired.fingerprint is None:
        return Verdict(compare=desired.name if evidence.may_compare(desired.name) else "") + update(
            desired, taken, Reason.ADOPT
        )
    if site_value != desired.fingerprint:
        return update(desired, taken, Reason.ADOPT_OTHER)
    known = replace(
        taken,
        version=desired.version,
        fingerprint=desired.fingerprint,
        source_updated_at=desired.updated_at,
        unverified=False,
        verified_at=row.now,
    )
    return act(Update(desired=desired, record=known, reason=Reason.ADOPT_SAME, describe_only=True))


def _create(row: Row, desired: DesiredSecret) -> Verdict:
    # Half of our secrets missing from a listing is a broken listing: created names would be doubled.
    if not row.listing_is_plausible:
        why = "the site lists less than half of what the ledger holds there, so nothing is created"
        return report(FindingKind.UNKNOWN, desired, why, "look at the site; the next cycle lists again", exit_code=5)
    # Sent again it may meet its own name: a 409, and an id that nobody knows.
    if desired.name in row.evidence.unconfirmed_creates:
        why = "the response to the create request was lost, and the site does not list the secret yet"
        return report(FindingKind.UNVERIFIED, desired, why, "the next cycle looks again before it creates anything")
    verdict = act(Create(desired=desired, record=row.record))
    return replace(verdict, read_value=desired.name if desired.value is None else "")


def _recorded(row: Row, desired: DesiredSecret, record: Record) -> Verdict:
    if record.remote_id is None:
        # A create of another reference, or in another case, may still arrive: creating now would double it.
        is_other = not owns(record, desired) or record.name != desired.name
        if record.pending is Pending.CREATE and is_other and may_be_late_commit(record, row.now):
            why = f"the response to a create request from {record.ref} was lost, and it may still arrive"
            return report(FindingKind.UNVERIFIED, desired, why)
        return _create(row, desired) if row.same_name is None else _foreign(row, desired, row.same_name)
    if row.listed is None:
        return as_policy_says(row, desired, record, _unlisted(row, desired, record), f"{SOMEBODY}, and not listed now")
    return as_policy_says(row, desired, record, judge_listed(row, desired, record, row.listed), SOMEBODY)


def _unlisted(row: Row, desired: DesiredSecret, record: Record) -> Verdict:
    recent = tried_recently(record, row.now)
    if row.same_name is not None:
        if not recent:
            return probe_by_id(record)  # only its 404 makes the name somebody else's
        why = "the site lists another secret of this name, and ours exists under its id, unlisted"
        return report(FindingKind.CONFLICT, desired, why, "look for both at Wix; the next cycles do, too")
    # What is new does not wait out the hour.
    if desired.version != record.version or not owns(record, desired) or not recent:
        return update(desired, record, Reason.UNLISTED, rename=record.name != desired.name)
    why = "the site does not list it, though it took a write within the hour"
    # What was created again and again, and was never listed, is perhaps nowhere.
    kind = FindingKind.UNVERIFIED if record.unverified else FindingKind.UNKNOWN
    return report(kind, desired, why, "it is looked for again in every cycle")
