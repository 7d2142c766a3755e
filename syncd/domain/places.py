"""Where a path of a source lies, and which secret it means: which mount of Vault, which account and region of AWS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from syncd.domain.arn import SecretArn, name_in

ACCOUNT = "account"
"""The name that stands in the place of a mount where AWS is the source; its id is the region and account."""
ARN_OF = "arn:"
"""Prefix of the place of a secret that is named by its ARN; the ARN's own region and account follow it."""
KV2_CALLS = {"data", "metadata", "delete", "undelete", "destroy"}
"""What follows the mount in the paths of KV v2's API."""


def place_of(mounts: Mapping[str, str], path: str) -> str:
    """Return the id of the mount or account that a path lies in; empty where the ledger never learnt it.

    `mounts`: the known mounts of the path's source, each with its id.
    """
    arn = SecretArn.parse(path)
    return arn.owner if arn is not None else mounts.get(_mount_of(mounts, path), "")


def secret_at(mounts: Mapping[str, str], path: str) -> tuple[str, str] | None:
    """Return which secret a path means, however it is spelled: the id of its place, and its name there.

    A name at AWS and its ARN mean one secret; so do two paths where a Vault mount was moved. None where the place was
    never learnt. `mounts`: the known mounts of the path's source, each with its id.
    """
    place = place_of(mounts, path)
    mount = _mount_of(mounts, path)
    name = path.removeprefix(mount) if mount.endswith("/") else name_in(path)
    return (place, name) if place else None


def lies_in(path: str, place: str) -> bool:
    """Does a path lie in this place? A place is the path itself, a folder or mount above it, or its account."""
    arn = SecretArn.parse(path)
    account = f"{ARN_OF}{arn.owner}" if arn is not None else ACCOUNT
    return place in {path, account} or (place.endswith("/") and path.startswith(place))


def spellings(
    path: str, secret: tuple[str, str] | None, mounts: Mapping[str, str], named: Iterable[str]
) -> frozenset[str]:
    """Return what a secret may be called at a source: its path, its name, rules' spellings, its path in each mount.

    `secret`: which secret the path means, as `secret_at` tells it. `mounts`: the known mounts of the source. `named`:
    whole paths that rules name. A text that is known to mean another secret is left out.
    """
    name = name_in(path)
    found = {path, name, *(text for text in named if name_in(text) == name)}
    if secret is None:
        return frozenset(found)
    place, within = secret
    found |= {within if mount == ACCOUNT else mount + within for mount, at in mounts.items() if at == place}
    return frozenset(item for item in found if secret_at(mounts, item) in {None, secret})


def _mount_of(mounts: Mapping[str, str], path: str) -> str:
    # Another account's secret that a rule names by its ARN has a place of its own, in which no plain name lies.
    within = [mount for mount in mounts if (path.startswith(mount) if mount.endswith("/") else mount == ACCOUNT)]
    return max(within, key=len, default="")
