"""What people do at Wix by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.lab import Lab


def changed_by_hand(lab: Lab, name: str) -> None:
    """Outside of the seconds in which a change passes for our own."""
    stored = lab.site.secrets[lab.ids()[name]]
    lab.site.update(stored.id, {"value": "HAND-MADE"})
    written = lab.site.secrets[stored.id]
    lab.site.secrets[stored.id] = replace(written, updated=written.updated + timedelta(seconds=30))
