"""Query the staffing of the crisis cell, built from its rows. Rule D90."""

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from schemas.base import HOUR_MS, Instant
from schemas.people.attendance import AttendanceMode, AttendanceRow, CellStaffingRow
from services.console.i18n import Translator, get_translator
from services.console.read_model.query_base import QueryBase, get_snapshot_time
from services.console.read_model.reference_index import IndexedReference
from services.console.resource_base import Resource, Time, to_datetime
from services.console.texts import words as w


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
    late: bool = Field(description="a required function is not filled, and the objective passed")
    required: int
    filled: int
    items: list[CellFunction]
    next: None = None


_MODE_ORDER = (AttendanceMode.ON_SITE, AttendanceMode.REMOTE, AttendanceMode.EN_ROUTE)


def build_staffing(
    realm: str,
    row: CellStaffingRow | None,
    attendance: Mapping[str, AttendanceRow],
    reference: IndexedReference,
    at: Instant,
    _: Translator,
) -> CellStaffing:
    """Return the functions, those required first, then the others that somebody fills."""
    if row is None or row.ended_at is not None:
        return CellStaffing(
            realm=realm,
            at=to_datetime(at),
            called=False,
            level=None,
            started_at=None,
            objective_min=None,
            due_at=None,
            armed_at=None,
            late=False,
            required=0,
            filled=0,
            items=[],
        )
    here = [a for a in attendance.values() if a.mode is not AttendanceMode.LEFT]
    others = sorted({a.role for a in here} - set(row.required))
    shift_h = _find_shift_hours(reference)
    functions = [
        _build_function(role, role in row.required, here, reference, shift_h, at, _)
        for role in (*row.required, *others)
    ]
    filled = sum(f.required and f.state in ("present", "remote") for f in functions)
    return CellStaffing.from_row(
        row,
        realm=realm,
        at=to_datetime(at),
        called=True,
        late=filled < len(row.required) and row.due_at is not None and row.due_at <= at,
        required=len(row.required),
        filled=filled,
        items=functions,
    )


def _build_function(
    role: str,
    required: bool,
    here: Iterable[AttendanceRow],
    reference: IndexedReference,
    shift_h: float | None,
    at: Instant,
    _: Translator,
) -> CellFunction:
    people = sorted(
        (a for a in here if a.role == role), key=lambda a: (_MODE_ORDER.index(a.mode), a.id)
    )
    return CellFunction(
        role=role,
        role_name=w.name_role(role, None, reference.names, _),
        required=required,
        state=_judge_function(people),
        people=[_build_attendance(a, shift_h, at) for a in people],
    )


def _judge_function(
    people: list[AttendanceRow],
) -> Literal["present", "remote", "coming", "missing"]:
    if not people:
        return "missing"
    match people[0].mode:
        case AttendanceMode.ON_SITE:
            return "present"
        case AttendanceMode.REMOTE:
            return "remote"
        case _:
            return "coming"


def _build_attendance(row: AttendanceRow, shift_h: float | None, at: Instant) -> Attendance:
    since = row.present_at if row.mode is AttendanceMode.ON_SITE else None
    return Attendance.from_row(
        row,
        person=row.id,
        late=row.expected_at is not None and row.expected_at <= at,
        shift_ends_at=None
        if since is None or shift_h is None
        else to_datetime(since + round(shift_h * HOUR_MS)),
    )


def _find_shift_hours(reference: IndexedReference) -> float | None:
    policy = reference.policy
    return policy.working_time.cell_shift_h if policy and policy.working_time else None


class StaffingQueries(QueryBase):
    async def cell_staffing(self) -> CellStaffing:
        """Return the functions of the cell with the people in them."""
        view = await self.read()
        rows = await view.picture.rows(CellStaffingRow)
        attendance = await view.picture.rows(AttendanceRow)
        return build_staffing(
            self._realm,
            rows.get("cell"),
            attendance,
            view.picture.reference,
            get_snapshot_time(view.picture),
            get_translator(self._lang),
        )
