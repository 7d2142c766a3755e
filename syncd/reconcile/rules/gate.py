"""What of a plan may go: rules that deny or hold, the job's windows, and what a person released. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from syncd.domain import (
    ADOPTING,
    Action,
    Create,
    Delete,
    Finding,
    FindingKind,
    Held,
    Plan,
    Reason,
    SecretRef,
    Update,
    brings_another_value,
    puts_back,
    verb_of,
    version_label,
)
from syncd.domain.decisions import HeldAction, by_name
from syncd.domain.governance import Hit, Then
from syncd.domain.windows import Windows

SameSecret = Callable[[SecretRef, SecretRef], bool]
"""Do two references mean one secret, by whatever name of its source and in whichever spelling?"""
HitsOf = Callable[[Action], tuple[Hit, ...]]
"""Given an action: the rules that are broken by what it would leave at the site."""


@dataclass(frozen=True, kw_only=True)
class Releases:
    """What a person released on this site for this job."""

    actions: tuple[HeldAction, ...]
    moments: tuple[datetime, ...]
    """The present by each clock: a release holds only by all of them."""

    def allows(self, wanted: HeldAction, *, finishing: bool) -> bool:
        """Is this very action released at this moment? `finishing`: see `HeldAction.covers`."""
        # By name: of thousands that are released each is asked once.
        same = self._named.get(wanted.name, ())
        return any(self.holds(item) and item.covers(wanted, finishing=finishing) for item in same)

    @cached_property
    def _named(self) -> Mapping[str, tuple[HeldAction, ...]]:
        return by_name(self.actions)

    def holds(self, item: HeldAction) -> bool:
        """Was it released, and not too long ago, whatever clock is asked?"""
        return all(map(item.is_released, self.moments))


def changes_content(action: Action) -> bool:
    """Does the action bring something to the site, or take it away, that was not agreed on before?

    A write that puts back what the site had, or that only changes a description, does not; an adoption always does.
    """
    if isinstance(action, Delete):
        return True
    if isinstance(action, Create):
        return not puts_back(action)
    # Also where the value is the same: it makes a secret ours that was not.
    if action.reason in ADOPTING:
        return True
    if action.describe_only:
        return False
    # In another case it is another name, which takes the old one away.
    return gets_another_name(action) or brings_another_value(action.desired, action.record)


def gets_another_name(action: Update) -> bool:
    """Does the configuration give the secret another name than the site was sent, if only in its case?"""
    return action.record.name != action.desired.name


def is_finishing(action: Action) -> bool:
    """Does this action repeat an update with an unknown result?"""
    return isinstance(action, Update) and action.record.unverified


def held_action(action: Action, cause: str, place: tuple[str, str, str]) -> HeldAction:
    """The row of an action that waits for a person to release it: all that the release is bound to.

    `place`: site, job and target.
    """
    site, job, target = place
    record = action.record
    ref = action.record.ref if isinstance(action, Delete) else action.desired.ref
    return HeldAction(
        site=site,
        job=job,
        target=target,
        cause=cause,
        action=verb_of(action),
        name=action.name,
        ref=str(ref),
        from_version=record.version if record else "",
        to_version="" if isinstance(action, Delete) else action.desired.version,
        remote_id=(record.remote_id or "") if record else "",
    )


def still_waiting(
    known: Iterable[HeldAction], actions: Mapping[str, Action], place: tuple[str, str, str]
) -> tuple[HeldAction, ...]:
    """Return the held actions of before that `actions`, by name, still want unchanged."""
    same = ((item, actions.get(item.name)) for item in known)
    return tuple(
        item for item, action in same if action and held_action(action, item.cause, place).identity == item.identity
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Everything that stands between a plan and the site, but for the limits."""

    place: tuple[str, str, str]
    """Site, job, target."""
    hits: HitsOf
    releases: Releases
    windows: Windows
    now: datetime
    is_one_secret: SameSecret
    rolled_back: Mapping[str, str]
    """Names whose source path a person rolled back, each with the words that say so."""
    had_before: Callable[[Update], bool] = lambda _action: False
    """Did the site ever hold the very version that an update brings? Asked only of what is rolled back."""

    def passed(self, plan: Plan) -> Plan:
        """The plan with the actions that may go; the others are findings, or wait for a release."""
        kept, held = list[Action](), list(plan.held)
        findings = [finding for finding in plan.findings if not self._is_superseded(finding)]
        for action in plan.actions:
            hits = [hit for hit in self.hits(action) if hit.counts] if _is_judged(action) else []
            # Denials first: what may never go is not put before a person to release.
            denial = next((hit for hit in hits if hit.rule.then is Then.DENY), None)
            # Taking a forbidden secret away is what the rule wants.
            if denial is not None and not isinstance(action, Delete):
                findings += (*_denied(action, denial), *drift_behind(action))
            elif holding := self._holding(action, hits):
                held.append(holding)
            # Asked last: what needs a release is put before a person outside the window, too.
            elif objection := objection_to(action, self.windows, self.now, self.is_one_secret):
                findings += (_waiting(action, objection), *drift_behind(action))
            else:
                kept.append(action)
        findings += self._of_rolled_back(plan, kept)
        return replace(plan, actions=tuple(kept), findings=tuple(findings), held=tuple(held))

    def _holding(self, action: Action, hits: list[Hit]) -> Held | None:
        if not changes_content(action) or self.is_taken_back(action):
            return None
        finishing = is_finishing(action)
        for hit in hits:
            if hit.rule.then is not Then.HOLD:
                continue
            cause = f"rule {hit.rule.id}"
            # A release is of one cause: each rule that holds needs its own.
            if not self.releases.allows(held_action(action, cause, self.place), finishing=finishing):
                return Held(action=action, cause=cause, why=f"rule {hit.rule.id}: {hit.message}")
        return None

    def is_taken_back(self, action: Action) -> bool:
        """Does the action give the site back a version that it held before, as a person decided with a reason?

        A version that the site was never given waits like any other: the right to roll back is no right to release.
        """
        if action.name not in self.rolled_back or not isinstance(action, Update) or action.reason in ADOPTING:
            return False
        return not gets_another_name(action) and self.had_before(action)

    def _is_superseded(self, finding: Finding) -> bool:
        return finding.kind is FindingKind.UNCHANGED and finding.name in self.rolled_back

    def _of_rolled_back(self, plan: Plan, kept: Iterable[Action]) -> Iterator[Finding]:
        """Yield a finding for each rolled-back name that has or gets its older version; not for one that waits."""
        settled = {finding.name: finding for finding in plan.findings if finding.kind is FindingKind.UNCHANGED}
        written = {action.name: action for action in kept if not isinstance(action, Delete)}
        for name, words in self.rolled_back.items():
            ref = settled[name].ref if name in settled else written[name].desired.ref if name in written else None
            if ref is not None:
                yield Finding(kind=FindingKind.ROLLED_BACK, name=name, ref=ref, message=words)


def _is_judged(action: Action) -> bool:
    """Do rules judge the action? Not a write that only looks for an id or changes a description, but an adoption."""
    return not (isinstance(action, Update) and action.describe_only and action.reason not in ADOPTING)


def objection_to(action: Action, windows: Windows, now: datetime, is_one_secret: SameSecret) -> str:
    """Why the job's windows keep an action back at this moment; empty if they do not."""
    if _takes_back(action, is_one_secret):
        return ""
    return windows.objection(type(action).__name__.lower(), now)


def _takes_back(action: Action, is_one_secret: SameSecret) -> bool:
    """Does the action only give a site an older version of the very secret that it has?

    The version that a person takes back may have leaked, so the older one does not wait for a window. A name that the
    configuration gives to another secret by now waits, and so does another form of the value.
    """
    if not isinstance(action, Update) or action.desired.ref.field != action.record.ref.field:
        return False
    brings_it = action.reason in {Reason.ROLLED_BACK, Reason.MOVED} or (
        action.reason is Reason.UNVERIFIED and bool(action.record.version)
    )
    is_of_rollback = action.desired.rolled_back and brings_it
    return is_of_rollback and _is_of_its_secret(action, is_one_secret) and _is_another_version(action)


def is_of_a_rollback(action: Action, is_one_secret: SameSecret) -> bool:
    """Does it give a name another version of the very secret that has it, as a rollback and its end do?

    A rule's own pin is left alone by both, and what somebody changed at Wix is no other version.
    """
    if not isinstance(action, Update) or action.reason in ADOPTING or action.desired.pin:
        return False
    # In whatever form: a template makes it of the whole path. Another field of it is another secret.
    if action.desired.ref.field not in {None, action.record.ref.field}:
        return False
    return _is_of_its_secret(action, is_one_secret) and (action.record.unverified or _is_another_version(action))


def _is_of_its_secret(action: Update, is_one_secret: SameSecret) -> bool:
    """Does it bring the name what comes from the secret that has it, whatever part or form of that?"""
    record, desired = action.record, action.desired
    same_words = (record.name, record.pin) == (desired.name, desired.pin)
    return same_words and is_one_secret(record.ref, desired.ref)


def _is_another_version(action: Update) -> bool:
    return version_label(action.record.version) != version_label(action.desired.version)


def _denied(action: Create | Update, hit: Hit) -> Iterator[Finding]:
    """Yield the finding for a denied write: what is at the site stays as it is; where nothing is, nothing is sent."""
    why = f"rule {hit.rule.id}: {hit.message}"
    hint = f"change it at the source, or see the rule: syncd rules --id {hit.rule.id}"
    ref = action.desired.ref
    if action.record is not None and action.record.remote_id is not None:
        said = f"not sent, {why}{not_there(action)}"
        yield Finding(kind=FindingKind.BEHIND, name=action.name, ref=ref, message=said, hint=hint, rule=hit.rule.id)
        return
    yield Finding(
        kind=FindingKind.DENIED, name=action.name, ref=ref, message=why, hint=hint, exit_code=1, rule=hit.rule.id
    )


def _waiting(action: Action, objection: str) -> Finding:
    if isinstance(action, Delete):
        message = f"{action.reason}; not sent: {objection}"
        return Finding(kind=action.kind, name=action.name, ref=action.record.ref, message=message)
    message = f"not sent: {objection}{not_there(action)}"
    return Finding(kind=FindingKind.BEHIND, name=action.name, ref=action.desired.ref, message=message)


def not_there(action: Action) -> str:
    """Return words for an update that is kept back while the listing shows nothing under its name; else empty."""
    if not isinstance(action, Update) or action.reason not in {Reason.RENAMED, Reason.UNLISTED}:
        return ""
    return f"; the site has nothing of this name now: {action.reason}"


def drift_behind(action: Action) -> Iterator[Finding]:
    """Yield a drift finding for a waiting update that would write over somebody else's change."""
    if isinstance(action, Update) and (action.record.theirs or action.undoes_others):
        why = "changed at Wix by somebody else; what waits here will write over it"
        yield Finding(kind=FindingKind.DRIFT, name=action.name, ref=action.desired.ref, message=why)


def rule_findings(hits: Mapping[str, tuple[Hit, ...]], refused: frozenset[str]) -> Iterator[Finding]:
    """Yield a finding for each rule that a secret breaks, unless its status (held, denied) tells that already.

    `hits`: by name. `refused`: names that are denied already.
    """
    for name in sorted(hits):
        for hit in hits[name]:
            if not hit.counts or hit.rule.then is Then.HOLD or (name in refused and hit.rule.then is Then.DENY):
                continue
            yield Finding(
                kind=FindingKind.RULE,
                name=name,
                ref=hit.subject.ref,
                message=f"rule {hit.rule.id}: {hit.message}",
                hint=f"see: syncd rules --id {hit.rule.id}",
                exit_code=1 if hit.rule.then is Then.DENY else 0,
                rule=hit.rule.id,
            )
