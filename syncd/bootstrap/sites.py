"""Which real site each target is, and by what keys and names that site goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from syncd.domain.governance import SiteNames


class Sites:
    """The sites of a configuration, under the keys that the ledger has them by."""

    def __init__(
        self,
        targets: Mapping[str, str],
        jobs: Mapping[str, Iterable[str]],
        joined: Mapping[str, str],
        aliases: Callable[[], Mapping[str, str]],
    ) -> None:
        """`targets`: the key of its site by target. `jobs`: targets by job.

        `joined`: the key of today by each key that a person joined to it. `aliases`: returns the key of today by each
        key that a site ever had, as the ledger knows them now.
        """
        self._written = frozenset(targets.values())
        self._aliases = aliases
        self._site = {name: joined.get(key, key) for name, key in targets.items()}
        # Reversed, so that the first target on a site is the one that stays. Asked once a secret: no list is searched.
        self._first = {site: name for name, site in reversed(self._site.items())}
        self._first_of = {job: {self._site[name]: name for name in reversed(list(of))} for job, of in jobs.items()}

    def of(self, target: str) -> str:
        """The site's identity that the ledger keeps a target's records under. Raises `KeyError`."""
        return self._site[target]

    def first_target(self, site: str, job: str) -> str:
        """Return the target that a job's secrets on a site are counted for.

        It is the job's first target on the site, else the site's first target; where none is configured, the site's
        key.
        """
        return self._first_of.get(job, {}).get(site) or self._first.get(site, site)

    def keys(self) -> dict[str, frozenset[str]]:
        """Return every key of each site: those of its targets, and those that the ledger joined to it."""
        found: dict[str, set[str]] = {}
        known = self._aliases()
        for key in {*self._written, *known}:
            site = known.get(key, key)
            found.setdefault(site, {site}).add(key)
        return {site: frozenset(keys) for site, keys in found.items()}

    def names(self) -> dict[str, SiteNames]:
        """Return each site's names: its keys, and its targets."""
        return {
            site: SiteNames(keys, frozenset(name for name, of in self._site.items() if of == site))
            for site, keys in self.keys().items()
        }

    def keys_of_targets(self) -> dict[str, frozenset[str]]:
        """Every key that the site of each target is known under."""
        keys = self.keys()
        return {name: keys.get(site, frozenset({site})) for name, site in self._site.items()}
