"""`syncd state forget --delete`: a deletion by command, under the conditions of any other and by the same journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from syncd.domain import Delete, FindingKind, Outcome, Record, RemoteSecret, Result
from syncd.domain.audit import end_of, entry_of
from syncd.domain.halting import HALTED
from syncd.domain.ports import AuditBatch, Journal, Target
from syncd.errors import ConfigError, Interrupted, PlanMoved, TargetError
from syncd.reconcile.apply.transitions import history_line, opened
from syncd.reconcile.plan.builder import listing_is_plausible
from syncd.reconcile.plan.deletion_checks import unlisted_keys
from syncd.reconcile.plan.path_checks import PathChecks
from syncd.reconcile.plan.rows_unwanted import obstacle_to_deletion
from syncd.reconcile.plan.site_claims import claims_on_site
from syncd.reconcile.runtime import Runtime


def delete_by_command(runtime: Runtime, journal: Journal, record: Record, before_sending: Callable[[], None]) -> None:
    """Delete one secret at Wix and drop its row. `before_sending`: called when all checks have passed.

    Raises `PlanMoved` where a check objects, `ConfigError` for a site that no target names, `TargetError`.
    """
    names = [target for target in runtime.targets if runtime.site_of(target) == record.site]
    if not names:
        raise ConfigError(f"{record.name} is on site {record.site}, which no target names", hint="configure the target")
    _see_that_it_may_go(runtime, record, names)
    target = runtime.target(names[0])
    # A person may be wrong about who wants a name: every job on the site is asked, as for any deletion.
    _see_that_nobody_wants_it(runtime, target, record)
    # Listed after the jobs were asked, which may take long: a deletion goes on a listing made for it.
    remote = target.list()
    if obstacle := _obstacle(runtime, record, remote, min(runtime.clock(), target.site_time() or runtime.clock())):
        raise PlanMoved(f"{record.name} is not deleted: {obstacle}", hint="delete it at Wix by hand, then forget it")
    before_sending()
    action = Delete(record=record, reason="by command", kind=FindingKind.ORPHAN)
    now = runtime.clock()
    row = opened(action, record.site, record.target, now)
    line = history_line(Outcome(action=action, remote_id=str(record.remote_id)), row, target.site_time() or now)
    # It counts for the limit from its sending, by the site's clock, even if this process is killed.
    sent = replace(line, result=Result.SENT, outcome="sent by state forget")
    journal.write(put=[row], log=[sent], audit=AuditBatch(intents=(entry_of(action, row, now),)))
    # It may wait for the rate limit, and what comes meanwhile counts.
    halting = HALTED.set(lambda: bool(_what_rests(runtime, record, names)))
    try:
        written = target.delete(str(record.remote_id))
    except TargetError as error:
        # The trail's intent gets its end. Where nobody knows, the row stays open for the next cycle's recovery; what
        # was surely not done is as before, also on a site that no cycle comes to.
        failed = Outcome(action=action, error=error, remote_id=str(record.remote_id))
        end = replace(history_line(failed, row, line.at), outcome="sent by state forget")
        before = [] if error.maybe_done else [record]
        journal.write(put=before, log=[end], audit=AuditBatch(ends=(end_of(failed, row, runtime.clock()),)))
        # One that was sent before may have taken effect: then nobody knows.
        if isinstance(error, Interrupted) and not error.maybe_done:
            _see_that_it_may_go(runtime, record, names)
        raise
    finally:
        HALTED.reset(halting)
    done = history_line(
        Outcome(action=action, remote_id=str(record.remote_id), request_id=written.request_id), row, line.at
    )
    ended = end_of(
        Outcome(action=action, remote_id=line.remote_id, request_id=written.request_id), row, runtime.clock()
    )
    audit = AuditBatch(ends=(ended,), decisions=(replace(ended, event="secret.forgotten", outcome=None),))
    journal.write(drop=[record], log=[replace(done, outcome="deleted by state forget")], audit=audit)
    journal.forget_problem(record.name)


def _what_rests(runtime: Runtime, record: Record, targets: Sequence[str]) -> tuple[str, str] | None:
    """Return what keeps the deletion back at this moment, and what to do about that; None if nothing does."""
    # The site rests, whichever of its targets the pause names.
    if rests := next((why for name in targets if (why := runtime.paused(record.job, name))), ""):
        return rests, "resume it first: syncd resume --help"
    job = runtime.jobs.get(record.job)
    # A job that is gone has no window to keep.
    objection = job.windows.objection("delete", runtime.clock()) if job is not None else ""
    return (objection, "wait for it, or change the job's `windows`") if objection else None


def _see_that_it_may_go(runtime: Runtime, record: Record, targets: Sequence[str]) -> None:
    if (resting := _what_rests(runtime, record, targets)) is not None:
        raise PlanMoved(f"{record.name} is not deleted: {resting[0]}", hint=resting[1])


def _see_that_nobody_wants_it(runtime: Runtime, target: Target, record: Record) -> None:
    job = runtime.jobs.get(record.job)
    configured = {item.source for item in runtime.jobs.values()}
    # Under the name that its source has now, where the job reads the one that was renamed.
    today = record.ref if job is None or record.ref.source in configured else replace(record.ref, source=job.source)
    # A glob that lists nothing is not believed; its source's word on this very path is.
    is_gone = today.source in configured and PathChecks(runtime, lambda _record: today).is_gone(record)
    claims = claims_on_site(runtime, target, gone={(today.source, today.path)} if is_gone else ())
    if objection := claims.objection(record.name, record.ref.path):
        raise PlanMoved(f"{record.name} is not deleted: {objection}", hint="fix the job first")
    if record.name.casefold() in claims.names:
        raise PlanMoved(f"{record.name} is still wanted by a job", hint="exclude it from the job's rules first")


def _obstacle(runtime: Runtime, record: Record, remote: tuple[RemoteSecret, ...], now: datetime) -> str:
    """Why it may not be deleted now; empty if it may. `now`: by the earlier clock, so that no freeze ends early."""
    listed = next((secret for secret in remote if secret.id == record.remote_id), None)
    plausible = listing_is_plausible(runtime.store.records(record.site), remote)
    obstacle = obstacle_to_deletion(record, listed, now, plausible=plausible)
    return obstacle or unlisted_keys(runtime, record.site, remote)
