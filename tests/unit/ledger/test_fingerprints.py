"""The fingerprint key beside a ledger: made once, and each fault of it with a fix that loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.errors import LedgerError
from syncd.ledger import fingerprints
from syncd.ledger.fingerprints import key_beside, key_path


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def test_it_is_made_once(ledger: Path) -> None:
    made = key_beside(ledger, known=False)
    assert key_beside(ledger, known=True) == key_beside(ledger, known=False) == made
    assert key_path(ledger).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [None, "", "00", "no key", "00" * 8])
def test_one_that_is_gone_or_broken_is_to_be_put_back(ledger: Path, content: str | None) -> None:
    if content is not None:
        key_path(ledger).write_text(content)
    with pytest.raises(LedgerError) as told:
        key_beside(ledger, known=True)
    assert str(key_path(ledger)) in told.value.message and "put the key file back" in told.value.hint


def test_one_that_may_not_be_read_is_there(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To move the ledger away would lose what only it knows: freezes, pauses, the trail."""
    key_beside(ledger, known=False)

    def denied(_path: Path, _most: int) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fingerprints, "read_bounded", denied)
    with pytest.raises(LedgerError) as told:
        key_beside(ledger, known=True)
    assert "permission denied" in told.value.message.lower() and "let this user read it" in told.value.hint
    assert "move" not in told.value.hint
