"""What a finished cycle leaves in the ledger."""
