"""Routes for the staffing of the crisis cell: `/cell/staffing`. Rule D90."""

from typing import Annotated

from fastapi import Depends
from fastapi.responses import Response
from pydantic import Field

from schemas.people.attendance import MAX_ETA_MIN, AttendanceMode, StateAttendance
from services.console.http.answers import DecisionRouter, send_decision
from services.console.http.context import DecisionBody, DecisionContext, LogReader, require_decision
from services.console.http.decisions import get_author
from services.console.staffing.queries import CellStaffing
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1/cell/staffing", tags=["people"])
Attendee = Annotated[DecisionContext, Depends(require_decision(Permission.INCIDENT_ACKNOWLEDGE))]


class AttendanceRequest(DecisionBody):
    """Attendance of the author in the crisis cell."""

    mode: AttendanceMode
    eta_min: int | None = Field(
        default=None, ge=0, le=MAX_ETA_MIN, description="minutes until the arrival, on the way"
    )
    function: str | None = Field(
        default=None,
        max_length=64,
        description="role to fill; default: the role of the account, or the one that was called",
    )


@router.get("", summary="Functions that the level requires, against those present and coming")
async def get_staffing(reader: LogReader) -> CellStaffing:
    return await reader.model.cell_staffing()


@router.decision("", "Say: in the cell, on the way, at a distance, or leaving")
async def state_attendance(author: Attendee, body: AttendanceRequest) -> Response:
    return await send_decision(
        author,
        body,
        "alerts",
        StateAttendance,
        person=get_author(author.principal),
        function=body.function or author.principal.duty,
    )
