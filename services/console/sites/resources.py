"""Resources of sites, communes, pôles and the map, and of the realm as a whole."""

from typing import Literal, TypeAlias, get_args

from pydantic import Field

from schemas.words import ActivityState, Certainty, Confirmation, EventType, SiteStatus
from services.console.incidents.resources import Incident, LevelState
from services.console.messages.resources import Hold
from services.console.resource_base import Interval, Reason, Resource, Scalar, Time

KindOfLine: TypeAlias = Literal[
    "fact", "impact", "decision", "action", "communication", "watch", "alarm", "note", "runtime"
]


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
    maintenance: list[str] = Field(
        default_factory=list, description="ids of the maintenance windows that cover it (D64)"
    )
    inhibited_by: str | None = Field(
        default=None, description="id of the cause of which it is a consequence (D65)"
    )


class SiteHeadcount(Resource):
    """People found at an evacuated site, and the expected number."""

    found: int
    expected: int
    at: Time


class Site(Resource):
    id: str
    realm: str
    name: str
    kind: str
    commune: str
    commune_name: str
    pole: str
    status: SiteStatus
    since: Time | None = Field(description="null = normal since before the realm was opened")
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
    confinement: str | None = Field(
        description=(
            "sheltering or counting, if so: nobody leaves it or comes to it for other work "
            "(D78); null = neither"
        )
    )
    vulnerable_public: int = Field(description="0–3: dependence of vulnerable people (D82)")
    headcount: SiteHeadcount | None = Field(
        description="evacuated site: newest count since the evacuation"
    )

    def is_on_generator(self, cause: Cause) -> bool:
        """Return whether a generator keeps this site open in a power cut."""
        return (
            self.generator
            and cause.type is EventType.OUTAGE_POWER
            and cause.effect is not SiteStatus.CLOSED
            and self.status not in (SiteStatus.CLOSED, SiteStatus.EVACUATED)
        )


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
    capacity_pct: float = Field(description="capacity of its activities, weighted by their staff")
    mbco_pct: float = Field(description="minimum of its activities, weighted in the same way")
    activities_below: int = Field(description="number of activities below their minimum")


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
    incidents: list[str] = Field(description="open incidents with a zone that contains it")


class Map(Resource):
    """View box of all paths and positions, and the attribution to show with them."""

    width: float
    height: float
    attribution: str


class Realm(Resource):
    id: str = Field(description="same as `name`")
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
        description="logical time of the newest fact; in a live realm, time of the last input"
    )
    shown_clock: Time = Field(
        description="time to show: `clock`, advanced at the speed of a simulated realm"
    )
    clock_limit: Time | None = Field(
        default=None, description="time up to which `shown_clock` runs; absent if it stands still"
    )
    standing: bool = Field(
        default=False,
        description="true if a simulated realm has reached the requested time and stands still",
    )
    paused: bool
    speed: float | None
    stepping_to: Time | None = Field(
        default=None, description="requested time of a simulated realm"
    )
    lineage: str
    reference: str | None = Field(
        default=None, description="version of the reference data in force"
    )


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
    text: str = Field(description="sentence in the language of the reader")
    incident: str | None
    site: str | None
    report: str | None
    certainty: Confirmation | None = Field(
        description=(
            "for the line of a report also `denied`: the person asked says that it is not so (D6)"
        )
    )
    source: str | None
    corrects: str | None
    place: str = Field(description="service/partition/seq/ordinal of the fact in its log")
    together: str | None = Field(
        default=None,
        description=(
            "the sentence with `{sites}` in place of the site. Pages show lines of one source with "
            "the same sentence, recorded in the same ten minutes, as one entry. null: a danger, or "
            "a line of a person, which always stands alone"
        ),
    )
    danger: bool = Field(default=False, exclude=True)
    early: bool = Field(default=False, exclude=True)


class CommandResult(Resource):
    """The result of a command. `state`: pending, applied, refused, failed."""

    id: str
    command_id: str = Field(description="same as `id`")
    realm: str
    command: str | None = None
    state: str
    status: int | None = Field(default=None, description="refusal: 403, 404, 409, 412")
    code: str | None = None
    detail: str | None = Field(default=None, description="refusal: sentence for people")
    result: dict[str, Scalar] = Field(default_factory=dict)
    at: Time | None = None
    unknown_fields: list[str] = Field(
        default_factory=list,
        description="fields of the request that this version does not know; they had no effect",
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
            "green, red, reading (it has not read everything yet), unknown (no result for a minute)"
        )
    )
    at: Time | None = Field(description="time of the result")
    since: Time | None = Field(description="start of this state")
    breaches: list[AuditBreach]


class Overview(Resource):
    realm: Realm
    at: Time = Field(description="time of this state")
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
        description="open incidents, gravest first, without their report ids"
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
    before: str | None = Field(description="state at `since`; null = it did not exist")
    after: str = Field(description="state at `until`")
    at: Time | None = Field(description="time of the change, if known")


class Changes(Resource):
    """The differences between two times, for people back from a break."""

    realm: str
    since: Time
    until: Time
    items: list[Change] = Field(
        description="changes per collection: gravest collection first, oldest change first"
    )
