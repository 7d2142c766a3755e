"""The protocols by which the HTTP server asks the daemon; it knows nothing else of the daemon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from syncd.web.principal import Principal


class Accounts(Protocol):
    """Who may come in. A token that cannot be read lets nobody in.

    Methods raise `SyncdError` if they need the ledger and it cannot be used; `denied` raises nothing.
    """

    def by_token(self, token: str) -> Principal | None:
        """The principal that a token belongs to, as configured now."""

    def by_proxy(self, headers: Mapping[str, str], address: str) -> Principal | None:
        """Whom the authenticating proxy names, if the request comes from it."""

    def by_session(self, session: str) -> Principal | None:
        """The principal of a session, as long as it and its token last."""

    def log_in(self, token: str) -> str | None:
        """Begin a session. Returns: its id; None for an unknown token."""

    def log_out(self, session: str) -> None:
        """End a session."""

    def denied(self, who: Principal | None, what: str) -> None:
        """Note that somebody was refused."""


class Reading(Protocol):
    """What pages and the API show to those who may read. All raise `SyncdError`."""

    def overview(self, who: Principal) -> dict[str, Any]:
        """Return what a person has to look at, and each job on each of its sites."""

    def secrets(self, who: Principal, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return one page of the secrets that fit `asked`.

        Raises `ConfigError` for a filter's value that is not offered.
        """

    def choices(self, who: Principal) -> dict[str, list[str]]:
        """What the filters of the pages offer: jobs, targets, rules."""

    def where(self, who: Principal, path: str) -> list[dict[str, Any]]:
        """On which sites a path's secrets are. Raises `ConfigError` for a path that no site has."""

    def secret(self, who: Principal, site: str, name: str) -> dict[str, Any] | None:
        """One secret's story."""

    def governance(self, who: Principal) -> Any:
        """Return the rules with their hits, the oldest values, secrets that nobody manages, drift, and exceptions.

        The page shows them as they are. Raises `LedgerBusy` while a large ledger is gone through for the first time.
        """

    def activity(self, who: Principal, asked: Mapping[str, str]) -> dict[str, Any]:
        """Lines of the audit trail, and the head of each chain."""

    def jobs(self, who: Principal) -> list[dict[str, Any]]:
        """Jobs and their last runs."""

    def held(self, who: Principal) -> list[dict[str, Any]]:
        """What waits for a release, by batch."""

    def report(self, who: Principal, form: str, part: str = "") -> tuple[str, str]:
        """Return the report as text, and its media type. `form`: json, csv, md or html; `part`: which of it as CSV.

        Raises `ConfigError` for an unknown form or part.
        """


class Acting(Protocol):
    """What somebody may do. All raise `SyncdError`; all but `plan` return what came of it, in words."""

    def release(self, who: Principal, batch: str, reason: str) -> str:
        """Let a batch go."""

    def pause(self, who: Principal, scope: tuple[str, str], until: str, reason: str) -> str:
        """Pause a job, a target or all. `scope`: which of these, and its name; `until`: the end, or empty."""

    def resume(self, who: Principal, scope: tuple[str, str], reason: str = "") -> str:
        """End a pause."""

    def rollback(self, who: Principal, asked: Mapping[str, Any], reason: str) -> str:
        """Give sites an older version, or end such a rollback.

        `asked`: `what` (a name or path) with `to` (a version) and `until`, or with `end`; or `job` with `since` and
        `until`, for all that the job updated since then.
        """

    def freeze(self, who: Principal, asked: Mapping[str, str], reason: str) -> str:
        """Leave a secret alone, or (without `until`) thaw it; `asked`: site, name, until."""

    def sync(self, who: Principal, job: str, reason: str = "") -> str:
        """Let a job run soon."""

    def plan(self, who: Principal, configuration: str) -> dict[str, Any]:
        """Return what a candidate configuration would do, as the content of a plan file."""


class Service(Accounts, Reading, Acting, Protocol):
    """All that the web server may ask of the daemon: accounts, pages, actions, probes, reload."""

    def ready(self) -> list[str]:
        """What is still missing; empty when ready."""

    def status(self, who: Principal | None) -> dict[str, Any]:
        """Jobs and counts; names and messages within the rights, and for None, a stranger, none."""

    def metrics(self) -> bytes:
        """All metrics, in the text format that Prometheus reads."""

    def metrics_are_open(self) -> bool:
        """May everybody read the metrics?"""

    def trigger(self, job: str, who: Principal) -> str:
        """Let a job run soon. Returns: what was done; empty for a job not scheduled, or not within the rights."""

    def wake(
        self,
        paths: Iterable[tuple[str | None, str]],
        who: Principal,
        expected: Mapping[tuple[str, str], int] | None = None,
    ) -> str:
        """Let the jobs run soon that sync one of these paths.

        `paths`: pairs of a namespace (None: any) and a source path. `expected`: those that have changed, as an event
        says, each with its new version (0: not told). Returns: what was done; empty if no scheduled job syncs any.
        """

    def configuration(self) -> str:
        """What is wrong with the configuration that the daemon works with; empty if nothing is."""

    def reload(self, who: Principal) -> None:
        """Load the configuration again. Raises `SyncdError`, keeping the old one."""

    def bug(self, route: str, error: Exception) -> None:
        """Note that a request ended in a bug of syncd. `route`: which kind of request, without names."""
