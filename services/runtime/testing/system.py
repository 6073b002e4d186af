"""Several deciders in memory, composed like publishers and conductor compose them on Kafka.

They give the same facts per service, without a broker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.base import Instant, Message
from schemas.runtime import CONDUCTOR, StepRequested
from schemas.topics import is_published, list_destinations
from services.runtime.decider.protocol import Decider
from services.runtime.log.transaction import FactRecord, Transaction
from services.runtime.simulation.conductor import Conductor, Responder, SimulationPlanner
from services.runtime.testing.memory import MemoryService, StoredRecord


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
