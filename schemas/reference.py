"""Reference data as versioned inputs.

Sections are published one per input; the last one switches the version. Files:
`territories/<code>/`. Field names follow the files (their README says which values are facts and
which are drafts); the loader (`services.territory`) turns French YAML keys into English, once.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Command, Fact, Instant, Model, optional, register_message
from schemas.crisis.communication import Audience
from schemas.crisis.obligations import Obligation
from schemas.oncall import DAY_MIN, Reach, Rotation, check_hours
from schemas.plans import Card, PlanContent, find_card_faults
from schemas.predicates import Predicate
from schemas.words import Channel, EventType, PlanState


class Section(StrEnum):
    COMMUNES = "communes"
    SITES = "sites"
    ACTIVITIES = "activities"
    PLANS = "plans"
    ESCALATION = "escalation"
    ROSTER = "roster"
    CHANNELS = "channels"
    STAFFING = "staffing"
    MEASURES = "measures"
    CONTACTS = "contacts"
    STATEMENTS = "statements"
    OBLIGATIONS = "obligations"
    RESOURCES = "resources"
    TRANSPORT = "transport"
    PLAN_CONTENT_1 = "plan_content_1"
    PLAN_CONTENT_2 = "plan_content_2"
    PLAN_CONTENT_3 = "plan_content_3"
    PLAN_CONTENT_4 = "plan_content_4"
    PLAN_CONTENT_5 = "plan_content_5"
    PLAN_CONTENT_6 = "plan_content_6"
    PLAN_CONTENT_7 = "plan_content_7"
    PLAN_CONTENT_8 = "plan_content_8"


PLAN_CONTENT_SECTIONS: Final = (
    Section.PLAN_CONTENT_1,
    Section.PLAN_CONTENT_2,
    Section.PLAN_CONTENT_3,
    Section.PLAN_CONTENT_4,
    Section.PLAN_CONTENT_5,
    Section.PLAN_CONTENT_6,
    Section.PLAN_CONTENT_7,
    Section.PLAN_CONTENT_8,
)
"""Sections with the parts of the content of plans, in order.

All content of a territory exceeds one record; a part holds whole plans.
"""
UNDECIDED_SECTIONS: Final = frozenset(
    {Section.STAFFING, Section.STATEMENTS, Section.TRANSPORT, *PLAN_CONTENT_SECTIONS}
)
"""Sections that no rule of alerts reads; its state leaves them out."""
MAX_SECTION_BYTES: Final = 200_000
"""Largest size of a section, which is published in one record with all its effects."""
PUBLISHING_ORDER: Final = (
    Section.COMMUNES,
    Section.SITES,
    Section.ACTIVITIES,
    Section.ESCALATION,
    Section.ROSTER,
    Section.CHANNELS,
    Section.MEASURES,
    Section.CONTACTS,
    Section.STATEMENTS,
    Section.RESOURCES,
    Section.OBLIGATIONS,
    Section.TRANSPORT,
    Section.STAFFING,
    *PLAN_CONTENT_SECTIONS,
    Section.PLANS,
)
"""Publishing order of the sections of a version.

Channels follow the escalations, because they replace their defaults; plans come last.
"""
OPTIONAL_SECTIONS: Final = frozenset(
    {
        Section.CHANNELS,
        Section.MEASURES,
        Section.CONTACTS,
        Section.STATEMENTS,
        Section.RESOURCES,
        Section.OBLIGATIONS,
        Section.TRANSPORT,
        *PLAN_CONTENT_SECTIONS,
    }
)
"""Sections that a territory may omit."""


class Commune(Model):
    insee: str
    name: str
    population: int
    lat: float
    lon: float
    seine_flood_plan: bool


GYMNASIUM: Final = "gymnase"
GYMNASIUM_DESKS: Final = 20


class Site(Model):
    """Site of the département; `generator` and `desks` may be draft values."""

    id: str
    name: str
    kind: str
    commune: str = Field(description="INSEE code")
    commune_name: str
    lat: float
    lon: float
    position: Literal["fact", "approximate"]
    pole: str = Field(description="`multi` counts for no pôle (D29)")
    staff: int
    desks: int
    public_capacity: int
    flood_exposure: Literal["non", "oui", "tier1", "tier2", "tier3"]
    generator: bool
    kitchen: str | None
    name_is: Literal["fact", "fictitious"]
    code: str | None = Field(
        default=None, pattern="^[0-9]{2,6}$", description="short code, for text messages"
    )
    vulnerable_public: int = Field(
        default=0,
        ge=0,
        le=3,
        exclude_if=lambda weight: not weight,
        description=(
            "0–3: children in care, PMI, isolated elderly, people with disabilities who depend on "
            "it (D82)"
        ),
    )

    @property
    def places(self) -> int:
        """Desks as a host.

        A gymnasium has a fixed number (docs/reference/reassignment-model.md, §2).
        """
        return GYMNASIUM_DESKS if self.kind == GYMNASIUM else self.desks


class Pole(Model):
    id: str
    name: str
    name_en: str
    type: Literal["operational", "functional"]


class Activity(Model):
    """Activity of the business impact analysis (ISO 22317); times are in hours."""

    id: str
    pole: str
    name: str
    name_en: str
    criticality: int = Field(ge=1, le=4)
    dmia_h: float
    rto_h: float
    pdma_h: float
    mbco_pct: float
    staff: int
    minimum_staff: int
    site_kinds: tuple[str, ...]
    systems: tuple[str, ...]
    suppliers: tuple[str, ...]
    strategies: tuple[str, ...]
    telework: str
    short_name: str | None = Field(default=None, description="short name for messages")
    continuous: bool = Field(
        default=False,
        exclude_if=lambda said: not said,
        description="true if its limits count all hours, regardless of its calendar (D43)",
    )
    vulnerable_public: int = Field(
        default=0,
        ge=0,
        le=3,
        exclude_if=lambda weight: not weight,
        description=(
            "0–3: children in care, PMI, isolated elderly, people with disabilities who depend on "
            "it (D82)"
        ),
    )
    reviewed_on: date | None = optional("day of the last yearly review (D86)")


class SystemName(Model):
    """Name of an information system or network that activities and cards rely on."""

    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    name_en: str = Field(min_length=1)


class Trigger(Model):
    level: int = Field(
        description="minimum level of the incident while this holds; 0 for pôle plans"
    )
    text: str
    when: Predicate


class StandDown(Model):
    text: str
    when: Predicate | None
    hold_min: int


class Plan(Model):
    id: str
    title: str
    pole: str | None = Field(description="pôle of a PCA-* plan, null for a PT-* plan")
    state: str = Field(
        description=(
            "state in the library (D48): brouillon, en_revue, valide, archive; only a valid plan "
            "is proposed or activated"
        )
    )
    decides: str = Field(description="role that may decide (D49)")
    auto: bool = Field(
        default=False,
        description=(
            "true if it is activated as soon as its trigger holds; only for plans without cards, "
            "which have no effect outside Vigie (D49)"
        ),
    )
    triggers: tuple[Trigger, ...]
    cards: tuple[Card, ...] = ()
    card_origin: str | None = None
    stand_down: StandDown | None = None
    zone_by_threshold_m: dict[str, float] = Field(
        default_factory=dict, description="flood_exposure → river level (PT-CRUE)"
    )
    thresholds_m: dict[str, str] = Field(default_factory=dict)

    @property
    def shelf(self) -> PlanState:
        """State in the library, until a trigger or decision changes it.

        An unknown state in an older log counts as a draft.
        """
        return LIBRARY_STATES.get(self.state, PlanState.DRAFT)


LIBRARY_STATES: Final = {
    "brouillon": PlanState.DRAFT,
    "en_revue": PlanState.IN_REVIEW,
    "valide": PlanState.VALID,
    "archive": PlanState.ARCHIVED,
}


class CellStaffingRule(Model):
    """Functions that a level requires in the crisis cell, and the time to fill them. Rule D90."""

    roles: tuple[str, ...] = Field(min_length=1, description="each has to be filled")
    working_min: int = Field(ge=1, description="objective in working hours")
    off_min: int = Field(ge=1, description="objective outside working hours")
    calendar: str | None = Field(
        default=None, description="calendar of the working hours; null: working hours at any time"
    )


class LevelRule(Model):
    level: int
    name: str
    pilots: tuple[str, ...]
    sitrep_every_min: int | None
    text: str
    when: Predicate | None
    propose_when: Predicate | None = None
    staffing: CellStaffingRule | None = optional(
        "staffing of the crisis cell; null: the level calls no cell"
    )


class Wave(Model):
    wave: int
    after_min: int
    who: tuple[str, ...]
    channels: tuple[str, ...]
    ack_min: int
    expected: int
    only_if: dict[str, str] = Field(
        default_factory=dict,
        description="name in `who` → flag that must be true for it to be called (D73)",
    )


class Repeat(Model):
    """Repetition after the last step of an escalation.

    Rule D33.
    """

    from_wave: int
    after_min: int
    times: int


class Alarm(Model):
    base: Literal["rto", "dmia"]
    pct: int
    to: tuple[str, ...]
    effect: str | None = None
    criticality: tuple[int, ...] = Field(
        default=(), description="criticality of the activities concerned; empty = all (D73)"
    )


class Calendar(Model):
    """Open hours when time limits under 24 h run.

    Minutes count from local midnight (Europe/Paris). Rule D43.
    """

    id: str
    weekdays: tuple[int, ...] = Field(description="1 Monday … 7 Sunday")
    open_min: int
    close_min: int
    closed_on_holidays: bool
    closed_in_school_holidays: bool


class Surcharge(Model):
    """Shorter DMIA (and RTO) within a window or under a cause.

    Rule D43.
    """

    activity: str
    dmia_h: float
    rto_h: float | None = None
    days_of_month: tuple[int, ...] = ()
    working_days_before_month_end: tuple[int, int] | None = None
    cause: str | None = None
    scope: str | None = None
    flag: str | None = None


class Inhibition(Model):
    """Inhibition: an open cause on a site explains these others, so that they call nobody.

    Rule D65.
    """

    cause: EventType
    consequences: tuple[EventType, ...]
    before_min: int = Field(
        description=(
            "minutes by which a consequence may begin before its cause, because clocks and people "
            "are inexact"
        )
    )
    within_h: float = Field(
        description="hours after the cause within which a consequence may begin"
    )
    except_kinds: tuple[str, ...] = Field(
        default=(), description="kinds of site at which a consequence counts by itself"
    )


class ReadinessRule(Model):
    """Requirements for every hour ahead, and the roles to inform of gaps.

    Rule D38.
    """

    horizon_days: int = Field(ge=1, le=31)
    roles: tuple[str, ...] = Field(
        description=(
            "roles of the whole territory to prove; roles of pôles and sites are always proved"
        )
    )
    report_min: int = Field(ge=0, le=1439, description="local minute of the daily computation")
    alert_before_h: float
    alert_to: tuple[str, ...] = Field(
        description="roles informed of a gap of the whole territory that begins sooner"
    )
    alert_to_scoped: tuple[str, ...] = Field(
        description=(
            "roles informed of a gap of a pôle or site; a role of pôles means that of the same pôle"
        )
    )
    proof_days: int = Field(description="days for which a channel counts as verified")
    channels_min: int = Field(description="number of verified channels that a person needs")
    answer_min: dict[str, float] = Field(
        description="channel → minutes until a person is reached, or the channel is given up"
    )
    rate_per_min: dict[str, float] = Field(
        default_factory=dict,
        description="channel → calls per minute that its provider accepts; absent = enough",
    )
    drill_day: int | None = Field(
        default=None,
        ge=1,
        le=28,
        description="day of the month from which the monthly drill is due; null = no drill",
    )


class WorkingTime(Model):
    """Limits of working time.

    Rule D39 and R5.
    """

    day_h: float
    week_h: float
    daily_rest_h: float
    weekly_rest_h: float
    standby_roles: tuple[str, ...] = Field(
        default=(), description="roles on call at home: only call-outs count as work"
    )
    call_out_h: float = Field(default=1, description="hours of work per answered call")
    cell_shift_h: float = Field(default=10, gt=0, description="hours of a shift in the crisis cell")
    warn_before_min: int = Field(
        default=60,
        ge=0,
        description=(
            "minutes before the end of a shift in the crisis cell at which a handover or a "
            "decision is due"
        ),
    )


class StaleAnswer(Model):
    """Time after which an acknowledged but neglected escalation calls again.

    Rule D33.
    """

    after_min: dict[str, int] = Field(
        description="escalation → minutes without action; absent = never"
    )


class ReassignmentPolicy(Model):
    """Timing, recipients and approval of reassignment proposals.

    See docs/reference/reassignment-model.md.
    """

    decides: str = Field(default="directeur_pole", description="lowest role that may approve (D49)")
    told: tuple[str, ...] = Field(
        default=("coordinateur_pca",), description="roles informed of a proposal"
    )
    settle_min: int = Field(
        default=3,
        ge=0,
        description="minutes from the first change to the request, because reports come in bursts",
    )
    every_min: int = Field(
        default=5, ge=1, description="minimum minutes between automatic requests at the beginning"
    )
    every_min_later: int = Field(
        default=30,
        ge=1,
        description=(
            "minimum minutes between automatic requests in an old crisis; meanwhile, a quarter of "
            "its age"
        ),
    )
    agent_day_eur: float | None = Field(
        default=None,
        ge=0,
        description=(
            "cost of one agent-day for lessons learned, in euros; null = no costs are shown"
        ),
    )
    work_calendar: str | None = optional(
        "calendar of work for activities without their own calendar and with an RTO of a day "
        "or more (D80); null = day and night"
    )
    setup_min: int = Field(
        default=30,
        ge=0,
        exclude_if=lambda m: m == 30,
        description="minutes from arrival at another site to work",
    )
    home_min: int = Field(
        default=60,
        ge=0,
        exclude_if=lambda m: m == 60,
        description="minutes until an agent works at home",
    )
    count_within_min: int = Field(
        default=60,
        ge=1,
        exclude_if=lambda m: m == 60,
        description=(
            "minutes after an evacuation without any count from which the staff planned there is "
            "reassigned as an estimate (D78)"
        ),
    )
    agent_day_draft: bool = Field(
        default=False, description="true if the cost is not confirmed yet; readers are informed"
    )


EVERY_POLE: Final = "tous_directeurs_pole"
"""Group in a step: the director of every pôle, affected or not."""
DEPUTIES: Final = "suppleants"
"""Group in a step: the deputy of each role of the first step without a positive answer."""


class Request(Model):
    """Request that a call makes of a role at a level."""

    level: int = Field(ge=1, le=4)
    role: str = Field(description="id of a role, or `*` for every other role")
    text: str = Field(
        min_length=1, max_length=80, description="French text, in the imperative, without full stop"
    )
    text_en: str | None = Field(default=None, max_length=80)


class MeetingPoint(Model):
    """A place where the crisis cell meets."""

    name: str = Field(min_length=1, max_length=120)
    site: str | None = optional("site in which it lies: nobody meets there while that is barred")


class Reaching(Model):
    """Contact points of the crisis cell, for messages and the answer page.

    Absent means not filled in.
    """

    cell_phone: str | None = None
    meeting_point: str | None = Field(default=None, description="the only one, without a site")
    meeting_points: tuple[MeetingPoint, ...] = Field(
        default=(),
        exclude_if=lambda points: not points,
        description="several, the usual one first; absent with a single one without a site",
    )
    bridges: dict[int, str] = Field(
        default_factory=dict, description="level → number and code of the conference bridge"
    )


class VigilanceDigest(Model):
    """One daily message about yellow vigilances, sent by these channels only.

    Rule D72.
    """

    at_min: int = Field(ge=0, le=1439, description="local minute of the day")
    to: tuple[str, ...] = Field(description="roles that receive it")
    channels: tuple[Channel, ...] = Field(description="channels in order; never voice")


class Escalation(Model):
    """Content of `escalade.yaml`: levels, roles, escalations, alarms, calendars."""

    levels: tuple[LevelRule, ...]
    authorities: tuple[str, ...]
    roles: dict[str, str]
    groups: dict[str, tuple[str, ...]]
    never_skipped: tuple[str, ...]
    ladders: dict[str, tuple[Wave, ...]]
    repeat: Repeat
    quiet_from: str = Field(description="local time such as 21:00 (D36)")
    quiet_to: str = Field(description="local time, on the next day if not later than `quiet_from`")
    quiet_levels: tuple[int, ...]
    quiet_days: tuple[int, ...] = Field(
        default=(1, 2, 3, 4, 5, 6, 7), description="ISO weekdays on which quiet hours begin"
    )
    budget_per_hour: int
    alarms: tuple[Alarm, ...]
    calendars: tuple[Calendar, ...]
    holidays: tuple[str, ...]
    school_holidays: tuple[tuple[str, str], ...]
    calendar_of_activity: dict[str, str]
    local_clocks: tuple[str, ...]
    served_places: dict[str, tuple[str, ...]]
    closure_without_loss: tuple[str, ...]
    ordinary_closures: tuple[str, ...] = Field(
        default=(),
        description=(
            "kinds of site that close to the public in ordinary operation; a closure counts at "
            "most 2 for levels (D72)"
        ),
    )
    role_by_nature: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "type of the first report, or family → role called instead of the technician on call, "
            "in the first step of N1 and N2 (D73)"
        ),
    )
    vigilance_digest: VigilanceDigest | None = Field(
        default=None, description="daily digest of yellow vigilances; null = no digest"
    )
    unknown_after_min: dict[str, int]
    task_due_min: dict[str, int] = Field(
        default={}, description="kind of task → minutes after which it is overdue"
    )
    surcharges: tuple[Surcharge, ...]
    systems_spared: tuple[str, ...] = Field(description="systems that total isolation does not cut")
    headcount_close_pct: float
    retex_hot_h: float = Field(
        default=72, description="hours from the end to the first lessons learned (D53)"
    )
    retex_cold_d: float = Field(
        default=30, description="days from the end to the final lessons learned"
    )
    headcount_reminders_min: tuple[int, ...]
    headcount_manager_min: int = Field(
        default=30,
        description="minutes after which the manager must find people without an answer (D37)",
    )
    inhibitions: tuple[Inhibition, ...] = ()
    readiness: ReadinessRule | None = None
    working_time: WorkingTime | None = None
    stale_answer: StaleAnswer | None = None
    reassignment: ReassignmentPolicy = ReassignmentPolicy()
    asks: tuple[Request, ...] = Field(
        default=(), description="requests of calls, by level and role (D70)"
    )
    reach: Reaching = Reaching()

    @property
    def quiet_hours(self) -> tuple[int, int] | None:
        """Quiet hours as minutes from local midnight: from, to.

        An invalid time in an older log gives None: then nothing is held back.
        """
        start, end = _parse_clock(self.quiet_from), _parse_clock(self.quiet_to)
        return None if start is None or end is None else (start, end)


def _parse_clock(clock: str) -> int | None:
    clock_match = re.fullmatch(r"([0-9]{1,2}):([0-5][0-9])", clock)
    total = int(clock_match[1]) * 60 + int(clock_match[2]) if clock_match else DAY_MIN + 1
    return total if total <= DAY_MIN else None


class Holder(Model):
    """Holder and deputy of a role, as tokens.

    `scope`: a pôle, a site, or None for the whole territory.
    """

    role: str
    scope: str | None = None
    holder: str | None = Field(description="token of the person; null = vacant (D34)")
    deputy: str | None = None


class Roster(Model):
    holders: tuple[Holder, ...]
    channels: dict[str, tuple[str, ...]] = Field(
        description="person token → verified channels (capability, never an address)"
    )
    rotations: tuple[Rotation, ...] = Field(
        default=(), description="rotations; they fill a role from their first day on"
    )
    reach: dict[str, tuple[Reach, ...]] = Field(
        default_factory=dict,
        description=(
            "token of the person → channels with the day of their proof; without a day, that of "
            "the publication counts"
        ),
    )


class InformationHours(Model):
    """Hours for messages that ask for no answer, in minutes from local midnight (Europe/Paris)."""

    from_min: int = Field(ge=0, lt=1440)
    to_min: int = Field(gt=0, le=1440)
    sundays: bool = False

    @model_validator(mode="after")
    def _within_a_day(self) -> Self:
        if self.from_min >= self.to_min:
            raise ValueError("the hours of a day must begin before they end")
        return self


class ChannelRule(Model):
    """Rate, cost and time limits of a channel's provider."""

    channel: Channel
    per_minute: float = Field(
        gt=0, le=60_000, description="messages per minute that the provider accepts"
    )
    burst: int = Field(ge=1, le=150, description="messages that the provider accepts at once")
    cost_cents: float = Field(default=0.0, ge=0)
    doubt: Literal["at_least_once", "at_most_once"] = Field(
        description="behaviour after an attempt with unknown result"
    )
    limit_s: int = Field(
        ge=5, le=120, description="seconds within which a call to the provider ends"
    )
    grace_s: int = Field(ge=5, le=60)
    receipt_s: int | None = Field(
        default=None,
        ge=10,
        description="seconds without a receipt after which the next channel is tried",
    )
    tries: int = Field(ge=1, le=5)
    information_hours: InformationHours | None = None


class ChannelRules(Model):
    """Content of `canaux.yaml`."""

    channels: tuple[ChannelRule, ...]
    digest_min: int = Field(default=10, ge=1, le=120, description="minutes between digests (D36)")
    prices_draft: bool = Field(
        default=False,
        exclude_if=lambda draft: not draft,
        description="true: nobody has confirmed the costs, and the ledger says so (D93)",
    )


class StaffCell(Model):
    """Agents of one métier for one activity on one site: counts, never people.

    Rule D58.
    """

    site: str
    activity: str
    metier: str
    staff: int = Field(ge=0)
    minimum: int = Field(ge=0, description="agents needed on the first day (`minimum_j1`)")


class ReassignmentRule(Model):
    """Limits of reassignment for the agents and needs of one activity."""

    activity: str
    pole: str
    criticality: int = Field(ge=1, le=4)
    rto_h: float
    site_bound: bool = Field(
        description="true if the service exists only at its site; closing the site suspends it"
    )
    needs_desk: bool
    tele_pct: int = Field(ge=0, le=100)
    release_pct: int = Field(ge=0, le=100)
    home_kinds: tuple[str, ...]
    host_kinds: tuple[str, ...]
    vulnerable_public: int = Field(
        default=0,
        ge=0,
        le=3,
        exclude_if=lambda weight: not weight,
        description=(
            "0–3: children in care, PMI, isolated elderly, people with disabilities who depend on "
            "it (D82)"
        ),
    )


class Substitution(Model):
    """Permission for `by` to do the work of `metier` provisionally.

    Without an entry there is no substitution (R1, R4).
    """

    metier: str
    by: str
    tenths: int = Field(ge=0, le=10, description="penalty: 0 equivalent, 10 very degraded")
    condition: str | None = Field(
        default=None, description="R2, R3, or a text for the person that approves"
    )


class Metier(Model):
    """Name of a métier, in the singular."""

    id: str
    name: str = Field(min_length=1)
    name_en: str = Field(min_length=1)


class MeasureRule(Model):
    """Sources that may declare a measure, and its bounds.

    Rule D76, entitled sources and plausible values.
    """

    name: str = Field(min_length=1, max_length=64)
    sources: tuple[str, ...] = Field(min_length=1)
    scopes: tuple[str, ...] = Field(
        default=(),
        description=(
            "kinds of scope (kind, pole, zone, global) to which the sources apply; empty = all"
        ),
    )
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    step_per_hour: float | None = Field(
        default=None, gt=0, description="plausible change in one hour"
    )
    at_most: Literal["value_of", "desks"] | None = Field(
        default=None, description="upper bound: the report's own total, or the desks of its site"
    )
    outside: Literal["to_confirm", "refuse"] = Field(
        default="to_confirm",
        description=(
            "treatment of reports from other sources: a person confirms them, or the front "
            "refuses them"
        ),
    )


class VigilanceRule(Model):
    """Sources for the colours of some phenomena."""

    sources: tuple[str, ...] = Field(min_length=1)
    phenomena: tuple[str, ...]


class LongOutage(Model):
    """Sources that may declare a long loss of a site of these kinds."""

    hours: float = Field(gt=0)
    kinds: tuple[str, ...]
    sources: tuple[str, ...] = Field(min_length=1)


class MeasureRules(Model):
    """Content of `mesures.yaml`."""

    measures: tuple[MeasureRule, ...]
    vigilances: tuple[VigilanceRule, ...] = ()
    relays: tuple[str, ...] = Field(
        default=(), description="sources that may repeat the last colour and give no other"
    )
    system_sources: tuple[str, ...] = Field(
        default=(), description="sources that may declare a system down for all; empty = any source"
    )
    long_outage: LongOutage | None = None


class StatementTemplate(Model):
    """Text of a statement for one kind of event and one audience, with blanks to fill.

    Blanks are `{name}`: Vigie fills those that it knows, a person the others. Rule D91.
    """

    id: str = Field(min_length=1, max_length=64)
    event: str = Field(description="family of incidents, or `any`")
    audience: Audience
    plain: bool = Field(default=False, description="plain language (FALC)")
    title: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1, max_length=4000)
    title_en: str | None = Field(default=None, max_length=200)
    text_en: str | None = Field(default=None, max_length=4000)


class PublicService(Model):
    """Kind of sites that the public page shows, with its public name. Rule D96."""

    kind: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1, max_length=80)
    name_en: str = Field(min_length=1, max_length=80)
    has_substitutes: bool = Field(
        default=False, description="the nearest open place of this kind receives its public"
    )


class PublicInformation(Model):
    """Facts for the public pages. Rules D96, D97."""

    phone: str | None = Field(default=None, max_length=40, description="number for the public")
    agents_phone: str | None = Field(
        default=None, max_length=40, description="number for the agents"
    )
    services: tuple[PublicService, ...] = ()


class Statements(Model):
    """Content of `communiques.yaml`."""

    section: Literal[Section.STATEMENTS] = Section.STATEMENTS
    templates: tuple[StatementTemplate, ...]
    blanks: dict[str, str] = Field(
        default_factory=dict, description="blank that a person fills → what to write there"
    )
    public: PublicInformation | None = optional("facts for the public pages (D96, D97)")


class Obligations(Model):
    """Content of `obligations.yaml`."""

    section: Literal[Section.OBLIGATIONS] = Section.OBLIGATIONS
    obligations: tuple[Obligation, ...]
    blanks: dict[str, str] = Field(
        default_factory=dict, description="blank that a person fills → what to write there"
    )


class TransportMode(StrEnum):
    METRO = "metro"
    RER = "rer"
    TRAIN = "train"
    TRAM = "tram"
    BUS = "bus"


class TransportLine(Model):
    """A line of public transport, and the communes that it serves."""

    id: str = Field(description="id of the line at its publisher, as in `flux.yaml`")
    name: str
    mode: TransportMode
    communes: tuple[str, ...] = Field(min_length=1, description="INSEE codes")


class TransportLines(Model):
    """Content of `transport.yaml`. Rule D130."""

    section: Literal[Section.TRANSPORT] = Section.TRANSPORT
    lines: tuple[TransportLine, ...]


class MeasuresSection(Model):
    section: Literal[Section.MEASURES] = Section.MEASURES
    rules: MeasureRules


class PartnerContact(Model):
    """A body outside the département that the cell calls, by its function. Rule D89.

    Its numbers are in the directory, under `build_contact_token(id)`, and never in a log.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    domain: str = Field(min_length=1, max_length=40)
    function: str = Field(min_length=1, max_length=160)
    organisation: str = Field(min_length=1, max_length=160)
    caller: str = Field(description="role that calls")
    when: str = Field(max_length=400, description="when to call")
    say: str = Field(max_length=400)
    ask: str = Field(max_length=400)
    withhold: str | None = optional("what is never passed on", max_length=400)
    plans: tuple[str, ...] = Field(default=(), description="plans in which it is called")
    hours: str | None = optional(max_length=160)
    fallback: str | None = optional(
        "channel that needs no information system of the département", max_length=160
    )
    verified_on: date | None = optional("day on which the contact was last confirmed")


CONTACT_TOKEN_PREFIX: Final = "contact:"  # noqa: S105  a prefix of directory ids, no secret


def build_contact_token(contact: str) -> str:
    """Return the id under which the directory keeps the numbers of a partner."""
    return f"{CONTACT_TOKEN_PREFIX}{contact}"


class Contacts(Model):
    """Content of `contacts.csv`: the partners of the département. Rule D89."""

    section: Literal[Section.CONTACTS] = Section.CONTACTS
    contacts: tuple[PartnerContact, ...]


class ResourceKind(Model):
    """Kind of resource that a site may request. Rule D88, resource requests."""

    id: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1)
    names: str = Field(min_length=1, description="plural")
    name_en: str = Field(min_length=1)
    names_en: str = Field(min_length=1)
    consumable: bool = Field(
        default=False, description="used up where it arrives, so it never returns to its stock"
    )
    by_metier: bool = Field(default=False, description="a request names a job family")
    reserved_min: int = Field(
        default=60, ge=1, le=7 * 24 * 60, description="minutes for which an offer reserves it"
    )
    fuel_litres_per_h: float = Field(
        default=0,
        ge=0,
        exclude_if=lambda litres: not litres,
        description="fuel that one of them burns in an hour (D93)",
    )


class ResourcePartner(Model):
    """Partner outside the département that may offer resources of some kinds."""

    id: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1)
    kinds: tuple[str, ...] = Field(min_length=1)
    ready_min: int = Field(ge=0, description="minutes from the call to the arrival")
    unit_cost_eur: float | None = Field(
        default=None, ge=0, description="cost of one, per day unless it is consumable"
    )


class Stock(Model):
    """Stock of one kind of resource at a site."""

    id: str = Field(min_length=1, max_length=64)
    kind: str
    name: str = Field(min_length=1)
    site: str
    quantity: int = Field(ge=0, le=1_000_000)
    metier: str | None = None
    ready_min: int = Field(default=30, ge=0, description="minutes until it can leave")
    unit_cost_eur: float = Field(
        default=0, ge=0, description="cost of one, per day unless it is consumable"
    )


class ResourceRules(Model):
    """Content of `moyens.yaml` and `stocks.csv`."""

    kinds: tuple[ResourceKind, ...]
    partners: tuple[ResourcePartner, ...] = ()
    stocks: tuple[Stock, ...] = ()
    cell_roles: tuple[str, ...] = Field(
        default=(), description="roles that are told of requests; the pilots are told, too"
    )
    remind_min: int = Field(
        default=10,
        ge=1,
        le=24 * 60,
        description="minutes until the cell is told again of an unanswered request for life",
    )
    speed_kmh: float = Field(default=25, gt=0, le=130, description="on the road, for arrivals")
    km_eur: float | None = optional("price of a kilometre of an agent, in euros (D93)", ge=0)
    fuel_litre_eur: float | None = optional("price of a litre of fuel, in euros (D93)", ge=0)
    prices_draft: bool = Field(
        default=False,
        exclude_if=lambda draft: not draft,
        description="true: nobody has confirmed these prices, and the ledger says so (D93)",
    )


class ResourcesSection(Model):
    section: Literal[Section.RESOURCES] = Section.RESOURCES
    rules: ResourceRules


class Communes(Model):
    section: Literal[Section.COMMUNES] = Section.COMMUNES
    communes: tuple[Commune, ...]


class Sites(Model):
    section: Literal[Section.SITES] = Section.SITES
    sites: tuple[Site, ...]


class Activities(Model):
    section: Literal[Section.ACTIVITIES] = Section.ACTIVITIES
    poles: tuple[Pole, ...]
    activities: tuple[Activity, ...]
    assessed_on: date | None = Field(
        default=None,
        description="day of the business impact analysis; plans based on an old one show it (D48)",
    )
    systems: tuple[SystemName, ...] = Field(
        default=(),
        exclude_if=lambda names: not names,
        description="names of systems of which the id is no readable word",
    )


class Plans(Model):
    section: Literal[Section.PLANS] = Section.PLANS
    plans: tuple[Plan, ...]
    content_parts: int = Field(
        default=0,
        ge=0,
        le=len(PLAN_CONTENT_SECTIONS),
        exclude_if=lambda count: not count,
        description="number of parts of this version; further ones belong to an earlier version",
    )


class PlanContents(Model):
    """A part of the content of plans. Rule D83."""

    section: Literal[
        Section.PLAN_CONTENT_1,
        Section.PLAN_CONTENT_2,
        Section.PLAN_CONTENT_3,
        Section.PLAN_CONTENT_4,
        Section.PLAN_CONTENT_5,
        Section.PLAN_CONTENT_6,
        Section.PLAN_CONTENT_7,
        Section.PLAN_CONTENT_8,
    ]
    contents: tuple[PlanContent, ...]


def find_quiet_hour_faults(policy: Escalation) -> Iterator[str]:
    """Yield a sentence for each invalid quiet hour."""
    for name in ("quiet_from", "quiet_to"):
        if _parse_clock(clock := getattr(policy, name)) is None:
            yield f'{name}: {clock!r} is not a local time such as "21:00"'


def collect_plan_contents(sections: "Iterable[SectionData]") -> dict[str, PlanContent]:
    """Return the content in force, by plan, without parts of an earlier version."""
    all_sections = tuple(sections)
    parts = next((s.content_parts for s in all_sections if isinstance(s, Plans)), 0)
    valid = frozenset(PLAN_CONTENT_SECTIONS[:parts])
    return {
        content.id: content
        for section in all_sections
        if isinstance(section, PlanContents) and section.section in valid
        for content in section.contents
    }


def find_plan_faults(plan: Plan) -> Iterator[str]:
    """Yield a sentence for an unknown state of the library, and for cards that cannot work."""
    yield from find_plan_state_faults(plan)
    yield from (fault for _, fault in find_card_faults(plan.id, plan.cards))


def find_plan_state_faults(plan: Plan) -> Iterator[str]:
    """Yield a sentence for a state that the library does not know."""
    if plan.state not in LIBRARY_STATES:
        yield f"plan {plan.id}: state {plan.state!r} is none of {', '.join(LIBRARY_STATES)}"


def find_escalation_faults(policy: Escalation) -> Iterator[tuple[tuple[str, int] | None, str]]:
    """Yield ((escalation, index of the step), fault) for numbers and channels that would fail.

    The place is None for the repetition after the last step.
    """
    for ladder, waves in policy.ladders.items():
        for n, wave in enumerate(waves):
            step_name = f"ladder {ladder}, wave {wave.wave}"
            if wave.after_min < 0 or wave.ack_min < 0:
                yield (ladder, n), f"{step_name}: a delay is 0 or more"
            if wave.expected < 1:
                yield (ladder, n), f"{step_name}: at least one answer is expected"
            yield from (
                ((ladder, n), f"{step_name}: {channel!r} is not a channel")
                for channel in wave.channels
                if channel not in set(Channel)
            )
    if policy.repeat.after_min < 1 or policy.repeat.times < 0:
        yield None, "after the last wave: in one minute at the earliest, and 0 or more times"


class EscalationPolicy(Model):
    section: Literal[Section.ESCALATION] = Section.ESCALATION
    policy: Escalation


class RosterSection(Model):
    section: Literal[Section.ROSTER] = Section.ROSTER
    roster: Roster


class ChannelsSection(Model):
    section: Literal[Section.CHANNELS] = Section.CHANNELS
    rules: ChannelRules


class Staffing(Model):
    """Staff of sites, and possible substitutions.

    See docs/reference/reassignment-model.md, §1.
    """

    section: Literal[Section.STAFFING] = Section.STAFFING
    cells: tuple[StaffCell, ...]
    rules: tuple[ReassignmentRule, ...]
    substitutions: tuple[Substitution, ...]
    metiers: tuple[Metier, ...] = Field(default=(), description="names of all métiers used here")


SectionData = Annotated[
    Communes
    | Sites
    | Activities
    | Plans
    | EscalationPolicy
    | RosterSection
    | ChannelsSection
    | MeasuresSection
    | Contacts
    | Statements
    | Obligations
    | TransportLines
    | ResourcesSection
    | Staffing
    | PlanContents,
    Field(discriminator="section"),
]


class SectionCommand(Command):
    """Command with one section of a version."""

    reference: str = Field(description="version: hash of the territory folder, 16 hex digits")
    data: SectionData

    @model_validator(mode="after")
    def _possible(self) -> Self:
        """Reject content with which a decider would fail or call nobody.

        A fact is not checked: it stays as written, so that its log can be read.
        """
        if isinstance(self.data, RosterSection):
            for rotation in self.data.roster.rotations:
                check_hours(rotation.hours)
            for point in (point for points in self.data.roster.reach.values() for point in points):
                check_hours(point.quiet)
        for fault in _find_faults(self.data):
            raise ValueError(fault)
        return self


def compute_version(sections: Sequence[SectionData]) -> str:
    """Return the version: a hash of all sections in publishing order.

    The same content has the same version.
    """
    content = blake2b(digest_size=8)
    for section in sections:
        content.update(section.model_dump_json().encode())
    return content.hexdigest()


@register_message
class PublishReference(SectionCommand):
    """Publish one section of a version.

    Sections of one version come in order; `last` switches the realm to the version.
    """

    last: bool = False


def _find_faults(data: SectionData) -> Iterator[str]:
    match data:
        case EscalationPolicy(policy=policy):
            yield from find_quiet_hour_faults(policy)
            yield from (fault for _where, fault in find_escalation_faults(policy))
        case Plans(plans=plans):
            yield from (fault for plan in plans for fault in find_plan_faults(plan))


@register_message
class ReferencePublished(Fact):
    """A section was accepted; alerts routes it to continuity and delivery.

    With `last`, decisions cite `reference` from now on.
    """

    reference: str
    data: SectionData
    last: bool = False
    published_at: Instant | None = Field(
        default=None, description="time at which alerts accepted it"
    )
