"""What the events of the audit trail are called."""

from __future__ import annotations

EVENTS = (
    "access.denied", "audit.opened", "audit.pruned", "audit.shipped", "audit.unshipped", "config.loaded",
    "config.refused", "drift.found", "drift.restored", "finding.ended", "job.paused", "job.resumed", "ledger.imported",
    "limit.withheld", "mount.accepted", "orphan.found", "owner.renamed", "secret.adopted", "secret.create",
    "secret.delete", "secret.denied", "secret.forgotten", "secret.frozen", "secret.held", "secret.released",
    "secret.rolled_back", "secret.thawed", "secret.update", "site.joined",
)  # fmt: skip
"""All events of the audit trail; docs/audit.md says when each is written."""
