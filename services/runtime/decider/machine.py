"""A decider on the state of its realms.

`Machine.apply` turns one raw input and the state of a realm into facts and the new state:

1. Read the envelope and the message. An input that cannot be read, or is not for this realm,
   becomes `InputRefused` and has no effect.
2. The realm must be open. `OpenRealm` opens it in the service that the route table names, the
   forwarded `RealmOpened` elsewhere.
3. Move the clock: live realms to the broker's append time, others to `ce_at`. Deadlines due by then
   fire one after the other, each at its own time. One that raises becomes `DeadlineFailed`, which
   disarms it.
4. An id seen before, or a forwarded fact at or before the watermark, becomes `InputDuplicate`.
5. Decide. An exception becomes `InputFailed`; the id stays unseen, so that a replay works after the
   fix.

`Machine.evolve` turns facts into state, and over the recorded facts gives the same state as
`apply`. No clock, no random numbers, no I/O.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any, Final, Generic, NamedTuple, TypeVar

import orjson

from schemas.base import END_OF_TIME, Command, Fact, Instant, Message
from schemas.runtime import (
    CloseRealm,
    CommandApplied,
    CommandRefused,
    DeadlineFailed,
    InputDuplicate,
    InputFailed,
    InputRefused,
    LossDeclared,
    OpenRealm,
    PaceChanged,
    RealmClosed,
    RealmOpened,
    Rebased,
    SetPace,
    StepAccepted,
    StepRequested,
    StepSettled,
    StepTo,
    Tick,
)
from schemas.topics import PARTITION_COUNT, ROUTES, derive_id, is_live, parse_realm
from schemas.wire import Place
from services.runtime.decider.inputs import (
    Envelope,
    InputRecord,
    Refusal,
    build_unproven_envelope,
    compute_input_digest,
    describe_error,
    parse_message,
    read_envelope,
    read_realm,
)
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import (
    AppliedIds,
    Decider,
    EvolvedFacts,
    Firing,
    Input,
    RealmState,
    RefusedCommand,
    Watermark,
)
from services.runtime.log.transaction import FactRecord, Transaction, TransactionSource
from services.runtime.process.exits import Stop

S = TypeVar("S")

MAX_FIRING_BYTES: Final = 160 * 1024
"""Limit for facts of deadlines in one Transaction.

Further deadlines stay due and fire with the next input; a `Tick` comes by itself.
"""
MAX_SINGLE_FIRING_BYTES: Final = 224 * 1024
"""Limit for facts of one deadline.

More would not fit into any Transaction, so the deadline fails.
"""
FACTS_WITHOUT_EFFECT: Final[frozenset[type[Message]]] = frozenset(
    (InputRefused, InputFailed, InputDuplicate)
)
NON_INPUTS: Final[frozenset[type[Message]]] = FACTS_WITHOUT_EFFECT | {
    DeadlineFailed,
    LossDeclared,
    Rebased,
    StepAccepted,
    PaceChanged,
    CommandApplied,
    CommandRefused,
}
_RUNTIME_INPUTS: Final[frozenset[type[Message]]] = frozenset(
    (Tick, StepTo, RealmOpened, RealmClosed, CloseRealm, StepRequested, StepSettled, SetPace)
)
_wire_types: dict[type[Message], str] = {}


class AppliedInput(NamedTuple, Generic[S]):
    """The effects of one input."""

    realm: str
    """Empty if the key is not a realm of this partition."""
    lineage: str
    state: RealmState[S] | None
    """Missing if the realm does not exist."""
    source: TransactionSource
    at: Instant
    facts: tuple[FactRecord, ...]
    next_due: Instant | None
    outcome: str
    """applied, duplicate, failed or refused. Refused and failed inputs go to the dead letters."""


class DomainState(Generic[S]):
    """The part of a realm's state that facts change."""

    __slots__ = ("closed", "domain")

    def __init__(self, domain: S, closed: bool) -> None:
        self.domain = domain
        self.closed = closed

    def by(
        self, decider: Decider[S], fact: Fact, record: FactRecord, after: S | None = None
    ) -> None:
        """Evolve by one fact that has an effect, or move to the state after it if it is given."""
        self.domain = (
            decider.evolve(self.domain, fact, record.id, record.at) if after is None else after
        )
        if type(fact) is RealmClosed:
            self.closed = True


def advance_realm_state(
    decider: Decider[S],
    state: RealmState[S],
    domain_state: DomainState[S],
    id: str,
    place: Place | None,
    place_hash: str | None,
    at: Instant,
    outcome: type[Fact] | None,
) -> RealmState[S]:
    """Return the state after an input: domain, id, watermark and clock.

    A closed realm keeps only its seen ids; the rest is in its log.
    """
    marks, input_ids = state.marks, state.seen
    if place is not None and place_hash is not None:
        newest = marks.get(place.service)
        if newest is None or newest.place < place:
            marks = marks.set(place.service, Watermark(place, place_hash))
    if outcome is InputRefused:
        return state if marks is state.marks else replace(state, marks=marks)
    if outcome is None:
        input_ids = input_ids.add(id, at, forget=is_live(state.realm))
    domain = domain_state.domain
    if domain_state.closed:
        domain, input_ids = decider.initial(state.realm, state.lineage), input_ids.compact_ids()
    return RealmState(
        state.realm,
        state.lineage,
        max(state.now, at),
        domain_state.closed,
        input_ids,
        marks,
        domain,
    )


class Application(Generic[S]):
    """The application of one input; it collects facts while the state evolves."""

    __slots__ = (
        "domain_state",
        "envelope",
        "facts",
        "fired_count",
        "history",
        "machine",
        "record",
        "state",
    )

    def __init__(
        self,
        machine: "Machine[S]",
        state: RealmState[S] | None,
        record: InputRecord,
        envelope: Envelope,
        history: int,
    ) -> None:
        self.machine, self.state, self.record, self.envelope, self.history = (
            machine,
            state,
            record,
            envelope,
            history,
        )
        self.domain_state = None if state is None else DomainState(state.domain, state.closed)
        self.facts: list[FactRecord] = []
        self.fired_count = 0
        """Number of facts that come from deadlines."""

    def result(self, at: Instant, outcome: type[Fact] | None) -> AppliedInput[S]:
        e, r, state = self.envelope, self.record, self.state
        if state is not None and self.domain_state is not None:
            state = advance_realm_state(
                self.machine.decider,
                state,
                self.domain_state,
                e.id,
                e.place,
                e.place_hash,
                at,
                outcome,
            )
        place = None if e.place is None else str(e.place)
        source = TransactionSource(
            r.topic,
            r.partition,
            r.offset,
            compute_input_digest(r),
            e.id,
            e.type,
            e.source,
            r.timestamp,
            e.correlation_id,
            e.causation_id,
            place,
            e.place_hash,
        )
        lineage = e.realm if state is None else state.lineage
        return AppliedInput(
            e.realm,
            lineage,
            state,
            source,
            at,
            tuple(self.facts),
            self.machine.next_due(state),
            _OUTCOMES[outcome],
        )

    def refuse(self, why: Refusal) -> AppliedInput[S]:
        e = self.envelope
        at = self.record.timestamp if self.state is None else self.state.now
        self.record_fact(
            InputRefused.model_validate(
                {"input_id": e.id, "input_type": e.type, "code": why.code, "detail": why.detail}
            ),
            at,
        )
        return self.result(at, InputRefused)

    def duplicate(self, at: Instant) -> AppliedInput[S]:
        self.record_fact(InputDuplicate(input_id=self.envelope.id), at)
        return self.result(at, InputDuplicate)

    def answer_refused(self, message: Command, status: int, code: str) -> AppliedInput[S]:
        """Refuse a command in the name of the runtime; the caller waits for this answer."""
        at = self.record.timestamp if self.state is None else self.state.now
        self.add_fact(self.build_refused(message, status, code), at)
        return self.result(at, None)

    def open(self, message: OpenRealm | RealmOpened) -> AppliedInput[S]:
        e, realm, service = self.envelope, self.envelope.realm, self.machine.service
        if isinstance(message, OpenRealm):
            if not self.machine.opens_realms:
                return self.refuse(Refusal("invalid", f"OpenRealm does not go to {service}"))
            if self.state is not None:
                if self.is_duplicate(self.state):
                    return self.duplicate(self.state.now)
                return self.answer_refused(message, 409, "realm_exists")
            if message.territory != parse_realm(realm)[0]:
                return self.answer_refused(message, 409, "wrong_territory")
            if not is_live(realm) and not 0 <= message.started_at < END_OF_TIME:
                return self.answer_refused(message, 409, "time_out_of_range")
            at = self.record.timestamp if is_live(realm) else message.started_at
            opening = RealmOpened(
                territory=message.territory,
                title_code=message.title_code,
                started_at=at,
                lineage=message.lineage or realm,
                speed=message.speed,
                responders=message.responders,
            )
        else:
            if self.machine.opens_realms or e.place is None:
                return self.refuse(
                    Refusal("invalid", "RealmOpened is taken only as a forwarded fact")
                )
            if self.state is not None:
                return self.run(message, MAX_FIRING_BYTES, None)
            opening, at = message, self.record.timestamp if is_live(realm) else message.started_at
        lineage = opening.lineage
        record = _build_fact_record(opening, derive_id(lineage, e.id, "fact/RealmOpened", 0), at)
        self.facts.append(record)
        self.state = self.machine.open_realm(realm, opening, record)
        self.domain_state = DomainState(self.state.domain, False)
        if isinstance(message, OpenRealm):
            self.add_fact(
                CommandApplied(
                    command_id=e.id, command="OpenRealm", result={"realm": realm, "started_at": at}
                ),
                at,
            )
        return self.result(at, None)

    def not_open(self, message: Message) -> AppliedInput[S] | None:
        """Return the answer for an unknown or closed realm, or None for an open one."""
        if self.state is not None:
            if not self.state.closed:
                return None
            if self.is_duplicate(self.state):
                return self.duplicate(self.state.now)
        unknown = self.state is None
        code = "realm_unknown" if unknown else "realm_closed"
        if isinstance(message, Command):
            return self.answer_refused(message, 404 if unknown else 409, code)
        return self.refuse(
            Refusal(
                code, f"realm {self.envelope.realm} is {'not open here' if unknown else 'closed'}"
            )
        )

    def run(self, message: Message, firing_bytes: int, unwritable: str | None) -> AppliedInput[S]:
        e, state = self.envelope, self.state
        assert state is not None
        live = is_live(e.realm)
        if type(message) is StepTo:
            if live:
                return self.refuse(
                    Refusal("realm_not_simulated", "a live realm has the real clock")
                )
            if e.at is None:
                return self.refuse(Refusal("invalid", "StepTo without ce_at"))
        given_time = self.record.timestamp if live else state.now if e.at is None else e.at
        now = max(state.now, given_time)
        self.fire_until(now, live, firing_bytes)
        self.fired_count = len(self.facts)
        if self.is_duplicate(state):
            return self.duplicate(now)
        domain_state = self.domain_state
        assert domain_state is not None
        domain = domain_state.domain
        try:
            if unwritable is not None:
                raise ValueError(unwritable)
            input_facts = self.decide(message, given_time, now, state.lineage, domain)
            for fact, after in _pair_with_states(input_facts):
                self.add_fact(fact, now, after=after)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  becomes a recorded fact, never a stop
            del self.facts[self.fired_count :]
            domain_state.domain, domain_state.closed = domain, False
            self.record_fact(
                InputFailed(input_id=e.id, input_type=e.type, error=describe_error(error)), now
            )
            return self.result(now, InputFailed)
        return self.result(now, None)

    def is_duplicate(self, state: RealmState[S]) -> bool:
        place = self.envelope.place
        if self.envelope.id in state.seen:
            return True
        return (
            place is not None
            and (mark := state.marks.get(place.service)) is not None
            and place <= mark.place
        )

    def decide(
        self, message: Message, given_time: Instant, now: Instant, lineage: str, domain: S
    ) -> Sequence[Fact]:
        e = self.envelope
        if type(message) not in _RUNTIME_INPUTS:
            decision = Input(
                e.id,
                e.realm,
                lineage,
                e.source,
                message,
                given_time,
                now,
                e.correlation_id,
                e.causation_id,
            )
            return self.machine.decider.decide(domain, decision)
        match message:
            case Tick() | StepTo() | RealmOpened():
                return ()
            case RealmClosed():
                return (RealmClosed(),)
            case CloseRealm() | StepRequested() | SetPace() if is_live(e.realm):
                return (self.build_refused(message, 409, "realm_not_simulated"),)
            case CloseRealm():
                return (RealmClosed(), self.build_applied(message))
            case StepRequested():
                if message.to < now:
                    return (self.build_refused(message, 409, "step_in_the_past"),)
                if message.to >= END_OF_TIME:
                    return (self.build_refused(message, 409, "time_out_of_range"),)
                return (StepAccepted(to=message.to, command_id=e.id),)
            case StepSettled():
                return (
                    CommandApplied(
                        command_id=message.command_id,
                        command="StepRequested",
                        result={"at": message.to},
                    ),
                )
            case SetPace():
                return (
                    PaceChanged(paused=message.paused, speed=message.speed),
                    self.build_applied(message),
                )
        raise AssertionError(f"not handled: {type(message).__name__}")

    def build_applied(self, message: Command) -> CommandApplied:
        return CommandApplied(command_id=self.envelope.id, command=type(message).__name__)

    def build_refused(self, message: Command, status: int, code: str) -> CommandRefused:
        return RefusedCommand(status, code).to_fact(self.envelope.id, message)

    def fire_until(self, now: Instant, live: bool, firing_bytes: int) -> None:
        """Fire the deadlines due by `now`, earliest first, as far as their facts fit.

        Each fires at its own time, but never before the clock.
        """
        decider, state, domain_state, size = self.machine.decider, self.state, self.domain_state, 0
        assert state is not None
        assert domain_state is not None
        clock = state.now
        while size < firing_bytes:
            deadline = decider.next_deadline(domain_state.domain)
            if deadline is None or deadline.due > now:
                return
            clock = max(deadline.due, clock)
            firing = Firing(deadline, state.realm, state.lineage, now if live else clock, clock)
            domain, fact_count = domain_state.domain, len(self.facts)
            try:
                input_facts = _pair_with_states(decider.fire(domain, firing))
                for ordinal, (fact, after) in enumerate(input_facts):
                    id = firing.derive(f"fact/{type(fact).__name__}", ordinal)
                    self.add_fact(fact, clock, id, after)
                if decider.next_deadline(domain_state.domain) == deadline:
                    raise ValueError("the deadline is still armed after it fired")
                if (more := _measure_facts(self.facts[fact_count:])) > MAX_SINGLE_FIRING_BYTES:
                    raise ValueError(f"its facts have {more} bytes")
            except MemoryError:
                raise
            except Exception as error:
                del self.facts[fact_count:]
                domain_state.domain = domain
                failure = DeadlineFailed(
                    key=deadline.key, due=deadline.due, error=describe_error(error)
                )
                self.add_fact(failure, clock, firing.derive("fact/DeadlineFailed"))
                if decider.next_deadline(domain_state.domain) == deadline:
                    raise Stop(
                        "decider.broken",
                        f"{self.machine.service}: DeadlineFailed does not disarm {deadline.key!r}",
                    ) from error
                more = _measure_facts(self.facts[fact_count:])
            if size and size + more > firing_bytes:
                del self.facts[fact_count:]
                domain_state.domain = domain
                return
            size += more

    def record_fact(self, fact: Fact, at: Instant) -> FactRecord:
        """Record a fact under its derived id.

        A fact that its input does not cause (refused, failed, duplicate) may occur again for the
        same input id. Its id is derived from the position of the record instead, and from the
        history of the log.
        """
        e, r = self.envelope, self.record
        lineage = e.realm if self.state is None else self.state.lineage
        cause = e.id
        if self.state is None or type(fact) in FACTS_WITHOUT_EFFECT:
            cause = f"{r.topic}/{r.partition}/{r.offset}" + (
                f"/{self.history}" if self.history else ""
            )
        record = _build_fact_record(
            fact,
            derive_id(
                lineage, cause, f"fact/{type(fact).__name__}", len(self.facts) - self.fired_count
            ),
            at,
        )
        self.facts.append(record)
        return record

    def add_fact(
        self, fact: Fact, at: Instant, id: str | None = None, after: S | None = None
    ) -> None:
        """Record a fact and evolve the state by it, unless the state `after` it is known."""
        if id is None:
            record = self.record_fact(fact, at)
        else:
            self.facts.append(record := _build_fact_record(fact, id, at))
        if self.domain_state is not None:
            self.domain_state.by(self.machine.decider, fact, record, after)


_OUTCOMES: Final[dict[type[Fact] | None, str]] = {
    None: "applied",
    InputDuplicate: "duplicate",
    InputFailed: "failed",
    InputRefused: "refused",
}


def _pair_with_states(facts: Sequence[Fact]) -> Iterable[tuple[Fact, Any]]:
    """Return each fact with the state after it, or with None if it must be evolved."""
    states = facts.states if isinstance(facts, EvolvedFacts) else repeat(None, len(facts))
    return zip(facts, states, strict=True)


def _measure_facts(facts: Sequence[FactRecord]) -> int:
    """Return the size of facts in a Transaction."""
    return sum(len(orjson.dumps(fact.dump())) + 1 for fact in facts)


def _build_fact_record(fact: Fact, id: str, at: Instant) -> FactRecord:
    cls = type(fact)
    if (wire := _wire_types.get(cls)) is None:
        wire = _wire_types.setdefault(cls, cls.wire_type())
    data: dict[str, Any] = cls.__pydantic_serializer__.to_python(fact, mode="json")
    return FactRecord(wire, id, at, data)


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
        if (answer := step.not_open(message)) is not None:
            return answer
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
        domain_state = None if state is None else DomainState(state.domain, state.closed)
        for record in transaction.facts:
            fact = record.message()
            if type(fact) in FACTS_WITHOUT_EFFECT:
                outcome = type(fact)
            elif type(fact) is RealmOpened:
                state = self.open_realm(transaction.realm, fact, record)
                domain_state = DomainState(state.domain, False)
            elif domain_state is not None:
                domain_state.by(self.decider, fact, record)
        if state is None or domain_state is None:
            return None
        source = transaction.src
        place = None if source.place is None else Place.parse(source.place)
        return advance_realm_state(
            self.decider,
            state,
            domain_state,
            source.id,
            place,
            source.place_hash,
            transaction.at,
            outcome,
        )

    def open_realm(self, realm: str, fact: RealmOpened, record: FactRecord) -> RealmState[S]:
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
