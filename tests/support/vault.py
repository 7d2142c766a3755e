"""A Vault source as the contract suite opens it."""

from __future__ import annotations

from syncd.bootstrap.process import now
from syncd.domain import SecretValue
from syncd.sources.vault import Login, Server, VaultClient, VaultSource
from tests.lab import Bao


def vault_source(bao: Bao) -> VaultSource:
    login = Login(method="token", credentials={"token": lambda: SecretValue(bao.token)})
    client = VaultClient(Server(name="vault", address=bao.address), login, now)
    return VaultSource(client, now)
