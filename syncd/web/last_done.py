"""What the last form of each session came to: it is shown on a page of its own, which may be read anew."""

from __future__ import annotations

import threading

from syncd.web.principal import Principal


class LastDone:
    """By session, or by user behind an authenticating proxy."""

    MOST = 1000
    """Sessions that are remembered."""

    def __init__(self) -> None:
        self._turn, self._known = threading.Lock(), dict[tuple[str, str], tuple[str, str, str]]()

    def put(self, who: Principal, title: str, said: str, back: str) -> None:
        """Remember it; the oldest ones are forgotten."""
        with self._turn:
            self._known.pop(self._key(who), None)
            self._known[self._key(who)] = title, said, back
            if len(self._known) > self.MOST:
                del self._known[next(iter(self._known))]

    def of(self, who: Principal) -> tuple[str, str, str] | None:
        """What it came to, in a word and in a sentence, and the page it was sent from; None where nothing was done."""
        with self._turn:
            return self._known.get(self._key(who))

    @staticmethod
    def _key(who: Principal) -> tuple[str, str]:
        return who.name, who.csrf
