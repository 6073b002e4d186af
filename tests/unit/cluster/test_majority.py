"""A machine that sees no majority of its cluster says so, after two looks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.appliance.cluster import majority
from services.appliance.cluster.majority import MajorityWatch
from services.appliance.supervisor import membership, up
from services.runtime.process.cluster import ClusterMember, Machine, read_majority
from services.runtime.process.settings import Settings

MACHINES = tuple(
    Machine(n, f"10.0.0.{n}:9093", f"10.0.0.{n}:9094", f"http://10.0.0.{n}:8092") for n in (1, 2, 3)
)
MEMBER = ClusterMember("Kp9", 1, MACHINES)


class Brokers:
    """Brokers of which some know the leader."""

    def __init__(self, *knowing: str) -> None:
        self.knowing = set(knowing)
        self.asked: list[str] = []

    async def look(self, address: str) -> bool:
        self.asked.append(address)
        return address in self.knowing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cluster.json"


async def test_a_machine_that_sees_the_leader_asks_its_own_broker_alone(file: Path) -> None:
    brokers = Brokers("10.0.0.1:9093")
    assert await MajorityWatch(file, brokers.look).look(MEMBER)
    assert brokers.asked == ["10.0.0.1:9093"]


async def test_a_broker_that_is_away_does_not_cut_its_machine_off(file: Path) -> None:
    watch = MajorityWatch(file, Brokers("10.0.0.3:9093").look)
    assert [await watch.look(MEMBER) for _ in range(3)] == [True, True, True]


async def test_two_looks_without_a_leader_cut_a_machine_off(file: Path) -> None:
    brokers = Brokers()
    watch = MajorityWatch(file, brokers.look)
    assert [await watch.look(MEMBER) for _ in range(2)] == [True, False]
    first_state = read_majority(file)
    assert first_state is not None
    assert not first_state.has_majority
    assert first_state.fronts == ("http://10.0.0.2:8092", "http://10.0.0.3:8092")
    brokers.knowing = {"10.0.0.1:9093"}
    assert await watch.look(MEMBER)
    second_state = read_majority(file)
    assert second_state is not None
    assert second_state.has_majority


async def test_the_time_of_a_cut_stays(file: Path) -> None:
    watch = MajorityWatch(file, Brokers().look)
    for _ in range(2):
        await watch.look(MEMBER)
    first = read_majority(file)
    await watch.look(ClusterMember("Kp9", 1, MACHINES[:2]))
    later = read_majority(file)
    assert first is not None
    assert later is not None
    assert later.since_ms == first.since_ms
    assert later.fronts == ("http://10.0.0.2:8092",)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"has_majority": true}'])
def test_a_damaged_file_says_nothing(file: Path, text: str) -> None:
    file.write_text(text)
    assert read_majority(file) is None


async def test_a_meeting_that_waits_for_others_does_not_delay_the_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A meeting waits up to a minute for machines that are away, just when pages must say so."""
    is_meeting, is_looking, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def meet(*_: object) -> None:
        is_meeting.set()
        await asyncio.Event().wait()

    async def look(_watch: MajorityWatch, _member: ClusterMember) -> bool:
        await is_meeting.wait()
        is_looking.set()
        return False

    monkeypatch.setattr(membership, "meet_cluster", meet)
    monkeypatch.setattr(membership, "INTERVAL_S", 0)
    monkeypatch.setattr(majority, "INTERVAL_S", 0)
    monkeypatch.setattr(majority, "read_member", lambda _: MEMBER)
    monkeypatch.setattr(MajorityWatch, "look", look)
    options = SimpleNamespace(settings=Settings(data_dir=tmp_path), member=MEMBER)
    stop_task = asyncio.create_task(stop.wait())
    waiting = asyncio.create_task(
        up._wait_for_stop(cast("Any", options), cast("Any", None), stop_task)
    )
    async with asyncio.timeout(5):
        await is_looking.wait()
    stop.set()
    await waiting
