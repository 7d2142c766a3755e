"""What the tests of a ledger share."""

from tests.support.empty_ledgers import state, template

__all__ = ["state", "template"]
