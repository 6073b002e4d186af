"""Deadlines of alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, get_args

from schemas.base import Instant
from services.runtime.decider.deadlines import DeadlineKey, DeadlineKeys


@dataclass(frozen=True, slots=True)
class CauseDue(DeadlineKey):
    """An announced cause begins, or a window of it begins or ends."""

    head: ClassVar[str] = "cause"
    cause: str


@dataclass(frozen=True, slots=True)
class ReportDue(DeadlineKey):
    """The window of an announced report without a cause begins."""

    head: ClassVar[str] = "report"
    report: str


@dataclass(frozen=True, slots=True)
class SilenceDue(DeadlineKey):
    """A batch of sites in a hit zone is judged: those that sent nothing are silent."""

    head: ClassVar[str] = "silence"
    incident: str
    due: Instant


@dataclass(frozen=True, slots=True)
class AllClearDue(DeadlineKey):
    """The sites that stayed silent since an all-clear are judged."""

    head: ClassVar[str] = "allclear"
    incident: str


@dataclass(frozen=True, slots=True)
class ActionDue(DeadlineKey):
    """A reminder of an action, or its limit."""

    head: ClassVar[str] = "action"
    action: str


@dataclass(frozen=True, slots=True)
class ObligationDue(DeadlineKey):
    """A reminder of a legal deadline, or its limit."""

    head: ClassVar[str] = "obligation"
    clock: str


@dataclass(frozen=True, slots=True)
class EscalationDue(DeadlineKey):
    """The next wave of an escalation."""

    head: ClassVar[str] = "ladder"
    escalation: str


@dataclass(frozen=True, slots=True)
class AcknowledgementStale(DeadlineKey):
    """An acknowledged escalation has waited too long for somebody to act."""

    head: ClassVar[str] = "stale"
    escalation: str


@dataclass(frozen=True, slots=True)
class ReadinessDue(DeadlineKey):
    """The next check that each post is reachable."""

    head: ClassVar[str] = "prove"


@dataclass(frozen=True, slots=True)
class ShiftLimitNear(DeadlineKey):
    """A member of the cell nears the limit of working time."""

    head: ClassVar[str] = "relief"
    person: str


@dataclass(frozen=True, slots=True)
class StaffingDue(DeadlineKey):
    """The time by which the cell must be staffed."""

    head: ClassVar[str] = "staffing"


@dataclass(frozen=True, slots=True)
class ThresholdRearmed(DeadlineKey):
    """A threshold was below its margin for long enough."""

    head: ClassVar[str] = "rearm"
    threshold: str


@dataclass(frozen=True, slots=True)
class FlagDue(DeadlineKey):
    """An announced value comes into force, or the window of a flag ends."""

    head: ClassVar[str] = "flag"
    flag: str


@dataclass(frozen=True, slots=True)
class YellowDigestDue(DeadlineKey):
    """The digest of the yellow vigilances."""

    head: ClassVar[str] = "yellow"
    flag: str


@dataclass(frozen=True, slots=True)
class IndexDecayed(DeadlineKey):
    """Time alone changes an index: its newest entry leaves a span."""

    head: ClassVar[str] = "decay"
    index: str
    span: int
    """Length of the span, or the end of an announced day."""


@dataclass(frozen=True, slots=True)
class WindowDue(DeadlineKey):
    """A maintenance window begins, pauses, ends or judges its next batch of causes.

    Each batch has its own number, so that the effects of one deadline fit into one Transaction.
    """

    head: ClassVar[str] = "maintenance"
    window: str
    sweep: int


@dataclass(frozen=True, slots=True)
class ReferenceChangeDue(DeadlineKey):
    """The next section or batch of sites of a change of the reference data.

    Each has its own number, so that the effects of one deadline fit into one Transaction.
    """

    head: ClassVar[str] = "reference"
    change: str
    step: int


@dataclass(frozen=True, slots=True)
class LeaseDue(DeadlineKey):
    """An alert that its sender did not renew ends."""

    head: ClassVar[str] = "lease"
    report: str


@dataclass(frozen=True, slots=True)
class MoveDue(DeadlineKey):
    """The next batch of reports of a merged incident moves.

    The number of reports that are left tells the batches apart.
    """

    head: ClassVar[str] = "move"
    incident: str
    left: int


@dataclass(frozen=True, slots=True)
class HistoryDue(DeadlineKey):
    """Old reports and incidents are dropped."""

    head: ClassVar[str] = "forget"


AlertsDeadline = (
    CauseDue
    | ReportDue
    | SilenceDue
    | AllClearDue
    | ActionDue
    | ObligationDue
    | EscalationDue
    | AcknowledgementStale
    | ReadinessDue
    | ShiftLimitNear
    | StaffingDue
    | ThresholdRearmed
    | FlagDue
    | YellowDigestDue
    | IndexDecayed
    | WindowDue
    | ReferenceChangeDue
    | LeaseDue
    | MoveDue
    | HistoryDue
)
"""Everything that may be due in alerts."""
KEYS: Final = DeadlineKeys[AlertsDeadline](*get_args(AlertsDeadline))
