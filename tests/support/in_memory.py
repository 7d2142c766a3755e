"""A folder of a test in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory, where the system has one: a ledger waits for the disk at each of its commits."""
    with tempfile.TemporaryDirectory(prefix="syncd-unit-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)
