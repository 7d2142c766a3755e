"""Does a text from a peer hold a part of something secret that it was sent? Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

END = "\0"
"""Between two forms of a secret: no text of a peer that is shown holds it."""
RUN = 8
"""Characters in a row that a text and a secret do not share by chance."""
SHORTEST = 6
"""Shortest secret, in characters, that is looked for: a shorter one is in many texts by chance, which tells nothing."""


def _forms(secret: str) -> Iterable[str]:
    """The secret as a peer may write it."""
    data = secret.encode("utf-8", "surrogatepass")
    yield secret.casefold()
    yield quote(data, safe="").casefold()
    yield base64.b64encode(data).decode().casefold()
    yield data.hex()
    yield "".join(char for char in secret if char.isalnum()).casefold()


@lru_cache(maxsize=128)
def _all_forms(secret: str) -> str:
    """Every form in one text; worked out once, because each answer is looked through for what was sent of late."""
    return END.join(_forms(secret))


def echoes(text: str, secrets: Iterable[str], run: int = RUN) -> bool:
    """Has the text `run` characters in a row that are also in one of the secrets, in whatever case or encoding?

    A shorter text is looked for as a whole. Secrets of fewer than 6 characters are passed over.
    """
    folded = text.casefold()
    runs = {folded[at : at + run] for at in range(max(1, len(folded) - run + 1))} if len(folded) >= run else set[str]()
    for secret in secrets:
        if len(secret) < SHORTEST or not folded:
            continue
        forms = _all_forms(secret)
        if secret.casefold() in folded or any(part in forms for part in runs):
            return True
        # A text that is shorter than a run is looked for whole; a very short one is in an encoding by chance.
        if SHORTEST <= len(folded) < run and folded in (forms if len(folded) >= RUN else secret.casefold()):
            return True
    return False


BLOCK = 12
"""Characters of each part of a credential that is looked for.

That many at its beginning are left out: all credentials of a kind have them in common (`hvs.CAES…`).
"""
LONG, SHARED = 256, 64
"""Characters from which on a token is one that tells its kind and region first (AWS STS).

`SHARED`: how many of its first characters other tokens have as well.
"""
ESCAPED = re.compile(rb"\\u00([0-7][0-9a-fA-F])")


def holds(body: bytes, credential: str) -> bool:
    """Does an answer hold a credential that was sent with its request, or a long part of it, however it is written?

    The whole body is searched, whatever it says: that is cheaper than to search each of its texts, and passes none by.
    A credential of fewer than 12 characters is not looked for.
    """
    whole, parts = _looked_for(credential)
    if not whole:
        return False
    # JSON may write any letter as an escape, and a token in escapes would be passed by.
    plain = ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), body) if b"\\u" in body else body
    folded = plain.lower()
    return any(form in folded for form in whole) or any(part in folded for part in parts)


@lru_cache(maxsize=64)
def _looked_for(credential: str) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The credential in each form, and parts of each; worked out once, because every answer is looked through."""
    # So short a credential is found by chance: honest answers would be discredited.
    if len(credential) < BLOCK:
        return (), ()
    whole = tuple(dict.fromkeys(form.encode() for form in _forms(credential)))
    # Not from 0: a secret may be another credential of this kind, and is no echo of ours.
    share = _shared(credential) / len(credential)
    starts = [
        (form, at) for form in whole for at in range(max(BLOCK, int(share * len(form))), len(form) - BLOCK + 1, BLOCK)
    ]
    return whole, tuple(dict.fromkeys(form[at : at + BLOCK] for form, at in starts))


def _shared(credential: str) -> int:
    """How many of its first characters another credential of its kind may have as well."""
    # Of a JWT (RFC 7519) header and claims are the issuer's: nothing but its signature is its own.
    head, _, signature = credential.rpartition(".")
    if credential.startswith("eyJ") and head.count(".") == 1 and len(signature) >= 4 * BLOCK:
        return len(head) + BLOCK
    return SHARED if len(credential) >= LONG else BLOCK
