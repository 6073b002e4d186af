"""Draft of the situation report from facts. Rule D54.

Pure: the same facts give the same document. Unconfirmed reports are marked, silent sites are listed
apart, and people appear as roles and counts, never names. Rule D58.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from schemas.words import SiteStatus
from services.console.documents.document import (
    Citations,
    Document,
    DocumentLine,
    DocumentSection,
    MapSite,
    Sheet,
    Table,
    TableColumn,
    TableRow,
    renumber_sheet,
)
from services.console.documents.facts import SitrepFacts, count_figures, index_lines
from services.console.documents.sitrep import continuity, foresight, persons, situation
from services.console.sites.geometry import ATTRIBUTION
from services.console.texts import words as w
from services.console.web import times

REMARK_SECTIONS: Final = ("essential", "evolution", "decisions", "partners", "ahead")
"""Sections that a person may complete."""


def draft_sitrep(by_lang: Sequence[SitrepFacts]) -> Document:
    """Draft the document from facts of one realm at one time, one set per language."""
    first = by_lang[0]
    sources, index = index_lines(first.lines)
    citations = Citations(sources, index)
    sheets = {facts.lang: _build_sheet(facts, citations) for facts in by_lang}
    final, cited_sources = citations.number_lines(sheets.values())
    hit = [s for s in first.sites if s.status is not SiteStatus.NORMAL]
    return Document(
        kind="sitrep",
        realm=first.realm.name,
        territory=first.territory,
        simulated=first.realm.simulated,
        number=first.number,
        as_of=times.to_ms(first.at),
        level=first.level.level,
        level_since=times.to_ms(first.level.since) if first.level.since else None,
        validated_by=first.validated_by,
        incidents=tuple(i.id for i in first.incidents),
        figures=count_figures(first),
        remarks={k: v for k, v in first.remarks.items() if v.strip()},
        sources=cited_sources,
        spots=tuple(MapSite(x=s.x, y=s.y, status=s.status, name=s.name) for s in hit),
        hit=tuple(sorted({s.commune for s in hit})),
        sheets={lang: renumber_sheet(sheet, final) for lang, sheet in sheets.items()},
    )


def _build_sheet(x: SitrepFacts, citations: Citations) -> Sheet:
    _ = x._
    sections = [_add_remark(make(x, citations), x) for make in SECTIONS]
    numbered_sections = [
        s.model_copy(update={"title": f"{n}. {s.title}"}) for n, s in enumerate(sections, 1)
    ]
    began_at = min((i.opened_at for i in x.incidents), default=None)
    title = x.incidents[0].title if x.incidents else _("Aucun incident ouvert")
    intro = [f"{title}."]
    if began_at is not None:
        intro.append(_("Début {at}.", at=times.hm_dated(began_at, x.at, x.lang)))
    intro.append(_write_next_time(x))
    day = times.day_long(x.at, x.lang)
    return Sheet(
        title=_("Point de situation n° {n}", n=x.number),
        subtitle=_("{day}, arrêté à {at}", day=day[:1].upper() + day[1:], at=times.hm(x.at)),
        intro=" ".join(intro),
        badge=f"N{x.level.level}",
        badge_text=x.names.level(x.level.level, _),
        draft="" if x.validated_by else _("PROJET, non validé"),
        footer=_write_footer(x),
        page_of=_("Page {n} / {of}"),
        map_text=_("Carte des sites ; même contenu dans le tableau"),
        map_note=_("Contours : {source}", source=ATTRIBUTION),
        sources_title=_("Lignes de la main courante citées"),
        sections=tuple(numbered_sections),
    )


def _write_footer(x: SitrepFacts) -> str:
    if not x.incidents:
        return x._(
            "Vigie, {territory}. Point de situation n° {n}. Chaque ligne renvoie à la main "
            "courante.",
            territory=x.territory,
            n=x.number,
        )
    return x._(
        "Vigie, {territory}. Point de situation n° {n}, incident {number}. Chaque ligne renvoie à "
        "la main courante.",
        territory=x.territory,
        n=x.number,
        number=x.incidents[0].number,
    )


def _write_next_time(x: SitrepFacts) -> str:
    every = x.rule.sitrep_every_min if x.rule else None
    if every is None:
        return x._("Prochain point : non fixé à ce niveau.")
    at = x.at + timedelta(minutes=every)
    return x._("Prochain point : {at} au plus tard.", at=times.hm_dated(at, x.at, x.lang))


def _add_remark(section: DocumentSection, x: SitrepFacts) -> DocumentSection:
    remark = x.remarks.get(section.id, "").strip()
    if not remark:
        return section
    lines = tuple(
        DocumentLine(text=part, mark="remark") for part in remark.splitlines() if part.strip()
    )
    return section.model_copy(update={"lines": (*section.lines, *lines)})


def _write_validation_section(
    x: SitrepFacts,
    citations: Citations,  # noqa: ARG001  same for all
) -> DocumentSection:
    _ = x._
    completed_by = _("personne")
    if x.validated_by and any(remark.strip() for remark in x.remarks.values()):
        completed_by = w.name_role(x.validated_by, None, x.names, _)
    by = w.name_role(x.validated_by, None, x.names, _) if x.validated_by else "………………"
    rows = (
        TableRow(
            cells=(
                _("Rédigé"),
                _("système, {at}", at=times.hms(x.at)),
                _("Complété par"),
                completed_by,
            )
        ),
        TableRow(
            cells=(
                _("Validé par"),
                by,
                _("Diffusé à"),
                _write_recipients(x),
            )
        ),
    )
    columns = (
        TableColumn(title=_("Étape")),
        TableColumn(title=_("Qui, quand"), wide=True),
        TableColumn(title=_("Étape")),
        TableColumn(title=_("Qui, quand"), wide=True),
    )
    return DocumentSection(
        id="validation", title=_("Validation"), table=Table(columns=columns, rows=rows)
    )


def _write_recipients(x: SitrepFacts) -> str:
    """Name the roles that get a message with the number."""
    if not x.validated_by:
        return "………………"
    names = [w.name_role(role, None, x.names, x._) for role in x.recipients]
    return ", ".join(names) or x._("aucun message envoyé")


SECTIONS: Final[tuple[Callable[[SitrepFacts, Citations], DocumentSection], ...]] = (
    situation.write_essentials_section,
    situation.write_levels_section,
    situation.write_changes_section,
    situation.write_sites_section,
    continuity.write_clocks_section,
    continuity.write_plans_section,
    foresight.write_risks_section,
    foresight.write_proofs_section,
    continuity.write_decisions_section,
    persons.write_staff_section,
    persons.write_calls_section,
    persons.write_unconfirmed_section,
    persons.write_partners_section,
    continuity.write_outlook_section,
    _write_validation_section,
)
"""Sections in the order of the document."""
