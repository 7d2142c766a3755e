"""A value that masks itself."""

from __future__ import annotations

from typing import Generic, NoReturn, TypeVar

MASK = "***"


T = TypeVar("T")


class SecretValue(Generic[T]):
    """A secret thing that is never shown by accident (printed, formatted, pickled): only `reveal()` returns it."""

    __slots__ = ("_hidden",)

    def __init__(self, hidden: T) -> None:
        self._hidden: T = hidden

    def reveal(self) -> T:
        """The value itself. Its callers are few on purpose."""
        return self._hidden

    def __repr__(self) -> str:
        return f"SecretValue({MASK})"

    def __str__(self) -> str:
        return MASK

    # Without it a width in a format would raise, in the middle of a message.
    def __format__(self, spec: str) -> str:
        return MASK

    def __reduce__(self) -> tuple[type[MaskedValue], tuple[()]]:
        return (MaskedValue, ())  # pickling keeps the mask and loses the value

    # By default copies go the way of pickle, which would lose the value; within the process it may be kept.
    def __copy__(self) -> SecretValue[T]:
        return self

    def __deepcopy__(self, memo: object) -> SecretValue[T]:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretValue) and bool(self._hidden == other._hidden)

    __hash__ = None  # type: ignore[assignment]  # a secret is no key


class MaskedValue(SecretValue[str]):
    """What is left of a `SecretValue` that went through pickle: never to be sent anywhere."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("")

    def reveal(self) -> NoReturn:
        """Raise TypeError: a pickled secret holds no value."""
        # An empty text in its place would be sent as if it were the value.
        raise TypeError("a pickled secret holds no value")


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, the strictest reading of Wix's limits."""
    # A lone surrogate has a length, too; that it is no Unicode is said by whoever sends.
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
