"""A decision of continuity in progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from schemas.base import Fact, Instant
from schemas.continuity import AgendaChanged
from services.continuity.activities.impact_analysis import ImpactAnalysis
from services.continuity.deadlines import ContinuityDeadline, SettlementDue
from services.continuity.evolve import evolve
from services.continuity.state import ContinuityState
from services.runtime.decider.decision import Decision
from services.runtime.decider.protocol import EvolvedFacts, Firing, Input

T = TypeVar("T")


class ContinuityDecision(Decision[ContinuityState]):
    """A decision of continuity, with its deadlines and the metrics that it moved."""

    __slots__ = ("_due", "_shared", "derive", "moved")

    def __init__(self, state: ContinuityState, given: Input | Firing) -> None:
        super().__init__(state, given)
        self.derive = given.derive
        self.moved: dict[str, set[str]] = {}
        """Metric → activities through which it may have moved since it was last recorded."""
        self._due: dict[str, Instant | None] = {}
        self._shared: dict[tuple[object, ...], tuple[tuple[object, ...], Any]] = {}

    def shared(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """Compute `make()` once per key while sites, dependencies and incidents stay the same."""
        ground = (self.state.unwell, self.state.dependencies, self.state.incidents)
        cache_entry = self._shared.get(key)
        if cache_entry is not None and all(
            a is b for a, b in zip(cache_entry[0], ground, strict=True)
        ):
            made: T = cache_entry[1]
            return made
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

    def arm(self, key: ContinuityDeadline, due: Instant | None) -> None:
        """Set or (None) remove a deadline. The last call for a key counts."""
        self._due[str(key)] = due

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
            key: due for key, due in sorted(self._due.items()) if self.state.due.get(key) != due
        }
        if changes:
            self.emit(AgendaChanged(due=changes))
        return super().finish()
