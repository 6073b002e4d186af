"""Select the reports that get a receipt: those from people of a site. Rule D98."""

from __future__ import annotations

from typing import Final

from schemas.alerts import ReportRow
from services.console.resources import Report

OF_PEOPLE: Final = frozenset({"native", "sms", "poster"})
"""Dialects in which people report. A machine waits for no receipt."""
MOST: Final = 200
"""Reports that one reading marks: the next one goes on."""


def has_receipt(report: ReportRow | Report) -> bool:
    """Tell whether somebody at a site waits to know that the cell has read the report."""
    return report.site is not None and report.dialect in OF_PEOPLE
