"""Proxies of the environment: legal values work as they do for curl, others are named."""

from __future__ import annotations

import pytest

from syncd.errors import ConfigError
from syncd.transport.addresses import proxy_for

PROXY = {"HTTPS_PROXY": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("no_proxy", "address", "direct"),
    [
        ("localhost,10.0.0.0/8,fd00::/8", "https://www.wixapis.com/x", False),
        ("localhost,10.0.0.0/8,fd00::/8", "https://10.1.2.3:8200", True),
        ("localhost,10.0.0.0/8,fd00::/8", "https://[fd00::1]:8200", True),
        ("fd00::/8", "https://[fe80::1]", False),
        ("::1", "https://[::1]:1", True),
        (".example.com", "https://vault.example.com", True),
        ("example.com", "https://vault.example.com", True),
        ("*.example.com", "https://vault.example.com", True),
        ("example.com", "https://notexample.com", False),
        ("vault.example.com:8200", "https://vault.example.com:8200", True),
        ("vault.example.com:8200", "https://vault.example.com:8300", False),
        ("*", "https://anything", True),
        ("10.0.0.300/8 , , /, ::::, [", "https://10.0.0.1", False),
        ("10.0.0.5", "https://10.0.0.5", True),
        ("VAULT.example.COM", "https://vault.EXAMPLE.com", True),
    ],
)
def test_who_is_reached_directly(no_proxy: str, address: str, direct: bool) -> None:
    assert proxy_for(address, {**PROXY, "NO_PROXY": no_proxy}) == (None if direct else "http://proxy:3128")


@pytest.mark.parametrize("value", ["foo://bar", "http://[::1", "http://host:port", "://", "http://"])
def test_what_is_no_proxy_is_named_and_not_shown(value: str) -> None:
    with pytest.raises(ConfigError, match="ALL_PROXY") as caught:
        proxy_for("https://www.wixapis.com", {"ALL_PROXY": value})
    assert value not in str(caught.value)


def test_which_variable_counts() -> None:
    assert proxy_for("https://x", {"all_proxy": "socks5://a:1", "https_proxy": "b:2"}) == "http://b:2"
    assert proxy_for("http://127.0.0.1", {"HTTPS_PROXY": "http://b:2"}) is None and proxy_for("https://x", {}) is None
