"""What a client sent of late, which no later answer may tell: a broken peer repeats another request than the last.

Kept by the client itself, so that no caller can leave it out.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from syncd.domain import SecretValue
from syncd.transport.echoes import echoes

CREDENTIALS = 16
"""Keys, tokens and app secrets of one client that are remembered: a token is renewed every few hours."""
LONG_RUN = 16
"""Characters in a row that an id and one of many values do not share by chance."""
VALUES = 32
"""Values of the latest writes of one client: more than are under way at once."""


class SentSecrets:
    """Of one client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: OrderedDict[str, SecretValue[str]] = OrderedDict()
        self._values: deque[SecretValue[str]] = deque(maxlen=VALUES)

    def add(self, credentials: Iterable[SecretValue[str]], values: Iterable[SecretValue[str]]) -> None:
        """What is sent now: credentials are remembered for long, values for the calls around."""
        with self._lock:
            for credential in credentials:
                self._credentials[credential.reveal()] = credential
                self._credentials.move_to_end(credential.reveal())
            while len(self._credentials) > CREDENTIALS:
                self._credentials.popitem(last=False)
            self._values.extend(values)

    def are_in(self, text: str) -> bool:
        """Does a text hold a part of any of them?"""
        credentials, values = self._known()
        return bool(text) and echoes(text, (*credentials, *values))

    def are_in_id(self, text: str, own: Iterable[SecretValue[str]]) -> bool:
        """Does an id? `own`: what was sent with its request.

        Eight characters of one of many values are in an id by chance, once in some thousand creations: of what other
        requests brought, twice as many.
        """
        credentials, values = self._known()
        mine = (secret.reveal() for secret in own)
        return bool(text) and (echoes(text, (*credentials, *mine)) or echoes(text, values, LONG_RUN))

    def _known(self) -> tuple[list[str], list[str]]:
        with self._lock:
            return list(self._credentials), [secret.reveal() for secret in self._values]


_BY_CLIENT: WeakKeyDictionary[Any, SentSecrets] = WeakKeyDictionary()
_LOCK = threading.Lock()


def sent_by(client: Any) -> SentSecrets:
    """What this client sent; forgotten with it."""
    with _LOCK:
        return _BY_CLIENT.setdefault(client, SentSecrets())
