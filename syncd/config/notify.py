"""`notify:` of the configuration: who is told when something begins and ends."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from syncd.config.fields import Credential, Strict

Kind = Literal["conflict", "held", "denied", "stale", "drift", "failed"]
EVERY: list[Kind] = ["conflict", "held", "denied", "stale", "drift", "failed"]


class Notify(Strict):
    """One receiver."""

    url: Credential = Field(
        description="Where apprise's address of the receiver is; it holds a secret, so it is a credential",
        examples=[{"env": "SYNCD_NOTIFY_URL"}],
    )
    on: list[Kind] = Field(
        default_factory=lambda: list(EVERY), min_length=1, description="What is told", examples=[["held", "failed"]]
    )
    names: bool = Field(default=False, description="Are secrets named?", examples=[True])
