"""Fold, follow and append to the chain of one log partition, as pure values.

A record carries `seq` and `prev`, the hash of the last accepted record. Every reader accepts a
record only if both continue the chain and its `logic` is not older. So all readers accept the same
records, from any writer, and the writer of an accepted record had folded exactly the history before
it. Safety needs no membership, epoch, lease or clock. See `docs/explanation/log-protocol.md`, rules
1 to 6.
"""

from dataclasses import replace
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from schemas.base import Instant, UnknownType
from schemas.runtime import LossDeclared, Rebased
from schemas.topics import is_published, is_urgent
from schemas.wire import Place
from services.runtime.decider.inputs import InputRecord, Refusal
from services.runtime.decider.machine import AppliedInput, Machine
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import RealmState, Watermark
from services.runtime.log.transaction import (
    GENESIS,
    MAX_TRANSACTION_BYTES,
    FactRecord,
    Transaction,
    TransactionSource,
    compute_digest,
)
from services.runtime.process.exits import Stop

S = TypeVar("S")

NO_MARKS: Final[Map[str, Watermark]] = Map()
MAX_IN_FLIGHT: Final = 2000
"""Limit of sent, unacknowledged appends of one writer.

No zombie can leave more ignored records in a row.
"""
MAX_IGNORED_RUN: Final = 2 * MAX_IN_FLIGHT
"""Number of ignored records in a row that no zombie can leave.

A reader exits with `chain.stuck` if so many are written while it reads. Records that lay there
before it started do no harm: their writer has stopped, or is still writing and is noticed then.
"""
_CHAIN_FACTS: Final = {LossDeclared.wire_type(), Rebased.wire_type()}


class Position(NamedTuple):
    """Position of a reader in one log partition.

    A reader must keep `(history, next, seq, hash, tail)` to resume.
    """

    history: int = 0
    """Number of LossDeclared and Rebased records."""
    next: int = 0
    """Offset of the next record to read."""
    seq: int = 0
    hash: str = GENESIS
    """Hash of the last accepted record."""
    tail: str = ""
    """Hash of the record at `next - 1`, accepted or not."""
    logic: int = 0
    head_offset: int = -1
    """Offset of the last accepted record."""
    applied: int = -1
    """Offset of the last applied input."""
    applied_digest: str = ""
    """`compute_input_digest` of the input at `applied`; empty after Rebased."""
    urgent: int = -1
    """Offset of the last input applied from the urgent lane."""
    urgent_digest: str = ""
    """`compute_input_digest` of the input at `urgent`; empty after Rebased."""
    ignored: int = 0
    """Number of records since the beginning that did not continue the chain."""
    ignored_run: int = 0
    """Number of ignored records since the last accepted one."""
    marks: Map[str, Watermark] = NO_MARKS
    """Source service → newest fact forwarded by its publisher (not by the conductor)."""

    def applied_in(self, topic: str) -> tuple[int, str]:
        """Return offset and digest of the last input applied from an input topic."""
        return (
            (self.urgent, self.urgent_digest)
            if is_urgent(topic)
            else (self.applied, self.applied_digest)
        )


def advance_position(
    at: Position, offset: int, raw: bytes | None, logic: int
) -> tuple[Position, Transaction | None]:
    """Return the position after one record, and its Transaction if the record is accepted.

    Every reader applies this rule. `logic` is the newest version that the reader knows. Raises Stop
    (`logic.newer`).
    """
    try:
        transaction = Transaction.load(raw or b"")
        continues = (
            transaction.seq == at.seq + 1
            and transaction.prev == at.hash
            and transaction.logic >= at.logic
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        continues = False  # Not a Transaction at all
    if not continues:
        next_position = at._replace(
            next=offset + 1,
            tail=compute_digest(raw),
            ignored=at.ignored + 1,
            ignored_run=at.ignored_run + 1,
        )
        return next_position, None
    if transaction.logic > logic:
        raise Stop(
            "logic.newer",
            f"log record {offset} was written by logic {transaction.logic}, this program knows {logic}",
        )
    return _advance_accepted(at, offset, compute_digest(raw), transaction), transaction


def _advance_accepted(at: Position, offset: int, hash: str, transaction: Transaction) -> Position:
    source = transaction.src
    applied_offset, applied_digest = at.applied, at.applied_digest
    in_urgent, urgent_digest, marks = at.urgent, at.urgent_digest, at.marks
    if source.type not in _CHAIN_FACTS and is_urgent(source.topic):
        in_urgent, urgent_digest = source.offset, source.digest
    elif source.type not in _CHAIN_FACTS:
        applied_offset, applied_digest = source.offset, source.digest
    if source.type == Rebased.wire_type():
        rebase = transaction.facts[0].data
        applied_offset, applied_digest = int(rebase["next_offset"]) - 1, ""
        if rebase.get("urgent_next_offset") is not None:
            in_urgent, urgent_digest = int(rebase["urgent_next_offset"]) - 1, ""
    if source.place is not None and source.place_hash is not None:
        mark = Watermark(Place.parse(source.place), source.place_hash)
        newest = marks.get(mark.place.service)
        if is_published(mark.place.service, transaction.service, transaction.realm) and (
            newest is None or newest.place < mark.place
        ):
            marks = marks.set(mark.place.service, mark)
    return Position(
        transaction.history,
        offset + 1,
        transaction.seq,
        hash,
        hash,
        transaction.logic,
        offset,
        applied_offset,
        applied_digest,
        in_urgent,
        urgent_digest,
        at.ignored,
        0,
        marks,
    )


class ChainView(NamedTuple, Generic[S]):
    """A folded chain: the position and the state of every realm of the partition."""

    position: Position
    realms: Map[str, RealmState[S]]


class PreparedAppend(NamedTuple):
    """A record that is ready to be sent."""

    transaction: Transaction
    raw: bytes
    expected_offset: int
    """Offset that the broker's acknowledgement must show."""
    outcome: str


def create_empty_view() -> ChainView[Any]:
    """Return the view before the first record."""
    return ChainView(Position(), Map())


def fold_record(
    machine: Machine[S], view: ChainView[S], offset: int, raw: bytes | None
) -> ChainView[S]:
    """Return the view after one record of the log.

    Raises Stop (`logic.newer`), also for a fact that this program does not know.
    """
    position, transaction = advance_position(view.position, offset, raw, machine.logic)
    if transaction is None:
        return ChainView(position, view.realms)
    return ChainView(position, _evolve_realms(machine, view.realms, transaction))


def _evolve_realms(
    machine: Machine[S], realms: Map[str, RealmState[S]], transaction: Transaction
) -> Map[str, RealmState[S]]:
    try:
        if transaction.src.type in _CHAIN_FACTS:
            with realms.mutate() as changes:
                for name, state in realms.items():
                    changes[name] = machine.shaken(state, transaction.facts[0])
                return changes.finish()
        before = realms.get(transaction.realm)
        after = machine.evolve(before, transaction)
    except (UnknownType, ValidationError) as error:
        raise Stop(
            "logic.newer",
            f"log record with seq {transaction.seq} holds a fact that this program does not know: {error}",
        ) from error
    return realms if after is before or after is None else realms.set(transaction.realm, after)


def apply_input(
    machine: Machine[S],
    view: ChainView[S],
    record: InputRecord,
    run: str,
    refusal: Refusal | None = None,
) -> tuple[ChainView[S], PreparedAppend]:
    """Apply the next input and return the new view with the record to append.

    `record.offset` must follow the last one applied from its lane. If the facts of deadlines leave
    too little room for those of the input, the deadlines stay due, because the input itself is
    sound. Facts that still do not fit into a Transaction, or into JSON, make the input fail like an
    exception in `decide`. A `refusal` says that the record is not one of ours and must be refused.
    """
    at = view.position
    state = view.realms.get(machine.realm_of(record))
    applied_input = machine.apply(state, record, history=at.history, refusal=refusal)
    transaction, raw, unwritable = _build_record(machine, at, applied_input, run)
    if unwritable is not None:
        applied_input = machine.apply(state, record, history=at.history, firing_bytes=0)
        transaction, raw, unwritable = _build_record(machine, at, applied_input, run)
    if unwritable is not None:
        applied_input = machine.apply(state, record, history=at.history, unwritable=unwritable)
        transaction = _build_transaction(machine, at, applied_input, run)
        raw = transaction.dump()
    realms = view.realms
    if applied_input.state is not None and applied_input.state is not state:
        realms = realms.set(applied_input.realm, applied_input.state)
    position = _advance_accepted(at, at.next, compute_digest(raw), transaction)
    return ChainView(position, realms), PreparedAppend(
        transaction, raw, at.next, applied_input.outcome
    )


def _build_record(
    machine: Machine[S], at: Position, applied_input: AppliedInput[S], run: str
) -> tuple[Transaction, bytes, str | None]:
    """Return the record, its bytes, and the reason if they cannot be written."""
    transaction = _build_transaction(machine, at, applied_input, run)
    try:
        raw = transaction.dump()
    except TypeError as error:
        return transaction, b"", f"the facts are no JSON: {error}"
    too_large = (
        f"the Transaction has more than {MAX_TRANSACTION_BYTES} bytes"
        if len(raw) > MAX_TRANSACTION_BYTES
        else None
    )
    return transaction, raw, too_large


def _build_transaction(
    machine: Machine[S], at: Position, applied_input: AppliedInput[S], run: str
) -> Transaction:
    source = applied_input.source
    if is_urgent(source.topic):
        source = replace(source, beside=at.applied)
    elif at.urgent >= 0:
        source = replace(source, beside=at.urgent)
    return Transaction(
        machine.logic,
        at.seq + 1,
        at.hash,
        at.history,
        run,
        machine.service,
        applied_input.realm,
        applied_input.lineage,
        source,
        applied_input.at,
        applied_input.facts,
        applied_input.next_due,
    )


def build_declaration(
    service: str,
    logic: int,
    at: Position,
    fact: LossDeclared | Rebased,
    *,
    partition: int,
    now: Instant,
    run: str,
    history: int,
) -> bytes:
    """Return the chained record of an operator's declaration.

    It concerns every realm of the partition (`services.runtime.log.repair`). `history` is the new
    count, above that of `at`.
    """
    wire = fact.wire_type()
    id = f"{wire}/{run}"
    source = TransactionSource("", partition, -1, "", id, wire, "vigie:repair", now, id, id)
    record = FactRecord(wire, id, now, fact.model_dump(mode="json"))
    return Transaction(
        max(logic, at.logic),
        at.seq + 1,
        at.hash,
        history,
        run,
        service,
        "",
        "",
        source,
        now,
        (record,),
        None,
    ).dump()


def dump_position(at: Position) -> dict[str, Any]:
    """Return the JSON form of a position, for manifests and kept reader positions."""
    marks = {service: [str(mark.place), mark.hash] for service, mark in at.marks.items()}
    return {
        "history": at.history,
        "next": at.next,
        "seq": at.seq,
        "hash": at.hash,
        "tail": at.tail,
        "logic": at.logic,
        "head_offset": at.head_offset,
        "applied": at.applied,
        "applied_digest": at.applied_digest,
        "urgent": at.urgent,
        "urgent_digest": at.urgent_digest,
        "ignored": at.ignored,
        "ignored_run": at.ignored_run,
        "marks": marks,
    }


def load_position(dump: dict[str, Any]) -> Position:
    """Load a position that `dump_position` dumped. Raises KeyError, ValueError, TypeError."""
    marks = Map(
        {
            service: Watermark(Place.parse(place), hash)
            for service, (place, hash) in dump["marks"].items()
        }
    )
    return Position(**{**dump, "marks": marks})


def build_place(transaction: Transaction, partition: int, ordinal: int) -> Place:
    """Return the position of a fact of an accepted Transaction."""
    return Place(transaction.service, partition, transaction.history, transaction.seq, ordinal)
