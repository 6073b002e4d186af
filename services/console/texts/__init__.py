"""Codes of the deciders as sentences in the reader's language (fr, en).

Deciders record codes and values (`Why`, `IncidentRow.kind`, facts); only this package words them.
Pure: rows and names in, text out. Names of sites, plans and tasks belong to the territory and stay
in its language.
"""

from services.console.incidents.titles import (
    write_conflict_title,
    write_incident_title,
    write_maintenance_title,
    write_refusal,
    write_task_title,
)
from services.console.logbook.sentences import render_line
from services.console.reassignment.texts import describe_reassignment_reason
from services.console.texts.names import TerritoryNames
from services.console.texts.reasons import ReasonText, describe_reason, write_reason

__all__ = [
    "ReasonText",
    "TerritoryNames",
    "describe_reason",
    "describe_reassignment_reason",
    "render_line",
    "write_conflict_title",
    "write_incident_title",
    "write_maintenance_title",
    "write_reason",
    "write_refusal",
    "write_task_title",
]
