"""Machines of a cluster: one reads each feed, and another goes on with the same memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.catalogue.sources import FeedStatus
from services.runtime.kafka.clients import PendingSend, RecordHeaders
from services.runtime.kafka.compacted_topic import KeyedEntry
from services.runtime.secrets.keyring import MasterKey
from services.watch import sharing
from services.watch.connector import FeedRequest, FeedSpec, FetchVerdict
from services.watch.engine import FeedEngine
from services.watch.holds import FeedHolds
from services.watch.membership import MemberOffer, Turn, share_out
from services.watch.sharing import FeedMemory, SharedHolds
from services.watch.store import FeedStore, describe_feed
from services.watch.transport import FeedResponse
from tests.keyed import MemoryKeyedLog
from tests.unit.watch.samples import SAMPLES, watched_92
from tests.unit.watch.test_engine import MF, REPORTS, Clock, Front, Killed, Server

NAME = MF.spec.name
MASTER = MasterKey(bytes(32))
END = datetime(2027, 1, 14, 5, 6, tzinfo=UTC)


class SharedTopic(MemoryKeyedLog):
    """The topic `feeds`: each machine that is not cut off reads a record at once."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[SharedHolds] = []

    async def send(
        self,
        topic: str,
        partition: int,
        key: str,
        value: bytes | None,
        headers: RecordHeaders | None = None,
    ) -> PendingSend:
        pending_send = await super().send(topic, partition, key, value, headers)
        for reader in self.readers:
            await reader.apply(self.entries[-1:])
        return pending_send


class CountingServer(Server):
    """Server that also keeps the validators of each request."""

    def __init__(self) -> None:
        super().__init__()
        self.validators: list[Mapping[str, str]] = []
        self.dies_at_next = False

    async def fetch(
        self, spec: FeedSpec, request: FeedRequest, validators: Mapping[str, str]
    ) -> FeedResponse:
        self.validators.append(validators)
        answer = await super().fetch(spec, request, validators)
        if self.dies_at_next:
            raise Killed
        return answer


class Machine:
    """The watch of one machine, on a data folder of its own."""

    def __init__(self, folder: Path, world: World) -> None:
        self.store = FeedStore(folder / "feeds.db")
        self.store.enable(NAME, 0.0, enabled=True)
        memory = FeedMemory(self.store, MF, folder, samples=True)
        self.holds = SharedHolds(folder.name, self.store, {NAME: memory}, world.topic, MASTER)
        self.world = world
        self.clock = world.clock
        self.topic = world.topic
        self.engine = FeedEngine(
            self.store,
            world.server,  # type: ignore[arg-type]
            world.front,
            watched_92(),
            self.holds,
            clock=world.clock,
            chance=lambda: 0.5,
        )

    async def start(self, *, is_assigned: bool) -> None:
        """Read the topic, then follow it."""
        await self.holds.apply(self.topic.entries)
        self.topic.readers.append(self.holds)
        self.holds.is_current = True
        self.assign(is_assigned=is_assigned)

    def assign(self, *, is_assigned: bool) -> None:
        self.holds.turn = Turn([NAME] if is_assigned else [], self.world.alive)

    def freeze(self) -> None:
        """Stop reading; the machine does not know that it has."""
        self.topic.readers.remove(self.holds)

    def die(self) -> None:
        self.freeze()
        self.store.close()

    async def run(self) -> FetchVerdict | None:
        return await self.engine.run_round(MF)

    def status(self) -> FeedStatus:
        return describe_feed(MF.spec, self.store.get(NAME), self.store)


class World:
    """Everything that the machines share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.topic = SharedTopic()
        self.clock, self.server, self.front = Clock(), CountingServer(), Front()
        self.alive: list[str] = []
        """Machines that take part in the group, as far as the group tells them."""

    async def start(self, name: str, *, is_assigned: bool = False) -> Machine:
        machine = Machine(self.folder / name, self)
        await machine.start(is_assigned=is_assigned)
        return machine

    async def start_two(self) -> tuple[Machine, Machine]:
        return await self.start("first", is_assigned=True), await self.start("second")

    def serve(self, file: str) -> None:
        content = (SAMPLES / NAME / file).read_bytes()
        self.server.answer = FeedResponse(FetchVerdict.OK, content, {"ETag": f'"{file}"'})


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.serve("warning.json")
    return made


async def test_one_machine_fetches_and_all_have_its_memory(world: World) -> None:
    first, second = await world.start_two()
    assert await first.run() is FetchVerdict.OK
    assert await second.run() is None
    assert (world.server.asked, world.front.reports) == (1, REPORTS)
    assert second.status() == first.status()
    assert second.status().read_by == "first"
    assert second.store.get(NAME) == first.store.get(NAME)


async def test_another_machine_reports_once_that_an_alert_ended_meanwhile(world: World) -> None:
    first, second = await world.start_two()
    await first.run()
    first.die()
    second.assign(is_assigned=True)
    world.serve("end.json")
    world.clock.now = END
    assert await second.run() is FetchVerdict.OK
    ends = [event for event in world.front.requests if event["data"].get("msg_type") == "Cancel"]
    assert sorted(event["data"]["references"][0] for event in ends) == sorted(REPORTS)
    ids = [event["id"] for event in world.front.requests]
    assert len(ids) == len(set(ids))
    assert second.status().read_by == "second"


async def test_another_machine_asks_with_the_validators_and_reads_the_same_body(
    world: World,
) -> None:
    first, second = await world.start_two()
    await first.run()
    first.die()
    second.assign(is_assigned=True)
    world.server.answer = FeedResponse(FetchVerdict.UNCHANGED)
    world.clock.move(400)
    assert await second.run() is FetchVerdict.UNCHANGED
    assert world.server.validators[-1] == {"if-none-match": '"warning.json"'}


async def test_another_machine_keeps_the_time_of_the_next_round(world: World) -> None:
    first, second = await world.start_two()
    await first.run()
    first.die()
    second.assign(is_assigned=True)
    world.clock.move(MF.spec.poll_s * 0.9)
    assert await second.run() is None
    world.clock.move(MF.spec.poll_s * 0.2)
    assert await second.run() is FetchVerdict.UNCHANGED
    assert world.server.asked == 2


async def test_another_machine_sends_a_report_that_the_first_could_not(world: World) -> None:
    first, second = await world.start_two()
    world.front.away = True
    await first.run()
    assert second.status().waiting == len(REPORTS)
    first.die()
    world.front.away = False
    second.assign(is_assigned=True)
    await second.run()
    await second.run()
    assert [event["id"] for event in world.front.requests] == REPORTS
    assert (second.status().waiting, world.server.asked) == (0, 1)


async def test_a_report_is_on_the_topic_before_it_is_sent(world: World) -> None:
    first, second = await world.start_two()
    world.front.dies_after_next = True
    with pytest.raises(Killed):
        await first.run()
    world.front.dies_after_next = False
    first.die()
    second.assign(is_assigned=True)
    await second.run()
    assert (world.front.reports, world.server.asked) == (REPORTS, 1)


async def test_a_round_that_did_not_end_is_repeated_once_the_feed_may_be_asked(
    world: World,
) -> None:
    first, second = await world.start_two()
    world.server.dies_at_next = True
    with pytest.raises(Killed):
        await first.run()
    world.server.dies_at_next = False
    first.die()
    second.assign(is_assigned=True)
    world.clock.move(MF.spec.min_interval_s - 1)
    assert await second.run() is None
    world.clock.move(2)
    assert await second.run() is FetchVerdict.OK
    assert world.front.reports == REPORTS


async def test_a_frozen_machine_fetches_nothing_and_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "READ_BACK_S", 0.05)
    first, second = await world.start_two()
    await first.run()
    first.freeze()
    second.assign(is_assigned=True)
    world.clock.move(400)
    assert await second.run() is FetchVerdict.UNCHANGED
    state = second.store.get(NAME)
    world.clock.move(400)
    assert first.holds.is_holder(NAME), "it does not know better"
    assert await first.run() is None
    assert (world.server.asked, second.store.get(NAME)) == (2, state)
    await first.holds.apply(world.topic.entries)
    assert (first.holds.is_holder(NAME), first.status().read_by) == (False, "second")
    assert first.store.get(NAME).understood_at == state.understood_at


async def test_a_fetch_that_ends_too_late_changes_nothing(world: World) -> None:
    first, second = await world.start_two()

    class SlowServer(CountingServer):
        async def fetch(self, *args: Any) -> FeedResponse:
            first.assign(is_assigned=False)
            second.assign(is_assigned=True)
            assert await second.holds.acquire(NAME)
            return await world.server.fetch(*args)

    first.engine._transport = SlowServer()  # type: ignore[assignment]
    assert await first.run() is None
    assert (world.front.requests, second.status().read_by) == ([], "second")


async def test_a_living_machine_ends_its_round_before_another_takes_over(world: World) -> None:
    first, second = await world.start_two()
    world.alive = [first.holds.holder, second.holds.holder]
    is_held_back = []

    class SlowServer(CountingServer):
        async def fetch(self, *args: Any) -> FeedResponse:
            first.assign(is_assigned=False)
            second.assign(is_assigned=True)
            is_held_back.append(not await second.holds.acquire(NAME))
            return await world.server.fetch(*args)

    first.engine._transport = SlowServer()  # type: ignore[assignment]
    assert await first.run() is FetchVerdict.OK
    assert is_held_back == [True]
    assert await second.run() is None
    assert (world.server.asked, second.status().read_by) == (1, "second")
    assert world.front.reports == REPORTS


async def test_a_machine_that_lost_its_turn_shares_the_end_of_its_round(world: World) -> None:
    first, second = await world.start_two()
    world.alive = [first.holds.holder, second.holds.holder]

    class SlowServer(CountingServer):
        async def fetch(self, *args: Any) -> FeedResponse:
            first.assign(is_assigned=False)
            second.assign(is_assigned=True)
            world.topic.away = True
            return await world.server.fetch(*args)

    first.engine._transport = SlowServer()  # type: ignore[assignment]
    await first.run()
    assert world.front.requests == [], "nobody else knows of the reports"
    world.topic.away = False
    assert await second.run() is None
    assert await first.run() is None
    assert await second.run() is None
    assert (world.front.reports, world.server.asked) == (REPORTS, 1)
    assert second.status().read_by == "second"


async def test_the_first_of_two_machines_that_take_over_at_once_holds(world: World) -> None:
    first, second = await world.start_two()
    second.assign(is_assigned=True)
    first.freeze()
    second.freeze()
    for machine in (first, second):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(machine.holds.acquire(NAME), 0.05)
    for machine in (first, second):
        await machine.holds.apply(world.topic.entries)
    assert [m.status().read_by for m in (first, second)] == ["first", "first"]


async def test_nothing_is_fetched_while_the_brokers_are_away(world: World) -> None:
    first, _ = await world.start_two()
    await first.run()
    row = first.store.get(NAME)
    world.topic.away = True
    world.clock.move(400)
    assert await first.run() is None
    assert (world.server.asked, first.store.get(NAME)) == (1, row)
    world.topic.away = False
    assert await first.run() is FetchVerdict.UNCHANGED


async def test_the_memory_of_an_old_data_folder_is_taken_over(world: World) -> None:
    first = await world.start("first", is_assigned=True)
    first.engine._holds = FeedHolds()
    await first.run()
    first.engine._holds = first.holds
    assert world.topic.entries == []
    second = await world.start("second")
    world.clock.move(400)
    assert await first.run() is FetchVerdict.UNCHANGED
    assert second.store.get(NAME).memory == first.store.get(NAME).memory
    assert second.status().last_post == first.status().last_post


async def test_a_new_machine_reads_the_memory_from_the_topic(world: World) -> None:
    first = await world.start("first", is_assigned=True)
    await first.run()
    third = await world.start("third")
    assert third.status() == first.status()


async def test_a_machine_that_comes_back_goes_on_with_its_own_state(world: World) -> None:
    first = await world.start("first", is_assigned=True)
    await first.run()
    first.die()
    again = await world.start("first", is_assigned=True)
    world.clock.move(400)
    assert await again.run() is FetchVerdict.UNCHANGED
    assert world.front.reports == REPORTS


async def test_records_of_another_installation_change_nothing(world: World) -> None:
    first, second = await world.start_two()
    stranger = SharedHolds(
        "stranger",
        first.store,
        {NAME: FeedMemory(first.store, MF, world.folder, samples=True)},
        world.topic,
        MasterKey(bytes(31) + b"\1"),
    )
    await stranger._put("hold", NAME, {"epoch": 9, "holder": "stranger"})
    await first.run()
    assert second.status().read_by == "first"
    await second.holds.apply([KeyedEntry("feeds", 0, 99, f"state:{NAME}", None)])
    assert second.status().read_by == "first"


async def test_a_machine_that_reaches_no_publisher_gives_the_feed_away(world: World) -> None:
    first, second = await world.start_two()
    await first.run()
    assert first.holds.list_ranks() == second.holds.list_ranks()
    world.server.answer = FeedResponse(FetchVerdict.RETRY, fault="ConnectTimeout")
    for _ in range(sharing.GIVE_UP_FAILURES):
        world.clock.move(1000)
        assert await first.run() is FetchVerdict.RETRY
    assert first.holds.list_ranks()[NAME] < second.holds.list_ranks()[NAME]
    first.assign(is_assigned=False)
    second.assign(is_assigned=True)
    assert await second.holds.acquire(NAME)
    assert first.holds.list_ranks()[NAME] < second.holds.list_ranks()[NAME], "it has not tried"
    world.clock.move(1000)
    assert await second.run() is FetchVerdict.RETRY
    assert first.holds.list_ranks() == second.holds.list_ranks()


async def test_a_machine_without_the_key_leaves_the_feed_to_one_that_has_it(world: World) -> None:
    first, second = await world.start_two()
    world.server.answer = FeedResponse(FetchVerdict.AUTH, fault="http 401")
    assert await first.run() is FetchVerdict.AUTH
    assert first.holds.list_ranks()[NAME] < second.holds.list_ranks()[NAME]
    first.assign(is_assigned=False)
    second.assign(is_assigned=True)
    world.serve("warning.json")
    world.clock.move(MF.spec.min_interval_s + 1)
    assert await second.run() is FetchVerdict.OK


async def test_the_end_of_a_round_is_shared_once_the_brokers_are_back(world: World) -> None:
    first, second = await world.start_two()
    await first.run()
    world.clock.move(400)

    class CutOff(CountingServer):
        async def fetch(self, *args: Any) -> FeedResponse:
            world.topic.away = True
            return await world.server.fetch(*args)

    first.engine._transport = CutOff()  # type: ignore[assignment]
    assert await first.run() is FetchVerdict.UNCHANGED
    assert second.store.get_hold(NAME).is_fetching
    world.topic.away = False
    assert await first.run() is None
    assert not second.store.get_hold(NAME).is_fetching
    assert second.store.get(NAME) == first.store.get(NAME)


def test_feeds_are_spread_evenly_and_stay_where_they_are() -> None:
    names = [f"feed-{n}" for n in range(9)]
    ranks = dict.fromkeys(names, 3)
    alone = share_out({"a": MemberOffer(ranks)})
    assert alone == {"a": names}
    shares = share_out({"a": MemberOffer(ranks, names), "b": MemberOffer(ranks)})
    assert sorted(len(share) for share in shares.values()) == [4, 5]
    offers = {member: MemberOffer(ranks, share) for member, share in shares.items()}
    three = share_out(offers | {"c": MemberOffer(ranks)})
    assert [len(share) for share in three.values()] == [3, 3, 3]
    assert set(three["a"]) <= set(shares["a"])
    offers = {member: MemberOffer(ranks, share) for member, share in three.items()}
    assert share_out(offers) == three
    del offers["b"]
    left = share_out(offers)
    assert set(three["a"]) <= set(left["a"])
    assert sorted([*left["a"], *left["c"]]) == names


def test_a_feed_goes_to_the_machine_that_can_read_it() -> None:
    offers = {"a": MemberOffer({"x": 1, "y": 3}, ["x"]), "b": MemberOffer({"x": 3})}
    assert share_out(offers) == {"a": ["y"], "b": ["x"]}
