"""Alarms that wait for an arbitration.

At 100 % of an RTO, somebody must record the decision about the activity. Rule D44, alarms.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.words import ActivityState, ClockState
from services.console.i18n import Translator
from services.console.resources import Activity, Alarm
from services.console.texts.names import name_strategy, shorten_activity_name

ARBITRATION_DEMAND = "arbitration"


@dataclass(frozen=True, slots=True)
class Arbitration:
    """An exceeded RTO without a recorded decision."""

    id: str
    """Id of the alarm."""
    activity: str
    name: str
    criticality: int
    state: ActivityState
    rto_at: datetime
    waiting: timedelta
    mtpd_at: datetime | None
    """Limit that the decision must meet; None if the clock has stopped."""
    mtpd_over: bool
    strategy: str
    """Name of the next fallback strategy; empty if there is no other."""


def list_arbitrations(
    alarms: Iterable[Alarm], activities: Sequence[Activity], now: datetime, _: Translator
) -> list[Arbitration]:
    """List the missing arbitrations: most critical activity first, then the longest wait."""
    activities_by_id = {a.id: a for a in activities}
    arbitrations = [
        _build_arbitration(alarm, activities_by_id[alarm.activity], now, _)
        for alarm in alarms
        if alarm.demands == ARBITRATION_DEMAND
        and alarm.arbitrated_at is None
        and alarm.activity in activities_by_id
    ]
    return sorted(arbitrations, key=lambda x: (x.criticality, x.rto_at, x.id))


def _build_arbitration(alarm: Alarm, a: Activity, now: datetime, _: Translator) -> Arbitration:
    limit = a.mtpd.deadline if a.mtpd.state is ClockState.RUNNING else None
    return Arbitration(
        alarm.id,
        a.id,
        a.short_name or shorten_activity_name(a.name),
        a.criticality,
        a.state,
        alarm.limit_at,
        max(now - alarm.limit_at, timedelta()),
        limit,
        limit is not None and limit <= now,
        name_strategy(a.next_strategy, _) if a.next_strategy else "",
    )
