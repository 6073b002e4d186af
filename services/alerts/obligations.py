"""Legal deadlines: life of the clock of an obligation, and decisions about it. Rule D92.

One clock per obligation and incident, for good: neither a rule nor a person starts a second one.
Hours run through nights and days off. A limit in days, working days or months ends with its last
local day; the day when it begins does not count. Rule D43.
"""

from calendar import monthrange
from collections.abc import Collection, Iterable, Iterator
from datetime import date, timedelta
from typing import Any, Final

from schemas.alerts import TriggerRow
from schemas.base import HOUR_MS, Command, Instant, copy_with
from schemas.calling import RoleUncovered
from schemas.crisis import obligations as m
from schemas.crisis.communication import Signature
from schemas.crisis.obligations import LimitUnit, ObligationLimit
from services.alerts.decision import AlertsDecision, get_incident
from services.alerts.escalation.notifications import inform_people
from services.alerts.escalation.oncall import (
    find_pilots,
    find_reachable_person,
    get_holder_and_deputy,
    list_channels,
)
from services.alerts.evolve import OPEN
from services.oncall.schedule import get_local_day, to_instant
from services.runtime.decider.command_checks import (
    check_version,
    get_row,
    require_person,
    require_reason,
)
from services.runtime.decider.protocol import CommandResult, RefusedCommand

REMINDER: Final = "obligation_reminder"
OVERDUE: Final = "obligation_overdue"
LAST_MINUTE: Final = 24 * 60 - 1
"""Local minute at which a day of a limit ends, so that texts show the right day."""
_SATURDAY: Final = 6


def compute_limit(limit: ObligationLimit, start: Instant, holidays: Collection[str]) -> Instant:
    """Return when a limit ends that begins at `start`."""
    day, amount = get_local_day(start), limit.amount
    match limit.unit:
        case LimitUnit.HOURS:
            return start + amount * HOUR_MS
        case LimitUnit.DAYS:
            end = day + timedelta(days=amount)
        case LimitUnit.WORKING_DAYS:
            end = _add_working_days(day, amount, holidays)
        case LimitUnit.MONTHS:
            end = _add_months(day, amount)
    return to_instant(end, LAST_MINUTE)


def list_steps(start: Instant, end: Instant) -> tuple[Instant, Instant, Instant]:
    """Return the times of both reminders, at half and at 80 % of a limit, and the limit."""
    span = end - start
    return start + span // 2, start + span * 4 // 5, end


def _add_working_days(day: date, amount: int, holidays: Collection[str]) -> date:
    while amount > 0:
        day += timedelta(days=1)
        if day.isoweekday() < _SATURDAY and day.isoformat() not in holidays:
            amount -= 1
    return day


def _add_months(day: date, amount: int) -> date:
    """Return the same day of a later month, or the last day of a shorter one."""
    years, month = divmod(day.month - 1 + amount, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def start_by_rules(draft: AlertsDecision, incident_ids: Iterable[str]) -> None:
    """Start the clocks of triggers that begin to hold, and of changed incidents of a family."""
    obligations = draft.territory.obligations
    if not obligations:
        return
    for trigger in draft.new_triggers:
        for obligation in obligations.values():
            if trigger.plan in obligation.plans:
                _start_by_trigger(draft, obligation, trigger)
    for id in incident_ids:
        row = draft.incident(id)
        for obligation in obligations.values():
            if row.kind in obligation.kinds and row.state in OPEN:
                start_clock(draft, obligation, id, row.known_at)


def _start_by_trigger(draft: AlertsDecision, obligation: m.Obligation, trigger: TriggerRow) -> None:
    incident = draft.resolve_incident(trigger.incident)
    start_clock(draft, obligation, incident, trigger.since, plan=trigger.plan)


def start_clock(
    draft: AlertsDecision,
    obligation: m.Obligation,
    incident: str | None,
    known_at: Instant,
    **values: Any,
) -> m.ObligationRow | None:
    """Start the clock of an obligation in an incident; return None if there is one already."""
    if find_clock(draft, obligation.id, incident) is not None:
        return None
    policy = draft.territory.policy
    due_at = compute_limit(obligation.limit, known_at, policy.holidays if policy else ())
    passed_steps = _count_passed(known_at, due_at, draft.now)
    row = m.ObligationRow(
        id=draft.derive("obligation"),
        obligation=obligation.id,
        state=m.ObligationState.RUNNING,
        incident=incident,
        role=obligation.role,
        started_at=draft.now,
        known_at=known_at,
        due_at=due_at,
        next_at=_find_next_step(known_at, due_at, passed_steps) or draft.now,
        reminders=min(passed_steps, 2),
        changed_at=draft.now,
        **values,
    )
    draft.emit(m.ObligationChanged(row=row, change="started"))
    return row


def find_clock(
    draft: AlertsDecision, obligation: str, incident: str | None
) -> m.ObligationRow | None:
    """Return the clock of an obligation in an incident, or in one that was merged into it.

    A running clock of no incident is about every incident: the matter is the same.
    """
    for row in draft.state.obligations.values():
        if row.obligation != obligation:
            continue
        running = row.state is m.ObligationState.RUNNING
        if running and (incident is None or row.incident is None):
            return row
        if incident is not None and incident in (
            row.incident,
            draft.resolve_incident(row.incident),
        ):
            return row
    return None


def end_clock(
    draft: AlertsDecision, row: m.ObligationRow, change: str, signature: Signature, **values: Any
) -> m.ObligationRow:
    """End a clock along its arrow, and start those that its declaration starts."""
    row = _move(draft, row, change, **{change: signature}, next_at=None, **values)
    if row.state is m.ObligationState.DONE:
        for following in draft.territory.obligations.values():
            if following.after == row.obligation:
                start_clock(
                    draft,
                    following,
                    draft.resolve_incident(row.incident),
                    row.declared_at or draft.now,
                    follows=row.id,
                )
    return row


def on_obligation_due(draft: AlertsDecision, id: str) -> None:
    """Remind the role at half and at 80 % of the limit; at the limit tell the pilot.

    After a stall the newest reminder alone is sent.
    """
    row = draft.state.obligations[id]
    if row.state is not m.ObligationState.RUNNING:
        return
    passed_steps = _count_passed(row.known_at, row.due_at, draft.clock)
    if passed_steps > 2:
        row = _move(draft, row, "overdue", overdue_at=row.due_at, next_at=None)
        _inform(draft, row, tuple(_list_pilots(draft, row)), OVERDUE)
        return
    row = _move(
        draft,
        row,
        "reminded",
        reminders=passed_steps,
        reminded_at=draft.now,
        next_at=_find_next_step(row.known_at, row.due_at, passed_steps),
    )
    _inform(draft, row, _find_declarer(draft, row), REMINDER)


def _count_passed(known_at: Instant, due_at: Instant, now: Instant) -> int:
    """Return the number of steps that have passed: 1 and 2 are the reminders, 3 is the limit."""
    return sum(step <= now for step in list_steps(known_at, due_at))


def _find_next_step(known_at: Instant, due_at: Instant, passed_steps: int) -> Instant | None:
    steps = list_steps(known_at, due_at)
    return steps[passed_steps] if passed_steps < len(steps) else None


def _find_declarer(draft: AlertsDecision, row: m.ObligationRow) -> tuple[str, ...]:
    """Return the person to remind: the holder of the role, else the deputy, else the pilots."""
    now = get_holder_and_deputy(draft, row.role, None)
    for person in (now.holder, now.deputy):
        if person is not None and list_channels(draft, person):
            return (person,)
    draft.emit(RoleUncovered(role=row.role, scope=None))
    return tuple(_list_pilots(draft, row))


def _list_pilots(draft: AlertsDecision, row: m.ObligationRow) -> Iterator[str]:
    for post in find_pilots(draft, row):
        person = find_reachable_person(draft, post)
        if person is not None:
            yield person


def _inform(
    draft: AlertsDecision, row: m.ObligationRow, persons: tuple[str, ...], template: str
) -> None:
    """Send a message that planned works do not withhold: the law knows none."""
    values: dict[str, str | int | float | bool | None] = {
        "obligation": row.obligation,
        "limit_at": row.due_at,
        "begins_at": row.known_at,
    }
    people = tuple(dict.fromkeys(persons))
    inform_people(draft, people, draft.resolve_incident(row.incident), template, values)


def _move(
    draft: AlertsDecision, row: m.ObligationRow, change: str, **values: Any
) -> m.ObligationRow:
    """Move a clock along one arrow, and return its row."""
    after = m.OBLIGATION_MOVES[change][row.state]
    version = row.version + (after is not row.state)
    row = copy_with(row, {**values, "state": after, "changed_at": draft.now, "version": version})
    draft.emit(m.ObligationChanged(row=row, change=change))
    return row


def start_obligation(draft: AlertsDecision, command: m.StartObligation) -> CommandResult:
    """Start a clock; refuse a second one in the same incident (409)."""
    obligation = get_row(draft.territory.obligations, command.obligation, "obligation_not_found")
    incident = draft.resolve_incident(get_incident(draft, command.incident).id)
    if command.known_at > draft.now:
        raise RefusedCommand(409, "obligation_future")
    signature = _sign(draft, command)
    row = start_clock(draft, obligation, incident, command.known_at, started=signature)
    if row is None:
        raise RefusedCommand(409, "obligation_started", obligation=obligation.id)
    return _build_result(row)


def fulfil_obligation(draft: AlertsDecision, command: m.FulfilObligation) -> CommandResult:
    """End a clock with the time and the proof of the declaration."""
    row = _get_running_clock(draft, command.clock, command.expected)
    require_person(command)
    declared_at = command.declared_at if command.declared_at is not None else draft.now
    if declared_at > draft.now:
        raise RefusedCommand(409, "obligation_future")
    if declared_at < row.known_at:
        raise RefusedCommand(409, "obligation_early")
    clock = end_clock(
        draft, row, "done", _sign(draft, command), declared_at=declared_at, text_id=command.text_id
    )
    return _build_result(clock)


def dismiss_obligation(draft: AlertsDecision, command: m.DismissObligation) -> CommandResult:
    """End a clock that does not apply; a person says why."""
    row = _get_running_clock(draft, command.clock, command.expected)
    require_person(command)
    text_id = require_reason(command).removeprefix("text:")
    clock = end_clock(draft, row, "dismissed", _sign(draft, command), text_id=text_id)
    return _build_result(clock)


def _get_running_clock(draft: AlertsDecision, id: str, expected: int | None) -> m.ObligationRow:
    """Return a clock that runs; refuse any other (404, 409, 412)."""
    row = get_row(draft.state.obligations, id, "clock_not_found")
    if row.state is not m.ObligationState.RUNNING:
        raise RefusedCommand(409, "clock_over", state=row.state.value)
    check_version(row, expected)
    return row


def _sign(draft: AlertsDecision, command: Command) -> Signature:
    return Signature(by=command.author, role=command.role, at=draft.now)


def _build_result(row: m.ObligationRow) -> CommandResult:
    return {"clock": row.id, "state": row.state.value, "version": row.version}
