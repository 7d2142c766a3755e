"""Connections of requests with bounded answers, for the sessions that mount them."""

from __future__ import annotations

from typing import Any

import urllib3
import urllib3.connection
from requests.adapters import HTTPAdapter

from syncd.transport.urllib3_limits import BoundedResponse


class _HttpConnection(urllib3.connection.HTTPConnection):
    response_class = BoundedResponse


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    response_class = BoundedResponse


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class BoundedAdapter(HTTPAdapter):
    """Give a session of requests connections with bounded answers; other sessions keep their own."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Called by requests: make its pools, of connections that are bounded."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Make the pools that lead through a proxy."""
        # requests makes the pools of a proxy apart from the others: what comes through it would not be bounded.
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager
