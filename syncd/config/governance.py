"""`rules:` of the configuration: what a company asks of its secrets. No language, but fixed kinds of checks."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from syncd.config.fields import Duration, Key, Strict

LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
LabelKey = Annotated[str, Field(pattern=LABEL_PATTERN)]
LONGEST = 500
"""Most characters that a reason may have."""


def _globs(value: object) -> object:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not given or not all(isinstance(item, str) and item for item in given):
        raise PydanticCustomError("globs", "write a glob, or a list of globs")
    return given


Globs = Annotated[
    list[str],
    BeforeValidator(_globs),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


def _day(value: object) -> object:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    # A datetime is a date to Python, too; the hours that somebody wrote would be dropped without a word.
    if type(value) is date:
        return value
    raise PydanticCustomError("day", "not a day; write year, month and day, such as 2027-03-01")


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class Selecting(Strict):
    """Which secrets; all that is given must fit."""

    source: Globs | None = Field(None, description="Only from these sources", examples=["vault"])
    path: Globs | None = Field(None, description="Only from these source paths", examples=["secret/staging/**"])
    name: Globs | None = Field(None, description="Only under these names at Wix", examples=["PAY_*"])
    job: Globs | None = Field(None, description="Only of these jobs", examples=["payments"])
    target: Globs | None = Field(None, description="Only on these targets", examples=[["shop", "outlet"]])
    site: Globs | None = Field(None, description="Only on these sites, by their ids", examples=["5f1c9b6e-*"])
    label: dict[LabelKey, Globs] | None = Field(
        None, description="Only on targets that carry these labels", examples=[{"env": "prod"}]
    )

    def chosen(self) -> dict[str, Any]:
        """The selectors that were written."""
        keys = Selecting.model_fields
        return {key: value for key in keys if (value := getattr(self, key)) is not None}


class Exempted(Selecting):
    """Secrets that a rule leaves alone for a while."""

    until: Day = Field(description="The last day on which it holds, in UTC", examples=["2027-03-01"])
    reason: str = Field(min_length=1, max_length=LONGEST, description="Why", examples=["moved with the shop relaunch"])

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        # An exception without a selector would take everything: its rule would be off.
        if not self.chosen():
            raise PydanticCustomError("exempts_all", "names nothing; write which secrets, such as name: LEGACY_SMTP")
        return self


class Required(Strict):
    """What a secret must have."""

    owner: Literal[True] | None = Field(
        None, description="An owner at the source: Vault's custom metadata, or an AWS tag", examples=[True]
    )
    name: str | None = Field(None, min_length=1, description="A name at Wix of this form", examples=["PAY_*"])


class Duplicated(Strict):
    """Where one value may not be twice."""

    across: str = Field(
        pattern=r"^(names|label\.[A-Za-z0-9][A-Za-z0-9_.-]{0,62})$",
        description="names: under two names; label.KEY: on sites whose label differs",
        examples=["label.env", "names"],
    )


class GovernanceRuleSettings(Selecting):
    """One rule; without a check, each secret that it selects is a hit, and `then` says what follows."""

    id: Key = Field(description="What the rule is called", examples=["rotate-quarterly"])
    then: Literal["warn", "deny", "hold"] = Field(
        description="What follows: a finding (warn), it is not sent (deny), it waits for a release (hold)",
        examples=["warn"],
    )
    not_: Selecting | None = Field(
        None, alias="not", description="Leaves these out", examples=[{"path": "secret/shared/**"}]
    )
    max_age: Duration | None = Field(None, description="Of the source's version", examples=["90d"])
    min_length: int | None = Field(None, ge=1, le=3500, description="Characters of the value", examples=[16])
    max_length: int | None = Field(None, ge=1, le=3500, description="Characters of the value", examples=[3000])
    placeholder: Literal[True] | None = Field(
        None, description="Not changeme, TODO, a vendor's example key, one character repeated, or the name itself",
        examples=[True],
    )  # fmt: skip
    duplicate: Duplicated | None = Field(
        None, description="One value in one place; values under 8 characters are not compared",
        examples=[{"across": "label.env"}],
    )  # fmt: skip
    require: Required | None = Field(None, description="What a secret must have", examples=[{"owner": True}])
    unmanaged: Literal[True] | None = Field(None, description="Secrets on a site that nobody manages", examples=[True])
    except_: list[Exempted] = Field(
        default_factory=list,
        alias="except",
        description="What it leaves alone for a while, and why",
        examples=[[{"name": "LEGACY_SMTP", "until": "2027-03-01", "reason": "moved with the shop relaunch"}]],
    )

    def written(self, *, without: AbstractSet[str] = frozenset()) -> dict[str, Any]:
        """The rule as it was written, in types that JSON has. `without`: fields that are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(without))

    @model_validator(mode="after")
    def _one_kind_of_check(self) -> Self:
        kinds = self.checks()
        if len(kinds) > 1:
            raise PydanticCustomError(
                "two_checks", "one kind of check a rule: {kinds}; write two rules", {"kinds": ", ".join(kinds)}
            )
        only_warns = {"max_age", "duplicate", "unmanaged"} & set(kinds)
        if only_warns and self.then != "warn":
            raise PydanticCustomError(
                "only_warns", "a rule with {kind} can only warn; write then: warn", {"kind": kinds[0]}
            )
        if self.require is not None and (self.require.owner, self.require.name) == (None, None):
            raise PydanticCustomError("requires_nothing", "require names nothing; write owner: true, or name: GLOB")
        # Selectors without a check forbid what they select: without those as well, everything.
        if not kinds and not self.chosen():
            raise PydanticCustomError("hits_all", "selects everything and checks nothing; write a selector or a check")
        if self.max_age is not None and self.max_age < timedelta(days=1):
            raise PydanticCustomError("young", "max_age is at least 1d")
        if self.min_length and self.max_length and self.min_length > self.max_length:
            raise PydanticCustomError("lengths", "min_length is above max_length")
        if self.unmanaged and set(self.chosen()) & {"source", "path", "job"}:
            raise PydanticCustomError("no_source", "what nobody manages has no source, path or job to select by")
        return self

    def checks(self) -> list[str]:
        """The kinds of check that were written."""
        # One kind, because all three are judged at once where a value is read.
        value = [key for key in ("min_length", "max_length", "placeholder") if getattr(self, key) is not None]
        others = [key for key in ("max_age", "duplicate", "require", "unmanaged") if getattr(self, key) is not None]
        return [*(["value"] if value else []), *others]
