"""Facts of continuity: activities, clocks, alarms, strategies, plans and cards.

Also holds the facts about events that continuity received from alerts.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from pydantic import Field

from schemas.alerts import Confinement, Why
from schemas.base import Fact, Instant, Model, RowFact, optional, register_message
from schemas.plans import CardPhase
from schemas.words import (
    ActivityState,
    CardChange,
    CardState,
    ClockBase,
    ClockState,
    EventType,
    PlanState,
    SiteStatus,
)


class ClockRow(Model):
    """RTO or DMIA (MTPD) clock of an activity.

    A row is written when something changes, not every minute. A client shows `consumed_pct` as of
    `as_of` and counts on from there to `deadline` while `ticking`. `LocalClockRow` names the site
    of a local clock. Rule D42.
    """

    base: ClockBase
    state: ClockState
    limit_h: float
    started_at: Instant | None = None
    deadline: Instant | None = Field(
        default=None,
        description="time at which 100 % are consumed if nothing changes; null unless running",
    )
    stopped_at: Instant | None = None
    consumed_pct: float = Field(
        default=0.0, description="share consumed at `as_of`; may exceed 100"
    )
    alarms: tuple[int, ...] = Field(default=(), description="percentages with an alarm so far")
    pauses: tuple[tuple[Instant, Instant], ...] = Field(
        default=(), description="restorations of at most 60 min that do not count (D42)"
    )
    ticking: bool = Field(
        default=False,
        description="true while running within the open hours that count for this limit (D43)",
    )
    as_of: Instant | None = None
    reached: float = Field(
        default=0.0,
        description="highest percentage reached that raises an alarm or is named by a predicate",
    )
    next_at: Instant | None = Field(
        default=None,
        description="next time at which only time changes this row: a percentage, opening, closing",
    )


class LocalClocks(Model):
    """Clocks of one site, in the form of earlier `ActivityRow` versions."""

    site: str
    capacity_pct: float
    clocks: tuple[ClockRow, ...] = Field(description="RTO and DMIA clock")
    forecast_breach_at: Instant | None = None
    next_at: Instant | None = Field(default=None, description="earliest `next_at` of its clocks")


class LocalClockRow(LocalClocks):
    """Clocks of an activity on one site (`horloges_locales`); `id` is `<activity>/<site>`.

    A row of its own, because an activity has up to a hundred such sites and a report changes one.
    """

    id: str
    activity: str
    same_until: Instant | None = Field(
        default=None,
        description=(
            "for a stopped clock: time until which the same clock may resume (D42); afterwards "
            "there is nothing to show"
        ),
    )


class Step(Model):
    """One step of the path behind a derived fact.

    Paths: report → site → activity → pôle, or system → activity. `kind`: report, site, system,
    kitchen, supplier, activity, pole, strategy, person. Rule D47.
    """

    kind: str
    id: str


class ActivityRow(Model):
    id: str
    pole: str
    criticality: int
    state: ActivityState = Field(
        description="declared state if there is one, else the computed one (D41)"
    )
    declared: ActivityState | None = None
    declared_by: str | None = None
    computed: ActivityState = ActivityState.NOMINAL
    capacity_pct: float = Field(
        description="remaining capacity, or that expected from strategies if higher"
    )
    computed_pct: float = Field(
        default=100.0,
        description="capacity without strategies and without agents of other sites (D40)",
    )
    arrived: int = Field(
        default=0,
        exclude_if=lambda count: not count,
        description="agents of reassignments at work for it, included in `capacity_pct` (D81)",
    )
    mbco_pct: float
    since: Instant
    rto: ClockRow
    dmia: ClockRow
    local: tuple[LocalClocks, ...] = Field(
        default=(), description="no longer filled, see `LocalClockChanged`"
    )
    local_running: int = 0
    forecast_breach_at: Instant | None = Field(
        default=None, description="time of the DMIA if the end is expected later (D45)"
    )
    expected_end: Instant | None = Field(
        default=None,
        description=(
            "expected time at which capacity is back at the MBCO; the earliest one if an end is "
            "unknown"
        ),
    )
    incident: str | None = None
    path: tuple[tuple[Step, ...], ...] = Field(
        default=(), description="paths of the largest capacity losses, at most five (D47)"
    )
    path_more: int = Field(
        default=0, description="number of further sites, systems and kitchens affected"
    )
    strategies: tuple[str, ...] = Field(
        default=(), description="active strategies in order of activation"
    )
    next_strategy: str | None = Field(
        default=None,
        description=(
            "first listed strategy not yet tried for the present causes, else the first inactive "
            "one (D51)"
        ),
    )
    why: tuple[Why, ...] = ()


class AlarmRow(Model):
    """Alarm of a clock; one per clock and percentage, with a derived `id`.

    `base` pdma: age of the data at restoration (D46). Rule D44.
    """

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
    strategy: str | None = Field(default=None, description="strategy to try next (DMIA 80 %)")
    arbitrated_at: Instant | None = None
    arbitrated_by: str | None = None
    reason: str | None = Field(default=None, description="reference `text:<id>` to the arbitration")


class StrategyRow(Model):
    """Fallback strategy that a person put into effect.

    `id` is `<activity>/<n>`, n in order of activation. Rule D51.
    """

    id: str
    activity: str
    strategy: str = Field(
        description="strategy as listed, e.g. `SR-TELE`, `SR-SITE:datacenter de secours`"
    )
    state: Literal["active", "ended"]
    expected_capacity_pct: float
    site: str | None = None
    desks: int | None = None
    started_at: Instant
    started_by: str
    ended_at: Instant | None = None
    ended_by: str | None = None
    reason: str | None = None


class CardProof(Model):
    """Evidence that a person gave with a card. Rule D84."""

    number: float | None = None
    at: Instant | None = Field(default=None, description="time to note down")
    photo: str | None = Field(default=None, description="id of a stored photo")
    photo_at: Instant | None = optional("time at which the photo followed the completion")
    of: float | None = optional("whole that `number` is a part of, such as people expected")


@dataclass(frozen=True, slots=True)
class CardReference:
    """Card that a message names by number. Its plan may begin a new life, with cards of its own."""

    life: int
    plan: str
    card: str
    owner: str | None = None
    """Site, or role of a member, for a card with a scope."""

    def __str__(self) -> str:
        """Return `<life>/<plan>/<card>[/<site or role>]`."""
        owner = () if self.owner is None else (self.owner,)
        return "/".join((str(self.life), self.plan, self.card, *owner))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the result of `str`. Raise ValueError."""
        life, plan, card, *owner = text.split("/")
        return cls(int(life), plan, card, owner[0] if owner else None)


@register_message
class CardsAnswered(Fact):
    """From delivery: a person answered a message that lists action cards, by their numbers.

    Routed to continuity. Rule D84.
    """

    notification: str
    person: str = Field(description="token of the person")
    role: str = Field(description="role in which the person got the message")
    change: CardChange
    cards: tuple[str, ...] = Field(
        description="cards of the message (`CardReference`) in the order of their numbers, from 1"
    )
    numbers: tuple[int, ...] = Field(
        default=(), description="numbers in the answer; none = the only card that is still open"
    )
    channel: str
    reason: str | None = None


class RefusedNumber(Model):
    """Number in an answer that changed no card."""

    number: int
    why: Literal["unknown", "closed", "over"] = Field(
        description=(
            "`unknown`: not in the message; `closed`: in that state, or closed; `over`: its plan "
            "ended, or it waits for another card"
        )
    )


@register_message
class CardAnswerSettled(Fact):
    """The cards that an answer by number changed; routed to delivery, which tells the person."""

    notification: str
    person: str
    channel: str
    change: CardChange
    applied: tuple[int, ...] = Field(default=(), description="numbers of the changed cards")
    refused: tuple[RefusedNumber, ...] = ()
    missing: Literal["number", "reason"] | None = Field(
        default=None, description="part that the answer lacks"
    )
    left: int = Field(default=0, description="cards of the message that are still open")
    photos: tuple[int, ...] = Field(
        default=(),
        exclude_if=lambda numbers: not numbers,
        description="numbers of completed cards that ask for a photo, which they lack",
    )


class CardRow(Model):
    """Card of a plan; a card with a scope is the sum of its `SiteCardRow`s.

    Rules D50 and D84.
    """

    id: str
    role: str
    pole: str | None = None
    due_at: Instant
    state: CardState = CardState.TO_DO
    overdue: bool = False
    pilot_told: bool = Field(
        default=False, description="true if overdue for 10 min and the pilot was informed"
    )
    by: str | None = None
    at: Instant | None = None
    reason: str | None = None
    proof: CardProof | None = optional()
    channel: str | None = optional("channel of the answer that closed or started it")
    ready_at: Instant | None = optional("time at which the last card that it depends on was closed")
    sites: int | None = optional(
        "number of its site cards; null = one card, or they are not open yet"
    )
    task: str | None = optional("title of a card that was withdrawn while its plan ran")


class SiteCardRow(Model):
    """Card of one site, or of one member of a group.

    `id` is `<plan>/<card>/<site or role>`. It is overdue while it is open and `due_at`, the
    decision and `ready_at` have passed; no row says so. Rule D84.
    """

    id: str
    plan: str
    card: str
    life: int = Field(description="`life` of its plan; rows of an earlier life are history")
    site: str | None = None
    role: str
    pole: str | None = None
    state: CardState = CardState.TO_DO
    opened_at: Instant
    due_at: Instant
    ready_at: Instant | None = optional()
    by: str | None = None
    at: Instant | None = None
    reason: str | None = None
    proof: CardProof | None = optional()
    channel: str | None = optional("channel of the answer that closed or started it")


class Box(Model):
    """Condition of the stand-down that a named person ticks.

    Rule D52.
    """

    text: str
    by: str | None = None
    at: Instant | None = None


class PlanRow(Model):
    """State of a plan, one row per plan; proposals are counted by level.

    Rules D48 to D52.
    """

    id: str
    pole: str | None = None
    state: PlanState
    level: int = 0
    proposed_level: int | None = Field(
        default=None, description="higher level for which the triggers of the active plan now ask"
    )
    incident: str | None = None
    proposed_at: Instant | None = None
    decided_at: Instant | None = None
    decided_by: str | None = None
    decided_reason: str | None = None
    decides: str
    postponed_until: Instant | None = None
    trigger_since: Instant | None = Field(
        default=None,
        description="time since which the first trigger holds, from which cards count (D50)",
    )
    trigger_held: bool = False
    why: tuple[Why, ...] = ()
    cards: tuple[CardRow, ...] = ()
    version: int = 0
    boxes: tuple[Box, ...] = ()
    stand_down_since: Instant | None = Field(
        default=None, description="time since which the stand-down condition holds"
    )
    resumes_partly: bool = Field(
        default=False,
        description=(
            "true for a recovering plan that resumes partly if the stand-down condition ceases to "
            "hold"
        ),
    )
    stand_down_at: Instant | None = Field(
        default=None,
        description="time at which stand-down is proposed if the condition still holds",
    )
    stand_down_proposed: bool = False
    refused_level: int | None = optional(
        "level of the territory at the refusal; above it, the plan returns (D49)"
    )
    refused_incident_level: int | None = optional("level of the incident at the refusal")
    returns_at: Instant | None = optional(
        "for a refused plan or level: time of the next proposal if its trigger still holds"
    )
    life: int = Field(
        default=0,
        exclude_if=lambda life: not life,
        description="number of activations that began a new life of the plan",
    )

    def is_at_rest(self, phase: CardPhase | None) -> bool:
        """Return whether cards of this phase ask for nothing: the return of a plan that resumed."""
        return phase is CardPhase.RETURN and self.stand_down_since is None


@register_message
class ActivityChanged(RowFact):
    collection: ClassVar[str] = "activities"
    row: ActivityRow


@register_message
class LocalClockChanged(RowFact):
    collection: ClassVar[str] = "local_clocks"
    row: LocalClockRow


@register_message
class AlarmRaised(RowFact):
    collection: ClassVar[str] = "alarms"
    row: AlarmRow


@register_message
class AlarmArbitrated(RowFact):
    """A person wrote the arbitration that 100 % of an RTO demands.

    Rule D44.
    """

    collection: ClassVar[str] = "alarms"
    row: AlarmRow


@register_message
class StrategyChanged(RowFact):
    """A person activated or ended a fallback strategy."""

    collection: ClassVar[str] = "strategies"
    row: StrategyRow


@register_message
class PlanChanged(RowFact):
    """A plan changed its state, its cards or its boxes.

    `change`: listed, proposed, raised, held, released, activated, refused, postponed, returned,
    lapsed (a postponed proposal whose trigger holds no more), box, recovering, resumed, stand_down_proposed, stood_down, dropped (no longer in the reference
    data), card, cards_opened (at sites), cards_settled (what its site cards sum up to), moved (its
    cards, to another day).
    """

    collection: ClassVar[str] = "plans"
    row: PlanRow
    change: str


@register_message
class SiteCardChanged(RowFact):
    """A card of a site or person changed.

    `change`: opened, ready (the cards that it depends on are closed), started, completed, skipped,
    photo (it followed the completion), moved (a card of the return, when the plan recovers again).
    """

    collection: ClassVar[str] = "site_cards"
    row: SiteCardRow
    change: str


class SitrepRow(Model):
    """Validated situation report; it never changes, a correction is the next number.

    Rule D54.
    """

    id: str = Field(description="same as `number`, as text")
    number: int
    as_of: Instant
    issued_at: Instant
    issued_by: str
    role: str
    level: int = Field(description="level of the territory at validation")
    text_id: str = Field(description="id of the document in `texts`")
    sha256: str = Field(description="SHA-256 of the document's bytes, hex")
    counts: dict[str, int] = Field(default_factory=dict)
    incidents: tuple[str, ...] = ()
    next_at: Instant | None = Field(
        default=None, description="due time of the next one; null = this level has no rhythm"
    )
    recipients: tuple[str, ...] = Field(
        default=(), description="roles that are told that it is there"
    )


class ImprovementRow(Model):
    """Improvement action of the lessons learned.

    Rule D53.
    """

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


@register_message
class SitrepIssued(RowFact):
    """A situation report was issued; routed to alerts, where the task that asked for it is done."""

    collection: ClassVar[str] = "sitreps"
    row: SitrepRow


@register_message
class ImprovementChanged(RowFact):
    """An improvement action was decided, done or dropped; routed to alerts, where it is a task."""

    collection: ClassVar[str] = "improvements"
    row: ImprovementRow


class CauseHeard(Model):
    """Confirmed cause that acts now.

    `loss_pct` is the share of the site, `meals_lost_pct` that of the meals served there.
    """

    id: str
    type: EventType
    since: Instant
    loss_pct: float
    meals_lost_pct: float = 0.0
    severity: int
    incident: str | None = None
    report: str | None = None
    expected_end: Instant | None = None


@register_message
class SiteHeard(Fact):
    site: str
    status: SiteStatus
    since: Instant
    causes: tuple[CauseHeard, ...] = ()
    lifted_at: Instant | None = None
    confinement: Confinement | None = optional("reason to send nobody away for other work (D78)")
    uncounted_since: Instant | None = optional(
        "when its people left it, while nobody has counted any of them"
    )
    is_barred: bool = Field(
        default=False,
        exclude_if=lambda is_barred: not is_barred,
        description="true while an order to leave or to shelter stands without an all-clear (D88)",
    )


@register_message
class AreaOrderHeard(Fact):
    """Sites in the area of an order to leave or to shelter that nobody is sent to. Rule D102."""

    order: str
    sites: tuple[str, ...]
    status: SiteStatus | None = optional("evacuated or sheltering; absent in older logs")


@register_message
class DependencyHeard(Fact):
    """State of a system, kitchen or supplier, or a flag that a rule of continuity names.

    `id` is that of `FlagRow`.
    """

    id: str
    value: bool | float | str
    since: Instant
    effective_from: Instant | None = None
    speaks_of: Instant | None = None
    incident: str | None = None
    report: str | None = None


@register_message
class IncidentHeard(Fact):
    incident: str
    kind: str
    open: bool
    estimated_end: Instant | None = None
    level: int = Field(default=0, exclude_if=lambda level: not level)
    silenced: bool = Field(
        default=False,
        exclude_if=lambda silenced: not silenced,
        description="true while planned works or inhibition withhold its messages (D64, D65)",
    )
    merged_into: str | None = Field(
        default=None,
        exclude_if=lambda incident: incident is None,
        description="incident that holds its causes now (D25)",
    )


@register_message
class LevelHeard(Fact):
    """Level of the territory, received from alerts.

    It determines the pilot and the interval of situation reports. No predicate of alerts depends on
    either.
    """

    level: int


@register_message
class TriggerHeard(Fact):
    trigger: str
    plan: str
    level: int
    held: bool
    since: Instant
    incident: str | None = None


@register_message
class ActivityDeclared(Fact):
    """A person declared the state of an activity; None withdraws it: the computed state counts."""

    activity: str
    state: ActivityState | None
    author: str
    occurred_at: Instant
    reason: str | None = Field(default=None, description="reference `text:<id>`")


@register_message
class AgendaChanged(Fact):
    """Deadlines set (an instant) or removed (None), by key."""

    due: dict[str, Instant | None]


@register_message
class CrisisTended(Fact):
    """A person worked on plans, cards, strategies or activities; routed to alerts.

    It shows that the person with the acknowledged escalation is at work. Rule D33.
    """

    by: str
    incident: str | None = Field(
        default=None, description="id of the plan's incident; null = the whole crisis"
    )
