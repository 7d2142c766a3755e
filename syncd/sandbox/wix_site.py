"""One site of the emulated Wix: its secrets, with Wix's rules for names and values, its options and its quota."""

from __future__ import annotations

import re
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

NAME = re.compile(r"[A-Za-z0-9_+=\-@#$]{1,50}")
VALUE_MAX = 3500
DESCRIPTION_MAX = 200


class Refusal(Exception):
    """An error answer: status and body."""

    def __init__(self, status: int, code: str, description: str = "", *, field_name: str = "") -> None:
        super().__init__(status)
        self.status = status
        if field_name:
            violation = {"field": field_name, "description": description, "violatedRule": code, "ruleName": code}
            self.body: dict[str, object] = {
                "message": f"{field_name} {description}",
                "details": {"validationError": {"fieldViolations": [violation]}},
            }
        else:
            # Errors of the system have an empty message, as Wix's own have by design.
            self.body = {
                "message": description,
                "details": {"applicationError": {"code": code, "description": description, "data": {}}},
            }


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A secret at the emulated Wix."""

    id: str
    name: str
    value: str = field(repr=False)
    description: str
    created: datetime
    updated: datetime


@dataclass(kw_only=True)
class Options:
    """How this Wix behaves where the reference leaves it open, and how far it lags."""

    listing_lag: timedelta = timedelta(0)
    case_insensitive: bool = False
    dates: bool = True
    members_area: bool = True
    may_read: bool = True
    capacity: int | None = None
    """How many secrets it takes; the reference names no number."""
    quota: int = 200
    quota_window: timedelta = timedelta(minutes=1)
    latency: float = 0.0
    """Seconds before each answer."""
    hide: Callable[[Stored], bool] = lambda _secret: False
    """Secrets that the listing leaves out."""


class Site:
    """One site's secrets vault."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.secrets: dict[str, Stored] = {}
        self.options = Options()
        self.created_ids: list[str] = []
        self.busiest = 0
        """The most requests accepted within one quota window."""
        self._clock = clock
        self._lock = threading.RLock()
        self._named: dict[str, list[str]] = defaultdict(list)
        """Folded name to every id that ever had it."""
        self._past: deque[tuple[datetime, str, Stored | None]] = deque(maxlen=200_000)
        """Every change: when, of which id, and what was there before."""
        self._accepted: deque[datetime] = deque()

    def by_name(self, name: str) -> Stored | None:
        """The secret of this name, as the site compares names."""
        with self._lock:
            # By an index: every create asks, and to look through ten thousand secrets each time would be slow.
            ids = self._named.get(name.casefold(), ())
            same_name = (self.secrets[secret_id] for secret_id in ids if secret_id in self.secrets)
            return next((secret for secret in same_name if self._same(secret.name, name)), None)

    def values(self) -> dict[str, str]:
        """Name to value."""
        with self._lock:
            return {secret.name: secret.value for secret in self.secrets.values()}

    def _same(self, name: str, other: str) -> bool:
        return name == other or (self.options.case_insensitive and name.casefold() == other.casefold())

    def admit(self) -> None:
        """Count a request. Raises `Refusal` above the quota, and where the Members Area is off."""
        with self._lock:
            now = self._clock()
            while self._accepted and self._accepted[0] <= now - self.options.quota_window:
                self._accepted.popleft()
            if len(self._accepted) >= self.options.quota:
                raise Refusal(429, "RESOURCE_EXHAUSTED")
            self._accepted.append(now)
            self.busiest = max(self.busiest, len(self._accepted))
            if not self.options.members_area:
                raise Refusal(428, "FAILED_PRECONDITION", "the Members Area app is not installed")

    def _check(self, body: dict[str, object], *, new: bool) -> None:
        name, value, description = body.get("name"), body.get("value"), body.get("description")
        if new and not name:
            raise Refusal(400, "REQUIRED", "must not be empty", field_name="secret.name")
        if new and not value:
            raise Refusal(400, "REQUIRED", "must not be empty", field_name="secret.value")
        if name is not None and not (isinstance(name, str) and NAME.fullmatch(name)):
            raise Refusal(400, "PATTERN", "has characters or a length outside the law", field_name="secret.name")
        if isinstance(name, str) and name.lower().startswith("wix"):
            raise Refusal(400, "PATTERN", "must not begin with wix", field_name="secret.name")
        if value is not None and not (isinstance(value, str) and 1 <= _units(value) <= VALUE_MAX):
            raise Refusal(400, "MAX_LENGTH", f"must have 1 to {VALUE_MAX} characters", field_name="secret.value")
        if description is not None and not (isinstance(description, str) and _units(description) <= DESCRIPTION_MAX):
            raise Refusal(400, "MAX_LENGTH", "is too long", field_name="secret.description")

    def _free(self, name: str, but: str = "") -> None:
        holder = self.by_name(name)
        # A secret may keep its own name, or change its case.
        if holder is not None and holder.id != but:
            raise Refusal(409, "ALREADY_EXISTS", "a secret of this name exists")

    def create(self, body: dict[str, object]) -> dict[str, object]:
        """CreateSecret."""
        with self._lock:
            self._check(body, new=True)
            if self.options.capacity is not None and len(self.secrets) >= self.options.capacity:
                raise Refusal(400, "RESOURCE_EXHAUSTED", "the site holds as many secrets as it may")
            name = str(body["name"])
            self._free(name)
            now = self._clock()
            stored = Stored(
                id=str(uuid.uuid4()),
                name=name,
                value=str(body["value"]),
                description=str(body.get("description") or ""),
                created=now,
                updated=now,
            )
            self._put(stored)
            self.created_ids.append(stored.id)
            return {"id": stored.id}

    def update(self, secret_id: str, body: dict[str, object]) -> dict[str, object]:
        """PartiallyUpdateSecret."""
        with self._lock:
            stored = self._get(secret_id)
            self._check(body, new=False)
            if body.get("name"):
                self._free(str(body["name"]), secret_id)
            changed = {key: str(body[key]) for key in ("name", "value", "description") if body.get(key) is not None}
            self._put(replace(stored, **changed, updated=self._clock()))  # type: ignore[arg-type]  # only the three
            return {}

    def delete(self, secret_id: str) -> dict[str, object]:
        """DeleteSecret."""
        with self._lock:
            stored = self._get(secret_id)
            self._past.append((self._clock(), secret_id, stored))
            del self.secrets[secret_id]
            return {}

    def value(self, name: str) -> dict[str, object]:
        """GetSecretValue."""
        if not self.options.may_read:
            raise Refusal(403, "PERMISSION_DENIED")
        stored = self.by_name(name)
        if stored is None:
            raise Refusal(404, "NOT_FOUND", "no such secret")
        return {"value": stored.value}

    def listing(self) -> dict[str, object]:
        """Answer ListSecretInfo, as late as the options say; an empty site answers without the field `secrets`."""
        with self._lock:
            shown = [
                stored
                for stored in self._as_of(self._clock() - self.options.listing_lag)
                if not self.options.hide(stored)
            ]
        listed = [self._shown(stored) for stored in shown]
        return {"secrets": listed} if listed else {}

    def _shown(self, stored: Stored) -> dict[str, object]:
        shown: dict[str, object] = {"id": stored.id, "name": stored.name}
        # Empty fields are left out, as protobuf's JSON does.
        if stored.description:
            shown["description"] = stored.description
        if self.options.dates:
            shown |= {"createdDate": _rfc3339(stored.created), "updatedDate": _rfc3339(stored.updated)}
        return shown

    def _get(self, secret_id: str) -> Stored:
        if secret_id not in self.secrets:
            raise Refusal(404, "NOT_FOUND", "no such secret")
        return self.secrets[secret_id]

    def _put(self, stored: Stored) -> None:
        before = self.secrets.get(stored.id)
        self._past.append((self._clock(), stored.id, before))
        self.secrets[stored.id] = stored
        # The old name stays in the index: whoever looks there compares with what the id is called now.
        if before is None or before.name != stored.name:
            self._named[stored.name.casefold()].append(stored.id)

    def _as_of(self, moment: datetime) -> list[Stored]:
        """The secrets as they were: later changes are taken back, the last one first."""
        if not self.options.listing_lag:
            return list(self.secrets.values())
        then = dict(self.secrets)
        for at, secret_id, before in reversed(self._past):
            if at <= moment:
                break
            if before is None:
                then.pop(secret_id, None)
            else:
                then[secret_id] = before
        return list(then.values())


def _units(text: str) -> int:
    # The reference names no unit: this is the strictest. JSON may hold half a character, which counts, too.
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
