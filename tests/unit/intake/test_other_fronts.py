"""Two fronts of a cluster without Kafka: each reads every record that any of them appends."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest
from aiokafka import TopicPartition

from services.intake.admission import DailyQuota
from services.intake.field.rate_limits import AnonymousLimits, AnonymousReport
from services.intake.integrations.shared_signs import SignExchange
from services.intake.reports.answer_follower import AnswerFollower
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import create_principal
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal
from services.runtime.secrets.keyring import MasterKey
from tests.keyed import MemoryKeyedLog
from tests.unit.intake.conftest import Door, MemoryInputs, report

WINDOW_S = 600.0


class SharedLog(MemoryInputs):
    """Inputs of both fronts; readers get each record in the order of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.followers: list[AnswerFollower] = []
        self.is_read_first = False
        """Whether readers get a record before its acknowledgement arrives."""
        self._reading: set[asyncio.Task[None]] = set()
        self._in_order = asyncio.Lock()

    async def append(
        self,
        topic: str,
        realm: str,
        partition: int,
        value: bytes,
        headers: list[tuple[str, bytes]],
    ) -> tuple[int, int]:
        offset, at = await super().append(topic, realm, partition, value, headers)
        record = SimpleNamespace(
            topic=topic, key=realm.encode(), value=value, headers=headers, offset=offset
        )
        record.timestamp = at
        task = asyncio.create_task(self._read(TopicPartition(topic, partition), record))
        self._reading.add(task)
        if self.is_read_first:
            await task
        return offset, at

    async def wait_until_read(self) -> None:
        """Wait until both fronts have read every record."""
        await asyncio.gather(*self._reading)

    async def _read(self, place: TopicPartition, record: Any) -> None:
        async with self._in_order:
            for follower in self.followers:
                await follower._store_reports(place, [record])


class AllMarks:
    """Marks that prove every record."""

    def proves(self, record: Any) -> bool:  # noqa: ARG002
        return True


class Fronts:
    """Two fronts with one master key, one log and one account."""

    def __init__(self, folder: Path) -> None:
        """Make the fronts, with room for twenty reports at once of a sender with a limit."""
        MasterKey.open(folder / "secrets")
        self.log = SharedLog()
        self.doors: list[Door] = []
        for name in ("first", "second"):
            shutil.copytree(folder / "secrets", folder / name / "secrets")
            door = Door(
                folder / name,
                reports_per_s=0.01,
                reports_burst=20,
                danger_per_s=0.01,
                danger_burst=4,
            )
            door.intake.receiver._inputs = self.log  # type: ignore[assignment]
            follower = AnswerFollower(
                door.intake.ledger,
                "",
                AllMarks(),  # type: ignore[arg-type]
                door.intake.charge_elsewhere,
            )
            door.intake.receiver._follower = follower
            self.log.followers.append(follower)
            self.doors.append(door)

    async def clients(self, principal: Principal) -> list[httpx.AsyncClient]:
        made = []
        for door in self.doors:
            _, token = await door.intake.access.create_token(principal)
            made.append(door.client(Authorization=f"Bearer {token}"))
        return made


@pytest.fixture
async def fronts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fronts]:
    monkeypatch.setattr("services.intake.reports.answer_follower.CONFIRM_S", 60.0)
    made = Fronts(tmp_path)
    yield made
    for door in made.doors:
        await door.close()


async def test_another_body_under_the_same_key_is_refused_at_another_front(
    fronts: Fronts,
) -> None:
    first, second = await fronts.clients(create_principal(Role.ADMIN))
    key = {"Idempotency-Key": uuid4().hex}
    accepted = await first.post("/api/v1/reports", json=report(), headers=key)
    assert accepted.status_code == 202
    await fronts.log.wait_until_read()
    other = await second.post("/api/v1/reports", json=report(headline="Autre"), headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    again = await second.post("/api/v1/reports", json=report(), headers=key)
    assert again.json()["report_id"] == accepted.json()["report_id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(fronts.log.appended) == 1


async def test_one_of_two_bodies_at_the_same_moment_counts(fronts: Fronts) -> None:
    """The text of the other never replaces that of the first."""
    clients = await fronts.clients(create_principal(Role.ADMIN))
    key = {"Idempotency-Key": uuid4().hex}
    answers = await asyncio.gather(
        *(
            http.post("/api/v1/reports", json=report(headline=headline), headers=key)
            for http, headline in zip(clients, ("Une", "Autre"), strict=True)
        )
    )
    assert len(fronts.log.appended) == 2
    assert [a.status_code for a in answers] == [202, 422]
    texts = [e.key for door in fronts.doors for e in door.texts_log.entries]
    assert texts == [f"report-{answers[0].json()['report_id']}"]


@pytest.mark.parametrize(("kind", "room"), [("outage_power", 20), ("fire", 25)])
async def test_a_sender_has_one_rate_at_all_fronts(fronts: Fronts, kind: str, room: int) -> None:
    """Danger to people has the room of others, and a quarter of it for itself."""
    clients = await fronts.clients(create_principal(Role.SOURCE))
    statuses = []
    for number in range(40):
        http = clients[number % 2]
        answer = await http.post("/api/v1/reports", json=report(type=kind, headline=str(number)))
        statuses.append(answer.status_code)
        await fronts.log.wait_until_read()
    assert statuses == [202] * room + [503] * (40 - room)


async def test_a_report_that_its_own_front_reads_first_costs_once(fronts: Fronts) -> None:
    fronts.log.is_read_first = True
    http, _ = await fronts.clients(create_principal(Role.SOURCE))
    for number in range(20):
        answer = await http.post("/api/v1/reports", json=report(headline=str(number)))
        assert answer.status_code == 202


async def test_reports_at_several_fronts_at_once_are_owed(fronts: Fronts) -> None:
    clients = await fronts.clients(create_principal(Role.SOURCE))
    body = {"reports": [report(headline=str(number)) for number in range(15)]}
    other = {"reports": [report(headline=f"Autre {number}") for number in range(15)]}
    answers = await asyncio.gather(
        *(
            http.post("/api/v1/reports:batch", json=each)
            for http, each in zip(clients, (body, other), strict=True)
        )
    )
    assert [answer.status_code for answer in answers] == [202, 202]
    await fronts.log.wait_until_read()
    for http in clients:
        refused = await http.post("/api/v1/reports", json=report())
        assert int(refused.headers["Retry-After"]) == 60
    assert (await clients[0].post("/api/v1/reports", json=report(type="fire"))).status_code == 202


async def test_a_report_read_late_costs_its_sender_nothing(
    fronts: Fronts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.intake.app.CHARGED_MS", -(10**14))
    first, second = await fronts.clients(create_principal(Role.SOURCE))
    for number in range(20):
        await first.post("/api/v1/reports", json=report(headline=str(number)))
    await fronts.log.wait_until_read()
    assert (await second.post("/api/v1/reports", json=report())).status_code == 202


async def test_a_quota_of_a_day_holds_at_all_fronts(fronts: Fronts) -> None:
    log, master, clock = MemoryKeyedLog(), MasterKey(b"k" * 32), [0.0]
    quotas = [DailyQuota(3, 10, clock=lambda: clock[0]) for _ in fronts.doors]
    exchanges = [
        SignExchange("", d.intake.access, d.intake.book, log, master, {"photos": quota}, str(n))
        for n, (d, quota) in enumerate(zip(fronts.doors, quotas, strict=True))
    ]

    assert quotas[0].count_item("a", 1)
    assert quotas[1].count_item("a", 8)
    await exchange(exchanges, log)
    assert [quota.count_item("a", 2) for quota in quotas] == [False, False]
    assert quotas[0].count_item("a", 1)
    await exchange(exchanges, log)
    assert [quota.count_item("a", 0) for quota in quotas] == [False, False]
    record_count = len(log.entries)
    await exchange(exchanges, log)
    assert len(log.entries) == record_count
    clock[0] += 86_400
    assert [quota.count_item("a", 10) for quota in quotas] == [True, True]


async def test_a_stranger_gains_nothing_at_another_front(fronts: Fronts) -> None:
    log, master, now = MemoryKeyedLog(), MasterKey(b"k" * 32), [1_000_000.0]
    limits = [AnonymousLimits(4, 2, WINDOW_S, clock=lambda: now[0]) for _ in fronts.doors]
    exchanges = []
    for number, (door, each) in enumerate(zip(fronts.doors, limits, strict=True)):
        counts = {"places": each.places, "strangers": each.senders}
        exchanges.append(
            SignExchange("", door.intake.access, door.intake.book, log, master, counts, str(number))
        )
    assert [try_report(limits[0], "first"), try_report(limits[1], "first")] == [True, True]
    await exchange(exchanges, log)
    assert [try_report(each, "first") for each in limits] == [False, False]
    assert [try_report(each, "second") for each in limits] == [True, True]
    await exchange(exchanges, log)
    assert [try_report(each, "third") for each in limits] == [False, False], "the place is full"
    assert [try_report(each, "third", is_danger=True) for each in limits] == [True, True]
    record_count = len(log.entries)
    await exchange(exchanges, log)
    await exchange(exchanges, log)
    assert len(log.entries) == record_count + len(exchanges), "a count is told once"
    now[0] += WINDOW_S
    assert [try_report(each, "first") for each in limits] == [True, True]


def try_report(limits: AnonymousLimits, sender: str, *, is_danger: bool = False) -> bool:
    """Return whether a report of a stranger is accepted."""
    try:
        limits.admit(AnonymousReport("poster", sender, "clg-1 outage_water", is_danger))
    except ProblemError:
        return False
    return True


async def exchange(exchanges: list[SignExchange], log: MemoryKeyedLog) -> None:
    """Send the counts of each front to all others."""
    for one in exchanges:
        await one.send()
    for entry in log.entries:
        for one in exchanges:
            one.apply_record(entry.key.encode(), entry.value)


async def test_a_front_that_reads_too_slowly_answers_all_the_same(
    fronts: Fronts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.intake.reports.answer_follower.CONFIRM_S", 0.0)
    fronts.log.followers.clear()
    first, _ = await fronts.clients(create_principal(Role.ADMIN))
    key = {"Idempotency-Key": uuid4().hex}
    assert (await first.post("/api/v1/reports", json=report(), headers=key)).status_code == 202
