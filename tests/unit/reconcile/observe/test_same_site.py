"""Two keys of one site: which of two rows of a name counts, and that no protection is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from syncd.domain import Record, SecretRef
from syncd.errors import ConfigError
from syncd.reconcile.observe.same_site import merged

REF = SecretRef(source="vault", path="kv/a", field="x")
OLD = Record(site="old", target="shop", job="job", name="a_x", ref=REF, remote_id="id-1", version="1")
NEW = replace(OLD, site="new", remote_id="id-2")
LATER = datetime(2026, 12, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        ({"id-1": "a_x"}, "id-1"),
        ({"id-2": "a_x"}, "id-2"),
        ({"id-1": "RENAMED", "id-2": "a_x"}, "id-2"),
        ({"id-1": "a_x", "id-2": "RENAMED"}, "id-1"),
    ],
)
def test_of_two_ids_of_one_name_the_one_that_has_it_counts(listed: dict[str, str], kept: str) -> None:
    (row,) = merged([OLD], [NEW], "new", listed)
    assert (row.remote_id, row.site) == (kept, "new")


@pytest.mark.parametrize("listed", [None, {}, {"id-1": "R1", "id-2": "R2"}])
def test_where_nothing_tells_which_a_person_does(listed: dict[str, str] | None) -> None:
    with pytest.raises(ConfigError, match="id-1 under one key"):
        merged([OLD], [NEW], "new", listed)


@pytest.mark.parametrize("frozen", [OLD, NEW])
def test_what_protects_either_row_protects_the_one_that_is_kept(frozen: Record) -> None:
    same = [replace(row, remote_id="id-1") for row in (OLD, NEW)]
    rows = [replace(row, adopted=True, frozen_until=LATER) if row.site == frozen.site else row for row in same]
    (row,) = merged([rows[0]], [rows[1]], "new")
    assert row.adopted and row.frozen_until == LATER
    (row,) = merged([replace(rows[0], remote_id=None)], [rows[1]], "new")
    assert row.remote_id == "id-1" and row.frozen_until == LATER
