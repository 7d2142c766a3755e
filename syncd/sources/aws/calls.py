"""Calls to one service of AWS: counted, tried again where that helps, on other credentials where ours are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from syncd.sources.aws.errors import asked_with_renewal
from syncd.transport.idle import IdleWatch


class AwsCalls:
    """One client of the SDK, replaced where AWS no longer takes its credentials."""

    def __init__(
        self,
        place: str,
        client: Any,
        renewed: Callable[[], Any | None] = lambda: None,
        stop: threading.Event | None = None,
        observe: Callable[[str], None] = lambda _call: None,
    ) -> None:
        """`place`: how messages name this service. `stop`: set when the process ends.

        `renewed`: returns a client on other credentials, or None if there are none. `observe`: hears each call's name.
        """
        self.place = place
        self._client = client
        self._renewed, self._observe = renewed, observe
        self._stop = stop or threading.Event()
        self._idle, self._renewing = IdleWatch(), threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        """Call AWS and return its answer.

        Raises `Refused` for what AWS says of a secret or of who asks, `SourceError` for everything else.
        """
        self._observe(call)
        used = self._client
        answer: dict[str, Any] = asked_with_renewal(
            self.place,
            lambda: self._call(call, arguments),
            lambda: self._renew(used),
            self._stop,
        )
        return answer

    def _call(self, call: str, arguments: dict[str, Any]) -> Any:
        client = self._client
        with self._idle.use(client.close):  # botocore's close leaves a client that connects anew
            return getattr(client, call)(**arguments)

    def _renew(self, refused: Any) -> bool:
        """Is there a client now that is not the refused one? If not, make one.

        Where several threads were refused together, one of them makes it for all.
        """
        with self._renewing:
            if self._client is refused and (client := self._renewed()) is not None:
                self._client = client
            return self._client is not refused
