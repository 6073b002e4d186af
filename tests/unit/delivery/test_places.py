"""Places before claims: a sender that dies leaves in doubt no more calls than it had under way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from schemas.calling import NotificationWithdrawn
from schemas.delivery import ClaimAttempt
from schemas.words import Channel, NotificationState
from services.delivery.channels.base import CallResult, Outgoing
from services.delivery.sender import sender as sender_module
from services.delivery.sender.process import track_runs
from tests.faults.matrix import proves
from tests.unit.delivery.desk import desk
from tests.unit.delivery.test_sender import Provider, World, reached_by

WAITING, AT_ONCE = 20, 4
"""Pages that wait when the sender dies, and how many it may call at once."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(sender_module, "REPEAT_S", 0)
    made = World()
    made.open("92", ["voice", "email"])
    return made


def plan_first_pages(world: World, channel: Channel = Channel.EMAIL) -> list[str]:
    return [world.plan(f"n{i}", wave=1, cycle=1, channels=(channel,)) for i in range(WAITING)]


def states(world: World, rows: list[str]) -> list[str]:
    return [world.row(n).attempts[0].state for n in rows]


async def test_no_more_attempts_are_claimed_than_calls_are_made_at_once(world: World) -> None:
    world.provider.hangs = asyncio.Event()
    rows = plan_first_pages(world)
    await world.until(
        world.sender(calls_at_once=AT_ONCE), lambda: len(world.provider.calls) == AT_ONCE
    )
    assert sorted(states(world, rows)) == ["granted"] * AT_ONCE + ["planned"] * (WAITING - AT_ONCE)


@proves(
    "sender",
    "kill",
    doubled="said",
    note="with pages waiting: only the calls under way are in doubt",
)
async def test_a_sender_that_dies_with_pages_waiting_delays_them_by_its_restart_only(
    world: World,
) -> None:
    """The clock stands still in this test: calls in doubt are repeated at once, too."""
    world.provider.hangs = asyncio.Event()
    rows = plan_first_pages(world)
    dead = world.sender(calls_at_once=AT_ONCE)
    await world.until(dead, lambda: len(world.provider.calls) == AT_ONCE)
    under_way = {call.row.id for call in world.provider.calls}
    world.provider.hangs = None
    world.provider.calls.clear()
    later = world.sender(calls_at_once=AT_ONCE, ended_runs=[dead.outbox.run])
    await world.until(
        later, lambda: all(world.row(n).state is NotificationState.ACCEPTED for n in rows)
    )
    assert len(world.provider.calls) == WAITING, "each once"
    assert {c.row.id for c in world.provider.calls if c.possible_duplicate} == under_way


async def test_a_run_with_an_unknown_end_keeps_its_calls_until_their_deadline(world: World) -> None:
    world.provider.hangs = asyncio.Event()
    rows = plan_first_pages(world)
    dead = world.sender(calls_at_once=AT_ONCE)
    await world.until(dead, lambda: len(world.provider.calls) == AT_ONCE)
    world.provider.hangs = None
    await world.until(
        world.sender(), lambda: states(world, rows).count("accepted") == WAITING - AT_ONCE
    )
    assert states(world, rows).count("granted") == AT_ONCE
    world.later(45_000)
    await world.until(
        world.sender(), lambda: all(world.row(n).state is NotificationState.ACCEPTED for n in rows)
    )


async def test_a_channel_that_must_not_ring_twice_is_not_rung_again_after_a_death(
    world: World,
) -> None:
    reached_by(world, Channel.VOICE, "+33100000000")
    voice = Provider()
    voice.hangs = asyncio.Event()
    rows = plan_first_pages(world, Channel.VOICE)
    dead = world.sender(calls_at_once=AT_ONCE, drivers={Channel.VOICE: voice})
    await world.until(dead, lambda: len(voice.calls) == AT_ONCE)
    voice.hangs = None
    later = world.sender(drivers={Channel.VOICE: voice}, ended_runs=[dead.outbox.run])
    await world.until(later, lambda: not {"planned", "granted"} & set(states(world, rows)))
    assert len(voice.calls) == len({call.row.id for call in voice.calls}) == WAITING
    assert (
        sorted(states(world, rows)) == ["accepted"] * (WAITING - AT_ONCE) + ["ambiguous"] * AT_ONCE
    )


class Slow(Provider):
    """Each call takes most of its limit."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        self.world.now_s += 20
        return await super().call(outgoing, timeout_s)


async def test_the_limit_of_a_call_does_not_run_while_it_waits_for_its_place(world: World) -> None:
    world.provider = Slow(world)
    rows = [world.plan(f"n{i}") for i in range(4)]
    await world.until(
        world.sender(calls_at_once=1),
        lambda: all(s in ("accepted", "failed") for s in states(world, rows)),
    )
    assert states(world, rows) == ["accepted"] * 4


async def test_a_page_that_is_withdrawn_while_it_waits_for_a_place_is_not_claimed(
    world: World,
) -> None:
    gate = world.provider.hangs = asyncio.Event()
    first, second, third = (world.plan(f"n{i}") for i in range(3))

    def done() -> bool:
        if world.provider.calls and not gate.is_set():
            world.put(NotificationWithdrawn(notification=second, why="superseded"))
            gate.set()
        return states(world, [first, third]) == ["accepted"] * 2

    await world.until(world.sender(calls_at_once=1), done)
    assert world.row(second).state is NotificationState.WITHDRAWN
    assert [c.row.id for c in world.provider.calls] == [first, third]


async def test_a_claim_that_is_not_granted_gives_its_place_back(world: World) -> None:
    """Another run was first, or the message was called off between the claim and its decision."""
    rows = [world.plan(f"n{i}") for i in range(6)]
    send = world.send

    async def overtaken(topic: str, realm: str, message: Any, **envelope: Any) -> tuple[int, int]:
        if isinstance(message, ClaimAttempt) and message.notification in rows[:2]:
            world.put(message.model_copy(update={"run": "run-of-another"}))
        if isinstance(message, ClaimAttempt) and message.notification in rows[2:4]:
            world.put(NotificationWithdrawn(notification=message.notification, why="superseded"))
        return await send(topic, realm, message, **envelope)

    world.send = overtaken  # type: ignore[method-assign]
    await world.until(
        world.sender(calls_at_once=1), lambda: states(world, rows[4:]) == ["accepted"] * 2
    )
    assert [c.row.id for c in world.provider.calls] == rows[4:]


def test_grants_without_outcome_are_kept_between_runs(world: World) -> None:
    n = world.plan()
    world.put(ClaimAttempt(notification=n, attempt=world.row(n).attempts[0].id, run="run-1"))
    first, second = world.sender().outbox, world.sender().outbox
    for transaction in world.log:
        first.observe(transaction)
    second.load(first.dump())
    assert [grant.attempt for grant in second.list_abandoned_grants({"run-1"})] == [
        world.row(n).attempts[0].id
    ]
    assert second.list_abandoned_grants({"run-2"}) == []


# ── doubt ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("wave", "danger"), [(1, False), (2, True)])
def test_a_first_page_or_danger_in_doubt_is_tried_again_at_once(wave: int, danger: bool) -> None:
    d = desk(channels=("email",))
    d.plan(channels=(), wave=wave, cycle=1, danger=danger)
    d.claim()
    d.wait(45)
    assert [(a.state, a.possible_duplicate) for a in d.row().attempts] == [
        ("ambiguous", False),
        ("planned", True),
    ]


def test_other_pages_in_doubt_wait_as_after_a_failure() -> None:
    d = desk(channels=("email",))
    d.plan(channels=(), wave=2, cycle=1)
    d.claim()
    d.wait(45 + 29.9)
    assert len(d.row().attempts) == 1
    d.wait(0.1)
    assert len(d.row().attempts) == 2


def test_a_provider_that_gave_an_answer_is_not_asked_again_at_once() -> None:
    d = desk(channels=("email",))
    d.plan(channels=(), wave=1, cycle=1)
    d.claim()
    d.outcome("ambiguous")
    assert len(d.row().attempts) == 1
    d.wait(30)
    assert len(d.row().attempts) == 2


# ── which runs have ended ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_learns_of_the_runs_before_it(tmp_path: Path) -> None:
    for before, run in (((), "run-1"), (("run-1",), "run-2"), (("run-1", "run-2"), "run-3")):
        with track_runs(tmp_path / "sender.runs", run) as ended:
            assert ended == before


def test_a_run_with_a_living_process_has_not_ended(tmp_path: Path) -> None:
    with (
        track_runs(tmp_path / "sender.runs", "run-1"),
        track_runs(tmp_path / "sender.runs", "run-2") as ended,
    ):
        assert ended == ()
    with track_runs(tmp_path / "sender.runs", "run-3") as ended:
        assert ended == ("run-1",), (
            "one that could not enter itself leaves its calls to their deadlines"
        )


def test_an_unreadable_file_ends_no_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "sender.runs").write_bytes(b"\xff\xfe")
    with track_runs(tmp_path / "sender.runs", "run-1") as ended:
        assert ended == ()
    with track_runs(tmp_path / "sender.runs", "run-2") as ended:
        assert ended == ("run-1",)
    with track_runs(tmp_path / "missing" / "sender.runs", "run-1") as ended:
        assert ended == ()
