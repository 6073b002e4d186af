"""A decider on the state of its realms.

It turns one raw input and a realm's state into facts and the new state (`evaluation`), and facts
into state. No clock, no random numbers, no I/O. `evolve` over the recorded facts gives the same
state as `apply`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar

from schemas.base import Fact, Instant
from schemas.routes import ROUTES
from schemas.runtime import OpenRealm, RealmOpened
from schemas.topics import PARTITION_COUNT
from schemas.wire.envelope import Place
from services.runtime.decider.applied_ids import AppliedIds
from services.runtime.decider.evaluation import (
    FACTS_WITHOUT_EFFECT,
    MAX_FIRING_BYTES,
    NON_INPUTS,
    Application,
    AppliedInput,
    DomainState,
    advance_realm_state,
)
from services.runtime.decider.inputs import (
    InputRecord,
    Refusal,
    build_unproven_envelope,
    parse_message,
    read_envelope,
    read_realm,
)
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Decider, RealmState
from services.runtime.log.transaction import FactRecord, Transaction

S = TypeVar("S")


def is_realm_opener(service: str) -> bool:
    """Return whether a service takes `OpenRealm`.

    That is the service to which no other service forwards `RealmOpened`.
    """
    return not any(
        service in facts.get("RealmOpened", ())
        for table in ROUTES.values()
        for source, facts in table.items()
        if source != service
    )


class Machine(Generic[S]):
    """A decider with everything around it that is the same for all domains."""

    def __init__(self, decider: Decider[S], partitions: int = PARTITION_COUNT) -> None:
        self.decider = decider
        self.service = decider.service
        self.logic = decider.logic
        self.partitions = partitions
        self.opens_realms = is_realm_opener(decider.service)

    def realm_of(self, record: InputRecord) -> str:
        """Return the realm for `apply`, or "" if the key is not a realm of this partition."""
        return read_realm(record, self.partitions)

    def apply(
        self,
        state: RealmState[S] | None,
        record: InputRecord,
        *,
        history: int = 0,
        firing_bytes: int = MAX_FIRING_BYTES,
        unwritable: str | None = None,
        refusal: Refusal | None = None,
    ) -> AppliedInput[S]:
        """Apply one input to the state of its realm.

        * `history` is that of the log: after a `Rebased`, another record may lie at an offset that
          was used before.
        * `firing_bytes` limits the facts of all deadlines that fire. A deadline beyond it stays
          due, unless it is the first; with 0 all stay due.
        * `unwritable` is the last attempt for an input with facts that do not fit into a
          Transaction: it becomes `InputFailed` with this sentence.
        * `refusal` is the reason why the record is not of this installation, as its caller found.

        Raises only Stop (`decider.broken`: no fact can disarm or record a deadline) and
        MemoryError.
        """
        if refusal is not None:
            return Application(
                self,
                state,
                record,
                build_unproven_envelope(record, self.partitions, refusal),
                history,
            ).refuse(refusal)
        envelope = read_envelope(record, self.partitions)
        step = Application(self, state, record, envelope, history)
        if envelope.fault is not None:
            return step.refuse(envelope.fault)
        message = parse_message(envelope.type, record.value)
        if isinstance(message, Refusal):
            return step.refuse(message)
        if type(message) is OpenRealm or type(message) is RealmOpened:
            return step.open(message)
        if (closed := step.not_open(message)) is not None:
            return closed
        if type(message) in NON_INPUTS:
            return step.refuse(
                Refusal("invalid", f"{envelope.type} is a fact of the runtime, not an input")
            )
        return step.run(message, firing_bytes, unwritable)

    def evolve(self, state: RealmState[S] | None, transaction: Transaction) -> RealmState[S] | None:
        """Return the state of the realm after an accepted Transaction, from its facts alone.

        Raises UnknownType or ValidationError for a fact that this code does not know.
        """
        outcome: type[Fact] | None = None
        moved = None if state is None else DomainState(state.domain, state.closed)
        for record in transaction.facts:
            fact = record.message()
            if type(fact) in FACTS_WITHOUT_EFFECT:
                outcome = type(fact)
            elif type(fact) is RealmOpened:
                state = self.opened(transaction.realm, fact, record)
                moved = DomainState(state.domain, False)
            elif moved is not None:
                moved.by(self.decider, fact, record)
        if state is None or moved is None:
            return None
        source = transaction.src
        place = None if source.place is None else Place.parse(source.place)
        return advance_realm_state(
            self.decider, state, moved, source.id, place, source.place_hash, transaction.at, outcome
        )

    def opened(self, realm: str, fact: RealmOpened, record: FactRecord) -> RealmState[S]:
        """Return the first state of a realm."""
        domain = self.decider.evolve(
            self.decider.initial(realm, fact.lineage), fact, record.id, record.at
        )
        return RealmState(realm, fact.lineage, record.at, False, AppliedIds(), Map(), domain)

    def shaken(self, state: RealmState[S], record: FactRecord) -> RealmState[S]:
        """Return the state after `LossDeclared` or `Rebased`, which concern every realm.

        The clock of the realm does not move.
        """
        domain = self.decider.evolve(state.domain, record.message(), record.id, state.now)
        return state if domain is state.domain else replace(state, domain=domain)

    def next_due(self, state: RealmState[S] | None) -> Instant | None:
        """Return the earliest deadline; a closed realm has none."""
        if state is None or state.closed:
            return None
        deadline = self.decider.next_deadline(state.domain)
        return None if deadline is None else deadline.due
