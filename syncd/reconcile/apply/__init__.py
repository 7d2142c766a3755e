"""Requests in flight, and what each outcome makes of a record."""
