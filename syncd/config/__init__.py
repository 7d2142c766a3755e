"""The configuration file: its models, its loading, its faults told all at once."""

from syncd.config.loader import json_schema, load
from syncd.config.settings import Settings

__all__ = ["Settings", "json_schema", "load"]
