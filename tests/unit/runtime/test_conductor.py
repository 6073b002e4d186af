"""The conductor moves a quiet realm on, and derives each step from the logs alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from schemas.alerts import AttentionRequested, MetricChanged
from schemas.base import Fact, Instant, Message
from schemas.calling import AnswerReceived, NotificationPlanned
from schemas.commands import AnswerNotification
from schemas.runtime import (
    CONDUCTOR,
    CloseRealm,
    DeadlineFailed,
    OpenRealm,
    RealmOpened,
    SetPace,
    StepRequested,
    StepTo,
)
from schemas.words import Answer, Channel, Level
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadline, Firing, Input
from services.runtime.log.transaction import FactRecord, Transaction
from services.runtime.simulation.conductor import Conductor, SimulatedResponse
from services.runtime.testing import MemorySystem
from tests.faults.matrix import proves

REALM = "92~ex-toy"
T0 = 1_800_000_000_000


@dataclass(frozen=True, slots=True)
class Toy:
    """Deadlines by key, and received inputs in order."""

    due: Map[str, Instant] = Map()
    heard: tuple[str, ...] = ()


class ToyDecider:
    """Alerts asks a person at each metric; continuity sends metrics; delivery passes answers on."""

    logic = 1

    def __init__(self, service: str) -> None:
        self.service = service

    def initial(self, realm: str, lineage: str) -> Toy:  # noqa: ARG002  the protocol
        return Toy(Map({"c": T0 + 60_000}) if self.service == "continuity" else Map())

    def decide(self, state: Toy, current_input: Input) -> list[Fact]:
        match current_input.message:
            case MetricChanged(key=key) if self.service == "alerts":
                return [self._plan(current_input, key)]
            case NotificationPlanned() as planned if self.service == "delivery":
                return [
                    AnswerReceived(
                        notification=planned.notification,
                        person="p",
                        answer=Answer.ACK,
                        channel="app",
                        at=current_input.now,
                    )
                ]
            case AnswerNotification() as answer if self.service == "delivery":
                return [
                    AnswerReceived(
                        notification=answer.notification,
                        person="q",
                        answer=Answer.ACK,
                        channel="app",
                        at=current_input.now,
                    )
                ]
            case AnswerReceived(notification=n) if (
                self.service == "alerts" and len(state.heard) < 12
            ):
                return [self._plan(current_input, n)]
        return []

    def _plan(self, current_input: Input, key: str) -> NotificationPlanned:
        return NotificationPlanned(
            notification=current_input.derive(key),
            level=Level.N1,
            role="r",
            person="p",
            channels=(Channel.APP,),
            template="t",
            planned_at=current_input.now,
        )

    def fire(self, state: Toy, firing: Firing) -> list[Fact]:
        return [MetricChanged(key=f"m{len(state.heard)}", value=1.0, at=firing.now)]

    def evolve(self, state: Toy, fact: Fact, fact_id: str, at: Instant) -> Toy:  # noqa: ARG002  the protocol
        match fact:
            case MetricChanged() if self.service == "continuity":
                n = len(state.heard) + 1
                due = Map({"c": at + 60_000}) if n < 4 else Map()
                return replace(state, due=due, heard=(*state.heard, f"m@{at - T0}"))
            case DeadlineFailed():
                return replace(state, due=Map())
            case AnswerReceived() | NotificationPlanned() | AttentionRequested():
                return replace(state, heard=(*state.heard, type(fact).__name__))
        return state

    def next_deadline(self, state: Toy) -> Deadline | None:
        return Deadline(state.due["c"], "c") if state.due else None

    def dump(self, state: Toy) -> dict[str, list[tuple[str, object]]]:
        raise NotImplementedError

    def load(self, realm: str, lineage: str, dumped: dict[str, list[tuple[str, object]]]) -> Toy:
        raise NotImplementedError


class QuietDecider(ToyDecider):
    """Has no deadline."""

    def initial(self, realm: str, lineage: str) -> Toy:  # noqa: ARG002  the protocol
        return Toy()


def responder(fact: FactRecord, realm: RealmOpened) -> list[SimulatedResponse]:
    if fact.name != "AnswerReceived" or fact.data["person"] != "p":
        return []
    message = AnswerNotification(
        author="q",
        role="r",
        notification=fact.data["notification"],
        person="q",
        answer=Answer.ACK,
        channel="app",
    )
    return [SimulatedResponse(f"again:{fact.id}", 90_000, message)]


def opened() -> MemorySystem:
    system = MemorySystem(
        {s: ToyDecider(s) for s in ("alerts", "continuity", "delivery")}, responder
    )
    system.feed(
        "alerts",
        REALM,
        OpenRealm(author="a", role="admin", territory="92", started_at=T0),
        id="open",
    )
    return system


def facts_without_steps(system: MemorySystem) -> list[tuple[str, int, str]]:
    return [
        (f.name, f.at, f.id)
        for f in system.facts(REALM)
        if f.name not in ("StepAccepted", "CommandApplied", "InputDuplicate")
    ]


def test_deadlines_fire_at_their_own_time_with_any_size_of_steps() -> None:
    one, many = opened(), opened()
    one.step(REALM, T0 + 600_000)
    for minute in (0.5, 1, 1.5, 3, 7, 10):
        many.step(REALM, T0 + int(minute * 60_000))
    assert facts_without_steps(one) == facts_without_steps(many)
    metrics = [f.at - T0 for f in one.facts(REALM, ["continuity"]) if f.name == "MetricChanged"]
    assert metrics == [60_000, 120_000, 180_000, 240_000]


def test_a_paused_realm_stands_still_and_goes_on_where_it_stood() -> None:
    system, never = opened(), opened()
    system.feed("alerts", REALM, SetPace(author="a", role="admin", paused=True), id="pause")
    system.step(REALM, T0 + 600_000)
    assert system.conductor.next_moves(REALM) == ()
    assert system.conductor.clock(REALM) == T0
    system.feed("alerts", REALM, SetPace(author="a", role="admin"), id="resume")
    never.step(REALM, T0 + 600_000)
    moved = [f for f in facts_without_steps(system) if f[0] != "PaceChanged"]
    assert moved == facts_without_steps(never)


def test_responses_come_at_their_own_time() -> None:
    system = opened()
    system.step(REALM, T0 + 600_000)
    answers = [
        f.at - T0
        for f in system.facts(REALM, ["delivery"])
        if f.name == "AnswerReceived" and f.data["person"] == "q"
    ]
    assert answers[0] == 150_000
    assert answers == sorted(answers)


@proves("conductor", "kill")
def test_a_conductor_that_comes_back_sends_the_same_moves() -> None:
    """Killed after each move and started again from the logs: the same facts."""
    whole = opened()
    whole.step(REALM, T0 + 300_000)
    system = opened()
    rnd = random.Random(7)

    def reborn() -> Conductor:
        fresh = Conductor(responder)
        for name in rnd.sample(sorted(system.services), 3):
            for stored in system.services[name].log.of(REALM):
                fresh.observe(stored.transaction, stored.partition, stored.hash)
        return fresh

    original = system._observe_newest

    def took(service: str, realm: str) -> object:
        done = original(service, realm)
        if rnd.random() < 0.3:
            system.conductor = reborn()
        return done

    system._observe_newest = took  # type: ignore[method-assign,assignment]
    system.step(REALM, T0 + 300_000)
    assert facts_without_steps(system) == facts_without_steps(whole)


def test_no_answer_overtakes_facts_of_a_record_that_was_not_read() -> None:
    """The log of delivery is read before that of alerts: other facts of the report are unknown."""
    system = opened()
    system.step(REALM, T0 + 30_000)
    metric = MetricChanged(key="m", value=1.0, at=T0 + 30_000)
    system.feed("alerts", REALM, metric, id="metric", settle=False)
    system._forward(*system._waiting.popleft())
    records = {name: system.services[name].log.of(REALM) for name in system.services}
    unread = records["alerts"].pop()
    ahead = Conductor(responder)
    for stored in (s for name in ("delivery", "continuity", "alerts") for s in records[name]):
        ahead.observe(stored.transaction, stored.partition, stored.hash)
    assert ahead.pending(REALM)
    assert ahead.next_moves(REALM) == ()
    ahead.observe(unread.transaction, unread.partition, unread.hash)
    assert ahead.next_moves(REALM) == system.conductor.next_moves(REALM) != ()


@pytest.mark.parametrize(
    "order", [("alerts", "continuity", "delivery"), ("delivery", "continuity", "alerts")]
)
def test_a_closed_realm_keeps_no_state_in_any_order_of_reading(order: tuple[str, ...]) -> None:
    system = opened()
    system.step(REALM, T0 + 300_000)
    system.feed("alerts", REALM, CloseRealm(author="a", role="admin"), id="close")
    planner = ToyPlanner()
    fresh = Conductor(responder, planner)
    for name in order:
        for stored in system.services[name].log.of(REALM):
            fresh.observe(stored.transaction, stored.partition, stored.hash)
    assert [f.name for f in system.facts(REALM, ["alerts"])][-2:] == [
        "RealmClosed",
        "CommandApplied",
    ]
    realm = fresh._realms[REALM]
    for collection in (
        realm.gated_facts,
        realm.responses,
        realm.answer_ids,
        realm.early,
        realm.step_requests,
        realm.in_flight,
    ):
        assert not collection
    assert not planner.asked
    assert not fresh.next_moves(REALM)
    assert fresh.job(REALM) is None
    fresh.accept_answer(ToyJob(REALM), planner.solve(ToyJob(REALM)))
    assert realm.solution == ("", ()), "an answer that comes too late"


def test_a_request_for_a_step_is_answered_when_the_realm_is_quiet() -> None:
    system = opened()
    system.step(REALM, T0 + 300_000)
    names = [f.name for f in system.facts(REALM, ["alerts"])]
    assert names[-1] == "CommandApplied"
    assert not system.conductor.pending(REALM)
    assert not system.conductor.next_moves(REALM)
    assert system.conductor.clock(REALM) == T0 + 300_000


def moves_of(system: MemorySystem) -> list[tuple[str, int]]:
    """List the next steps as (service, milliseconds after the start)."""
    return [(m.service, m.at - T0) for m in system.conductor.next_moves(REALM)]


def asked_for(to: int) -> MemorySystem:
    """Request a step that has not begun. Continuity has a deadline at 60 s."""
    system = opened()
    system.feed(
        "alerts",
        REALM,
        StepRequested(author="a", role="admin", to=T0 + to),
        id="step",
        settle=False,
    )
    return system


def test_steps_of_services_with_nothing_to_do_go_together() -> None:
    assert moves_of(asked_for(30_000)) == [
        ("alerts", 30_000),
        ("continuity", 30_000),
        ("delivery", 30_000),
    ]


def test_a_step_with_effect_ends_its_group() -> None:
    """Its facts may reach the next service before the step of that service."""
    system = asked_for(60_000)
    assert moves_of(system) == [("alerts", 60_000), ("continuity", 60_000)]
    system.settle(REALM)
    assert [
        f.at - T0 for f in system.facts(REALM, ["continuity"]) if f.name == "MetricChanged"
    ] == [60_000]


def test_a_response_that_is_due_comes_between_two_steps() -> None:
    system = opened()
    system.step(REALM, T0 + 149_000)
    system.feed(
        "alerts",
        REALM,
        StepRequested(author="a", role="admin", to=T0 + 150_000),
        id="step",
        settle=False,
    )
    assert moves_of(system) == [("alerts", 150_000)]


@pytest.mark.parametrize(
    "arrived", [("alerts",), ("continuity",), ("alerts", "continuity")], ids=" ".join
)
def test_the_rest_of_an_interrupted_group_follows_with_the_same_ids(
    arrived: tuple[str, ...],
) -> None:
    system = asked_for(30_000)
    group = system.conductor.next_moves(REALM)
    for move in group:
        if move.service in arrived:
            system.services[move.service].feed(
                REALM, move.message, id=move.id, source=CONDUCTOR, at=move.at
            )
    fresh = Conductor(responder)
    for service in system.services.values():
        for stored in service.log.of(REALM):
            fresh.observe(stored.transaction, stored.partition, stored.hash)
    assert [m.id for m in fresh.next_moves(REALM)] == [
        m.id for m in group if m.service not in arrived
    ]


def test_live_realms_have_no_conductor() -> None:
    system = MemorySystem(
        {s: ToyDecider(s) for s in ("alerts", "continuity", "delivery")}, responder
    )
    system.feed(
        "alerts",
        "92",
        OpenRealm(author="a", role="admin", territory="92", started_at=T0),
        id="open",
        at=T0,
    )
    assert system.conductor.realms == []


def test_before_its_first_step_a_realm_stands_at_its_start() -> None:
    """So that the first step of a realm with a speed waits for its time as every other does."""
    system = opened()
    assert system.conductor.clock(REALM) == T0


@dataclass
class ToyPlanner:
    """Asked once by the first fact of continuity that it sees; answers in two parts."""

    service: str = "continuity"
    asked: str = ""
    seen: int = 0

    def observe(self, transaction: Transaction) -> None:
        if transaction.src.id.startswith("plan:"):
            self.seen += 1
        elif not self.asked and any(f.name == "RealmOpened" for f in transaction.facts):
            self.asked = transaction.realm

    def job(self, realm: str) -> ToyJob | None:
        return ToyJob(realm) if self.asked == realm and self.seen < 2 else None

    def next_part(self, realm: str) -> int:  # noqa: ARG002  the protocol
        return self.seen

    def solve(self, job: ToyJob) -> list[tuple[str, Message]]:  # noqa: ARG002  the protocol
        return [(f"plan:{n}", MetricChanged(key=f"p{n}", value=1.0, at=T0)) for n in range(2)]

    def forget(self, realm: str) -> None:
        assert realm == REALM
        self.asked = ""


@dataclass(frozen=True)
class ToyJob:
    realm: str
    id: str = "job"


def test_time_moves_only_after_all_answers_of_the_planner() -> None:
    """Also before the realm was ever stepped; nothing moves while it is being solved."""
    planner = ToyPlanner()
    conductor = Conductor(lambda _fact, _realm: (), planner)
    system = MemorySystem(
        {s: ToyDecider(s) for s in ("alerts", "continuity", "delivery")}, planner=planner
    )
    system.conductor = conductor
    system.feed(
        "alerts",
        REALM,
        OpenRealm(author="a", role="admin", territory="92", started_at=T0),
        id="open",
        settle=False,
    )
    while system._waiting:
        system._forward(*system._waiting.popleft())
    job = conductor.job(REALM)
    assert isinstance(job, ToyJob)
    assert conductor.next_moves(REALM) == ()
    conductor.accept_answer(job, planner.solve(job))
    assert [(m.service, m.id, m.at) for m in conductor.next_moves(REALM)] == [
        ("continuity", "plan:0", T0)
    ]
    system.settle(REALM)
    assert planner.seen == 2
    assert conductor.job(REALM) is None


def test_an_untaken_answer_does_not_hold_the_realm() -> None:
    class Deaf(ToyPlanner):
        def job(self, realm: str) -> ToyJob | None:
            return ToyJob(realm) if self.asked == realm else None

    system = MemorySystem(
        {s: ToyDecider(s) for s in ("alerts", "continuity", "delivery")}, planner=Deaf()
    )
    system.feed(
        "alerts",
        REALM,
        OpenRealm(author="a", role="admin", territory="92", started_at=T0),
        id="open",
    )
    system.step(REALM, T0 + 120_000)
    assert system.conductor.clock(REALM) == T0 + 120_000


@pytest.mark.parametrize(
    ("speed", "minutes"), [(1.0, [1, 2, 3, 3.5]), (20.0, [1, 2, 3, 3.5]), (600.0, [3.5])]
)
def test_a_realm_with_a_speed_steps_each_minute(speed: float, minutes: list[float]) -> None:
    """The clock dates decisions of people: it stood at the last deadline while nothing was due."""
    system = MemorySystem(
        {name: QuietDecider(name) for name in ("alerts", "continuity", "delivery")}
    )
    command = OpenRealm(author="a", role="admin", territory="92", started_at=T0, speed=speed)
    system.feed("alerts", REALM, command, id="open")
    system.step(REALM, T0 + 210_000)
    transactions = [stored.transaction for stored in system.services["alerts"].log.of(REALM)]
    assert [
        (tx.at - T0) / 60_000 for tx in transactions if tx.src.type == StepTo.wire_type()
    ] == minutes
