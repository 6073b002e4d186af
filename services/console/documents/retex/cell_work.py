"""Section about the work of the crisis cell: every deed of a person, with its words."""

from __future__ import annotations

from typing import Final

from services.console.documents.document import (
    Citations,
    DocumentLine,
    DocumentSection,
    Table,
    TableColumn,
    TableRow,
)
from services.console.documents.retex.facts import (
    RetexFacts,
    format_time,
    write_line_text,
    write_nothing_to_report,
)
from services.console.i18n import N_
from services.console.logbook.lines import SYSTEM, LineRecord
from services.console.web import times

DEEDS_SHOWN: Final = 80
DEEDS: Final = {
    "CellStaffingChanged": N_("Cellule armée"),
    "AttendanceChanged": N_("Présences en cellule"),
    "PlanChanged": N_("Décisions sur les plans"),
    "ActionChanged": N_("Actions confiées, et leurs réponses"),
    "ResourceRequestChanged": N_("Demandes de moyens, et leur suite"),
    "StatementChanged": N_("Communiqués"),
    "QuestionChanged": N_("Questions et réponses"),
    "CallOutChanged": N_("Messages diffusés, recensements"),
    "NoteAdded": N_("Décisions, appels et conférences notés"),
    "HandoverChanged": N_("Relèves de la cellule"),
    "SitrepIssued": N_("Points de situation"),
}
"""Type of a logbook line → its deed, in the order of the table."""
_UNSAID: Final = frozenset({("NoteAdded", "note"), ("NoteAdded", "fact")})
"""Lines that a person wrote, and that are no deed of the cell."""


def write_cell_work_section(x: RetexFacts, cited: Citations) -> DocumentSection:
    """Count the deeds of people by kind, and list them in their order."""
    _ = x._
    deeds = [r for r in sorted(x.lines, key=lambda r: r.key) if is_deed(r)]
    rows = [
        TableRow(
            cells=(
                _(title),
                str(len(mine)),
                format_time(times.of(mine[0].recorded_at), x),
                format_time(times.of(mine[-1].recorded_at), x),
            ),
            refs=(*cited.key(mine[0].key), *cited.key(mine[-1].key))
            if len(mine) > 1
            else cited.key(mine[0].key),
        )
        for type, title in DEEDS.items()
        if (mine := [r for r in deeds if r.type == type])
    ]
    if not rows:
        return DocumentSection(
            id="cell", title=_("Travail de la cellule"), lines=write_nothing_to_report(x)
        )
    visible_deeds = deeds[-DEEDS_SHOWN:]
    columns = (
        TableColumn(title=_("Quoi"), wide=True),
        TableColumn(title=_("Combien"), right=True),
        TableColumn(title=_("Premier")),
        TableColumn(title=_("Dernier")),
    )
    return DocumentSection(
        id="cell",
        title=_("Travail de la cellule"),
        aside=_("les {n} derniers sur {of}", n=len(visible_deeds), of=len(deeds))
        if len(visible_deeds) < len(deeds)
        else "",
        lines=tuple(
            DocumentLine(
                text=f"{format_time(times.of(r.recorded_at), x)} {write_line_text(r, x)}",
                refs=cited.key(r.key),
            )
            for r in visible_deeds
        ),
        table=Table(columns=columns, rows=tuple(rows)),
    )


def is_deed(record: LineRecord) -> bool:
    """Return whether a line is about a deed of a person in the cell."""
    if record.type not in DEEDS or (record.type, record.kind) in _UNSAID:
        return False
    if record.type == "CellStaffingChanged":
        return record.change == "armed"
    return record.author != SYSTEM
