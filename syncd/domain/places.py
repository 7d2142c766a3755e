"""Where a path of a source lies, and which secret it means: which mount of Vault, which account and region of AWS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from syncd.domain.arn import SecretArn, name_in

ACCOUNT = "account"
"""What stands for a mount where AWS is the source: the region and account that its secrets are of."""
ARN_OF = "arn:"
"""How the place of a secret begins that is named by its ARN: its own region and account follow."""
KV2_CALLS = {"data", "metadata", "delete", "undelete", "destroy"}
"""What follows the mount in the paths of KV v2's API."""


def place_of(mounts: Mapping[str, str], path: str) -> str:
    """The id of the mount or account that a path lies in; empty where it was never learnt.

    `mounts`: those of the path's source, each with its id.
    """
    arn = SecretArn.parse(path)
    return arn.owner if arn is not None else mounts.get(_mount_of(mounts, path), "")


def secret_at(mounts: Mapping[str, str], path: str) -> tuple[str, str] | None:
    """Which secret a path means, however it is spelled: its place's id, and its name there.

    A name at AWS and its ARN mean one secret; so do two paths where a Vault mount was moved. None where the place was
    never learnt.
    """
    place = place_of(mounts, path)
    mount = _mount_of(mounts, path)
    name = path.removeprefix(mount) if mount.endswith("/") else name_in(path)
    return (place, name) if place else None


def lies_in(path: str, place: str) -> bool:
    """Is a path, or what it lies in, this place: its folder, its mount, its account?"""
    arn = SecretArn.parse(path)
    account = f"{ARN_OF}{arn.owner}" if arn is not None else ACCOUNT
    return place in {path, account} or (place.endswith("/") and path.startswith(place))


def spellings(
    path: str, secret: tuple[str, str] | None, mounts: Mapping[str, str], named: Iterable[str]
) -> frozenset[str]:
    """What a secret may be called at a source: as it is, by its name, as rules name it, in each mount of its place.

    `secret`: which one the path means, as `secret_at` tells it. `mounts`: those of the source. `named`: whole paths
    that rules name. What is known to be another secret there is left out.
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
