"""Where lines of the audit trail are shipped to: stdout, a file, a URL."""
