"""Page `/incidents/{id}`: one incident."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.reassignment import ACTIVE_LINE_STATES, ProposalState
from schemas.words import LIBRARY_STATES, ActivityState, IncidentState
from services.console.actions.page import ActionLine
from services.console.continuity.clocks import RunningClock
from services.console.continuity.plan_rights import build_card_right
from services.console.http.scopes import may_answer_crisis
from services.console.i18n import N_, Translator
from services.console.incidents import page as incident
from services.console.incidents.area_order_page import AreaOrderView, build_area_order_views
from services.console.incidents.escalation_page import EscalationView, find_incident_escalation
from services.console.incidents.page import LevelReason, MemberSite, PlanCards, PlanLine
from services.console.incidents.titles import describe_cause
from services.console.logbook.line_list import build_entries
from services.console.resources import Incident, Proposal
from services.console.texts import words as w
from services.console.texts.reasons import describe_reason
from services.console.web.access import PageMoved
from services.console.web.screen_context import (
    ACTIVITY_STATE_FORMS,
    LINE_LIMIT,
    ScreenData,
    ScreenPage,
    load_action_lines,
    load_answers,
    load_escalations,
    load_first_words,
    load_lines,
    make_pluralizer,
)
from services.runtime.identity.permissions import Permission

OPEN_STATES: Final = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)


async def build_incident_page(x: ScreenData, id: str) -> dict[str, Any]:
    """Build `incident.html`. Raises NotFound, or Elsewhere for a merged incident."""
    lang = x.shell.lang
    current_incident = await x.queries.incident(id)
    if current_incident.merged_into is not None:
        raise PageMoved(x.shell.url(f"/incidents/{current_incident.merged_into}"))
    ladder = await load_answers(x, find_incident_escalation(await load_escalations(x), id))
    facts, journal, plans, proposals, reassignments = await asyncio.gather(
        x.queries.timeline(incident=id, kind=("fact",), limit=LINE_LIMIT),
        load_lines(x, incident_id=id),
        x.queries.plans(),
        x.queries.proposals(incident=id, state=(ProposalState.OPEN,)),
        x.queries.reassignments(incident=id, limit=LINE_LIMIT),
    )
    conflicts = await x.queries.conflicts()
    area_orders = build_area_order_views(await x.queries.area_orders(id), x.shell.now, x.names, x._)
    merged_ids = await x.queries.merged_incidents(id)
    mine = [p for p in plans.items if p.incident is None or p.incident in merged_ids]
    hit = incident.list_affected_activities(current_incident, merged_ids, x.activities)
    clocks = [
        c
        for c in x.clocks
        if c.activity in {a.id for a in hit}
        and (c.site is None or c.site in {*current_incident.sites, *current_incident.zone_sites})
    ]
    levels = list_levels(x, current_incident, incident.map_report_sites(facts.items))
    first_words = await load_first_words(x, id)
    is_open = current_incident.state in OPEN_STATES
    members = incident.list_member_sites(
        current_incident, merged_ids, x.sites, facts.items, hit, x.names, x.shell.lang, x._
    )
    triggers = await x.queries.triggers()
    lines = incident.list_plans(mine, x.shell.now, x.names, lang, x._, triggers)
    works = build_card_right(x.shell.reader.principal, x.reference)
    cards = incident.list_plan_cards(mine, x.shell.now, x.names, x._, works=works)
    actions = await load_action_lines(x, incident_id=id)
    ladders = [ladder] if ladder else []
    proposal = next(iter(proposals), None)
    thematic = next((p for p in mine if p.pole is None and p.state not in LIBRARY_STATES), None)
    figures = incident.count_figures(current_incident, x.sites, hit)
    return {
        "incident": current_incident,
        "levels": levels,
        "steps": incident.list_phases(current_incident, levels, thematic, x.shell.now, x._),
        "figures": figures,
        "lags": incident.draw_delays(facts.items, levels, current_incident.opened_at, x.shell.now),
        "clocks": clocks,
        "clocks_shown": incident.CLOCKS_SHOWN,
        "activity_counts": _format_counts(figures.activities, x._),
        "members": members[: incident.MEMBERS_SHOWN],
        "members_all": len(members),
        "entries": build_entries(journal, x.names, x._, incident.LINES_SHOWN),
        "jumps": list_sections(
            x, ladders, lines, proposal, actions, cards, clocks, members, area_orders
        ),
        "area_orders": area_orders,
        "ladders": ladders,
        "steps_shown": incident.STEPS_SHOWN,
        "waiting_plans": [p for p in lines if p.to_decide],
        "decided_plans": [p for p in lines if not p.to_decide],
        "decided_shown": incident.DECIDED_SHOWN,
        "plan_counts": incident.count_states((p for p in lines if not p.to_decide), x._),
        "conflicts": incident.map_conflicts(conflicts),
        "policy": x.reference.version,
        "cards": cards,
        "open_card_lists": incident.CARD_LISTS_OPEN,
        "actions": actions,
        "ahead": incident.find_next_break(clocks, x.shell.now),
        "first_words": first_words,
        "withdrawal": await x.queries.find_withdrawal(id) if is_open else None,
        "read_reports": (first_words.report,) if first_words else (),
        "kept_levels": _list_refusals(x),
        "takers": name_acknowledgers(current_incident, x),
        "cause": describe_cause(current_incident.kind, current_incident.cause.key, x.names, lang),
        "proposal": proposal,
        "under_way": sum(
            line.count for line in reassignments.items if line.state in ACTIVE_LINE_STATES
        ),
        "leaving": incident.list_separable_reports(current_incident, facts.items),
        "others": [
            i for i in x.shell.overview.incidents if i.id != id and x.shell.reader.reaches(i)
        ],
        "open": is_open,
        "can_answer": await may_answer(x, current_incident),
    }


@dataclass(frozen=True, slots=True)
class PageSection:
    """A link of the list of sections, with the number of things that wait there."""

    anchor: str
    label: str
    count: str = ""
    tone: str = ""


def list_sections(
    x: ScreenData,
    ladders: Sequence[EscalationView],
    plans: Sequence[PlanLine],
    proposal: Proposal | None,
    actions: Sequence[ActionLine],
    cards: Sequence[PlanCards],
    clocks: Sequence[RunningClock],
    members: Sequence[MemberSite],
    area_orders: Sequence[AreaOrderView],
) -> list[PageSection]:
    """List the sections of the page, those with an open decision first."""
    _, level = x._, x.shell.overview.level.proposed
    waiting = sum(p.to_decide for p in plans)
    undecided_count = proposal.undecided if proposal is not None else 0
    overdue = sum(c.late for c in cards)
    late_actions = sum(line.action.late for line in actions)

    def late(n: int) -> str:
        return _.plural("{n} en retard", "{n} en retard", n) if n else ""

    def to_decide(n: int) -> str:
        return _.plural("{n} à décider", "{n} à décider", n) if n else ""

    decides = "level-menu" if x.shell.reader.may(Permission.LEVEL_SET) else "why"
    sections = [
        PageSection(decides, _("Niveau"), _("N{level} proposé", level=level), "over")
        if level
        else None,
        PageSection("area-orders", area_orders[0].title, area_orders[0].silent_text, "over")
        if area_orders
        else None,
        PageSection("plans", _("Plans"), to_decide(waiting), "soon") if plans else None,
        PageSection("moves", _("Réaffectation"), to_decide(undecided_count), "soon")
        if proposal is not None
        else None,
        PageSection("cards", _("Fiches réflexes"), late(overdue), "over") if cards else None,
        PageSection("actions", _("Actions"), late(late_actions), "over") if actions else None,
        *(PageSection(f"ladder-{one.id}", _("Escalade {name}", name=one.name)) for one in ladders),
        PageSection("clocks", _("Activités atteintes")) if clocks else None,
        PageSection("members", _("Sites"), str(len(members))) if members else None,
        PageSection("log", _("Main courante")) if x.shell.reader.may(Permission.LOG_READ) else None,
    ]
    present_sections = [one for one in sections if one is not None]
    return sorted(present_sections, key=lambda one: one.tone == "" or one.count == "")


def list_levels(
    x: ScreenData, current_incident: Incident, where: Mapping[str, str]
) -> list[LevelReason]:
    """Return the reason for each level, with those a person decided for the territory."""
    decided_reasons = [r for r in x.shell.overview.level.why if incident.is_decided(r)]
    return incident.list_level_reasons(
        [*current_incident.why, *decided_reasons],
        where,
        x.names,
        x.shell.lang,
        _choose_text_reader(x),
    )


def _list_refusals(x: ScreenData) -> list[LevelReason]:
    """Return the proposed levels that a person refused."""
    refusals = [
        r for r in x.shell.overview.level.why if incident.is_decided(r) and "refused" in r.args
    ]
    words = _choose_text_reader(x)
    return [
        LevelReason(
            x.shell.overview.level.level,
            r.at,
            describe_reason(r, x.names, x.shell.lang),
            "",
            words(str(r.args.get("reason", ""))) or "",
        )
        for r in refusals
    ]


def _choose_text_reader(x: ScreenData) -> Callable[[str], str | None]:
    """Return a function that reads the text behind a reason.

    For readers without the right to the logbook it always returns None.
    """
    return (
        x.queries.reason_of if x.shell.reader.may(Permission.LOG_READ) else lambda _reference: None
    )


async def may_answer(x: ScreenData, current_incident: Incident) -> bool:
    """Return whether the reader may take charge of the incident.

    A crisis calls the directors of all pôles, hit or not.
    """
    reader = x.shell.reader
    if not reader.may(Permission.INCIDENT_ACKNOWLEDGE):
        return False
    return reader.reaches(current_incident) or (
        may_answer_crisis(reader.principal)
        and await x.queries.has_called_directors(current_incident.id)
    )


def name_acknowledgers(current_incident: Incident, x: ScreenData) -> str:
    """Name the first three acknowledgers of the incident."""
    return ", ".join(w.name_acknowledgers(current_incident.acknowledged_by, x.names, x._)[:3])


def _format_counts(by_state: dict[ActivityState, int], _: Translator) -> str:
    word = make_pluralizer(ACTIVITY_STATE_FORMS, _)
    parts = [
        f"{by_state[s]} {word(s, by_state[s])}" for s in ACTIVITY_STATE_FORMS if by_state.get(s)
    ]
    return ", ".join(parts) + "." if parts else ""


PAGE: Final = ScreenPage(
    "incident", "/incidents/{id}", "incident.html", build_incident_page, N_("Incident")
)
