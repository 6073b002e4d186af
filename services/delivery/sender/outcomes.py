"""Slots for provider calls, and their outcomes, which go to the log.

A run may have claimed and not finished a number of attempts at once. Outcomes of calls that end
together share one input.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from schemas.base import Message
from schemas.delivery import AttemptOutcome, AttemptOutcomes, NotificationRow
from schemas.words import Channel
from services.delivery.notifications.channel_policies import is_never_waiting
from services.runtime.log.transaction import Transaction

log = structlog.get_logger(__name__)
ATTEMPTS_PER_INPUT: Final = 16
"""Attempts in one input: the rows of all of them must fit into one record."""
_UNPROCESSED_FACTS: Final = frozenset({"InputRefused", "InputFailed"})
SendInput = Callable[[str, Message, str, str, str | None], Coroutine[None, None, bool]]
"""Realm, message, id of the input, correlation id, traceparent → True once Kafka has it."""
SlotRoom = tuple[str, Channel, bool]
"""Each channel of a realm has two rooms: one for messages that never wait, one for the rest.

So a provider that is slower than declared keeps no danger behind a call-out, and no realm behind
the calls of another. Rule D140.
"""


def get_room(realm: str, row: NotificationRow) -> SlotRoom:
    """Return the room where the newest attempt of this notification needs a slot."""
    return realm, row.attempts[-1].channel, is_never_waiting(row)


@dataclass
class CallSlots:
    """Slots in use, at most `calls_at_once` in each room."""

    calls_at_once: int
    _rooms: dict[str, SlotRoom] = field(default_factory=dict)
    """Attempt → the room in which it holds a slot."""
    _slots_in_use: Counter[SlotRoom] = field(default_factory=Counter)

    def reserve(self, attempt: str, room: SlotRoom) -> bool:
        """Take a slot for the attempt; return False if the room is full."""
        if attempt in self._rooms:
            return True
        if not self.has_place(room):
            return False
        self._rooms[attempt] = room
        self._slots_in_use[room] += 1
        return True

    def has_place(self, room: SlotRoom) -> bool:
        """Check whether the room has a free slot."""
        return self._slots_in_use[room] < self.calls_at_once

    def free(self, attempt: str) -> None:
        """Free the slot of an attempt; without effect if it holds none."""
        room = self._rooms.pop(attempt, None)
        if room is not None:
            self._slots_in_use[room] -= 1

    def keep(self, attempts: Collection[str]) -> None:
        """Free the slots of all other attempts."""
        for attempt in [one for one in self._rooms if one not in attempts]:
            self.free(attempt)


@dataclass(eq=False, slots=True)
class EndedCall:
    """A call that has ended."""

    realm: str
    outcome: AttemptOutcome
    channel: Channel
    correlation_id: str
    traceparent: str | None
    is_sent: bool = False
    """Kafka has the outcome."""


def is_unprocessed(transaction: Transaction) -> bool:
    """Check whether the decider could not process an input.

    A worker of an earlier version does not know inputs of several attempts, and rows may be too
    large for one record.
    """
    return any(fact.name in _UNPROCESSED_FACTS for fact in transaction.facts)


class OutcomeReporter:
    """Sender of outcomes; outcomes that gather during a send leave together in the next one."""

    def __init__(
        self, run: str, send: SendInput, on_handover: Callable[[Sequence[str]], None]
    ) -> None:
        """Configure a run. `on_handover` gets the attempts with outcomes that the producer has.

        Inputs sent afterwards follow them in the log, so a run that is killed then leaves no more
        in doubt.
        """
        self._run = run
        self._send = send
        self._handed = on_handover
        self._waiting: deque[EndedCall] = deque()
        self._parcel_sent: asyncio.Event | None = None
        """Event of the running send, set once Kafka has the input; None if nothing is sent."""
        self._parcels: dict[str, list[EndedCall]] = {}
        """Id of an input → the outcomes in it, until the log holds it."""
        self._together = ATTEMPTS_PER_INPUT

    async def report(self, call: EndedCall) -> None:
        """Report an outcome; return once Kafka has it, however long the broker is away."""
        self._waiting.append(call)
        while not call.is_sent:
            if self._parcel_sent is not None:
                await self._parcel_sent.wait()
                continue
            parcel_event = self._parcel_sent = asyncio.Event()
            try:
                await self._send_next()
            finally:
                self._parcel_sent = None
                parcel_event.set()

    def list_unprocessed_outcomes(self, transaction: Transaction) -> list[EndedCall]:
        """Return the outcomes of an unprocessed input, to be reported again one by one."""
        parcel = self._parcels.pop(transaction.src.id, [])
        if not parcel or not is_unprocessed(transaction):
            return []
        self._together = 1
        log.warning("outcomes.unread", realm=transaction.realm, count=len(parcel))
        return [
            EndedCall(one.realm, one.outcome, one.channel, one.correlation_id, one.traceparent)
            for one in parcel
        ]

    async def _send_next(self) -> None:
        await asyncio.sleep(0)  # calls that ended at the same moment come in
        first = self._waiting.popleft()
        parcel = [first]
        while (
            self._waiting and self._waiting[0].realm == first.realm and len(parcel) < self._together
        ):
            parcel.append(self._waiting.popleft())
        _log_outcomes(parcel)
        if len(parcel) == 1:
            message: Message = first.outcome
            input_id = f"{first.outcome.attempt}:outcome:{self._run}"
        else:
            message = AttemptOutcomes(outcomes=tuple(one.outcome for one in parcel))
            input_id = f"{first.outcome.attempt}:outcomes:{self._run}"
            self._parcels[input_id] = parcel
        envelope = (first.realm, message, input_id, first.correlation_id, first.traceparent)
        sending = asyncio.ensure_future(self._send(*envelope))
        await asyncio.sleep(0)  # now the producer has it
        self._handed([one.outcome.attempt for one in parcel])
        is_delivered = await sending
        while not is_delivered:
            is_delivered = await self._send(*envelope)
        for one in parcel:
            one.is_sent = True


def _log_outcomes(parcel: list[EndedCall]) -> None:
    """Log one line for all calls that have ended."""
    first = parcel[0]
    if len(parcel) == 1:
        log.info(
            "attempt.ended",
            realm=first.realm,
            notification=first.outcome.notification,
            attempt=first.outcome.attempt,
            channel=first.channel.value,
            outcome=first.outcome.outcome,
            error=first.outcome.error,
            correlation_id=first.correlation_id,
        )
        return
    outcome_counts = Counter(
        f"{one.channel.value} {one.outcome.error or one.outcome.outcome}" for one in parcel
    )
    log.info(
        "attempts.ended",
        realm=first.realm,
        outcomes=dict(outcome_counts),
        notifications=[one.outcome.notification for one in parcel],
    )
