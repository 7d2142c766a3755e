"""Which listed paths are read in an older version, because a person rolled their secrets back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncd.domain import Rule, Snapshot, SourceEntry, version_label
from syncd.domain.decisions import Rollback
from syncd.domain.naming import selects_path
from syncd.domain.places import secret_at


@dataclass(slots=True)
class RolledBack:
    """The rollbacks of one source, and what of it they were found to hold."""

    by_path: Mapping[str, Rollback]
    by_secret: Mapping[tuple[str, str], Rollback]
    """All rollbacks by secret: one may have been made under another name of its source, or in another spelling."""
    words: dict[str, str] = field(default_factory=dict)
    """The listed paths that are read in an older version, each with the words that say so."""
    newest: dict[str, str] = field(default_factory=dict)
    """By each of those paths, the token of its newest version at the source."""

    def as_wanted(self, entry: SourceEntry, snapshot: Snapshot) -> SourceEntry:
        """Return the entry with the version that a person rolled it back to, and note that.

        Without a rollback the entry stays as it is; so does one that a rule pins.
        """
        path = entry.ref.path
        # The same path of another mount or account is another secret, whatever its source was called.
        secret = secret_at({snapshot.mount: snapshot.mount_id}, path)
        rollback = self.by_path.get(path) or (self.by_secret.get(secret) if secret else None)
        if rollback is None or entry.pin or entry.version is None:
            return entry
        newest = version_label(entry.version.token)
        self.newest[path] = entry.version.token
        waits = f"; {newest} at the source waits" if newest != rollback.label else ""
        self.words[path] = f"{rollback}{waits}"
        # The listed date is of the newest version, not of this one.
        return replace(entry, version=rollback.version, read_as=rollback.label, updated_at=None)

    def selected(self, rules: Sequence[Rule], mounts: Mapping[str, str]) -> frozenset[str]:
        """The rolled back paths that the rules select, listed or not. `mounts`: where the listings were made."""
        paths = {*self.by_path, *(rule.path.text for rule in rules)}
        for place, name in self.by_secret:
            paths |= {f"{mount if mount.endswith('/') else ''}{name}" for mount in mounts if mounts[mount] == place}
        paths = {path for path in paths if path in self.by_path or secret_at(mounts, path) in self.by_secret}
        return frozenset(path for path in paths if any(selects_path(rule, path) for rule in rules))

    def former_paths(self, selected: Iterable[str], mounts: Mapping[str, str]) -> frozenset[str]:
        """Return how the selected paths were spelled when they were rolled back; a rule may spell them otherwise."""
        secrets = {secret_at(mounts, path) for path in selected}
        return frozenset(item.path for secret, item in self.by_secret.items() if secret in secrets)
