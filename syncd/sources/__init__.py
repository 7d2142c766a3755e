"""Where secrets come from: one package or module per kind of source."""

PAGE = 100
"""Secrets that one ListSecrets call tells of at most (AWS reference)."""
