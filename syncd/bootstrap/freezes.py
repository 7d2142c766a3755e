"""Freezes of single secrets: put and ended by commands and by the page, under the lock of the secret's site."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from syncd.domain import Record
from syncd.domain.audit import entry_about
from syncd.ledger.journal import SiteJournal


def freeze(journal: SiteJournal, record: Record, until: datetime) -> None:
    """Leave a secret alone until then. Raises `LedgerError`."""
    decision = entry_about("secret.frozen", record, until=f"{until:%Y-%m-%dT%H:%M:%SZ}")
    journal.protect(replace(record, frozen_until=until, status="frozen"), decision)


def thaw(journal: SiteJournal, record: Record) -> None:
    """End a freeze. Raises `LedgerError`."""
    # Nobody looked meanwhile: whether it is as its source says is for the next cycle to tell.
    status = "behind" if record.status == "frozen" else record.status
    journal.protect(replace(record, frozen_until=None, status=status), entry_about("secret.thawed", record))
