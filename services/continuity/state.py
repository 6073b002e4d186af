"""State of continuity in one realm, and the effect of each fact on it.

`ContinuityMemory` is the part that a snapshot holds. `ContinuityState` adds derived values: the
compiled analysis, the sites that are not well by kind, and the deadlines. Collections are
persistent maps: a state is never changed, only followed by another. Maps have no reliable order, so
sort before you make facts from one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Final, Self

from schemas.base import Instant
from schemas.continuity import (
    ActivityDeclared,
    ActivityRow,
    AlarmRow,
    AreaOrderHeard,
    CauseHeard,
    DependencyHeard,
    ImprovementRow,
    IncidentHeard,
    LocalClockRow,
    PlanRow,
    SiteCardRow,
    SiteHeard,
    StrategyRow,
    TriggerHeard,
)
from schemas.crisis.resource_requests import ResourceRequestRow, StockRow
from schemas.reassignment import (
    LineRow,
    LinesRow,
    LineState,
    ProposalRequested,
    ProposalRow,
    ReassignmentRow,
    RefusedMove,
    TravelDeclared,
)
from schemas.reference import ReferencePublished, Section
from schemas.wire import share_object
from schemas.words import EventType, SiteStatus
from services.continuity.activities.impact_analysis import ImpactAnalysis, compile_impact_analysis
from services.continuity.deadlines import DeadlineQueue
from services.runtime.decider.maps import Map

CLOSURE_TYPES: Final = frozenset((EventType.CLOSURE, EventType.PARTIAL_CLOSURE))
"""Causes that cost nothing if the activity itself closes sites (`fermeture_sans_perte`, D40)."""
NO_SITE_CARDS: Final[Map[str, SiteCardRow]] = Map()
NO_LOCAL_CLOCKS: Final[Map[str, LocalClockRow]] = Map()
KEPT_SECTIONS: Final = frozenset(
    (Section.SITES, Section.ACTIVITIES, Section.ESCALATION, Section.PLANS, Section.RESOURCES)
)
RECORDED_SECTIONS: Final = KEPT_SECTIONS | {Section.STAFFING}
"""Staffing is for the planner, which reads the log, so the state leaves it out."""


def find_worst_cause(causes: Sequence[CauseHeard]) -> CauseHeard | None:
    """Return the cause that costs most; among equals the gravest, then the earliest."""
    if len(causes) == 1:
        return causes[0]
    return max(causes, key=lambda c: (c.loss_pct, c.severity, -c.since, c.id), default=None)


@dataclass(frozen=True, slots=True)
class UnwellSite:
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
    def of(cls, site_state: SiteHeard) -> Self:
        costs = tuple(
            (loss, cause) for cause in site_state.causes if (loss := round(cause.loss_pct * 100))
        )
        others = tuple(cost for cost in costs if cost[1].type not in CLOSURE_TYPES)
        return cls(
            site_state.site,
            site_state.status,
            site_state.since,
            site_state.causes,
            find_worst_cause(site_state.causes),
            costs,
            max((c[0] for c in costs), default=0),
            others,
            max((c[0] for c in others), default=0),
            cls._kitchen(site_state),
        )

    @classmethod
    def _kitchen(cls, site_state: SiteHeard) -> Self | None:
        if all(cause.meals_lost_pct <= cause.loss_pct for cause in site_state.causes):
            return None
        causes = (
            c.model_copy(
                update={"loss_pct": max(c.loss_pct, c.meals_lost_pct), "meals_lost_pct": 0.0}
            )
            for c in site_state.causes
        )
        return cls.of(site_state.model_copy(update={"causes": tuple(causes)}))

    @property
    def well(self) -> bool:
        """True if the site is normal and has no cause."""
        return self.status is SiteStatus.NORMAL and not self.causes


TELEWORK: Final = "telework"
"""Place of agents that work at home."""
_WAITING_LINE_STATES: Final = (LineState.DISPATCHED, LineState.ACCEPTED)
"""States of a line with agents under an order and not at work yet."""


@dataclass(frozen=True)
class ContinuityMemory:
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
    area_orders: Map[str, AreaOrderHeard] = Map()
    """Orders for an area that hold. Rule D102."""
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
    site_cards: Map[str, Map[str, SiteCardRow]] = Map()
    """Active plan → id → card of a site or person. Rule D84."""
    reminded: Map[str, Instant] = Map()
    """Role and site → last message about its cards. Rule D84."""
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

    This is the last situation report, or the time when the level got a rhythm. Rule D54.
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
    stopped: Map[str, None] = Map()
    """Lines with agents on their way that are told to wait: an order stands, or stood, where they go.

    Rule D78.
    """
    refused: Map[str, RefusedMove] = Map()
    """Refused line → the move that is not proposed again in this crisis. Rule D101."""
    travel: TravelDeclared = TravelDeclared()
    """Declaration of a person about transport and telework."""
    requests: Map[str, ResourceRequestRow] = Map()
    """Resource requests that are not over. Rule D88."""
    request_count: int = 0
    """Number of the last resource request."""
    stocks: Map[str, StockRow] = Map()
    """Stocks that were ever reserved, used or counted; others are whole."""


@dataclass(frozen=True)
class ContinuityState(ContinuityMemory):
    """`ContinuityMemory` with the values derived from it."""

    bia: ImpactAnalysis | None = field(default=None, compare=False)
    unwell: Map[str, Map[str, UnwellSite]] = Map()
    """Kind of site → site → trouble there."""
    agenda: DeadlineQueue = DeadlineQueue()
    arrivals: Map[str, int] = Map()
    """Activity → reassigned agents at work for it. Rule D81."""

    @classmethod
    def restore(cls, memory: ContinuityMemory) -> "ContinuityState":
        """Build the state from a memory."""
        stored_fields = {f.name: getattr(memory, f.name) for f in fields(ContinuityMemory)} | {
            "sections": share_sections(memory.sections)
        }
        bia = (
            compile_impact_analysis(memory.reference, stored_fields["sections"])
            if memory.reference
            else None
        )
        return cls(
            **stored_fields,
            bia=bia,
            unwell=index_unwell_sites(bia, memory.sites),
            agenda=DeadlineQueue.restore(memory.due),
            arrivals=_count_arrivals(memory.moved.values()),
        )


def _count_arrivals(rows: Iterable[ReassignmentRow]) -> Map[str, int]:
    """Count the agents at work by activity."""
    arrivals: Map[str, int] = Map()
    for row in rows:
        if row.state is LineState.ARRIVED:
            arrivals = arrivals.set(
                row.worked_activity, arrivals.get(row.worked_activity, 0) + row.count
            )
    return arrivals


def index_unwell_sites(
    bia: ImpactAnalysis | None, sites: Map[str, SiteHeard]
) -> Map[str, Map[str, UnwellSite]]:
    unwell: Map[str, Map[str, UnwellSite]] = Map()
    for site_state in sites.values():
        unwell = update_unwell_site(unwell, bia, site_state)
    return unwell


def update_unwell_site(
    unwell: Map[str, Map[str, UnwellSite]], bia: ImpactAnalysis | None, site_state: SiteHeard
) -> Map[str, Map[str, UnwellSite]]:
    site = bia.sites.get(site_state.site) if bia else None
    if site is None:
        return unwell
    of_kind, place = unwell.get(site.kind, Map()), UnwellSite.of(site_state)
    if not place.well:
        return unwell.set(site.kind, of_kind.set(site_state.site, place))
    if site_state.site not in of_kind:
        return unwell
    rest = of_kind.delete(site_state.site)
    return unwell.set(site.kind, rest) if rest else unwell.delete(site.kind)


def share_sections(sections: Map[str, ReferencePublished]) -> Map[str, ReferencePublished]:
    return Map(
        {
            name: publication.model_copy(update={"data": share_object(publication.data)})
            for name, publication in sections.items()
        }
    )


def find_incident(state: ContinuityState, incident: str | None) -> IncidentHeard | None:
    """Return an incident, or the one that it was merged into. Rule D25, merge and split."""
    row = state.incidents.get(incident or "")
    while row is not None and row.merged_into is not None:
        row = state.incidents.get(row.merged_into)
    return row


def list_journeys(state: ContinuityState) -> list[ReassignmentRow]:
    """List approved lines to another site with agents under an order and not at work yet."""
    return [
        row
        for row in state.moved.values()
        if row.state in _WAITING_LINE_STATES and row.place not in (TELEWORK, row.site)
    ]


def get_standing_incident(state: ContinuityState, incident: str | None) -> str | None:
    """Return the id of an incident, or of the one that it was merged into."""
    row = find_incident(state, incident)
    return incident if row is None else row.incident


def list_proposal_lines(state: ContinuityState, proposal: str) -> list[LineRow]:
    """Return the lines of a proposal, in order."""
    parts = sorted(
        (part for part in state.proposal_lines.values() if part.proposal == proposal),
        key=lambda part: part.part,
    )
    return [line for part in parts for line in part.lines]


def find_decided_lines(row: ProposalRow) -> set[str]:
    """Return the lines that are settled: approved, declined or withdrawn."""
    return {line for decision in row.decisions for line in decision.lines} | set(row.withdrawn)
