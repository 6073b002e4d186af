"""Codes of the deciders as sentences in the reader's language (fr, en): the only place where Vigie's words are written.

Deciders record codes and values (`Why`, `IncidentRow.kind`, facts); this package says them. Pure: rows and names in,
text out. Names of sites, plans and tasks are the territory's own and stay in its language.
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
