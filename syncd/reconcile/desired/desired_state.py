"""The names and values that a site should hold, from what was seen at the source. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncd.domain import DesiredSecret, Finding, FindingKind, PathState, Rule, SecretRef, SecretValue, rule_digest
from syncd.domain.naming import could_name, fill, selects_path, wix_name
from syncd.domain.ownership import mark_of, marked
from syncd.domain.untrusted import FIELD_MAX, is_storable
from syncd.domain.value_templates import PLAIN_FORMS, form_in, versioned
from syncd.domain.values import extract
from syncd.errors import BadName, BadValue, SecretError
from syncd.reconcile.observe.evidence import ListingEvidence


@dataclass(slots=True)
class DesiredState:
    """The mapped names of a job, and what could not be mapped."""

    secrets: dict[tuple[str, SecretRef, str], DesiredSecret] = field(default_factory=dict)
    faults: dict[tuple[str, SecretRef, str], SecretError] = field(default_factory=dict)
    value_faults: set[tuple[str, SecretRef, str]] = field(default_factory=set)
    """Those of `faults` whose cause is the value itself."""
    findings: list[Finding] = field(default_factory=list)
    lacking: set[SecretRef] = field(default_factory=set)
    """Paths that lack the field that a rule takes, probably by a slip: one of their names is missing."""

    def put(self, desired: DesiredSecret) -> None:
        """Add a mapped name."""
        self.secrets[desired.key] = desired

    def failed(self, name: str, ref: SecretRef, message: str, hint: str) -> None:
        """Add a finding for a reference that fails alone: the others go on."""
        self.findings.append(Finding(kind=FindingKind.FAILED, name=name, ref=ref, message=message, hint=hint))

    def missing(self, ref: SecretRef, message: str, hint: str) -> None:
        """Add a finding for a rule that names exactly one thing, which is not there."""
        self.findings.append(
            Finding(kind=FindingKind.MISSING, name=str(ref), ref=ref, message=message, hint=hint, exit_code=1)
        )

    def unknown(self, message: str, ref: SecretRef | None = None, hint: str = "") -> None:
        """Add a finding for something that may be a typing mistake."""
        name = str(ref) if ref else ""
        self.findings.append(Finding(kind=FindingKind.UNKNOWN, name=name, ref=ref, message=message, hint=hint))

    @property
    def unmade(self) -> frozenset[SecretRef]:
        """Paths of which some name cannot be made."""
        failed = (finding.ref for finding in self.findings if finding.kind is FindingKind.FAILED and finding.ref)
        return frozenset({*failed, *self.lacking})

    @property
    def all(self) -> tuple[DesiredSecret, ...]:
        """Every mapped name, collisions included."""
        return tuple(self.secrets.values())

    def hide_values(self) -> None:
        """Hide values, their fingerprints and their faults from whoever chose the names and templates.

        A template may hold a guess of a value: a comparison or a fault would tell whether it is right.
        """
        for key, desired in self.secrets.items():
            if desired.fingerprint is not None or key in self.value_faults:
                self.secrets[key] = replace(desired, value=SecretValue(""), fingerprint="not compared")
        # A fault would tell how long a value is, or that a guess of it is wrong.
        for key in self.value_faults:
            del self.faults[key]
        self.value_faults.clear()

    def faulty(self) -> Mapping[str, DesiredSecret]:
        """The mapped names with a value that cannot go to Wix."""
        return {desired.name: desired for key, desired in self.secrets.items() if key in self.faults}


@dataclass(frozen=True, slots=True)
class IdleRule:
    """A rule that makes nothing of a path, by a slip or because something is not there.

    It claims the name that it would give all the same.
    """

    rule: Rule
    path: str
    mount: str

    def may_give(self, name: str, profile: str) -> bool:
        """Could it give this name, if it made something of its path?"""
        return could_name(self.rule, name, self.path, self.mount, profile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """For whom names are made, and how."""

    job: str
    owner: str
    """The name of this installation in its marks at Wix."""
    profile: str
    """Which names the site takes: `api` or `dashboard`, see `naming.PROFILES`."""
    fingerprint: Callable[[bytes], str]
    """Makes the fingerprint of a value; the same value gives the same text."""


def build_desired_state(evidence: ListingEvidence, naming: Naming) -> DesiredState:
    """Every selected field under its Wix name, with its value where the path was read."""
    state = DesiredState()
    for failure in evidence.unsendable:
        ref = SecretRef(source=evidence.source, path=failure.location)
        state.failed(str(ref), ref, failure.message, failure.hint)
    for rule in evidence.rules:
        snapshot = evidence.snapshots[rule.index]
        if snapshot.complete and not snapshot.entries:
            _report_nothing_listed(state, evidence, rule)
        builder = _RuleMapper(state, evidence, naming, rule)
        # A path that was listed and never read has no fields that are known to be wanted.
        known = (evidence.paths.get((entry.ref.path, entry.pin)) for entry in snapshot.entries)
        read = [path for path in known if path is not None]
        for path in read:
            for ref in _selected(rule, path, state):
                builder.add(ref, path)
        _note_lacking(state, rule, read, of_all=snapshot.complete and len(read) == len(snapshot.entries))
    return state


def idle_rules(evidence: ListingEvidence, desired: DesiredState) -> tuple[IdleRule, ...]:
    """Return the rules that make nothing of a path that they name or take.

    `desired`: what the job's rules made of the same evidence.
    """
    unmade = {ref.path for ref in desired.unmade}
    made = {(wanted.ref.path, wanted.rule) for wanted in desired.all} if unmade else set()
    found = []
    for rule in evidence.rules:
        snapshot, digest = evidence.snapshots[rule.index], rule_digest(rule)
        paths = {path for path in unmade if selects_path(rule, path)}
        # Of two rules that merge, the digests stand side by side.
        idle = {path for path in paths if not any(path == of and digest in by for of, by in made)}
        if not snapshot.entries and not rule.path.has_wildcard:
            idle.add(rule.path.text)
        found += [IdleRule(rule, path, snapshot.mount.strip("/")) for path in sorted(idle)]
    return tuple(found)


def _report_nothing_listed(state: DesiredState, evidence: ListingEvidence, rule: Rule) -> None:
    snapshot = evidence.snapshots[rule.index]
    # A glob that takes nothing may be a slip; an exact path says that something has to be there.
    if rule.path.has_wildcard:
        state.unknown(f"{rule.path} selects nothing", hint="see that the path is right: syncd check --connect")
    elif not snapshot.failures:
        # A path that lost its tags is there, and is not what the rule asks for.
        absent = "nothing of that path has the rule's tags" if rule.tags else "there is no such path at the source"
        why = snapshot.absence or absent
        state.missing(SecretRef(source=evidence.source, path=rule.path.text), why, "see the path, or take the rule out")


def _selected(rule: Rule, path: PathState, state: DesiredState) -> Iterable[SecretRef]:
    """The fields of one path that a rule takes."""
    ref = SecretRef(source=path.source, path=path.path)
    if rule.field is None:
        return (ref,)
    if path.fields is None:
        state.failed(str(ref), ref, "the value is not a JSON object, so it has no fields", "leave `field` out")
        return ()
    if rule.field == "*":
        return _each_field(ref, path.fields, state)
    if rule.field in path.fields:
        return (replace(ref, field=rule.field),)
    # Of many paths some may lack the field; a rule for one path says that it has to be there.
    if not rule.path.has_wildcard:
        has = ", ".join(path.fields) or "none"
        state.missing(replace(ref, field=rule.field), f"there is no field {rule.field}", f"it has: {has}")
    return ()


def _note_lacking(state: DesiredState, rule: Rule, read: Sequence[PathState], *, of_all: bool) -> None:
    """Note the paths that lack the rule's field, where that looks like a slip.

    `of_all`: does `read` hold every path that the rule takes?
    """
    lacking = [path for path in read if path.fields is not None and rule.field not in {None, "*", *path.fields}]
    nobody_has_it = of_all and len(lacking) == len(read)
    # Of many paths some may lack it. One that was named, by its path or its tags, should have it.
    if lacking and (nobody_has_it or rule.tags or not rule.path.has_wildcard):
        state.lacking |= {SecretRef(source=path.source, path=path.path) for path in lacking}
    if lacking and nobody_has_it and rule.path.has_wildcard:
        there = sorted({name for path in lacking for name in path.fields or () if name.isprintable()})
        hint = (
            f"see that the field is right; there is {', '.join(there[:MOST_FIELDS])}"
            if there
            else "see that the field is right"
        )
        state.unknown(f"nothing that {rule.path} selects has a field {rule.field}", hint=hint)


MOST_FIELDS = 10
"""Names of fields that a hint gives at most."""


def _each_field(ref: SecretRef, fields: Iterable[str], state: DesiredState) -> Iterable[SecretRef]:
    names = tuple(fields)
    if not names:
        state.unknown("the secret is there and has no fields, so nothing of it is sent", ref)
        state.lacking.add(ref)
    odd = {name for name in names if not is_storable(name) or len(name.encode()) > FIELD_MAX}
    # They fail alone: the other fields of the path go on. A name from outside is shown cut, and in ASCII.
    for name in sorted(odd):
        message = f"a field's name holds a NUL or a lone surrogate, or is longer than {FIELD_MAX} bytes"
        state.failed(f"{ref}#{name[:60]!a}", ref, message, "rename the field at the source")
    return tuple(replace(ref, field=name) for name in names if name not in odd)


class _RuleMapper:
    """Maps what one rule selects."""

    def __init__(self, state: DesiredState, evidence: ListingEvidence, naming: Naming, rule: Rule) -> None:
        self._state, self._evidence, self._naming, self._rule = state, evidence, naming, rule
        self._mount = evidence.snapshots[rule.index].mount.strip("/")
        self._digest = rule_digest(rule)

    def add(self, ref: SecretRef, path: PathState) -> None:
        """Add one field under its Wix name. A name that Wix does not take fails this field alone."""
        state, rule = self._state, self._rule
        try:
            name = wix_name(rule, ref, self._mount, self._naming.profile)
        except BadName as error:
            state.failed(str(ref), ref, error.message, error.hint)
            return
        text = fill(rule.description, rule, ref, self._mount) if rule.description else "Kept by syncd"
        desired = DesiredSecret(
            name=name,
            ref=ref,
            version=versioned(path.version.token, rule.value, binary=rule.binary),
            description=marked(text, mark_of(self._naming.owner, name, ref)),
            job=self._naming.job,
            pin=rule.pin,
            rule=self._digest,
            updated_at=path.updated_at,
            # A rule's own pin is no newest version that a rollback could take the place of.
            rolled_back=not rule.pin and path.path in self._evidence.rolled_back,
        )
        earlier = state.secrets.get(desired.key)
        if earlier is None:
            state.put(self._with_value(desired))
            return
        # Two rules that give one reference the same name merge; the first one counts, if both make the same of it.
        forms = {form_in(earlier.version), form_in(desired.version)}
        if earlier.version != desired.version and not forms <= PLAIN_FORMS:
            message, hint = "two rules make it by different templates", "give one of them another `name`"
            state.faults[desired.key] = BadValue(message, hint=hint)
            state.put(replace(earlier, rule=earlier.rule + desired.rule))  # a change of either rule is another try

    def _with_value(self, desired: DesiredSecret) -> DesiredSecret:
        result = self._evidence.documents.get((desired.ref.path, desired.pin))
        if result is None or result.document is None:
            return desired
        try:
            value = extract(result.document, self._rule, desired.ref.field)
        except BadValue as error:
            self._state.faults[desired.key] = error
            self._state.value_faults.add(desired.key)
            return desired
        return replace(desired, value=value, fingerprint=self._naming.fingerprint(value.reveal().encode()))
