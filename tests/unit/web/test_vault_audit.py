"""Lines of an audit device, one by one and as log shippers pack them."""

from __future__ import annotations

import json

import pytest

from syncd.web.hooks.vault_audit import WrittenSecrets, written

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
    told = written(body.encode())
    assert told is not None
    both = {("team", "kv/data/app/x"), ("team", "kv/app/x")}
    assert told.paths == both and told.expected == dict.fromkeys(both, 0)


@pytest.mark.parametrize(
    "body", ["", "[]", "[[]]", "{}", "nonsense", '{"message": "nonsense"}', '{"message": 7}', "[" * 9999, "null"]
)
def test_what_is_no_line_of_it_is_told(body: str) -> None:
    assert written(body.encode()) is None


def test_a_body_of_reads_wakes_nobody() -> None:
    assert written(json.dumps([{"message": json.dumps(READ)}]).encode()) == WrittenSecrets()


@pytest.mark.parametrize(
    ("path", "operation", "expected"),
    [
        ("kv/data/app/x", "create", {("team", "kv/app/x"): 7}),
        ("kv/data/data/x", "update", {("team", "kv/data/x"): 7}),
        ("kv/undelete/app/x", "update", {("team", "kv/app/x"): 7}),
        ("kv/metadata/app/x", "delete", {("team", "kv/app/x"): 7}),
        ("kv/metadata/app/x", "update", {("team", "kv/metadata/app/x"): 7}),  # its custom metadata, or KV v1
        ("kv/metadata", "update", {("team", "kv/metadata"): 7}),
        ("kv/app/x", "update", {("team", "kv/app/x"): 7}),  # KV v1
        ("kv/data", "update", {("team", "kv/data"): 7}),
    ],
)
def test_what_is_to_be_seen_otherwise(path: str, operation: str, expected: dict[tuple[str, str], int]) -> None:
    def lines(*versions: object) -> bytes:
        request = LINE["request"] | {"path": path, "operation": operation}  # type: ignore[operator]
        made = (LINE | {"request": request, "response": {"data": {"version": version}}} for version in versions)
        return "\n".join(map(json.dumps, made)).encode()

    for versions in ((6, 7), (7, 6), (7,)):
        told = written(lines(*versions))
        assert told is not None and told.expected == expected
    # One that tells none may stand for a deletion, behind which numbers begin again.
    for odd in ((None,), ([],), ("7",), ({"x": 1},), (7.5,), (True,), (7, "hmac-sha256:x"), (None, 7), (7, 0, 7)):
        told = written(lines(*odd))
        assert told is not None and set(told.expected.values()) <= {0, 7}
        assert {told.expected[secret] for secret in expected} <= {0}
        # It may be KV v1, and the path of the request the secret's own.
        assert ("team", path) in told.expected or not expected
