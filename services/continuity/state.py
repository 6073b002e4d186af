"""State of continuity in one realm, and the effect of each fact on it.

`Memory` is the part that a snapshot holds. `State` adds derived values: the compiled analysis, the
sites that are not well by kind, and the deadlines. Collections are persistent maps: a state is
never changed, only followed by another. Maps have no reliable order, so sort before you make facts
from one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from schemas.alerts import MetricChanged
from schemas.base import Fact, Instant
from schemas.continuity import (
    ActivityChanged,
    ActivityDeclared,
    ActivityRow,
    AgendaChanged,
    AlarmArbitrated,
    AlarmRaised,
    AlarmRow,
    CauseHeard,
    DependencyHeard,
    ImprovementChanged,
    ImprovementRow,
    IncidentHeard,
    LevelHeard,
    LocalClockChanged,
    LocalClockRow,
    PlanChanged,
    PlanRow,
    SiteHeard,
    SitrepIssued,
    StrategyChanged,
    StrategyRow,
    TriggerHeard,
)
from schemas.reassignment import (
    Decision,
    LineRow,
    LinesRow,
    LineState,
    ProposalChanged,
    ProposalLinesRecorded,
    ProposalRequested,
    ProposalRow,
    ProposalState,
    ReassignmentChanged,
    ReassignmentRow,
    TravelDeclared,
)
from schemas.reference import ReferencePublished, Section
from schemas.runtime import DeadlineFailed
from schemas.shared import shared
from schemas.words import ActivityState, EventType, SiteStatus
from services.continuity.activities.impact_analysis import Bia, compile_bia
from services.continuity.deadlines import Agenda
from services.runtime.decider.maps import Map

CLOSING: Final = frozenset((EventType.CLOSURE, EventType.PARTIAL_CLOSURE))
"""Causes that cost nothing if the activity itself closes sites (`fermeture_sans_perte`, D40)."""
NO_LOCAL: Final[Map[str, LocalClockRow]] = Map()
KEPT_SECTIONS: Final = frozenset(
    (Section.SITES, Section.ACTIVITIES, Section.ESCALATION, Section.PLANS)
)
RECORDED_SECTIONS: Final = KEPT_SECTIONS | {Section.STAFFING}
"""Staffing is for the planner, which reads the log, so the state leaves it out."""


def worst_cause(causes: Sequence[CauseHeard]) -> CauseHeard | None:
    """Return the cause that costs most; among equals the gravest, then the earliest."""
    if len(causes) == 1:
        return causes[0]
    return max(causes, key=lambda c: (c.loss_pct, c.severity, -c.since, c.id), default=None)


@dataclass(frozen=True, slots=True)
class Place:
    """A site that is not well, as activities see it. Losses in hundredths of a percent."""

    site: str
    status: SiteStatus
    since: Instant
    causes: tuple[CauseHeard, ...]
    worst: CauseHeard | None
    """The cause that costs most; among equals the gravest, then the earliest."""
    costs: tuple[tuple[int, CauseHeard], ...]
    """Causes that cost something, each with its loss."""
    loss: int
    """The largest loss: losses do not add up (D14)."""
    costs_when_closing_is_work: tuple[tuple[int, CauseHeard], ...]
    """Costs without closures (`fermeture_sans_perte`, D40)."""
    loss_when_closing_is_work: int
    kitchen: Self | None = None
    """Place as the meals see it, if meals lose more than the site; None: no difference."""

    @classmethod
    def of(cls, heard: SiteHeard) -> Self:
        costs = tuple(
            (loss, cause) for cause in heard.causes if (loss := round(cause.loss_pct * 100))
        )
        others = tuple(cost for cost in costs if cost[1].type not in CLOSING)
        return cls(
            heard.site,
            heard.status,
            heard.since,
            heard.causes,
            worst_cause(heard.causes),
            costs,
            max((c[0] for c in costs), default=0),
            others,
            max((c[0] for c in others), default=0),
            cls._kitchen(heard),
        )

    @classmethod
    def _kitchen(cls, heard: SiteHeard) -> Self | None:
        if all(cause.meals_lost_pct <= cause.loss_pct for cause in heard.causes):
            return None
        causes = (
            c.model_copy(
                update={"loss_pct": max(c.loss_pct, c.meals_lost_pct), "meals_lost_pct": 0.0}
            )
            for c in heard.causes
        )
        return cls.of(heard.model_copy(update={"causes": tuple(causes)}))

    @property
    def well(self) -> bool:
        """True if the site is normal and has no cause."""
        return self.status is SiteStatus.NORMAL and not self.causes


@dataclass(frozen=True)
class Memory:
    realm: str
    lineage: str
    reference: str = ""
    """Version in force; empty before the first."""
    level: int = 0
    """Level of the territory; decides only the pilot and the interval of situation reports."""
    sections: Map[str, ReferencePublished] = Map()
    incoming: Map[str, ReferencePublished] = Map()
    """Sections of a version that is not in force yet."""
    sites: Map[str, SiteHeard] = Map()
    dependencies: Map[str, DependencyHeard] = Map()
    incidents: Map[str, IncidentHeard] = Map()
    triggers: Map[str, TriggerHeard] = Map()
    activities: Map[str, ActivityRow] = Map()
    local: Map[str, Map[str, LocalClockRow]] = Map()
    """Activity → site → its clocks there, including those that stopped long ago."""
    strategies: Map[str, StrategyRow] = Map()
    declared: Map[str, ActivityDeclared] = Map()
    floors: Map[str, Instant] = Map()
    """Activity → end of its last strategy or declaration; its clock cannot start earlier."""
    plans: Map[str, PlanRow] = Map()
    alarms: Map[str, AlarmRow] = Map()
    """Alarms that wait for an arbitration. Rule D44."""
    told: Map[str, float] = Map()
    """Metric key → value that alerts knows."""
    due: Map[str, Instant] = Map()
    sitreps: int = 0
    """Number of the last situation report."""
    sitrep_as_of: Instant = 0
    sitrep_from: Instant | None = None
    """Start of the current interval; None: no rhythm now.

    This is the last situation report, or the time at which the level got a rhythm. Rule D54.
    """
    improvements: Map[str, ImprovementRow] = Map()
    """Open improvement actions. Rule D53."""
    asked: ProposalRequested | None = None
    """Last request to the planner."""
    asked_at: Instant = 0
    answered: bool = True
    """False while the planner works on it."""
    proposals: Map[str, ProposalRow] = Map()
    """Last proposal and the one before.

    If the last one could not be computed, the other is the one still in force.
    """
    proposal_lines: Map[str, LinesRow] = Map()
    """Parts of the lines of those proposals."""
    moved: Map[str, ReassignmentRow] = Map()
    """Approved lines that are not over."""
    travel: TravelDeclared = TravelDeclared()
    """Declaration of a person about transport and telework."""


@dataclass(frozen=True)
class State(Memory):
    """`Memory` with the values derived from it."""

    bia: Bia | None = field(default=None, compare=False)
    unwell: Map[str, Map[str, Place]] = Map()
    """Kind of site → site → trouble there."""
    agenda: Agenda = Agenda()
    arrivals: Map[str, int] = Map()
    """Activity → reassigned agents at work for it. Rule D81."""

    @classmethod
    def restore(cls, memory: Memory) -> State:
        """Build the state from a memory."""
        known = {f.name: getattr(memory, f.name) for f in fields(Memory)} | {
            "sections": _held_once(memory.sections)
        }
        bia = compile_bia(memory.reference, known["sections"]) if memory.reference else None
        return cls(
            **known,
            bia=bia,
            unwell=_all_unwell(bia, memory.sites),
            agenda=Agenda.restore(memory.due),
            arrivals=_arrivals(memory.moved.values()),
        )


def _arrivals(rows: Iterable[ReassignmentRow]) -> Map[str, int]:
    """Count the agents at work by activity."""
    found: Map[str, int] = Map()
    for row in rows:
        if row.state is LineState.ARRIVED:
            found = found.set(row.worked_activity, found.get(row.worked_activity, 0) + row.count)
    return found


def _all_unwell(bia: Bia | None, sites: Map[str, SiteHeard]) -> Map[str, Map[str, Place]]:
    unwell: Map[str, Map[str, Place]] = Map()
    for heard in sites.values():
        unwell = _with_place(unwell, bia, heard)
    return unwell


def _with_place(
    unwell: Map[str, Map[str, Place]], bia: Bia | None, heard: SiteHeard
) -> Map[str, Map[str, Place]]:
    site = bia.sites.get(heard.site) if bia else None
    if site is None:
        return unwell
    of_kind, place = unwell.get(site.kind, Map()), Place.of(heard)
    if not place.well:
        return unwell.set(site.kind, of_kind.set(heard.site, place))
    if heard.site not in of_kind:
        return unwell
    rest = of_kind.delete(heard.site)
    return unwell.set(site.kind, rest) if rest else unwell.delete(site.kind)


def _with(state: State, **changes: Any) -> State:
    """Replace fields like `dataclasses.replace`, without the cost of the constructor.

    A state has two dozen fields, and a fact changes one or two.
    """
    made = object.__new__(State)
    made.__dict__.update(state.__dict__)
    made.__dict__.update(changes)
    return made


def evolve(state: State, fact: Fact, at: Instant) -> State:
    """Return the state after one fact. A fact of another service changes nothing."""
    step = _STEPS.get(type(fact))
    return state if step is None else step(state, fact, at)


def _site(state: State, fact: SiteHeard, _: Instant) -> State:
    return _with(
        state,
        sites=state.sites.set(fact.site, fact),
        unwell=_with_place(state.unwell, state.bia, fact),
    )


def _held_once(sections: Map[str, ReferencePublished]) -> Map[str, ReferencePublished]:
    return Map(
        {
            name: published.model_copy(update={"data": shared(published.data)})
            for name, published in sections.items()
        }
    )


def _reference(state: State, fact: ReferencePublished, at: Instant) -> State:
    incoming = state.incoming
    if fact.data.section in KEPT_SECTIONS:
        incoming = incoming.set(fact.data.section.value, fact)
    if not fact.last:
        return _with(state, incoming=incoming)
    sections = state.sections.update(_held_once(incoming))
    bia = compile_bia(fact.reference, sections)
    return _with(
        state,
        reference=fact.reference,
        sections=sections,
        incoming=Map(),
        bia=bia,
        unwell=_all_unwell(bia, state.sites),
        sitrep_from=_rhythm_from(bia, state.level, state.sitrep_from, at),
    )


def _local(state: State, fact: LocalClockChanged, _: Instant) -> State:
    row = fact.row
    return _with(
        state,
        local=state.local.set(
            row.activity, state.local.get(row.activity, NO_LOCAL).set(row.site, row)
        ),
    )


def _rhythm_from(
    bia: Bia | None, level: int, before: Instant | None, at: Instant
) -> Instant | None:
    """Return the start of the interval: `at` unless it began before; None without a rhythm."""
    if bia is None or bia.sitrep_every_ms(level) is None:
        return None
    return at if before is None else before


def _declared(state: State, fact: ActivityDeclared, _: Instant) -> State:
    if fact.state is not None:
        return _with(state, declared=state.declared.set(fact.activity, fact))
    gone = (
        state.declared.delete(fact.activity) if fact.activity in state.declared else state.declared
    )
    return _with(state, declared=gone, floors=_raised(state, fact.activity, fact.occurred_at))


def _strategy(state: State, fact: StrategyChanged, _: Instant) -> State:
    row = fact.row
    state = _with(state, strategies=state.strategies.set(row.id, row))
    return (
        state
        if row.ended_at is None
        else _with(state, floors=_raised(state, row.activity, row.ended_at))
    )


def _raised(state: State, activity: str, at: Instant) -> Map[str, Instant]:
    """Raise the floor of an activity's clock; never lower it: a strategy may have held on."""
    return state.floors.set(activity, max(at, state.floors.get(activity, at)))


def _alarm(state: State, fact: AlarmRaised, _: Instant) -> State:
    return (
        _with(state, alarms=state.alarms.set(fact.row.id, fact.row))
        if fact.row.demands == "arbitration"
        else state
    )


def _arbitrated(state: State, fact: AlarmArbitrated, _: Instant) -> State:
    return (
        _with(state, alarms=state.alarms.delete(fact.row.id))
        if fact.row.id in state.alarms
        else state
    )


def _level(state: State, fact: LevelHeard, at: Instant) -> State:
    return _with(
        state,
        level=fact.level,
        sitrep_from=_rhythm_from(state.bia, fact.level, state.sitrep_from, at),
    )


def _sitrep(state: State, fact: SitrepIssued, _: Instant) -> State:
    row = fact.row
    begun = row.as_of if row.next_at is not None else None
    return _with(state, sitreps=row.number, sitrep_as_of=row.as_of, sitrep_from=begun)


def _improvement(state: State, fact: ImprovementChanged, _: Instant) -> State:
    row = fact.row
    if row.state == "open":
        return _with(state, improvements=state.improvements.set(row.id, row))
    return (
        _with(state, improvements=state.improvements.delete(row.id))
        if row.id in state.improvements
        else state
    )


def lines_of(state: State, proposal: str) -> list[LineRow]:
    """Return the lines of a proposal, in order."""
    parts = sorted(
        (part for part in state.proposal_lines.values() if part.proposal == proposal),
        key=lambda part: part.part,
    )
    return [line for part in parts for line in part.lines]


def decided_lines(row: ProposalRow) -> set[str]:
    """Return the lines that are settled: approved, declined or withdrawn."""
    return {line for decision in row.decisions for line in decision.lines} | set(row.withdrawn)


def _proposal(state: State, fact: ProposalChanged, _: Instant) -> State:
    row = fact.row
    proposals = state.proposals.set(row.id, row)
    match fact.change:
        case "computed" | "failed":
            kept = {
                row.id,
                *(
                    id
                    for id, p in state.proposals.items()
                    if p.superseded_by == row.id or p.state is ProposalState.OPEN
                ),
            }
            return _with(
                state,
                answered=True,
                proposals=Map({id: p for id, p in proposals.items() if id in kept}),
                proposal_lines=Map(
                    {id: part for id, part in state.proposal_lines.items() if part.proposal in kept}
                ),
            )
        case "approved":
            decision, wanted = row.decisions[-1], set(row.decisions[-1].lines)
            approved = {
                line.id: _approved(row, line, decision)
                for line in lines_of(state, row.id)
                if line.id in wanted
            }
            return _with(state, proposals=proposals, moved=state.moved.update(approved))
        case _:
            return _with(state, proposals=proposals)


def _approved(row: ProposalRow, line: LineRow, decision: Decision) -> ReassignmentRow:
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


def _reassignment(state: State, fact: ReassignmentChanged, _: Instant) -> State:
    row, before = fact.row, state.moved.get(fact.row.id)
    over = row.state in (LineState.RELEASED, LineState.VOID)
    state = _with(state, moved=state.moved.delete(row.id) if over else state.moved.set(row.id, row))
    was_there, is_there = (
        before is not None and before.state is LineState.ARRIVED,
        row.state is LineState.ARRIVED,
    )
    if was_there == is_there:
        return state
    activity = row.worked_activity
    count = state.arrivals.get(activity, 0) + (row.count if is_there else -row.count)
    arrivals = state.arrivals.set(activity, count) if count > 0 else state.arrivals.delete(activity)
    shown = state.activities.get(activity)
    held = (
        over
        and row.ended_at is not None
        and shown is not None
        and shown.arrived
        and shown.computed is not ActivityState.INTERRUPTED
    )
    floors = _raised(state, activity, row.ended_at or 0) if held else state.floors
    return _with(state, arrivals=arrivals, floors=floors)


def _agenda(state: State, changes: dict[str, Instant | None]) -> State:
    agenda = state.agenda.changed(changes)
    return _with(state, agenda=agenda, due=agenda.due)


_STEPS: Final[dict[type[Fact], Callable[[State, Any, Instant], State]]] = {
    SiteHeard: _site,
    ReferencePublished: _reference,
    DependencyHeard: lambda s, f, _: _with(s, dependencies=s.dependencies.set(f.id, f)),
    IncidentHeard: lambda s, f, _: _with(s, incidents=s.incidents.set(f.incident, f)),
    LevelHeard: _level,
    TriggerHeard: lambda s, f, _: _with(s, triggers=s.triggers.set(f.trigger, f)),
    ActivityChanged: lambda s, f, _: _with(s, activities=s.activities.set(f.row.id, f.row)),
    LocalClockChanged: _local,
    PlanChanged: lambda s, f, _: _with(s, plans=s.plans.set(f.row.id, f.row)),
    StrategyChanged: _strategy,
    ActivityDeclared: _declared,
    AlarmRaised: _alarm,
    AlarmArbitrated: _arbitrated,
    SitrepIssued: _sitrep,
    ImprovementChanged: _improvement,
    ProposalRequested: lambda s, f, at: _with(s, asked=f, asked_at=at, answered=False),
    ProposalLinesRecorded: lambda s, f, _: _with(
        s, proposal_lines=s.proposal_lines.set(f.row.id, f.row)
    ),
    ProposalChanged: _proposal,
    ReassignmentChanged: _reassignment,
    TravelDeclared: lambda s, f, _: _with(s, travel=f),
    MetricChanged: lambda s, f, _: _with(s, told=s.told.set(f.key, float(f.value))),
    AgendaChanged: lambda s, f, _: _agenda(s, f.due),
    DeadlineFailed: lambda s, f, _: _agenda(s, {f.key: None}),
}
