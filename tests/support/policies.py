"""Policies that tests give their jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

DELETING = {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 100}}
"""What is gone goes at once."""


def closed() -> list[str]:
    """A window that is not open today."""
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    return [f"{days[(datetime.now(UTC) + timedelta(days=3)).weekday()]} 08:00-09:00 UTC"]
