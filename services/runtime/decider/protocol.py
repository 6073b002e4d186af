"""The protocol between the runtime and a domain: pure functions over one realm's state.

`decide`, `fire` and `evolve` use no clock, no random numbers and no I/O. The same arguments always
give the same facts, within one `logic` version. The runtime does everything that is common to all
domains: order, duplicates of ids and forwarded facts, ids, the clock, deadlines one after the
other, failures as facts, checks of opening and closing, snapshots, forwarding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from schemas.base import Fact, Instant, Message
from schemas.realms import derive_id
from schemas.wire.envelope import Place
from services.runtime.decider.applied_ids import AppliedIds
from services.runtime.decider.maps import Map

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Watermark:
    """The newest forwarded fact applied from one service, with the hash of its source record."""

    place: Place
    hash: str


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RealmState(Generic[S]):
    realm: str
    lineage: str
    """Realm in which this history began; ids are derived from it, so a fork keeps them."""
    now: Instant
    """The realm's clock; never goes back."""
    closed: bool
    seen: AppliedIds
    marks: Map[str, Watermark]
    """Source service → watermark."""
    domain: S


@dataclass(frozen=True, slots=True)
class Input:
    """One input as the domain sees it: parsed, in a known realm, not a duplicate."""

    id: str
    """CloudEvents id; for a forwarded fact the fact's id."""
    realm: str
    lineage: str
    source: str
    message: Message
    at: Instant
    """Logical time of the input: append time (live), `ce_at` or the realm's clock (simulated)."""
    now: Instant
    """max(realm clock, at): the time when it is decided."""
    correlation_id: str
    causation_id: str

    def derive(self, kind: str, ordinal: int = 0) -> str:
        """Derive the id of something that this input causes, stable over replays and forks.

        Another `kind` or `ordinal` gives another id.
        """
        return derive_id(self.lineage, self.id, kind, ordinal)


@dataclass(frozen=True, slots=True)
class Deadline:
    """An event that must happen at `due` unless an input disarms it. Plain data in the state."""

    due: Instant
    key: str
    """Unique in the realm. Deadlines with the same `due` fire in the order of keys."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A deadline that is due, with the data to derive ids."""

    deadline: Deadline
    realm: str
    lineage: str
    now: Instant
    """Live: time of the input that moved the clock, after a stall long after `due`.

    Simulated: `due`.
    """
    at: Instant
    """Time of its facts, and so of `evolve`: `due`, but never before the clock of the realm."""

    def derive(self, kind: str, ordinal: int = 0) -> str:
        """Derive the id of something that this firing causes."""
        return derive_id(self.lineage, f"{self.deadline.key}@{self.deadline.due}", kind, ordinal)


class EvolvedFacts(list[Fact], Generic[S]):
    """Facts with the states that a decision has computed already, so that none is evolved twice."""

    def __init__(self, facts: Sequence[Fact], states: Sequence[S]) -> None:
        super().__init__(facts)
        self.states = states
        """State after each fact, in the same order."""


class Decider(Protocol[S]):
    """A domain. `S` is immutable: a frozen dataclass with `immutables.Map` collections."""

    service: str
    logic: int

    def initial(self, realm: str, lineage: str) -> S:
        """Return the state of a realm before its first input."""
        ...

    def decide(self, state: S, current_input: Input) -> Sequence[Fact]:
        """Return the facts caused by one input, in order, as `EvolvedFacts` if they are evolved.

        May raise: the runtime records `InputFailed` and continues.
        """
        ...

    def fire(self, state: S, firing: Firing) -> Sequence[Fact]:
        """Return the facts caused by one due deadline.

        They must disarm it through `evolve`. May raise: the runtime records `DeadlineFailed`.
        """
        ...

    def evolve(self, state: S, fact: Fact, fact_id: str, at: Instant) -> S:
        """Return the state after one fact.

        Never raises for a fact that `decide` or `fire` of the same logic produced. Must handle
        `schemas.runtime.DeadlineFailed` by disarming `key`, and ignore runtime facts that it does
        not use. `at` is the transaction's time, or the due time for facts of a deadline.
        """
        ...

    def next_deadline(self, state: S) -> Deadline | None:
        """Return the earliest deadline in O(log n) or better."""
        ...

    def dump(self, state: S) -> dict[str, list[tuple[str, object]]]:
        """Dump the state as JSON-able collections (name → items) for snapshots, in any order."""
        ...

    def load(self, realm: str, lineage: str, dumped: dict[str, list[tuple[str, object]]]) -> S:
        """Load the state from a dump."""
        ...
