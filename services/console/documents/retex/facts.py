"""Facts of the lessons learned, and functions that their sections share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.alerts import ReportRow
from schemas.continuity import ImprovementRow
from schemas.reassignment import LineState, ReassignmentRow
from schemas.words import LIBRARY_STATES, CardState, PlanState
from services.console.i18n import Translator
from services.console.logbook.line_list import LATE_MIN
from services.console.logbook.lines import LineRecord, render_line
from services.console.resources import (
    Activity,
    Alarm,
    Card,
    Escalation,
    Incident,
    Notification,
    Plan,
    Realm,
)
from services.console.texts.names import TerritoryNames
from services.console.web import times

ROWS_SHOWN: Final = 25
FULL_PERCENT: Final = 100
SATURDAY: Final = 5
TELEWORK: Final = "telework"
ENDED_PLAN_STATES: Final = (PlanState.LIFTED, PlanState.RETEX_CLOSED)
_DECISION_CHANGES: Final = ("activated", "refused", "postponed")


@dataclass(frozen=True, slots=True)
class RetexFacts:
    lang: str
    _: Translator
    names: TerritoryNames
    territory: str
    realm: Realm
    at: datetime
    hot: timedelta
    """Time from the end of the incidents to the first lessons learned (à chaud)."""
    cold: timedelta
    incidents: Sequence[Incident]
    """Incidents of the document, earliest first."""
    activities: Sequence[Activity]
    """Activities that these incidents hit, now or before."""
    plans: Sequence[Plan]
    alarms: Sequence[Alarm]
    escalations: Sequence[Escalation]
    notifications: Sequence[Notification]
    reports: Sequence[ReportRow]
    lines: Sequence[LineRecord]
    """Logbook lines, newest first."""
    improvements: Sequence[ImprovementRow]
    reassignments: Sequence[ReassignmentRow]
    """Approved reassignments, ended ones included."""
    agent_day_eur: float | None
    agent_day_draft: bool
    """True if the cost is a draft that nobody has confirmed."""
    texts: Mapping[str, str]
    """Texts of improvements, of the reasons to drop them, and of lines that people wrote.

    Erased ones are missing.
    """

    @property
    def end_time(self) -> datetime | None:
        """Time when the last incident closed; None while one is open, or without incidents."""
        closing_times = [i.closed_at for i in self.incidents]
        return (
            max((c for c in closing_times if c is not None), default=None)
            if all(closing_times)
            else None
        )


def write_line_text(record: LineRecord, x: RetexFacts) -> str:
    """Return the sentence of a line, or the words of its author."""
    text = x.texts.get(record.text_id or "") if record.type == "NoteAdded" else None
    return text or render_line(record, x.names, x.lang)


def list_used_plans(x: RetexFacts) -> list[Plan]:
    """List the plans that were at least proposed."""
    return [p for p in x.plans if p.state not in LIBRARY_STATES]


def list_activated_plans(x: RetexFacts) -> list[Plan]:
    return [
        p
        for p in list_used_plans(x)
        if p.state not in (PlanState.PROPOSED, PlanState.REFUSED, PlanState.POSTPONED)
    ]


def is_late(report: ReportRow) -> bool:
    return report.recorded_at - report.occurred_at > LATE_MIN * 60_000


def list_late_cards(plan: Plan, now: datetime) -> list[tuple[Card, timedelta]]:
    """List the cards that were or are late, with the delay.

    A card counts only up to the stand-down of its plan.
    """
    over = plan.decided_at if plan.state in ENDED_PLAN_STATES else None
    late_cards = []
    for card in plan.cards:
        if card.due_at is None or card.state in (CardState.NOT_APPLICABLE, CardState.WAITING):
            continue
        end = card.at if card.state is CardState.DONE and card.at is not None else over or now
        if end > card.due_at:
            late_cards.append((card, end - card.due_at))
    return late_cards


def measure_decision_time(plan: Plan, x: RetexFacts) -> timedelta | None:
    """Return the time from the plan's proposal to the first decision about it.

    The logbook has the first decision; the plan's row has only the last one.
    """
    if plan.proposed_at is None:
        return None
    first = min(
        (
            at
            for r in x.lines
            if r.type == "PlanChanged"
            and r.change in _DECISION_CHANGES
            and r.values["plan"] == plan.id
            and (at := times.of(r.recorded_at)) >= plan.proposed_at
        ),
        default=None,
    )
    return None if first is None else first - plan.proposed_at


def list_completed_moves(x: RetexFacts) -> list[ReassignmentRow]:
    """List the reassignments that happened: ordered, and not void before arrival."""
    return [row for row in x.reassignments if is_completed_move(row)]


def is_completed_move(row: ReassignmentRow) -> bool:
    """Check whether agents were sent, and the line was not void before they arrived."""
    return row.dispatched_at is not None and (
        row.state not in (LineState.VOID, LineState.REFUSED) or row.arrived_at is not None
    )


def count_agent_days(row: ReassignmentRow, now: datetime) -> int:
    """Count the agent-days of a reassignment: weekdays begun, at least one, per agent.

    They run from arrival, or from the order if no arrival was recorded, to the end.
    """
    first = times.to_paris(times.of(row.arrived_at or row.dispatched_at or 0)).date()
    last = times.to_paris(now if row.ended_at is None else times.of(row.ended_at)).date()
    days = (
        (first + timedelta(days=n)).weekday() < SATURDAY for n in range((last - first).days + 1)
    )
    return row.count * max(sum(days), 1)


def compute_co2_grams(row: ReassignmentRow, x: RetexFacts) -> int:
    return row.grams * count_agent_days(row, x.at)


def format_time(at: datetime | None, x: RetexFacts) -> str:
    return "" if at is None else f"{times.day(at, x.lang)} {times.hm(at)}"
