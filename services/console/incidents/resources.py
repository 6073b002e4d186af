"""Resources of reports, incidents, their escalations and levels; reports that get a receipt.

A report of people gets a receipt once the cell has read it. Rule D98.
"""

from typing import Final

from pydantic import Field

from schemas.alerts import ReportRow
from schemas.reports import Measure
from schemas.words import (
    Certainty,
    Channel,
    Confirmation,
    EventType,
    IncidentState,
    MsgType,
    ReportState,
    TaskState,
)
from services.console.continuity.resources import PathStep
from services.console.resource_base import Interval, Reason, Resource, Time

OF_PEOPLE: Final = frozenset({"native", "sms", "poster"})
"""Dialects in which people report. A machine waits for no receipt."""
MOST: Final = 200
"""Reports that one reading marks: the next one goes on."""


class Ladder(Resource):
    """The running escalation of an incident, or the realm's once the incident joined that."""

    id: str
    ladder: str
    state: str
    wave: int
    cycle: int
    repeat_times: int = Field(description="cycles after the first one, if answers are missing")
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
    title_type: EventType | None = Field(
        default=None, exclude=True, description="type in the title of the incident of a site"
    )
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
    version: int = Field(description="number of decisions; also the ETag")
    sites: list[str] = Field(description="sites with a report of their own in it")
    members: int = Field(description="number of these sites")
    zone_sites: list[str]
    communes: list[str]
    poles: list[str]
    cause: IncidentCause
    reports: list[str] = Field(description="ids, oldest first; empty in the live stream")
    reports_count: int
    duplicates_count: int
    danger: bool = Field(description="true if people may be in danger")
    customers_cut: float | None
    persons_concerned: int | None
    estimated_end: Time | None
    over_since: Time | None = Field(
        default=None,
        description="time at which its last cause ended; lowering or closing it is proposed",
    )
    acknowledged_by: list[str]
    quiet: str | None = Field(
        description="maintenance (D64) or inhibited (D65): shown, calls nobody"
    )
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
    repeat_times: int = Field(description="cycles after the first one, if answers are missing")
    next_at: Time | None
    acknowledged_by: list[str]
    waves: list[Wave]
    uncovered_roles: list[str]
    level: int
    previous_level: int | None
    superseded_by: str | None
    action: str | None = Field(default=None, description="action that it calls for (D87)")


class Report(Resource):
    id: str
    realm: str
    state: ReportState
    reason: str | None = None
    of: str | None = None
    incident: str | None = None
    why: list[Reason] = Field(default_factory=list)
    flags: list[str] = Field(default_factory=list)
    confirmation: Confirmation | None = None
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
    urgency: str | None = None
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
    headline: str | None = Field(default=None, description="free text, for roles that may read it")
    description: str | None = None
    contact: str | None = Field(
        default=None, description="where to call its sender back, for roles that may read free text"
    )
    attachments: list[str] = Field(
        default_factory=list, description="ids of its photos, for roles that may read free text"
    )
    erased_at: Time | None = Field(
        default=None, description="time at which its text and photos were erased"
    )
    erased_reason: str | None = Field(
        default=None, description="reason, for roles that may read free text"
    )
    dialect: str | None = None
    sites: list[str] = Field(default_factory=list, description="sites in the area of the report")
    signature: str | None = Field(
        default=None, description="CAP signature: unsigned, unchecked, valid, invalid"
    )
    corrected_by: str | None = Field(
        default=None,
        description="token of the person that corrected a refused message before its replay",
    )
    read_at: Time | None = Field(default=None, description="time at which the cell first read it")
    newer_alert_at: Time | None = Field(
        default=None, description="reopening without effect: time of the newer alert"
    )


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
    owner: str | None = Field(
        description="role that has to do it, `directeur_pole:<pôle>` in a scope"
    )
    post: str | None = Field(
        description="readiness_hole: the role, `<role>:<scope>` in a scope; relief: the role in "
        "the cell"
    )


class Instruction(Resource):
    """A short instruction of the cell to a site, and the answer of the site. Rule D99."""

    id: str = Field(description="state of its task")
    realm: str
    site: str
    incident: str | None
    report: str | None
    text: str | None = Field(
        description=(
            "for the people of the site and roles that may read free text; null after an erasure"
        )
    )
    state: TaskState
    asked_by: str | None
    asked_at: Time
    due_at: Time | None
    answer: str | None = Field(
        description="time at which the site understood it or the cell withdrew it"
    )
    answered_at: Time | None
    answered_by: str | None


class LevelState(Resource):
    """A level; `id` is `territory` or `pole:<id>`."""

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
    current: list[Reason] = Field(
        default_factory=list,
        description="reasons with a value that differs from `why`, with the present value",
    )


class Explanation(Resource):
    """The reasons of an incident: its correlation, each level, each site's path, each plan."""

    incident: str
    realm: str
    title: str
    correlation: list[Reason]
    levels: list[Reason]
    sites: dict[str, list[Reason]]
    activities: dict[str, list[list[PathStep]]]
    plans: dict[str, list[Reason]]


def has_receipt(report: ReportRow | Report) -> bool:
    """Tell whether somebody at a site waits to know that the cell has read the report."""
    return report.site is not None and report.dialect in OF_PEOPLE
