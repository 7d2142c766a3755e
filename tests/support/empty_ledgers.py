"""A ledger that is made once, and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "state.db"
    Ledger(sqlite_engine(path, durable=False), "template", None).close()
    return path


@pytest.fixture
def state(template: Path, tmp_path: Path) -> Path:
    """The file of an empty ledger of this test's own."""
    path = tmp_path / "state.db"
    shutil.copy(template, path)
    return path
