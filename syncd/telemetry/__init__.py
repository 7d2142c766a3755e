"""What is shown while syncd works: logs, metrics and traces, never a value."""

from syncd.transport.lean_imports import without_rich

with without_rich("structlog"):
    import structlog as structlog
