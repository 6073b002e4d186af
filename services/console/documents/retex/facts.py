"""What a RETEX is drawn from, and what its sections share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.alerts import ReportRow
from schemas.continuity import ImprovementRow
from schemas.reassignment import LineState, ReassignmentRow
from schemas.words import SHELVED, CardState, PlanState
from services.console.documents.document import Line
from services.console.i18n import Translator
from services.console.lines import LineRecord
from services.console.pages import times
from services.console.pages.journal import LATE_MIN
from services.console.resources import Activity, Alarm, Escalation, Incident, Notification, Plan, Realm
from services.console.texts.names import Names

ROWS_SHOWN: Final = 25
FULL: Final = 100
SATURDAY: Final = 5
TELEWORK: Final = "telework"


@dataclass(frozen=True, slots=True)
class RetexFacts:
    lang: str
    _: Translator
    names: Names
    territory: str
    realm: Realm
    at: datetime
    hot: timedelta
    """From the end to the hot lessons learned."""
    cold: timedelta
    incidents: Sequence[Incident]
    """Those that this is about, earliest first."""
    activities: Sequence[Activity]
    plans: Sequence[Plan]
    alarms: Sequence[Alarm]
    escalations: Sequence[Escalation]
    notifications: Sequence[Notification]
    reports: Sequence[ReportRow]
    lines: Sequence[LineRecord]
    """Newest first."""
    improvements: Sequence[ImprovementRow]
    moved: Sequence[ReassignmentRow]
    """Approved lines of reassignment, also those that are over."""
    agent_day_eur: float | None
    agent_day_draft: bool
    """That cost is nobody's word yet."""
    texts: Mapping[str, str]

    @property
    def ended(self) -> datetime | None:
        """When the last of them was closed; None while one is open, and when there was none."""
        closed = [i.closed_at for i in self.incidents]
        return max((c for c in closed if c is not None), default=None) if all(closed) else None


def used(x: RetexFacts) -> list[Plan]:
    """Plans that were proposed or more."""
    return [p for p in x.plans if p.state not in SHELVED]


def activated(x: RetexFacts) -> list[Plan]:
    return [p for p in used(x) if p.state not in (PlanState.PROPOSED, PlanState.REFUSED, PlanState.POSTPONED)]


def is_late(report: ReportRow) -> bool:
    return report.recorded_at - report.occurred_at > LATE_MIN * 60_000


def card_late(due: datetime | None, done: datetime | None, now: datetime, state: CardState) -> timedelta | None:
    """By how much a card was or is late; None when it was not."""
    if due is None or state is CardState.NOT_APPLICABLE:
        return None
    end = done if state is CardState.DONE and done is not None else now
    return end - due if end > due else None


def worked(x: RetexFacts) -> list[ReassignmentRow]:
    """Lines whose agents went: dispatched, and not void before they had arrived."""
    return [row for row in x.moved if row.dispatched_at is not None and (row.state is not LineState.VOID or row.arrived_at is not None)]


def agent_days(row: ReassignmentRow, now: datetime) -> int:
    """Weekdays that were begun, one at least, from the arrival (from the order while nobody has said that they arrived) to the end."""
    first = times.local(times.of(row.arrived_at or row.dispatched_at or 0)).date()
    last = times.local(now if row.ended_at is None else times.of(row.ended_at)).date()
    days = ((first + timedelta(days=n)).weekday() < SATURDAY for n in range((last - first).days + 1))
    return row.count * max(sum(days), 1)


def grams(row: ReassignmentRow, x: RetexFacts) -> int:
    return row.grams * agent_days(row, x.at)


def told_at(at: datetime | None, x: RetexFacts) -> str:
    return "" if at is None else f"{times.day(at, x.lang)} {times.hm(at)}"


def none(x: RetexFacts) -> tuple[Line, ...]:
    return (Line(text=x._("Rien à signaler.")),)
