"""Break one sentence of the design at a time, and see a test fail: `make mutants`.

A mutant names a function, a piece of text that stands once in it, what it becomes, and the tests that must not pass
then.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).parents[2]
CHAOS, CYCLE, LEAKS = (
    "tests/chaos/", "tests/integration/test_cycle.py::", "tests/security/",
)  # fmt: skip
INTEGRATION = "tests/integration/"
NAMES, LAST_LOOK, KEYS = (
    INTEGRATION + f"test_{name}.py::" for name in ("names_from_outside", "last_look", "one_site_two_keys")
)
CONSENT, CLOCKS, UNKNOWN = (INTEGRATION + f"test_{name}.py::" for name in ("consent", "clock_steps", "unknown_content"))
LIMITS = INTEGRATION + "test_protection_follows_the_id.py::"
LEFT, FILES, WAITING = (
    INTEGRATION + f"test_{name}.py::" for name in ("left_configuration", "private_files", "waiting")
)
HANDOVER, NOT_SENT = (INTEGRATION + f"test_{name}.py::" for name in ("name_handover", "planned_and_not_sent"))
ROWS = "tests/unit/reconcile/plan/test_planner_rows.py"
BOUNDARY = "tests/e2e/test_boundary.py::"
WAITS, RENAMES, ADOPTION, TEMPLATES, OVERRIDES, AWS_NAMES = (
    INTEGRATION + f"test_{name}.py::"
    for name in ("waiting_deletions", "renames", "adoption", "value_templates", "overrides", "aws_names")
)
WORKERS = 3
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Mutant:
    sentence: str
    """What the design promises, and this breaks."""
    function: str
    """`FILE:FUNCTION` whose text is changed; without a function the file's own constants."""
    old: str
    new: str
    test: str

    @property
    def file(self) -> str:
        return self.function.partition(":")[0]

    @property
    def name(self) -> str:
        return self.function.partition(":")[2]


M = Mutant
MUTANTS = (
    M("a listing that lacks more than half is not believed", "reconcile/plan/builder.py:listing_is_plausible",
      "return 2 * sum(1 for secret_id in held if secret_id not in ids) <= len(held)", "return True",
      CHAOS + "test_side_by_side.py::test_a_listing_of_last_week"),
    M("two secrets on one name: neither is pushed", "reconcile/plan/planner.py:_of_group",
      "alone = group[0] if len(group) == 1 else None", "alone = group[0]",
      INTEGRATION + "test_commands.py::test_collisions_name_both_sides"),
    M("rotations go before first-time creations, deletions last", "reconcile/plan/builder.py:PlanBuilder.plan",
      "{Update: 0, Create: 1, Delete: 2}", "{Update: 1, Create: 0, Delete: 2}",
      CHAOS + "test_order_of_requests.py::test_rotations_are_planned_first_then_creations_then_deletions"),
    M("unknown is never absent", "reconcile/plan/rows_unwanted.py:_of_presence",
      "    if presence is Presence.UNKNOWN:\n", "    if presence is None:\n",
      ROWS),
    M("each confirmation adds two intervals at most", "reconcile/plan/rows_unwanted.py:_tombstone",
      "min(now - record.absent_at, 2 * policies.interval)", "now - record.absent_at",
      ROWS + "::test_a_confirmation_adds_two_intervals_at_most"),
    M("a machine's clock that jumps is no observed absence", "reconcile/plan/resolver.py:_Times.of",
      "return cls(now, site_time or now)", "return cls(now, now)",
      INTEGRATION + "test_observed_absence.py"),
    M("a deletion waits out its grace", "reconcile/plan/rows_unwanted.py:_tombstone",
      "if seen < policies.grace:", "if seen < policies.grace * 0:",
      CYCLE + "test_the_grace_is_waited_out"),
    M("deletion is off by default", "reconcile/plan/rows_unwanted.py:_of_presence",
      "if not row.policies.delete:", "if row.policies.interval is None:",
      CYCLE + "test_deleting_at_the_source_does_nothing_by_default"),
    M("an adopted secret is never deleted by itself", "reconcile/plan/rows_unwanted.py:obstacle_to_deletion",
      "    if record.adopted:", "    if record.adopted is None:",
      CYCLE + "test_an_adopted_secret_is_never_deleted"),
    M("the name is as recorded, or it is not deleted", "reconcile/plan/rows_unwanted.py:obstacle_to_deletion",
      "    if listed.name != record.name:", "    if listed.name is None:",
      CHAOS + "test_order_of_requests.py::test_what_was_changed_at_wix_is_not_deleted"),
    M("the mark is as recorded, or it is not deleted", "reconcile/plan/rows_unwanted.py:obstacle_to_deletion",
      "    if listed.description != record.description:", "    if listed.description is None:",
      CHAOS + "test_order_of_requests.py::test_what_was_changed_at_wix_is_not_deleted"),
    M("the date is as recorded, or it is not deleted", "reconcile/plan/rows_unwanted.py:obstacle_to_deletion",
      "judge(record, listed.updated_at) is not Change.OURS and not untold", "record is None",
      CHAOS + "test_side_by_side.py::test_a_person_who_edits_what_is_to_be_deleted"),
    M("an unverified secret is not deleted unseen", "reconcile/plan/rows_unwanted.py:_of_presence",
      "if not record.unverified or row.listed is None:", "if record is not None or row.listed is None:",
      INTEGRATION + "test_lost_answers.py::test_an_unwanted_secret_whose_write_was_lost_says_so"),
    M("somebody else's secret is a conflict", "reconcile/plan/rows_wanted.py:_foreign",
      "if row.policies.adopt or granted:", "if row.policies is not None:",
      CYCLE + "test_somebody_elses_secret_is_untouched_and_adopted_only_on_request"),
    M("the first job to create a name owns it", "reconcile/plan/rows_wanted.py:_objection",
      "if not owns(record, desired) and desired.name not in evidence.transferable:", "if desired is None:",
      CHAOS + "test_side_by_side.py::test_jobs_that_give_one_name"),
    M("a name waits until its old reference has its new one", "reconcile/plan/rows_wanted.py:_objection",
      "if desired.name in evidence.blocked_transfers:", "if desired is None:",
      INTEGRATION + "test_moved_names.py::test_names_that_wait_for_one_another_are_a_conflict_and_a_third_name_helps"),
    M("freeze leaves one alone", "reconcile/plan/rows_wanted.py:_judge",
      "if record and row.is_frozen(record.frozen_until):", "if desired is None:",
      INTEGRATION + "test_name_case.py::test_a_frozen_name_keeps_its_case"),
    M("a create whose answer was lost is never simply sent again", "reconcile/plan/rows_wanted.py:_create",
      "if desired.name in row.evidence.unconfirmed_creates:", "if desired is None:",
      CHAOS + "test_order_of_requests.py::test_a_creation_whose_answer_was_lost_is_not_sent_again_in_its_cycle"),
    M("an unlisted record is first updated by its id", "reconcile/plan/rows_wanted.py:_recorded",
      "return _unlisted(row, desired, record)", "return _create(row, desired)",
      CHAOS + "test_order_of_requests.py::test_what_the_listing_goes_on_lacking_is_written_to_once_an_hour"),
    M("… and that at most once an hour", "reconcile/plan/builder.py:tried_recently",
      "return happened_within(record.unlisted_tried_at, now, UNLISTED_RETRY)", "return record.unlisted_tried_at is now",
      CHAOS + "test_order_of_requests.py::test_what_the_listing_goes_on_lacking_is_written_to_once_an_hour"),
    M("after three restores in a day a secret is contested", "reconcile/plan/inputs.py:",
      "MAX_RESTORES = 3", "MAX_RESTORES = 99",
      CYCLE + "test_drift_is_restored_three_times_and_then_contested"),
    M("drift_policy: report leaves a change", "reconcile/plan/rows_listed.py:_objection_to_restore",
      "    if not row.policies.restore:\n        return report(FindingKind.DRIFT, desired, what", "    if row is None:\n        return report(FindingKind.DRIFT, desired, what",
      CYCLE + "test_drift_is_only_reported_where_the_job_says_so"),
    M("an unverified record is not judged for drift", "reconcile/plan/rows_listed.py:_settled",
      "if change is Change.THEIRS and may_be_late_commit(record, now):", "if record is None:",
      CHAOS + "test_order_of_requests.py::test_a_late_write_of_our_own_is_no_drift"),
    M("writing an unverified secret again is no restore", "reconcile/plan/rows_listed.py:_judge_pinned",
      "    if record.unverified:", "    if record is None:",
      CHAOS + "test_order_of_requests.py::test_a_restore_whose_answer_was_lost_is_written_again_and_counts_once"),
    M("the verification trusts no version", "reconcile/plan/rows_listed.py:_verification_is_due",
      "return now - record.verified_at >= every * (0.5 + 0.5 * share)", "return record is None",
      ROWS),
    M("a date outside of our window is somebody else's", "domain/write_window.py:judge",
      "return Change.EARLIER if listed < record.pinned_at else Change.THEIRS", "return Change.OURS",
      CHAOS + "test_order_of_requests.py::test_a_restore_whose_answer_was_lost_is_written_again_and_counts_once"),
    M("absence needs a complete listing of its rule", "reconcile/observe/evidence.py:ListingEvidence.is_complete",
      "return snapshot.complete and bool(snapshot.entries", "return bool(snapshot.entries",
      CHAOS + "test_order_of_requests.py::test_a_partial_listing_starts_no_tombstone"),
    M("a rule that lists nothing is unknown", "reconcile/observe/evidence.py:ListingEvidence.is_complete",
      "and bool(snapshot.entries or not rule.path.has_wildcard)", "",
      CYCLE + "test_an_emptied_tree_is_not_believed"),
    M("a class over its limit is withheld", "reconcile/guard.py:_deletes",
      "if count == 0 or count <= max(room, allowed):", "if count >= 0:",
      CYCLE + "test_a_limit_withholds_a_mass_deletion_while_rotations_go_through"),
    M("a rotation is never held up by a deletion", "reconcile/guard.py:_withhold",
      "kept = tuple(action for action in plan.actions if not isinstance(action, kind))", "kept = ()",
      CYCLE + "test_a_limit_withholds_a_mass_deletion_while_rotations_go_through"),
    M("limits count a rolling day", "reconcile/plan/resolver.py:PlanResolver._guarded",
      "since = self._times.site_now - DAY", "since = self._times.site_now",
      INTEGRATION + "test_deletion_limits.py::test_a_lost_deletion_counts_for_the_rolling_day"),
    M("a direct read just before the deletion", "reconcile/plan/deletion_checks.py:LastLook.confirm",
      "if judged[0] is Presence.ABSENT and (record.ref.path, record.pin) not in evidence.listed:", "if judged[0] is None:",
      CHAOS + "test_order_of_requests.py::test_a_listing_that_lacks_a_path_is_asked_about_it_before_the_deletion"),
    M("an id is never deleted while any job wants its name", "reconcile/plan/deletion_checks.py:LastLook.confirm",
      "if judged[0] is Presence.ORPHAN and self._handover.is_claimed(record, except_job=self._job.name):", "if judged[0] is None:",
      CHAOS + "test_order_of_requests.py::test_a_name_that_another_jobs_rule_gives_is_not_deleted"),
    M("… nor while a job cannot tell what it wants", "reconcile/plan/site_claims.py:claims_on_site",
      "        if not wish.cause:\n", "        if wish:\n",
      CHAOS + "test_order_of_requests.py::test_nothing_is_deleted_while_another_job_cannot_tell_what_it_wants"),
    M("a changed mapping creates the new name first", "reconcile/plan/resolver.py:PlanResolver._presences",
      "stays = presence is Presence.ORPHAN and handover.why_an_old_name_stays(record, observed.desired)", "stays = ''",
      INTEGRATION + "test_moved_names.py::test_an_old_name_stays_while_its_new_one_cannot_be_made"),
    M("an older answer is ignored until several cycles confirm it", "reconcile/observe/freshness.py:",
      "CONFIRMATIONS = 3", "CONFIRMATIONS = 1",
      INTEGRATION + "test_shared_sites.py::test_one_lagging_answer_is_one_answer_however_many_jobs_see_it"),
    M("another mount under a known name is not believed", "reconcile/observe/mounts.py:conflicting_mount",
      'return mount if known[mount] != mount_id else ""', 'return ""',
      CYCLE + "test_an_unmounted_and_a_remounted_empty_mount_change_nothing"),
    M("only the right mark takes a secret back", "reconcile/observe/recovery.py:_Listing.ours",
      "return listed if fits else None", "return listed",
      CYCLE + "test_somebody_elses_secret_is_untouched_and_adopted_only_on_request"),
    M("each action is journaled before its request", "reconcile/apply/applier.py:Applier._write",
      "put=[*batch.put, *opened_rows]", "put=batch.put",
      CHAOS + "test_kills.py::test_killed_at_a_step_of_the_journal[after_open-1]" + " " + INTEGRATION + "test_lost_answers.py::test_a_lost_creation_whose_reference_changes_is_still_ours"),
    M("… and settled after it", "reconcile/apply/applier.py:Applier.run",
      "            self._write(batch, result)\n        result.unsent", "            pass\n        result.unsent",
      CYCLE + "test_sixty_awkward_secrets_arrive_byte_for_byte"),
    M("a create whose answer was lost keeps its row", "reconcile/apply/transitions.py:_not_created",
      "    if error.maybe_done:\n        kept = replace(record, lost_writes=lost(record, now, error.lost_tries))\n        return Transition(put=kept, is", "    if error is None:\n        kept = replace(record, lost_writes=lost(record, now, error.lost_tries))\n        return Transition(put=kept, is",
      INTEGRATION + "test_lost_answers.py::test_a_lost_creation_whose_reference_changes_is_still_ours"),
    M("only a 404 to its id allows a create", "reconcile/apply/transitions.py:after_failure",
      "    if isinstance(error, SecretGone):\n", "    if error is None:\n",
      CYCLE + "test_a_secret_removed_by_hand_comes_back"),
    M("a new id is nobody else's", "reconcile/apply/applier.py:Applier._plausible",
      "if isinstance(action, Create) and written.id in self._taken_ids:", "if action is None:",
      CHAOS + "test_peers.py::test_a_wix_that_gives_one_id_to_all"),
    M("a site that refuses is left alone", "reconcile/apply/applier.py:",
      "BREAK_AFTER = 3", "BREAK_AFTER = 300",
      CHAOS + "test_order_of_requests.py::test_the_rest_is_left_when_a_site_does_not_answer"),
    M("a deletion has a listing made for it", "reconcile/cycle.py:Cycle._pass",
      "(self._at_once(deletes) if progress.outcomes or progress.looks else [])", "self._at_once(deletes)",
      CHAOS + "test_order_of_requests.py::test_a_deletion_has_a_listing_made_for_it"),
    M("after a minute of applying it lists again", "reconcile/cycle.py:Cycle._work_under_lock",
      "progress, until = self._progress, time.monotonic() + APPLY_SECONDS", "progress, until = self._progress, time.monotonic() + 3600",
      CYCLE + "test_a_long_cycle_looks_again_and_lets_others_have_their_turn"),
    M("an outage adds nothing to the grace", "reconcile/cycle.py:Cycle._stop_tombstones",
      "        journal.write(put=[replace(record, absent_at=None) for record in running])", "        del running",
      INTEGRATION + "test_deletion_limits.py::test_an_outage_stops_the_grace"),
    M("a row is as it was written", "ledger/store.py:Ledger._each",
      'if seal and columns["seal"] != row_checksum(columns):', "if seal and not columns:",
      CHAOS + "test_disks.py::test_a_flipped_bit_in_a_row_is_seen"),
    M("one process works on a site at a time", "ledger/site_lock.py:file_lock.attempt",
      "            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "",
      "tests/e2e/test_daemon.py::test_a_second_process_waits_and_says_who_holds_the_site"),
    M("an id has one record", "ledger/schema.py:",
      '"remote_id", unique=True', '"remote_id", unique=False',
      "tests/contract/test_stores.py::test_one_id_has_one_record"),
    M("a newer ledger is not touched", "ledger/migrations.py:migrate",
      "if version > CURRENT:", "if version > 100:",
      CHAOS + "test_disks.py::test_a_newer_ledger_is_not_touched"),
    M("an older ledger is copied before it is migrated", "ledger/migrations.py:migrate",
      "if version < CURRENT and backup is not None:", "if version > CURRENT and backup:",
      CHAOS + "test_disks.py::test_an_older_ledger_is_migrated_with_a_copy_beside_it"),
    M("only Vault's own 404 is an absence", "sources/vault/listing.py:is_missing",
      'return error.status == NOT_FOUND and error.body == {"errors": []}', "return error.status == NOT_FOUND and not error.errors",
      INTEGRATION + "test_odd_answers.py::test_a_gateways_404_is_no_absence"),
    M("only AWS's own words are an absence", "sources/aws/source.py:AwsSource._described",
      "!= path:\n            raise SourceError(", "!= path:\n            return None\n        if told is None:\n            raise SourceError(",
      INTEGRATION + "test_odd_answers.py::test_an_aws_answer_about_nothing_is_no_absence"),
    M("the account is the one that the ledger knows", "sources/aws/source.py:AwsSource._snapshot",
      '_account_of(found) or (self._account() if complete and not found else "")', "'eu-west-1:000000001111'",
      INTEGRATION + "test_mount_identity.py::test_another_account_is_seen_by_a_process_that_lives_on"),
    M("a different key is said, not worked around", "ledger/store.py:Ledger.check_key",
      "elif known != key_id:", "elif known is None:",
      INTEGRATION + "test_commands.py::test_a_missing_or_other_key"),
    M("the quota is never exceeded", "ledger/request_quota.py:Quota._admit",
      "tickets = self._take(connection, flying, min(asked, max(0, self._rate.limit - count)))", "tickets = self._take(connection, flying, min(asked, max(0, self._limit + 1 - count)))",
      "tests/contract/test_stores.py::test_the_quota_is_never_exceeded_and_shared"),
    M("the quota is shared by restarts", "ledger/request_quota.py:Quota._admit",
      'count, oldest = connection.execute(_COUNT, {"of": self._rate.site}).one()', "count, oldest = 0, now",
      "tests/contract/test_stores.py::test_the_quota_is_never_exceeded_and_shared"),
    M("a create is never sent twice", "targets/wix/retries.py:WixCalls.call.again",
      "return repeatable or not error.maybe_done", "return True",
      CHAOS + "test_order_of_requests.py::test_a_creation_whose_answer_was_lost_is_not_sent_again_in_its_cycle"),
    M("a stalled peer costs one timeout", "targets/wix/retries.py:WixCalls.call.again",
      "error.stalled or error.asks_to_wait:", "error.asks_to_wait:",
      CHAOS + "test_networks.py::test_a_bad_network"),
    M("a proxy's 404 is not Wix's", "targets/wix/errors.py:_not_found",
      'if asked.single and (answer.code == "NOT_FOUND" or (not answer.code and answer.named)):', "if asked.single:",
      CHAOS + "test_order_of_requests.py::test_a_proxys_404_is_not_wixs"),
    M("no redirect is followed at Wix", "targets/wix/http.py:client_for",
      "follow_redirects=False", "follow_redirects=True",
      CHAOS + "test_peers.py::test_a_wix_that_sends_elsewhere"),
    M("no redirect is followed or unpacked at Vault", "sources/vault/session.py:_connections",
      "session = NoRedirects()", "session = requests.Session()",
      INTEGRATION + "test_odd_answers.py::test_a_redirect_with_a_bomb_is_not_unpacked"),
    M("an answer of Wix's is bounded", "targets/wix/http.py:_bounded",
      "if size > MOST_BYTES:", "if size < 0:",
      CHAOS + "test_peers.py::test_a_wix_that_lists_nonsense"),
    M("an answer of a source's is bounded", "transport/urllib3_limits.py:_Bounded.readinto",
      "if BOUNDS.left < 0:", "if BOUNDS.left is None:",
      CHAOS + "test_peers.py::test_a_vault_that_answers_nonsense"),
    M("a call to Wix has a deadline", "transport/httpx_limits.py:deadline",
      "_UNTIL.at = time.monotonic() + seconds", "_UNTIL.at = time.monotonic() + 3600",
      CHAOS + "test_networks.py::test_a_bad_network"),
    M("a call to a source has a deadline", "transport/urllib3_limits.py:bounded",
      "time.monotonic() + CALL_SECONDS, MOST_BYTES", "time.monotonic() + 3600, MOST_BYTES",
      CHAOS + "test_networks.py::test_a_bad_network"),
    M("what is parsed has few parts", "domain/untrusted.py:",
      "MOST_PARTS = 1_000_000", "MOST_PARTS = 10**9",
      CHAOS + "test_peers.py::test_a_wix_that_lists_nonsense"),
    M("leak: a value's repr", "domain/secret_value.py:SecretValue.__repr__",
      'return f"SecretValue({MASK})"', "return repr(self._hidden)",
      LEAKS + "test_every_kind.py::test_a_value_masks_itself"),
    M("leak: a value's text", "domain/secret_value.py:SecretValue.__str__",
      "    def __str__(self) -> str:\n        return MASK", "    def __str__(self) -> str:\n        return str(self._hidden)",
      LEAKS + "test_every_kind.py::test_a_value_masks_itself"),
    M("leak: a formatted value", "domain/secret_value.py:SecretValue.__format__",
      "    def __format__(self, spec: str) -> str:\n        return MASK", "    def __format__(self, spec: str) -> str:\n        return format(str(self._hidden), spec)",
      LEAKS + "test_every_kind.py::test_a_value_masks_itself"),
    M("leak: a pickled value", "domain/secret_value.py:SecretValue.__reduce__",
      "return (MaskedValue, ())", "return (SecretValue, (self._hidden,))",
      LEAKS + "test_every_kind.py::test_a_value_masks_itself"),
    M("leak: the log chain's net", "telemetry/logs.py:configure",
      "            redacted,\n", "",
      LEAKS + "test_leaks.py::test_the_log_chain_has_its_net"),
    M("leak: exceptions in logs", "telemetry/logs.py:_clean",
      "return type(thing).__name__  # a library's message may hold anything", "return repr(thing)",
      LEAKS + "test_leaks.py::test_the_second_net_of_the_log"),
    M("leak: libraries' own loggers", "telemetry/logs.py:configure",
      "        library.setLevel(logging.CRITICAL)\n", "        library.propagate = True\n",
      LEAKS + "test_every_kind.py"),
    M("leak: the last door of main", "cli/app.py:_ended",
      "bug: {type(error).__name__} (nothing of its text is shown)", "bug: {error!r}",
      LEAKS + "test_every_kind.py::test_a_bug_shows_nothing_of_its_text"),
    M("leak: tracebacks with their text", "telemetry/logs.py:safe_traceback",
      "    frames = traceback.extract_tb(error.__traceback__)\n", "    frames = traceback.extract_tb(error.__traceback__)\n    return traceback.format_exception(error)\n",
      LEAKS + "test_every_kind.py::test_a_bug_shows_nothing_of_its_text"),
    M("leak: parameters in database errors", "ledger/engine.py:sqlite_engine",
      '"sqlite://", hide_parameters=True, creator=_connector(path)', '"sqlite://", creator=_connector(path)',
      LEAKS + "test_leaks.py::test_database_errors_hide_their_parameters"),
    M("leak: a record's fingerprint", "domain/records.py:Record",
      "fingerprint: str | None = field(default=None, repr=False)", "fingerprint: str | None = None",
      LEAKS + "test_every_kind.py::test_fingerprints_are_kept_and_never_shown"),
    M("leak: the export", "cli/state.py:export",
      'hidden = {"fingerprint", ', "hidden = {",
      LEAKS + "test_every_kind.py::test_fingerprints_are_kept_and_never_shown"),
    M("leak: a credential that a library prints", "config/fields.py:Credential.read",
      'if self._goes_into_a_header and not all("!" <= char <= "~" for char in text):', "if not text:",
      LEAKS + "test_every_kind.py::test_a_credential_that_a_library_would_print"),
    M("leak: names without the token", "web/routes.py:build.status",
      "_readable(lambda: JSONResponse(service.status(names=known)))", "_readable(lambda: JSONResponse(service.status(names=True)))",
      LEAKS + "test_every_kind.py::test_the_server_shows_no_value_and_names_only_with_its_token"),
    M("leak: what was written into a broken configuration", "config/fields.py:Credential._not_inline",
      '"inline", "a credential is not written into the file; write {env: NAME} or {file: PATH}"', '"inline", f"a credential is not written into the file: {value}"',
      LEAKS + "test_every_kind.py::test_a_broken_configuration_shows_nothing_of_what_was_written"),
    M("leak: what Vault says of a refused login", "sources/vault/session.py:VaultSession._refused",
      'f"{self.server.place} refused the login" +', 'f"{self.server.place} refused the login {vars(error)}" +',
      LEAKS + "test_every_kind.py::test_a_vault_that_echoes_the_login"),
    M("leak: what Wix echoes", "targets/wix/http.py:Answer.echoes",
      "        return echoes(text, (secret.reveal() for secret in self.sent))", "        return text == ''",
      LEAKS + "test_every_kind.py::test_a_wix_that_echoes_a_value_where_an_id_belongs"),
    M("a name from outside is no pattern", "reconcile/observe/source_observer.py:SourceObserver._with_hints",
      "self._cache.find(self._access.source, rule, path)", "self._cache.list(self._access.source, replace(rule, path=type(rule.path)(path), exclude=()))",
      NAMES + "test_an_event_never_brings_what_the_rule_leaves_out"),
    M("a path that a server folds is no second secret", "sources/vault/source.py:VaultSource._mount",
      'if not (is_canonical(path) and is_canonical(asked.strip("/"))):', "if not asked:",
      NAMES + "test_a_path_that_a_server_folds_is_no_second_secret"),
    M("an event's name is a name by AWS's law", "sources/aws/event_queue.py:names_in",
      "if NAME.fullmatch(name))", "if name)",
      NAMES + "test_events_of_failed_calls_and_odd_ids_name_nothing"),
    M("errors obey no name", "telemetry/logs.py:one_line",
      'return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)', "return text",
      NAMES + "test_errors_obey_no_name"),
    M("only gone is an absence", "reconcile/plan/deletion_checks.py:LastLook._at_its_path",
      "if check.existence is Existence.GONE:\n            return judged", "if True:\n            return judged",
      LAST_LOOK + "test_there_but_not_listed_is_kept_whatever_the_first_rule_asks"),
    M("records follow their ids to another key", "reconcile/planned_pass.py:Look._records_of_this_site",
      "for other in sorted(store.sites_holding(site, listed)):", "for other in ():",
      KEYS + "test_adopted_and_frozen_stay_so_under_another_login"),
    M("two configured keys of one site send nothing", "reconcile/planned_pass.py:Look._records_of_this_site",
      "            if targets:\n                raise ConfigError(", "            if targets is None:\n                raise ConfigError(",
      KEYS + "test_two_keys_that_are_both_configured_send_nothing"),
    M("a key that was never listed may be this site", "reconcile/plan/deletion_checks.py:LastLook.confirm",
      "other_key = unlisted_keys(self._runtime, self._target.site, remote)", "other_key = ''",
      KEYS + "test_one_job_does_not_delete_what_another_wants_under_another_key"),
    M("what is known of an id outlives its row", "reconcile/planned_pass.py:Look.plan",
      "        known_ids = runtime.store.known_ids(", "        known_ids = {} and runtime.store.known_ids(",
      KEYS + "test_what_was_adopted_stays_so_when_its_row_is_forgotten"),
    M("zero is zero", "domain/job.py:Limit.of",
      "return max(1, int(held * self.percent / 100)) if self.percent else 0", "return max(1, int(held * (self.percent or 0) / 100))",
      CONSENT + "test_a_limit_of_zero_lets_nothing_go"),
    M("updates are limited over a day", "reconcile/guard.py:_writes",
      "room = max(0, limit.of(held) - len(sent))", "room = limit.of(held)",
      CONSENT + "test_updates_are_limited_over_a_day_not_a_cycle"),
    M("what is not confirmed is not ours", "reconcile/observe/recovery.py:_looked_up",
      "    if record.pending is Pending.ADOPT:", "    if record.pending is None and record.adopted is None:",
      CONSENT + "test_an_adoption_whose_answer_was_lost_needs_its_consent_again"),
    M("a grant ends", "ledger/store.py:Ledger.grants",
      "table.at <= now + TOLERANCE, table.until > now)", "table.at <= now + TOLERANCE)",
      CONSENT + "test_a_grant_ends"),
    M("consent is read in the moment of the deed", "reconcile/apply/applier.py:Applier._next",
      "if self._terms.is_consented(action):", "if action:",
      CONSENT + "test_a_grant_that_is_taken_back_in_the_middle_is_not_used"),
    M("another owner's mark is a conflict", "domain/ownership.py:other_owner",
      'return next((found for found in MARK.findall(description) if found != owner), "")', "return ''",
      CONSENT + "test_another_owners_mark_is_a_conflict_that_names_it"),
    M("a plan is carried out on its own site", "cli/plan.py:_planned_job",
      'or app.site_of(part["target"]) != part["site"]:', ":",
      CONSENT + "test_a_plan_that_was_edited_does_nothing"),
    M("an edited plan is refused", "reconcile/saved_plan.py:read",
      "    if checksum != digest(content):", "    if checksum is None:",
      CONSENT + "test_a_plan_that_was_edited_does_nothing"),
    M("a quarantine from the future rests nobody", "domain/recency.py:is_ahead",
      "now < at <= now + most + TOLERANCE", "now < at",
      CLOCKS + "test_quarantine_does_not_outlast_a_clock_that_was_ahead"),
    M("what happened in the future did not happen lately", "domain/recency.py:happened_within",
      "-TOLERANCE <= now - at < span", "now - at < span",
      CLOCKS + "test_contested_does_not_outlast_it"),
    M("a step of the clock does not empty the history", "ledger/journal.py:SiteJournal.hold",
      "lines.c.id <= latest - HISTORY_LEAST)", "lines.c.id <= latest)",
      CLOCKS + "test_history_and_verification_survive_it"),
    M("a step of the clock does not empty the quota", "ledger/request_quota.py:Quota._admit",
      "        if recent > count:", "        if recent < 0:",
      CLOCKS + "test_the_quota_is_not_emptied_by_a_step"),
    M("an old date is unknown after minutes", "reconcile/plan/rows_listed.py:_tells_nothing",
      "(change is Change.EARLIER and not may_lag(record, now))", "False",
      UNKNOWN + "test_a_site_that_was_put_back"),
    M("a listing may lag for minutes", "reconcile/plan/rows_listed.py:_tells_nothing",
      "(change is Change.EARLIER and not may_lag(record, now))", "(change is Change.EARLIER)",
      UNKNOWN + "test_a_listing_that_lags_for_minutes_is_no_news"),
    M("written once for a date that tells nothing", "reconcile/plan/rows_listed.py:_settled",
      " and record.doubted_at != listed.updated_at:", ":",
      UNKNOWN + "test_a_site_whose_dates_stand_still_is_written_to_once"),
    M("a verification that did not read is not booked", "reconcile/plan/rows_listed.py:_verify",
      "        return unchanged  # still due", "        return note(replace(record, verified_at=row.now)) + unchanged",
      UNKNOWN + "test_a_verification_that_could_not_read_is_not_booked"),
    M("the drift policy holds in the verification", "reconcile/plan/rows_listed.py:_verify",
      'objection = _objection_to_restore(row, desired, record, "the verification found something else at Wix")', "objection = None",
      UNKNOWN + "test_the_policy_holds_in_the_verification_too"),
    M("as many late commits as lost answers", "reconcile/apply/transitions.py:_updated",
      "lost_writes=(*recently_lost(record, now)[arrived:],", "lost_writes=(*(recently_lost(record, now)[:0] if arrived else recently_lost(record, now)),",
      UNKNOWN + "test_as_many_late_commits_are_remembered_as_answers_were_lost"),
    M("comparisons are a bounded batch", "reconcile/plan/comparisons.py:Comparisons.compare",
      "[: max(0, MOST_A_PASS - self._asked)]", "[:]",
      UNKNOWN + "test_comparisons_are_a_bounded_batch_and_all_are_made"),
    M("what no job sends any more is an orphan", "domain/statuses.py:Served.is_left_over",
      "return record.job not in self.jobs.get(record.site, frozenset())", "return False",
      LEFT + "test_it_is_an_orphan_wherever_it_is_told"),
    M("a draft has a name of its own", "transport/private_files.py:draft_in",
      "secrets.token_hex(8)", "os.getpid()",
      FILES + "test_killed_while_it_makes_its_key_it_starts_again_under_the_same_process_id"),
    M("nothing else is written over", "transport/private_files.py:write_private",
      "    if is_special(place):", "    if place is None:",
      FILES + "test_something_else_in_a_files_place_is_told_and_left"),
    M("rights are narrowed", "transport/private_files.py:narrow",
      "    path.chmod(rights & 0o700)", "    pass",
      FILES + "test_rights_that_are_too_wide_are_narrowed_and_said"),
    M("one ledger has one lock", "config/settings.py:State.file",
      "return Path(str(self.path)).resolve()", "return Path(str(self.path))",
      FILES + "test_one_ledger_has_one_lock_whatever_path_leads_to_it"),
    M("a ledger that is gone is noticed", "ledger/store.py:Ledger.still_there",
      "        if not same:", "        if same is None:",
      FILES + "test_a_ledger_that_went_under_a_process_is_noticed_before_the_next_write"),
    M("a job that waits has a thread of its own", "daemon/scheduler.py:JobSchedule.__init__",
      "ThreadPoolExecutor(max(1, len(settings.jobs)))", "ThreadPoolExecutor(10)",
      WAITING + "test_jobs_on_a_busy_site_hold_up_no_other"),
    M("a site that waits holds up no other", "reconcile/run_job.py:",
      "MOST_SITES = 64", "MOST_SITES = 8",
      WAITING + "test_busy_sites_of_a_job_hold_up_no_other"),
    M("who is asked to wait gives the lock back", "errors.py:",
      "CALL_PATIENCE = 5.0", "CALL_PATIENCE = 500.0",
      WAITING + "test_whoever_waits_for_a_busy_site_gets_its_lock"),
    M("a stranger's request costs constant work", "daemon/control.py:Control.status",
      "if names else self._for_strangers()", "if names else self._status(names=False)",
      WAITING + "test_a_strangers_request_reads_no_rows"),
    M("a reload that fails is undone", "daemon/generations.py:Generations.replace",
      "                self._current = before\n", "                pass\n",
      BOUNDARY + "test_a_reload_that_fails_half_way_is_undone"),
    M("gauges of what was removed go", "telemetry/metrics.py:Metrics.configured",
      "for job, target in self._pairs - pairs:", "for job, target in set():",
      BOUNDARY + "test_what_was_removed_leaves_the_gauges"),
    M("no redirect takes the Host header", "web/routes.py:build",
      "app.router.redirect_slashes = False", "pass",
      BOUNDARY + "test_no_redirect_takes_the_host_header"),
    M("a refused deletion rests", "reconcile/plan/rows_unwanted.py:_tombstone",
      'if problem and rests(problem, "", "", row.now):', "if problem and problem is None:",
      BOUNDARY + "test_a_deletion_that_is_refused_for_good_rests"),
    M("a clock that jumps moves the schedules", "daemon/clock_watch.py:ClockWatch.step",
      "if abs(step) >= CLOCK_STEP", "if step is None",
      BOUNDARY + "test_a_daemon_goes_on_when_its_clock_jumps"),
    M("leak: a key of the configuration", "config/loader.py:_is_ours",
      "return bool(meant_by(part, all_fields()))", "return True",
      LEAKS + "test_echoes.py::test_a_credential_in_the_wrong_place_is_not_shown"),
    M("leak: the name of an environment variable", "config/fields.py:Credential.__str__",
      "known = self.env in os.environ", "known = True",
      LEAKS + "test_echoes.py::test_a_credential_in_the_wrong_place_is_not_shown"),
    M("leak: what the parser says", "config/yaml_file.py:parsed",
      'broken YAML: {problem}"', 'broken YAML: {error.problem}"',
      LEAKS + "test_echoes.py::test_broken_yaml_shows_nothing_of_what_was_written"),
    M("leak: a secret in another form", "transport/echoes.py:_forms",
      "    yield data.hex()\n", "",
      LEAKS + "test_echoes.py::test_a_part_of_a_secret_is_seen_in_any_form"),
    M("leak: a credential that is listed", "targets/wix/target.py:WixTarget.list",
      "if answer.repeats_credential or not isinstance(listed, list):", "if not isinstance(listed, list):",
      LEAKS + "test_echoes.py::test_a_peer_that_gives_back_what_it_was_sent"),
    M("limits go by the site's clock", "reconcile/apply/applier.py:Applier._site_time",
      "return self._target.site_time() or self._clock()", "return self._clock()",
      LIMITS + "test_a_limit_goes_by_the_sites_clock"),
    M("a refusal speaks of its own sending", "ledger/history.py:not_refused",
      '            counted.add(line["of"])\n', '            sent.add(line["of"])\n',
      LIMITS + "test_a_refusal_speaks_of_its_own_sending"),
    M("what is limited counts from its sending", "reconcile/apply/applier.py:Applier._sent_line",
      "        if not self._terms.is_limited(action):\n            return None", "        if not isinstance(action, Delete):\n            return None",
      LIMITS + "test_a_kill_does_not_empty_a_limit"),
    M("a permission is used once", "ledger/journal.py:SiteJournal.write",
      "            if used:\n", "            if used is None:\n",
      LIMITS + "test_a_used_permission_adopts_nothing_again"),
    M("whatever row takes an id takes its protection", "reconcile/observe/recovery.py:_resolve",
      "with_known(record, known.get(ours.id)),", "record,",
      LIMITS + "test_a_pending_creation_that_meets_a_known_id"),
    M("a frozen id is not adopted", "reconcile/plan/rows_wanted.py:_foreign",
      "if known and row.is_frozen(known.frozen_until):", "if known is False:",
      LIMITS + "test_a_frozen_secret_is_not_adopted"),
    M("two sites are never joined", "cli/state_identity.py:_see_that_they_are_one",
      "    if not under_old & ", "    if under_old is None and ",
      LIMITS + "test_two_different_sites_are_never_joined"),
    M("forgetting deletes nothing frozen", "reconcile/plan/rows_unwanted.py:obstacle_to_deletion",
      "    if record.is_frozen(now):\n        return", "    if record is None:\n        return",
      LIMITS + "test_forgetting_deletes_nothing_frozen_and_counts"),
    M("leak: a token in JSON's escapes", "transport/echoes.py:holds",
      "ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), body)", "body",
      LEAKS + "test_echoes.py::test_a_vault_that_gives_back_the_token"),
    M("leak: a token under a folder auth", "sources/vault/answers.py:VaultAdapter.request",
      'not url.startswith("/v1/auth/")', '"/auth/" not in url',
      LEAKS + "test_echoes.py::test_a_vault_that_gives_back_the_token"),
    M("leak: a section's key that is no name", "config/loader.py:_dangling",
      "isinstance(key, str) and _names(key, entries[key])]", "isinstance(key, str)]",
      LEAKS + "test_echoes.py::test_a_key_that_is_no_name_is_not_shown"),
    M("a deletion waits for what a broken job may want", "reconcile/plan/deletion_checks.py:LastLook.confirm",
      "if objection := objection or claims.objection(record.name, record.ref.path):", "if objection:",
      WAITS + "test_what_it_may_want_waits_and_says_why"),
    M("… and for nothing else", "reconcile/plan/site_claims.py:BlindJob.may_want",
      "if any(known.casefold() == folded for known in self.names):", "if self.names:",
      WAITS + "test_what_the_broken_job_is_not_known_to_want_goes"),
    M("… its own unread part included", "reconcile/plan/deletion_checks.py:LastLook.confirm",
      "objection = other_key or self._own_objection(record.name, evidence)", "objection = other_key",
      WAITS + "test_the_jobs_own_unread_part_holds_up_what_it_could_name"),
    M("a rule could give each name that it gives", "domain/naming.py:could_name",
      'return Glob("*".join(pieces)).matches(wanted)', "return False",
      "tests/unit/test_could_name.py::test_what_a_rule_gives_it_could_give"),
    M("a rename sends no value", "reconcile/plan/rows_listed.py:_moved",
      "if change is Change.OURS and not rename:", "if False:",
      RENAMES + "test_a_rename_sends_no_value"),
    M("… but over somebody else's change", "reconcile/plan/rows_listed.py:_moved",
      "if change is Change.OURS and not rename:", "if True:",
      RENAMES + "test_what_somebody_changed_meanwhile_is_written_again"),
    M("another owner is refused", "ledger/store.py:Ledger.check_owner",
      "        if known is not None and known != owner:\n            raise", "        if False:\n            raise",
      RENAMES + "test_another_owner_is_refused_with_the_fix"),
    M("nothing is renamed while it is under way", "cli/state_identity.py:rename_owner",
      "if under_way := [record.name for", "if under_way := [record.name for record in () for",
      RENAMES + "test_nothing_is_renamed_while_something_is_under_way"),
    M("another installation's mark is a conflict", "domain/ownership.py:other_owner",
      'if found != owner), "")', 'if found != owner and not found), "")',
      ADOPTION + "test_another_installations_secret_is_a_conflict_that_names_it"),
    M("the same value is not sent to take it over", "reconcile/plan/rows_wanted.py:_adopt",
      "if site_value != desired.fingerprint:", "if True:",
      ADOPTION + "test_the_plan_says_what_is_overwritten_and_the_same_value_is_not_sent"),
    M("a field that is missing is no empty text", "domain/value_templates.py:filled",
      "if fields.get(part.field) is None:", "if part.field is None:",
      TEMPLATES + "test_a_field_that_is_missing_is_no_absence_and_no_empty_text"),
    M("a changed template is a change", "reconcile/desired/desired_state.py:_RuleMapper.add",
      "version=versioned(path.version.token, rule.value, binary=rule.binary),", "version=path.version.token,",
      TEMPLATES + "test_a_template_follows_its_fields_and_itself"),
    M("a total is spent by the run", "domain/allowance.py:DeletionAllowance.spend",
      "self.total = max(0, self.total - count)", "pass",
      OVERRIDES + "test_a_total_is_shared_by_the_run_and_a_target_has_its_own"),
    M("a target's number is its own", "domain/allowance.py:DeletionAllowance.left_on",
      "return self.by_target.get(target, self.total)", "return max([self.total, *self.by_target.values()])",
      OVERRIDES + "test_each_printed_hint_lets_just_that_target_through"),
    M("an override has a reason", "cli/reasons.py:required_reason",
      "    if not reason:\n", "    if reason is None:\n",
      OVERRIDES + "test_an_override_needs_a_reason"),
    M("a secret's own state is no source's fault", "sources/aws/source.py:AwsSource._entry",
      "message=gone, hint=hint, of_secret=True", "message=gone, hint=hint, of_secret=False",
      AWS_NAMES + "test_the_state_of_one_secret_is_its_own"),
    M("an expired token turns no batches off", "sources/aws/source.py:AwsSource._batch",
      "if refused.code in NOT_PERMITTED:", "if refused.code:",
      AWS_NAMES + "test_an_expired_token_does_not_turn_batches_off"),
    M("another account's ARN is no replaced account", "sources/aws/source.py:AwsSource._snapshot",
      'mount=f"arn:{arn.owner}" if arn else ACCOUNT,\n            mount_id=arn', "mount=ACCOUNT,\n            mount_id=arn",
      AWS_NAMES + "test_an_arn_of_another_account"),
    M("credentials that rotated are read again", "sources/aws/session.py:asked_with_renewal",
      "if refused.code not in STALE or not renew():", "if refused.code:",
      INTEGRATION + "test_rotating_credentials.py::test_a_rotated_credentials_file_is_read_again_by_a_process_that_runs"),
    M("a shared listing is of before no write", "reconcile/observe/observation_cache.py:ObservationCache.site",
      "if held is None or held[0] != state:", "if held is None:",
      INTEGRATION + "test_shared_listing.py::test_what_one_job_creates_the_next_one_sees"),
    M("what was interrupted has not failed", "reconcile/apply/applier.py:Applier._settle",
      "if isinstance(error, Interrupted) and not error.maybe_done:", "if isinstance(error, Interrupted) and error.maybe_done:",
      INTEGRATION + "test_one_cause.py::test_an_interrupted_push_says_how_many_were_not_sent"),
    M("a full site holds up no deletion", "reconcile/apply/applier.py:Applier._note_failure",
      "        if isinstance(error, SiteFull):\n            result.full", "        if isinstance(error, SiteFull):\n            result.broken",
      INTEGRATION + "test_refusals.py::test_a_full_site_that_is_made_room_on"),
    M("a ledger in use is not imported over", "ledger/transfer.py:imported",
      "            if connection.execute(select(func.count()).select_from(table)).scalar():", "            if table is None:",
      INTEGRATION + "test_moving_a_ledger.py::test_it_leaves_no_fingerprint_and_refuses_a_ledger_that_is_in_use"),
    M("leak: a fingerprint in an export", "ledger/transfer.py:",
      'LEFT_OUT = {"seal", "fingerprint", "id"}', 'LEFT_OUT = {"seal", "id"}',
      INTEGRATION + "test_moving_a_ledger.py::test_it_leaves_no_fingerprint_and_refuses_a_ledger_that_is_in_use"),
    M("leak: a proxy's password", "bootstrap/credentials.py:proxy_of",
      'raise ConfigError(f"{what}: holds no address of an HTTP proxy"', 'raise ConfigError(f"{what}: {url.reveal()} is no proxy"',
      INTEGRATION + "test_company_networks.py::test_a_file_that_holds_no_proxy"),
    M("a permission is for the id that was seen", "reconcile/plan/rows_wanted.py:_foreign",
      "grant.remote_id == found.id and owner in", "owner in",
      CONSENT + "test_a_grant_is_for_the_secret_that_was_seen"),
    M("a permission is void under another mark", "reconcile/plan/rows_wanted.py:_foreign",
      'owner in {"", grant.owner}', "owner is not None",
      CONSENT + "test_a_grant_is_for_the_secret_that_was_seen"),
    M("an encoding makes a version of its own", "domain/value_templates.py:versioned",
      'form = template or ("binary" if binary else "")', "form = template",
      HANDOVER + "test_an_encoding_that_is_taken_away_is_another_version"),
    M("what tags leave out passes its name on", "reconcile/plan/handover.py:Handover.transfers",
      "is_gone(record) or is_left_out_by_tags(record)", "is_gone(record)",
      HANDOVER + "test_a_name_whose_secret_lost_its_tags"),
    M("tags that still select keep the name", "reconcile/plan/handover.py:Handover.names_given",
      "(tags is None or set(rule.tags) <= tags)", "tags is None",
      HANDOVER + "test_a_name_whose_secret_lost_its_tags"),
    M("a pinned version is not gone with the latest", "sources/vault/source.py:VaultSource.check_path",
      "self._walker.metadata(mount, within) is not None if pin else self._is_live(", "self._is_live(",
      HANDOVER + "test_a_pinned_version_keeps_its_name_whatever_the_latest_is"),
    M("what a renamed job leaves is reported", "reconcile/plan/handover.py:Handover.of_gone_jobs",
      "if claiming - {self.job} or record.name in wanted:", "if claiming:",
      HANDOVER + "test_what_a_renamed_job_does_not_take_over_is_reported"),
    M("silence is no evidence", "reconcile/record/statuses.py:status_of",
      'return record.status if finding is None and outcome is None else "synced"', 'return "synced"',
      "tests/unit/reconcile/record/test_records.py::test_a_status"),
    M("what was not sent is behind", "reconcile/cycle.py:Cycle._settle_rows",
      "            journal.write(put=behind)\n            rows |= {row.name: row for row in behind}\n", "            pass\n",
      NOT_SENT + "test_what_waits_for_a_slow_site_is_behind_meanwhile"),
    M("what is not sent is told", "reconcile/record/report.py:not_carried_out",
      "if action.name not in ended\n", "if action.name == ended\n",
      NOT_SENT + "test_what_a_kept_plan_leaves_out"),
    M("an older answer that is not taken is told", "reconcile/plan/resolver.py:PlanResolver._with_unread",
      "if not isinstance(action, Delete) and action.name not in behind:", "if isinstance(action, Delete):",
      NOT_SENT + "test_an_older_version_that_is_not_believed_yet"),
    M("an id that is looked for is no update", "domain/plan.py:verb_of",
      "action.reason == Reason.SOUGHT", "action.reason is None",
      NOT_SENT + "test_an_id_that_is_looked_for_is_no_update"),
    M("a lost mark that stands there is ours", "reconcile/plan/rows_listed.py:_settled",
      "listed.description == desired.description != record.description:", "listed.description == desired.name:",
      UNKNOWN + "test_a_mark_whose_answer_was_lost_is_ours"),
    M("a whole value stays until its fields are there", "reconcile/plan/handover.py:Handover.why_an_old_name_stays",
      "if secret.ref == record.ref] or of_its_path", "if secret.ref == record.ref]",
      HANDOVER + "test_a_whole_value_stays_until_every_field_of_it_is_there"),
    M("no request without its line before it", "reconcile/apply/applier.py:Applier._write",
      "AuditBatch(intents=intents,", "AuditBatch(intents=(),",
      INTEGRATION + "test_audit.py::test_every_request_has_its_intent_and_one_end"),
    M("each end names its intent", "ledger/audit.py:take_turn",
      "replace(entry, intent=seqs.get(str(entry.name)))", "replace(entry, intent=None)",
      "tests/contract/test_audit_streams.py::test_each_intent_has_one_end_that_names_it"),
    M("what a killed process had under way ends as unknown", "ledger/journal.py:SiteJournal.hold",
      "trail.settle_killed(connection, site, now)", "pass",
      INTEGRATION + "test_audit.py::test_a_killed_process_leaves_an_intent_that_ends_as_unknown"),
    M("a line that was sealed anew breaks the chain", "domain/audit.py:ChainCheck.take",
      'if line["prev"] != self.prev:', 'if line["prev"] is None:',
      "tests/unit/domain/test_audit.py::test_a_line_that_was_sealed_anew_is_seen_at_the_next"),
    M("an altered column is seen", "domain/audit.py:ChainCheck.take",
      "and _fits(line, columns)", "and bool(columns)",
      "tests/unit/domain/test_audit.py::test_a_column_that_says_something_else_is_seen"),
    M("a tail that was cut off is seen by its head", "ledger/audit.py:verify",
      "if last < max(least, max(expected.get(stream, {}), default=0)):", "if last < least:",
      INTEGRATION + "test_audit.py::test_what_was_altered_is_named"),
    M("many begin one stream at once", "ledger/audit.py:held_head",
      'insert_missing(connection, heads, {"stream": stream, "seq": 0, "hash": FIRST})',
      "connection.execute(insert(heads).values(stream=stream, seq=0, hash=FIRST))",
      "tests/contract/test_audit_streams.py::test_many_begin_one_stream_at_once"),
    M("a line says why", "cli/reasons.py:required_reason",
      "replace(CAUSE.get(), reason=reason)", "CAUSE.get()",
      INTEGRATION + "test_audit.py::test_a_line_says_who_and_why"),
    M("a probe has its lines", "diagnostics/site_probe.py:Probe._audited",
      'AuditBatch(intents=(_line(record, verb, "intent"),))', "AuditBatch()",
      INTEGRATION + "test_audit.py::test_probes_have_their_lines"),
    M("a finding has one line while it lasts", "ledger/audit.py:findings_begun_and_ended",
      "open_now.keys() - before", "open_now.keys()",
      "tests/contract/test_audit_streams.py::test_a_finding_has_a_line_when_it_begins_and_when_it_ends"),
    M("a head that was set back is seen", "ledger/audit.py:verify",
      "elif last > after.get(stream, (0, FIRST))[0]:", "elif last < 0:",
      "tests/contract/test_audit_streams.py::test_a_head_that_is_gone_or_set_back_is_seen_and_holds_up_writing"),
    M("one configuration has one line", "ledger/audit_trail.py:AuditTrail.note_configuration",
      "if connection.execute(known).scalar() == digest:", "if digest is None:",
      "tests/contract/test_audit_streams.py::test_one_configuration_has_one_line_whoever_loads_it_at_once"),
    M("the environment does not say who somebody is", "cli/context.py:os_user",
      "return pwd.getpwuid(os.geteuid()).pw_name", 'return os.environ["LOGNAME"]',
      INTEGRATION + "test_audit.py::test_the_environment_does_not_say_who_somebody_is"),
    M("each limit has a finding of its own", "reconcile/record/cycle_result.py:open_findings",
      "(event, finding.name or finding.verb): Entry(", "(event, finding.name): Entry(",
      INTEGRATION + "test_audit.py::test_each_limit_has_a_line_of_its_own_and_its_end"),
    M("somebody else's file is not touched", "ledger/engine.py:_may_be_a_ledger",
      "if application != APPLICATION_ID and (application or tables):", "if application is None:",
      INTEGRATION + "test_private_files.py::test_a_file_of_somebody_else_is_refused_untouched"),
    M("a required sink holds up writing", "ledger/journal.py:SiteJournal.write",
      "if audit.intents:\n            self._before_intents()", "pass",
      INTEGRATION + "test_audit_sinks.py::test_a_required_sink_holds_up_writing_once_a_line_is_old"),
    M("a line is shipped once it was taken", "audit_sinks/shipper.py:Shipper._send_all",
      "ledger.audit.mark_shipped(key, {line.stream: line.seq for line in lines})", "return",
      INTEGRATION + "test_audit_sinks.py::test_a_file_gets_every_line_once_and_in_order"),
    M("what is not shipped is not pruned", "ledger/audit_keeping.py:_prune_stream",
      "if sink is not None:", "if sink is None:",
      INTEGRATION + "test_audit_sinks.py::test_what_is_not_shipped_stays"),
    M("a clock that jumped prunes little", "ledger/audit_keeping.py:prune",
      "not now >= row.at + EACH", "now < row.at",
      INTEGRATION + "test_audit_sinks.py::test_a_clock_that_jumped_takes_two_days_of_lines_a_day"),
)  # fmt: skip


def checked(mutant: Mutant) -> str:
    """The whole mutated file. Raises for a text that does not stand exactly once in the function."""
    text = (ROOT / "syncd" / mutant.file).read_text()
    first, last = span_of(text, mutant.name)
    lines = text.splitlines(keepends=True)
    before, body, after = "".join(lines[:first]), "".join(lines[first:last]), "".join(lines[last:])
    if body.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.function}: {body.count(mutant.old)} times, not once: {mutant.old}")
    return before + body.replace(mutant.old, mutant.new) + after


def span_of(text: str, name: str) -> tuple[int, int]:
    """First and last line of a function or class, by its dotted name; of the file where that is empty."""
    node: ast.AST = ast.parse(text)
    first, last = 0, len(text.splitlines())
    for part in filter(None, name.split(".")):
        found = [one for one in ast.walk(node) if isinstance(one, DEFINITIONS) and one.name == part]
        if len(found) != 1:
            raise SystemExit(f"there is not one {name}, but {len(found)}")
        node, first, last = found[0], found[0].lineno - 1, found[0].end_lineno or 0
    return first, last


def passes(copy: Path, *tests: str, workers: int = 0) -> tuple[bool, str]:
    """Do these tests pass there, and which one failed?"""
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "--timeout=120", "-m", "not chaos", f"-n{workers}", *tests]
    # A mutant may have the size and the second of the honest file: no compiled one may stand in for it.
    # Whatever starts Python there has to find the copy, not the installed one.
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(copy)}
    done = subprocess.run(argv, cwd=copy, env=environ, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1} and "\nFAILED" not in done.stdout:
        raise SystemExit(f"{' '.join(tests)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    if done.returncode and workers:
        print("\n".join(line for line in done.stdout.splitlines() if line.startswith(("E  ", "FAILED"))))
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode == 0, failed[0].split(" - ")[0].removeprefix("FAILED ") if failed else ""


def copies(folder: Path) -> Iterator[Path]:
    for number in range(WORKERS):
        copy = folder / str(number)
        for part in ("syncd", "tests", "config", "deploy"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("pyproject.toml", "README.md", "Makefile"):
            shutil.copy(ROOT / part, copy / part)
        yield copy


def main() -> int:
    """Run the mutants whose sentence holds the words given, or all."""
    chosen = [one for one in MUTANTS if all(word in one.sentence for word in sys.argv[1:])]
    texts = {mutant: checked(mutant) for mutant in chosen}
    with tempfile.TemporaryDirectory(prefix="syncd-mutants-") as folder:
        free: Queue[Path] = Queue()
        for copy in copies(Path(folder)):
            free.put(copy)
        tests = sorted({test for mutant in chosen for test in mutant.test.split()})
        good, failed = passes(free.queue[0], *tests, workers=WORKERS)
        if not good:
            raise SystemExit(f"without a mutant, {failed} fails")

        def run(mutant: Mutant) -> tuple[Mutant, str]:
            copy = free.get()
            place = copy / "syncd" / mutant.file
            honest = place.read_text()
            place.write_text(texts[mutant])
            try:
                _, killer = passes(copy, *mutant.test.split())
            finally:
                place.write_text(honest)
                free.put(copy)
            return mutant, killer

        survived = 0
        with ThreadPoolExecutor(WORKERS) as pool:
            for mutant, killer in pool.map(run, chosen):
                survived += not killer
                print(
                    f"{'killed by ' + killer if killer else 'SURVIVED'}\n    {mutant.function}: {mutant.sentence}",
                    flush=True,
                )
    print(f"{len(chosen)} mutants, {len(chosen) - survived} killed, {survived} survived")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())
