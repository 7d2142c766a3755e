"""The authenticating proxy is known by its address, however that is written."""

from __future__ import annotations

import pytest

from syncd.daemon.accounts import _is_within


@pytest.mark.parametrize(
    ("address", "networks", "within"),
    [
        ("10.0.0.5", ["10.0.0.0/8"], True),
        ("::ffff:10.0.0.5", ["10.0.0.0/8"], True),
        ("::ffff:11.0.0.5", ["10.0.0.0/8"], False),
        ("fd00::7", ["10.0.0.0/8", "fd00::/8"], True),
        ("fd00::7", ["10.0.0.0/8"], False),
        ("", ["0.0.0.0/0"], False),
    ],
)
def test_a_peer_is_within_its_network(address: str, networks: list[str], within: bool) -> None:
    assert _is_within(address, networks) is within
