"""On-call persons, their channels, and readiness."""

from schemas.base import Instant
from schemas.calling import AnswerRecorded
from schemas.oncall import CellShift, DutyRow, ReachRow, ReadinessRow
from schemas.people.attendance import AttendanceMode, AttendanceRow, CellStaffingRow
from schemas.reference import ReadinessRule
from schemas.topics import is_live
from schemas.words import Answer
from services.alerts.deadlines import ReadinessDue, ShiftLimitNear, StaffingDue
from services.alerts.state import State, remove_key
from services.oncall.schedule import Schedule, find_next_local_minute


def build_rota(s: State) -> Schedule:
    """Build the on-call index from the roster in force and the duties."""
    return Schedule(s.territory.roster, s.duties.values())


def get_readiness_rule(s: State) -> ReadinessRule | None:
    """Return the readiness rule of the policy in force; None in a simulated realm."""
    return (
        s.territory.policy.readiness
        if s.territory.policy is not None and is_live(s.realm)
        else None
    )


def evolve_roster(s: State, at: Instant | None) -> State:
    """Arm the readiness check, because a change is checked at once. Rule D38, readiness."""
    return _arm_readiness(s, at if get_readiness_rule(s) is not None else None)


def evolve_duty(s: State, row: DutyRow) -> State:
    s = s.put(duties=s.duties.set(row.id, row))
    return evolve_roster(s.put(rota=build_rota(s)), row.decided_at)


def evolve_reachability(s: State, row: ReachRow) -> State:
    s = s.put(reach=s.reach.set(row.id, row))
    return (
        evolve_roster(s, row.noted_at) if row.noted_at is not None else s
    )  # a renewed verification opens no gap


def evolve_readiness(s: State, row: ReadinessRow) -> State:
    rule = get_readiness_rule(s)
    return _arm_readiness(
        s.put(readiness=row), find_next_local_minute(rule.report_min, row.at) if rule else None
    )


def evolve_answer(s: State, fact: AnswerRecorded) -> State:
    if fact.at is None or fact.answer is not Answer.ACK:
        return s
    return s.put(taken=s.taken.set(fact.person, fact.at))


def evolve_cell_shift(s: State, fact: CellShift) -> State:
    if fact.since is None:
        s = s.put(shifts=remove_key(s.shifts, fact.person))
        if fact.ended_at is not None:
            s = s.put(past_shifts=s.past_shifts.set(fact.person, fact))
    else:
        past_shifts = remove_key(s.past_shifts, fact.person)
        s = s.put(shifts=s.shifts.set(fact.person, fact), past_shifts=past_shifts)
    return s.put(agenda=s.agenda.arm(ShiftLimitNear(fact.person), fact.warn_at))


def evolve_attendance(s: State, row: AttendanceRow) -> State:
    has_left = row.mode is AttendanceMode.LEFT
    return s.put(
        attendance=remove_key(s.attendance, row.id) if has_left else s.attendance.set(row.id, row)
    )


def evolve_staffing(s: State, row: CellStaffingRow) -> State:
    waiting = row.armed_at is None and row.late_at is None and row.ended_at is None
    due_at = row.due_at if waiting else None
    return s.put(staffing=row, agenda=s.agenda.arm(StaffingDue(), due_at))


def _arm_readiness(s: State, due_at: Instant | None) -> State:
    return s.put(prove_at=due_at, agenda=s.agenda.arm(ReadinessDue(), due_at))
