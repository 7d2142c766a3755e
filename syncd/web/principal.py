"""Who sends a request, and what that caller may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncd.domain.audit import Actor

ALL = frozenset({"read", "sync", "release", "pause", "rollback", "freeze", "reload"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller: a token of the configuration, a user of the authenticating proxy, or a session begun with a token."""

    name: str
    kind: str
    """token, proxy or session: the way in."""
    may: frozenset[str]
    targets: frozenset[str] | None = None
    """What the rights are limited to; None: everything."""
    csrf: str = ""
    """What a form of this caller has to hold; empty for a bearer token, which no browser sends by itself."""

    def actor(self, via: str) -> Actor:
        """The person or token as the audit trail's actor. `via`: the way it came, such as release."""
        return Actor("person" if self.kind == "proxy" else "token", self.name, via)

    def sees(self, target: str) -> bool:
        """Is this target one that the rights are for?"""
        return self.targets is None or target in self.targets


Row = Mapping[str, object]
