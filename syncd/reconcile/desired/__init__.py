"""The names and values that the site should hold."""
