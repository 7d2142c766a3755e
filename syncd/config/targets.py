"""Where secrets go: the settings of a Wix site."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from syncd.config.addresses import Address, CaFile, Proxy
from syncd.config.fields import VISIBLE, BodyCredential, Credential, RateText, Strict, parse_duration
from syncd.config.governance import LabelKey

BASE_URL = "https://www.wixapis.com/_api/cloud-secrets-vault-server"


class ApiKeyAuth(Strict):
    """An API key for one site."""

    method: Literal["api_key"] = Field(description="The way to log in", examples=["api_key"])
    site_id: str = Field(
        min_length=1, pattern=VISIBLE, description="The site", examples=["5f1c9b6e-0000-4000-8000-000000000001"]
    )
    api_key: Credential = Field(
        description="A key with the permission Manage Secrets", examples=[{"env": "WIX_API_KEY"}]
    )


class AppAuth(Strict):
    """A Wix app's client credentials; the instance is the site."""

    method: Literal["app"] = Field(description="The way to log in", examples=["app"])
    app_id: str = Field(
        min_length=1, pattern=VISIBLE, description="The app", examples=["6f1c9b6e-0000-4000-8000-000000000001"]
    )
    instance_id: str = Field(
        min_length=1,
        pattern=VISIBLE,
        description="The app's instance on the site",
        examples=["7f1c9b6e-0000-4000-8000-000000000001"],
    )
    app_secret: BodyCredential = Field(
        description="The app's secret", examples=[{"file": "/run/secrets/wix/app-secret"}]
    )


class WixSettings(Strict):
    """A Wix site."""

    type: Literal["wix"] = Field(description="The kind of target", examples=["wix"])
    auth: Annotated[ApiKeyAuth | AppAuth, Field(discriminator="method")] = Field(
        description="How to log in",
        examples=[
            {"method": "api_key", "site_id": "5f1c9b6e-0000-4000-8000-000000000001", "api_key": {"env": "WIX_API_KEY"}}
        ],
    )
    base_url: Address = Field(
        BASE_URL,
        description="The secrets service; an app's token comes from its origin",
        examples=["http://127.0.0.1:8081"],
    )
    ca_file: CaFile = Field(
        "",
        description="PEM file of CA certificates to believe beside the usual ones",
        examples=["/etc/ssl/company.pem"],
    )
    proxy: Proxy = None
    rate_limit: RateText = Field(
        "190/1m",
        description="Requests in a time, shared by all that use the ledger; Wix allows 200 a minute",
        examples=["190/1m"],
    )
    labels: dict[LabelKey, str] = Field(
        default_factory=dict, description="What rules and rights select by", examples=[{"env": "prod", "team": "shop"}]
    )
    name_profile: Literal["api", "dashboard"] = Field(
        "api",
        description="With dashboard, only names that the Wix dashboard can edit (40 of A-Z a-z 0-9 _ -)",
        examples=["dashboard"],
    )

    def requests_per_second(self) -> float:
        """The rate limit as a number."""
        count, _, span = self.rate_limit.partition("/")
        return float(int(count) / parse_duration(span).total_seconds())

    @property
    def site(self) -> str:
        """The site's own identity."""
        # Records, locks and rate limits go by it, so that a renamed target forgets nothing.
        return self.auth.site_id if isinstance(self.auth, ApiKeyAuth) else self.auth.instance_id
