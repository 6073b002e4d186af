"""Resources of on-call schedules, readiness and drills."""

from __future__ import annotations

from pydantic import Field

from schemas.oncall import Place
from schemas.words import Channel
from services.console.resources.base import Resource, Time


class ShiftSpan(Resource):
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    persons: list[str] = Field(
        description="tokens; empty: nobody; several: equals, the rested one is called"
    )
    by: str = Field(description="override, swap, calendar, rotation, roster, none")
    duty: str | None


class CurrentHolders(Resource):
    """The people to call now, and the end of that state."""

    holder: str | None
    deputy: str | None
    until: Time | None = Field(description="None: not within the span asked for")


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
    """A broken limit of working time, which needs a decision of a named person. Rule D39."""

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
        default=None, description="of the posts; gaps and limits are always all"
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
        description="ready, reserve, hole over time; of several scopes the worst"
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
    urgent_count: int = Field(description="begin within the alert time of the policy")
    without_provider: list[Channel] = Field(
        default_factory=list,
        description=(
            "channels of people that the newest silent test found without a provider: nobody "
            "counts as reached by them"
        ),
    )
    roles: list[RoleReadiness]
    items: list[ReadinessGap] = Field(description="gravest and soonest first; at most 500")
    site: str | None = None
    reached: list[ReachedHour] = Field(
        default_factory=list,
        description="with `site=`: spans in which the same person would be reached",
    )
    next: None = None


class DrilledStep(Resource):
    """One step of one escalation in a drill; a drill calls nobody."""

    ladder: str
    wave: int
    posts: int
    reached: int = Field(description="posts where somebody would have heard it")
    late: int = Field(description="of these, after the time that the wave has for its answers")
    slowest_min: float | None
    silent: list[str] = Field(description="posts where nobody would have, in words; at most 50")
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
            "every rung is reached in full and in time, no channel failed, and there is a channel "
            "at all"
        )
    )
    rungs: list[DrilledStep]
    probed_at: Time | None = Field(description="None: the channels have not answered yet")
    channels: list[DrilledChannel]
