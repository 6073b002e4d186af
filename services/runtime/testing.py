"""Run deciders in memory, alone or together, without Kafka.

They use the `Machine`, `append` and `fold` of the real worker, and are composed like publishers and
conductor compose them on Kafka. So they give the same facts per service.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from schemas.base import Fact, Instant, Message
from schemas.runtime import CONDUCTOR, StepRequested
from schemas.topics import (
    PARTITION_COUNT,
    input_topic,
    is_published,
    list_destinations,
    partition_of,
)
from schemas.wire import Place
from services.runtime.decider.inputs import Headers, InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.decider.protocol import Decider, RealmState
from services.runtime.kafka.clients import build_headers, encode_message
from services.runtime.log.chain import (
    ChainView,
    apply_input,
    build_place,
    create_empty_view,
    fold_record,
)
from services.runtime.log.snapshots import decode_state, encode_state
from services.runtime.log.transaction import FactRecord, Transaction, compute_digest
from services.runtime.simulation.conductor import Conductor, Responder, SimulationPlanner

S = TypeVar("S")


@dataclass(frozen=True)
class StoredRecord:
    """One record of a log with its partition and offset."""

    partition: int
    offset: int
    raw: bytes
    transaction: Transaction

    @property
    def hash(self) -> str:
        return compute_digest(self.raw)

    @cached_property
    def messages(self) -> tuple[Fact, ...]:
        """Return its typed facts, parsed once: it never changes, and copies of a log share it."""
        return tuple(fact.message() for fact in self.transaction.facts)

    def place(self, ordinal: int) -> Place:
        """Return the position of one of its facts."""
        return build_place(self.transaction, self.partition, ordinal)


@dataclass(slots=True)
class MemoryLog:
    """The log of one service: append-only, one list of records per partition."""

    partitions: int = PARTITION_COUNT
    records: dict[int, list[StoredRecord]] = field(default_factory=dict)

    def append(self, partition: int, raw: bytes) -> StoredRecord:
        """Store a record at the end of a partition."""
        at = self.records.setdefault(partition, [])
        at.append(entry := StoredRecord(partition, len(at), raw, Transaction.load(raw)))
        return entry

    def __iter__(self) -> Iterator[StoredRecord]:
        """Yield all records, partition by partition."""
        for partition in sorted(self.records):
            yield from self.records[partition]

    def of(self, realm: str) -> list[StoredRecord]:
        """Return the records of one realm, in order."""
        return [
            s
            for s in self.records.get(partition_of(realm, self.partitions), [])
            if s.transaction.realm == realm
        ]

    def newest(self, realm: str) -> StoredRecord:
        """Return the last record of one realm. Raises LookupError if there is none."""
        for entry in reversed(self.records.get(partition_of(realm, self.partitions), [])):
            if entry.transaction.realm == realm:
                return entry
        raise LookupError(realm)


class MemoryService(Generic[S]):
    """One decider with its inputs and its log in memory.

    With `check` (default) every record is folded back from its bytes and the two states are
    compared. A fact that cannot be read back, or an `evolve` that depends on more than the fact,
    then fails the test that made it.
    """

    def __init__(
        self,
        decider: Decider[S],
        *,
        partitions: int = PARTITION_COUNT,
        check: bool = True,
        clock: Instant = 0,
    ) -> None:
        self.machine = Machine(decider, partitions)
        self.service = decider.service
        self.log = MemoryLog(partitions)
        self.clock = clock
        """Broker append time of the next input of a live realm; set it forward, never back."""
        self._views: dict[int, ChainView[S]] = {}
        self._offsets: dict[int, int] = {}
        self._check = check

    def copy(self, *, check: bool = True) -> "MemoryService[S]":
        """Return an independent copy that continues from here; `check` applies to the copy.

        Views and records never change, so both share them.
        """
        service = MemoryService(
            self.machine.decider, partitions=self.log.partitions, check=check, clock=self.clock
        )
        service.log.records = {
            partition: list(records) for partition, records in self.log.records.items()
        }
        service._views, service._offsets = dict(self._views), dict(self._offsets)
        return service

    def feed(
        self,
        realm: str,
        message: Message,
        *,
        id: str | None = None,
        source: str = "test",
        at: Instant | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        place: Place | None = None,
        place_hash: str | None = None,
    ) -> Transaction:
        """Apply one message and return its Transaction.

        `at` is the append time in a live realm (also moves `clock`), `ce_at` in a simulated one.
        """
        partition = partition_of(realm, self.log.partitions)
        offset = self._offsets.get(partition, 0)
        if at is not None and "~" not in realm:
            self.clock = at
        headers = build_headers(
            message.wire_type(),
            id=id or f"{self.service}-{partition}-{offset}",
            source=source,
            at=at,
            correlation_id=correlation_id,
            causation_id=causation_id,
            place=place,
            place_hash=place_hash,
        )
        return self.feed_raw(
            partition, realm.encode(), encode_message(message), headers
        ).transaction

    def feed_raw(
        self,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp: Instant | None = None,
    ) -> StoredRecord:
        """Apply one record of bytes, readable or not."""
        offset = self._offsets.get(partition, 0)
        self._offsets[partition] = offset + 1
        record = InputRecord(
            input_topic(self.service),
            partition,
            offset,
            key,
            value,
            headers,
            self.clock if timestamp is None else timestamp,
        )
        before: ChainView[S] = self._views.get(partition) or create_empty_view()
        after, append = apply_input(self.machine, before, record, run="memory")
        entry = self.log.append(partition, append.raw)
        if self._check:
            fold = fold_record(self.machine, before, entry.offset, append.raw)
            if fold != after:
                raise AssertionError(
                    f"{self.service}: the fold of {append.transaction.facts} differs from what "
                    "was applied"
                )
        self._views[partition] = after
        return entry

    def state(self, realm: str) -> S:
        """Return the domain state of a realm. Raises KeyError if it was never opened."""
        return self.realm(realm).domain

    def realm(self, realm: str) -> RealmState[S]:
        """Return the state of a realm with the runtime's own part. Raises KeyError."""
        return self._views[partition_of(realm, self.log.partitions)].realms[realm]

    def restart(self, realm: str) -> None:
        """Replace the state of a realm by that of its snapshot, as after a restart."""
        partition = partition_of(realm, self.log.partitions)
        view, decider = self._views[partition], self.machine.decider
        state = view.realms[realm]
        pages = {n: state.seen.pages[n] for n in range(state.seen.first, state.seen.last)}
        loaded = decode_state(decider, encode_state(decider, state), pages)
        self._views[partition] = view._replace(realms=view.realms.set(realm, loaded))

    def facts(self, realm: str) -> list[Fact]:
        return [message for entry in self.log.of(realm) for message in entry.messages]

    def next_due(self, realm: str) -> Instant | None:
        """Return the realm's earliest deadline."""
        return self.machine.next_due(self.realm(realm))


class NeverAtRest(AssertionError):
    """The realm does not come to rest: a due deadline stays, or deciders answer endlessly."""


class MemorySystem:
    """Deciders that forward facts to each other.

    Send messages from outside with `feed`. Move time with `step` in simulated realms, with
    `MemoryService.clock` in live ones.
    """

    def __init__(
        self,
        deciders: Mapping[str, Decider[Any]],
        responder: Responder = lambda _fact, _realm: (),
        *,
        check: bool = True,
        planner: SimulationPlanner | None = None,
    ) -> None:
        self.services = {
            name: MemoryService(decider, check=check) for name, decider in deciders.items()
        }
        self.conductor = Conductor(responder, planner)
        self._waiting: deque[tuple[str, StoredRecord, int]] = deque()
        self._steps = 0

    def copy(self, *, check: bool = True) -> "MemorySystem":
        """Return an independent copy that continues from here; `check` applies to the copy."""
        deciders = {name: service.machine.decider for name, service in self.services.items()}
        system = MemorySystem(deciders, check=check)
        system.services = {
            name: service.copy(check=check) for name, service in self.services.items()
        }
        system.conductor = deepcopy(self.conductor)
        system._waiting, system._steps = self._waiting.copy(), self._steps
        return system

    def feed(
        self,
        service: str,
        realm: str,
        message: Message,
        *,
        id: str,
        at: Instant | None = None,
        settle: bool = True,
    ) -> Transaction:
        """Apply one input from outside and (by default) its consequences, at the same time."""
        self.services[service].feed(realm, message, id=id, at=at)
        transaction = self._observe_newest(service, realm)
        if settle:
            self.settle(realm)
        return transaction

    def step(self, realm: str, to: Instant) -> None:
        """Move a simulated realm to `to` through every deadline before it, until it is at rest."""
        self._steps += 1
        command = StepRequested(author="system:player", role="admin", to=to)
        self.feed("alerts", realm, command, id=f"step-{self._steps}")

    def settle(self, realm: str) -> None:
        """Run until nothing is pending and the conductor has no move. Raises NotSettled."""
        for _ in range(200_000):
            if self._waiting:
                self._forward(*self._waiting.popleft())
            elif realm in self.conductor.realms and (moves := self.conductor.next_moves(realm)):
                self.conductor.note_sent(moves)
                for move in moves:
                    self.services[move.service].feed(
                        realm,
                        move.message,
                        id=move.id,
                        source=CONDUCTOR,
                        at=move.at,
                        correlation_id=move.correlation_id,
                        place=move.place,
                        place_hash=move.place_hash,
                    )
                    self._observe_newest(move.service, realm)
            elif (
                self.conductor.planner is not None
                and realm in self.conductor.realms
                and (job := self.conductor.job(realm)) is not None
            ):
                self.conductor.accept_answer(job, self.conductor.planner.solve(job))
            else:
                return
        raise NeverAtRest(f"realm {realm} does not become quiet")

    def facts(self, realm: str, services: Sequence[str] = ()) -> list[FactRecord]:
        """Return the facts of the realm, service after service, each in log order."""
        return [
            f
            for name in services or self.services
            for entry in self.services[name].log.of(realm)
            for f in entry.transaction.facts
        ]

    def _observe_newest(self, service: str, realm: str) -> Transaction:
        entry = self.services[service].log.newest(realm)
        self.conductor.observe(entry.transaction, entry.partition, entry.hash)
        for ordinal, fact in enumerate(entry.transaction.facts):
            for receiver in list_destinations(
                entry.transaction.logic, service, fact.name, fact.data
            ):
                if receiver in self.services and is_published(service, receiver, realm):
                    self._waiting.append((receiver, entry, ordinal))
        return entry.transaction

    def _forward(self, receiver: str, entry: StoredRecord, ordinal: int) -> None:
        tx, fact = entry.transaction, entry.transaction.facts[ordinal]
        self.services[receiver].feed(
            tx.realm,
            fact.message(),
            id=fact.id,
            source=f"/{tx.service}",
            at=fact.at if "~" in tx.realm else None,
            correlation_id=tx.src.correlation_id,
            causation_id=tx.src.id,
            place=entry.place(ordinal),
            place_hash=entry.hash,
        )
        self._observe_newest(receiver, tx.realm)
