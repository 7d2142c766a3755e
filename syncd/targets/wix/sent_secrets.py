"""Secrets that a client sent of late. No later answer may show them: a broken peer may repeat an earlier request.

They are kept for each client here, so that no caller can forget it.
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
    """The secrets that one client sent of late."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: OrderedDict[str, SecretValue[str]] = OrderedDict()
        self._values: deque[SecretValue[str]] = deque(maxlen=VALUES)

    def add(self, credentials: Iterable[SecretValue[str]], values: Iterable[SecretValue[str]]) -> None:
        """Remember what is sent now: the latest `CREDENTIALS` credentials, the latest `VALUES` values."""
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
        """Does an id hold a part of any remembered secret? `own`: what was sent with the request that the id answers.

        By chance an id holds eight characters of one of many values, once in some thousand creations. So of values that
        other requests brought twice as many characters are looked for.
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
    """Return the secrets that this client sent of late. They are forgotten together with the client."""
    with _LOCK:
        return _BY_CLIENT.setdefault(client, SentSecrets())
