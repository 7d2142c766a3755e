"""In-memory sources and targets for the state machine; they pass the contract suites that the real ones pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from syncd.domain import (
    Existence,
    Glob,
    PathCheck,
    ReadFailure,
    ReadResult,
    RemoteSecret,
    Rule,
    RuleCheck,
    SecretRef,
    SecretValue,
    Snapshot,
    SourceEntry,
    Version,
    WriteResult,
    WriteWindow,
)
from syncd.domain.naming import selects_path
from syncd.errors import NameTaken, SecretGone, SecretRefused, SourceError, TargetDenied, TargetUnavailable
from syncd.sandbox.wix_site import Refusal, Site


@dataclass
class FakeClock:
    now: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=5)
        return self.now

    def skip(self, span: timedelta) -> None:
        self.now += span


class SetClock:
    """A clock that stands until a test sets it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True)
class Stored:
    fields: dict[str, str]
    number: int
    created: datetime
    lineage: str


@dataclass
class FakeSource:
    """A KV v2 mount `kv/` in memory, with failures and lag on request."""

    clock: Callable[[], datetime]
    name: str = "vault"
    secrets: dict[str, Stored] = field(default_factory=dict)
    mount_id: str = "mount-1"
    broken: bool = False
    """Nothing answers."""
    partial: bool = False
    """A folder cannot be listed: every second path is unseen, and said so."""
    denied: set[str] = field(default_factory=set)
    stale: dict[str, Stored] | None = None
    """What a lagging standby shows."""
    lineages: Iterator[int] = field(default_factory=itertools.count)

    def put(self, path: str, **fields: str) -> None:
        old = self.secrets.get(path)
        number = old.number + 1 if old else 1
        lineage = old.lineage if old else f"{self.clock().isoformat()}-{next(self.lineages):06}"
        self.secrets[path] = Stored(dict(fields), number, self.clock(), lineage)

    def remove(self, path: str) -> None:
        self.secrets.pop(path, None)

    def close(self) -> None:
        pass

    def check(self, rules: Sequence[Rule]) -> Iterator[ReadFailure | RuleCheck]:
        for rule in rules:
            yield RuleCheck(rule=rule.path.text, found=len(self.snapshot(rule).entries), listing_method="fake")

    def _seen(self) -> dict[str, Stored]:
        if self.broken:
            raise SourceError("the fake is broken")
        return self.secrets if self.stale is None else self.stale

    def snapshot(self, rule: Rule) -> Snapshot:
        seen, failures = self._seen(), []
        paths = sorted(path for path in seen if selects_path(rule, path))
        if self.partial:
            paths = paths[::2]
            failures = [ReadFailure(location="kv/folder/", message="denied")]
        entries = tuple(
            SourceEntry(
                ref=SecretRef(source=self.name, path=path),
                version=self._version(seen[path]),
                updated_at=seen[path].created,
                pin=rule.pin,
            )
            for path in paths
        )
        assert rule.path.has_wildcard or len(entries) <= 1
        return Snapshot(
            entries=entries,
            failures=tuple(failures),
            complete=not failures,
            mount="kv/",
            mount_id=self.mount_id,
        )

    def _version(self, stored: Stored) -> Version:
        token = f"kv2:{stored.number}@{stored.created.isoformat()}"
        return Version(token=token, number=stored.number, lineage=stored.lineage)

    def read(self, entries: Sequence[SourceEntry]) -> Iterator[ReadResult]:
        for entry in entries:
            stored = self._seen().get(entry.ref.path)
            if entry.ref.path in self.denied:
                yield ReadResult(entry=entry, failure=ReadFailure(location=entry.ref.path, message="denied"))
            elif stored is None:
                yield ReadResult(entry=entry, gone=True)
            else:
                yield ReadResult(
                    entry=entry,
                    version=self._version(stored),
                    document=SecretValue(dict(stored.fields)),
                    updated_at=stored.created,
                )

    def find(self, rule: Rule, path: str) -> Snapshot:
        return self.snapshot(replace(rule, path=Glob(path))) if selects_path(rule, path) else Snapshot(mount="kv/")

    def check_path(self, path: str, pin: str = "") -> PathCheck:
        there = path in self._seen()
        existence = Existence.THERE if there else Existence.GONE
        return PathCheck(existence=existence, mount="kv/", mount_id=self.mount_id)


class Crash(BaseException):
    """kill -9 in the middle of a cycle."""


@dataclass
class FakeTarget:
    """The emulated site without HTTP, with lost answers, late commits and crashes on request."""

    site_object: Site
    clock: FakeClock
    name: str = "shop"
    site: str = "site-1"
    profile: str = "api"
    mischief: list[str] = field(default_factory=list)
    """What happens to the next writes: lost_before, lost_after, late, crash_before, crash_after, refused."""
    late: list[Callable[[], object]] = field(default_factory=list)
    down: bool = False
    silent: bool = False
    """It answers no question for a value."""
    deleted: list[str] = field(default_factory=list)
    on_delete: Callable[[str], None] = lambda _id: None
    writes: int = 0

    def close(self) -> None:
        pass

    def site_time(self) -> datetime | None:
        return self.clock.now

    def delay(self) -> float:
        return 0.0

    def room(self) -> int:
        return 1_000

    def list(self) -> tuple[RemoteSecret, ...]:
        if self.down:
            raise TargetUnavailable("down")
        listed = self.site_object.listing().get("secrets", [])
        return tuple(
            RemoteSecret(
                id=one["id"],
                name=one["name"],
                description=one.get("description", ""),
                updated_at=datetime.fromisoformat(one["updatedDate"]) if "updatedDate" in one else None,
            )
            for one in listed
        )

    def _write(self, act: Callable[[], dict[str, object]]) -> WriteResult:
        self.writes += 1
        start = self.clock()
        kind = self.mischief.pop(0) if self.mischief else ""
        if self.down:
            raise TargetUnavailable("down", maybe_done=False)
        if kind == "crash_before":
            raise Crash
        if kind == "lost_before":
            raise TargetUnavailable("lost", maybe_done=True)
        if kind == "late":
            self.late.append(act)
            raise TargetUnavailable("lost", maybe_done=True)
        if kind == "refused":
            raise SecretRefused("refused")
        try:
            answer = act()
        except Refusal as refusal:
            raise {409: NameTaken, 404: SecretGone}.get(refusal.status, SecretRefused)("refused") from None
        if kind == "crash_after":
            raise Crash
        if kind == "lost_after":
            raise TargetUnavailable("lost", maybe_done=True)
        end = self.clock()
        # The Date header has whole seconds.
        date = end.replace(microsecond=0)
        return WriteResult(id=str(answer.get("id", "")), window=WriteWindow(start=date - (end - start), end=date))

    def create(self, name: str, value: SecretValue[str], description: str) -> WriteResult:
        told = {"name": name, "value": value.reveal(), "description": description}
        return self._write(lambda: self.site_object.create(told))

    def update(
        self, secret_id: str, *, name: str | None, value: SecretValue[str] | None, description: str
    ) -> WriteResult:
        told: dict[str, object] = {"description": description}
        told |= {"name": name} if name is not None else {}
        told |= {"value": value.reveal()} if value is not None else {}
        written = self._write(lambda: self.site_object.update(secret_id, told))
        return WriteResult(id=secret_id, window=written.window)

    def delete(self, secret_id: str) -> WriteResult:
        self.on_delete(secret_id)
        self.deleted.append(secret_id)
        try:
            written = self._write(lambda: self.site_object.delete(secret_id))
        except SecretGone:
            return WriteResult(id=secret_id)
        return WriteResult(id=secret_id, window=written.window)

    def value(self, name: str) -> SecretValue[str] | None:
        if self.down or self.silent:
            raise TargetUnavailable("down")
        try:
            return SecretValue(str(self.site_object.value(name)["value"]))
        except Refusal as refusal:
            if refusal.status == 404:
                return None
            raise TargetDenied("may not read") from None
