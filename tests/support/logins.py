"""One site under two logins."""

from __future__ import annotations

import uuid
from typing import Any

from tests.lab import Lab


def by_app(lab: Lab) -> dict[str, Any]:
    """A target for the very same site, by an app's credentials: another key of it."""
    instance = str(uuid.uuid4())
    lab.wix.sites[instance] = lab.site
    app_id, secret = lab.wix.issue_app(instance)
    lab.secret_file(f"secret-{instance}", secret)
    auth = {"method": "app", "app_id": app_id, "instance_id": instance}
    return lab.target("", "") | {"auth": auth | {"app_secret": {"file": str(lab.folder / f"secret-{instance}")}}}


def key_of(target: dict[str, Any]) -> str:
    return target["auth"].get("instance_id") or target["auth"]["site_id"]
