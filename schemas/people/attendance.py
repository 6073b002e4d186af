"""Define attendance in the crisis cell, and its staffing against an objective. Rule D90."""

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Command, Instant, Model, RowFact, register_message


class AttendanceMode(StrEnum):
    """Way of a person to take part in the crisis cell."""

    ON_SITE = "on_site"
    EN_ROUTE = "en_route"
    REMOTE = "remote"
    LEFT = "left"


PRESENT_MODES = frozenset({AttendanceMode.ON_SITE, AttendanceMode.REMOTE})
"""Modes in which a person fills a function."""
MAX_ETA_MIN = 720
"""Longest announced travel, in minutes."""
DEFAULT_ETA_MIN = 30
"""Minutes of travel if a person on the way gives no time."""


class AttendanceRow(Model):
    """Statement of a person about being in the crisis cell."""

    id: str = Field(description="token of the person")
    role: str
    scope: str | None = None
    mode: AttendanceMode
    stated_at: Instant
    expected_at: Instant | None = Field(
        default=None, description="announced arrival of a person on the way"
    )
    present_at: Instant | None = Field(
        default=None, description="since when the person is there, or takes part at a distance"
    )


@register_message
class AttendanceChanged(RowFact):
    """A person is in the crisis cell, on the way, at a distance, or has left."""

    collection: ClassVar[str] = "attendance"
    row: AttendanceRow


class CellStaffingRow(Model):
    """The staffing of the crisis cell against the functions that its level requires."""

    id: Literal["cell"] = "cell"
    level: int
    started_at: Instant
    due_at: Instant | None = Field(description="objective: every function filled by then")
    objective_min: int | None
    required: tuple[str, ...] = Field(description="roles that have to be filled")
    armed_at: Instant | None = Field(
        default=None, description="time at which the last function was filled"
    )
    late_at: Instant | None = Field(default=None, description="time at which the objective passed")
    ended_at: Instant | None = None


@register_message
class CellStaffingChanged(RowFact):
    """The crisis cell is called, staffed, late, called for another level, or dismissed."""

    collection: ClassVar[str] = "cell_staffing"
    row: CellStaffingRow
    change: Literal["started", "raised", "lowered", "armed", "late", "ended"]


@register_message
class StateAttendance(Command):
    """State that a person is in the crisis cell, on the way, at a distance, or leaves it.

    Sent by the person, from an account, a link or a reply to a message.
    """

    person: str = Field(description="token of the person, or of the account")
    mode: AttendanceMode
    eta_min: int | None = Field(
        default=None, ge=0, le=MAX_ETA_MIN, description="minutes until the arrival"
    )
    function: str | None = Field(
        default=None, description="role that the person fills; default: the one that is on call"
    )
