"""Sections about staff, calls, unconfirmed reports and partners."""

from typing import Final

from schemas.alerts import ReportRow
from schemas.reassignment import LineState
from schemas.words import Certainty, EventType, MsgType, SiteStatus
from services.console.documents.document import (
    Citations,
    DocumentLine,
    DocumentSection,
    Table,
    TableColumn,
    TableRow,
    write_nothing_to_report,
)
from services.console.documents.facts import (
    OUT_OF_SERVICE,
    SitrepFacts,
    format_people,
    list_unconfirmed_reports,
)
from services.console.resources import Site
from services.console.texts import words as w
from services.console.texts import world
from services.console.web import times

REPORTS_SHOWN: Final = 6
PARTNERS_SHOWN: Final = 5
_OWN_SOURCES: Final = {
    "site_manager",
    "responsable_parc",
    "supervision",
    "siter",
    "rh",
    "ssi",
    "ssiap",
    "direction_metier",
    "cellule",
    "cellule_si",
    "systeme",
    "recensement",
    "astreinte_eau",
    "astreinte_si",
    "cellule_autonomie",
    "communication",
    "directeur_de_crise",
    "direction_education",
    "edr",
    "juridique",
    "page",
    "poster",
    "rssi",
    *(role for role in w.ROLE if role != "source"),
}
"""Roles and sources that belong to the département itself."""
_ANONYMOUS_SOURCES: Final = {"rumour", "public", "citizen"}
"""Sources that stand for no organisation; every other one is a partner."""


def _count_lost_desks(site: Site) -> int:
    """Count the lost desks of a site by its gravest current cause.

    Absent staff take no desk away, as in the reassignment model
    (`docs/reference/reassignment-model.md`).
    """
    return _count_lost(site, site.desks, absent=False)


def _count_absent_agents(site: Site) -> int:
    """Count the absent agents of a site by its gravest current shortage of staff."""
    return _count_lost(site, site.staff, absent=True)


def _count_lost(site: Site, total: int, *, absent: bool) -> int:
    acting = (
        c
        for c in site.causes
        if c.certainty is Certainty.CONFIRMED
        and not c.planned
        and (c.type is EventType.STAFF_SHORTAGE) is absent
    )
    return round(total * max((c.loss_pct for c in acting), default=0.0) / 100)


def write_staff_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _, lang = x._, x.lang
    out = [s for s in x.sites if s.status in OUT_OF_SERVICE]
    silent = [s for s in x.sites if s.status is SiteStatus.UNKNOWN]
    rows = [
        TableRow(
            cells=(
                _("Agents des sites fermés, évacués ou confinés"),
                format_people(sum(s.staff for s in out), lang),
            ),
            refs=citations.of(*(f"site:{s.id}" for s in out[:2])),
        ),
        TableRow(
            cells=(
                _("Agents des sites sans nouvelles"),
                format_people(sum(s.staff for s in silent), lang),
            )
        ),
    ]
    if absent_agents := sum(_count_absent_agents(s) for s in x.sites):
        rows.append(
            TableRow(
                cells=(
                    _("Agents absents, d’après les signalements des sites"),
                    format_people(absent_agents, lang),
                )
            )
        )
    if x.proposal is not None:
        rows.append(
            TableRow(
                cells=(
                    _(
                        "Agents sans place de travail, d’après la proposition n° {n}",
                        n=x.proposal.number,
                    ),
                    format_people(x.proposal.displaced, lang),
                ),
                refs=citations.of(f"proposal:{x.proposal.id}:computed"),
            )
        )
    rows.append(
        TableRow(
            cells=(
                _("Postes de bureau perdus"),
                w.format_number(sum(_count_lost_desks(s) for s in x.sites), lang),
            )
        )
    )
    if x.reassignments:
        there = sum(row.count for row in x.reassignments if row.state is LineState.ARRIVED)
        refs = citations.of(
            *sorted({f"proposal:{row.proposal}:approved" for row in x.reassignments})[:2]
        )
        rows.append(
            TableRow(
                cells=(
                    _("Agents réaffectés, ordres partis"),
                    format_people(sum(row.count for row in x.reassignments), lang),
                ),
                refs=refs,
            )
        )
        rows.append(TableRow(cells=(_("dont arrivés au travail"), format_people(there, lang))))
    if x.proposal is not None and x.proposal.unmet_agents:
        rows.append(
            TableRow(
                cells=(
                    _("Manquent même après réaffectation"),
                    format_people(x.proposal.unmet_agents, lang),
                )
            )
        )
    for report in _list_headcounts(x)[:3]:
        measure = report.measure
        assert measure is not None
        where = x.names.site(report.site) if report.site else measure.scope or ""
        people = format_people(int(float(measure.value or 0)), lang)
        of = f" / {w.format_number(measure.value_of, lang)}" if measure.value_of else ""
        rows.append(
            TableRow(
                cells=(_("Recensement, {where}", where=where), people + of),
                refs=citations.of(f"report:{report.id}"),
            )
        )
    table = Table(
        columns=(
            TableColumn(title=_("Effectif"), wide=True),
            TableColumn(title=_("Nombre"), right=True),
        ),
        rows=tuple(rows),
    )
    return DocumentSection(
        id="staff", title=_("Effectifs"), aside=_("comptes, sans noms"), half=True, table=table
    )


def _list_headcounts(x: SitrepFacts) -> list[ReportRow]:
    """Return the newest headcount of each place in the open incidents.

    Places with most people missing come first, then the largest.
    """
    newest: dict[str, tuple[float, float, ReportRow]] = {}
    for r in sorted(x.reports, key=lambda r: (r.occurred_at, r.recorded_at, r.id)):
        if (
            r.type is EventType.HEADCOUNT
            and r.measure is not None
            and isinstance(r.measure.value, int | float)
            and r.incident in x.incident_ids
            and _is_standing(r)
        ):
            expected = r.measure.value_of or 0
            missing = max(expected - r.measure.value, 0)
            newest[r.site or r.measure.scope or ""] = (-missing, -expected, r)
    return [row for _missing, _expected, row in sorted(newest.values(), key=lambda c: c[:2])]


def _is_standing(row: ReportRow) -> bool:
    """Return whether a report is confirmed and withdraws none, and was not withdrawn."""
    return (
        row.confirmation == "confirmed"
        and row.msg_type is not MsgType.CANCEL
        and "cancelled" not in row.flags
    )


def write_calls_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _, lang = x._, x.lang
    if x.ladder is None:
        return DocumentSection(
            id="calls",
            title=_("Alerte des décideurs"),
            half=True,
            lines=(DocumentLine(text=_("Aucune escalade.")),),
        )
    lines: list[DocumentLine] = []
    refs = citations.of(f"escalation:{x.ladder.id}", most=2)
    for rung in x.ladder.rungs[-4:]:
        at = times.hm_dated(rung.fired_at, x.at, lang)
        cycle = _(", relance {n}", n=rung.cycle - 1) if rung.cycle > 1 else ""
        answers_text = _.plural("{n} réponse", "{n} réponses", rung.positive)
        text = _.plural(
            "Vague {wave}{cycle} ({at}) : {answered} sur {n} attendue.",
            "Vague {wave}{cycle} ({at}) : {answered} sur {n} attendues.",
            rung.expected,
            wave=rung.wave,
            cycle=cycle,
            at=at,
            answered=answers_text,
        )
        lines.append(
            DocumentLine(
                text=text,
                mark="late" if rung.positive < rung.expected else "",
                refs=refs if not lines else (),
            )
        )
    if x.ladder.silent:
        lines.append(
            DocumentLine(
                text=_.plural(
                    "{n} rôle sans réponse.", "{n} rôles sans réponse.", len(x.ladder.silent)
                )
            )
        )
    if x.ladder.uncovered:
        lines.append(
            DocumentLine(
                text=_(
                    "Rôles sans personne joignable : {roles}.",
                    roles=", ".join(x.ladder.uncovered[:4]),
                ),
                mark="late",
            )
        )
    if x.ladder.next_at is not None:
        lines.append(
            DocumentLine(
                text=_("Vague suivante à {at}.", at=times.hm_dated(x.ladder.next_at, x.at, lang))
            )
        )
    return DocumentSection(
        id="calls",
        title=_("Alerte des décideurs"),
        aside=x.ladder.name,
        half=True,
        lines=tuple(lines) or write_nothing_to_report(x._),
    )


def write_unconfirmed_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _, lang = x._, x.lang
    claims = list_unconfirmed_reports(x)
    lines = []
    for r in claims[:REPORTS_SHOWN]:
        where = x.names.site(r.site) if r.site else x.names.commune(r.commune) if r.commune else ""
        what = (
            f"{w.translate_code(w.EVENT, r.type, _)}, {where}"
            if where
            else w.translate_code(w.EVENT, r.type, _)
        )
        labels = dict.fromkeys(
            (w.translate_code(w.CERTAINTY, r.confirmation, _), world.name_source(r.source, _))
        )  # the source of a rumour may be called rumour, too
        at = times.hm_dated(times.of(r.recorded_at), x.at, lang)
        text = _("{what} : {said}, {at}.", what=what, said=", ".join(labels), at=at)
        lines.append(
            DocumentLine(text=text, mark="unconfirmed", refs=citations.of(f"report:{r.id}"))
        )
    if len(claims) > REPORTS_SHOWN:
        lines.append(
            DocumentLine(
                text=_.plural("et {n} autre.", "et {n} autres.", len(claims) - REPORTS_SHOWN),
                mark="unconfirmed",
            )
        )
    if not claims:
        lines.append(DocumentLine(text=_("Aucune rumeur ouverte à {at}.", at=times.hm(x.at))))
    silent = sum(s.status is SiteStatus.UNKNOWN for s in x.sites)
    if silent:
        lines.append(
            DocumentLine(
                text=_.plural(
                    "Le site sans nouvelles n’est compté ni ouvert ni fermé.",
                    "Les {n} sites sans nouvelles ne sont comptés ni ouverts ni fermés.",
                    silent,
                )
            )
        )
    return DocumentSection(id="claims", title=_("Non confirmé"), half=True, lines=tuple(lines))


def write_partners_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _, lang = x._, x.lang
    newest: dict[str, ReportRow] = {}
    since = times.to_ms(min((i.known_at for i in x.incidents), default=x.at))
    for r in sorted(x.reports, key=lambda r: r.recorded_at):
        if (
            r.source not in _OWN_SOURCES | _ANONYMOUS_SOURCES
            and r.recorded_at >= since
            and _is_standing(r)
            and r.state in ("applied", "duplicate")
        ):
            newest[r.source] = r
    lines = []
    for r in sorted(newest.values(), key=lambda r: -r.recorded_at)[:PARTNERS_SHOWN]:
        where = x.names.site(r.site) if r.site else x.names.commune(r.commune) if r.commune else ""
        what = (
            f"{w.translate_code(w.EVENT, r.type, _)}, {where}"
            if where
            else w.translate_code(w.EVENT, r.type, _)
        )
        text = _(
            "{source} : {what} ({at}).",
            source=w.capitalize(world.name_source(r.source, _)),
            what=what,
            at=times.hm_dated(times.of(r.recorded_at), x.at, lang),
        )
        lines.append(DocumentLine(text=text, refs=citations.of(f"report:{r.id}")))
    cod = next((f for f in x.flags if f.id == "flag:cod_active"), None)
    is_active = cod is not None and cod.value is True
    state = (
        _("Préfecture : COD activé.")
        if is_active
        else _("Préfecture : COD non activé à notre connaissance.")
    )
    lines.append(DocumentLine(text=state, refs=citations.of("flag:flag:cod_active")))
    return DocumentSection(id="partners", title=_("Partenaires"), half=True, lines=tuple(lines))
