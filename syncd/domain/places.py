"""Where a path of a source lies: which mount of Vault, which account and region of AWS."""

from __future__ import annotations

from collections.abc import Mapping

from syncd.domain.arn import SecretArn


def place_of(mounts: Mapping[str, str], path: str) -> str:
    """The id of the mount or account that a path lies in; empty where it was never learnt.

    `mounts`: those of the path's source, each with its id.
    """
    arn = SecretArn.parse(path)
    if arn is not None:
        return arn.owner
    # A Vault mount ends in a slash; an AWS account is the whole source.
    within = [mount for mount in mounts if not mount.endswith("/") or path.startswith(mount)]
    return mounts[max(within, key=len)] if within else ""
