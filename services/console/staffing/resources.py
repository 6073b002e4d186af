"""Resources of the staffing of the crisis cell. Rule D90."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.people.attendance import AttendanceMode
from services.console.resource_base import Resource, Time


class Attendance(Resource):
    """One person of the cell, as a token."""

    person: str
    mode: AttendanceMode
    stated_at: Time
    expected_at: Time | None = Field(description="announced arrival of a person on the way")
    present_at: Time | None
    late: bool = Field(description="on the way, and the announced arrival is over")
    shift_ends_at: Time | None = Field(description="end of the longest shift in the cell")


class CellFunction(Resource):
    """One function of the cell."""

    role: str
    role_name: str
    required: bool
    state: Literal["present", "remote", "coming", "missing"]
    people: list[Attendance]


class CellStaffing(Resource):
    """Functions required by the level against the people present and coming."""

    realm: str
    at: Time
    called: bool = Field(description="false: no crisis, nobody is asked to come")
    level: int | None
    started_at: Time | None
    objective_min: int | None
    due_at: Time | None = Field(description="objective: every required function filled by then")
    armed_at: Time | None = Field(description="the last required function was filled")
    late: bool
    required: int
    filled: int
    items: list[CellFunction]
    next: None = None
