"""A decision of continuity in progress, and the refusals of its commands.

A refusal has an HTTP status, a stable code, and values for the sentence.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from schemas.base import Command, Fact, Instant
from schemas.continuity import AgendaChanged
from schemas.ranks import may_decide, may_decide_plan
from services.continuity.activities.impact_analysis import ImpactAnalysis
from services.continuity.deadlines import ContinuityDeadline, SettlementDue
from services.continuity.evolve import evolve
from services.continuity.state import ContinuityState
from services.runtime.decider.protocol import Decision, EvolvedFacts, Firing, Input, RefusedCommand

T = TypeVar("T")
DROPPED_AUTHOR: Final = "system:reference"
"""Author of the end of a plan, or of a declared state, that new reference data dropped."""


def require_role(command: Command, role: str) -> None:
    """Raise RefusedCommand unless the author has the needed role or a higher one. Rule D49."""
    if not may_decide(command.role, role):
        raise RefusedCommand(403, "role_too_low", role=command.role, needed=role)


def require_plan_role(command: Command, role: str) -> None:
    """Raise RefusedCommand unless the author may decide the plan.

    That needs the role that the plan names, or a higher one of the same pôle or of the general
    direction. Rule D49.
    """
    if not may_decide_plan(command.role, role):
        raise RefusedCommand(403, "role_too_low", role=command.role, needed=role)


class ContinuityDecision(Decision[ContinuityState]):
    """A decision of continuity, with its deadlines and the metrics that it moved."""

    __slots__ = ("_due", "_shared", "derive", "moved")

    def __init__(self, state: ContinuityState, cause: Input | Firing) -> None:
        super().__init__(state, cause)
        self.derive = cause.derive
        self.moved: dict[str, set[str]] = {}
        """Metric → activities through which it may have moved since it was last recorded."""
        self._due: dict[str, Instant | None] = {}
        self._shared: dict[tuple[object, ...], tuple[tuple[object, ...], Any]] = {}

    def compute_once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """Compute `make()` once per key while sites, dependencies and incidents stay the same."""
        ground = (self.state.unwell, self.state.dependencies, self.state.incidents)
        cache_entry = self._shared.get(key)
        if cache_entry is not None and all(
            a is b for a, b in zip(cache_entry[0], ground, strict=True)
        ):
            cached_value: T = cache_entry[1]
            return cached_value
        value = make()
        self._shared[key] = ground, value
        return value

    @property
    def bia(self) -> ImpactAnalysis:
        """Analysis in force. Raises ValueError before the first reference data."""
        if self.state.bia is None:
            raise ValueError("no reference data yet")
        return self.state.bia

    def evolve(self, fact: Fact) -> ContinuityState:
        return evolve(self.state, fact, self.at)

    def arm(self, key: ContinuityDeadline, deadline: Instant | None) -> None:
        """Set or (None) remove a deadline. The last call for a key counts."""
        self._due[str(key)] = deadline

    def arm_settlement(self, activity: str, *, anew: bool = False) -> None:
        """Settle an activity in the next step, at the same time."""
        self.arm(SettlementDue(activity, self.derive("settlement"), int(anew)), self.now)

    def get_deadline(self, key: ContinuityDeadline) -> Instant | None:
        """Return the deadline of a key as it will be after this decision."""
        text = str(key)
        return self._due[text] if text in self._due else self.state.due.get(text)

    def withdraw(self, facts: int, state: ContinuityState) -> None:
        """Discard the facts after the first `facts`, restore `state`, and discard all deadlines."""
        super().withdraw(facts, state)
        self.moved.clear()
        self._due.clear()

    def finish(self) -> EvolvedFacts[ContinuityState]:
        """Return all facts with their states, with the changed deadlines if there are any."""
        changes = {
            key: at for key, at in sorted(self._due.items()) if self.state.due.get(key) != at
        }
        if changes:
            self.emit(AgendaChanged(due=changes))
        return super().finish()
