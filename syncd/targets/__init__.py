"""Where secrets go: a site's Wix Secrets Vault."""

from syncd.transport.lean_imports import without_rich

# Here, before a module of this package imports it: a process loads httpx once.
with without_rich("httpx"):
    import httpx as httpx
