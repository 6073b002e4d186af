"""Codes of the deciders as sentences in the reader's language (fr, en).

Deciders record codes and values (`Why`, `IncidentRow.kind`, facts); only this package words them.
Pure: rows and names in, text out. Names of sites, plans and tasks belong to the territory and stay
in its language.
"""

from services.console.incidents.titles import (
    conflict_title,
    incident_title,
    refusal,
    task_title,
    window_title,
)
from services.console.logbook.sentences import line
from services.console.reassignment.texts import move_reason
from services.console.texts.names import Names
from services.console.texts.reasons import Said, reason, said

__all__ = [
    "Names",
    "Said",
    "conflict_title",
    "incident_title",
    "line",
    "move_reason",
    "reason",
    "refusal",
    "said",
    "task_title",
    "window_title",
]
