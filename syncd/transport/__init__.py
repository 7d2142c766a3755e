"""Bounded HTTP and files that only this user may read."""
