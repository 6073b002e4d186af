"""In a burst, the first person of each incident comes first; results are sent together."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from schemas.base import Message
from schemas.delivery import AttemptOutcome, AttemptOutcomes, ClaimAttempt, ClaimAttempts
from schemas.words import Channel, Level, NotificationState
from services.delivery.decider import DeliveryDecider
from services.delivery.sender import sender as sender_module
from services.delivery.sender.attempt_view import BURST_INCIDENTS, BURST_S, LONGEST_WAIT_S
from services.delivery.sender.outcomes import ATTEMPTS_PER_INPUT
from services.delivery.sender.sender import Sender
from services.runtime.log.transaction import Transaction
from tests.unit.delivery.desk import Desk, desk
from tests.unit.delivery.test_sender import World

INCIDENTS = 5
PAGES = 3 * ATTEMPTS_PER_INPUT
TURNS = 300
"""Turns of the loop in which a sender makes all the calls that it may."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(sender_module, "REPEAT_S", 0)
    made = World()
    made.open("92", ["email"])
    return made


def plan_two_each(
    world: World, incidents: int = INCIDENTS, **changes: Any
) -> dict[str, tuple[str, str]]:
    """Plan two first pages per incident; incident → its pages."""
    planned = {}
    for number in range(incidents):
        incident = f"incident-{number}"
        pages = [
            world.plan(
                f"n{2 * number + i}", incident=incident, person=person, wave=1, cycle=1, **changes
            )
            for i, person in enumerate(("dgs", "second"), 1)
        ]
        planned[incident] = (pages[0], pages[1])
    return planned


async def called(world: World, count: int, **options: Any) -> list[str]:
    """Run a sender for this many calls; return the notifications in order."""
    await world.until(world.sender(**options), lambda: len(world.provider.calls) >= count)
    return [call.row.id for call in world.provider.calls]


# ── order ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_first_person_of_each_incident_is_called_before_anybodys_second(
    world: World,
) -> None:
    pages = plan_two_each(world)
    order = await called(world, 2 * INCIDENTS, calls_at_once=1)
    assert order == [first for first, _ in pages.values()] + [
        second for _, second in pages.values()
    ]


async def test_danger_is_called_before_first_pages_and_a_grave_level_before_a_slight_one(
    world: World,
) -> None:
    slight = world.plan("n1", incident="a", wave=1, cycle=1, level=Level.N1)
    grave = world.plan("n2", incident="b", wave=1, cycle=1, level=Level.N3)
    danger = world.plan("n3", incident="c", wave=2, cycle=1, level=Level.N1, danger=True)
    assert await called(world, 3, calls_at_once=1) == [danger, grave, slight]


async def test_an_incident_with_a_called_person_queues_behind_others_also_after_a_restart(
    world: World,
) -> None:
    pages = plan_two_each(world)
    firsts = [first for first, _ in pages.values()]
    dead = world.sender(calls_at_once=1)
    await world.until(dead, lambda: world.row(firsts[0]).state is NotificationState.ACCEPTED)
    later = world.sender()
    later.outbox.load(json.loads(json.dumps(dead.outbox.dump())))
    waiting = [offer.row.id for offer in later.outbox.to_claim()]
    seconds = [second for _, second in pages.values()]
    assert waiting[-INCIDENTS:] == seconds
    assert set(waiting[:-INCIDENTS]) <= set(firsts[1:])


async def test_a_page_that_is_tried_again_keeps_its_turn(world: World) -> None:
    pages = plan_two_each(world)
    sender = world.sender()
    for transaction in world.log:
        sender.outbox.observe(transaction)
    first, second = pages["incident-0"]
    world.put(
        ClaimAttempt(notification=first, attempt=world.row(first).attempts[0].id, run="run-x")
    )
    world.put(
        AttemptOutcome(
            notification=first,
            attempt=world.row(first).attempts[0].id,
            run="run-x",
            outcome="ambiguous",
            error="no_outcome",
        )
    )
    for transaction in world.log[-2:]:
        sender.outbox.observe(transaction)
    waiting = [offer.row.id for offer in sender.outbox.to_claim()]
    assert len(world.row(first).attempts) == 2
    assert waiting.index(first) < waiting.index(second)


# ── second messages in a burst ─────────────────────────────────────────────────────────────────────────────────────


def list_waiting(sender: Sender) -> list[str]:
    """Return the notifications that the sender does not claim yet."""
    outbox = sender.outbox
    return [offer.row.id for offer in outbox.offers.values() if outbox.must_wait(offer)]


def read_log(world: World, sender: Sender) -> None:
    for transaction in world.log:
        sender.outbox.observe(transaction)


def test_second_messages_of_a_burst_wait_until_no_incident_has_come_for_half_a_second(
    world: World,
) -> None:
    pages, sender = plan_two_each(world, BURST_INCIDENTS), world.sender()
    read_log(world, sender)
    assert list_waiting(sender) == [second for _, second in pages.values()]
    world.now_s += BURST_S
    assert list_waiting(sender) == []


def test_second_messages_of_few_incidents_do_not_wait(world: World) -> None:
    plan_two_each(world, BURST_INCIDENTS - 1)
    sender = world.sender()
    read_log(world, sender)
    assert list_waiting(sender) == []


def test_second_messages_of_danger_do_not_wait(world: World) -> None:
    plan_two_each(world, 2 * BURST_INCIDENTS, danger=True)
    sender = world.sender()
    read_log(world, sender)
    assert list_waiting(sender) == []


def test_a_burst_without_end_delays_a_second_message_by_two_seconds(world: World) -> None:
    (_, second), *_ = plan_two_each(world, BURST_INCIDENTS).values()
    sender = world.sender()
    read_log(world, sender)
    began_s = world.now_s
    for number in range(100, 180):
        assert (second in list_waiting(sender)) == (world.now_s - began_s < LONGEST_WAIT_S)
        world.plan(f"n{number}", incident=f"incident-{number}", wave=1, cycle=1)
        sender.outbox.observe(world.log[-1])
        world.now_s += BURST_S / BURST_INCIDENTS / 2


def test_a_row_that_is_read_again_neither_waits_again_nor_makes_a_burst(world: World) -> None:
    plan_two_each(world, BURST_INCIDENTS - 1)
    sender = world.sender()
    read_log(world, sender)
    began_s = world.now_s
    world.now_s += LONGEST_WAIT_S
    read_log(world, sender)
    assert list_waiting(sender) == []
    assert {offer.observed_s for offer in sender.outbox.offers.values()} == {began_s}


def test_messages_that_are_no_first_ones_make_no_burst(world: World) -> None:
    for number in range(100, 100 + 2 * BURST_INCIDENTS):
        world.plan(f"n{number}", incident=f"incident-{number}", wave=2, cycle=1)
    plan_two_each(world, 1)
    sender = world.sender()
    read_log(world, sender)
    assert list_waiting(sender) == []


async def test_the_sender_calls_the_second_people_after_the_burst(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "CLAIM_AGAIN_S", 0.001)
    pages = plan_two_each(world, BURST_INCIDENTS)
    firsts, seconds = ([pair[i] for pair in pages.values()] for i in (0, 1))

    turns = itertools.count()

    def is_done() -> bool:
        if (turn := next(turns)) == TURNS:
            assert [call.row.id for call in world.provider.calls] == firsts
            world.now_s += BURST_S
        return turn > TURNS and len(world.provider.calls) == 2 * len(firsts)

    await world.until(world.sender(), is_done)
    assert sorted(call.row.id for call in world.provider.calls[len(firsts) :]) == sorted(seconds)


# ── together ───────────────────────────────────────────────────────────────────────────────────────────────────────


def inputs(world: World) -> list[str]:
    """Return the types of inputs from senders."""
    return [t.src.type.split(".")[1] for t in world.log if "Attempt" in t.src.type]


async def test_claims_and_outcomes_of_a_burst_go_together(world: World) -> None:
    rows = [world.plan(f"n{i}", wave=1, cycle=1) for i in range(PAGES)]
    await world.until(
        world.sender(), lambda: all(world.row(n).state is NotificationState.ACCEPTED for n in rows)
    )
    assert len(world.provider.calls) == PAGES
    assert len(inputs(world)) <= PAGES / 4, inputs(world)


async def test_one_page_is_claimed_and_reported_alone(world: World) -> None:
    n = world.plan()
    await world.until(world.sender(), lambda: world.row(n).state is NotificationState.ACCEPTED)
    assert inputs(world) == ["ClaimAttempt", "AttemptOutcome"]


async def test_a_burst_writes_one_line_for_calls_that_end_together(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [world.plan(f"n{i}", wave=1, cycle=1) for i in range(PAGES)]
    with caplog.at_level("INFO"):
        await world.until(
            world.sender(),
            lambda: all(world.row(n).state is NotificationState.ACCEPTED for n in rows),
        )
    assert len([r for r in caplog.records if "ended" in str(r.msg)]) <= PAGES / 4


async def test_calls_of_a_burst_keep_their_own_correlation(world: World) -> None:
    rows = [world.plan(f"n{i}", wave=1, cycle=1) for i in range(4)]
    planned = {
        t.src.correlation_id for t in world.log if t.src.type == "vigie.NotificationPlanned.v1"
    }
    correlation_ids = set()
    sender = world.sender()
    carry_out = sender._carry_out

    async def noted(call: Any) -> None:
        correlation_ids.add(call.correlation_id)
        await carry_out(call)

    sender._carry_out = noted  # type: ignore[method-assign]
    await world.until(
        sender, lambda: all(world.row(n).state is NotificationState.ACCEPTED for n in rows)
    )
    assert correlation_ids == planned
    assert len(correlation_ids) == 4


def traced(transaction: Transaction, trace: str, hop: str) -> Transaction:
    """Return the same record as a hop of this trace."""
    return replace(transaction, traceparent=f"00-{trace * 32}-{hop * 16}-01")


@pytest.mark.parametrize(
    ("second_trace", "second_follows"),
    [
        ("a", "00-" + "a" * 32 + "-" + "3" * 16 + "-01"),
        ("b", "00-" + "b" * 32 + "-" + "2" * 16 + "-01"),
    ],
)
def test_a_call_follows_the_common_claim_in_its_own_trace_only(
    world: World, second_trace: str, second_follows: str
) -> None:
    first, second = (world.plan(f"n{i}", wave=1, cycle=1) for i in (1, 2))
    outbox = world.sender().outbox
    pages = [t for t in world.log if t.src.type == "vigie.NotificationPlanned.v1"]
    outbox.observe(traced(pages[0], "a", "1"))
    outbox.observe(traced(pages[1], second_trace, "2"))
    offers = outbox.to_claim()
    assert [offer.row.id for offer in offers] == [first, second]
    outbox.claiming(offers, "claims")
    world.put(
        ClaimAttempts(
            claims=tuple(
                ClaimAttempt(notification=o.row.id, attempt=o.attempt, run=outbox.run)
                for o in offers
            )
        )
    )
    calls = outbox.observe(traced(world.log[-1], "a", "3"))
    assert [call.traceparent for call in calls] == [
        "00-" + "a" * 32 + "-" + "3" * 16 + "-01",
        second_follows,
    ]


@pytest.mark.parametrize("unread", [ClaimAttempts, AttemptOutcomes])
async def test_results_for_a_worker_of_an_earlier_version_are_sent_one_by_one(
    world: World, monkeypatch: pytest.MonkeyPatch, unread: type[Message]
) -> None:
    decide = DeliveryDecider.decide

    def earlier(self: DeliveryDecider, state: Any, given: Any) -> Any:
        if isinstance(given.message, unread):
            raise TypeError("an input that this version does not know")
        return decide(self, state, given)

    monkeypatch.setattr(DeliveryDecider, "decide", earlier)
    rows = [world.plan(f"n{i}", wave=1, cycle=1) for i in range(PAGES)]
    await world.until(
        world.sender(), lambda: all(world.row(n).state is NotificationState.ACCEPTED for n in rows)
    )
    assert len(world.provider.calls) == PAGES, "each once"
    assert inputs(world).count(unread.__name__) <= 3, "and it does not try again and again"


# ── decided as one after the other ─────────────────────────────────────────────────────────────────────────────────


def planned_desk() -> Desk:
    d = desk(channels=("email", "webhook"))
    for i in range(4):
        d.plan(f"n{i}", channels=(Channel.EMAIL,))
    return d


def test_several_claims_and_outcomes_are_decided_as_one_after_the_other() -> None:
    singly, together = planned_desk(), planned_desk()
    ids = [*(f"n{i}" for i in range(4)), "n0"]
    claims = [
        ClaimAttempt(notification=id, attempt=singly.attempt(id).id, run=f"run-{n}")
        for n, id in enumerate(ids)
    ]
    words: tuple[Any, ...] = ("accepted", "failed", "ambiguous", "failed", "accepted")
    outcomes = [
        AttemptOutcome(
            notification=id, attempt=singly.attempt(id).id, run=f"run-{n}", outcome=word, error=None
        )
        for n, (id, word) in enumerate(zip(ids, words, strict=True))
    ]
    for message in (*claims, *outcomes):
        singly.tell(message)
    together.tell(ClaimAttempts(claims=tuple(claims)))
    together.tell(AttemptOutcomes(outcomes=tuple(outcomes)))
    assert together.facts == singly.facts
    assert together.state == singly.state


def test_results_that_arrive_together_queue_at_the_next_provider() -> None:
    """A pace that lets one pass lets one pass, not all that failed at the same moment."""
    d = desk(channels=("email", "webhook"))
    ids = [f"n{i}" for i in range(30)]
    for id in ids:
        d.plan(id, channels=(Channel.EMAIL,), wave=2)
    out = [id for id in ids if d.row(id).attempts]
    for id in out:
        d.claim(id=id)
    failed = tuple(
        AttemptOutcome(
            notification=id, attempt=d.attempt(id).id, run="run-1", outcome="failed", error="x"
        )
        for id in out
    )
    free = d.state.pacing.room(Channel.WEBHOOK, d.state.rules.channels[Channel.WEBHOOK], d.now)
    d.tell(AttemptOutcomes(outcomes=failed))
    webhooks = [id for id in out if d.row(id).attempts[-1].channel is Channel.WEBHOOK]
    assert len(webhooks) == min(len(out), free)
