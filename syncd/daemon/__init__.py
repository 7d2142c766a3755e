"""`syncd run`: the long-running service. The only place that knows APScheduler."""

from syncd.daemon.service import Daemon

__all__ = ["Daemon"]
