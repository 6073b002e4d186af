"""Resources of the realm as a whole: overview, logbook, differences between two times."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from pydantic import Field

from schemas.words import (
    ActivityState,
    Confirmation,
    SiteStatus,
)
from services.console.incidents.resources import Incident, LevelState
from services.console.messages.resources import Hold
from services.console.resources.base import Resource, Scalar, Time
from services.console.sites.resources import Pole


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
    clock: Time = Field(
        description="logical time of the newest fact; of a live realm, the time of its last input"
    )
    shown_clock: Time = Field(
        description=(
            "the time that people read: `clock`, carried on at the speed of a simulated realm"
        )
    )
    clock_limit: Time | None = Field(
        default=None, description="`shown_clock` runs up to here; absent where it stands"
    )
    standing: bool = Field(
        default=False, description="a simulated realm is where it was asked to go: its clock stands"
    )
    paused: bool
    speed: float | None
    stepping_to: Time | None = Field(
        default=None, description="a simulated realm was asked to move to this time"
    )
    lineage: str
    reference: str | None = Field(
        default=None, description="version of the reference data in force"
    )


KindOfLine: TypeAlias = Literal[
    "fact", "impact", "decision", "action", "communication", "watch", "alarm", "note", "runtime"
]


class LineGroup(Resource):
    """Lines that pages show as one: alarms of one activity, or calls that could not be made."""

    key: str
    kind: Literal["alarm", "unreached"]
    activity: str = ""
    base: str = ""
    pct: int = 0


class Line(Resource):
    """A line of the logbook: the fact, its author, and the times of the event and of its record.

    Rule D55, logbook.
    """

    id: str
    realm: str
    occurred_at: Time
    recorded_at: Time
    late_min: int = Field(description="whole minutes between the two, 0 below one minute")
    author: str = Field(description="token of a person, or `system`")
    role: str | None
    kind: str = Field(description=", ".join(get_args(KindOfLine)))
    type: str = Field(description="name of the fact, e.g. SiteStatusChanged")
    change: str | None
    text: str = Field(description="the sentence in the reader's language")
    incident: str | None
    site: str | None
    report: str | None
    certainty: Confirmation | None = Field(
        description=(
            "of a report's line also `denied`: whoever was asked says that it is not so (D6)"
        )
    )
    source: str | None
    corrects: str | None
    place: str = Field(description="service/partition/seq/ordinal of the fact in its log")
    group: LineGroup | None = Field(default=None, exclude=True)


class CommandResult(Resource):
    """The result of a command. `state`: pending, applied, refused, failed."""

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
    unknown_fields: list[str] = Field(
        default_factory=list,
        description="of the request: this version does not know them, they had no effect",
    )


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
    """Verdict of the auditor, from the logs alone: whether all promises are kept."""

    state: str = Field(
        description=(
            "green, red, reading (it has not read everything yet), unknown (no auditor has spoken "
            "for a minute)"
        )
    )
    at: Time | None = Field(description="of the judgement")
    since: Time | None = Field(description="of this state")
    breaches: list[AuditBreach]


class Overview(Resource):
    realm: Realm
    at: Time = Field(description="the moment that this picture shows")
    server_time: Time
    level: LevelState
    counts: dict[str, int] = Field(
        description=(
            "incidents_open, reports, tasks_open, tasks_overdue, plans_proposed, plans_active, "
            "activities_interrupted, …"
        )
    )
    sites: dict[SiteStatus, int]
    activities: dict[ActivityState, int]
    poles: list[Pole]
    incidents: list[Incident] = Field(
        description="not closed, gravest first, without their report ids"
    )
    alarm_rate: AlarmRate
    feeds: list[Feed]
    hold: Hold
    audit: Audit
    log: list[LogPosition]
    epoch: str


class Change(Resource):
    """One changed state."""

    collection: str = Field(
        description="levels, incidents, sites, activities, plans, tasks, escalations"
    )
    id: str
    title: str
    before: str | None = Field(description="state at `since`; None = it did not exist")
    after: str = Field(description="state at `until`")
    at: Time | None = Field(description="when it took this state, as far as that is known")


class Changes(Resource):
    """The differences between two times, for people back from a break."""

    realm: str
    since: Time
    until: Time
    items: list[Change] = Field(
        description="per collection, gravest collection first, oldest change first"
    )
