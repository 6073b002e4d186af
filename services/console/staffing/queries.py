"""Query the staffing of the crisis cell. Rule D90."""

from __future__ import annotations

from schemas.people.attendance import AttendanceRow, CellStaffingRow
from services.console.i18n import get_translator
from services.console.read_model.query_base import QueryBase, get_snapshot_time
from services.console.staffing.resources import CellStaffing
from services.console.staffing.view import build_staffing


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
