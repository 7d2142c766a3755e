"""The checksum of a ledger's row, over the columns that its table has."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any


def seal_of(row: Mapping[str, Any]) -> int:
    told = sorted((key, value) for key, value in row.items() if key != "seal")
    return zlib.crc32(repr(told).encode("utf-8", "surrogatepass"))
