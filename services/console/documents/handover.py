"""One-page handover of the crisis cell, from the facts of the situation report. Pure. Rule D115.

The objective is kept apart and added when the page is shown, so that it can be erased.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.crisis.handovers import HandoverRow, HandoverState
from schemas.words import ACTIVE_PLAN_STATES, CardState, PlanState, SiteStatus
from services.console.documents.document import (
    Citations,
    Document,
    DocumentLine,
    DocumentSection,
    Sheet,
    Table,
    TableColumn,
    TableRow,
    renumber_sheet,
)
from services.console.documents.facts import SitrepFacts, count_figures, index_lines
from services.console.documents.sitrep.continuity import (
    count_decisions,
    group_coming_limits,
    write_decisions_section,
)
from services.console.documents.sitrep.foresight import (
    list_proof_lines,
    list_risk_lines,
    write_no_risk,
)
from services.console.documents.sitrep.situation import write_essentials_section
from services.console.i18n import N_, Translator, get_translator
from services.console.resources import Change, Changes
from services.console.staffing.queries import CellStaffing
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames, shorten_site_name
from services.console.web import times

SITUATION_LINES: Final = 10
DECISIONS_SHOWN: Final = 6
DEADLINES_SHOWN: Final = 6
NAMES_SHOWN: Final = 4
"""Number of names in a line about changes, per kind of thing."""
OBJECTIVE: Final = "objective"
_DRAFT_MARKS: Final = {
    HandoverState.DRAFT: N_("PROJET, non signé"),
    HandoverState.SIGNED: N_("Signé par le sortant, à signer par l’entrant"),
    HandoverState.WITHDRAWN: N_("RETIRÉ"),
}
_STATE_COLLECTIONS: Final = ("activities", "plans", "sites")
"""Collections with states but no levels: another state is a difference."""
_CALM: Final = {"N0", "normal", "nominal", PlanState.VALID.value}
"""States in which a thing needs nobody."""
_OVER_PLANS: Final = {PlanState.REFUSED.value, PlanState.ARCHIVED.value}


@dataclass(frozen=True, slots=True)
class HandoverFacts:
    """Facts of one handover in one language."""

    sitrep: SitrepFacts
    staffing: CellStaffing
    number: int
    previous: HandoverRow | None
    """The last accepted handover."""
    changes: Changes | None
    """Differences since the last accepted handover."""


@dataclass(frozen=True, slots=True)
class UpcomingDeadline:
    """One deadline ahead, with the logbook subject that explains it."""

    at: datetime
    text: str
    subject: str = ""


def draft_handover(
    by_lang: Sequence[HandoverFacts], *, texts: Mapping[str, str] | None = None
) -> Document:
    """Draft the page from facts of one realm at one time, one set per language."""
    first = by_lang[0].sitrep
    sources, index = index_lines(first.lines)
    citations = Citations(sources, index)
    sheets = {facts.sitrep.lang: _build_sheet(facts, citations) for facts in by_lang}
    final, cited_sources = citations.number_lines(sheets.values())
    ahead = list_deadlines(by_lang[0])
    figures = count_figures(first) | {
        "decisions": count_decisions(first),
        "risks": len(first.risks),
        "deadlines": len(ahead),
    }
    return Document(
        kind="handover",
        realm=first.realm.name,
        territory=first.territory,
        simulated=first.realm.simulated,
        number=by_lang[0].number,
        as_of=times.to_ms(first.at),
        level=first.level.level,
        level_since=times.to_ms(first.level.since) if first.level.since else None,
        incidents=tuple(i.id for i in first.incidents),
        figures=figures,
        texts=dict(texts or {}),
        sources=cited_sources,
        sheets={lang: renumber_sheet(sheet, final) for lang, sheet in sheets.items()},
    )


def find_next_deadline(facts: HandoverFacts) -> int | None:
    """Return the time of the next deadline on the page, in ms."""
    ahead = list_deadlines(facts)
    return times.to_ms(ahead[0].at) if ahead else None


def _build_sheet(facts: HandoverFacts, citations: Citations) -> Sheet:
    x = facts.sitrep
    _ = x._
    began_at = min((i.opened_at for i in x.incidents), default=None)
    intro = _("Aucun incident ouvert.")
    if began_at is not None:
        at = times.hm_dated(began_at, x.at, x.lang)
        intro = _("{title}. Début {at}.", title=x.incidents[0].title, at=at)
    day = times.day_long(x.at, x.lang)
    return Sheet(
        title=_("Relève n° {n}", n=facts.number),
        subtitle=_("{day}, arrêté à {at}", day=day[:1].upper() + day[1:], at=times.hm(x.at)),
        intro=intro,
        badge=f"N{x.level.level}",
        badge_text=x.names.level(x.level.level, _),
        footer=_(
            "Vigie, {territory}. Relève n° {n}. Chaque ligne renvoie à la main courante.",
            territory=x.territory,
            n=facts.number,
        ),
        page_of=_("Page {n} / {of}"),
        sources_title=_("Lignes de la main courante citées"),
        sections=(
            DocumentSection(id=OBJECTIVE, title=_("Objectif")),
            DocumentSection(
                id="situation", title=_("Situation"), lines=_list_situation(facts, citations)
            ),
            _write_changes(facts),
            _shorten(
                write_decisions_section(x, citations), DECISIONS_SHOWN, _("Décisions attendues"), _
            ),
            _write_deadlines(facts, citations),
            DocumentSection(
                id="risks",
                title=_("Risques de rupture"),
                lines=list_risk_lines(x, citations) or write_no_risk(x),
            ),
        ),
    )


def _shorten(section: DocumentSection, most: int, title: str, _: Translator) -> DocumentSection:
    """Return a section with at most `most` lines, and how many were left out."""
    lines, more = section.lines[:most], len(section.lines) - most
    aside = _.plural("et {n} autre", "et {n} autres", more) if more > 0 else ""
    return section.model_copy(update={"title": title, "lines": lines, "aside": aside})


def _list_situation(facts: HandoverFacts, citations: Citations) -> tuple[DocumentLine, ...]:
    """List the situation in at most ten lines; strong ones stay when there are more."""
    x = facts.sitrep
    own = [line for line in _list_own_lines(facts, citations) if line is not None]
    essential = write_essentials_section(x, citations).lines
    room = SITUATION_LINES - len(own)
    strong = [n for n, line in enumerate(essential) if line.strong][:room]
    others = [n for n, line in enumerate(essential) if not line.strong][: room - len(strong)]
    return (own[0], *(essential[n] for n in sorted(strong + others)), *own[1:])


def _list_own_lines(facts: HandoverFacts, citations: Citations) -> list[DocumentLine | None]:
    """Return the lines on level, cell, plans, staff, unconfirmed reports and proof."""
    x = facts.sitrep
    _, counts = x._, count_figures(x)
    proofs = list_proof_lines(x, citations)
    return [
        _write_level(x, citations),
        _write_cell(facts),
        _write_plans(x, counts, citations),
        _write_staff(x, counts),
        DocumentLine(
            text=_.plural(
                "{n} information non confirmée.",
                "{n} informations non confirmées.",
                counts["reports:unconfirmed"],
            )
        )
        if counts["reports:unconfirmed"]
        else None,
        proofs[0] if proofs and counts["plans:active"] + counts["plans:proposed"] else None,
    ]


def _write_level(x: SitrepFacts, citations: Citations) -> DocumentLine:
    _ = x._
    if x.level.since is None or not x.level.level:
        text = _("Niveau N{level}.", level=x.level.level)
    else:
        since = times.hm_dated(x.level.since, x.at, x.lang)
        text = _("Niveau N{level} depuis {at}.", level=x.level.level, at=since)
    return DocumentLine(text=text, strong=x.level.level >= 3, refs=citations.of("level:territory"))


def _write_cell(facts: HandoverFacts) -> DocumentLine | None:
    x, cell = facts.sitrep, facts.staffing
    if not cell.called:
        return None
    text = x._.plural(
        "Cellule : {n} fonction tenue sur {of}",
        "Cellule : {n} fonctions tenues sur {of}",
        cell.filled,
        of=cell.required,
    )
    missing = [f.role_name for f in cell.items if f.required and f.state == "missing"]
    if missing:
        text += x._(" ; sans personne : {names}", names=_join(missing, x._))
    return DocumentLine(text=f"{text}.", mark="late" if cell.late else "")


def _write_plans(
    x: SitrepFacts, counts: Mapping[str, int], citations: Citations
) -> DocumentLine | None:
    _, active = x._, [p for p in x.plans if p.state in ACTIVE_PLAN_STATES]
    if not active:
        return None
    text = _.plural("{n} plan activé", "{n} plans activés", len(active))
    text += _(" ({names})", names=_join([p.title for p in active], _))
    text += ", " + _.plural("{n} fiche ouverte", "{n} fiches ouvertes", counts["cards:open"])
    if counts["cards:late"]:
        text += ", " + _("dont {n} en retard", n=counts["cards:late"])
    refs = citations.of(*(f"plan:{p.id}:activated" for p in active[:3]))
    return DocumentLine(text=f"{text}.", refs=refs)


def _write_staff(x: SitrepFacts, counts: Mapping[str, int]) -> DocumentLine | None:
    moved_agents = counts["staff:reassigned"]
    if not moved_agents:
        return None
    text = x._.plural(
        "{agents} agent réaffecté.",
        "{agents} agents réaffectés.",
        moved_agents,
        agents=w.format_number(moved_agents, x.lang),
    )
    return DocumentLine(text=text)


def _join(names: Sequence[str], _: Translator) -> str:
    """Join the first names, and say how many more there are."""
    visible_names, more = list(names[:NAMES_SHOWN]), len(names) - NAMES_SHOWN
    text = ", ".join(visible_names)
    return text + _.plural(" et {n} autre", " et {n} autres", more) if more > 0 else text


# ── differences ────────────────────────────────────────────────────────────────────────────────


def _write_changes(facts: HandoverFacts) -> DocumentSection:
    """Write the things that are new, over, or at another level since the last accepted handover."""
    x, before = facts.sitrep, facts.previous
    _ = x._
    if before is None or before.page is None or facts.changes is None:
        return DocumentSection(
            id="changes",
            title=_("Depuis la dernière relève"),
            lines=(DocumentLine(text=_("Première relève : pas de comparaison.")),),
        )
    at = times.hm_dated(times.of(before.page.as_of), x.at, x.lang)
    nothing = _("rien")
    lines = [
        DocumentLine(text=_("{what} : {names}.", what=label, names=names or nothing))
        for label, names in list_differences(facts.changes.items, x.names, _)
    ]
    return DocumentSection(
        id="changes",
        title=_("Depuis la relève n° {n}", n=before.number),
        aside=at,
        lines=tuple(lines),
    )


def list_differences(
    changes: Iterable[Change], names: TerritoryNames, _: Translator
) -> list[tuple[str, str]]:
    """Return three labels, each with its things: new, over, another level."""
    groups: dict[str, dict[str, list[str]]] = {"new": {}, "over": {}, "level": {}}
    for change in changes:
        group = _find_group(change)
        if group is not None:
            name = _name_thing(change, group, names, _)
            groups[group].setdefault(change.collection, []).append(name)
    labels = {"new": _("Nouveau"), "over": _("Clos"), "level": _("Niveau changé")}
    return [
        (labels[group], " ; ".join(_write_kind(kind, things, _) for kind, things in kinds.items()))
        for group, kinds in groups.items()
    ]


def _write_kind(collection: str, names: Sequence[str], _: Translator) -> str:
    if collection == "sites" and len(names) > NAMES_SHOWN:
        return _.plural("{n} site", "{n} sites", len(names))
    return _join(names, _)


def _find_group(change: Change) -> str | None:
    """Return whether a thing is new, over, or has another level; None for anything else."""
    if change.collection in ("escalations", "tasks"):
        return None
    was, state = _is_over(change.collection, change.before), change.after
    if change.collection == "levels":
        return None if change.before is None and state in _CALM else "level"
    over = _is_over(change.collection, state)
    if was and over:
        return "over" if change.before is None and change.collection == "incidents" else None
    if over:
        return "over"
    if was or change.before == SiteStatus.UNKNOWN:  # a silent site turned out to be hit
        return "new"
    level_changed = (change.before or "").split(" ")[1:] != state.split(" ")[1:]
    return "level" if level_changed or change.collection in _STATE_COLLECTIONS else None


def _is_over(collection: str, state: str | None) -> bool:
    """Return whether a thing in this state needs nobody, or does not exist."""
    if state is None or state in _CALM:
        return True
    if collection == "incidents":
        return state.split(" ")[0] in ("closed", "merged")
    return collection == "plans" and state in _OVER_PLANS


def _name_thing(change: Change, group: str, names: TerritoryNames, _: Translator) -> str:
    before, after = (change.before or ""), change.after
    if change.collection == "levels":
        scope = change.id.removeprefix("pole:")
        where = _("Département") if change.id == "territory" else names.pole_short(scope, _.lang)
        return _("{where} {before} → {after}", where=where, before=before or "N0", after=after)
    title = shorten_site_name(change.title) if change.collection == "sites" else change.title
    if change.collection == "incidents" and group == "level":
        levels = before.split(" ")[-1], after.split(" ")[-1]
        return _("{where} {before} → {after}", where=title, before=levels[0], after=levels[1])
    if change.collection == "incidents" and group == "new":
        return _("{what} ({level})", what=title, level=after.split(" ")[-1])
    if group == "over":
        return title
    tables: Mapping[str, Mapping[Any, str]] = {
        "plans": w.PLAN_STATE,
        "sites": w.SITE_STATUS,
        "activities": w.ACTIVITY_STATE,
    }
    state = w.translate_code(tables.get(change.collection, {}), after, _)
    return _("{what} ({level})", what=title, level=state)


# ── deadlines ──────────────────────────────────────────────────────────────────────────────────


def _write_deadlines(facts: HandoverFacts, citations: Citations) -> DocumentSection:
    x = facts.sitrep
    _, ahead = x._, list_deadlines(facts)
    lines = [
        DocumentLine(
            text=_("{at} : {what}.", at=times.hm_dated(one.at, x.at, x.lang), what=one.text),
            refs=citations.of(one.subject) if one.subject else (),
        )
        for one in ahead[:DEADLINES_SHOWN]
    ]
    more = len(ahead) - DEADLINES_SHOWN
    return DocumentSection(
        id="deadlines",
        title=_("Prochaines échéances"),
        aside=_.plural("et {n} autre", "et {n} autres", more) if more > 0 else "",
        half=True,
        lines=tuple(lines) or (DocumentLine(text=_("Aucune échéance.")),),
    )


def list_deadlines(facts: HandoverFacts) -> list[UpcomingDeadline]:
    """List every deadline ahead of the time of the page, the earliest first."""
    x = facts.sitrep
    deadlines = [
        *_list_limits(x),
        *_list_crisis_deadlines(x),
        *_list_card_deadlines(x),
        *_list_shift_ends(facts),
    ]
    return sorted((d for d in deadlines if d.at > x.at), key=lambda d: (d.at, d.subject, d.text))


def _list_limits(x: SitrepFacts) -> list[UpcomingDeadline]:
    _ = x._
    limits = []
    for (at, base, activity, is_site), clocks in group_coming_limits(x).items():
        title = clocks[0].title
        if is_site:
            sites = _.plural("{n} site", "{n} sites", len(clocks))
            title = f"{title}, {clocks[0].name if len(clocks) == 1 else sites}"
        text = _("{limit}, {activity}", limit=_(base), activity=title)
        limits.append(UpcomingDeadline(at, text, f"activity:{activity}"))
    return limits


def _list_crisis_deadlines(x: SitrepFacts) -> list[UpcomingDeadline]:
    """List legal deadlines, announced ends, open tasks and the next situation report."""
    _ = x._
    crisis_deadlines = [
        UpcomingDeadline(
            times.of(row.due_at), x.names.obligation(row.obligation, x.lang), f"obligation:{row.id}"
        )
        for row in x.obligations
    ]
    crisis_deadlines += [
        UpcomingDeadline(
            i.estimated_end, _("rétablissement annoncé, {what}", what=i.title), f"incident:{i.id}"
        )
        for i in x.incidents
        if i.estimated_end is not None
    ]
    crisis_deadlines += [
        UpcomingDeadline(task.due_at, task.title, f"task:{task.id}")
        for task in x.tasks
        if task.due_at is not None
    ]
    if x.previous is not None and x.previous.next_at is not None:
        crisis_deadlines.append(
            UpcomingDeadline(times.of(x.previous.next_at), _("point de situation"), "sitrep")
        )
    return crisis_deadlines


def _list_card_deadlines(x: SitrepFacts) -> list[UpcomingDeadline]:
    """List the next card of each active plan."""
    card_deadlines = []
    for plan in x.plans:
        if plan.state not in ACTIVE_PLAN_STATES:
            continue
        open_deadlines = [
            (card.due_at, card.task)
            for card in plan.cards
            if card.due_at is not None
            and card.due_at > x.at
            and card.state in (CardState.TO_DO, CardState.DOING)
        ]
        if open_deadlines:
            at, task = min(open_deadlines)
            text = x._("fiche « {card} » ({plan})", card=task, plan=plan.title)
            card_deadlines.append(UpcomingDeadline(at, text, f"plan:{plan.id}"))
    return card_deadlines


def _list_shift_ends(facts: HandoverFacts) -> list[UpcomingDeadline]:
    _ = facts.sitrep._
    return [
        UpcomingDeadline(
            person.shift_ends_at, _("fin de vacation, {role}", role=function.role_name)
        )
        for function in facts.staffing.items
        for person in function.people
        if person.shift_ends_at is not None
    ]


# ── view ───────────────────────────────────────────────────────────────────────────────────────


def complete_page(
    document: Document, row: HandoverRow, objective: str | None, names: TerritoryNames
) -> Document:
    """Add the objective, the signatures and the recipients to the page, in every language."""
    sheets = {
        lang: _complete_sheet(sheet, row, objective, names, get_translator(lang))
        for lang, sheet in document.sheets.items()
    }
    return document.model_copy(update={"sheets": sheets})


def _complete_sheet(
    sheet: Sheet, row: HandoverRow, objective: str | None, names: TerritoryNames, _: Translator
) -> Sheet:
    words = [part for part in (objective or "").splitlines() if part.strip()]
    lines = tuple(DocumentLine(text=part, mark="remark") for part in words)
    sections = [
        s.model_copy(update={"lines": lines}) if s.id == OBJECTIVE else s for s in sheet.sections
    ]
    sections.append(_write_signatures(row, names, _))
    mark = _DRAFT_MARKS.get(row.state)
    return sheet.model_copy(
        update={"sections": tuple(sections), "draft": _(mark) if mark is not None else ""}
    )


def _write_signatures(row: HandoverRow, names: TerritoryNames, _: Translator) -> DocumentSection:
    """Write the signatures as roles with their times, and the recipients."""
    signatures = [(_("Sortant"), row.signed), (_("Entrant"), row.accepted)]
    cells = []
    for label, signature in signatures:
        text = "………………"
        if signature is not None:
            at = times.of(signature.at)
            who = name_signer(signature.by, signature.role, names, _)
            text = _("{who}, {day} à {at}", who=who, day=times.day(at, _.lang), at=times.hms(at))
        cells += [label, text]
    recipients = ", ".join(name_recipient(one, names, _) for one in row.recipients)
    return DocumentSection(
        id="signatures",
        title=_("Signatures"),
        table=Table(
            columns=(
                TableColumn(title=_("Signataire")),
                TableColumn(title=_("Fonction, heure"), wide=True),
                TableColumn(title=_("Signataire")),
                TableColumn(title=_("Fonction, heure"), wide=True),
            ),
            rows=(TableRow(cells=tuple(cells)),),
            note=_("Diffusion après les deux signatures : {names}.", names=recipients),
        ),
    )


def name_signer(author: str, role: str, names: TerritoryNames, _: Translator) -> str:
    """Return the function of a person of the roster, or the role of an account."""
    if author in names.holders:
        return w.name_person(author, names, _)
    return w.name_role(role, None, names, _)


def name_recipient(recipient: str, names: TerritoryNames, _: Translator) -> str:
    """Return the name of a recipient: a role with its place, or the role of a person."""
    if names.has_site(recipient):
        return _("responsable, {site}", site=names.site(recipient))
    role, _sep, scope = recipient.partition(":")
    if scope or role in names.roles or role in w.ROLE:
        return w.name_role(role, scope or None, names, _)
    return w.name_person(recipient, names, _)
