"""The resources that HTTP clients see (API.md, Resource shapes): rows of the read model joined with the reference data.

Times are aware UTC datetimes here and ISO 8601 on the wire. `title`, `text` and `name` are rendered in the reader's
language. A resource never carries a person's name, address or free text, except `Line.text` and `Report.headline`, which
come from the encrypted `texts` and only for roles that may read them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from schemas.base import Instant
from schemas.delivery import AttemptRow
from schemas.reassignment import LineState, Preference, ProposalState
from schemas.reports import Measure
from schemas.words import (
    ActivityState,
    CardState,
    Certainty,
    Channel,
    ClockBase,
    ClockState,
    EventType,
    IncidentState,
    MsgType,
    NotificationState,
    PlanState,
    ReportState,
    SiteStatus,
    TaskState,
)


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, milliseconds only when there are some: `2027-02-11T08:40:00Z`."""
    at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def when(at: Instant) -> datetime:
    """The aware datetime of an instant."""
    return datetime.fromtimestamp(at / 1000, UTC)


def ms(at: datetime) -> Instant:
    """Inverse of `when`."""
    return round(at.timestamp() * 1000)


Time = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
Scalar = str | int | float | bool | None


class Resource(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=Resource)


class Page(Resource, Generic[T]):
    """One page of a list. `next` is given back as `?cursor=`; None at the end."""

    items: list[T]
    next: str | None = None


class Reason(Resource):
    """One reason with its threshold, value and the reports behind it; `text` is the sentence."""

    code: str
    text: str
    metric: str | None = None
    args: dict[str, str | int | float | bool | list[str] | list[int]] = Field(default_factory=dict)
    op: str | None = None
    threshold: Scalar = None
    value: Scalar = None
    at: Time | None = None
    reports: list[str] = Field(default_factory=list)


class Realm(Resource):
    id: str = Field(description="the same as `name`")
    name: str
    territory: str
    kind: str = Field(description="live, ex, what, test")
    title_code: str
    state: str = Field(description="open, closed")
    simulated: bool
    started_at: Time
    opened_at: Time
    closed_at: Time | None = None
    clock: Time = Field(description="logical time of the newest fact; of a live realm, the time of its last input")
    paused: bool
    speed: float | None
    stepping_to: Time | None = Field(default=None, description="a simulated realm was asked to move to this time")
    lineage: str
    reference: str | None = Field(default=None, description="version of the reference data in force")


class Interval(Resource):
    """When a planned cause acts (D9); `to` None = open end."""

    start: Time
    to: Time | None


class Cause(Resource):
    id: str
    incident: str | None
    type: EventType
    effect: SiteStatus
    since: Time
    certainty: Certainty
    severity: int
    loss_pct: float
    contested: bool
    planned: bool
    overdue: bool
    sources: list[str]
    reports: list[str]
    expected_end: Time | None = None
    windows: list[Interval] = Field(default_factory=list)
    maintenance: list[str] = Field(default_factory=list, description="windows that cover it: planned works (D64)")
    inhibited_by: str | None = Field(default=None, description="the cause of which it is a consequence (D65)")


class Site(Resource):
    id: str
    realm: str
    name: str
    kind: str
    commune: str
    commune_name: str
    pole: str
    status: SiteStatus
    since: Time | None = Field(description="None: normal since before the realm was opened")
    capacity_pct: float
    causes: list[Cause]
    why: list[Reason]
    last_word_at: Time | None
    flags: list[str]
    lat: float
    lon: float
    position: str
    x: float = Field(description="place on the map of `/communes`, in units of its view box")
    y: float
    staff: int
    desks: int
    public_capacity: int
    flood_exposure: str
    generator: bool
    kitchen: str | None
    name_is: str


class Ladder(Resource):
    """The running ladder of an incident (or the realm's, if the incident joined it)."""

    id: str
    ladder: str
    state: str
    wave: int
    cycle: int
    next_at: Time | None
    acknowledged_by: list[str]


class IncidentCause(Resource):
    key: str
    kind: str


class Incident(Resource):
    id: str
    realm: str
    number: str
    title: str
    kind: str
    state: IncidentState
    level: int
    severity: int
    certainty: Certainty
    opened_at: Time
    known_at: Time
    updated_at: Time
    closed_at: Time | None
    merged_into: str | None
    version: int = Field(description="counts decisions; also the ETag")
    sites: list[str] = Field(description="sites with a word of their own in it")
    members: int = Field(description="how many sites that is")
    zone_sites: list[str]
    communes: list[str]
    poles: list[str]
    cause: IncidentCause
    reports: list[str] = Field(description="ids, oldest first; empty in the live stream")
    reports_count: int
    duplicates_count: int
    danger: bool = Field(description="people may be in danger")
    customers_cut: float | None
    persons_concerned: int | None
    estimated_end: Time | None
    acknowledged_by: list[str]
    quiet: str | None = Field(description="maintenance (D64), inhibited (D65): in the picture, calls nobody")
    escalation: Ladder | None
    plans: list[str]
    why: list[Reason]


class Wave(Resource):
    wave: int
    cycle: int
    due_at: Time
    fired_at: Time | None
    ack_min: int
    channels: list[Channel]
    state: str
    roles: list[str]
    notifications: list[str]
    expected: int
    positive: int
    declined: int


class Escalation(Resource):
    id: str
    realm: str
    ladder: str
    scope: str
    incidents: list[str]
    state: str
    policy: str
    started_at: Time
    wave: int
    cycle: int
    next_at: Time | None
    acknowledged_by: list[str]
    waves: list[Wave]
    uncovered_roles: list[str]
    level: int
    previous_level: int | None
    superseded_by: str | None


class Report(Resource):
    id: str
    realm: str
    state: ReportState
    reason: str | None = None
    of: str | None = None
    incident: str | None = None
    why: list[Reason] = Field(default_factory=list)
    flags: list[str] = Field(default_factory=list)
    confirmation: str | None = None
    source: str | None = None
    site: str | None = None
    commune: str | None = None
    zone: list[str] = Field(default_factory=list)
    effective: list[Interval] = Field(default_factory=list)
    expected_end: Time | None = None
    lifts: list[EventType] = Field(default_factory=list)
    affected_activities: list[str] = Field(default_factory=list)
    verified_by: str | None = None
    source_key: str | None = None
    type: EventType | None = None
    severity: int | None = None
    certainty: Certainty | None = None
    msg_type: MsgType | None = None
    references: list[str] = Field(default_factory=list)
    alias: str | None = None
    occurred_at: Time | None = None
    recorded_at: Time | None = None
    capacity_lost_pct: float | None = None
    persons_concerned: int | None = None
    measure: Measure | None = None
    phenomenon: str | None = None
    colour: str | None = None
    plan_hint: str | None = None
    headline: str | None = Field(default=None, description="from `texts`, for roles that may read free text")
    description: str | None = None
    attachments: list[str] = Field(default_factory=list, description="ids of its photos, for roles that may read free text")
    dialect: str | None = None
    sites: list[str] = Field(default_factory=list, description="sites in the area that it names")
    signature: str | None = Field(default=None, description="of a CAP message: unsigned, unchecked, valid, invalid")


class Clock(Resource):
    """RTO or DMIA (MTPD). A running clock counts down to `deadline`."""

    base: ClockBase
    state: ClockState
    limit_h: float
    started_at: Time | None
    deadline: Time | None
    stopped_at: Time | None
    consumed_pct: float = Field(description="at `as_of`; while `ticking` it runs on to 100 % at `deadline`")
    as_of: Time | None
    ticking: bool = Field(description="running inside the open hours that count for this limit")
    alarms: list[int]


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
    criticality: int
    state: ActivityState
    declared: ActivityState | None
    declared_by: str | None
    computed: ActivityState
    capacity_pct: float
    computed_pct: float
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
    strategies: list[str] = Field(description="as listed in the reference data, in the order to try")
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
    """A fallback strategy that a person put into effect (D51)."""

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


class Gap(Resource):
    """Agents of a métier who would be missing, and whom outside the département one could ask (SR-FOUR, SR-MUT)."""

    site: str
    activity: str
    activity_name: str
    metier: str
    metier_name: str
    count: int
    missing: str = Field(description="people or seats")
    why: list[str] = Field(description="codes of docs/how-to/reassign.md")
    outside_help: list[str]


class Loss(Resource):
    """Sites lost together. U1, U2, U3: agents of criticality 1, 2, 3 that stay missing after the best reassignment, weighted by urgency."""

    sites: list[str]
    names: list[str]
    u1: int
    u2: int
    u3: int
    gaps: list[Gap]
    gaps_more: int = Field(description="gaps that are not listed")


class Crisis(Resource):
    """The present that a ranking starts from: sites hit, agents of approved lines that hold desks, and what is unmet without a further loss."""

    number: int = Field(description="of the proposal for this situation")
    sites_hit: int
    held: int
    elapsed_h: float
    u1: int
    u2: int
    u3: int


class Gain(Resource):
    """What one trained agent, fallback site or generator more would buy over the gravest losses, solved again with it: negative is better."""

    kind: str = Field(description="agent (of a métier), site (of a kind), generator (at a site, when its commune has no power)")
    what: str
    name: str
    u1: int
    u2: int
    u3: int
    agents: int = Field(description="change of the unmet agents, not weighted")
    kept: int = Field(description="activities that stay above their minimum with it and would not without, over these losses")
    losses: int = Field(description="over how many losses")


class Contingency(Resource):
    """Which losses the territory would not survive (N-1: each site, N-2: each pair); computed in the background, from a quiet day once per reference
    version, from the present of a crisis whenever it changes.
    """

    id: str
    realm: str
    n: int
    lost: str = Field(description="building: its people are safe; people: building and people")
    reference: str
    losses: int = Field(description="looked at")
    unmet: int = Field(description="of them, how many leave something undone (from the present: more than now)")
    worst: list[Loss] = Field(description="the ten gravest, the worst first")
    gains: list[Gain] = Field(description="of n = 1: what one more would buy, the best first")
    present: Crisis | None = Field(description="null: from a quiet day")
    computed_at: Time


class MoveReason(Resource):
    code: str = Field(description="R1 … R9 or a word of docs/reference/reassignment-model.md")
    text: str
    values: dict[str, str | int]


class End(Resource):
    """One end of a move. `site` is `telework` for agents who work at home."""

    site: str
    name: str
    activity: str
    activity_name: str


class ReassignmentLine(Resource):
    """`count` agents of a métier: never names. `to.activity` is the work that they do, at `to.site`; `need_site`: whose work it is."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    id: str
    realm: str
    proposal: str
    source: End = Field(alias="from")
    target: End = Field(alias="to")
    need_site: str | None
    metier: str
    metier_name: str
    need_metier: str | None
    need_metier_name: str | None = Field(description="what they do there, when it is another métier's work")
    supply: str = Field(description="displaced: their site is lost; releasable: they leave less urgent work")
    own_work: bool
    count: int
    criticality: int
    score: dict[str, int] = Field(description="tenths, minutes (one way), co2_g (both ways, per agent)")
    state: LineState
    why: list[MoveReason]
    incident: str | None
    needed: int | None = Field(description="of an approved line: so many are still needed")
    approved_by: str | None
    approved_role: str | None
    approved_at: Time | None
    rules: list[str]
    dispatched_at: Time | None
    accepted_at: Time | None
    arrived_at: Time | None
    ended_at: Time | None
    cause: str | None


class MissingAgents(Resource):
    activity: str
    activity_name: str
    metier: str
    metier_name: str
    sites: list[str]
    sites_more: int
    count: int
    missing: str = Field(description="people or seats")
    why: list[MoveReason]
    outside_help: list[str]


class ProposalDecision(Resource):
    id: str
    verb: str
    lines: list[str]
    agents: int
    by: str
    role: str
    at: Time
    rules: list[str]


class Flow(Resource):
    source: str
    target: str
    work: str
    count: int


class Proposal(Resource):
    """What the planner proposes; `lines` only when it is read alone."""

    id: str
    realm: str
    number: int
    state: ProposalState
    preference: Preference
    reference: str
    incident: str | None
    requested_at: Time
    computed_at: Time
    sites_hit: int
    elapsed_h: float
    transit: bool
    telework: bool
    objective: dict[str, int]
    open_level: str | None = Field(description="first level that is not proved optimal; None: all are")
    bound: float | None
    demand: int
    unmet_agents: int
    displaced: int
    own_work: int
    idle_agents: int
    suspended_agents: int
    travelling: int
    agents: int
    lines_total: int
    undecided: int
    kept: int
    changed: int
    unmet: list[MissingAgents]
    idle: list[MissingAgents]
    suspended: list[MissingAgents]
    not_shown: int
    flow: list[Flow]
    decisions: list[ProposalDecision]
    superseded_by: str | None
    failure: str | None
    version: int = Field(description="counts decisions; also the ETag")
    lines: list[ReassignmentLine] | None = None


class Card(Resource):
    id: str
    task: str = Field(description="text of the territory's file")
    role: str
    pole: str | None
    due_at: Time | None = Field(description="None while the plan's trigger does not hold")
    state: CardState
    overdue: bool
    by: str | None
    at: Time | None


class BoxState(Resource):
    """A condition of the stand-down that a named person ticks (D52)."""

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
    version: int = Field(description="counts decisions; also the ETag")
    boxes: list[BoxState]
    trigger_held: bool
    stand_down_proposed: bool
    stand_down_at: Time | None
    stand_down_text: str | None


class Pole(Resource):
    id: str
    realm: str
    name: str
    type: str
    level: int
    why: list[Reason]
    sites: dict[SiteStatus, int]
    sites_total: int
    activities: dict[ActivityState, int]
    activities_total: int


class Commune(Resource):
    insee: str
    realm: str
    name: str
    population: int
    lat: float
    lon: float
    x: float
    y: float
    path: str = Field(description="SVG path of the outline")
    seine_flood_plan: bool
    sites: dict[SiteStatus, int]
    incidents: list[str] = Field(description="open incidents whose zone holds it")


class Map(Resource):
    """View box of all paths and places, and the attribution that must be shown with them."""

    width: float
    height: float
    attribution: str


class Task(Resource):
    id: str
    realm: str
    kind: str
    title: str
    state: TaskState
    opened_at: Time
    due_at: Time | None
    site: str | None
    incident: str | None
    report: str | None
    candidates: list[str]
    taken_by: str | None
    done_at: Time | None
    outcome: str | None
    owner: str | None = Field(description="role that has to do it, `directeur_pole:<pôle>` in a scope")
    post: str | None = Field(description="readiness_hole: the role, `<role>:<scope>` in a scope")


class Attempt(Resource):
    id: str
    number: int
    channel: Channel
    state: str
    planned_at: Time
    granted_at: Time | None
    ended_at: Time | None
    provider_id: str | None
    error: str | None
    possible_duplicate: bool

    @classmethod
    def of(cls, row: AttemptRow) -> Attempt:
        """The attempt without the sender's run id."""
        return cls(
            id=row.id, number=row.number, channel=row.channel, state=row.state, planned_at=when(row.planned_at),
            granted_at=None if row.granted_at is None else when(row.granted_at), ended_at=None if row.ended_at is None else when(row.ended_at),
            provider_id=row.provider_id, error=row.error, possible_duplicate=row.possible_duplicate,
        )  # fmt: skip


class Notification(Resource):
    id: str
    realm: str
    incident: str | None
    escalation: str | None
    wave: int | None
    cycle: int | None
    level: int
    previous_level: int | None
    role: str
    scope: str | None
    person_token: str
    channel: Channel | None
    channels: list[Channel]
    state: NotificationState
    template: str
    values: dict[str, Scalar]
    answer_expected: bool
    danger: bool
    planned_at: Time
    ack_by: Time | None
    sent_at: Time | None
    receipt_at: Time | None
    acknowledged_at: Time | None
    answer: str | None
    attempts: list[Attempt]
    possible_duplicate: bool
    withdrawn: str | None
    waits_for: Channel | None = Field(default=None, description="the channel whose pace it waits for")
    not_before: Time | None = Field(default=None, description="when it goes out: hours of a channel, or the next digest")
    bundled_into: str | None = Field(default=None, description="the message that told it (D36)")
    bundle_count: int = Field(default=0, description="other messages that it tells (D36)")
    why: str | None


class LevelState(Resource):
    """`id`: `territory` or `pole:<id>`."""

    id: str
    realm: str
    level: int
    since: Time | None
    why: list[Reason]
    version: int
    proposed: int | None
    proposed_why: list[Reason]


class Flag(Resource):
    id: str
    realm: str
    value: bool | float | str
    since: Time
    effective_from: Time | None
    incident: str | None
    reports: list[str]


class Trigger(Resource):
    id: str
    realm: str
    plan: str
    level: int
    state: str
    since: Time
    incident: str | None
    why: list[Reason]


class Line(Resource):
    """A line of the main courante (D55): what was recorded, when it happened and when we learnt it, by whom."""

    id: str
    realm: str
    occurred_at: Time
    recorded_at: Time
    late_min: int = Field(description="whole minutes between the two, 0 below one minute")
    author: str = Field(description="token of a person, or `system`")
    role: str | None
    kind: str = Field(description="fact, decision, action, communication, watch, alarm, note, runtime")
    type: str = Field(description="name of the fact, e.g. SiteStatusChanged")
    change: str | None
    text: str = Field(description="the sentence in the reader's language")
    incident: str | None
    site: str | None
    report: str | None
    certainty: Certainty | None
    source: str | None
    corrects: str | None
    place: str = Field(description="service/partition/seq/ordinal of the fact in its log")


class Sitrep(Resource):
    """A validated point de situation (D54); the document is at `/api/v1/sitreps/{number}`."""

    id: str
    realm: str
    number: int
    as_of: Time
    issued_at: Time
    issued_by: str
    role: str
    level: int
    sha256: str = Field(description="of the frozen document's bytes")
    counts: dict[str, int]
    incidents: list[str]
    next_at: Time | None = Field(description="when the next one is due")


class Improvement(Resource):
    """An improvement action (D53)."""

    id: str
    realm: str
    text: str | None = Field(description="from `texts`, for roles that may read free text")
    owner: str
    due_at: Time
    incident: str | None
    state: str
    opened_at: Time
    opened_by: str
    closed_at: Time | None
    closed_by: str | None


class Hold(Resource):
    realm: str
    held: bool
    until: Time | None
    by: str | None
    reason: str | None


class Estimate(Resource):
    """What a call-out takes on one channel, by the declared rates."""

    channel: Channel
    people: int
    seconds: int
    cost_cents: int


class CallOut(Resource):
    """Many people told at once: the arithmetic before, the progress during. Counts only."""

    id: str
    realm: str
    kind: str = Field(description="callout, headcount")
    state: str = Field(description="draft, running, stopped, done")
    incident: str | None
    sites: list[str]
    level: int
    danger: bool
    answer_expected: bool
    channels: list[Channel]
    by: str
    drafted_at: Time
    started_at: Time | None
    ended_at: Time | None
    people: int
    unreachable: int = Field(description="people without any of the channels")
    estimates: list[Estimate]
    cost_cents: int
    handed: int = Field(description="told: a provider took it, or the person has it")
    received: int
    answered: int
    failed: int
    ambiguous: int
    withdrawn: int
    spent_cents: int
    eta_at: Time | None = Field(description="when the last one is handed over, corrected while it runs")
    safe: int = Field(description="headcount: 1")
    help: int = Field(description="headcount: 2, needs help")
    away: int = Field(description="headcount: 3")
    reminded: int
    managers_called_at: Time | None


class SafetyAnswer(Resource):
    """Who said what in a headcount: personal, every reading is logged, gone after 30 days."""

    person_token: str
    name: str | None
    answer: str = Field(description="safe, help, away")


class CommandResult(Resource):
    """What the decider said. `state`: pending, applied, refused, failed."""

    id: str
    command_id: str = Field(description="the same as `id`")
    realm: str
    command: str | None = None
    state: str
    status: int | None = Field(default=None, description="of a refusal: 403, 404, 409, 412")
    code: str | None = None
    detail: str | None = Field(default=None, description="the sentence of a refusal")
    result: dict[str, Scalar] = Field(default_factory=dict)
    at: Time | None = None


class Matching(Resource):
    """One label against a value; `regex` must match the whole of it."""

    name: str
    value: str
    regex: bool
    equal: bool


class Covers(Resource):
    """Each list that is given must hold for every report of a cause."""

    sites: list[str]
    kinds: list[str]
    poles: list[str]
    types: list[EventType]
    sources: list[str]
    matchers: list[Matching]


class Maintenance(Resource):
    """A maintenance window: planned works, in the picture without calling anybody (D64)."""

    id: str
    realm: str
    title: str = Field(description="what it covers, in words")
    state: str = Field(description="planned, active, over")
    covers: Covers
    starts_at: Time = Field(description="of the first occurrence")
    ends_at: Time
    rrule: str | None
    begins_at: Time | None = Field(description="of the occurrence that holds, or of the next one")
    until_at: Time | None
    origin: str = Field(description="vigie, alertmanager")
    author: str
    role: str
    reason: str | None = Field(description="for roles that may read free text")
    created_by: str | None = Field(description="in whose name a program asked for it; for the same roles")
    planned_at: Time
    changed_at: Time
    over_at: Time | None
    over_by: str | None
    version: int = Field(description="counts decisions; also the ETag")
    causes: int = Field(description="open causes on sites that it covers now")
    covered_sites: list[str]


class Lease(Resource):
    """An alert that a machine keeps alive (D66); `id` is the report that opened it."""

    id: str
    realm: str
    state: str = Field(description="held, lapsed, ended")
    source_key: str | None
    labels: dict[str, str]
    began_at: Time
    renewed_at: Time
    until: Time
    explicit: bool
    quiet: str | None
    quiet_by: list[str]


class LogPosition(Resource):
    service: str
    partition: int
    seq: int
    offset: int
    history: int
    hash: str
    at: Time | None = Field(description="logical time of the newest record")


class Feed(Resource):
    """Health of one source of reports, or of one channel to people."""

    id: str
    kind: str = Field(description="source, channel")
    last_at: Time
    silent_s: int


class AlarmRate(Resource):
    """Demands for attention against the bearable rate (ISA 18.2: about 10 per 10 minutes)."""

    window_min: int
    demands: int
    bearable: int
    reports: int
    series: list[int] = Field(description="demands per 10 minutes, oldest first, one hour")


class AuditBreach(Resource):
    law: str
    what: str


class Audit(Resource):
    """The auditor's word: are all promises kept, judged from the logs alone?"""

    state: str = Field(description="green, red, reading (it has not read everything yet), unknown (no auditor has spoken for a minute)")
    at: Time | None = Field(description="of the judgement")
    since: Time | None = Field(description="of this state")
    breaches: list[AuditBreach]


class Overview(Resource):
    realm: Realm
    at: Time = Field(description="the moment that this picture shows")
    server_time: Time
    level: LevelState
    counts: dict[str, int] = Field(
        description="incidents_open, reports, tasks_open, plans_proposed, plans_active, activities_interrupted, …"
    )
    sites: dict[SiteStatus, int]
    activities: dict[ActivityState, int]
    poles: list[Pole]
    incidents: list[Incident] = Field(description="not closed, gravest first, without their report ids")
    alarm_rate: AlarmRate
    feeds: list[Feed]
    hold: Hold
    audit: Audit
    log: list[LogPosition]
    epoch: str


class Explanation(Resource):
    """Why an incident is what it is: correlation, each level, each site's path, each plan."""

    incident: str
    realm: str
    title: str
    correlation: list[Reason]
    levels: list[Reason]
    sites: dict[str, list[Reason]]
    activities: dict[str, list[list[PathStep]]]
    plans: dict[str, list[Reason]]


class Change(Resource):
    """One thing that is not what it was."""

    collection: str = Field(description="levels, incidents, sites, activities, plans, tasks, escalations")
    id: str
    title: str
    before: str | None = Field(description="state at `since`; None = it did not exist")
    after: str = Field(description="state at `until`")
    at: Time | None = Field(description="when it took this state, as far as that is known")


class Changes(Resource):
    """The difference of two times: what somebody who comes back has to know."""

    realm: str
    since: Time
    until: Time
    items: list[Change] = Field(description="per collection, gravest collection first, oldest change first")
