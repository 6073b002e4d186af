"""Facts of continuity: activities with their clocks, alarms, plans and cards."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.alerts import Why
from schemas.base import Instant, Model, RowFact, message
from schemas.words import ActivityState, CardState, ClockBase, ClockState, PlanState


class ClockRow(Model):
    """RTO or DMIA (MTPD) clock of an activity (D42). `site` None = the territory's clock."""

    base: ClockBase
    state: ClockState
    limit_h: float
    started_at: Instant | None = None
    deadline: Instant | None = None
    stopped_at: Instant | None = None
    consumed_pct: float = 0.0
    alarms: tuple[int, ...] = Field(default=(), description="percentages already alarmed")


class LocalClocks(Model):
    site: str
    capacity_pct: float
    clocks: tuple[ClockRow, ...]


class Step(Model):
    """One step of the path of a derived fact (D47): report → site → activity → pôle, or system → activity."""

    kind: str
    id: str


class ActivityRow(Model):
    id: str
    pole: str
    criticality: int
    state: ActivityState
    declared: ActivityState | None = None
    capacity_pct: float
    mbco_pct: float
    since: Instant
    rto: ClockRow
    dmia: ClockRow
    local: tuple[LocalClocks, ...] = ()
    forecast_breach_at: Instant | None = Field(default=None, description="« rupture prévue » (D45)")
    incident: str | None = None
    path: tuple[tuple[Step, ...], ...] = ()
    why: tuple[Why, ...] = ()


class AlarmRow(Model):
    """D44. `id` = derived; one per clock and percentage."""

    id: str
    activity: str
    pole: str
    site: str | None = None
    base: ClockBase
    pct: int
    raised_at: Instant
    limit_at: Instant
    to: tuple[str, ...] = ()


class CardRow(Model):
    id: str
    role: str
    pole: str | None = None
    due_at: Instant
    state: CardState = CardState.TO_DO
    overdue: bool = False
    by: str | None = None
    at: Instant | None = None


class PlanRow(Model):
    """A plan and its life (D48–D52). One row per plan; proposals are counted by level."""

    id: str
    pole: str | None = None
    state: PlanState
    level: int = 0
    incident: str | None = None
    proposed_at: Instant | None = None
    decided_at: Instant | None = None
    decided_by: str | None = None
    decides: str
    postponed_until: Instant | None = None
    trigger_since: Instant | None = None
    why: tuple[Why, ...] = ()
    cards: tuple[CardRow, ...] = ()
    version: int = 0
    stand_down_proposed: bool = False


@message
class ActivityChanged(RowFact):
    collection: ClassVar[str] = "activities"
    row: ActivityRow


@message
class AlarmRaised(RowFact):
    collection: ClassVar[str] = "alarms"
    row: AlarmRow


@message
class PlanChanged(RowFact):
    """`change`: proposed, raised, activated, refused, postponed, returned, stand_down_proposed, stood_down, card."""

    collection: ClassVar[str] = "plans"
    row: PlanRow
    change: str
