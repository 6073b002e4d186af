"""Who is on call when: rotations as reference data, overrides and calendars as facts, and the proof that somebody can be reached (D34, D38, D39)."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Command, Fact, Instant, Model, RowFact, message
from schemas.words import Channel

DAY_MIN = 1440
"""Minutes from local midnight to 24:00."""


def check_hours(hours: tuple[int, int] | None) -> None:
    """Raises ValueError for local minutes that no day has. Commands are checked; a fact stays as it was written, so that its log can be read."""
    if hours is not None and not all(0 <= minute <= DAY_MIN for minute in hours):
        raise ValueError(f"minutes of a day are 0 to {DAY_MIN}, not {hours[0]} to {hours[1]}")


class Place(StrEnum):
    """Which of the two persons of a post a duty is about."""

    HOLDER = "holder"
    DEPUTY = "deputy"


class Rotation(Model):
    """Persons who follow each other in a post, for ever: the list turns at each hand-off. Local time of the territory."""

    role: str
    scope: str | None = None
    place: Place = Place.HOLDER
    persons: tuple[str, ...] = Field(
        min_length=1, description="tokens; the first one begins on `since`"
    )
    every_days: int = Field(default=7, ge=1, le=366, description="1 = daily, 7 = weekly hand-off")
    hand_off_min: int = Field(
        default=480,
        ge=0,
        le=1439,
        description="minutes after local midnight at which the next one takes over",
    )
    since: date = Field(
        description="local day of the first hand-off; its day of the week is that of a weekly one"
    )
    until: date | None = Field(
        default=None,
        description="local day on which it ends, at the hour of the hand-off; then the roster counts again",
    )
    hours: tuple[int, int] | None = Field(
        default=None,
        description="local minutes from, to (over midnight when to ≤ from): on call only then, each day",
    )


class Shift(Model):
    """A span of one post; `person` None says that nobody stands in it."""

    start: Instant
    end: Instant = Field(description="exclusive")
    person: str | None = Field(default=None, max_length=64)


class DutyRow(Model):
    """What was decided about a post beside its rotation: an override, half of a swap, or a whole imported calendar.

    An override stands above a calendar, that above the rotation, that above the roster. Of two overrides the later decision wins.
    Inside [start, end) a calendar is complete: an hour without a shift is a gap.
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
        default=None, description="name of the imported calendar: importing it again replaces it"
    )
    state: Literal["in_force", "replaced", "withdrawn"] = "in_force"
    by: str = Field(description="token of who decided")
    reason: str | None = Field(default=None, description="reference `text:<id>`")
    decided_at: Instant
    number: int = Field(description="order of the decisions of a realm")


@message
class DutyChanged(RowFact):
    """A decision about who is on call."""

    collection: ClassVar[str] = "duties"
    row: DutyRow


# ── who can be reached ─────────────────────────────────────────────────────────────────────────────────────────────


class Reach(Model):
    """One channel of a person as a capability: verified when, quiet when. Never an address."""

    channel: Channel
    verified_at: Instant | None = Field(
        default=None,
        description="last proof: verified by hand, or answered through it; None = never",
    )
    quiet: tuple[int, int] | None = Field(
        default=None,
        description="local minutes from, to in which the person does not hear this channel",
    )


class ReachRow(Model):
    """What is known of how a person can be reached; replaces what the reference data say of that person."""

    id: str = Field(description="person token")
    points: tuple[Reach, ...] = Field(max_length=20)
    noted_at: Instant | None = Field(
        default=None,
        description="when alerts heard of it from the directory; None: an answer renewed a proof",
    )


@message
class ReachabilityChanged(RowFact):
    """Routed to delivery, which tries verified channels only."""

    collection: ClassVar[str] = "reachability"
    row: ReachRow


# ── readiness ──────────────────────────────────────────────────────────────────────────────────────────────────────

HoleKind = Literal[
    "nobody", "unreachable", "no_holder", "no_deputy", "single_point", "unverified", "quiet", "late"
]


class HoleRow(Model):
    """A span in which a post would fail, or hold by one thread only (D38). `fix` is what closes it."""

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
    sites: int = Field(description="sites that this post answers for")
    minutes: float | None = Field(
        default=None, description="until somebody is reached; None = never"
    )


class ReadinessRow(Model):
    """The proof: every site × role × hour of the horizon."""

    id: Literal["proof"] = "proof"
    at: Instant
    until: Instant
    reference: str
    hours: int = Field(description="site × role × hour")
    ready: int
    holes: tuple[HoleRow, ...] = Field(
        default=(), description="gravest and soonest first; the first 200"
    )
    more: int = Field(default=0, description="holes that are not listed")
    urgent: int = Field(default=0, description="begin within the alert time")
    alerted: tuple[str, ...] = Field(
        default=(), description="keys of holes that were told to coordinator and director"
    )


@message
class ReadinessProved(RowFact):
    """The proof was made: each morning, and after each change of the roster."""

    collection: ClassVar[str] = "readiness"
    row: ReadinessRow


# ── the monthly drill ──────────────────────────────────────────────────────────────────────────────────────────────


class RungRow(Model):
    """One wave of one ladder at the instant of the drill. Nobody was called."""

    ladder: str
    wave: int
    posts: int = Field(
        description="posts that it calls; a role of pôles or sites counts each of them"
    )
    reached: int = Field(description="posts where somebody would hear it")
    late: int = Field(
        default=0, description="of these, after the time that the wave has for its answers"
    )
    slowest_min: float | None = Field(
        default=None, description="from the beginning of the ladder until the last of them hears it"
    )
    silent: tuple[str, ...] = Field(
        default=(), description="`role` or `role:scope` of posts where nobody would; the first 50"
    )


class DrillRow(Model):
    """The drill of a month."""

    id: str = Field(description="local month, `2027-03`")
    at: Instant
    reference: str
    rungs: tuple[RungRow, ...]


@message
class CellShift(Fact):
    """Somebody's shift in the crisis cell (D39): it began, its warning was given (`warn_at` None), or it is over (`since` None)."""

    person: str
    role: str
    since: Instant | None = None
    warn_at: Instant | None = None


@message
class LaddersDrilled(RowFact):
    """Every rung of every ladder was tried on paper. Routed to delivery, which tries the channels."""

    collection: ClassVar[str] = "drills"
    row: DrillRow


# ── commands to alerts ─────────────────────────────────────────────────────────────────────────────────────────────


class _Post(Command):
    role_on_call: str = Field(description="role whose duty it is")
    scope: str | None = Field(
        default=None, description="pôle or site; None for the whole territory"
    )
    place: Place = Place.HOLDER


@message
class OverrideDuty(_Post):
    """Another person stands in a post for a while; `person` None: nobody does."""

    person: str | None = Field(max_length=64)
    start: Instant
    end: Instant


@message
class SwapDuties(_Post):
    """Two spans of one post change hands: who stands in the first takes the second, and the other way round."""

    start: Instant
    end: Instant
    other_start: Instant
    other_end: Instant


@message
class WithdrawDuty(Command):
    """An override, a swap or a calendar no longer counts."""

    duty: str


@message
class DrillLadders(Command):
    """The silent test of the month, now: a person does not wait for its day. It counts for the month."""


@message
class ImportDuties(_Post):
    """The shifts of a calendar for one post. Replaces what the calendar of that name said before."""

    calendar: str = Field(max_length=64)
    start: Instant
    end: Instant
    shifts: tuple[Shift, ...] = Field(max_length=1500)


@message
class NoteReachability(Command):
    """How people can be reached, as capabilities: sent by whoever keeps the directory."""

    people: tuple[ReachRow, ...] = Field(max_length=200)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for point in (point for row in self.people for point in row.points):
            check_hours(point.quiet)
        return self
