"""What the HTTP side may ask the daemon, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from syncd.config.settings import VaultSettings
from syncd.daemon.generations import Generations
from syncd.daemon.job_runner import JobRunner
from syncd.daemon.reloads import Reloads
from syncd.daemon.status import Shared, status_of
from syncd.daemon.wakeups import jobs_that_sync
from syncd.domain import SecretValue
from syncd.domain.audit import Actor
from syncd.errors import ConfigError
from syncd.telemetry.logs import logger

STRANGER_SECONDS = 2.0
"""How long an answer that needs no token is given again as it was."""

BY_TOKEN = Actor("token", "token", "POST /-/sync")
VAULT_AUDIT = Actor("event", "vault audit", "POST /hooks/vault-audit")


class Control:
    """Implements the protocol that `syncd.web` is handed."""

    def __init__(self, generations: Generations, runner: JobRunner, reloads: Reloads) -> None:
        self._generations, self._runner, self._reloads = generations, runner, reloads
        self._token_missing = False
        self._for_strangers = Shared(lambda: self._status(names=False), STRANGER_SECONDS)

    def reload(self) -> None:
        """Load the configuration again. Raises `SyncdError`, and the one before goes on."""
        self._reloads.reload()

    def trigger(self, job: str) -> bool:
        """Let a job run soon. Returns: False for a job that is not scheduled."""
        return self._runner.trigger(job, by=BY_TOKEN)

    def wake(self, paths: Iterable[tuple[str | None, str]]) -> list[str]:
        """Let the jobs run soon that sync one of these (namespace or None for any, path). Returns: their names."""
        app = self._generations.current.app
        namespaces = {
            name: source.namespace.strip("/") if isinstance(source, VaultSettings) else None
            for name, source in app.settings.sources.items()
        }
        asked = list(paths)
        by = BY_TOKEN if all(namespace is None for namespace, _ in asked) else VAULT_AUDIT
        woken = jobs_that_sync(app.runtime.jobs, namespaces, asked)
        return [job for job in woken if self._runner.trigger(job, by=by)]

    def token(self) -> SecretValue[str] | None:
        """The bearer token as it is now; None where none is configured.

        Raises `ConfigError`, and logs it once, as long as it stays so.
        """
        server = self._generations.current.app.settings.server
        if server is None or server.token is None:
            return None
        try:
            token = server.token.read("server.token")
        except ConfigError as error:
            if not self._token_missing:
                logger().error("token.unreadable", error=error.message, hint=error.hint)
            self._token_missing = True
            raise
        self._token_missing = False
        return token

    def configuration(self) -> str:
        """What is wrong with the configuration file, while the one before goes on; empty if nothing is."""
        return self._reloads.watch.fault()

    def metrics(self) -> bytes:
        """The exposition, in Prometheus' text format."""
        return self._runner.instruments.metrics.text()

    def ready(self) -> list[str]:
        """Sources and targets of scheduled jobs that no cycle has tried yet; empty when ready."""
        return self._runner.readiness.missing(self._generations.current.app.settings)

    def status(self, *, names: bool) -> dict[str, Any]:
        """Jobs, their last and next run, and counts. A stranger's question costs the same however often it comes."""
        return self._status(names=True) if names else self._for_strangers()

    def _status(self, *, names: bool) -> dict[str, Any]:
        generation = self._generations.current
        app = generation.app
        next_runs = {name: generation.schedule.next_run(name) for name in app.runtime.jobs}
        status = status_of(app.ledger, app.served, app.runtime.clock(), next_runs, names=names)
        fault = self.configuration()
        status["configuration"] = fault if names or not fault else "the file is refused or missing; see the log"
        return {"ready": not self.ready(), **status}
