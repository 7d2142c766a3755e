"""Which of two versions is the older one, and what people read of it."""

from __future__ import annotations

from syncd.domain import Version, version_label


def test_versions() -> None:
    new, old = Version(token="kv2:3@b", number=3, lineage="l1"), Version(token="kv2:2@a", number=2, lineage="l1")
    assert old.older_than(new) and not new.older_than(old)
    anew = Version(token="kv2:1@c", number=1, lineage="l2")
    assert not anew.older_than(new) and new.older_than(anew)
    assert not Version(token="aws:x").older_than(Version(token="aws:y"))
    assert (version_label("kv2:3@b"), version_label("aws:id"), version_label("kv1:fp"), version_label("")) == (
        "3",
        "id",
        "",
        "",
    )
