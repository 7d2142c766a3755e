"""What is relied on from outside changes only on purpose: `python -m tests.support.golden` writes it anew."""

from __future__ import annotations

import pytest

from tests.support.golden import FOLDER, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_it_is_as_it_was(name: str) -> None:
    assert PAGES[name]() == (FOLDER / name).read_text()
