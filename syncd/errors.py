"""The tree of errors: each class knows its exit code.

A message says what happened and where; the hint says the fix. Neither ever holds a value, a token or
the text of a library's own exception.
"""

from __future__ import annotations

from typing import ClassVar


class SyncdError(Exception):
    """Any failure that syncd knows how to explain."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(SyncdError):
    """The configuration or the command line is wrong; `problems` lists every fault that was found."""

    exit_code = 3

    def __init__(self, message: str, *, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class SecretError(SyncdError):
    """One secret cannot be synced as it is; the others can."""

    exit_code = 1


class BadName(SecretError):
    """No legal Wix name comes out of the rule."""


class BadValue(SecretError):
    """The value cannot go to Wix: empty, too long, binary, not JSON."""


class VersionGone(SecretError):
    """The source has no such version any more."""


class SourceError(SyncdError):
    """A source, or a part of it, could not be read."""

    exit_code = 4


class SourceUnavailable(SourceError):
    """The source did not answer, is sealed, or asks to slow down.

    `whole`: the source as a whole fails, not one path, so no further path is asked for. `stalled`: the call used up a
    full timeout, so only the next cycle asks again. `asks_to_wait`: the source limits our rate. `retry_after`: for how
    many seconds it asked to wait; 0 if it named none. `too_large`: one answer is larger than syncd reads of any.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        whole: bool = False,
        stalled: bool = False,
        too_large: bool = False,
        asks_to_wait: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message, hint=hint)
        self.whole = whole
        self.stalled = stalled
        self.too_large = too_large
        self.asks_to_wait = asks_to_wait
        self.retry_after = retry_after


class SourceDenied(SourceError):
    """The source refused the credential or the path."""


class TargetError(SyncdError):
    """Wix refused or could not be reached."""

    exit_code = 5

    def __init__(self, message: str, *, hint: str = "", request_id: str = "", maybe_done: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.request_id = request_id
        self.maybe_done = maybe_done
        """The request, or an earlier try of it, may have taken effect all the same."""
        # Of this try alone; whoever tries again counts them all.
        self.lost_tries = int(maybe_done)
        """How many tries of the request may have taken effect."""


CALL_PATIENCE = 5.0
"""Seconds that one call waits at most because the site asked to slow down (429)."""


class TargetUnavailable(TargetError):
    """No usable answer; the same request may be answered later."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        request_id: str = "",
        maybe_done: bool = False,
        retry_after: float | None = None,
        stalled: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, request_id=request_id, maybe_done=maybe_done)
        self.retry_after = retry_after
        """For how many seconds the answer asked to wait; None if it did not ask."""
        self.stalled = stalled
        """The call used up a full timeout, so only the next cycle asks again."""

    @property
    def asks_to_wait(self) -> bool:
        """Does the site ask to wait for longer than one call waits (`CALL_PATIENCE`)?

        Then whoever holds the site's lock releases it meanwhile.
        """
        return self.retry_after is not None and self.retry_after > CALL_PATIENCE and not self.maybe_done


class Interrupted(TargetUnavailable):
    """The request was not sent: the process is asked to stop, or the action may not be sent any more (`HALTED`)."""


class TargetDenied(TargetError):
    """The credential was refused or lacks a permission."""


class SiteFull(TargetError):
    """The site takes no more secrets: that is its state, whatever the secret."""


class SecretRefused(TargetError):
    """Wix refuses this one secret as it is; sending it again changes nothing."""

    exit_code = 1


class NameTaken(TargetError):
    """The site already has a secret of this name."""

    exit_code = 1


class SecretGone(TargetError):
    """The site has no secret with this id."""

    exit_code = 1


class PlanMoved(SyncdError):
    """What a person agreed to (a kept plan, a held batch) is no longer as it was shown."""

    exit_code = 6


class LedgerError(SyncdError):
    """The ledger is broken, locked, not writable, or its key is missing."""

    exit_code = 7


class LedgerBusy(LedgerError):
    """Not now, but soon: another process holds the site, or a large ledger is being gone through."""


INTERRUPTED = 130
"""The exit code of a cycle that was stopped before it had sent all: it is due again at once."""
EXIT_ORDER = (7, 3, 4, 5, 6, 1)
"""With several causes, the first of these is the exit code."""
WORKED = frozenset({0, 1, 6})
"""Exit codes of a cycle that did its work, though some secrets failed (1) or a limit withheld some (6)."""
FAILED = frozenset({3, 4, 5, 7})
"""Exit codes of a cycle that could not do its work."""


def worst(codes: set[int]) -> int:
    """Return the exit code of a run that met all of `codes`; 0 if none of them is in `EXIT_ORDER`."""
    return next((code for code in EXIT_ORDER if code in codes), 0)
