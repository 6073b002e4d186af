"""Alarms of the clocks: each percentage once per clock, as a row and as a demand for attention.

Rule D44.
"""

from typing import Final, Literal, NamedTuple

from schemas.alerts import AttentionRequested
from schemas.base import Instant
from schemas.continuity import ActivityRow, AlarmRaised, AlarmRow, Step
from schemas.ranks import POLE_DIRECTOR_ROLE, SITE_MANAGER_ROLE
from schemas.words import ClockBase
from services.continuity.decision import ContinuityDecision

LOCAL_ROLES: Final = (SITE_MANAGER_ROLE, POLE_DIRECTOR_ROLE)
"""Roles that the clock of one site alarms. Rule D42."""
LOCAL_ALARMS_PER_STEP: Final = 60
"""Alarms of local clocks that one activity raises in one step. Bounds a Transaction.

The others follow 1 ms later.
"""
_RTO_EXCEEDED_PCT: Final = 100
_NEXT_STRATEGY_PCT: Final = 80


class DueAlarm(NamedTuple):
    """An alarm to raise."""

    base: ClockBase
    pct: int
    limit_at: Instant
    site: str | None = None
    path: tuple[Step, ...] = ()
    incident: str | None = None
    started_at: Instant | None = None
    """Start of the interruption that the clock measures."""


def raise_alarms(draft: ContinuityDecision, row: ActivityRow, due_alarms: list[DueAlarm]) -> None:
    """Record the alarms of one activity, those of the territory first, each with its recipients."""
    for alarm in sorted(due_alarms, key=lambda a: (a.site or "", a.base != ClockBase.RTO, a.pct)):
        _raise_alarm(draft, row, alarm)


def _raise_alarm(draft: ContinuityDecision, row: ActivityRow, alarm: DueAlarm) -> None:
    demands = None if alarm.site is not None else _choose_demand(alarm)
    alarm_row = AlarmRow(
        id=draft.derive(f"alarm/{row.id}/{alarm.site or ''}/{alarm.base}/{alarm.pct}", 0),
        activity=row.id,
        pole=row.pole,
        site=alarm.site,
        base=alarm.base,
        pct=alarm.pct,
        raised_at=draft.now,
        limit_at=alarm.limit_at,
        to=_list_recipients(draft, row, alarm),
        incident=alarm.incident,
        path=alarm.path,
        demands=demands,
        strategy=row.next_strategy if demands == "next_strategy" else None,
    )
    draft.emit(AlarmRaised(row=alarm_row), build_attention(draft, row, alarm))


def build_attention(
    draft: ContinuityDecision, row: ActivityRow, alarm: DueAlarm
) -> AttentionRequested:
    """Build the demand for attention of an alarm of an activity."""
    local = alarm.site is not None
    return AttentionRequested(
        code="alarm",
        roles=_list_recipients(draft, row, alarm),
        pole=row.pole,
        site=alarm.site,
        activity=row.id,
        base=alarm.base.value,
        pct=alarm.pct,
        limit_at=alarm.limit_at,
        incident=alarm.incident,
        stopped_at=alarm.started_at,
        back_at=row.expected_end,
        strategy=None if local else row.next_strategy,
    )


def _list_recipients(
    draft: ContinuityDecision, row: ActivityRow, alarm: DueAlarm
) -> tuple[str, ...]:
    if alarm.site is not None:
        return LOCAL_ROLES
    return draft.bia.recipients(alarm.base, alarm.pct, row.criticality)


def _choose_demand(alarm: DueAlarm) -> Literal["arbitration", "next_strategy"] | None:
    if alarm.base is ClockBase.RTO and alarm.pct == _RTO_EXCEEDED_PCT:
        return "arbitration"
    if alarm.base is ClockBase.DMIA and alarm.pct == _NEXT_STRATEGY_PCT:
        return "next_strategy"
    return None


def demand_forecast_attention(draft: ContinuityDecision, row: ActivityRow) -> None:
    """Demand attention for a forecast breach, from the roles that would choose the next strategy.

    These are the recipients of the alarm at 80 % of the DMIA. Rule D45.
    """
    roles = draft.bia.recipients(ClockBase.DMIA, _NEXT_STRATEGY_PCT, row.criticality)
    if roles:
        draft.emit(
            AttentionRequested(
                code="forecast",
                roles=roles,
                pole=row.pole,
                activity=row.id,
                base="dmia",
                limit_at=row.forecast_breach_at,
                incident=row.incident,
                stopped_at=row.rto.started_at,
                back_at=row.expected_end,
                strategy=row.next_strategy,
            )
        )
