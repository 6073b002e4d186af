"""A decision in progress: the facts of one input or deadline, the state after them, its refusal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Literal, TypeVar, cast

from schemas.base import Command, Fact, Instant
from schemas.runtime import CommandRefused
from services.runtime.decider.protocol import EvolvedFacts, Firing, Input

S = TypeVar("S")
Scalar = str | int | float | bool | None
CommandResult = dict[str, Scalar]
"""Answer to a command that took effect; the body of the HTTP 200 response."""


class RefusedCommand(Exception):
    """A refused command with its status, code and values; becomes the fact `CommandRefused`."""

    def __init__(self, status: int, code: str, **values: Scalar) -> None:
        super().__init__(code)
        self.status, self.code, self.values = status, code, values

    def to_fact(self, command_id: str, command: Command) -> CommandRefused:
        """Return the fact that answers the command."""
        return CommandRefused(
            command_id=command_id,
            command=type(command).__name__,
            status=cast("Literal[403, 404, 409, 412]", self.status),
            code=self.code,
            values=self.values,
        )


class Decision(ABC, Generic[S]):
    """Facts so far, applied to the state at once: each step sees the steps before it.

    Mutable, and used for one input or deadline only.
    """

    __slots__ = ("at", "facts", "now", "state", "states")

    def __init__(self, state: S, given: Input | Firing) -> None:
        self.state = state
        self.now: Instant = given.now
        """Time of the decision."""
        self.at: Instant = given.at if isinstance(given, Firing) else given.now
        """Time of its records: a fold evolves at that time, so `evolve` must, too."""
        self.facts: list[Fact] = []
        self.states: list[S] = []
        """State after each fact."""

    @abstractmethod
    def evolve(self, fact: Fact) -> S:
        """Return the present state after one more fact."""

    def emit(self, *facts: Fact) -> None:
        """Record facts in order, and evolve the state by each."""
        for fact in facts:
            self.facts.append(fact)
            self.state = self.evolve(fact)
            self.states.append(self.state)

    def withdraw(self, facts: int, state: S) -> None:
        """Discard the facts after the first `facts`, and restore the state before them."""
        del self.facts[facts:], self.states[facts:]
        self.state = state

    def finish(self) -> EvolvedFacts[S]:
        """Return all facts with the state after each."""
        return EvolvedFacts(self.facts, self.states)
