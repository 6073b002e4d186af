"""Draft of the lessons learned (RETEX) from the log. Rule D53.

The draft tells the story, compares each delay with its target, and lists late actions and
undeclared dependencies. Pure: the same facts give the same document. People appear as roles and
counts.
"""

from collections.abc import Callable, Sequence
from typing import Final

from services.console.documents.document import (
    Citations,
    Document,
    DocumentLine,
    DocumentSection,
    Sheet,
    TableColumn,
    TableRow,
    build_table_section,
    renumber_sheet,
)
from services.console.documents.facts import index_lines, name_realm
from services.console.documents.retex.facts import (
    RetexFacts,
    compute_co2_grams,
    count_agent_days,
    format_time,
    is_late,
    list_activated_plans,
    list_completed_moves,
    list_late_cards,
    write_line_text,
)
from services.console.documents.retex.services import (
    write_clocks_section,
    write_dependencies_section,
    write_plans_section,
)
from services.console.documents.retex.surroundings import (
    write_environment_section,
    write_improvements_section,
    write_reassignments_section,
)
from services.console.documents.retex.turns import (
    write_alarms_section,
    write_chronology_section,
    write_delays_section,
    write_incidents_section,
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
    "PublicationChanged": N_("Pages publiques"),
    "CallOutChanged": N_("Messages diffusés, recensements"),
    "NoteAdded": N_("Décisions, appels et conférences notés"),
    "HandoverChanged": N_("Relèves de la cellule"),
    "SitrepIssued": N_("Points de situation"),
}
"""Type of a logbook line → its deed, in the order of the table."""
_UNSAID: Final = frozenset({("NoteAdded", "note"), ("NoteAdded", "fact")})
"""Lines that a person wrote, and that are no deed of the cell."""


def write_cell_work_section(x: RetexFacts, citations: Citations) -> DocumentSection:
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
            refs=(*citations.key(mine[0].key), *citations.key(mine[-1].key))
            if len(mine) > 1
            else citations.key(mine[0].key),
        )
        for type, title in DEEDS.items()
        if (mine := [r for r in deeds if r.type == type])
    ]
    visible_deeds = deeds[-DEEDS_SHOWN:]
    columns = (
        TableColumn(title=_("Quoi"), wide=True),
        TableColumn(title=_("Combien"), right=True),
        TableColumn(title=_("Premier")),
        TableColumn(title=_("Dernier")),
    )
    lines = [
        DocumentLine(
            text=f"{format_time(times.of(r.recorded_at), x)} {write_line_text(r, x)}",
            refs=citations.key(r.key),
        )
        for r in visible_deeds
    ]
    return build_table_section(
        "cell",
        _("Travail de la cellule"),
        columns,
        rows,
        _("Rien à signaler."),
        lines=lines,
        aside=_("les {n} derniers sur {of}", n=len(visible_deeds), of=len(deeds))
        if len(visible_deeds) < len(deeds)
        else "",
    )


def is_deed(record: LineRecord) -> bool:
    """Return whether a line is about a deed of a person in the cell."""
    if record.type not in DEEDS or (record.type, record.kind) in _UNSAID:
        return False
    if record.type == "CellStaffingChanged":
        return record.change == "armed"
    return record.author != SYSTEM


def draft_retex(by_lang: Sequence[RetexFacts]) -> Document:
    """Draft the document in the languages of the given facts."""
    first = by_lang[0]
    citations = Citations(*index_lines(first.lines))
    sheets = {facts.lang: _build_sheet(facts, citations) for facts in by_lang}
    final, cited_sources = citations.number_lines(sheets.values())
    return Document(
        kind="retex",
        realm=first.realm.name,
        territory=first.territory,
        simulated=first.realm.simulated,
        as_of=times.to_ms(first.at),
        level=max((i.level for i in first.incidents), default=0),
        incidents=tuple(i.id for i in first.incidents),
        sources=cited_sources,
        figures=_count_figures(first),
        sheets={lang: renumber_sheet(sheet, final) for lang, sheet in sheets.items()},
    )


def _count_figures(x: RetexFacts) -> dict[str, int]:
    plans = list_activated_plans(x)
    return {
        "incidents": len(x.incidents),
        "reports": len(x.reports),
        "reports:late": sum(is_late(r) for r in x.reports),
        "alarms": len(x.alarms),
        "alarms:arbitrated": sum(a.arbitrated_at is not None for a in x.alarms),
        "cards": sum(c.due_at is not None for p in plans for c in p.cards),
        "cards:late": sum(len(list_late_cards(p, x.at)) for p in plans),
        "messages": len(x.notifications),
        "messages:answered": sum(n.acknowledged_at is not None for n in x.notifications),
        "improvements:open": sum(i.state == "open" for i in x.improvements),
        "agents": sum(row.count for row in list_completed_moves(x)),
        "agent-days": sum(count_agent_days(row, x.at) for row in list_completed_moves(x)),
        "moves:co2_g": sum(compute_co2_grams(row, x) for row in list_completed_moves(x)),
    }


def _build_sheet(x: RetexFacts, citations: Citations) -> Sheet:
    _ = x._
    sections = [make(x, citations) for make in SECTIONS]
    numbered_sections = tuple(
        s.model_copy(update={"title": f"{n}. {s.title}"}) for n, s in enumerate(sections, 1)
    )
    level = max((i.level for i in x.incidents), default=0)
    what = (
        x.incidents[0].title
        if len(x.incidents) == 1
        else _.plural("{n} incident", "{n} incidents", len(x.incidents))
    )
    number = x.incidents[0].number if len(x.incidents) == 1 else name_realm(x.realm, x.territory, _)
    return Sheet(
        title=_("RETEX {number}", number=number),
        subtitle=what,
        intro=_(
            "Tiré de la main courante le {day} à {at} ; rien n’y est saisi à la main.",
            day=times.day_long(x.at, x.lang),
            at=times.hm(x.at),
        ),
        badge=f"N{level}",
        badge_text=x.names.level(level, _),
        draft=_("EN COURS : un incident est encore ouvert")
        if x.incidents and not x.end_time
        else "",
        footer=_(
            "Vigie, {territory}. RETEX, {number}. Chaque ligne renvoie à la main courante.",
            territory=x.territory,
            number=number,
        ),
        page_of=_("Page {n} / {of}"),
        sources_title=_("Lignes de la main courante citées"),
        sections=numbered_sections,
    )


SECTIONS: Final[tuple[Callable[[RetexFacts, Citations], DocumentSection], ...]] = (
    write_incidents_section,
    write_chronology_section,
    write_delays_section,
    write_alarms_section,
    write_cell_work_section,
    write_plans_section,
    write_dependencies_section,
    write_clocks_section,
    write_reassignments_section,
    write_environment_section,
    write_improvements_section,
)
