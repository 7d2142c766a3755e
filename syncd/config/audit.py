"""`audit:` of the configuration: where lines of the audit trail go, and how long they stay in the ledger."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from syncd.config.fields import Duration, PlacedFile, Strict
from syncd.transport.addresses import is_loopback


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        # A password would go along in every request's address.
        whole = bool(parts.hostname) and parts.username is None and (parts.port is None or parts.port > 0)
        # Lines name secrets and people: in the clear they stay on this machine.
        whole = whole and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(text)))
    except ValueError:
        whole = False
    if not whole:
        raise PydanticCustomError("sink_url", "no https://HOST/PATH without a user in it")
    return text


class Audit(Strict):
    """The audit trail."""

    stdout: bool = Field(default=False, description="Print each line on stdout; by `syncd run` only", examples=[True])
    file: PlacedFile | None = Field(
        None, description="Append each line to this file, as JSON", examples=["/var/log/syncd/audit.jsonl"]
    )
    url: Annotated[str, AfterValidator(_address)] | None = Field(
        None, description="POST lines there, as JSON lines", examples=["https://siem.example.com/ingest/syncd"]
    )
    keep: Duration = Field(
        timedelta(days=400), description="How long lines stay in the ledger once they were shipped", examples=["400d"]
    )
    required: bool = Field(
        default=False,
        description="Write nothing more to Wix while a line could not be shipped for 5 minutes (exit 7)",
        examples=[True],
    )

    @model_validator(mode="after")
    def _one_sink(self) -> Self:
        if sum((self.stdout, self.file is not None, self.url is not None)) > 1:
            raise PydanticCustomError("one_sink", "write one of stdout, file and url")
        # No line would ever be shipped, and so nothing be written to Wix after five minutes.
        if self.required and self.sink is None:
            raise PydanticCustomError("no_sink", "required: true needs stdout, file or url")
        if self.keep < timedelta(days=1):
            raise PydanticCustomError("short_keep", "keep is at least 1d")
        return self

    @property
    def sink(self) -> str | None:
        """The name under which the ledger keeps which lines were shipped; None where no sink is configured."""
        if self.stdout:
            return "stdout"
        if self.file is not None:
            return f"file {self.file}"
        if self.url is None:
            return None
        # Without its query, which may hold a token that rotates; a path may hold one, too, so of that a digest.
        address = urlsplit(self.url)._replace(query="", fragment="").geturl()
        return f"{self.shown_sink} {hashlib.sha256(address.encode()).hexdigest()[:12]}"

    @property
    def former_sink(self) -> str | None:
        """The same name as earlier versions of syncd used it, with the whole URL; None for another kind of sink."""
        return f"url {self.url}" if self.url else None

    @property
    def shown_sink(self) -> str | None:
        """The sink as people and the trail see it: of a URL only the origin, as path or query may hold a token."""
        if self.url is None:
            return self.sink
        parts = urlsplit(self.url)
        return f"url {parts.scheme}://{parts.netloc}"
