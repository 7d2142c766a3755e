"""What is shown while syncd works: logs, metrics and traces, never a value."""

import sys

if not {"structlog", "rich"} & set(sys.modules):
    # structlog takes rich along for tracebacks that are never shown here: 5 MB and 40 ms of every start.
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog as structlog
    finally:
        del sys.modules["rich"]
