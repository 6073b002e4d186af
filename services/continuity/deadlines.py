"""Deadlines of continuity: their keys, and the queue of one realm."""

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Final, Self, get_args

from schemas.base import Instant
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadline, DeadlineKey, DeadlineKeys


@dataclass(frozen=True, slots=True)
class ActivityDue(DeadlineKey, head="activity"):
    """The next change of an activity's clocks and alarms that time alone makes."""

    activity: str


@dataclass(frozen=True, slots=True)
class SettlementDue(DeadlineKey, head="settle"):
    """An activity is settled right after a decision, which names the deadline.

    Ids of facts come from key and time. Two decisions of one millisecond have two keys.
    """

    activity: str
    decision: str
    anew: int
    """1: its percentages or open hours changed, so running clocks are read again."""


@dataclass(frozen=True, slots=True)
class RereadDue(DeadlineKey, head="reread"):
    """`SettlementDue` with `anew`, as older logs have it."""

    activity: str


@dataclass(frozen=True, slots=True)
class DependencyDue(DeadlineKey, head="dependency"):
    """An announced value of a dependency comes into force."""

    dependency: str


@dataclass(frozen=True, slots=True)
class PlanDue(DeadlineKey, head="plan"):
    """The next step of a plan."""

    plan: str


@dataclass(frozen=True, slots=True)
class SitrepDue(DeadlineKey, head="sitrep"):
    """The next situation report. Its text in logs ends with `due`."""

    what: str = "due"


@dataclass(frozen=True, slots=True)
class SiteCardsDue(DeadlineKey, head="cards"):
    """The site cards of a plan are opened, a step at a time."""

    plan: str


@dataclass(frozen=True, slots=True)
class CardRemindersDue(DeadlineKey, head="remind"):
    """The owners of site cards are told of them. Its text in logs ends with the separator."""

    all: str = ""


@dataclass(frozen=True, slots=True)
class ReviewDue(DeadlineKey, head="reassign"):
    """The situation of the reassignments is reviewed. Its text in logs ends with the separator."""

    all: str = ""


@dataclass(frozen=True, slots=True)
class OrderDue(DeadlineKey, head="order"):
    """A part of an order to a site that agents leave."""

    decision: str
    site: str
    part: int


@dataclass(frozen=True, slots=True)
class RecallNoticeDue(DeadlineKey, head="announce"):
    """The sites at both ends of a recall are told. It sorts before the recall itself."""

    decision: str


@dataclass(frozen=True, slots=True)
class RecallDue(DeadlineKey, head="back"):
    """A part of a recall of agents that left a site."""

    decision: str
    site: str
    part: int


@dataclass(frozen=True, slots=True)
class DroppedLinesDue(DeadlineKey, head="dropped"):
    """Lines at sites that a new reference version dropped end, a step at a time."""

    step: int


@dataclass(frozen=True, slots=True)
class UncountedDue(DeadlineKey, head="uncounted"):
    """An evacuated site without a count is taken as planned. Its text ends with the separator."""

    all: str = ""


@dataclass(frozen=True, slots=True)
class RequestDue(DeadlineKey, head="resource"):
    """The next limit of a resource request."""

    request: str


ContinuityDeadline = (
    ActivityDue
    | SettlementDue
    | RereadDue
    | DependencyDue
    | PlanDue
    | SitrepDue
    | SiteCardsDue
    | CardRemindersDue
    | ReviewDue
    | OrderDue
    | RecallNoticeDue
    | RecallDue
    | DroppedLinesDue
    | UncountedDue
    | RequestDue
)
"""Everything that may be due in continuity."""
KEYS: Final = DeadlineKeys[ContinuityDeadline](*get_args(ContinuityDeadline))


@dataclass(frozen=True, slots=True)
class DeadlineQueue:
    """Deadlines by key, in order.

    `order` is derived from `due` and never stored. There is at most one deadline per activity, plan
    and dependency: a few hundred. The hash of the state holds both fields, so their form stays.
    """

    due: Map[str, Instant] = Map()
    order: tuple[tuple[Instant, str], ...] = ()

    def with_changes(self, changes: dict[str, Instant | None]) -> Self:
        """Return a copy with these deadlines set (an instant) or removed (None)."""
        due_times, order = self.due, list(self.order)
        for key, at in changes.items():
            before = due_times.get(key)
            if before is not None:
                del order[bisect_left(order, (before, key))]
                due_times = due_times.delete(key)
            if at is not None:
                insort(order, (at, key))
                due_times = due_times.set(key, at)
        return type(self)(due_times, tuple(order))

    def first(self) -> Deadline | None:
        """Return the earliest deadline; ties go by key."""
        return Deadline(*self.order[0]) if self.order else None

    @classmethod
    def restore(cls, due_times: Map[str, Instant]) -> Self:
        """Build the agenda from these deadlines."""
        return cls(due_times, tuple(sorted((at, key) for key, at in due_times.items())))
