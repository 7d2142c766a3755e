"""Another Vault: a mount of the same name in a namespace of its own, as staging and production have it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import hvac

from tests.lab import Bao


@dataclass
class Elsewhere(Bao):
    """All that differs is the mount's identity, and how it is reached."""

    namespace: str = ""

    @property
    def root(self) -> hvac.Client:
        return hvac.Client(self.server.address, token=self.server.token, namespace=self.namespace)


def elsewhere(bao: Bao) -> Elsewhere:
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    bao.root.sys.create_namespace(namespace)
    other = Elsewhere(bao.server, bao.mount, bao.token, namespace)
    other.enable()
    return other
