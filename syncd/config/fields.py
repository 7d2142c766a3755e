"""Field types of the configuration: durations, limits, credentials, patterns."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from syncd.domain import SecretValue
from syncd.domain.moments import span_of
from syncd.errors import ConfigError
from syncd.transport.fault_words import in_words
from syncd.transport.private_files import read_bounded

CREDENTIAL_MAX = 64 * 1024
"""Most bytes of a credential file; a token or a key is far smaller."""


def meant_by(written: str, names: Iterable[str]) -> str:
    """Return the name that a misspelt text was meant to be; empty if none is close enough.

    A text this close to one of our names is a spelling mistake, and may be shown; any other may be a credential.
    """
    close = difflib.get_close_matches(written, list(names), n=1, cutoff=0.75)
    return close[0] if close else ""


class Strict(BaseModel):
    """A section: unknown keys are faults, and what was written never shows in a message."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


def parse_duration(text: object) -> timedelta:
    """Read a duration such as `0s`, `90s`, `5m`, `24h` or `7d`. Raises PydanticCustomError."""
    if isinstance(text, timedelta):
        return text
    span = span_of(text) if isinstance(text, str) else None
    if span is None:
        raise PydanticCustomError(
            "duration", "not a duration; write a number (of up to 6 digits) and s, m, h or d, such as 5m or 24h"
        )
    return span


def format_duration(span: timedelta) -> str:
    """Write a duration in the largest unit that needs no fraction: `1d`, not `24h`."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,6}[smhd]$", "examples": ["5m", "24h"]}),
]


def _limit(value: object) -> object:
    # To Python a bool is an int: `true` would be a limit of 1.
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}(\.\d{1,3})?%|\d{1,9}", value):
        if value.endswith("%") and float(value[:-1]) > 100:
            raise PydanticCustomError("limit", "a share is at most 100%")
        return value
    raise PydanticCustomError("limit", "not a limit; write a number such as 20, or a share such as 10%")


LimitText = Annotated[
    str,
    BeforeValidator(_limit),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?%?$"}]}),
]


def _rate(value: object) -> object:
    # Requests in no time at all would be a division by zero.
    if isinstance(value, str) and re.fullmatch(r"[1-9]\d{0,5}/\d{1,4}[smh]", value) and "/0" not in value:
        return value
    raise PydanticCustomError("rate", "not a rate; write requests per time, such as 190/1m")


RateText = Annotated[str, BeforeValidator(_rate), WithJsonSchema({"type": "string", "pattern": r"^[1-9]\d*/\d+[smh]$"})]

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
VISIBLE, VISIBLE_OR_EMPTY = r"^[!-~]+$", r"^[!-~]*$"
LISTEN_PATTERN = r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*):\d{1,5}$"
MOUNT_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*/?$"
ROLE_PATTERN = r"^(arn:[a-z-]+:iam::\d{12}:role/[!-z|~]+)?$"
# A region becomes a part of the host's name: no dot or slash in it may lead elsewhere.
REGION_PATTERN = r"^[a-z0-9-]{1,40}$"
EXTERNAL_ID_PATTERN = r"^([A-Za-z0-9+=,.@:/_-]{2,1224})?$"
OWNER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
FORMS = {
    NAME_PATTERN: "up to 100 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
    VISIBLE: "visible ASCII, without spaces",
    VISIBLE_OR_EMPTY: "visible ASCII, without spaces",
    LISTEN_PATTERN: "write HOST:PORT, for example 0.0.0.0:8080 or [::]:8080",
    MOUNT_PATTERN: "a mount is letters, digits, dots, dashes and underscores, in segments between slashes",
    REGION_PATTERN: "write a region of AWS such as eu-west-1",
    ROLE_PATTERN: "write a role's ARN, arn:aws:iam::123456789012:role/NAME",
    EXTERNAL_ID_PATTERN: "2 to 1,224 letters, digits and +=,.@:/_- (AWS's law for external ids)",
    OWNER_PATTERN: "up to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
}
"""What each pattern asks for, in words."""

Key = Annotated[str, Field(pattern=NAME_PATTERN)]
"""What sources, targets and jobs are called."""


def _file_path(value: str) -> str:
    if not value or not value.isprintable():
        raise PydanticCustomError("file_path", "is no path of a file; it is empty or holds a control character")
    return value


FilePath = Annotated[str, AfterValidator(_file_path)]


def _env_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,200}", value):
        raise PydanticCustomError("env_name", "is no name of an environment variable (letters, digits, underscores)")
    return value


EnvName = Annotated[str, AfterValidator(_env_name)]


def folder_of(info: ValidationInfo) -> Path:
    """The folder of the configuration file, which relative paths begin at."""
    return Path((info.context or {}).get("folder", ""))


class PlacedPath(str):
    """A path that begins at the configuration file, and that keeps how it was written: a kept plan depends on that."""

    __slots__ = ("written",)
    written: str


def _from_the_configuration(value: str, info: ValidationInfo) -> str:
    placed = PlacedPath(folder_of(info) / value)
    placed.written = value
    return placed


PlacedFile = Annotated[
    FilePath,
    AfterValidator(_from_the_configuration),
    PlainSerializer(lambda path: getattr(path, "written", path), return_type=str),
]
"""A file's path; a relative one begins at the configuration file."""

MOUNTED = ("/var/run/secrets", "/run/secrets")
"""Folders in which Kubernetes and Docker mount tokens and secrets."""
NAME_IN_CAPITALS = re.compile(r"[A-Z]{1,16}\d{0,3}(_([A-Z]{1,16}\d{0,3}|\d{1,3})){1,6}")
"""Words in capitals, as names of variables are and credentials are not."""


class Credential(Strict):
    """Where a credential is: an environment variable or a file, read again at each use.

    A login at a Vault is used until it ends or is refused; only the next login reads the credential again.
    """

    _goes_into_a_header: ClassVar[bool] = True
    _folder: Path = PrivateAttr(default=Path())

    env: EnvName | None = Field(None, description="Name of an environment variable", examples=["WIX_API_KEY"])
    file: FilePath | None = Field(
        None,
        description="Path of a file, from the configuration file on; read at each use, without its last newline",
        examples=["/run/secrets/wix/api-key"],
    )

    @model_validator(mode="before")
    @classmethod
    def _not_inline(cls, value: Any) -> Any:
        # Before pydantic looks: text here is most likely the credential itself, and its fix is not one of shape.
        if not isinstance(value, (dict, Credential)):
            raise PydanticCustomError(
                "inline", "a credential is not written into the file; write {env: NAME} or {file: PATH}"
            )
        # Keys from elsewhere (path, value, secretKeyRef): the nearest of all of ours would lead astray.
        if isinstance(value, dict) and value and not any(meant_by(str(key), ("env", "file")) for key in value):
            raise PydanticCustomError("one_place", "write either {env: NAME} or {file: PATH}")
        return value

    @model_validator(mode="after")
    def _one_place(self, info: ValidationInfo) -> Self:
        if (self.env is None) == (self.file is None):
            raise PydanticCustomError("one_place", "write either {env: NAME} or {file: PATH}")
        # Beside `file`, not in it: a kept plan is bound to what was written, not to the folder.
        self._folder = folder_of(info)
        return self

    @property
    def path(self) -> Path:
        """Where its file is; a relative path begins at the configuration file."""
        return self._folder / str(self.file)

    def __str__(self) -> str:
        """Say where the credential is, as far as that may be shown.

        Somebody may have written the credential itself where its place should be, so what does not look like a place is
        not shown.
        """
        if self.env:
            # What is no variable and does not look like one may be the credential itself.
            known = self.env in os.environ or NAME_IN_CAPITALS.fullmatch(self.env)
            return f"environment variable {self.env}" if known else "the environment variable that `env:` names there"
        written, path = Path(str(self.file)), self.path
        # Those two are the parent of any word that is written here: they do not tell a path from a credential.
        named = path.parent.is_dir() and path.parent not in {Path("/"), self._folder}
        # No credential begins like the folders that Kubernetes and Docker mount.
        is_mounted = any(path.is_relative_to(folder) for folder in MOUNTED)
        if is_mounted or (named and path.is_absolute()) or path.exists():
            return f"file {path}"
        return "the file that `file:` names there" + ("" if written.is_absolute() else f" (sought in {self._folder})")

    def read(self, what: str) -> SecretValue[str]:
        """Read the credential as it is now. `what`: what it is for, in words.

        Raises `ConfigError`, which names its place and never shows it.
        """
        try:
            text = os.environ[self.env] if self.env else self._from_file()
        except KeyError:
            raise ConfigError(f"{what}: {self} is not set", hint="set it, or name another one") from None
        except FileNotFoundError:
            raise ConfigError(
                f"{what}: {self} does not exist", hint="put the credential there, or name another file"
            ) from None
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{what}: {self} cannot be read ({in_words(error)})",
                hint="see that it is text, and readable for this user",
            ) from None
        # Editors end a file with a line break; a second one is no accident, and is refused below.
        text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise ConfigError(f"{what}: {self} is empty", hint="put the credential there")
        # HTTP libraries name a header that they cannot send, and so the credential in it.
        if self._goes_into_a_header and not all("!" <= char <= "~" for char in text):
            raise ConfigError(
                f"{what}: {self} holds something else than visible ASCII (a space, a line break?)",
                hint="put only the credential there",
            )
        return SecretValue(text)

    def _from_file(self) -> str:
        return read_bounded(self.path, CREDENTIAL_MAX).decode()


class BodyCredential(Credential):
    """A credential that is sent within JSON and never in a header, such as a password: it may hold any character."""

    _goes_into_a_header: ClassVar[bool] = False
