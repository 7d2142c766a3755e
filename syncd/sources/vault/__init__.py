"""HashiCorp Vault and OpenBao: KV v2 and v1 through hvac."""

from syncd.sources.vault.auth import Login
from syncd.sources.vault.client import VaultClient
from syncd.sources.vault.source import VaultSource

__all__ = ["Login", "VaultClient", "VaultSource"]
