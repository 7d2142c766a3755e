"""The configuration's models: one file, validated whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from syncd.config.audit import Audit
from syncd.config.fields import OWNER_PATTERN, Credential, Key, PlacedFile, Strict
from syncd.config.governance import GovernanceRuleSettings
from syncd.config.jobs import Guard, JobSettings, Schedule, SecretRule
from syncd.config.notify import Notify
from syncd.config.server import Server
from syncd.config.sources import AwsSettings, CertAuth, SourceSettings, VaultSettings
from syncd.config.targets import ApiKeyAuth, AppAuth, WixSettings
from syncd.errors import LedgerError

__all__ = [
    "ApiKeyAuth",
    "AppAuth",
    "Audit",
    "AwsSettings",
    "CertAuth",
    "GovernanceRuleSettings",
    "Guard",
    "JobSettings",
    "Schedule",
    "SecretRule",
    "Server",
    "Settings",
    "State",
    "VaultSettings",
    "WixSettings",
]


class State(Strict):
    """Where the ledger is: a SQLite file, or PostgreSQL."""

    path: PlacedFile | None = Field(
        None,
        description="SQLite file, relative to the configuration file; its folder is made if needed",
        examples=["/var/lib/syncd/state.db"],
    )
    url: Credential | None = Field(
        None,
        description="Address of a ledger in PostgreSQL, postgresql://USER@HOST/DATABASE",
        examples=[{"env": "SYNCD_STATE_URL"}],
    )
    fingerprint_key: Credential | None = Field(
        None,
        description="Key of 64 hex digits or more; generated beside the ledger if left out",
        examples=[{"file": "/run/secrets/syncd/fingerprint-key"}],
    )

    @property
    def file(self) -> Path:
        """The real path of the SQLite file, the same by whatever path it is reached. Raises `LedgerError`."""
        try:
            # Whatever path leads to a ledger, it must lead to the same lock.
            return Path(str(self.path)).resolve()
        except (OSError, RuntimeError):  # links that lead to one another
            raise LedgerError(f"the ledger {self.path} cannot be found", hint="see the links on its path") from None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise PydanticCustomError("one_place", "write either path or url")
        # A generated key would lie on one machine, and the ledger is there for all that use it.
        if self.url is not None and self.fingerprint_key is None:
            raise PydanticCustomError("key", "a ledger in PostgreSQL needs fingerprint_key: {file: PATH}")
        return self


class Settings(Strict):
    """The whole file."""

    owner: str = Field(
        pattern=OWNER_PATTERN,
        description="Who this installation is, at Wix: part of the mark in each secret's description",
        examples=["platform-team"],
    )
    state: State = Field(description="Where the ledger is", examples=[{"path": "/var/lib/syncd/state.db"}])
    server: Server | None = Field(
        None, description="Health, metrics and status over HTTP", examples=[{"listen": "0.0.0.0:8080"}]
    )
    audit: Audit = Field(
        default=Audit.model_validate({}),
        description="Where lines of the audit trail go, and how long they stay",
        examples=[{"url": "https://siem.example.com/ingest/syncd", "keep": "400d"}],
    )
    notify: list[Notify] = Field(
        default_factory=list,
        description="Who is told when something begins and ends; needs the extra `notify`",
        examples=[[{"url": {"env": "SYNCD_NOTIFY_URL"}, "on": ["held", "failed"]}]],
    )
    rules: list[GovernanceRuleSettings] = Field(
        default_factory=list,
        description="What the company asks of its secrets",
        examples=[[{"id": "rotate-quarterly", "max_age": "90d", "then": "warn"}]],
    )
    sources: dict[Key, SourceSettings] = Field(min_length=1, description="Where secrets come from, by a name of yours")
    targets: dict[Key, WixSettings] = Field(min_length=1, description="Where secrets go, by a name of yours")
    jobs: dict[Key, JobSettings] = Field(min_length=1, description="What goes where, by a name of yours")

    @model_validator(mode="after")
    def _distinct_rules(self) -> Self:
        ids = [rule.id for rule in self.rules]
        # Findings and held batches name their rule by its id alone.
        if doubled := next((item for item in ids if ids.count(item) > 1), None):
            raise PydanticCustomError("two_rules", "two rules have the id {id}", {"id": doubled})
        return self

    def dump(self) -> dict[str, Any]:
        """Return the settings as a kept plan is bound to them, with credentials as references only."""
        return self.model_dump(mode="json", by_alias=True)
