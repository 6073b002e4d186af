"""Shifts of the crisis cell: they begin with the acknowledgement of the crisis escalation.

An hour before the limit a task asks a person to decide about the handover; the clock sends nobody
away. People at home are called out and have no shift. The end of the crisis ends all shifts. Rule
D39, working time.
"""

from __future__ import annotations

from typing import Final

from schemas.base import HOUR_MS, MINUTE_MS, Instant
from schemas.oncall import CellShift
from schemas.reference import WorkingTime
from schemas.words import Level
from services.alerts import tasks
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import notifications

CELL_LEADER_ROLE: Final = "coordinateur_pca"
"""Role that runs the cell."""
TEMPLATE: Final = "shift_ending"


def start_shift(draft: AlertsDecision, person: str, role: str, *, on_site: bool = False) -> None:
    """Start the shift of a person in the cell.

    Another answer within the shift starts no new one. People on call at home have a shift only once
    they are `on_site` (D90).
    """
    rules = _get_working_time(draft)
    if rules is None or not role or (role in rules.standby_roles and not on_site):
        return
    shift = draft.state.shifts.get(person)
    if (
        shift is not None
        and shift.since is not None
        and draft.clock < _compute_limit(shift.since, rules)
    ):
        return
    warn_at = _compute_limit(draft.clock, rules) - rules.warn_before_min * MINUTE_MS
    draft.emit(CellShift(person=person, role=role, since=draft.clock, warn_at=warn_at))


def end_shift(draft: AlertsDecision, person: str) -> None:
    shift = draft.state.shifts.get(person)
    if shift is not None:
        draft.emit(CellShift(person=person, role=shift.role))
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
    tasks.open_task(draft, "relief", post=shift.role, due_at=limit, owner=CELL_LEADER_ROLE)


def _get_working_time(draft: AlertsDecision) -> WorkingTime | None:
    return draft.territory.policy.working_time if draft.territory.policy is not None else None


def _compute_limit(since: Instant, rules: WorkingTime) -> Instant:
    return since + round(rules.cell_shift_h * HOUR_MS)


def _cancel_handover_task(draft: AlertsDecision, role: str) -> None:
    if not any(s.role == role and s.warn_at is None for s in draft.state.shifts.values()):
        tasks.cancel_task(draft, "relief", role, "left")
