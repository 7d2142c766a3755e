"""Of several findings of one name, the one that its status goes by."""

from __future__ import annotations

import pytest

from syncd.domain import Finding, FindingKind
from syncd.reconcile.record.statuses import by_precedence

K = FindingKind


@pytest.mark.parametrize(
    ("found", "first"),
    [
        ((K.UNCHANGED, K.CONFLICT), K.CONFLICT),
        ((K.BEHIND, K.HELD), K.HELD),
        ((K.BEHIND, K.FROZEN), K.FROZEN),
        ((K.DRIFT, K.CONTESTED), K.CONTESTED),
        ((K.HELD, K.DENIED), K.DENIED),
        ((K.DRIFT, K.BEHIND), K.DRIFT),  # both are `behind`: the first that was made
        ((K.BEHIND, K.DRIFT), K.BEHIND),
        ((K.BEHIND, K.ROLLED_BACK), K.BEHIND),  # it may not have gone yet
        ((K.ROLLED_BACK, K.BEHIND), K.ROLLED_BACK),
        ((K.RULE, K.MISSING), K.MISSING),
        ((K.UNCHANGED, K.RULE), K.UNCHANGED),
    ],
)
def test_the_status_that_comes_first(found: tuple[FindingKind, ...], first: FindingKind) -> None:
    assert by_precedence([Finding(kind=kind, name="x") for kind in found])[0].kind is first
