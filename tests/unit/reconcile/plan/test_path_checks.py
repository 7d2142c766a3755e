"""Direct looks: a source that does not answer at all is asked once, and not once a path."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.domain import Existence, PathCheck, Record, SecretRef
from syncd.errors import SourceDenied, SourceError, SourceUnavailable
from syncd.reconcile.plan.path_checks import PathChecks


class Runtime:
    """Two sources, of which one fails; and nothing that the ledger knows of their mounts."""

    def __init__(self, error: SourceError) -> None:
        self.error, self.asked = error, list[tuple[str, str]]()
        self.store: Any = self

    def known_mounts(self, source: str) -> dict[str, str]:
        return {}

    def source(self, name: str) -> Any:
        self.name = name
        return self

    def check_path(self, path: str, pin: str) -> PathCheck:
        self.asked.append((self.name, path))
        if self.name == "bad":
            raise self.error
        return PathCheck(existence=Existence.GONE)


def record(source: str, path: str) -> Record:
    return Record(site="s", name="N", target="t", job="j", ref=SecretRef(source=source, path=path))


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (SourceUnavailable("no route", whole=True), 1),
        (SourceUnavailable("it stalls", stalled=True), 1),
        (SourceUnavailable("a fault of one path"), 3),
        (SourceDenied("denied"), 3),
    ],
    ids=["down", "stalls", "one path", "one policy"],
)
def test_a_source_that_does_not_answer_is_asked_once(error: SourceError, asked: int) -> None:
    runtime: Any = Runtime(error)
    checks = PathChecks(runtime, lambda row: row.ref)
    told = [checks.check(record("bad", f"p{number}")) for number in range(3)]
    assert told == [(None, error.message)] * 3 and len(runtime.asked) == asked
    assert checks.check(record("good", "p0"))[0] is not None, "another source is asked all the same"
