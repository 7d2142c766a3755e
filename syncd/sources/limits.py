"""Limits of listings that several modules share."""

PAGE = 100
"""Secrets that one ListSecrets call tells of at most (AWS reference)."""
LISTING_SECONDS = 120.0
"""Longest time for the listing of one rule, in seconds: a peer whose listing never ends is given up."""
