"""An answer that holds another credential of the same kind is no echo of ours; one that holds a part of ours is."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable

import pytest

from syncd.transport.echoes import holds


def jwt() -> str:
    """As one issuer makes them: header and claims are alike, the signature is its own."""
    parts = [
        {"alg": "RS256", "kid": "k1"},
        {"iss": "https://issuer", "sub": "system:serviceaccount:shop:syncd", "exp": 1},
    ]
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*texts, secrets.token_urlsafe(256)])


def sts() -> str:
    """As one region gives them."""
    return "IQoJb3JpZ2luX2VjEDUaCXVzLWVhc3QtMSJ//////////wEaCXVz" + secrets.token_urlsafe(400)


def vault() -> str:
    return "hvs.CAESI" + secrets.token_urlsafe(60)


def app_secret() -> str:
    return secrets.token_urlsafe(32)


KINDS = [jwt, sts, vault, app_secret]
WRITTEN: dict[str, Callable[[str], bytes]] = {
    "whole": str.encode,
    "upper case": lambda text: text.upper().encode(),
    "its end": lambda text: text[-40:].encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "hex": lambda text: text.encode().hex().encode(),
    "escaped": lambda text: "".join(f"\\u{ord(char):04x}" for char in text).encode(),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("form", WRITTEN)
def test_another_credential_of_its_kind_is_none_of_ours(kind: Callable[[], str], form: str) -> None:
    ours = kind()
    assert holds(b'{"value": "' + WRITTEN[form](ours) + b'"}', ours)
    for _ in range(20):
        assert not holds(b'{"value": "' + WRITTEN[form](kind()) + b'"}', ours)
