"""Where secrets come from: one package or module per kind of source."""

PAGE = 100
"""Secrets that one ListSecrets call tells of at most (AWS reference)."""
LISTING_SECONDS = 120.0
"""For one rule's listing: a peer that goes on for ever is left."""
