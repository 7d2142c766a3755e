"""HashiCorp Vault and OpenBao."""

from syncd.sources.vault.auth import Login
from syncd.sources.vault.client import VaultClient
from syncd.sources.vault.server import Server
from syncd.sources.vault.source import VaultSource

__all__ = ["Login", "Server", "VaultClient", "VaultSource"]
