"""What the unit tests share."""

from tests.support.in_memory import tmp_path

__all__ = ["tmp_path"]
