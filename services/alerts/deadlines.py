"""Deadlines of alerts."""

from dataclasses import dataclass
from typing import Final, get_args

from schemas.base import Instant
from services.runtime.decider.protocol import DeadlineKey, DeadlineKeys


@dataclass(frozen=True, slots=True)
class CauseDue(DeadlineKey, head="cause"):
    """An announced cause begins, or a window of it begins or ends."""

    cause: str


@dataclass(frozen=True, slots=True)
class ReportDue(DeadlineKey, head="report"):
    """The window of an announced report without a cause begins."""

    report: str


@dataclass(frozen=True, slots=True)
class SilenceDue(DeadlineKey, head="silence"):
    """A batch of sites in a hit zone is judged: those that sent nothing are silent."""

    incident: str
    due_at: Instant


@dataclass(frozen=True, slots=True)
class AllClearDue(DeadlineKey, head="allclear"):
    """The sites that stayed silent since an all-clear are judged."""

    incident: str


@dataclass(frozen=True, slots=True)
class AreaOrderDue(DeadlineKey, head="area"):
    """The next sites of an order for an area are asked or told, or called again."""

    order: str


@dataclass(frozen=True, slots=True)
class ActionDue(DeadlineKey, head="action"):
    """A reminder of an action, or its limit."""

    action: str


@dataclass(frozen=True, slots=True)
class ObligationDue(DeadlineKey, head="obligation"):
    """A reminder of a legal deadline, or its limit."""

    clock: str


@dataclass(frozen=True, slots=True)
class EscalationDue(DeadlineKey, head="ladder"):
    """The next wave of an escalation."""

    escalation: str


@dataclass(frozen=True, slots=True)
class AcknowledgementStale(DeadlineKey, head="stale"):
    """An acknowledged escalation has waited too long for somebody to act."""

    escalation: str


@dataclass(frozen=True, slots=True)
class ReadinessDue(DeadlineKey, head="prove"):
    """The next check that each post is reachable."""


@dataclass(frozen=True, slots=True)
class ShiftLimitNear(DeadlineKey, head="relief"):
    """A member of the cell nears the limit of working time."""

    person: str


@dataclass(frozen=True, slots=True)
class StaffingDue(DeadlineKey, head="staffing"):
    """The time by which the cell must be staffed."""


@dataclass(frozen=True, slots=True)
class ThresholdRearmed(DeadlineKey, head="rearm"):
    """A threshold was below its margin for long enough."""

    threshold: str


@dataclass(frozen=True, slots=True)
class FlagDue(DeadlineKey, head="flag"):
    """An announced value comes into force, or the window of a flag ends."""

    flag: str


@dataclass(frozen=True, slots=True)
class YellowDigestDue(DeadlineKey, head="yellow"):
    """The digest of the yellow vigilances."""

    flag: str


@dataclass(frozen=True, slots=True)
class IndexDecayed(DeadlineKey, head="decay"):
    """Time alone changes an index: its newest entry leaves a span."""

    index: str
    span: int
    """Length of the span, or the end of an announced day."""


@dataclass(frozen=True, slots=True)
class WindowDue(DeadlineKey, head="maintenance"):
    """A maintenance window begins, pauses, ends or judges its next batch of causes.

    Each batch has its own number, so that the effects of one deadline fit into one Transaction.
    """

    window: str
    sweep: int


@dataclass(frozen=True, slots=True)
class ReferenceChangeDue(DeadlineKey, head="reference"):
    """The next section or batch of sites of a change of the reference data.

    Each has its own number, so that the effects of one deadline fit into one Transaction.
    """

    change: str
    step: int


@dataclass(frozen=True, slots=True)
class LeaseDue(DeadlineKey, head="lease"):
    """An alert that its sender did not renew ends."""

    report: str


@dataclass(frozen=True, slots=True)
class MoveDue(DeadlineKey, head="move"):
    """The next batch of reports of a merged incident moves.

    The number of reports that are left tells the batches apart.
    """

    incident: str
    remaining_count: int


@dataclass(frozen=True, slots=True)
class HistoryDue(DeadlineKey, head="forget"):
    """Old reports and incidents are dropped."""


AlertsDeadline = (
    CauseDue
    | ReportDue
    | SilenceDue
    | AllClearDue
    | AreaOrderDue
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
