"""Structured logs on stderr: JSON lines for machines, colours for a terminal; what must not show is masked."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from syncd.domain import MASK, SecretValue
from syncd.telemetry.log_stream import LossyStream

HIDDEN_KEYS = frozenset(
    {
        "value",
        "token",
        "secret",
        "password",
        "authorization",
        "api_key",
        "app_secret",
        "secret_id",
        "jwt",
        "fingerprint",
    }
)
"""Keys whose content is never shown, whoever logs it."""
NOISY = (
    "hvac",
    "urllib3",
    "requests",
    "boto3",
    "botocore",
    "httpx",
    "httpcore",
    "apscheduler",
    "sqlalchemy",
    "uvicorn",
    "opentelemetry",
)
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def redacted(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask the content of hidden keys and of `SecretValue`, at any depth.

    This is the second protection: `SecretValue` masks itself. An exception is replaced by the name of its class.
    """
    for key in event:
        event[key] = MASK if key.lower() in HIDDEN_KEYS else _clean(event[key])
    return event


def one_line(text: str) -> str:
    """Replace control characters and line breaks by `?`: names from outside may hold anything."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _clean(thing: object) -> object:
    if isinstance(thing, SecretValue):
        return MASK
    if isinstance(thing, dict):
        return {key: MASK if str(key).lower() in HIDDEN_KEYS else _clean(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple, set)):
        return [_clean(item) for item in thing]
    if isinstance(thing, BaseException):
        return type(thing).__name__  # a library's message may hold anything
    if isinstance(thing, (int, float, bool, type(None))):
        return thing
    return one_line(thing if isinstance(thing, str) else str(thing))


def configure(*, form: str, level: str, stream: LossyStream | None = None) -> None:
    """Set logging up for this process. `level`: debug, info or warning; `stream`: where the lines go, else stderr.

    `form`: json, console, or auto (console on a terminal, else json). Libraries log nothing: at DEBUG they print
    bodies, and their warnings hold addresses.
    """
    if form == "auto":
        form = "console" if sys.stderr.isatty() else "json"
    renderer: Any = (
        # The default formatter may print the locals of each frame, and values with them.
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if form == "console"
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Last before the renderer: nothing that a processor adds gets past the net.
            redacted,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", stream or LossyStream())),
        cache_logger_on_first_use=False,
    )
    # Python's own would print the warnings of libraries that have no handler.
    logging.lastResort = None
    for name in NOISY:
        library = logging.getLogger(name)
        library.handlers = [logging.NullHandler()]
        library.propagate = False
        # With --debug, too: that turns on our own loggers, and theirs print bodies.
        library.setLevel(logging.CRITICAL)


def logger(name: str = "syncd", **bound: Any) -> Any:
    """Return a logger. A line's event is a fixed name; facts are fields. `bound`: the fields of each of its lines."""
    lazy = structlog.get_logger(name)  # configured when it first logs
    return lazy.bind(**bound) if bound else lazy


def safe_traceback(error: BaseException) -> list[str]:
    """Where an error came from, as `file:line function`, without messages, values or source lines."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
