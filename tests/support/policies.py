"""Policies that tests give their jobs."""

from __future__ import annotations

DELETING = {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 100}}
"""What is gone goes at once."""
