"""Remember what came of each session's last form: a page of its own shows it, and may be loaded again."""

from __future__ import annotations

import threading

from syncd.web.principal import Principal


class LastDone:
    """What came of the last form, by session, or by user behind an authenticating proxy."""

    MOST = 1000
    """Sessions that are remembered."""

    def __init__(self) -> None:
        self._turn, self._known = threading.Lock(), dict[tuple[str, str], tuple[str, str, str]]()

    def put(self, who: Principal, title: str, said: str, back: str) -> None:
        """Remember what came of a form: a title, a sentence, and the page that it was sent from.

        Above `MOST`, the oldest entry is forgotten.
        """
        with self._turn:
            self._known.pop(self._key(who), None)
            self._known[self._key(who)] = title, said, back
            if len(self._known) > self.MOST:
                del self._known[next(iter(self._known))]

    def of(self, who: Principal) -> tuple[str, str, str] | None:
        """Return the title, the sentence and the page of the last form; None if nothing was done."""
        with self._turn:
            return self._known.get(self._key(who))

    @staticmethod
    def _key(who: Principal) -> tuple[str, str]:
        return who.name, who.csrf
