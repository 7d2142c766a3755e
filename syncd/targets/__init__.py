"""Where secrets go: a site's Wix Secrets Vault."""
