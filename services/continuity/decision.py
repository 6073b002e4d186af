"""Facts and deadlines of one decision, with the state after each fact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from schemas.base import Fact, Instant
from schemas.continuity import AgendaChanged
from services.continuity.activities.impact_analysis import ImpactAnalysis
from services.continuity.state import ContinuityState, evolve
from services.runtime.decider.protocol import EvolvedFacts

T = TypeVar("T")


class ContinuityDecision:
    """Facts of one decision so far, and the state after them; steps see the steps before."""

    __slots__ = ("_due", "_shared", "derive", "facts", "moved", "now", "state", "states")

    def __init__(
        self, state: ContinuityState, now: Instant, derive: Callable[[str, int], str]
    ) -> None:
        self.state, self.now, self.derive = state, now, derive
        self.facts: list[Fact] = []
        self.states: list[ContinuityState] = []
        """State after each fact."""
        self.moved: dict[str, set[str]] = {}
        """Metric → activities through which it may have moved since it was last recorded."""
        self._due: dict[str, Instant | None] = {}
        self._shared: dict[tuple[object, ...], tuple[tuple[object, ...], Any]] = {}

    def shared(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """Compute `make()` once per key while sites, dependencies and incidents stay the same."""
        ground = (self.state.unwell, self.state.dependencies, self.state.incidents)
        held = self._shared.get(key)
        if held is not None and all(a is b for a, b in zip(held[0], ground, strict=True)):
            made: T = held[1]
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

    def record(self, *facts: Fact) -> None:
        """Add facts, in order."""
        for fact in facts:
            self.facts.append(fact)
            self.state = evolve(self.state, fact, self.now)
            self.states.append(self.state)

    def arm(self, key: str, due: Instant | None) -> None:
        """Set or (None) remove a deadline. The last call for a key counts."""
        self._due[key] = due

    def get_deadline(self, key: str) -> Instant | None:
        """Return the deadline of a key as it will be after this decision."""
        return self._due[key] if key in self._due else self.state.due.get(key)

    def withdraw(self, facts: int, state: ContinuityState) -> None:
        """Discard the facts after the first `facts`, restore `state`, and discard all deadlines."""
        del self.facts[facts:], self.states[facts:]
        self.state = state
        self.moved.clear()
        self._due.clear()

    def finish(self) -> EvolvedFacts[ContinuityState]:
        """Return all facts with their states, with the changed deadlines if there are any."""
        changes = {
            key: due for key, due in sorted(self._due.items()) if self.state.due.get(key) != due
        }
        if changes:
            self.record(AgendaChanged(due=changes))
        return EvolvedFacts(self.facts, self.states)
