"""The truth table of the planner, row by row: what is known of one name, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import (
    Create,
    DesiredSecret,
    FindingKind,
    Grant,
    KnownId,
    LostWrite,
    OpenProblem,
    Pending,
    Plan,
    Presence,
    Reason,
    Record,
    RemoteSecret,
    SecretRef,
    SecretValue,
    Update,
    WriteWindow,
    verb_of,
)
from syncd.domain.job import Policies
from syncd.domain.ownership import mark_of, marked
from syncd.reconcile.plan.inputs import Evidence, PlannerInput
from syncd.reconcile.plan.planner import plan

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REF = SecretRef(source="vault", path="secret/a", field="key")
OTHER = SecretRef(source="vault", path="secret/b", field="key")
OURS = marked("Kept by syncd", mark_of("team", "KEY", REF))
OURS_FOR_OTHER = marked("Kept by syncd", mark_of("team", "KEY", OTHER))
THEIRS = marked("Kept by syncd", mark_of("rival", "KEY", REF))
WANTED = DesiredSecret(name="KEY", ref=REF, version="2", description=OURS, job="job")
READ = replace(WANTED, value=SecretValue("value"), fingerprint="f2")
RECORD = Record(
    site="site",
    name="KEY",
    target="shop",
    job="job",
    ref=REF,
    remote_id="id-1",
    description=OURS,
    version="2",
    fingerprint="f2",
    pinned_at=NOW - 2 * HOUR,
    last_synced_at=NOW - 2 * HOUR,
    verified_at=NOW - HOUR,
    status="synced",
)
MINUTE = timedelta(minutes=1)
JUST_NOW = WriteWindow(start=NOW - timedelta(seconds=2), end=NOW)
LISTED = RemoteSecret(id="id-1", name="KEY", description=OURS, updated_at=NOW - 2 * HOUR)
ABSENT = {"presence": {"KEY": (Presence.ABSENT, "gone")}}
ORPHAN = {"presence": {"KEY": (Presence.ORPHAN, "left out")}}
UNKNOWN = {"presence": {"KEY": (Presence.UNKNOWN, "denied")}}


def record(**change: Any) -> Record:
    return replace(RECORD, **change)


def listed(**change: Any) -> RemoteSecret:
    return replace(LISTED, **change)


def problem(**change: Any) -> OpenProblem:
    known = {"site": "site", "job": "job", "subject": "KEY", "kind": "quarantined", "message": "no", "first_at": NOW}
    return OpenProblem(**{**known, **change})


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of the name KEY, and what the plan makes of it."""

    then: str
    """An action's verb and reason, or a finding's kind."""
    wanted: DesiredSecret | None = WANTED
    record: Record | None = RECORD
    listed: RemoteSecret | None = LISTED
    policies: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    more: tuple[RemoteSecret, ...] = ()


ROWS = {
    # --- wanted, nothing of ours is there
    "nothing anywhere": Row(record=None, listed=None, then="create"),
    "somebody else's": Row(record=None, listed=listed(description="by hand"), then="conflict"),
    "another installation's": Row(record=None, listed=listed(description=THEIRS), then="conflict"),
    "somebody else's, adopted": Row(
        record=None, listed=listed(description="by hand"), policies={"adopt": True}, then="update taken over, whatever"
    ),
    "another installation's is never adopted by policy": Row(
        record=None, listed=listed(description=THEIRS), policies={"adopt": True}, then="conflict"
    ),
    "another installation's, by permission": Row(
        record=None,
        listed=listed(description=THEIRS),
        evidence={"grants": {"KEY": Grant(remote_id="id-1", owner="rival")}},
        then="update taken over, whatever",
    ),
    "ours for another secret, which a job may still take back": Row(
        record=None,
        listed=listed(description=OURS_FOR_OTHER),
        policies={"adopt": True},
        evidence={"yet_to_look": {"other"}},
        then="conflict",
    ),
    "… whoever permits it": Row(
        record=None,
        listed=listed(description=OURS_FOR_OTHER),
        evidence={"yet_to_look": {"other"}, "grants": {"KEY": Grant(remote_id="id-1")}},
        then="conflict",
    ),
    "somebody else's, whoever has not looked": Row(
        record=None,
        listed=listed(description="by hand"),
        policies={"adopt": True},
        evidence={"yet_to_look": {"other"}},
        then="update taken over, whatever",
    ),
    "ours for another secret is never adopted by policy": Row(
        record=None, listed=listed(description=OURS_FOR_OTHER), policies={"adopt": True}, then="conflict"
    ),
    "ours for another secret, by permission": Row(
        record=None,
        listed=listed(description=OURS_FOR_OTHER),
        evidence={"grants": {"KEY": Grant(remote_id="id-1")}},
        then="update taken over, whatever",
    ),
    "ours for this secret under an id that nobody knows": Row(
        record=None, listed=listed(id="id-9"), policies={"adopt": True}, then="update taken over, whatever"
    ),
    "a permission for another id": Row(
        record=None,
        listed=listed(description="by hand"),
        evidence={"grants": {"KEY": Grant(remote_id="id-9")}},
        then="conflict",
    ),
    "a permission from before it got another mark": Row(
        record=None, listed=listed(description=THEIRS), evidence={"grants": {"KEY": Grant(remote_id="id-1")}}, then="conflict"
    ),
    "adopted, the same value": Row(
        wanted=READ,
        record=None,
        listed=listed(description="by hand"),
        policies={"adopt": True},
        evidence={"site_values_readable": True, "site_values": {"KEY": "f2"}},
        then="update taken over, its value is the same",
    ),
    "adopted, another value": Row(
        wanted=READ,
        record=None,
        listed=listed(description="by hand"),
        policies={"adopt": True},
        evidence={"site_values_readable": True, "site_values": {"KEY": "f9"}},
        then="update taken over, another value",
    ),
    "frozen by its id": Row(
        record=None,
        evidence={"known_ids": {"id-1": KnownId(remote_id="id-1", adopted=False, frozen_until=NOW + DAY)}},
        then="frozen",
    ),
    "in another case": Row(record=None, listed=listed(name="key"), then="conflict"),
    "a creation that may still come": Row(record=None, listed=None, evidence={"unconfirmed_creates": {"KEY"}}, then="unverified"),
    "a creation without its id": Row(record=record(remote_id=None, pending=Pending.CREATE), listed=None, then="create"),
    # --- wanted, and not to be touched now
    "its request failed in this cycle": Row(evidence={"failed_names": {"KEY"}}, then=""),
    "frozen": Row(record=record(frozen_until=NOW + DAY), then="frozen"),
    "no longer frozen": Row(record=record(frozen_until=NOW - HOUR), then="unchanged"),
    "quarantined": Row(evidence={"problems": {"KEY": problem(retry_at=NOW + HOUR, version="2")}}, then="quarantined"),
    "another version ends the quarantine": Row(
        record=record(version="1"),
        evidence={"problems": {"KEY": problem(retry_at=NOW + HOUR, version="1")}},
        then="update new source version",
    ),
    "of another path that still wants it": Row(record=record(ref=OTHER), then="conflict"),
    "of another path that passes it on": Row(
        record=record(ref=OTHER), evidence={"transferable": {"KEY"}}, then="update moved to another source path"
    ),
    "waits for the other's new name": Row(record=record(ref=OTHER), evidence={"blocked_transfers": {"KEY": "waits"}, "transferable": {"KEY"}}, then="conflict"),
    # --- wanted, ours, not listed
    "not listed": Row(listed=None, then="update missing from the listing"),
    "not listed, tried within the hour": Row(
        listed=None, record=record(unlisted_tried_at=NOW - timedelta(minutes=5)), then="unknown"
    ),
    "not listed, another of its name": Row(listed=listed(id="id-2"), then="update looked for by its id"),
    # --- wanted, ours, listed
    "as recorded": Row(then="unchanged"),
    "a new version": Row(record=record(version="1", fingerprint="f1"), then="update new source version"),
    "an older version that a person wants": Row(
        wanted=replace(WANTED, rolled_back=True), record=record(version="3"), then="update rolled back"
    ),
    "the rule makes another value of the same version": Row(
        record=record(version="2~0123abcd", fingerprint="f1"), then="update the rule makes another value of it"
    ),
    "a new version of the same value": Row(wanted=READ, record=record(version="1"), then="unchanged"),
    "a value that differs at the same version": Row(
        wanted=READ, record=record(fingerprint="f1"), then="update verification found another value"
    ),
    "not verified": Row(record=record(unverified=True), then="update content not verified"),
    "not verified, and no write of ours left what it holds": Row(
        record=record(unverified=True),
        listed=listed(updated_at=NOW - HOUR),
        wanted=READ,
        policies={"restore": False},
        evidence={"site_values": {"KEY": "other"}},
        then="drift",
    ),
    "not verified, and it holds what a lost write carried": Row(
        record=record(unverified=True, lost_writes=(LostWrite(NOW - 2 * HOUR, "other"),)),
        listed=listed(updated_at=NOW - HOUR),
        wanted=READ,
        policies={"restore": False},
        evidence={"site_values": {"KEY": "other"}},
        then="update content not verified",
    ),
    "not verified, somebody's, and a new version": Row(
        record=record(unverified=True, version="1", fingerprint="f1"),
        listed=listed(updated_at=NOW - HOUR),
        wanted=READ,
        policies={"restore": False},
        evidence={"site_values": {"KEY": "other"}},
        then="update content not verified",
    ),
    "not verified, and seen to be ours": Row(
        wanted=READ,
        record=record(unverified=True),
        evidence={"site_values_readable": True, "site_values": {"KEY": "f2"}},
        then="unchanged",
    ),
    "changed at Wix": Row(listed=listed(updated_at=NOW - HOUR), then="update changed at Wix"),
    "known to be theirs, under a date of ours": Row(
        record=record(theirs=True), policies={"restore": False}, then="drift"
    ),
    "changed at Wix, only reported": Row(
        listed=listed(updated_at=NOW - HOUR), policies={"restore": False}, then="drift"
    ),
    "changed at Wix for the fourth time": Row(
        listed=listed(updated_at=NOW - HOUR), record=record(restores=(NOW - HOUR,) * 3), then="contested"
    ),
    "restores of the day before do not count": Row(
        listed=listed(updated_at=NOW - HOUR), record=record(restores=(NOW - 2 * DAY,) * 3), then="update changed at Wix"
    ),
    "renamed at Wix": Row(listed=listed(name="OTHER"), then="update renamed at Wix"),
    "renamed at Wix, only reported": Row(listed=listed(name="OTHER"), policies={"restore": False}, then="drift"),
    # A listing that was made before our last write shows the name and the text of then.
    **{
        f"{what} of before our last write, {policy}": Row(
            listed=listed(updated_at=at, **before), policies={"restore": policy == "restore"}, then="unchanged",
            record=record(pinned_at=None, window=JUST_NOW, last_synced_at=NOW, **verified),
        )
        for policy in ("restore", "report")
        for at in (NOW - 9 * DAY, NOW - timedelta(seconds=3))
        for what, before, verified in (
            (f"the name at {at}", {"name": "key"}, {}),
            (f"another name at {at}", {"name": "OTHER"}, {}),
            (f"the text at {at}", {"description": "old text"}, {"verified_at": NOW - 2 * DAY}),
        )
    },
    "another name at a moment that may be after our last write": Row(
        listed=listed(name="OTHER", updated_at=NOW - timedelta(seconds=1)), then="update renamed at Wix",
        record=record(pinned_at=None, window=JUST_NOW, last_synced_at=NOW),
    ),
    "another name, and a date after our last write": Row(
        listed=listed(name="OTHER", updated_at=NOW + MINUTE), then="update renamed at Wix",
        record=record(pinned_at=None, window=JUST_NOW, last_synced_at=NOW),
    ),
    "another name with our date, long after our last write": Row(
        listed=listed(name="OTHER", updated_at=NOW - HOUR), then="update renamed at Wix",
        record=record(pinned_at=None, window=WriteWindow(start=NOW - HOUR, end=NOW - HOUR), last_synced_at=NOW - HOUR),
    ),
    "an old date after our last write": Row(
        listed=listed(updated_at=NOW - 9 * DAY), then="update its date at Wix tells nothing"
    ),
    "an old date minutes after our last write": Row(
        listed=listed(updated_at=NOW - 9 * DAY), record=record(last_synced_at=NOW - timedelta(minutes=1)), then="unchanged"
    ),
    "an old date for which it was written already": Row(
        listed=listed(updated_at=NOW - 9 * DAY), record=record(doubted_at=NOW - 9 * DAY), then="unchanged"
    ),
    "a lost write of ours": Row(
        listed=listed(updated_at=NOW - timedelta(minutes=1)),
        record=record(lost_writes=(LostWrite(NOW - timedelta(minutes=2)),)),
        then="update a lost write of ours",
    ),
    "a lost mark that stands there": Row(
        listed=listed(updated_at=NOW - HOUR, description=OURS),
        record=record(description="before"),
        evidence={"site_values_readable": True},
        then="unchanged",
    ),
    "a lost mark where nothing may be read": Row(
        listed=listed(updated_at=NOW - HOUR, description=OURS),
        record=record(description="before"),
        then="update content not verified",
    ),
    "another description": Row(wanted=replace(WANTED, description="new"), then="update description"),
    "verification due": Row(record=record(verified_at=NOW - 2 * DAY), then="reads unchanged"),
    "verification due within the second half": Row(record=record(verified_at=NOW - DAY + timedelta(minutes=1)), then="reads unchanged"),
    "the verification finds another value": Row(
        wanted=READ,
        record=record(verified_at=NOW - 2 * DAY),
        evidence={"site_values_readable": True, "site_values": {"KEY": "f9"}},
        then="update verification found another value",
    ),
    "the verification finds another value, only reported": Row(
        wanted=READ,
        record=record(verified_at=NOW - 2 * DAY),
        policies={"restore": False},
        evidence={"site_values_readable": True, "site_values": {"KEY": "f9"}},
        then="drift",
    ),
    "unknown content that is somebody's": Row(
        wanted=READ,
        record=record(unverified=True),
        evidence={"site_values_readable": True, "site_values": {"KEY": "f9"}},
        then="update content not verified",
    ),
    "unknown content that is somebody's, only reported": Row(
        wanted=READ,
        record=record(unverified=True),
        policies={"restore": False},
        evidence={"site_values_readable": True, "site_values": {"KEY": "f9"}},
        then="drift",
    ),
    "unknown content that one of our lost writes left, only reported": Row(
        wanted=READ,
        record=record(unverified=True, lost_writes=(LostWrite(NOW - HOUR, fingerprint="f9"),)),
        policies={"restore": False},
        evidence={"site_values_readable": True, "site_values": {"KEY": "f9"}},
        then="update content not verified",
    ),
    "verification not due yet": Row(record=record(verified_at=NOW - DAY / 3), then="unchanged"),
    "verified in a future that a clock invented": Row(record=record(verified_at=NOW + 9 * DAY), then="reads unchanged"),
    # --- no longer wanted
    "gone, kept": Row(wanted=None, evidence=ABSENT, then="missing"),
    "gone for long, kept": Row(
        wanted=None, record=record(absent_for=9 * DAY, absent_at=NOW - HOUR), evidence=ABSENT, then="missing"
    ),
    "left out, kept": Row(wanted=None, evidence=ORPHAN, then="orphan"),
    "gone, within its grace": Row(wanted=None, evidence=ABSENT, policies={"delete": True}, then="missing"),
    "gone, past its grace": Row(
        wanted=None,
        record=record(absent_for=DAY, absent_at=NOW - HOUR),
        evidence=ABSENT,
        policies={"delete": True},
        then="delete gone",
    ),
    "left out, past its grace": Row(
        wanted=None,
        record=record(absent_for=DAY, absent_at=NOW - HOUR),
        evidence=ORPHAN,
        policies={"delete": True},
        then="delete left out",
    ),
    "could not be read": Row(
        wanted=None,
        record=record(absent_for=DAY, absent_at=NOW - HOUR),
        evidence=UNKNOWN,
        policies={"delete": True},
        then="unknown",
    ),
    "wanted by another job": Row(
        wanted=None,
        record=record(absent_for=DAY, absent_at=NOW - HOUR),
        evidence={**ABSENT, "wanted_elsewhere": {"key"}},
        policies={"delete": True},
        then="missing",
    ),
    "a downtime is no observed absence": Row(
        wanted=None,
        record=record(absent_at=NOW - 30 * DAY),
        evidence=ABSENT,
        policies={"delete": True, "grace": DAY, "interval": HOUR},
        then="missing",
    ),
    **{
        f"past its grace, {why}": Row(
            wanted=None,
            record=replace(record(absent_for=DAY, absent_at=NOW - HOUR), **row),
            listed=seen,
            evidence={**ABSENT, **evidence},
            policies={"delete": True},
            then=then,
        )
        for why, row, seen, evidence, then in [
            ("adopted", {"adopted": True}, LISTED, {}, "missing"),
            ("frozen", {"frozen_until": NOW + DAY}, LISTED, {}, "frozen"),
            ("renamed at Wix", {}, listed(name="OTHER"), {}, "missing"),
            ("described anew at Wix", {}, listed(description="mine now"), {}, "missing"),
            ("changed at Wix", {}, listed(updated_at=NOW - HOUR), {}, "missing"),
            ("known to be theirs", {"theirs": True}, LISTED, {}, "missing"),
            ("marked by a look-up", {"remarked": True}, LISTED, {}, "missing"),
            ("not verified", {"unverified": True}, LISTED, {}, "unverified"),
            ("another job may want it", {}, LISTED, {"objections": {"KEY": "wait"}}, "missing"),
            ("its deletion was refused", {}, LISTED, {"problems": {"KEY": problem(retry_at=NOW + HOUR)}}, "quarantined"),
        ]
    },
    "of a job that is gone": Row(
        wanted=None, record=record(job="old"), evidence={"left_behind": {"KEY"}}, policies={"delete": True}, then="orphan"
    ),
    "of a job that is gone, taken over": Row(
        wanted=None, record=record(job="old"), evidence={"taken_over": {"KEY"}}, policies={"delete": True}, then=""
    ),
}  # fmt: skip


def planned(row: Row) -> Plan:
    return plan(
        PlannerInput(
            owner="team",
            site="site",
            target="shop",
            desired=[row.wanted] if row.wanted else [],
            records=[row.record] if row.record else [],
            remote=[secret for secret in (row.listed, *row.more) if secret],
            policies=Policies(job="job", **row.policies),
            evidence=Evidence(jobs=frozenset({"job"}), **row.evidence),
            now=NOW,
            site_now=NOW,
        )
    )


def in_words(result: Plan) -> str:
    words = [f"{verb_of(one)} {getattr(one, 'reason', '')}".strip() for one in result.actions]
    words += [("reads " if result.read_requests.values else "") + one.kind.value for one in result.findings]
    return "; ".join(words).replace("seek looked", "update looked")


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    said = in_words(planned(ROWS[name]))
    expected = ROWS[name].then
    assert said.startswith(expected) and bool(said) is bool(expected), said


@pytest.mark.parametrize(
    "evidence", [{"site_values_readable": True, "uncompared": {"KEY"}}, {"site_values_readable": True}]
)
def test_a_verification_that_did_not_read_is_not_booked(evidence: dict[str, Any]) -> None:
    due = Row(wanted=READ, record=record(verified_at=NOW - 2 * DAY), evidence=evidence, then="unchanged")
    assert not planned(due).record_updates
    seen = replace(due, evidence={"site_values_readable": True, "site_values": {"KEY": "f2"}})
    assert [note.verified_at for note in planned(seen).record_updates] == [NOW]


@pytest.mark.parametrize(("seen", "sends"), [(LISTED, False), (listed(updated_at=NOW - HOUR), True)])
def test_a_name_that_moves_sends_its_value_only_over_a_change(seen: RemoteSecret, sends: bool) -> None:
    moved = Row(
        wanted=READ, record=record(ref=OTHER), listed=seen, evidence={"transferable": {"KEY"}}, then="update moved"
    )
    (action,) = planned(moved).actions
    assert isinstance(action, Update) and action.describe_only is not sends


def test_what_could_not_be_read_stops_its_tombstone() -> None:
    (note,) = planned(ROWS["could not be read"]).record_updates
    assert note.absent_at is None and note.absent_for == DAY


def test_a_confirmation_adds_two_intervals_at_most() -> None:
    (note,) = planned(ROWS["a downtime is no observed absence"]).record_updates
    assert note.absent_for == 2 * HOUR and note.absent_at == NOW


def test_rotations_come_first_and_deletions_last() -> None:
    def named(name: str, **change: Any) -> tuple[Record, RemoteSecret]:
        return record(name=name, remote_id=f"id-{name}", **change), listed(id=f"id-{name}", name=name)

    gone = [named("A", absent_for=DAY, absent_at=NOW - HOUR, description=OURS)]
    rotated = [named("Z", version="1")]
    result = plan(
        PlannerInput(
            owner="team",
            site="site",
            target="shop",
            desired=[replace(WANTED, name="Z"), replace(WANTED, name="B", ref=OTHER)],
            records=[row for row, _ in gone + rotated],
            remote=[secret for _, secret in gone + rotated],
            policies=Policies(job="job", delete=True),
            evidence=Evidence(jobs=frozenset({"job"}), presence={"A": (Presence.ABSENT, "gone")}),
            now=NOW,
            site_now=NOW,
        )
    )
    assert [verb_of(one) for one in result.actions] == ["update", "create", "delete"]


@pytest.mark.parametrize("missing", [0, 2, 3, 4])
def test_a_listing_that_lacks_more_than_half_creates_nothing(missing: int) -> None:
    records = [record(name=f"N{number}", remote_id=f"id-{number}") for number in range(4)]
    result = plan(
        PlannerInput(
            owner="team",
            site="site",
            target="shop",
            desired=[replace(WANTED, name="NEW", ref=OTHER)],
            records=records,
            remote=[listed(id=row.remote_id, name=row.name) for row in records[missing:]],
            policies=Policies(job="job"),
            evidence=Evidence(jobs=frozenset({"job"})),
            now=NOW,
            site_now=NOW,
        )
    )
    assert any(isinstance(one, Create) for one in result.actions) is (missing <= 2)


@pytest.mark.parametrize(("first", "second"), [("KEY", "KEY"), ("KEY", "key")])
@pytest.mark.parametrize("owned", [True, False])
def test_two_references_on_one_name(first: str, second: str, owned: bool) -> None:
    result = plan(
        PlannerInput(
            owner="team",
            site="site",
            target="shop",
            desired=[replace(WANTED, name=first), replace(WANTED, name=second, ref=OTHER)],
            records=[RECORD] if owned else [],
            remote=[LISTED] if owned else [],
            policies=Policies(job="job"),
            evidence=Evidence(jobs=frozenset({"job"})),
            now=NOW,
            site_now=NOW,
        )
    )
    kinds = [one.kind for one in result.findings]
    assert kinds.count(FindingKind.CONFLICT) == (1 if owned else 2) and not result.actions


@pytest.mark.parametrize("unverified", [False, True])
@pytest.mark.parametrize("shown", ["KEY", "key"])
@pytest.mark.parametrize("left", ["KEY", "key"])
def test_a_write_carries_the_name_where_the_site_may_have_another(left: str, shown: str, unverified: bool) -> None:
    """A listing that lags shows the name of before; and with a lost answer nobody knows which one came last."""
    row = Row(
        record=record(name=left, version="1", unverified=unverified, pinned_at=None, window=JUST_NOW, last_synced_at=NOW),
        listed=listed(name=shown, updated_at=NOW - DAY), wanted=replace(READ, fingerprint="f3"), then="",
    )  # fmt: skip
    (action,) = planned(row).actions
    assert isinstance(action, Update) and action.rename == (unverified or left != "KEY")


def test_the_same_input_gives_the_same_plan_in_the_same_order() -> None:
    names = ["B", "A", "D", "C"]
    wanted = [replace(WANTED, name=name, ref=replace(REF, path=f"secret/{name}")) for name in names]
    view = PlannerInput(
        owner="team",
        site="site",
        target="shop",
        desired=wanted,
        records=[],
        remote=[],
        policies=Policies(job="job"),
        evidence=Evidence(jobs=frozenset({"job"})),
        now=NOW,
        site_now=NOW,
    )
    assert plan(view) == plan(replace(view, desired=list(reversed(wanted))))
    assert [one.name for one in plan(view).actions] == sorted(names)


def test_every_reason_to_update_stands_in_a_row() -> None:
    reasons = {one.reason for row in ROWS.values() for one in planned(row).actions if isinstance(one, Update)}
    assert {str(one) for one in Reason} - {str(one) for one in reasons} <= {Reason.CASE}
