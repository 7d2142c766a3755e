"""The Wix Secrets Vault REST API: five calls.

Endpoints and bodies as the public reference and the official client give them (`/api/v1/secrets` under
the base URL).
"""

from __future__ import annotations

import re
from urllib.parse import quote

from syncd.domain import RemoteSecret, SecretValue, WriteResult
from syncd.domain.untrusted import instant, mapping, storable, text
from syncd.errors import SecretGone, TargetUnavailable
from syncd.targets.wix.http import Answer, Sendable
from syncd.targets.wix.retries import Line, WixCalls

SECRETS = "/api/v1/secrets"
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Ids that are taken: GUIDs, as the reference says, and anything else that goes into an address as it is."""
NOT_WIX_HINT = "see base_url, and what stands between here and Wix"


class WixTarget:
    """One site's secrets vault over HTTP. Every call raises `TargetError` and its kinds."""

    def __init__(self, line: Line) -> None:
        self.name, self.site, self.profile = line.name, line.site, line.profile
        self._calls = WixCalls(line)
        self.site_time, self.delay, self.room = self._calls.site_time, self._calls.delay, self._calls.room

    def list(self) -> tuple[RemoteSecret, ...]:
        """ListSecretInfo: the whole site in one request."""
        answer, _ = self._calls.call("GET", SECRETS, single=False)
        # Wix leaves empty fields out, as JSON of protobuf does: an empty site may answer {}.
        listed = (answer.body or {}).get("secrets", [])
        if answer.repeats_credential or not isinstance(listed, list):
            raise TargetUnavailable(
                f"{self.name}: the listing is no list", hint=NOT_WIX_HINT, request_id=answer.request_id
            )
        return tuple(self._listed(item, answer) for item in listed)

    def _listed(self, item: object, answer: Answer) -> RemoteSecret:
        secret = mapping(item)
        secret_id, name = text(secret.get("id")), text(secret.get("name"))
        # The whole listing fails: a secret that is left out of it would read as removed at Wix.
        if not (ID.fullmatch(secret_id) and name):
            message = f"{self.name}: the listing holds an entry without id or name"
            raise TargetUnavailable(message, hint=NOT_WIX_HINT, request_id=answer.request_id)
        return RemoteSecret(
            id=secret_id,
            name=storable(name),
            description=storable(text(secret.get("description"))),
            updated_at=instant(secret.get("updatedDate")),
        )

    def create(self, name: str, value: SecretValue[str], description: str) -> WriteResult:
        """Create a secret (CreateSecret).

        Raises `TargetUnavailable` with `maybe_done` if the secret may be there, but no answer came that tells its id.
        """
        secret: Sendable = {"name": name, "value": value, "description": description}
        answer, _ = self._calls.call("POST", SECRETS, {"secret": secret}, single=False, repeatable=False)
        secret_id = text((answer.body or {}).get("id"))
        # An id is kept and shown: one that repeats a part of the value must not be. The secret may be there.
        if not ID.fullmatch(secret_id) or answer.echoes(secret_id):
            raise TargetUnavailable(
                f"{self.name}: the answer to a creation names no id", request_id=answer.request_id, maybe_done=True
            )
        return WriteResult(id=secret_id, window=answer.window, request_id=answer.request_id)

    def update(
        self, secret_id: str, *, name: str | None, value: SecretValue[str] | None, description: str
    ) -> WriteResult:
        """Change a secret (PartiallyUpdateSecret): its description, and its name and value where they are given."""
        secret: dict[str, Sendable] = {"description": description}
        if name is not None:
            secret["name"] = name
        if value is not None:
            secret["value"] = value
        answer, lost = self._calls.call("PATCH", _path_of(secret_id), {"secret": secret}, single=True)
        return WriteResult(id=secret_id, window=answer.window, request_id=answer.request_id, lost_tries=lost)

    def delete(self, secret_id: str) -> WriteResult:
        """Delete a secret (DeleteSecret); one that the site does not have counts as deleted."""
        try:
            answer, lost = self._calls.call("DELETE", _path_of(secret_id), single=True)
        except SecretGone as gone:
            return WriteResult(id=secret_id, request_id=gone.request_id)
        return WriteResult(id=secret_id, window=answer.window, request_id=answer.request_id, lost_tries=lost)

    def value(self, name: str) -> SecretValue[str] | None:
        """Return the value of a secret (GetSecretValue); None if there is no such name, or its value is no text."""
        try:
            answer, _ = self._calls.call("GET", f"{SECRETS}/name/{quote(name, safe='')}", single=True)
        except SecretGone:
            return None
        # An empty value may be left out, as all empty fields.
        value = (answer.body or {}).get("value", "")
        return SecretValue(value) if isinstance(value, str) else None


def _path_of(secret_id: str) -> str:
    return f"{SECRETS}/{quote(secret_id, safe='')}"
