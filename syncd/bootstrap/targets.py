"""Targets as configured; all that are reached the same way share their connections."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from syncd.bootstrap.credentials import proxy_of, reader
from syncd.config.fields import parse_duration
from syncd.config.settings import ApiKeyAuth, WixSettings
from syncd.domain.ports import Target, TellWait
from syncd.ledger.request_quota import Quota
from syncd.reconcile.run_job import MOST_SITES
from syncd.reconcile.runtime import WORKERS

QuotaOf = Callable[[str, int, Any], Quota]
"""Makes the quota of a target: its name, how many requests, and within what time."""


@dataclass(slots=True, kw_only=True)
class TargetFactory:
    """Makes targets, and keeps their clients."""

    site_of: Callable[[str], str]
    quota_of: QuotaOf
    stop: threading.Event
    waits: TellWait
    on_request: Callable[[str, str, str], None]
    """Given target, method and status of each request, for the metrics."""
    _clients: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    """One client for each base URL, CA and proxy."""

    def make(self, name: str, settings: WixSettings) -> Target:
        """A target, not asked yet. Raises `ConfigError` for a missing credential."""
        from syncd.targets.wix.retries import Line
        from syncd.targets.wix.target import WixTarget

        client = self._client(name, settings)
        count, _, span = settings.rate_limit.partition("/")
        window = parse_duration(span)
        line = Line(
            name=name,
            site=self.site_of(name),
            base_url=settings.base_url,
            client=client,
            auth=_auth(name, settings, client),
            quota=self.quota_of(name, int(count), window),
            window_seconds=window.total_seconds(),
            stop=self.stop,
            on_request=lambda method, status: self.on_request(name, method, status),
            waits=self.waits,
            profile=settings.name_profile,
        )
        return WixTarget(line)

    def _client(self, name: str, settings: WixSettings) -> Any:
        from syncd.targets.wix.http import CALL_SECONDS
        from syncd.transport.httpx_client import client_for

        way = (settings.base_url, settings.ca_file, str(settings.proxy or ""))
        if way not in self._clients:
            proxy = proxy_of(f"targets.{name}.proxy", settings.proxy)
            # As many as may be under way at once: a smaller pool would let sites wait for each other.
            connections = MOST_SITES * WORKERS
            self._clients[way] = client_for(
                settings.base_url,
                seconds=CALL_SECONDS,
                connections=connections,
                ca_file=settings.ca_file,
                proxy=proxy.reveal() if proxy else None,
            )
        return self._clients[way]

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()


def _auth(name: str, settings: WixSettings, client: Any) -> Any:
    """How the target logs in; its credential is read once now, so that a missing one is reported at once."""
    from syncd.targets.wix import auth as wix

    given = settings.auth
    if isinstance(given, ApiKeyAuth):
        key = reader(f"targets.{name}.auth.api_key", given.api_key)
        key()
        return wix.ApiKeyAuth(given.site_id, key)
    secret = reader(f"targets.{name}.auth.app_secret", given.app_secret)
    secret()
    parts = urlsplit(settings.base_url)
    app = wix.App(app_id=given.app_id, instance_id=given.instance_id, secret=secret)
    return wix.AppAuth(client, f"{parts.scheme}://{parts.netloc}/oauth2/token", app)
