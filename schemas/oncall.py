"""On-call schedules: rotations as reference data, overrides and calendars as facts, readiness.

Rules D34, D38 and D39.
"""

from datetime import date
from enum import StrEnum
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Command, Fact, Instant, Model, RowFact, optional, register_message
from schemas.words import Channel

DAY_MIN = 1440
"""Minutes from local midnight to 24:00."""


def check_hours(hours: tuple[int, int] | None) -> None:
    """Raise ValueError for local minutes outside a day.

    Commands are checked; a fact stays as written, so that its log can be read.
    """
    if hours is not None and not all(0 <= minute <= DAY_MIN for minute in hours):
        raise ValueError(f"minutes of a day are 0 to {DAY_MIN}, not {hours[0]} to {hours[1]}")


class Place(StrEnum):
    """Holder or deputy of a role."""

    HOLDER = "holder"
    DEPUTY = "deputy"


class Rotation(Model):
    """Persons that take turns in a role, without end, changing at each handover.

    Times are local to the territory.
    """

    role: str
    scope: str | None = None
    place: Place = Place.HOLDER
    persons: tuple[str, ...] = Field(
        min_length=1, description="tokens; the first person begins on `since`"
    )
    every_days: int = Field(
        default=7, ge=1, le=366, description="days between handovers: 1 = daily, 7 = weekly"
    )
    hand_off_min: int = Field(
        default=480, ge=0, le=1439, description="local minute of the handover"
    )
    since: date = Field(description="local day of the first handover; weekly ones keep its weekday")
    until: date | None = Field(
        default=None,
        description="local day on which it ends, at the handover time; then the roster holds again",
    )
    hours: tuple[int, int] | None = Field(
        default=None,
        description="local minutes (from, to) of each day on call; over midnight if to ≤ from",
    )


class Shift(Model):
    """A span of one role; `person` None means a vacancy."""

    start: Instant
    end: Instant = Field(description="end, exclusive")
    person: str | None = Field(default=None, max_length=64)


class DutyRow(Model):
    """Decision about a role beside its rotation: an override, half of a swap, or a calendar.

    An override goes before a calendar, a calendar before the rotation, the rotation before the
    roster. The later decision of two overrides wins. Inside [start, end) a calendar is complete:
    an hour without a shift is a gap.
    """

    id: str
    kind: Literal["override", "swap", "calendar"]
    role: str
    scope: str | None = None
    place: Place
    start: Instant
    end: Instant
    shifts: tuple[Shift, ...]
    calendar: str | None = Field(
        default=None, description="name of the imported calendar; another import replaces it"
    )
    state: Literal["in_force", "replaced", "withdrawn"] = "in_force"
    by: str = Field(description="token of the author")
    reason: str | None = Field(default=None, description="reference `text:<id>`")
    decided_at: Instant
    number: int = Field(description="order number of the decisions of a realm")


@register_message
class DutyChanged(RowFact):
    """A decision about on-call was recorded."""

    collection: ClassVar[str] = "duties"
    row: DutyRow


class Reach(Model):
    """One channel of a person, with its verification and quiet hours; never an address."""

    channel: Channel
    verified_at: Instant | None = Field(
        default=None,
        description="last proof: verified by hand, or answered through it; null = never",
    )
    quiet: tuple[int, int] | None = Field(
        default=None,
        description="local minutes (from, to) in which the person does not notice this channel",
    )


class ReachRow(Model):
    """Known reachability of a person; it replaces the reference data about that person."""

    id: str = Field(description="token of the person")
    points: tuple[Reach, ...] = Field(max_length=20)
    noted_at: Instant | None = Field(
        default=None,
        description=(
            "time at which alerts got it from the directory; null = an answer renewed a proof"
        ),
    )


@register_message
class ReachabilityChanged(RowFact):
    """The reachability of a person changed; routed to delivery.

    Delivery tries verified channels only.
    """

    collection: ClassVar[str] = "reachability"
    row: ReachRow


HoleKind = Literal[
    "nobody", "unreachable", "no_holder", "no_deputy", "single_point", "unverified", "quiet", "late"
]


class HoleRow(Model):
    """A span where a role has a readiness gap; `fix` names the remedy.

    Rule D38.
    """

    kind: HoleKind
    fix: Literal[
        "find_holder",
        "find_deputy",
        "other_person",
        "verify_channel",
        "second_channel",
        "daytime_channel",
        "spread_calls",
    ]
    role: str
    scope: str | None = None
    person: str | None = None
    start: Instant
    end: Instant
    sites: int = Field(description="number of sites for which this role answers")
    minutes: float | None = Field(
        default=None, description="minutes until somebody is reached; null = never"
    )


class ReadinessRow(Model):
    """Readiness of on-call: every site × role × hour of the horizon."""

    id: Literal["proof"] = "proof"
    at: Instant
    until: Instant
    reference: str
    hours: int = Field(description="number of site × role × hour")
    ready: int
    holes: tuple[HoleRow, ...] = Field(
        default=(), description="the first 200 gaps, gravest and soonest first"
    )
    more: int = Field(default=0, description="number of gaps not listed")
    urgent: int = Field(default=0, description="number of gaps that begin within the alert time")
    alerted: tuple[str, ...] = Field(
        default=(), description="keys of gaps already reported to coordinator and director"
    )


@register_message
class ReadinessProved(RowFact):
    """Readiness was computed: each morning, and after each change of the roster."""

    collection: ClassVar[str] = "readiness"
    row: ReadinessRow


class RungRow(Model):
    """Result of one step of one escalation at the time of the drill; nobody was called."""

    ladder: str
    wave: int
    posts: int = Field(
        description="number of roles that it calls; a role of pôles or sites counts once for each"
    )
    reached: int = Field(description="number of roles with somebody reached")
    late: int = Field(default=0, description="number of these reached after the time for answers")
    slowest_min: float | None = Field(
        default=None,
        description="minutes from the start of the escalation until the last of them is reached",
    )
    silent: tuple[str, ...] = Field(
        default=(), description="`role` or `role:scope` of roles with nobody reached; the first 50"
    )


class DrillRow(Model):
    """Drill of a month."""

    id: str = Field(description="local month, `2027-03`")
    at: Instant
    reference: str
    rungs: tuple[RungRow, ...]


@register_message
class CellShift(Fact):
    """A shift in the crisis cell began, its warning was given, or it ended.

    `warn_at` None: the warning was given; `since` None: the shift is over. Rule D39.
    """

    person: str
    role: str
    since: Instant | None = Field(
        default=None,
        description="begin; after an absence the return less the time at work before it",
    )
    warn_at: Instant | None = None
    began_at: Instant | None = optional("shift that is over: its `since`")
    ended_at: Instant | None = optional("shift that is over: its end")


@register_message
class LaddersDrilled(RowFact):
    """Every step of every escalation was tested without calls.

    Routed to delivery, which tests the channels.
    """

    collection: ClassVar[str] = "drills"
    row: DrillRow


class _Post(Command):
    role_on_call: str = Field(description="role of the schedule")
    scope: str | None = Field(default=None, description="pôle or site; null = the whole territory")
    place: Place = Place.HOLDER


@register_message
class OverrideDuty(_Post):
    """Put another person on call in a role for a while; `person` None: nobody."""

    person: str | None = Field(max_length=64)
    start: Instant
    end: Instant


@register_message
class SwapDuties(_Post):
    """Swap two spans of one role: each person takes the span of the other."""

    start: Instant
    end: Instant
    other_start: Instant
    other_end: Instant


@register_message
class WithdrawDuty(Command):
    """Withdraw an override, a swap or a calendar."""

    duty: str


@register_message
class DrillLadders(Command):
    """Run the silent drill of the month now; it counts for the month."""


@register_message
class ImportDuties(_Post):
    """Import the shifts of a calendar for one role.

    They replace the earlier import of that calendar.
    """

    calendar: str = Field(max_length=64)
    start: Instant
    end: Instant
    shifts: tuple[Shift, ...] = Field(max_length=1500)


@register_message
class NoteReachability(Command):
    """Record the reachability of people, without addresses; sent by the keeper of the directory."""

    people: tuple[ReachRow, ...] = Field(max_length=200)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for point in (point for row in self.people for point in row.points):
            check_hours(point.quiet)
        return self
