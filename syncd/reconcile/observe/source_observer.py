"""List, map, fetch: what a job's sources hold now, as names and versions, and values where needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from syncd.domain import (
    DesiredSecret,
    Finding,
    FindingKind,
    PathState,
    ReadFailure,
    ReadResult,
    Rule,
    SecretRef,
    Snapshot,
    SourceEntry,
    Version,
)
from syncd.domain.naming import fill, selects_path, wix_name
from syncd.domain.ownership import mark_of, marked
from syncd.domain.ports import Journal, Source, StateStore
from syncd.domain.untrusted import FIELD_MAX, is_storable
from syncd.domain.value_templates import PLAIN_FORMS, form_in, versioned
from syncd.domain.values import canonical, extract, fields_of
from syncd.errors import BadName, BadValue
from syncd.reconcile.desired.desired_state import DesiredState, rule_digest, strange_mount, without_odd_paths
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.plan.absence import ListingEvidence

CONFIRMATIONS = 3
"""Cycles in a row that must show an older version before it is believed (a lagging standby shows it too)."""

SPACING = timedelta(minutes=1)
"""As far apart those cycles must be at least."""

Key = tuple[str, str]
"""A path and its pin."""
Fingerprint = Callable[[bytes], str]


class SourceObserver:
    """What one job selects at its source, read as far as its cycle needs it."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        source: Source,
        tick: ObservationCache,
        store: StateStore,
        journal: Journal | None,
        fingerprint: Fingerprint,
        now: datetime,
        named: frozenset[str] = frozenset(),
    ) -> None:
        """`journal` None: only look, remember nothing. `named`: paths that an event named, looked at directly."""
        self._named = named
        self._now = now
        self._rules = rules
        self._digests = {rule.index: rule_digest(rule) for rule in rules}
        self._source = source
        self._tick = tick
        self._journal = journal
        self._fingerprint = fingerprint
        self._states = store.known_paths(source.name)
        self._mounts = store.known_mounts(source.name)
        self._snapshots: dict[int, Snapshot] = {}
        self._entries: dict[Key, SourceEntry] = {}
        self._unread: set[Key] = set()
        self._documents: dict[Key, ReadResult] = {}
        self._confirmed: set[Key] = set()
        self._changed: dict[Key, PathState] = {}
        self.older: set[Key] = set()
        """Read in an older version than before, which is not believed yet."""
        self.failures: list[ReadFailure] = []
        self._unsendable: list[ReadFailure] = []
        """Secrets that the source answered for, and that have nothing to send."""

    def look(self) -> None:
        """List every rule, and read the paths that are new or have a new version. Raises `SourceError`."""
        for rule in self._rules:
            listed = self._with_named(rule, self._tick.list(self._source, rule))
            snapshot = without_odd_paths(self._known_mount(listed))
            self._snapshots[rule.index] = snapshot
            for failure in snapshot.failures:
                self._failed(failure, rule.pin)
            for entry in snapshot.entries:
                self._entries[entry.ref.path, entry.pin] = entry
        self.read(
            key for key, entry in self._entries.items() if self._is_news(key, entry) or entry.ref.path in self._named
        )

    def _failed(self, failure: ReadFailure, pin: str) -> None:
        """Note a place that was not read, or a secret that has nothing to send."""
        (self._unsendable if failure.of_secret else self.failures).append(failure)
        self._unread.add((failure.place, pin))

    def _with_named(self, rule: Rule, snapshot: Snapshot) -> Snapshot:
        """The listing and what an event named, which a lagging listing may lack.

        The names are somebody's text: they add what the rule selects anyway, in the place that was listed, and
        one that is of no use costs nothing but itself.
        """
        listed = {entry.ref.path for entry in snapshot.entries}
        lacking = [path for path in sorted(self._named - listed) if selects_path(rule, path)]
        if not rule.path.has_wildcard or not lacking:
            return snapshot
        place = (snapshot.mount, snapshot.mount_id)
        found = [self._tick.find(self._source, rule, path) for path in lacking]
        here = (
            entry for snapshot in found if (snapshot.mount, snapshot.mount_id) == place for entry in snapshot.entries
        )
        entries = (*snapshot.entries, *here)
        return replace(snapshot, entries=tuple(sorted(entries, key=lambda entry: entry.ref.path)))

    def _known_mount(self, snapshot: Snapshot) -> Snapshot:
        """A mount under a known name with another identity is another mount: nothing in it is believed."""
        if not snapshot.complete and not snapshot.mount_id:
            return snapshot  # it failed, and says so
        strange = strange_mount(self._mounts, snapshot.mount, snapshot.mount_id)
        if not strange:
            new = snapshot.mount_id and snapshot.mount not in self._mounts
            if new and snapshot.entries:
                self._mounts[snapshot.mount] = snapshot.mount_id
                if self._journal:
                    self._journal.mount(self._source.name, snapshot.mount, snapshot.mount_id)
            return snapshot
        failure = ReadFailure(
            place=snapshot.mount or snapshot.mount_id or "the account",
            message="another mount or account than the one that the ledger knows",
            hint=f"if it was replaced on purpose: syncd state remount {self._source.name} {strange}",
        )
        return replace(snapshot, entries=(), failures=(failure,), complete=False)

    def _is_news(self, key: Key, entry: SourceEntry) -> bool:
        state = self._states.get(key)
        if state is None or entry.version is None:
            return True
        if entry.version.token == state.version.token:
            if state.older_count:
                self._keep(key, replace(state, older_token="", older_count=0))
            return False
        return self._is_believed(key, state, entry.version)

    def _is_believed(self, key: Key, state: PathState, version: Version) -> bool:
        """An older answer counts once several cycles in a row have shown the same."""
        if not version.older_than(state.version) or key in self._confirmed:
            return True
        same = state.older_token == version.token
        if same and state.older_at and timedelta(0) <= self._now - state.older_at < SPACING:
            return False  # one lagging answer seen by many jobs is one answer
        seen = state.older_count + 1 if same else 1
        self._keep(key, replace(state, older_token=version.token, older_count=seen, older_at=self._now))
        if seen >= CONFIRMATIONS:
            self._confirmed.add(key)
        return key in self._confirmed

    def _keep(self, key: Key, state: PathState) -> None:
        self._states[key] = self._changed[key] = state

    def read(self, keys: Iterable[Key]) -> None:
        """Read these listed paths, once a cycle each. Raises `SourceError`."""
        asked = [key for key in keys if key in self._entries and key not in self._documents]
        for reading in self._tick.read(self._source, [self._entries[key] for key in asked]):
            self._take((reading.entry.ref.path, reading.entry.pin), reading)
        if self._journal and self._changed:
            self._journal.paths(self._changed.values())
            self._changed.clear()

    def _take(self, key: Key, reading: ReadResult) -> None:
        if reading.failure:
            self._failed(reading.failure, reading.entry.pin)
        elif reading.gone and reading.entry.version is None:
            self._unlist(key)  # without versions (KV v1), reading is what tells that it is there
            return
        if reading.failure or reading.gone or reading.document is None:
            self._unread.add(key)  # listed, yet not read: nothing is known of its present version
            return
        try:
            version = reading.version or Version(token="kv1:" + self._fingerprint(canonical(reading.document)))
        except BadValue as error:
            self._unread.add(key)
            self.failures.append(ReadFailure(place=key[0], message=error.message, hint=error.hint))
            return
        state = self._states.get(key)
        older = state is not None and version.token != state.version.token and version.older_than(state.version)
        if older and key not in self._confirmed:
            self.older.add(key)
            return
        self._documents[key] = reading
        self._keep(
            key,
            PathState(
                source=self._source.name,
                path=key[0],
                pin=key[1],
                version=version,
                fields=fields_of(reading.document),
                updated_at=reading.updated_at,
            ),
        )

    def _unlist(self, key: Key) -> None:
        del self._entries[key]
        for index, snapshot in self._snapshots.items():
            kept = tuple(entry for entry in snapshot.entries if (entry.ref.path, entry.pin) != key)
            self._snapshots[index] = replace(snapshot, entries=kept)

    @property
    def listing_calls(self) -> int:
        """What the listings cost at the source."""
        return sum(snapshot.calls for snapshot in self._snapshots.values())

    @property
    def means(self) -> dict[str, str]:
        """How each rule's path was listed."""
        return {
            rule.path.text: self._snapshots[rule.index].means for rule in self._rules if rule.index in self._snapshots
        }

    def doubt(self, rule: Rule) -> None:
        """Report, once, a rule that lists nothing though the ledger holds secrets of it."""
        failure = ReadFailure(
            place=rule.path.text,
            message="lists nothing, though the ledger holds secrets of it; that is not believed",
            hint="see the path and the policy; if they were deleted on purpose: "
            "syncd state forget NAME --delete --reason '…'",
        )
        if failure not in self.failures:
            self.failures.append(failure)

    def key_of(self, wanted: DesiredSecret) -> Key:
        """The path and pin that a wanted name comes from."""
        return wanted.ref.path, wanted.pin

    def lacks(self, ref: SecretRef, pin: str) -> bool:
        """Was the path read and parsed at its listed version, and lacks the field?"""
        key = (ref.path, pin)
        state = self._states.get(key)
        if state is None or state.fields is None or ref.field is None or key in self._unread:
            return False
        return key in self._entries and ref.field not in state.fields

    @property
    def unread(self) -> bool:
        """Is anything listed that could not be read or parsed?"""
        return bool(self._unread)

    @property
    def picture(self) -> ListingEvidence:
        """What was seen, for judging absences."""
        return ListingEvidence(
            rules=self._rules,
            snapshots=self._snapshots,
            paths=self._states,
            unread=frozenset(self._unread),
            listed=frozenset(self._entries),
        )

    def desired(self, *, job: str, owner: str, profile: str) -> DesiredState:
        """Every selected field under its Wix name, with its value where the path was read."""
        wanted = DesiredState()
        for failure in self._unsendable:
            ref = SecretRef(source=self._source.name, path=failure.place)
            wanted.failed(str(ref), ref, failure.message, failure.hint)
        for rule in self._rules:
            snapshot = self._snapshots[rule.index]
            if snapshot.complete and not snapshot.entries and rule.path.has_wildcard:
                wanted.findings.append(
                    Finding(kind=FindingKind.UNKNOWN, name="", message=f"{rule.path} selects nothing")
                )
            if not snapshot.entries and not snapshot.failures and not rule.path.has_wildcard and snapshot.complete:
                ref = SecretRef(source=self._source.name, path=rule.path.text)
                why = snapshot.absence or "there is no such path at the source"
                wanted.missing(ref, why, "see the path, or take the rule out")
            for entry in snapshot.entries:
                key = (entry.ref.path, entry.pin)
                state = self._states.get(key)
                if state is not None:
                    for ref in self._refs(rule, state, wanted):
                        self._add(wanted, rule, ref, state, job=job, owner=owner, profile=profile)
        return wanted

    def _refs(self, rule: Rule, state: PathState, wanted: DesiredState) -> Iterable[SecretRef]:
        ref = SecretRef(source=state.source, path=state.path)
        if rule.field is None:
            return (ref,)
        if state.fields is None:
            wanted.failed(str(ref), ref, "the value is not a JSON object, so it has no fields", "leave `field` out")
            return ()
        if rule.field == "*":
            if not state.fields:
                nothing = "the secret is there and has no fields, so nothing of it is sent"
                wanted.findings.append(Finding(kind=FindingKind.UNKNOWN, name=str(ref), ref=ref, message=nothing))
            odd = [field for field in state.fields if not is_storable(field) or len(field.encode()) > FIELD_MAX]
            for field in odd:
                message = f"a field's name holds a NUL or a lone surrogate, or is longer than {FIELD_MAX} bytes"
                wanted.failed(f"{ref}#{field[:60]!a}", ref, message, "rename the field at the source")
            named = (field for field in state.fields if field not in odd)
            return tuple(SecretRef(source=ref.source, path=ref.path, field=field) for field in named)
        if rule.field in state.fields:
            return (replace(ref, field=rule.field),)
        if not rule.path.has_wildcard:
            has = ", ".join(state.fields) or "none"
            wanted.missing(replace(ref, field=rule.field), f"there is no field {rule.field}", f"it has: {has}")
        return ()

    def _add(
        self,
        wanted: DesiredState,
        rule: Rule,
        ref: SecretRef,
        state: PathState,
        *,
        job: str,
        owner: str,
        profile: str,
    ) -> None:
        mount = self._snapshots[rule.index].mount.strip("/")
        try:
            name = wix_name(rule, ref, mount, profile)
        except BadName as error:
            wanted.failed(str(ref), ref, error.message, error.hint)
            return
        text = fill(rule.description, rule, ref, mount) if rule.description else "Kept by syncd"
        desired = DesiredSecret(
            name=name,
            ref=ref,
            version=versioned(state.version.token, rule.value, binary=rule.binary),
            description=marked(text, mark_of(owner, name, ref)),
            job=job,
            pin=rule.pin,
            rule=self._digests[rule.index],
            updated_at=state.updated_at,
        )
        if desired.key in wanted.secrets:
            # Two rules that give one reference the same name merge; the first one counts, if both make the same of it.
            held = wanted.secrets[desired.key]
            if held.version != desired.version and not {form_in(held.version), form_in(desired.version)} <= PLAIN_FORMS:
                message, hint = "two rules make it by different templates", "give one of them another `name`"
                wanted.faults[desired.key] = BadValue(message, hint=hint)
                wanted.put(replace(held, rule=held.rule + desired.rule))  # a change of either rule is another try
            return
        reading = self._documents.get((ref.path, rule.pin))
        if reading is not None and reading.document is not None:
            try:
                value = extract(reading.document, rule, ref.field)
            except BadValue as error:
                wanted.faults[desired.key] = error
            else:
                desired = replace(desired, value=value, fingerprint=self._fingerprint(value.reveal().encode()))
        wanted.put(desired)
