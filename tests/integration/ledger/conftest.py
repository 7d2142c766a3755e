"""What the tests of a ledger share."""

from tests.support.empty_ledgers import state, template
from tests.support.in_memory import tmp_path

__all__ = ["state", "template", "tmp_path"]
