"""A decider on the state of its realms: one raw input and the state of its realm → facts and the new state (`applying`), and facts → state.

No clock, no random, no I/O. `evolve` over the recorded facts gives the state that `apply` gave.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar

from schemas.base import Fact, Instant
from schemas.envelope import Place
from schemas.routes import ROUTES
from schemas.runtime import OpenRealm, RealmOpened
from schemas.topics import PARTITIONS
from services.runtime.decider.applied_ids import Seen
from services.runtime.decider.evaluation import (
    FIRING_BYTES,
    NEVER_INPUT,
    WITHOUT_EFFECT,
    Application,
    Applied,
    Moved,
    noted,
)
from services.runtime.decider.inputs import (
    InputRecord,
    Refusal,
    parse_message,
    read_envelope,
    realm_of,
    unproven_envelope,
)
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Decider
from services.runtime.decider.realm_state import RealmState
from services.runtime.log.transaction import FactRecord, Transaction

S = TypeVar("S")


def opens_realms(service: str) -> bool:
    """True for the service that takes `OpenRealm`: the one that no other service tells of opened realms."""
    return not any(
        service in facts.get("RealmOpened", ())
        for table in ROUTES.values()
        for source, facts in table.items()
        if source != service
    )


class Machine(Generic[S]):
    """A decider with everything around it that is the same for all domains."""

    def __init__(self, decider: Decider[S], partitions: int = PARTITIONS) -> None:
        self.decider = decider
        self.service = decider.service
        self.logic = decider.logic
        self.partitions = partitions
        self.opens_realms = opens_realms(decider.service)

    # ── one input ────────────────────────────────────────────────────────────────────────────────────────────────

    def realm_of(self, record: InputRecord) -> str:
        """The realm whose state `apply` needs; empty when the key is not a realm of this partition."""
        return realm_of(record, self.partitions)

    def apply(
        self,
        state: RealmState[S] | None,
        record: InputRecord,
        *,
        history: int = 0,
        firing_bytes: int = FIRING_BYTES,
        unwritable: str | None = None,
        refusal: Refusal | None = None,
    ) -> Applied[S]:
        """Apply one input to the state of its realm.

        `history` of the log: after a `Rebased` another record may lie where this one's predecessor lay. `firing_bytes`: a deadline whose
        facts would make those of all that fired larger stays due, unless it is the first; with 0 all do. `unwritable` is the last try for
        an input whose own facts do not fit into a Transaction: it becomes `InputFailed` with this sentence. `refusal`: why the record is not of this installation, as its caller found. Raises only Stop
        (`decider.broken`: a deadline that nothing disarms, which no fact can record) and MemoryError.
        """
        if refusal is not None:
            return Application(
                self, state, record, unproven_envelope(record, self.partitions, refusal), history
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
        if type(message) in NEVER_INPUT:
            return step.refuse(
                Refusal("invalid", f"{envelope.type} is a fact of the runtime, not an input")
            )
        return step.run(message, firing_bytes, unwritable)

    # ── many facts ───────────────────────────────────────────────────────────────────────────────────────────────

    def evolve(self, state: RealmState[S] | None, transaction: Transaction) -> RealmState[S] | None:
        """State of the realm after an accepted Transaction, from its facts alone.

        Raises UnknownType or ValidationError for a fact that this code does not know.
        """
        outcome: type[Fact] | None = None
        moved = None if state is None else Moved(state.domain, state.closed)
        for record in transaction.facts:
            fact = record.message()
            if type(fact) in WITHOUT_EFFECT:
                outcome = type(fact)
            elif type(fact) is RealmOpened:
                state = self.opened(transaction.realm, fact, record)
                moved = Moved(state.domain, False)
            elif moved is not None:
                moved.by(self.decider, fact, record)
        if state is None or moved is None:
            return None
        source = transaction.src
        place = None if source.place is None else Place.parse(source.place)
        return noted(
            self.decider, state, moved, source.id, place, source.place_hash, transaction.at, outcome
        )

    def opened(self, realm: str, fact: RealmOpened, record: FactRecord) -> RealmState[S]:
        """A realm's first state."""
        domain = self.decider.evolve(
            self.decider.initial(realm, fact.lineage), fact, record.id, record.at
        )
        return RealmState(realm, fact.lineage, record.at, False, Seen(), Map(), domain)

    def shaken(self, state: RealmState[S], record: FactRecord) -> RealmState[S]:
        """State after `LossDeclared` or `Rebased`, which concern every realm of the partition; its clock stands."""
        domain = self.decider.evolve(state.domain, record.message(), record.id, state.now)
        return state if domain is state.domain else replace(state, domain=domain)

    def next_due(self, state: RealmState[S] | None) -> Instant | None:
        """Earliest deadline; a closed realm has none."""
        if state is None or state.closed:
            return None
        deadline = self.decider.next_deadline(state.domain)
        return None if deadline is None else deadline.due
