"""A Wix site, through httpx."""
