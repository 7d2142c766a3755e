"""Lines of an audit device, one by one and as log shippers pack them."""

from __future__ import annotations

import json

import pytest

from syncd.web.hooks.vault_audit import written

LINE = {
    "type": "response",
    "request": {"operation": "update", "path": "kv/data/app/x", "mount_point": "kv/", "namespace": {"path": "team/"}},
}
READ = {"type": "response", "request": {"operation": "read", "path": "kv/data/app/y"}}
TEXT = json.dumps(LINE)


@pytest.mark.parametrize(
    "body",
    [
        TEXT,
        f"{json.dumps(READ)}\n{TEXT}\r\n",
        json.dumps([READ, LINE]),
        json.dumps([{"message": TEXT, "file": "/var/log/vault.json", "host": "h"}]),
        "\n".join(json.dumps({"message": line}) for line in (json.dumps(READ), TEXT)),
        json.dumps([{"date": 1.5, "log": TEXT}]),
        json.dumps({"log": TEXT + "\n"}),
        json.dumps([LINE | {"message": "not the line"}]),
    ],
)
def test_what_was_written_is_found(body: str) -> None:
    assert written(body.encode()) == {("team", "kv/data/app/x"), ("team", "kv/app/x")}


@pytest.mark.parametrize(
    "body", ["", "[]", "[[]]", "{}", "nonsense", '{"message": "nonsense"}', '{"message": 7}', "[" * 9999, "null"]
)
def test_what_is_no_line_of_it_is_told(body: str) -> None:
    assert written(body.encode()) is None


def test_a_body_of_reads_wakes_nobody() -> None:
    assert written(json.dumps([{"message": json.dumps(READ)}]).encode()) == frozenset()
