"""Compute the state of continuity after one fact. Nothing is decided here."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from schemas.alerts import AttentionRequested, MetricChanged
from schemas.base import Fact, Instant
from schemas.continuity import (
    ActivityChanged,
    ActivityDeclared,
    AgendaChanged,
    AlarmArbitrated,
    AlarmRaised,
    AreaOrderHeard,
    DependencyHeard,
    ImprovementChanged,
    IncidentHeard,
    LevelHeard,
    LocalClockChanged,
    PlanChanged,
    SiteCardChanged,
    SiteHeard,
    SitrepIssued,
    StrategyChanged,
    TriggerHeard,
)
from schemas.crisis.resource_requests import OVER_STATES, ResourceRequestChanged, StockChanged
from schemas.reassignment import (
    Decision,
    LineRow,
    LineState,
    ProposalChanged,
    ProposalLinesRecorded,
    ProposalRequested,
    ProposalRow,
    ProposalState,
    ReassignmentChanged,
    ReassignmentRow,
    RefusedMove,
    TravelDeclared,
)
from schemas.reference import ReferencePublished, Section
from schemas.runtime import DeadlineFailed
from schemas.words import ACTIVE_PLAN_STATES, ActivityState
from services.continuity.activities.impact_analysis import ImpactAnalysis, compile_impact_analysis
from services.continuity.state import (
    KEPT_SECTIONS,
    NO_LOCAL_CLOCKS,
    NO_SITE_CARDS,
    ContinuityState,
    index_unwell_sites,
    list_journeys,
    list_proposal_lines,
    share_sections,
    update_unwell_site,
)
from services.runtime.decider.maps import Map


def _replace_fields(state: ContinuityState, **changes: Any) -> ContinuityState:
    """Replace fields like `dataclasses.replace`, without the cost of the constructor.

    A state has two dozen fields, and a fact changes one or two.
    """
    new_state = object.__new__(ContinuityState)
    new_state.__dict__.update(state.__dict__)
    new_state.__dict__.update(changes)
    return new_state


def evolve(state: ContinuityState, fact: Fact, at: Instant) -> ContinuityState:
    """Return the state after one fact. A fact of another service changes nothing."""
    step = _EVOLVE_BY_FACT.get(type(fact))
    return state if step is None else step(state, fact, at)


def _evolve_site(state: ContinuityState, fact: SiteHeard, _: Instant) -> ContinuityState:
    return _replace_fields(
        state,
        sites=state.sites.set(fact.site, fact),
        unwell=update_unwell_site(state.unwell, state.bia, fact),
    )


def _evolve_area_order(state: ContinuityState, fact: AreaOrderHeard, _: Instant) -> ContinuityState:
    orders = state.area_orders
    if fact.sites:
        return _replace_fields(state, area_orders=orders.set(fact.order, fact))
    return _replace_fields(state, area_orders=orders.delete(fact.order))


def _evolve_reference(
    state: ContinuityState, fact: ReferencePublished, at: Instant
) -> ContinuityState:
    incoming = state.incoming
    if fact.data.section in KEPT_SECTIONS:
        incoming = incoming.set(fact.data.section.value, fact)
    if not fact.last:
        return _replace_fields(state, incoming=incoming)
    sections = state.sections.update(share_sections(incoming))
    if Section.RESOURCES.value in sections and Section.RESOURCES.value not in incoming:
        sections = sections.delete(Section.RESOURCES.value)  # the version has none
    bia = compile_impact_analysis(fact.reference, sections)
    return _replace_fields(
        state,
        reference=fact.reference,
        sections=sections,
        incoming=Map(),
        bia=bia,
        unwell=index_unwell_sites(bia, state.sites),
        sitrep_from=_find_rhythm_start(bia, state.level, state.sitrep_from, at),
    )


def _evolve_local_clock(
    state: ContinuityState, fact: LocalClockChanged, _: Instant
) -> ContinuityState:
    row = fact.row
    return _replace_fields(
        state,
        local=state.local.set(
            row.activity, state.local.get(row.activity, NO_LOCAL_CLOCKS).set(row.site, row)
        ),
    )


def _find_rhythm_start(
    bia: ImpactAnalysis | None, level: int, before: Instant | None, at: Instant
) -> Instant | None:
    """Return the start of the interval: `at` unless it began before; None without a rhythm."""
    if bia is None or bia.sitrep_every_ms(level) is None:
        return None
    return at if before is None else before


def _evolve_declaration(
    state: ContinuityState, fact: ActivityDeclared, _: Instant
) -> ContinuityState:
    if fact.state is not None:
        return _replace_fields(state, declared=state.declared.set(fact.activity, fact))
    declarations = (
        state.declared.delete(fact.activity) if fact.activity in state.declared else state.declared
    )
    return _replace_fields(
        state, declared=declarations, floors=_raise_floor(state, fact.activity, fact.occurred_at)
    )


def _evolve_strategy(state: ContinuityState, fact: StrategyChanged, _: Instant) -> ContinuityState:
    row = fact.row
    state = _replace_fields(state, strategies=state.strategies.set(row.id, row))
    return (
        state
        if row.ended_at is None
        else _replace_fields(state, floors=_raise_floor(state, row.activity, row.ended_at))
    )


def _raise_floor(state: ContinuityState, activity: str, at: Instant) -> Map[str, Instant]:
    """Raise the floor of an activity's clock; never lower it: a strategy may have held on."""
    return state.floors.set(activity, max(at, state.floors.get(activity, at)))


def _evolve_alarm(state: ContinuityState, fact: AlarmRaised, _: Instant) -> ContinuityState:
    return (
        _replace_fields(state, alarms=state.alarms.set(fact.row.id, fact.row))
        if fact.row.demands == "arbitration"
        else state
    )


def _evolve_arbitration(
    state: ContinuityState, fact: AlarmArbitrated, _: Instant
) -> ContinuityState:
    return (
        _replace_fields(state, alarms=state.alarms.delete(fact.row.id))
        if fact.row.id in state.alarms
        else state
    )


def _evolve_level(state: ContinuityState, fact: LevelHeard, at: Instant) -> ContinuityState:
    return _replace_fields(
        state,
        level=fact.level,
        sitrep_from=_find_rhythm_start(state.bia, fact.level, state.sitrep_from, at),
    )


def _evolve_sitrep(state: ContinuityState, fact: SitrepIssued, _: Instant) -> ContinuityState:
    row = fact.row
    began_at = row.as_of if row.next_at is not None else None
    return _replace_fields(state, sitreps=row.number, sitrep_as_of=row.as_of, sitrep_from=began_at)


def _evolve_improvement(
    state: ContinuityState, fact: ImprovementChanged, _: Instant
) -> ContinuityState:
    row = fact.row
    if row.state == "open":
        return _replace_fields(state, improvements=state.improvements.set(row.id, row))
    return (
        _replace_fields(state, improvements=state.improvements.delete(row.id))
        if row.id in state.improvements
        else state
    )


def _evolve_request(
    state: ContinuityState, fact: ResourceRequestChanged, _: Instant
) -> ContinuityState:
    row = fact.row
    over = row.state in OVER_STATES
    other_requests = state.requests.delete(row.id) if row.id in state.requests else state.requests
    return _replace_fields(
        state,
        requests=other_requests if over else state.requests.set(row.id, row),
        request_count=max(state.request_count, row.number),
    )


def _evolve_proposal(state: ContinuityState, fact: ProposalChanged, _: Instant) -> ContinuityState:
    row = fact.row
    proposals = state.proposals.set(row.id, row)
    match fact.change:
        case "computed" | "failed":
            retained_ids = {
                row.id,
                *(
                    id
                    for id, p in state.proposals.items()
                    if p.superseded_by == row.id or p.state is ProposalState.OPEN
                ),
            }
            return _replace_fields(
                state,
                answered=True,
                proposals=Map({id: p for id, p in proposals.items() if id in retained_ids}),
                proposal_lines=Map(
                    {
                        id: part
                        for id, part in state.proposal_lines.items()
                        if part.proposal in retained_ids
                    }
                ),
            )
        case "approved":
            decision, decided_ids = row.decisions[-1], set(row.decisions[-1].lines)
            approved_lines = {
                line.id: _build_approved_row(row, line, decision)
                for line in list_proposal_lines(state, row.id)
                if line.id in decided_ids
            }
            return _replace_fields(
                state, proposals=proposals, moved=state.moved.update(approved_lines)
            )
        case "lapsed":  # the crisis is over, and with it what a site refused in it
            return _replace_fields(state, proposals=proposals, refused=Map())
        case _:
            return _replace_fields(state, proposals=proposals)


def _build_approved_row(row: ProposalRow, line: LineRow, decision: Decision) -> ReassignmentRow:
    return ReassignmentRow(
        **dict(line),
        proposal=row.id,
        decision=decision.id,
        state=LineState.APPROVED,
        incident=row.incident,
        needed=line.count,
        approved_by=decision.by,
        approved_role=decision.role,
        approved_at=decision.at,
        rules=decision.rules,
    )


def _evolve_reassignment(
    state: ContinuityState, fact: ReassignmentChanged, _: Instant
) -> ContinuityState:
    row, before = fact.row, state.moved.get(fact.row.id)
    over = row.state in (LineState.RELEASED, LineState.VOID, LineState.REFUSED)
    if row.state is LineState.REFUSED:
        move = RefusedMove(site=row.site, activity=row.activity, metier=row.metier, place=row.place)
        state = _replace_fields(state, refused=state.refused.set(row.id, move))
    state = _replace_fields(
        state, moved=state.moved.delete(row.id) if over else state.moved.set(row.id, row)
    )
    if over or row.state is LineState.ARRIVED:
        state = _replace_fields(state, stopped=_remove_lines(state.stopped, (row.id,)))
    was_there, is_there = (
        before is not None and before.state is LineState.ARRIVED,
        row.state is LineState.ARRIVED,
    )
    if was_there == is_there:
        return state
    activity = row.worked_activity
    count = state.arrivals.get(activity, 0) + (row.count if is_there else -row.count)
    arrivals = state.arrivals.set(activity, count) if count > 0 else state.arrivals.delete(activity)
    activity_row = state.activities.get(activity)
    raises_floor = (
        over
        and row.ended_at is not None
        and activity_row is not None
        and activity_row.arrived
        and activity_row.computed is not ActivityState.INTERRUPTED
    )
    floors = _raise_floor(state, activity, row.ended_at or 0) if raises_floor else state.floors
    return _replace_fields(state, arrivals=arrivals, floors=floors)


def _evolve_plan(state: ContinuityState, fact: PlanChanged, _: Instant) -> ContinuityState:
    """Replace a plan; its site cards end with its life."""
    row, before = fact.row, state.plans.get(fact.row.id)
    state = _replace_fields(state, plans=state.plans.set(row.id, row))
    over = row.state not in ACTIVE_PLAN_STATES or (before is not None and before.life != row.life)
    if over and row.id in state.site_cards:
        return _replace_fields(state, site_cards=state.site_cards.delete(row.id))
    return state


def _evolve_site_card(state: ContinuityState, fact: SiteCardChanged, _: Instant) -> ContinuityState:
    row = fact.row
    rows = state.site_cards.get(row.plan, NO_SITE_CARDS).set(row.id, row)
    return _replace_fields(state, site_cards=state.site_cards.set(row.plan, rows))


def _evolve_attention(
    state: ContinuityState, fact: AttentionRequested, at: Instant
) -> ContinuityState:
    """Remember when the owner of site cards was told about them, and which agents wait.

    Other demands change nothing.
    """
    if fact.code in ("reassignment_stopped", "reassignment_resumed"):
        return _evolve_stop(state, fact)
    if fact.cards is None:
        return state
    owner = f"{fact.roles[0]}/{fact.site or fact.pole or ''}"
    return _replace_fields(state, reminded=state.reminded.set(owner, at))


def _remove_lines(stopped: Map[str, None], lines: Iterable[str]) -> Map[str, None]:
    for id in lines:
        stopped = stopped.delete(id) if id in stopped else stopped
    return stopped


def _evolve_stop(state: ContinuityState, fact: AttentionRequested) -> ContinuityState:
    """Note that agents from a site wait for the end of an order, or go on. Rule D78, nobody leaves."""
    lines = [
        row.id for row in list_journeys(state) if (row.site, row.place) == (fact.site, fact.barred)
    ]
    if fact.code == "reassignment_stopped":
        return _replace_fields(state, stopped=state.stopped.update(dict.fromkeys(lines)))
    return _replace_fields(state, stopped=_remove_lines(state.stopped, lines))


def _evolve_deadlines(
    state: ContinuityState, changes: dict[str, Instant | None]
) -> ContinuityState:
    agenda = state.agenda.with_changes(changes)
    return _replace_fields(state, agenda=agenda, due=agenda.due)


_EVOLVE_BY_FACT: Final[
    dict[type[Fact], Callable[[ContinuityState, Any, Instant], ContinuityState]]
] = {
    SiteHeard: _evolve_site,
    AreaOrderHeard: _evolve_area_order,
    ReferencePublished: _evolve_reference,
    DependencyHeard: lambda s, f, _: _replace_fields(s, dependencies=s.dependencies.set(f.id, f)),
    IncidentHeard: lambda s, f, _: _replace_fields(s, incidents=s.incidents.set(f.incident, f)),
    LevelHeard: _evolve_level,
    TriggerHeard: lambda s, f, _: _replace_fields(s, triggers=s.triggers.set(f.trigger, f)),
    ActivityChanged: lambda s, f, _: _replace_fields(
        s, activities=s.activities.set(f.row.id, f.row)
    ),
    LocalClockChanged: _evolve_local_clock,
    PlanChanged: _evolve_plan,
    SiteCardChanged: _evolve_site_card,
    AttentionRequested: _evolve_attention,
    StrategyChanged: _evolve_strategy,
    ActivityDeclared: _evolve_declaration,
    AlarmRaised: _evolve_alarm,
    AlarmArbitrated: _evolve_arbitration,
    SitrepIssued: _evolve_sitrep,
    ImprovementChanged: _evolve_improvement,
    ProposalRequested: lambda s, f, at: _replace_fields(s, asked=f, asked_at=at, answered=False),
    ProposalLinesRecorded: lambda s, f, _: _replace_fields(
        s, proposal_lines=s.proposal_lines.set(f.row.id, f.row)
    ),
    ProposalChanged: _evolve_proposal,
    ReassignmentChanged: _evolve_reassignment,
    TravelDeclared: lambda s, f, _: _replace_fields(s, travel=f),
    ResourceRequestChanged: _evolve_request,
    StockChanged: lambda s, f, _: _replace_fields(s, stocks=s.stocks.set(f.row.id, f.row)),
    MetricChanged: lambda s, f, _: _replace_fields(s, told=s.told.set(f.key, float(f.value))),
    AgendaChanged: lambda s, f, _: _evolve_deadlines(s, f.due),
    DeadlineFailed: lambda s, f, _: _evolve_deadlines(s, {f.key: None}),
}
