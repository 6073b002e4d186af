"""Staff the crisis cell: functions required by the level, filled by people present, in shifts.

The cell is called with the escalation of the crisis. It is staffed (« armée ») once each required
function is filled by somebody on site or at a distance. A passed objective is recorded once.

Shifts begin with the acknowledgement of that escalation. An hour before the limit a task asks a
person to decide about the handover; the clock sends nobody away. People at home are called out and
have no shift. The end of the crisis ends all shifts. Rules D39 and D90.
"""

from typing import Final, Literal

from schemas.base import HOUR_MS, MINUTE_MS, Instant, copy_with
from schemas.oncall import CellShift
from schemas.people.attendance import (
    DEFAULT_ETA_MIN,
    PRESENT_MODES,
    AttendanceChanged,
    AttendanceMode,
    AttendanceRow,
    CellStaffingChanged,
    CellStaffingRow,
)
from schemas.reference import Calendar, CellStaffingRule, Escalation, WorkingTime
from schemas.words import Level
from services.alerts.decision import AlertsDecision, cancel_task, open_task
from services.alerts.escalation import notifications
from services.oncall.schedule import get_local_day, to_instant

CELL_LEADER_ROLE: Final = "coordinateur_pca"
"""Role that runs the cell."""
TEMPLATE: Final = "shift_ending"


def start_shift(draft: AlertsDecision, person: str, role: str, *, on_site: bool = False) -> None:
    """Start the shift of a person in the cell.

    Another answer starts no new one, within the shift and until the daily rest after it is over:
    somebody who stays beyond the limit has not rested. A return before that goes on with the hours
    of the same shift. People on call at home have a shift only
    once they are `on_site` (D90).
    """
    rules = _get_working_time(draft)
    if rules is None or not role or (role in rules.standby_roles and not on_site):
        return
    shift = draft.state.shifts.get(person)
    if shift is not None and shift.since is not None:
        rested_at = _compute_limit(shift.since, rules) + round(rules.daily_rest_h * HOUR_MS)
        if draft.clock < rested_at:
            return
    since = draft.clock - _find_time_at_work(draft, person, rules)
    warn_at = _compute_limit(since, rules) - rules.warn_before_min * MINUTE_MS
    warn_at = max(warn_at, draft.clock)
    draft.emit(CellShift(person=person, role=role, since=since, warn_at=warn_at))


def _find_time_at_work(draft: AlertsDecision, person: str, rules: WorkingTime) -> int:
    """Return the milliseconds that a person has worked in the cell since the last daily rest."""
    past = draft.state.past_shifts.get(person)
    if past is None or past.began_at is None or past.ended_at is None:
        return 0
    is_rested = draft.clock >= past.ended_at + round(rules.daily_rest_h * HOUR_MS)
    return 0 if is_rested else past.ended_at - past.began_at


def end_shift(draft: AlertsDecision, person: str) -> None:
    shift = draft.state.shifts.get(person)
    if shift is not None:
        draft.emit(
            CellShift(person=person, role=shift.role, began_at=shift.since, ended_at=draft.clock)
        )
        _cancel_handover_task(draft, shift.role)


def end_all_shifts(draft: AlertsDecision) -> None:
    """End all shifts when the crisis is over."""
    for person in sorted(draft.state.shifts):
        end_shift(draft, person)


def warn_before_limit(draft: AlertsDecision, person: str) -> None:
    """Warn the person and the coordinator that the limit is near, and open a task to decide."""
    shift, rules = draft.state.shifts[person], _get_working_time(draft)
    if shift.since is None:
        return
    draft.emit(CellShift(person=person, role=shift.role, since=shift.since))
    if rules is None or draft.level < Level.N3:
        return
    limit = _compute_limit(shift.since, rules)
    values: dict[str, str | int | float | bool | None] = {
        "shift_role": shift.role,
        "shift_end": limit,
    }
    notifications.inform_people(draft, (person,), None, TEMPLATE, values)
    if shift.role != CELL_LEADER_ROLE:
        notifications.inform_roles(
            draft,
            (CELL_LEADER_ROLE,),
            pole=None,
            site=None,
            incident=None,
            template=TEMPLATE,
            values=values,
        )
    open_task(draft, "relief", post=shift.role, due_at=limit, owner=CELL_LEADER_ROLE)


def _get_working_time(draft: AlertsDecision) -> WorkingTime | None:
    return draft.territory.policy.working_time if draft.territory.policy is not None else None


def _compute_limit(since: Instant, rules: WorkingTime) -> Instant:
    return since + round(rules.cell_shift_h * HOUR_MS)


def _cancel_handover_task(draft: AlertsDecision, role: str) -> None:
    if not any(s.role == role and s.warn_at is None for s in draft.state.shifts.values()):
        cancel_task(draft, "relief", role, "left")


def call_cell(draft: AlertsDecision, level: Level) -> None:
    """Start the staffing of the cell, or ask for the functions of a higher level.

    A staffed cell gets the time of the higher level for its further functions; one that is not yet
    staffed keeps its objective.
    """
    rule = _find_rule(draft.territory.policy, level)
    if rule is None or draft.territory.policy is None:
        return
    minutes = _choose_objective(draft.territory.policy, rule, draft.clock)
    staffing = draft.state.staffing
    if staffing is not None and staffing.ended_at is None:
        if int(level) <= staffing.level:
            return
        changes: dict[str, object] = {"level": int(level), "required": rule.roles}
        if staffing.armed_at is not None and _list_missing(draft, rule.roles):
            changes |= {"due_at": draft.clock + minutes * MINUTE_MS, "objective_min": minutes}
            changes |= {"armed_at": None, "late_at": None}
        _record(draft, copy_with(staffing, changes), "raised")
    else:
        row = CellStaffingRow(
            level=int(level),
            started_at=draft.clock,
            due_at=draft.clock + minutes * MINUTE_MS,
            objective_min=minutes,
            required=rule.roles,
        )
        _record(draft, row, "started")
    note_staffed(draft)


def state_attendance(
    draft: AlertsDecision,
    person: str,
    role: str,
    scope: str | None,
    mode: AttendanceMode,
    eta_min: int | None = None,
) -> AttendanceRow:
    """Record the attendance of a person, and whether the cell is staffed now.

    Saying the same again changes nothing; on the way, a new time replaces the old one.
    """
    current_attendance = draft.state.attendance.get(person)
    expected_at = (
        draft.clock + (DEFAULT_ETA_MIN if eta_min is None else eta_min) * MINUTE_MS
        if mode is AttendanceMode.EN_ROUTE
        else None
    )
    if (
        current_attendance is not None
        and (current_attendance.mode, current_attendance.role) == (mode, role)
        and mode is not AttendanceMode.EN_ROUTE
    ):
        return current_attendance
    since = (
        draft.clock
        if current_attendance is None or current_attendance.present_at is None
        else current_attendance.present_at
    )
    row = AttendanceRow(
        id=person,
        role=role,
        scope=scope,
        mode=mode,
        stated_at=draft.clock,
        expected_at=expected_at,
        present_at=since if mode in PRESENT_MODES else None,
    )
    draft.emit(AttendanceChanged(row=row))
    if mode is AttendanceMode.ON_SITE:
        start_shift(draft, person, role, on_site=True)
    elif mode is AttendanceMode.LEFT:
        end_shift(draft, person)
    note_staffed(draft)
    return row


def note_staffed(draft: AlertsDecision) -> None:
    """Record when the last required function was filled."""
    row = draft.state.staffing
    if row is None or row.ended_at is not None or row.armed_at is not None:
        return
    if not _list_missing(draft, row.required):
        _record(draft, copy_with(row, {"armed_at": draft.clock}), "armed")


def note_missed_objective(draft: AlertsDecision) -> None:
    """Record that the objective passed while a function was not filled."""
    row = draft.state.staffing
    if row is not None and row.armed_at is None and row.ended_at is None and row.late_at is None:
        _record(draft, copy_with(row, {"late_at": row.due_at}), "late")


def lower_cell(draft: AlertsDecision, level: Level) -> None:
    """Ask only for the functions of a lower level that still has a cell."""
    row, rule = draft.state.staffing, _find_rule(draft.territory.policy, level)
    if row is None or rule is None or row.ended_at is not None or int(level) >= row.level:
        return
    _record(draft, copy_with(row, {"level": int(level), "required": rule.roles}), "lowered")
    note_staffed(draft)


def dismiss_cell(draft: AlertsDecision) -> None:
    """End the staffing and every attendance when the crisis is over."""
    row = draft.state.staffing
    if row is None or row.ended_at is not None:
        return
    for attendance in [draft.state.attendance[p] for p in sorted(draft.state.attendance)]:
        departure = {"mode": AttendanceMode.LEFT, "stated_at": draft.clock, "present_at": None}
        draft.emit(AttendanceChanged(row=copy_with(attendance, {**departure, "expected_at": None})))
    _record(draft, copy_with(row, {"ended_at": draft.clock}), "ended")


def _record(
    draft: AlertsDecision,
    row: CellStaffingRow,
    change: Literal["started", "raised", "lowered", "armed", "late", "ended"],
) -> None:
    draft.emit(CellStaffingChanged(row=row, change=change))


def _list_missing(draft: AlertsDecision, roles: tuple[str, ...]) -> list[str]:
    present = {row.role for row in draft.state.attendance.values() if row.mode in PRESENT_MODES}
    return [role for role in roles if role not in present]


def _find_rule(policy: Escalation | None, level: Level) -> CellStaffingRule | None:
    levels = policy.levels if policy is not None else ()
    return next((rule.staffing for rule in levels if rule.level == int(level)), None)


def _choose_objective(policy: Escalation, rule: CellStaffingRule, at: Instant) -> int:
    """Return the minutes to staff the cell: those of working hours, or the others."""
    hours = next((c for c in policy.calendars if c.id == rule.calendar), None)
    working = hours is None or _is_open(hours, policy.holidays, at)
    return rule.working_min if working else rule.off_min


def _is_open(calendar: Calendar, holidays: tuple[str, ...], at: Instant) -> bool:
    day = get_local_day(at)
    if day.isoweekday() not in calendar.weekdays:
        return False
    if calendar.closed_on_holidays and day.isoformat() in holidays:
        return False
    opening, closing = to_instant(day, calendar.open_min), to_instant(day, calendar.close_min)
    return opening <= at < closing
