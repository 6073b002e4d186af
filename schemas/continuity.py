"""Facts of continuity: activities with their clocks, alarms, strategies, plans and cards; and what it took from alerts."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.alerts import Confinement, Why
from schemas.base import Fact, Instant, Model, RowFact, message
from schemas.words import (
    ActivityState,
    CardState,
    ClockBase,
    ClockState,
    EventType,
    PlanState,
    SiteStatus,
)

# ── rows ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class ClockRow(Model):
    """RTO or DMIA (MTPD) clock of an activity (D42). The site of a local clock is in `LocalClockRow`.

    A row is written when something changes, not every minute: a client shows `consumed_pct` as of `as_of` and counts on
    from there to `deadline` while `ticking`.
    """

    base: ClockBase
    state: ClockState
    limit_h: float
    started_at: Instant | None = None
    deadline: Instant | None = Field(
        default=None, description="when 100 % are consumed if nothing changes; None unless running"
    )
    stopped_at: Instant | None = None
    consumed_pct: float = Field(default=0.0, description="at `as_of`; may pass 100")
    alarms: tuple[int, ...] = Field(default=(), description="percentages already alarmed")
    pauses: tuple[tuple[Instant, Instant], ...] = Field(
        default=(), description="restored in between, 60 min at most: not counted (D42)"
    )
    ticking: bool = Field(
        default=False, description="running, inside the open hours that count for this limit (D43)"
    )
    as_of: Instant | None = None
    reached: float = Field(
        default=0.0,
        description="highest percentage reached that raises an alarm or that a predicate names",
    )
    next_at: Instant | None = Field(
        default=None,
        description="next instant at which time alone changes this row: a percentage, opening, closing",
    )


class LocalClocks(Model):
    """Clocks of one site, as an `ActivityRow` once held them."""

    site: str
    capacity_pct: float
    clocks: tuple[ClockRow, ...] = Field(description="RTO, DMIA")
    forecast_breach_at: Instant | None = None
    next_at: Instant | None = Field(default=None, description="earliest of its clocks")


class LocalClockRow(LocalClocks):
    """Clocks of an activity on one site (`horloges_locales`). `id` = `<activity>/<site>`.

    A row of its own: an activity has up to a hundred such sites, and a report changes one.
    """

    id: str
    activity: str
    same_until: Instant | None = Field(
        default=None,
        description="stopped: until then the same clock would go on (D42); later there is nothing to show",
    )


class Step(Model):
    """One step of the path of a derived fact (D47): report → site → activity → pôle, or system → activity.

    `kind`: report, site, system, kitchen, supplier, activity, pole, strategy, person.
    """

    kind: str
    id: str


class ActivityRow(Model):
    id: str
    pole: str
    criticality: int
    state: ActivityState = Field(
        description="the declared one if there is one, else the computed one (D41)"
    )
    declared: ActivityState | None = None
    declared_by: str | None = None
    computed: ActivityState = ActivityState.NOMINAL
    capacity_pct: float = Field(
        description="with strategies: what they are expected to give, if more"
    )
    computed_pct: float = Field(
        default=100.0, description="without strategies and without agents of other sites (D40)"
    )
    arrived: int = Field(
        default=0,
        exclude_if=lambda count: not count,
        description="agents of reassignments at work for it, counted in `capacity_pct` (D81)",
    )
    mbco_pct: float
    since: Instant
    rto: ClockRow
    dmia: ClockRow
    local: tuple[LocalClocks, ...] = Field(
        default=(), description="no longer filled: see `LocalClockChanged`"
    )
    local_running: int = 0
    forecast_breach_at: Instant | None = Field(
        default=None,
        description="« rupture prévue »: the DMIA, if the end is expected after it (D45)",
    )
    expected_end: Instant | None = Field(
        default=None,
        description="when capacity is expected back at the MBCO; at the earliest, if some end is unknown",
    )
    incident: str | None = None
    path: tuple[tuple[Step, ...], ...] = Field(
        default=(), description="of what costs most capacity, at most five (D47)"
    )
    path_more: int = Field(
        default=0, description="how many more sites, systems and kitchens are hit"
    )
    strategies: tuple[str, ...] = Field(
        default=(), description="active ones, in the order of activation"
    )
    next_strategy: str | None = Field(
        default=None,
        description="the first listed that was not tried for what hits it now; all were: the first that is not active (D51)",
    )
    why: tuple[Why, ...] = ()


class AlarmRow(Model):
    """D44. `id` = derived; one per clock and percentage. `base` pdma: the age of the data at restoration (D46)."""

    id: str
    activity: str
    pole: str
    site: str | None = None
    base: ClockBase
    pct: int
    raised_at: Instant
    limit_at: Instant
    to: tuple[str, ...] = ()
    incident: str | None = None
    path: tuple[Step, ...] = ()
    demands: Literal["arbitration", "next_strategy", "reentry"] | None = None
    strategy: str | None = Field(default=None, description="the one to try next (DMIA 80 %)")
    arbitrated_at: Instant | None = None
    arbitrated_by: str | None = None
    reason: str | None = Field(default=None, description="reference to the text of the arbitration")


class StrategyRow(Model):
    """A fallback strategy that a person put into effect (D51). `id` = `<activity>/<n>`, n in order of activation."""

    id: str
    activity: str
    strategy: str = Field(description="as listed, e.g. `SR-TELE`, `SR-SITE:datacenter de secours`")
    state: Literal["active", "ended"]
    expected_capacity_pct: float
    site: str | None = None
    desks: int | None = None
    started_at: Instant
    started_by: str
    ended_at: Instant | None = None
    ended_by: str | None = None
    reason: str | None = None


class CardRow(Model):
    id: str
    role: str
    pole: str | None = None
    due_at: Instant
    state: CardState = CardState.TO_DO
    overdue: bool = False
    pilot_told: bool = Field(default=False, description="overdue for 10 min: the pilot was told")
    by: str | None = None
    at: Instant | None = None
    reason: str | None = None


class Box(Model):
    """A condition of the stand-down that a named person ticks (D52)."""

    text: str
    by: str | None = None
    at: Instant | None = None


class PlanRow(Model):
    """A plan and its life (D48–D52). One row per plan; proposals are counted by level."""

    id: str
    pole: str | None = None
    state: PlanState
    level: int = 0
    proposed_level: int | None = Field(
        default=None, description="active, and its triggers now ask for this higher level"
    )
    incident: str | None = None
    proposed_at: Instant | None = None
    decided_at: Instant | None = None
    decided_by: str | None = None
    decided_reason: str | None = None
    decides: str
    postponed_until: Instant | None = None
    trigger_since: Instant | None = Field(
        default=None, description="when the first trigger held: cards count from here (D50)"
    )
    trigger_held: bool = False
    why: tuple[Why, ...] = ()
    cards: tuple[CardRow, ...] = ()
    version: int = 0
    boxes: tuple[Box, ...] = ()
    stand_down_since: Instant | None = Field(
        default=None, description="since when the stand-down condition holds"
    )
    resumes_partly: bool = Field(
        default=False,
        description="recovering, and active in part when the stand-down condition ceases to hold",
    )
    stand_down_at: Instant | None = Field(
        default=None, description="when it will be proposed if it goes on holding"
    )
    stand_down_proposed: bool = False
    refused_level: int | None = Field(
        default=None,
        exclude_if=lambda level: level is None,
        description="of the territory when it was refused: above it, it returns (D49)",
    )
    refused_incident_level: int | None = Field(
        default=None, exclude_if=lambda level: level is None, description="the same of its incident"
    )
    returns_at: Instant | None = Field(
        default=None,
        exclude_if=lambda at: at is None,
        description="refused: when it is proposed again if its trigger still holds",
    )


@message
class ActivityChanged(RowFact):
    collection: ClassVar[str] = "activities"
    row: ActivityRow


@message
class LocalClockChanged(RowFact):
    collection: ClassVar[str] = "local_clocks"
    row: LocalClockRow


@message
class AlarmRaised(RowFact):
    collection: ClassVar[str] = "alarms"
    row: AlarmRow


@message
class AlarmArbitrated(RowFact):
    """The line that 100 % of an RTO demands was written (D44)."""

    collection: ClassVar[str] = "alarms"
    row: AlarmRow


@message
class StrategyChanged(RowFact):
    """Activated or ended by a person."""

    collection: ClassVar[str] = "strategies"
    row: StrategyRow


@message
class PlanChanged(RowFact):
    """`change`: listed, proposed, raised, held, released, activated, refused, postponed, returned, box, recovering, resumed,
    stand_down_proposed, stood_down, dropped (the reference data no longer have it), card, moved (its cards, to another day).
    """

    collection: ClassVar[str] = "plans"
    row: PlanRow
    change: str


class SitrepRow(Model):
    """A validated point de situation (D54). Never changes: a correction is the next number."""

    id: str = Field(description="its number")
    number: int
    as_of: Instant
    issued_at: Instant
    issued_by: str
    role: str
    level: int = Field(description="of the territory, when it was validated")
    text_id: str = Field(description="the document in `texts`")
    sha256: str = Field(description="of the document's bytes")
    counts: dict[str, int] = Field(default_factory=dict)
    incidents: tuple[str, ...] = ()
    next_at: Instant | None = Field(
        default=None, description="when the next one is due; None: this level has no rhythm"
    )


class ImprovementRow(Model):
    """An improvement action (D53)."""

    id: str
    text_id: str
    owner: str
    due_at: Instant
    incident: str | None = None
    state: Literal["open", "done", "dropped"] = "open"
    opened_at: Instant
    opened_by: str
    closed_at: Instant | None = None
    closed_by: str | None = None
    reason: str | None = None


@message
class SitrepIssued(RowFact):
    """Routed to alerts: the task that asked for it is done."""

    collection: ClassVar[str] = "sitreps"
    row: SitrepRow


@message
class ImprovementChanged(RowFact):
    """Decided, done or dropped. Routed to alerts: it is a task until then."""

    collection: ClassVar[str] = "improvements"
    row: ImprovementRow


# ── what continuity took from alerts: its own memory of it, not a second copy of the rows ──────────────────────────


class CauseHeard(Model):
    """A confirmed cause that acts now. `loss_pct` is of the site, `meals_lost_pct` of the meals served there."""

    id: str
    type: EventType
    since: Instant
    loss_pct: float
    meals_lost_pct: float = 0.0
    severity: int
    incident: str | None = None
    report: str | None = None
    expected_end: Instant | None = None


@message
class SiteHeard(Fact):
    site: str
    status: SiteStatus
    since: Instant
    causes: tuple[CauseHeard, ...] = ()
    lifted_at: Instant | None = None
    confinement: Confinement | None = Field(
        default=None,
        exclude_if=lambda why: why is None,
        description="why nobody leaves it for other work (D78)",
    )
    uncounted_since: Instant | None = Field(
        default=None,
        exclude_if=lambda at: at is None,
        description="when its people left it, while nobody has counted any of them",
    )


@message
class DependencyHeard(Fact):
    """A system, kitchen or supplier, or a flag that a rule of continuity names; `id` as in `FlagRow`."""

    id: str
    value: bool | float | str
    since: Instant
    effective_from: Instant | None = None
    speaks_of: Instant | None = None
    incident: str | None = None
    report: str | None = None


@message
class IncidentHeard(Fact):
    incident: str
    kind: str
    open: bool
    estimated_end: Instant | None = None
    level: int = Field(default=0, exclude_if=lambda level: not level)


@message
class LevelHeard(Fact):
    """Of the territory. Says who the pilot is and how often a point de situation is due; no predicate of alerts reads anything of either."""

    level: int


@message
class TriggerHeard(Fact):
    trigger: str
    plan: str
    level: int
    held: bool
    since: Instant
    incident: str | None = None


@message
class ActivityDeclared(Fact):
    """A person's word about the state of an activity; None: withdrawn, the computed state counts again."""

    activity: str
    state: ActivityState | None
    author: str
    occurred_at: Instant
    reason: str | None = Field(default=None, description="reference `text:<id>`")


@message
class AgendaChanged(Fact):
    """Deadlines armed (an instant) or disarmed (None), by key."""

    due: dict[str, Instant | None]


@message
class CrisisTended(Fact):
    """A person did something about plans, cards, strategies or activities. Routed to alerts: whoever took a ladder in charge is at work (D33)."""

    by: str
    incident: str | None = Field(
        default=None, description="that of the plan; None = the whole crisis"
    )
