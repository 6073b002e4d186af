"""Write lists as CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import Final

from pydantic import BaseModel

MEDIA_TYPE: Final = "text/csv"
_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")
"""First characters with which a spreadsheet takes a cell for a formula."""


def write_csv(items: Iterable[BaseModel], columns: Sequence[str]) -> str:
    """Return the rows as CSV (RFC 4180) with a header; no cell is a formula."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(columns)
    for item in items:
        table.writerow([_write_cell(getattr(item, column)) for column in columns])
    return out.getvalue()


def _write_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value.value if isinstance(value, Enum) else value)
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text
