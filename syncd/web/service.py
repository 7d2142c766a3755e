"""What the HTTP side asks of the daemon. It knows no more of it than this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from syncd.web.principal import Principal


class Accounts(Protocol):
    """Who may come in. All raise `SyncdError` where a credential or the ledger cannot be read."""

    def by_token(self, token: str) -> Principal | None:
        """The principal that a token belongs to, as configured now."""

    def by_proxy(self, headers: Mapping[str, str], address: str) -> Principal | None:
        """Whom the authenticating proxy names, if the request comes from it."""

    def by_session(self, session: str) -> Principal | None:
        """The principal of a session, as long as it and its token last."""

    def log_in(self, token: str) -> str | None:
        """Begin a session. Returns: its id; None for an unknown token."""

    def log_out(self, session: str) -> None:
        """End it."""

    def denied(self, who: Principal | None, what: str) -> None:
        """Note that somebody was refused."""


class Reading(Protocol):
    """What pages and the API show to those who may read. All raise `SyncdError`."""

    def overview(self, who: Principal) -> dict[str, Any]:
        """What needs somebody, and jobs by sites."""

    def secrets(self, who: Principal, asked: Mapping[str, str]) -> dict[str, Any]:
        """A page of secrets. Raises `ConfigError` for an unknown filter."""

    def choices(self, who: Principal) -> dict[str, list[str]]:
        """What the filters of the pages offer: jobs, targets, rules."""

    def where(self, who: Principal, path: str) -> list[dict[str, Any]]:
        """On which sites a path's secrets are. Raises `ConfigError` for a path that no site has."""

    def secret(self, who: Principal, site: str, name: str) -> dict[str, Any] | None:
        """One secret's story."""

    def governance(self, who: Principal) -> Any:
        """The rules with their hits, the oldest values, secrets that nobody manages, drift, and exceptions.

        As the page takes them. Raises `LedgerBusy` while a large ledger is gone through for the first time.
        """

    def activity(self, who: Principal, asked: Mapping[str, str]) -> dict[str, Any]:
        """Lines of the audit trail, and the head of each chain."""

    def jobs(self, who: Principal) -> list[dict[str, Any]]:
        """Jobs and their last runs."""

    def held(self, who: Principal) -> list[dict[str, Any]]:
        """What waits for a release, by batch."""

    def report(self, who: Principal, form: str, part: str = "") -> tuple[str, str]:
        """The report as text, and its media type. `form`: json, csv, md or html; `part`: which of it as CSV."""


class Acting(Protocol):
    """What somebody may do. All raise `SyncdError`; all return what came of it, in words."""

    def release(self, who: Principal, batch: str, reason: str) -> str:
        """Let a batch go."""

    def pause(self, who: Principal, scope: tuple[str, str], until: str, reason: str) -> str:
        """Let something rest. `scope`: job, target or all, and its name."""

    def resume(self, who: Principal, scope: tuple[str, str], reason: str = "") -> str:
        """End a pause."""

    def rollback(self, who: Principal, asked: Mapping[str, Any], reason: str) -> str:
        """Give sites an older version, or end that; `asked`: what, to, until, end; or job, since, until."""

    def freeze(self, who: Principal, asked: Mapping[str, str], reason: str) -> str:
        """Leave a secret alone, or (without `until`) thaw it; `asked`: site, name, until."""

    def sync(self, who: Principal, job: str, reason: str = "") -> str:
        """Let a job run soon."""

    def plan(self, who: Principal, configuration: str) -> dict[str, Any]:
        """What a candidate configuration would do."""


class Service(Accounts, Reading, Acting, Protocol):
    """All that the web server may ask of the daemon: accounts, pages, actions, probes, reload."""

    def ready(self) -> list[str]:
        """What is still missing; empty when ready."""

    def status(self, who: Principal | None) -> dict[str, Any]:
        """Jobs and counts; names and messages within the rights, and for None, a stranger, none."""

    def metrics(self) -> bytes:
        """All metrics, in the text format that Prometheus reads."""

    def metrics_are_open(self) -> bool:
        """May everybody read them?"""

    def trigger(self, job: str, who: Principal) -> str:
        """Start a cycle soon; what was done, empty for an unknown job."""

    def wake(
        self,
        paths: Iterable[tuple[str | None, str]],
        who: Principal,
        expected: Mapping[tuple[str, str], int] | None = None,
    ) -> str:
        """Start the jobs that sync these (namespace or None for any, source path) soon; what was done, or empty."""

    def configuration(self) -> str:
        """What is wrong with the configuration that the daemon works with; empty if nothing is."""

    def reload(self, who: Principal) -> None:
        """Load the configuration again. Raises `SyncdError`, keeping the old one."""

    def bug(self, route: str, error: Exception) -> None:
        """Note that a request ended in a fault of ours. `route`: which kind of request, without names."""
