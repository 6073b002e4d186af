"""Decisions about on-call: overrides, swaps, calendars, channels of people, attendance in the cell.

Rules D34, D38 and D90.
"""

from typing import Final, Literal

from schemas import oncall as o
from schemas.base import DAY_MS, Instant, copy_with
from schemas.people.attendance import StateAttendance
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import cell_staffing, readiness, responses
from services.alerts.escalation.steps import find_called_role, find_escalation
from services.alerts.levels.levels import CRISIS, TERRITORY
from services.runtime.decider.command_checks import get_row, require_reason
from services.runtime.decider.protocol import CommandResult, RefusedCommand

MAX_SPAN_MS: Final = 732 * DAY_MS


def state_attendance(draft: AlertsDecision, command: StateAttendance) -> CommandResult:
    """Record that the person is there, on the way, at a distance, or leaves.

    Without a crisis there is no cell to come to (409). A person without a function is refused
    (409): nobody could say what is still missing.
    """
    row = draft.state.staffing
    if draft.level < CRISIS or row is None or row.ended_at is not None:
        raise RefusedCommand(409, "no_cell", level=int(draft.level))
    role, scope = _find_function(draft, command)
    attendance = cell_staffing.state_attendance(
        draft, command.person, role, scope, command.mode, command.eta_min
    )
    return {
        "person": attendance.id,
        "function": attendance.role,
        "mode": attendance.mode.value,
        "expected_at": attendance.expected_at,
    }


def _find_function(draft: AlertsDecision, command: StateAttendance) -> tuple[str, str | None]:
    """Return the role that the person fills: the named one, the called one, or the one on call."""
    policy = draft.territory.policy
    if command.function is not None:
        if policy is None or command.function not in policy.roles:
            raise RefusedCommand(404, "role_not_found", role=command.function)
        return command.function, None
    attendance = draft.state.attendance.get(command.person)
    if attendance is not None:
        return attendance.role, attendance.scope
    crisis = find_escalation(draft, TERRITORY)
    if crisis is not None and (call := find_called_role(draft, crisis, command.person)).role:
        return call.role, call.scope
    if policy is not None and command.role in policy.roles:
        return command.role, None
    raise RefusedCommand(409, "no_function")


def _check_role(
    draft: AlertsDecision, command: o.OverrideDuty | o.SwapDuties | o.ImportDuties
) -> None:
    role, scope = command.role_on_call, command.scope
    policy = draft.territory.policy
    if policy is None:
        raise RefusedCommand(409, "no_reference")
    if (role, scope) not in draft.state.rota.posts and (
        role not in policy.roles or scope is not None or draft.state.rota.scopes(role)
    ):
        raise RefusedCommand(404, "post_not_found", role=role, scope=scope)


def _check_person(draft: AlertsDecision, person: str | None) -> None:
    """Refuse somebody unknown, erased, or without a channel left: the post would reach nobody."""
    if person is None:
        return
    reach = draft.state.reach.get(person)
    if not (draft.territory.channels(person) if reach is None else reach.points):
        raise RefusedCommand(404, "person_not_found", person=person)


def _check_span(start: Instant, end: Instant, now: Instant) -> None:
    if not start < end or end - start > MAX_SPAN_MS:
        raise RefusedCommand(409, "span_invalid")
    if end <= now:
        raise RefusedCommand(409, "span_over")


def _record_duty(draft: AlertsDecision, row: o.DutyRow) -> CommandResult:
    draft.emit(o.DutyChanged(row=row))
    return {"duty": row.id, "role": row.role, "scope": row.scope, "shifts": len(row.shifts)}


def _compute_next_number(draft: AlertsDecision) -> int:
    return 1 + max((d.number for d in draft.state.duties.values()), default=0)


def _count_overlaps(draft: AlertsDecision, row: o.DutyRow) -> int:
    """Count other decisions in force for the same role and time: the newest stands."""
    mine = (row.role, row.scope, row.place)
    others = (
        d
        for d in draft.state.duties.values()
        if d.state == "in_force" and d.kind != "calendar" and (d.role, d.scope, d.place) == mine
    )
    return sum(
        any(a.start < b.end and b.start < a.end for a in d.shifts for b in row.shifts)
        for d in others
    )


def override_shift(draft: AlertsDecision, command: o.OverrideDuty) -> CommandResult:
    """Put somebody else, or nobody, on call in a role for a time."""
    _check_role(draft, command)
    _check_person(draft, command.person)
    _check_span(command.start, command.end, draft.now)
    require_reason(command)
    shift = o.Shift(start=command.start, end=command.end, person=command.person)
    row = _build_duty(draft, command, "override", command.start, command.end, (shift,))
    overlaps = _count_overlaps(draft, row)
    return _record_duty(draft, row) | {"overlaps": overlaps}


def swap_shifts(draft: AlertsDecision, command: o.SwapDuties) -> CommandResult:
    """Exchange two spans of one role between two people; each span must belong to one person."""
    _check_role(draft, command)
    require_reason(command)
    first, second = (command.start, command.end), (command.other_start, command.other_end)
    for span in (first, second):
        _check_span(*span, draft.now)
    if first[0] < second[1] and second[0] < first[1]:
        raise RefusedCommand(409, "spans_overlap")
    one, other = (_get_only_person(draft, command, *span) for span in (first, second))
    if one == other:
        raise RefusedCommand(409, "same_person", person=one)
    shifts = (
        o.Shift(start=first[0], end=first[1], person=other),
        o.Shift(start=second[0], end=second[1], person=one),
    )
    start, end = min(first[0], second[0]), max(first[1], second[1])
    return _record_duty(draft, _build_duty(draft, command, "swap", start, end, shifts))


def _build_duty(
    draft: AlertsDecision,
    command: o.OverrideDuty | o.SwapDuties | o.ImportDuties,
    kind: Literal["override", "swap", "calendar"],
    start: Instant,
    end: Instant,
    shifts: tuple[o.Shift, ...],
) -> o.DutyRow:
    return o.DutyRow(
        id=draft.derive("duty"),
        kind=kind,
        role=command.role_on_call,
        scope=command.scope,
        place=command.place,
        start=start,
        end=end,
        shifts=shifts,
        by=command.author,
        reason=command.reason,
        decided_at=draft.now,
        number=_compute_next_number(draft),
    )


def _get_only_person(
    draft: AlertsDecision, command: o.SwapDuties, start: Instant, end: Instant
) -> str:
    persons = {
        s.stand.persons
        for s in draft.state.rota.spans(
            command.role_on_call, command.scope, command.place, start, end
        )
    }
    if len(persons) != 1 or len(only := next(iter(persons))) != 1:
        raise RefusedCommand(409, "not_one_person", start=start, end=end)
    return only[0]


def withdraw_override(draft: AlertsDecision, command: o.WithdrawDuty) -> CommandResult:
    row = get_row(draft.state.duties, command.duty, "duty_not_found")
    if row.state != "in_force":
        raise RefusedCommand(409, "already", state=row.state)
    withdrawn_row = copy_with(
        row,
        {
            "state": "withdrawn",
            "by": command.author,
            "reason": command.reason,
            "decided_at": draft.now,
        },
    )
    return _record_duty(draft, withdrawn_row)


def run_drill(draft: AlertsDecision, _: o.DrillLadders) -> CommandResult:
    """Run the drill by hand. Refused without reference data. Rule D38, readiness."""
    checker = readiness.build_checker(draft)
    if checker is None:
        raise RefusedCommand(409, "no_reference")
    row = readiness.run_drill(draft, checker)
    return {
        "drill": row.id,
        "rungs": len(row.rungs),
        "silent": sum(len(r.silent) for r in row.rungs),
    }


def import_calendar(draft: AlertsDecision, command: o.ImportDuties) -> CommandResult:
    """Import the shifts of a calendar; one of the same name for the same role is replaced."""
    _check_role(draft, command)
    if not command.start < command.end or any(
        not command.start <= s.start < s.end <= command.end for s in command.shifts
    ):
        raise RefusedCommand(409, "span_invalid")
    for person in dict.fromkeys(s.person for s in command.shifts if s.end > draft.now):
        _check_person(draft, person)
    mine = command.calendar, command.role_on_call, command.scope, command.place
    former_shifts = [
        d
        for d in draft.state.duties.values()
        if d.kind == "calendar"
        and d.state == "in_force"
        and (d.calendar, d.role, d.scope, d.place) == mine
    ]
    for old in sorted(former_shifts, key=lambda d: d.number):
        draft.emit(
            o.DutyChanged(row=copy_with(old, {"state": "replaced", "decided_at": draft.now}))
        )
    row = _build_duty(draft, command, "calendar", command.start, command.end, command.shifts)
    row = row.model_copy(update={"calendar": command.calendar})
    return _record_duty(draft, row) | {"replaced": len(former_shifts)}


def note_reachability(draft: AlertsDecision, command: o.NoteReachability) -> CommandResult:
    """Record channels, verifications and quiet times of people; unchanged ones leave no trace."""
    changes_count = 0
    for row in command.people:
        current_reach = draft.state.reach.get(row.id)
        if current_reach is None or current_reach.points != row.points:
            draft.emit(o.ReachabilityChanged(row=copy_with(row, {"noted_at": draft.now})))
            changes_count += 1
            if not row.points:
                responses.on_person_unreachable(draft, row.id)
    return {"people": len(command.people), "changed": changes_count}
