"""The conductor of simulated realms: the next move as a pure function of the three logs.

Facts between alerts and continuity, and from alerts to delivery, run free (their publishers forward
them). Everything else in a simulated realm comes one move at a time, and only when nothing is
pending: due responses of the simulated sender, answers from delivery, `StepTo(t)` to alerts, then
continuity, then delivery. Before time moves on, the planner's answer to a request of a service
comes. A routed fact is pending as long as the receiver's log lacks it. The three logs are read side
by side, so a receiver's record may be seen before the record whose fact it took; the realm waits
for that record, too. So every speed, every crash and the deciders in memory give the same facts per
service. Ids of moves are derived from the logs: a restarted conductor sends the same move again,
and the receiver drops the duplicate.

Due responses go together. All are for delivery, and its facts leave it only by moves, so after a
crash the rest follows before anything else, in any case
(`docs/adr/0005-derive-the-conductors-moves-from-the-logs.md`). Steps of which only the last has an
effect also go together (`docs/adr/0038-group-clock-steps-without-effect.md`).
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from schemas.base import MINUTE_MS, Instant, Message
from schemas.runtime import PaceChanged, RealmOpened, StepAccepted, StepSettled, StepTo
from schemas.topics import SERVICES, is_live, is_published, list_destinations
from schemas.wire import Place
from services.runtime.log.transaction import FactRecord, Transaction

MAX_RESPONSES: Final = 500
"""Greatest number of responses in one group."""
TICK_S: Final = 1.0
"""Least real seconds between two steps where nothing is due."""
MAX_STEPS_AT_ONE_INSTANT = 10_000
"""Limit of steps at one instant, beyond which the realm counts as stuck.

A decider that never disarms a due deadline would hold the realm for ever.
"""


@dataclass(frozen=True, slots=True)
class SimulatedResponse:
    """Answer of a simulated recipient or provider, `after_ms` after the fact that caused it."""

    id: str
    after_ms: int
    message: Message


Responder = Callable[[FactRecord, RealmOpened], Sequence[SimulatedResponse]]
"""Returns the responses to one fact of delivery's log; pure.

Without responses: `lambda fact, realm: ()`.
"""


class PlannerJob(Protocol):
    """A request in a service's log for work that is computed outside the decider."""

    @property
    def realm(self) -> str: ...
    @property
    def id(self) -> str: ...


class SimulationPlanner(Protocol):
    """Slow work on request of one service, as a function of that service's log."""

    @property
    def service(self) -> str: ...
    def observe(self, transaction: Transaction) -> None:
        """Apply one accepted record of the service's log."""
        ...

    def job(self, realm: str) -> Any:
        """Return the open `PlannerJob` of a realm, or None."""
        ...

    def next_part(self, realm: str) -> int:
        """Return the number of the first part of the answer that the log lacks."""
        ...

    def solve(self, job: Any) -> Sequence[tuple[str, Message]]:
        """Return the answer: inputs in order, each with its id. Pure; may take seconds."""
        ...

    def forget(self, realm: str) -> None:
        """Forget a closed realm."""
        ...


@dataclass(frozen=True, slots=True)
class Move:
    """The next outside event of a realm: one record for the input of `service`."""

    realm: str
    service: str
    id: str
    message: Message
    at: Instant
    place: Place | None = None
    place_hash: str | None = None
    correlation_id: str | None = None

    @property
    def moves_time(self) -> bool:
        """True for a first step to a new instant.

        A realm with a speed waits only for such moves.
        """
        return isinstance(self.message, StepTo) and self.service == SERVICES[0]


@dataclass
class _ServiceState:
    seq: int = 0
    step_time: Instant | None = None
    next_due: Instant | None = None

    def due_by(self, at: Instant) -> bool:
        """Return whether a step to `at` has an effect on the service."""
        return self.next_due is not None and self.next_due <= at


@dataclass
class _RealmState:
    name: str
    opening: RealmOpened | None = None
    target: Instant | None = None
    step_requests: list[tuple[str, Instant]] = field(default_factory=list)
    is_paused: bool = False
    speed: float | None = None
    services: dict[str, _ServiceState] = field(
        default_factory=lambda: {s: _ServiceState() for s in SERVICES}
    )
    newest_places: dict[tuple[str, str], Place] = field(default_factory=dict)
    marks: dict[tuple[str, str], Place] = field(default_factory=dict)
    gated_facts: deque[tuple[Place, str, FactRecord, str]] = field(default_factory=deque)
    responses: list[tuple[Instant, int, str, Message]] = field(default_factory=list)
    answer_ids: set[str] = field(default_factory=set)
    early: list[FactRecord] = field(default_factory=list)
    order: int = 0
    in_flight: set[tuple[str, str]] = field(default_factory=set)
    repeats: int = 0
    stuck: bool = False
    is_closed: bool = False
    solution: tuple[str, Sequence[tuple[str, Message]]] = ("", ())
    """Id of the last job and its answer."""

    def forget(self) -> None:
        """Close the realm: it moves no more, and its pending moves are dropped.

        Later records of its services are ignored, too. A restarted conductor reads that the realm
        is closed before it reads all records of delivery.
        """
        self.is_closed, self.solution = True, ("", ())
        for collection in (
            self.step_requests,
            self.gated_facts,
            self.responses,
            self.answer_ids,
            self.early,
            self.in_flight,
            self.newest_places,
            self.marks,
        ):
            collection.clear()


class Conductor:
    """All simulated realms. Not thread-safe; no I/O."""

    def __init__(self, responder: Responder, planner: SimulationPlanner | None = None) -> None:
        """Create a conductor. Without a planner, requests for one stay unanswered."""
        self._responder, self.planner = responder, planner
        self._realms: dict[str, _RealmState] = {}
        self._read: dict[tuple[str, int], tuple[int, int]] = {}
        """(service, partition) → (history, number) of the newest record that was seen."""

    def observe(self, tx: Transaction, partition: int, record_hash: str) -> None:
        """Apply one accepted record of any of the three logs, in log order per service.

        Live realms are ignored.
        """
        self._read[tx.service, partition] = tx.history, tx.seq
        if is_live(tx.realm):
            return
        realm = self._realms.setdefault(tx.realm, _RealmState(tx.realm))
        if realm.is_closed:
            return
        service = realm.services[tx.service]
        service.seq, service.next_due = tx.seq, tx.next_due
        if tx.src.type == StepTo.wire_type():
            service.step_time = max(service.step_time or tx.at, tx.at)
        if tx.src.place:
            self._on_consumed(realm, tx.service, Place.parse(tx.src.place))
        if tx.service == "delivery":
            realm.answer_ids.add(tx.src.id)
        if tx.src.type == StepSettled.wire_type():
            realm.step_requests = [
                (c, to) for c, to in realm.step_requests if f"settled:{c}" != tx.src.id
            ]
        realm.in_flight.discard((tx.service, tx.src.id))
        if self.planner is not None and tx.service == self.planner.service:
            self.planner.observe(tx)
        for ordinal, fact in enumerate(tx.facts):
            self._on_emitted(
                realm,
                tx,
                fact,
                Place(tx.service, partition, tx.history, tx.seq, ordinal),
                record_hash,
            )

    def _on_consumed(self, realm: _RealmState, receiver: str, place: Place) -> None:
        route = (place.service, receiver)
        realm.marks[route] = max(realm.marks.get(route, place), place)
        while (
            realm.gated_facts
            and realm.gated_facts[0][1] == receiver
            and realm.gated_facts[0][0] <= realm.marks[route]
        ):
            realm.gated_facts.popleft()

    def _on_emitted(
        self, realm: _RealmState, tx: Transaction, fact: FactRecord, place: Place, record_hash: str
    ) -> None:
        for receiver in list_destinations(tx.logic, tx.service, fact.name, fact.data):
            if not is_published(tx.service, receiver, tx.realm):
                mark = realm.marks.get((tx.service, receiver))
                if mark is None or mark < place:
                    realm.gated_facts.append((place, receiver, fact, record_hash))
            else:
                realm.newest_places[tx.service, receiver] = place
        if tx.service == "delivery":
            self._respond_to(realm, fact)
        match fact.name:
            case "RealmOpened" if tx.service == "alerts":
                realm.opening = RealmOpened.model_validate(fact.data)
                realm.speed = realm.opening.speed
                early, realm.early = realm.early, []
                for before in early:
                    self._respond_to(realm, before)
            case "StepAccepted":
                step = StepAccepted.model_validate(fact.data)
                realm.target = max(realm.target or step.to, step.to)
                realm.step_requests.append((step.command_id, step.to))
            case "PaceChanged":
                pace = PaceChanged.model_validate(fact.data)
                realm.is_paused, realm.speed = pace.paused, pace.speed
            case "RealmClosed" if tx.service == "alerts":
                realm.forget()
                if self.planner is not None:
                    self.planner.forget(realm.name)

    def _respond_to(self, realm: _RealmState, fact: FactRecord) -> None:
        if realm.opening is None:  # Delivery's log was read before that of alerts
            realm.early.append(fact)
            return
        for response in self._responder(fact, realm.opening):
            realm.order += 1
            heapq.heappush(
                realm.responses,
                (fact.at + response.after_ms, realm.order, response.id, response.message),
            )

    def knows(self, realm: str) -> bool:
        """Return whether a record of this simulated realm was seen."""
        return realm in self._realms

    @property
    def realms(self) -> list[str]:
        """Realms that were seen."""
        return list(self._realms)

    def pace(self, realm: str) -> tuple[bool, float | None]:
        """Return (paused, simulated seconds per real second or None)."""
        return self._realms[realm].is_paused, self._realms[realm].speed

    def clock(self, realm: str) -> Instant | None:
        """Return the time that the realm has reached: its start before the first step.

        The result is None while it is not open.
        """
        r = self._realms[realm]
        now = self._now(r)
        return now if now is not None or r.opening is None else r.opening.started_at

    def pending(self, realm: str) -> bool:
        """Return whether a routed fact is missing in its receiver's log, or a move is in flight.

        A receiver that took a fact of a record that was not seen yet also counts.
        """
        r = self._realms[realm]
        return (
            bool(r.in_flight)
            or any(
                r.marks.get(route) is None or r.marks[route] < place
                for route, place in r.newest_places.items()
            )
            or any(self._is_unseen(place) for place in r.marks.values())
        )

    def _is_unseen(self, place: Place) -> bool:
        newest = self._read.get((place.service, place.partition))
        return newest is None or newest < (place.history, place.seq)

    def next_moves(self, realm: str) -> Sequence[Move]:
        """Return the next moves in order.

        Empty while something is pending, or when the realm is at rest at its target. If the moves
        go to several services, the input of each must hold its own moves before the last is sent.
        """
        r = self._realms[realm]
        if r.opening is None or r.is_paused or r.stuck or r.is_closed or self.pending(realm):
            return ()
        if responses := self._respond(r):
            return responses
        if r.gated_facts:
            return (self._answer(r),)
        job = self._job(r)
        if job is None:
            return self._steps(r)
        # The driver must ask for its answer first
        return self._plan_moves(r) if job.id == r.solution[0] else ()

    def job(self, realm: str) -> Any:
        """Return the `PlannerJob` that must be solved before the next move, or None.

        Pass its answer to `accept_answer`.
        """
        r = self._realms[realm]
        if (
            r.opening is None
            or r.is_paused
            or r.stuck
            or r.is_closed
            or self.pending(realm)
            or r.gated_facts
            or self._respond(r)
        ):
            return None
        job = self._job(r)
        return None if job is None or job.id == r.solution[0] else job

    def accept_answer(self, job: PlannerJob, answer: Sequence[tuple[str, Message]]) -> None:
        """Accept the answer to a job; its parts are the next moves, one by one.

        An answer for a closed realm is dropped.
        """
        realm = self._realms[job.realm]
        if not realm.is_closed:
            realm.solution = job.id, answer

    def _job(self, r: _RealmState) -> Any:
        return None if self.planner is None else self.planner.job(r.name)

    def _plan_moves(self, r: _RealmState) -> Sequence[Move]:
        assert self.planner is not None
        part, answer = self.planner.next_part(r.name), r.solution[1]
        # The service could not take the answer (a failed input): the realm continues without it.
        if part >= len(answer):
            return self._steps(r)
        id, message = answer[part]
        assert r.opening is not None
        return (
            Move(r.name, self.planner.service, id, message, self._now(r) or r.opening.started_at),
        )

    def note_sent(self, moves: Sequence[Move]) -> None:
        """Note that the records of these moves are on their way.

        Nothing more is sent until the receivers' logs show all of them.
        """
        for move in moves:
            self._realms[move.realm].in_flight.add((move.service, move.id))

    def _now(self, r: _RealmState) -> Instant | None:
        return max(
            (s.step_time for s in r.services.values() if s.step_time is not None), default=None
        )

    def _answer(self, r: _RealmState) -> Move:
        """Return the first fact of delivery that a receiver lacks."""
        place, receiver, fact, record_hash = r.gated_facts[0]
        return Move(r.name, receiver, fact.id, fact.message(), fact.at, place, record_hash, fact.id)

    def _respond(self, r: _RealmState) -> list[Move]:
        """Return the due responses of simulated recipients, in the order of the log."""
        now = self._now(r)
        responses: list[tuple[Instant, int, str, Message]] = []
        while r.responses and len(responses) < MAX_RESPONSES:
            if r.responses[0][2] in r.answer_ids:
                heapq.heappop(r.responses)
            elif now is None or r.responses[0][0] > now:
                break
            else:
                responses.append(heapq.heappop(r.responses))
        for response in responses:  # They stay until delivery's log shows them.
            heapq.heappush(r.responses, response)
        return [Move(r.name, "delivery", id, message, at) for at, _, id, message in responses]

    def _steps(self, r: _RealmState) -> Sequence[Move]:
        assert r.opening is not None
        now = self._now(r)
        if now is not None:
            if behind := [
                name
                for name, service in r.services.items()
                if service.step_time is None or service.step_time < now
            ]:
                return self._steps_to(r, behind, now)
            for name, service in r.services.items():
                if service.due_by(now):
                    r.repeats += 1
                    r.stuck = r.repeats > MAX_STEPS_AT_ONE_INSTANT
                    return () if r.stuck else (self._step_to(r, name, now),)
        dues = [s.next_due for s in r.services.values() if s.next_due is not None] + [
            at for at, *_ in r.responses[:1]
        ]
        if r.speed is not None:
            dues.append((now or r.opening.started_at) + compute_tick_ms(r.speed))
        if r.target is not None and (now is None or r.target > now):
            r.repeats = 0
            return self._steps_to(
                r, SERVICES, max(min([*dues, r.target]), now or r.opening.started_at)
            )
        return self._settle_steps(r, now)

    def _steps_to(self, r: _RealmState, services: Sequence[str], at: Instant) -> list[Move]:
        """Return the next steps, up to the first that another move may follow.

        That is the first step with an effect on its service, or the first of all if a response is
        due.
        """
        moves: list[Move] = []
        answers_first = bool(r.responses) and r.responses[0][0] <= at
        for name in services:
            moves.append(self._step_to(r, name, at))
            if answers_first or r.services[name].due_by(at):
                break
        return moves

    def _step_to(self, r: _RealmState, service: str, at: Instant) -> Move:
        return Move(
            r.name, service, f"step:{r.name}:{service}:{at}:{r.services[service].seq}", StepTo(), at
        )

    def _settle_steps(self, r: _RealmState, now: Instant | None) -> Sequence[Move]:
        if now is None or not r.step_requests:
            return ()
        command_id, to = r.step_requests[0]
        return (
            Move(
                r.name,
                SERVICES[0],
                f"settled:{command_id}",
                StepSettled(command_id=command_id, to=to),
                now,
            ),
        )


def compute_tick_ms(speed: float) -> Instant:
    """Return the time of the realm in ms that may pass without a step, at a speed.

    It is a minute, so that decisions of people carry a true time. It is longer at a high speed, at
    which the log would otherwise hold nothing but steps.
    """
    return max(MINUTE_MS, int(speed * TICK_S * 1_000))
