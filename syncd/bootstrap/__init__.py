"""Settings to live objects."""
