"""The ledger: which id at Wix is ours, from which source version, and what is under way."""
