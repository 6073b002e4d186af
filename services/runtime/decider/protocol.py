"""The protocol between the runtime and a domain (DESIGN §2): pure `decide`, `fire`, `evolve` over one realm's state.

Purity: no clock, no random, no I/O; the same arguments give the same facts, for ever (within one `logic` version).
The runtime does, so that no domain has to: ordering, duplicates of ids and of forwarded facts, ids, the clock, deadlines one
after the other, failures as facts, realm opening and closing checks, snapshots, forwarding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from schemas.base import Fact, Instant, Message
from schemas.realms import derive_id

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Input:
    """One input as the domain sees it: parsed, known realm, not a duplicate."""

    id: str
    """CloudEvents id; for a forwarded fact the fact's id."""
    realm: str
    lineage: str
    source: str
    message: Message
    at: Instant
    """Logical time of the input: append time (live), `ce_at` or the realm's clock (simulated)."""
    now: Instant
    """max(realm clock, at): the time at which it is decided."""
    correlation_id: str
    causation_id: str

    def derive(self, kind: str, ordinal: int = 0) -> str:
        """Id of something this input causes. Different `kind` or `ordinal`, different id; stable over replays and forks."""
        return derive_id(self.lineage, self.id, kind, ordinal)


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something that must happen at `due` unless an input disarms it before. Plain data in the state."""

    due: Instant
    key: str
    """Unique in the realm; the order of deadlines with the same `due` is the order of keys."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A deadline that came due, with what the domain needs to derive ids."""

    deadline: Deadline
    realm: str
    lineage: str
    now: Instant
    """Live: the time of the input that moved the clock, maybe long after `due` (a stall). Simulated: equals `due`."""

    def derive(self, kind: str, ordinal: int = 0) -> str:
        """Id of something this firing causes."""
        return derive_id(self.lineage, f"{self.deadline.key}@{self.deadline.due}", kind, ordinal)


class Decider(Protocol[S]):
    """A domain. `S` is immutable: a frozen dataclass whose collections are `immutables.Map`."""

    service: str
    logic: int

    def initial(self, realm: str, lineage: str) -> S:
        """State of a realm before its first input."""
        ...

    def decide(self, state: S, given: Input) -> Sequence[Fact]:
        """Facts caused by one input, in order. May raise: the runtime records `InputFailed` and goes on."""
        ...

    def fire(self, state: S, firing: Firing) -> Sequence[Fact]:
        """Facts caused by one due deadline. Must disarm it (through evolve). May raise: `DeadlineFailed`."""
        ...

    def evolve(self, state: S, fact: Fact, fact_id: str, at: Instant) -> S:
        """State after one fact. Total: never raises for a fact that `decide` or `fire` of the same logic produced.

        Must handle `schemas.runtime.DeadlineFailed` by disarming `key`, and ignore runtime facts it has no use for.
        `at` is the transaction's time (the firing's due time for facts of a deadline).
        """
        ...

    def next_deadline(self, state: S) -> Deadline | None:
        """The earliest deadline, O(log n) or better."""
        ...

    def dump(self, state: S) -> dict[str, list[tuple[str, object]]]:
        """State as JSON-able collections (name → items) for snapshots: chunkable, order irrelevant."""
        ...

    def load(self, realm: str, lineage: str, dumped: dict[str, list[tuple[str, object]]]) -> S:
        """Inverse of dump."""
        ...
