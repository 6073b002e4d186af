"""What came into a realm from outside, read back from its logs and inputs: reports, decisions, reference data, and how people answered.

The answers of the planner are among it for their moment alone: people decide while it computes. Words that are no answer are not: nobody is told
by them but their writer.

Everything else in the inputs (forwarded facts, steps, claims and outcomes of the sender) follows from these and is made again by a replay.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from schemas.base import Instant, Message, parse_open
from schemas.commands import AnswerNotification
from schemas.delivery import (
    AttemptOutcome,
    AttemptOutcomes,
    ClaimAttempt,
    ClaimAttempts,
    NotificationRow,
    ReceiptReceived,
    ReplyUnread,
)
from schemas.realms import partition_of
from schemas.reference import PublishReference
from schemas.runtime import (
    CONDUCTOR,
    CloseRealm,
    LossDeclared,
    OpenRealm,
    RealmOpened,
    Rebased,
    SetPace,
    StepRequested,
    StepSettled,
    StepTo,
    Tick,
)
from schemas.topics import PARTITIONS, SERVICES, inputs, lanes
from services.runtime.decider.inputs import input_digest
from services.runtime.kafka.clients import iso
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.reader import LogReader
from services.runtime.log.transaction import FactRecord, Transaction
from services.runtime.worker.recovery import record_of

_MADE_AGAIN: Final = frozenset(
    m.wire_type()
    for m in (
        OpenRealm,
        CloseRealm,
        SetPace,
        StepTo,
        StepRequested,
        StepSettled,
        Tick,
        LossDeclared,
        Rebased,
        ClaimAttempt,
        ClaimAttempts,
        AttemptOutcome,
        AttemptOutcomes,
        ReceiptReceived,
        ReplyUnread,
        AnswerNotification,
    )
)
_WITHOUT_EFFECT: Final = frozenset({"InputDuplicate", "InputFailed", "InputRefused"})
Line = dict[str, str | int | float | bool | None]


class NotRecorded(LookupError):
    """The logs hold no such realm, or no such position."""


@dataclass(frozen=True, slots=True)
class Outside:
    """One input from outside, as it was applied."""

    service: str
    seq: int
    id: str
    at: Instant
    """The realm's clock after it."""
    appended_at: Instant
    message: Message


@dataclass(frozen=True, slots=True)
class Fork:
    """Where another history begins."""

    number: int
    """Index of the first input behind it."""
    at: Instant | None = None
    """What time it is there; None: that of the input before."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The outside of a realm, in the order in which it came."""

    realm: str
    opened: RealmOpened
    outside: tuple[Outside, ...]
    end: Instant
    """The latest time that any of its logs has reached."""
    facts: tuple[FactRecord, ...]
    responders: tuple[Line, ...]
    """How people answered, as lines of a responders file (docs/reference/responders.md), before those of the realm itself."""

    @property
    def crisis(self) -> bool:
        """Somebody reported something."""
        return any(o.message.wire_type().startswith("vigie.ReportReceived.") for o in self.outside)

    def position(self, text: str) -> Fork | None:
        """Behind a position `SERVICE/SEQ`; None: before the realm had its reference data, which is its beginning. Raises NotRecorded."""
        service, _, number = text.partition("/")
        if service not in SERVICES or not number.isdecimal():
            raise NotRecorded(f"{text!r} is no log position: SERVICE/SEQ, e.g. alerts/120")
        before = [o for o in self.outside if o.service == service and o.seq <= int(number)]
        moment = before[-1].appended_at if before else 0
        later = (
            n
            for n, o in enumerate(self.outside)
            if o.appended_at > moment or (o.service == service and o.seq > int(number))
        )
        return self._behind(Fork(next(later, len(self.outside))))

    def moment(self, at: Instant) -> Fork | None:
        """At a time; None: before the realm had its reference data. Raises NotRecorded for one that it did not reach."""
        if at > self.end:
            raise NotRecorded(f"{self.realm} is recorded until {iso(self.end)} only")
        return self._behind(
            Fork(next((n for n, o in enumerate(self.outside) if o.at > at), len(self.outside)), at)
        )

    def _behind(self, fork: Fork) -> Fork | None:
        first = next(
            (o.message.reference for o in self.outside if isinstance(o.message, PublishReference)),
            None,
        )
        furnished = (
            isinstance(o.message, PublishReference) and o.message.reference == first
            for o in self.outside[fork.number :]
        )
        return None if any(furnished) else fork


async def realms_of(kafka: str) -> list[str]:
    """Every realm that was opened, live ones first. Raises KafkaError, Stop."""
    return sorted(await opened_at(kafka), key=lambda realm: ("~" in realm, realm))


async def opened_at(kafka: str) -> dict[str, Instant]:
    """Every realm that was opened, and when: a command to a name that is none stands in the log, too. Raises KafkaError, Stop."""
    found: dict[str, Instant] = {}
    async with LogReader(kafka, SERVICES[0], partitions=range(PARTITIONS)) as reader:
        async for accepted in reader.read_to_end():
            if any(fact.name == "RealmOpened" for fact in accepted.transaction.facts):
                found.setdefault(accepted.transaction.realm, accepted.transaction.src.appended_at)
    return found


async def read_recording(kafka: str, realm: str) -> Recording:
    """The recording of a realm. Raises NotRecorded, KafkaError, Stop."""
    partition = partition_of(realm, PARTITIONS)
    outside: list[Outside] = []
    facts: list[FactRecord] = []
    end, answers = 0, list[tuple[Instant, AnswerNotification]]()
    for service in SERVICES:
        async with LogReader(kafka, service, partitions=[partition]) as reader:
            transactions = [
                a.transaction async for a in reader.read_to_end() if a.transaction.realm == realm
            ]
        facts += [f for tx in transactions for f in tx.facts]
        end = max([end, *(tx.at for tx in transactions)])
        wanted = {tx.src.digest: tx for tx in transactions if _is_outside(tx)}
        async with PartitionReader(kafka) as reader_:
            async for found in _inputs_of(reader_, service, partition):
                tx = wanted.pop(input_digest(record_of(found)), None)
                if tx is None:
                    continue
                message = parse_open(tx.src.type, found.value)
                if isinstance(message, AnswerNotification):
                    answers.append((tx.at, message))
                else:
                    outside.append(
                        Outside(service, tx.seq, tx.src.id, tx.at, tx.src.appended_at, message)
                    )
        if wanted:
            raise NotRecorded(
                f"{len(wanted)} inputs of {realm} are no longer in {inputs(service)}: it cannot be replayed"
            )
    opened = next((f.message() for f in facts if f.name == "RealmOpened"), None)
    if not isinstance(opened, RealmOpened):
        raise NotRecorded(f"no realm {realm} in the logs")
    outside = _as_decided(outside)
    return Recording(
        realm, opened, tuple(outside), end, tuple(facts), tuple(_behaviour(facts, answers))
    )


def _as_decided(outside: list[Outside]) -> list[Outside]:
    """Return the inputs by append time, those of one decider in the order in which it decided them: the urgent lane overtakes.

    An input that was overtaken counts as appended when the one before it was.
    """
    newest, found = dict[str, Instant](), list[Outside]()
    for one in sorted(outside, key=lambda o: o.seq):
        newest[one.service] = max(newest.get(one.service, one.appended_at), one.appended_at)
        found.append(replace(one, appended_at=newest[one.service]))
    return sorted(found, key=lambda o: (o.appended_at, SERVICES.index(o.service), o.seq))


async def _inputs_of(reader: PartitionReader, service: str, partition: int) -> AsyncIterator[Any]:
    """Read every record of each lane of a decider's input."""
    for topic in lanes(service):
        async for found in reader.read(topic, await reader.bounds(topic, [partition])):
            yield found


def _is_outside(tx: Transaction) -> bool:
    if tx.src.place is not None or _WITHOUT_EFFECT & {f.name for f in tx.facts}:
        return False
    if tx.src.type == AnswerNotification.wire_type():
        return tx.src.source != CONDUCTOR  # a person, not a simulated one
    return tx.src.type not in _MADE_AGAIN


def _behaviour(
    facts: Iterable[FactRecord], answers: Iterable[tuple[Instant, AnswerNotification]]
) -> list[Line]:
    """What each person did with each message, most exact lines first; a person who answered once answers other messages as fast.

    A person of whom nothing is known answers nothing, as in an exercise without a responders file.
    """
    rows: dict[str, NotificationRow] = {}
    for fact in facts:
        if fact.name == "NotificationChanged":
            rows[fact.data["row"]["id"]] = NotificationRow.model_validate(fact.data["row"])
    exact: list[Line] = []
    unreached = _channels(rows.values())
    general: dict[str, Line] = {}
    for at, answer in answers:
        row = rows.get(answer.notification)
        if row is None:
            continue
        after = max((at - next((a.planned_at for a in row.attempts), row.planned_at)) / 1000, 0)
        said: Line = {"person": row.person, "answer": answer.answer.value, "after_s": after}
        exact.append(
            said | {"role": row.role, "scope": row.scope, "level": int(row.level), "wave": row.wave}
        )
        general.setdefault(row.person, said)
    return [*(_known(line) for line in exact), *unreached, *general.values()]


def _channels(rows: Iterable[NotificationRow]) -> list[Line]:
    """Channels by which a person was never reached: the replay tries the next one, as it was."""
    words: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        for attempt in row.attempts:
            words.setdefault((row.person, attempt.channel.value), set()).add(attempt.state)
    return [
        {"person": person, "channel": channel, "outcome": "failed"}
        for (person, channel), states in sorted(words.items())
        if "failed" in states and not states & {"accepted", "received"}
    ]


def _known(line: Line) -> Line:
    return {name: value for name, value in line.items() if value is not None}


def is_reference(outside: Outside) -> bool:
    """A section of reference data."""
    return isinstance(outside.message, PublishReference)
