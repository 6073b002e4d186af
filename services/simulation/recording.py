"""Read the outside inputs of a realm back from its logs and input topics.

These are reports, decisions, reference data and answers of people. Answers of the planner count for
their time only, because people decide while it computes. Replies that are no answer, and the
readings of texts, are left out. A replay derives all other inputs again (forwarded facts, steps,
claims and outcomes of the sender).
"""

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
    TextRead,
)
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
from schemas.topics import PARTITION_COUNT, SERVICES, input_topic, input_topics, partition_of
from services.runtime.decider.inputs import compute_input_digest, convert_record
from services.runtime.kafka.clients import format_time
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.reader import LogReader
from services.runtime.log.transaction import FactRecord, Transaction

_DERIVED_INPUTS: Final = frozenset(
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
        TextRead,
        AnswerNotification,
    )
)
_WITHOUT_EFFECT: Final = frozenset({"InputDuplicate", "InputFailed", "InputRefused"})
ResponderFields = dict[str, str | int | float | bool | None]


class NotRecorded(LookupError):
    """Signal that the logs hold no such realm or position."""


@dataclass(frozen=True, slots=True)
class OutsideInput:
    """One outside input as it was applied."""

    service: str
    seq: int
    id: str
    at: Instant
    """Clock of the realm after this input."""
    appended_at: Instant
    message: Message


@dataclass(frozen=True, slots=True)
class ForkPoint:
    """Point where another history begins."""

    number: int
    """Index of the first input after the fork."""
    at: Instant | None = None
    """Time of the fork; None: the time of the input before."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Outside inputs of a realm in the order of arrival."""

    realm: str
    opening: RealmOpened
    outside: tuple[OutsideInput, ...]
    end: Instant
    """Latest time that any of its logs has reached."""
    facts: tuple[FactRecord, ...]
    responders: tuple[ResponderFields, ...]
    """Behaviour of people, as lines of a responders file (docs/reference/responders.md).

    They precede the responders of the realm itself.
    """

    @property
    def crisis(self) -> bool:
        """True if the realm received a report."""
        return any(o.message.wire_type().startswith("vigie.ReportReceived.") for o in self.outside)

    def position(self, text: str) -> ForkPoint | None:
        """Find the fork after a position `SERVICE/SEQ`.

        Returns None if it lies before the reference data, the beginning of the realm. Raises
        NotRecorded.
        """
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
        return self._behind(ForkPoint(next(later, len(self.outside))))

    def moment(self, at: Instant) -> ForkPoint | None:
        """Find the fork at a time.

        Returns None if it lies before the reference data. Raises NotRecorded for a time after the
        end.
        """
        if at > self.end:
            raise NotRecorded(f"{self.realm} is recorded until {format_time(self.end)} only")
        return self._behind(
            ForkPoint(
                next((n for n, o in enumerate(self.outside) if o.at > at), len(self.outside)), at
            )
        )

    def _behind(self, fork: ForkPoint) -> ForkPoint | None:
        first = next(
            (o.message.reference for o in self.outside if isinstance(o.message, PublishReference)),
            None,
        )
        is_first_reference = (
            isinstance(o.message, PublishReference) and o.message.reference == first
            for o in self.outside[fork.number :]
        )
        return None if any(is_first_reference) else fork


async def list_realms(kafka: str) -> list[str]:
    """List every opened realm, live ones first.

    Raises KafkaError and Stop.
    """
    return sorted(await read_opening_times(kafka), key=lambda realm: ("~" in realm, realm))


async def read_opening_times(kafka: str) -> dict[str, Instant]:
    """Map every opened realm to its opening time.

    Names of commands alone do not count: a command to an unknown realm is in the log, too. Raises
    KafkaError and Stop.
    """
    opening_times: dict[str, Instant] = {}
    async with LogReader(kafka, SERVICES[0], partitions=range(PARTITION_COUNT)) as reader:
        async for record in reader.read_to_end():
            if any(fact.name == "RealmOpened" for fact in record.transaction.facts):
                opening_times.setdefault(
                    record.transaction.realm, record.transaction.src.appended_at
                )
    return opening_times


async def read_recording(kafka: str, realm: str) -> Recording:
    """Read the recording of a realm.

    Raises NotRecorded, KafkaError and Stop.
    """
    partition = partition_of(realm, PARTITION_COUNT)
    outside: list[OutsideInput] = []
    facts: list[FactRecord] = []
    end, answers = 0, list[tuple[Instant, AnswerNotification]]()
    for service in SERVICES:
        async with LogReader(kafka, service, partitions=[partition]) as reader:
            transactions = [
                a.transaction async for a in reader.read_to_end() if a.transaction.realm == realm
            ]
        facts += [f for tx in transactions for f in tx.facts]
        end = max([end, *(tx.at for tx in transactions)])
        by_input_digest = {tx.src.digest: tx for tx in transactions if _is_outside(tx)}
        async with PartitionReader(kafka) as reader_:
            async for input_record in _read_inputs(reader_, service, partition):
                tx = by_input_digest.pop(compute_input_digest(convert_record(input_record)), None)
                if tx is None:
                    continue
                message = parse_open(tx.src.type, input_record.value)
                if isinstance(message, AnswerNotification):
                    answers.append((tx.at, message))
                else:
                    outside.append(
                        OutsideInput(service, tx.seq, tx.src.id, tx.at, tx.src.appended_at, message)
                    )
        if by_input_digest:
            raise NotRecorded(
                f"{len(by_input_digest)} inputs of {realm} are no longer in {input_topic(service)}: it cannot be replayed"
            )
    opening = next((f.message() for f in facts if f.name == "RealmOpened"), None)
    if not isinstance(opening, RealmOpened):
        raise NotRecorded(f"no realm {realm} in the logs")
    outside = _sort_as_decided(outside)
    return Recording(
        realm,
        opening,
        tuple(outside),
        end,
        tuple(facts),
        tuple(_describe_behaviour(facts, answers)),
    )


def _sort_as_decided(outside: list[OutsideInput]) -> list[OutsideInput]:
    """Sort inputs by append time; keep the decision order within each decider.

    The urgent lane overtakes. An overtaken input counts as appended with the one before it.
    """
    newest, dated_inputs = dict[str, Instant](), list[OutsideInput]()
    for one in sorted(outside, key=lambda o: o.seq):
        newest[one.service] = max(newest.get(one.service, one.appended_at), one.appended_at)
        dated_inputs.append(replace(one, appended_at=newest[one.service]))
    return sorted(dated_inputs, key=lambda o: (o.appended_at, SERVICES.index(o.service), o.seq))


async def _read_inputs(reader: PartitionReader, service: str, partition: int) -> AsyncIterator[Any]:
    """Read every record of each lane of a decider's input."""
    for topic in input_topics(service):
        async for input_record in reader.read(topic, await reader.bounds(topic, [partition])):
            yield input_record


def _is_outside(tx: Transaction) -> bool:
    if tx.src.place is not None or _WITHOUT_EFFECT & {f.name for f in tx.facts}:
        return False
    if tx.src.type == AnswerNotification.wire_type():
        return tx.src.source != CONDUCTOR  # A person, not a simulated one.
    return tx.src.type not in _DERIVED_INPUTS


def _describe_behaviour(
    facts: Iterable[FactRecord], answers: Iterable[tuple[Instant, AnswerNotification]]
) -> list[ResponderFields]:
    """Describe the answers of each person as responder lines, most exact lines first.

    A person with one answer answers other messages with the same delay. All others never answer, as
    in an exercise without a responders file.
    """
    rows: dict[str, NotificationRow] = {}
    for fact in facts:
        if fact.name == "NotificationChanged":
            rows[fact.data["row"]["id"]] = NotificationRow.model_validate(fact.data["row"])
    exact: list[ResponderFields] = []
    failed_channels = _list_failed_channels(rows.values())
    general: dict[str, ResponderFields] = {}
    for at, answer in answers:
        row = rows.get(answer.notification)
        if row is None:
            continue
        after = max((at - next((a.planned_at for a in row.attempts), row.planned_at)) / 1000, 0)
        responder_line: ResponderFields = {
            "person": row.person,
            "answer": answer.answer.value,
            "after_s": after,
        }
        exact.append(
            responder_line
            | {"role": row.role, "scope": row.scope, "level": int(row.level), "wave": row.wave}
        )
        general.setdefault(row.person, responder_line)
    return [*(_drop_none(line) for line in exact), *failed_channels, *general.values()]


def _list_failed_channels(rows: Iterable[NotificationRow]) -> list[ResponderFields]:
    """List the channels that never reached a person, so that the replay uses the next one, too."""
    words: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        for attempt in row.attempts:
            words.setdefault((row.person, attempt.channel.value), set()).add(attempt.state)
    return [
        {"person": person, "channel": channel, "outcome": "failed"}
        for (person, channel), states in sorted(words.items())
        if "failed" in states and not states & {"accepted", "received"}
    ]


def _drop_none(line: ResponderFields) -> ResponderFields:
    return {name: value for name, value in line.items() if value is not None}


def is_reference(outside: OutsideInput) -> bool:
    """Return whether the input is a section of reference data."""
    return isinstance(outside.message, PublishReference)
