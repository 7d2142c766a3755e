"""Names that pass from one secret to another: what a person took back keeps its name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from syncd.reconcile.plan.passing_on import PassingOn

TAGS = frozenset({("sync", "wix")})


@pytest.mark.parametrize("rolled_back", [True, False])
@pytest.mark.parametrize("tags", [None, frozenset(), TAGS])
def test_no_tag_that_is_taken_off_frees_what_is_rolled_back(rolled_back: bool, tags: Any) -> None:
    checks = SimpleNamespace(is_rolled_back=lambda _: rolled_back, tags_now=lambda _: tags)
    context: Any = SimpleNamespace(standing=SimpleNamespace(checks=checks))
    record: Any = object()
    assert PassingOn(context)._tags_now(record) == (None if rolled_back else tags)
