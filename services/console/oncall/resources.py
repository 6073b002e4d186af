"""Resources of on-call schedules, readiness and drills."""

from pydantic import Field

from schemas.oncall import Place
from schemas.words import Channel
from services.console.resource_base import Resource, Time


class ShiftSpan(Resource):
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    persons: list[str] = Field(
        description="tokens; empty = nobody; several = equals, of whom a rested one is called"
    )
    by: str = Field(description="override, swap, calendar, rotation, roster, none")
    duty: str | None


class CurrentHolders(Resource):
    """The people to call now, and the end of that state."""

    holder: str | None
    deputy: str | None
    until: Time | None = Field(description="null = not within the requested period")


class OnCallPost(Resource):
    id: str
    role: str
    role_name: str
    scope: str | None
    scope_name: str | None
    now: CurrentHolders
    holder: list[ShiftSpan]
    deputy: list[ShiftSpan]


class ShiftGap(Resource):
    role: str
    role_name: str
    scope: str | None
    place: Place
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")


class BrokenLimit(Resource):
    """A broken limit of working time; it needs a decision of a named person. Rule D39."""

    person: str
    limit: str
    text: str
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    hours: float


class OnCall(Resource):
    """Posts with their shifts (`items`), gaps, and broken limits of working time."""

    realm: str
    at: Time
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    items: list[OnCallPost]
    gaps: list[ShiftGap]
    limits: list[BrokenLimit]
    next: str | None = Field(
        default=None, description="cursor of the next roles; gaps and limits are always complete"
    )


class ScheduleChange(Resource):
    """One decision about a schedule."""

    id: str
    kind: str
    role: str
    scope: str | None
    place: Place
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    persons: list[str | None]
    shifts: int
    calendar: str | None
    state: str
    by: str
    reason: str | None
    decided_at: Time


class ReadinessGap(Resource):
    kind: str
    text: str
    fix: str
    fix_text: str
    role: str
    role_name: str
    scope: str | None
    scope_name: str | None
    person: str | None
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    in_h: float = Field(description="hours from now")
    sites: int
    minutes: float | None


class RoleReadiness(Resource):
    role: str
    role_name: str
    hours: int = Field(description="site × hour")
    ready: int
    band: list[tuple[Time, Time, str]] = Field(
        description="ready, reserve, hole over time; the worst of several scopes"
    )


class ReachedHour(Resource):
    """One role of one site over some hours: first person reached, channel, minutes."""

    role: str
    scope: str | None
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    person: str | None
    channel: Channel | None
    minutes: float | None
    problems: list[str]


class Readiness(Resource):
    """The readiness of schedules and channels, computed now."""

    realm: str
    reference: str | None
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    hours: int = Field(description="site × role × hour")
    ready: int
    ready_pct: float
    holes_count: int
    nobody_count: int
    urgent_count: int = Field(
        description="number of gaps that begin within the alert time of the policy"
    )
    without_provider: list[Channel] = Field(
        default_factory=list,
        description=(
            "channels without a provider in the newest silent drill; nobody counts as reached "
            "by them"
        ),
    )
    roles: list[RoleReadiness]
    items: list[ReadinessGap] = Field(description="the first 500 gaps, gravest and soonest first")
    site: str | None = None
    reached: list[ReachedHour] = Field(
        default_factory=list,
        description="with `site=`: periods in which the same person would be reached",
    )
    next: None = None


class DrilledStep(Resource):
    """One step of one escalation in a drill; a drill calls nobody."""

    ladder: str
    wave: int
    posts: int
    reached: int = Field(description="number of roles with somebody reached")
    late: int = Field(description="number of these reached after the time for answers")
    slowest_min: float | None
    silent: list[str] = Field(description="roles with nobody reached, in words; at most 50")
    ok: bool


class DrilledChannel(Resource):
    channel: Channel
    channel_name: str
    outcome: str = Field(description="answered, failed, no_silent_test, not_configured")
    text: str
    error: str | None


class Drill(Resource):
    """The silent test of a month: escalation steps on paper, and channels without a message."""

    month: str
    at: Time
    reference: str
    ok: bool = Field(
        description=(
            "true if every step is reached in full and in time, the channels were tried, none of "
            "them failed, and there is at least one"
        )
    )
    rungs: list[DrilledStep]
    probed_at: Time | None = Field(description="null = the channels have not answered yet")
    channels: list[DrilledChannel]
