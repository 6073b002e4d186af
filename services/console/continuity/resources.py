"""Resources of continuity: activities, clocks, plans, cards, alarms, sitreps, improvements."""

from datetime import datetime

from pydantic import Field

from schemas.continuity import CardProof
from schemas.plans import CardPhase, CardScope, Evidence, PlanContent
from schemas.words import ActivityState, CardState, ClockBase, ClockState, Effect, PlanState
from services.console.resource_base import Reason, Resource, Time


class Clock(Resource):
    """RTO or DMIA (MTPD) clock. A running clock counts down to `deadline`."""

    base: ClockBase
    state: ClockState
    limit_h: float
    started_at: Time | None
    deadline: Time | None
    stopped_at: Time | None
    consumed_pct: float = Field(
        description="share consumed at `as_of`; while `ticking` it rises to 100 % at `deadline`"
    )
    as_of: Time | None
    ticking: bool = Field(
        description="true while running inside the open hours that count for this limit"
    )
    alarms: list[int]

    def percent_at(self, now: datetime) -> float:
        """Return the consumed share at `now`; it may exceed 100.

        While the clock ticks, it grows linearly from the share at `as_of` to 100 % at `deadline`.
        """
        if (
            self.state is not ClockState.RUNNING
            or not self.ticking
            or self.as_of is None
            or self.deadline is None
        ):
            return self.consumed_pct
        span: float = (self.deadline - self.as_of).total_seconds()
        if span <= 0:
            return max(self.consumed_pct, 100.0)
        return (
            self.consumed_pct
            + (100.0 - self.consumed_pct) * (now - self.as_of).total_seconds() / span
        )

    def at(self, now: datetime) -> "Clock":
        """Return the clock at `now`, if that is later than `as_of`."""
        if self.as_of is None or now <= self.as_of:
            return self
        return self.model_copy(
            update={"consumed_pct": round(self.percent_at(now), 2), "as_of": now}
        )


class LocalClock(Resource):
    site: str
    site_name: str
    capacity_pct: float
    rto: Clock | None
    mtpd: Clock | None
    forecast_breach_at: Time | None


class PathStep(Resource):
    kind: str
    id: str


class Activity(Resource):
    id: str
    realm: str
    pole: str
    pole_name: str
    name: str
    short_name: str = Field(default="", description="name for lists and messages")
    criticality: int
    state: ActivityState
    declared: ActivityState | None
    declared_by: str | None
    computed: ActivityState
    capacity_pct: float
    computed_pct: float
    arrived: int = Field(
        default=0, description="agents of reassignments at work for it, included in `capacity_pct`"
    )
    vulnerable_public: int = Field(
        default=0, description="0–3: dependence of vulnerable people (D82)"
    )
    mbco_pct: float
    since: Time | None
    rto: Clock
    mtpd: Clock
    local: list[LocalClock]
    forecast_breach_at: Time | None
    expected_end: Time | None
    incident: str | None
    path: list[list[PathStep]]
    path_more: int
    why: list[Reason]
    staff: int
    minimum_staff: int
    strategies: list[str] = Field(
        description="strategies of the reference data, in the order to try"
    )
    active_strategies: list[str] = Field(description="ids of the strategies in effect")
    next_strategy: str | None


class Alarm(Resource):
    id: str
    realm: str
    activity: str
    pole: str
    site: str | None
    base: ClockBase
    pct: int
    raised_at: Time
    limit_at: Time
    to: list[str]
    incident: str | None
    path: list[PathStep]
    demands: str | None
    strategy: str | None
    arbitrated_at: Time | None
    arbitrated_by: str | None


class Strategy(Resource):
    """A fallback strategy that a person put into effect. Rule D51."""

    id: str
    realm: str
    activity: str
    strategy: str
    state: str
    expected_capacity_pct: float
    site: str | None
    desks: int | None
    started_at: Time
    started_by: str
    ended_at: Time | None
    ended_by: str | None


class Card(Resource):
    id: str
    task: str = Field(description="French text of the territory file")
    role: str
    pole: str | None
    due_at: Time | None = Field(description="null while the trigger of the plan does not hold")
    state: CardState
    overdue: bool
    by: str | None
    at: Time | None
    effect: Effect | None = Field(
        default=None, description="measure of reports with the effect of the card (D61)"
    )
    phase: CardPhase | None = None
    deputy_role: str | None = None
    evidence: Evidence = Evidence.NONE
    depends_on: list[str] = Field(default_factory=list)
    waits_for: list[str] = Field(
        default_factory=list, description="cards that it depends on and that are not closed"
    )
    scope: CardScope | None = Field(default=None, description="null: one card for the plan")
    proof: CardProof | None = Field(default=None, description="evidence given with its completion")
    progress: "CardProgress | None" = Field(
        default=None, description="of its site cards; only in the answer about one plan"
    )


class CardProgress(Resource):
    """Number of site cards by state; `overdue` ones are open. Rule D84."""

    total: int
    waiting: int
    to_do: int
    doing: int
    done: int
    not_applicable: int
    overdue: int


class SiteCard(Resource):
    """Card of one site, or of one member of a group. Rule D84."""

    id: str
    plan: str
    card: str
    task: str
    site: str | None
    name: str | None = Field(description="of the site")
    role: str
    pole: str | None
    state: CardState
    due_at: Time
    overdue: bool
    by: str | None
    at: Time | None
    proof: CardProof | None


class BoxState(Resource):
    """A condition of the stand-down that a named person ticks. Rule D52."""

    text: str
    by: str | None
    at: Time | None


class Plan(Resource):
    id: str
    realm: str
    title: str
    pole: str | None
    state: PlanState
    level: int
    proposed_level: int | None
    incident: str | None
    proposed_at: Time | None
    decided_at: Time | None
    decided_by: str | None
    decides: str
    postponed_until: Time | None
    trigger_since: Time | None
    why: list[Reason]
    cards: list[Card]
    version: int = Field(description="number of decisions; also the ETag")
    boxes: list[BoxState]
    trigger_held: bool
    stand_down_proposed: bool
    stand_down_at: Time | None
    stand_down_text: str | None
    stale: list[str] = Field(
        description=(
            "outdated bases (D48): bia (older than 12 months), directory (no channel proved "
            "for 90 days)"
        )
    )


class PlanDetail(Plan):
    """A plan with written content, progress of its cards, and effects of its activation.

    Rules D83 and D84.
    """

    content: PlanContent | None = Field(description="null: the plan has no written content")
    activation: "Activation"


class Activation(Resource):
    """Effects of activating a plan now, for a person to read before deciding."""

    cards: int = Field(description="cards of the plan itself")
    roles: list[str]
    sites: list[str] = Field(description="sites that get cards of their own, by id")
    messages: int = Field(description="sites whose owner gets a message about its cards")


class PlanConflict(Resource):
    """Two plans of pôles that count on the same fallback sites. Rule D51.

    `plan` may be put into effect; `other` is proposed or active.
    """

    plan: str
    other: str
    kind: str = Field(description="kind of site")
    activities: list[str] = Field(
        description="activities of both plans that are affected and have no fallback site"
    )
    needed: int = Field(description="places needed for the minimum of these activities")
    free: int = Field(description="free places at undamaged sites of this kind")
    sound: int = Field(description="number of undamaged sites of this kind")
    held: list[str] = Field(
        description="sites of this kind held by strategies of the pôle of the other plan"
    )
    text: str


class Sitrep(Resource):
    """A validated situation report; the document is at `/api/v1/sitreps/{number}`. Rule D54."""

    id: str
    realm: str
    number: int
    as_of: Time
    issued_at: Time
    issued_by: str
    role: str
    level: int
    sha256: str = Field(description="SHA-256 of the frozen document's bytes")
    counts: dict[str, int]
    incidents: list[str]
    next_at: Time | None = Field(description="due time of the next report")


class Improvement(Resource):
    """An improvement action. Rule D53."""

    id: str
    realm: str
    text: str | None = Field(description="free text, for roles that may read it")
    owner: str
    due_at: Time
    incident: str | None
    state: str
    opened_at: Time
    opened_by: str
    closed_at: Time | None
    closed_by: str | None
