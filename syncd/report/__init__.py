"""What the ledger tells about all secrets: rules and what they hit, the inventory, the auditor's evidence."""
