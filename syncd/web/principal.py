"""Who asks, and what that one may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncd.domain.audit import Actor

ALL = frozenset({"read", "sync", "release", "pause", "rollback", "freeze", "reload"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A named token, a user of the authenticating proxy, or a session of one of them."""

    name: str
    kind: str
    """token, proxy or session: the way in."""
    may: frozenset[str]
    targets: frozenset[str] | None = None
    """What the rights are limited to; None: everything."""
    csrf: str = ""
    """What a form of a browser's session has to hold; empty where no browser sends it by itself."""

    def actor(self, via: str) -> Actor:
        """The person or token as the audit trail's actor. `via`: the way it came, such as release."""
        return Actor("person" if self.kind == "proxy" else "token", self.name, via)

    def sees(self, target: str) -> bool:
        """Is this target one that the rights are for?"""
        return self.targets is None or target in self.targets


Row = Mapping[str, object]
