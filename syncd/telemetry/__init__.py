"""What is shown while syncd works: logs and metrics, never a value."""
