"""syncd keeps the Wix Secrets Vault of a company's sites true to the company's real vaults."""

__version__ = "0.1.0"
