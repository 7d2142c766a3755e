"""Where secrets go: a site's Wix Secrets Vault."""

from syncd.transport.lean_imports import without_rich

with without_rich("httpx"):
    import httpx as httpx
