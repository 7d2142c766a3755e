"""Jobs: which secrets go to which sites, when, and what is allowed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from syncd.config.cron import fires, longest_gap, usual_gap
from syncd.config.fields import Duration, Key, LimitText, Strict
from syncd.domain.windows import Window


class Schedule(Strict):
    """When a job runs by itself."""

    every: Duration | None = Field(None, description="The time from one run to the next", examples=["5m", "1h"])
    cron: str | None = Field(
        None, description="Five fields, as in a Kubernetes CronJob, or @hourly and the like", examples=["*/10 * * * *"]
    )
    timezone: str = Field("UTC", description="The time zone of `cron`", examples=["Europe/Berlin"])

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.every is None) == (self.cron is None):
            raise PydanticCustomError("schedule", "write either every: 5m or cron: '*/10 * * * *'")
        if self.every is not None and self.every < timedelta(seconds=1):
            raise PydanticCustomError("schedule", "every is at least 1s")
        try:
            zone = ZoneInfo(self.timezone)
        # OSError: the name of a folder of the zone data, such as Europe.
        except (KeyError, ValueError, OSError):
            # No abbreviation is near another one: CEST and EST are hours apart.
            zones = {zone for zone in available_timezones() if "/" in zone} | {"UTC"}
            near = get_close_matches(self.timezone, sorted(zones), n=1, cutoff=0.6)
            meant = f"did you mean {near[0]}?" if near else "write one such as Europe/Berlin"
            raise PydanticCustomError("timezone", "no known time zone; {meant}", {"meant": meant}) from None
        if self.cron is not None:
            try:
                # 30 February can be read, and never comes.
                next(fires(self.cron, datetime(2026, 1, 1, tzinfo=zone)))
            except (ValueError, StopIteration):
                raise PydanticCustomError("cron", "not a cron line that ever fires; five fields, or @hourly") from None
        return self

    def interval(self) -> timedelta:
        """Return the time from one run to the next; of a cron line, the shortest usual one."""
        if self.every is not None:
            return self.every
        # From a fixed day, so that the interval, and with it the grace, is the same whenever it is asked for.
        return usual_gap(str(self.cron), datetime(2026, 1, 1, tzinfo=UTC))

    def longest_gap(self) -> timedelta:
        """The longest time from one run to the next: over a night or a weekend that a cron line leaves out."""
        return self.every or longest_gap(str(self.cron), datetime(2026, 1, 1, tzinfo=UTC))


class SecretRule(Strict):
    """One rule: which secrets, and their names at Wix."""

    path: str = Field(
        min_length=1,
        max_length=1000,
        description="Vault: the mount, then a glob; AWS: a glob over names, or a whole ARN",
        examples=["secret/payments/**", "prod/feeds/*"],
    )
    mount: str | None = Field(
        None,
        description="Vault: which part of the path is the mount; the server is asked if left out",
        examples=["secret/"],
    )
    exclude: list[str] = Field(
        default_factory=list,
        description="Globs over whole paths that are left out",
        examples=[["secret/payments/test/**"]],
    )
    field: str | None = Field(
        None,
        min_length=1,
        description="One field; left out: each of a Vault secret, the whole of an AWS one; *: each key of AWS JSON",
        examples=["api_key", "*"],
    )
    format: Literal["json"] | None = Field(
        None, description="Vault: the whole secret as one JSON value", examples=["json"]
    )
    binary: Literal["base64"] | None = Field(
        None, description="AWS: how a binary secret becomes text", examples=["base64"]
    )
    tags: dict[str, str] = Field(
        default_factory=dict, description="AWS: only secrets that carry these tags", examples=[{"sync": "wix"}]
    )
    name: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="The name at Wix: {source} {mount} {path} {basename} {field}; {path}_{field} if left out",
        examples=["PAY_{path}_{field}"],
    )
    description: str | None = Field(
        None,
        max_length=500,
        description="The description at Wix, before the mark; with the same placeholders",
        examples=["Stripe key"],
    )
    value: str | None = Field(
        None,
        min_length=1,
        max_length=4000,
        description="One secret of several fields, each with |url, |json or |base64 where needed",
        examples=["postgres://{user}:{password|url}@{host}/{db}"],
    )
    # To Vault 0 is the newest version, which is no pin.
    version: int | None = Field(None, ge=1, description="Vault: this version and no other", examples=[3])
    stage: str | None = Field(
        None, min_length=1, description="AWS: the version of this staging label", examples=["AWSPREVIOUS"]
    )


class Guard(Strict):
    """Limits of a rolling day; over one, its class of actions is withheld whole."""

    # Most mass deletions are mistakes: a wrong policy, an unmounted engine, a renamed folder.
    max_deletes: LimitText = Field(
        "10%",
        description="Deletions: a number, or a share of the job's and of the site's secrets",
        examples=["10%", 20],
    )
    # Off by default, because a mass rotation is legitimate.
    max_updates: LimitText | None = Field(
        None,
        description="Updates: new versions sent, the second one of a secret as well; no limit if left out",
        examples=["50%"],
    )
    max_creates: LimitText | None = Field(None, description="Creations; no limit if left out", examples=[100])


def _window(text: str) -> str:
    try:
        Window.parse(text)
    except ValueError as error:
        raise PydanticCustomError("window", "no window: {why}", {"why": str(error)}) from None
    return text


WindowText = Annotated[str, AfterValidator(_window)]


class WindowSettings(Strict):
    """When a job may send."""

    allow: list[WindowText] = Field(
        min_length=1,
        description="Days, hours and a time zone; outside of all of them nothing is sent",
        examples=[["Mon-Fri 08:00-18:00 Europe/Berlin"]],
    )
    except_: list[Literal["create", "update", "delete"]] = Field(
        default_factory=list, alias="except", description="What goes at any time", examples=[["update"]]
    )


class JobSettings(Strict):
    """Which secrets of a source go to which sites, when, and what is allowed."""

    source: Key = Field(description="One of `sources`", examples=["vault"])
    targets: list[Key] = Field(min_length=1, description="Some of `targets`", examples=[["shop", "outlet"]])
    schedule: Schedule | None = Field(
        None, description="When `syncd run` runs it; by hand only if left out", examples=[{"every": "5m"}]
    )
    secrets: list[SecretRule] = Field(
        min_length=1, description="The rules", examples=[[{"path": "secret/payments/**"}]]
    )
    # Destruction needs consent: nothing is deleted unless the job says so.
    deletion_policy: Literal["keep", "delete"] = Field(
        "keep", description="What happens at Wix to what is gone at the source", examples=["delete"]
    )
    deletion_grace: Duration = Field(
        timedelta(hours=24), description="Observed absence before a deletion", examples=["24h", "7d"]
    )
    # What others put on the site is theirs, unless the job says otherwise.
    conflict_policy: Literal["report", "adopt"] = Field(
        "report", description="What happens where somebody else's secret has the name", examples=["adopt"]
    )
    drift_policy: Literal["restore", "report"] = Field(
        "restore", description="What happens to a secret that somebody changed at Wix", examples=["report"]
    )
    # Versions and dates miss what somebody changed within two seconds of our own write; a comparison sees it.
    verify_every: Duration = Field(
        timedelta(hours=24),
        description="How often each secret is read again and compared; 0s for never",
        examples=["24h"],
    )
    windows: WindowSettings | None = Field(
        None,
        description="When it may send, restores and repeats included; always if left out",
        examples=[{"allow": ["Mon-Fri 08:00-18:00 Europe/Berlin"], "except": ["update"]}],
    )
    objective: Duration | None = Field(
        None, description="How long after a new source version every site must have it", examples=["10m"]
    )
    guard: Guard = Field(
        default=Guard.model_validate({}), description="Limits of a rolling day", examples=[{"max_deletes": "10%"}]
    )
