"""A missing sign of life opens an incident until the source reports again, across restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.intake.integrations.heartbeats import HeartbeatMonitor
from services.intake.integrations.shared_signs import SignExchange, calculate_grace
from services.intake.integrations.source_stats import SourceStats
from services.runtime.identity.permissions import Role
from services.runtime.secrets.keyring import MasterKey
from tests.keyed import MemoryKeyedLog
from tests.unit.intake.conftest import Door, report
from tests.unit.intake.machines.test_machines import offered_again

BEGAN = 1_795_000_000_000
MINUTE = 60_000


async def made(door: Door, **record: Any) -> str:
    """Create a source that promises a sign every minute; return its key."""
    async with await door.as_(Role.ADMIN) as http:
        answer = await http.post(
            "/api/v1/sources",
            json={"name": "nuit", "dialect": "opsgenie", "site": "cen-1", "heartbeat_s": 60}
            | record,
        )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def told(door: Door) -> list[tuple[str, str]]:
    return [(m.msg_type.value, m.type.value) for _, m, _ in door.inputs.appended]


def id_of(door: Door) -> str:
    from services.runtime.identity.principals import Source

    return next(s.id for s in door.intake.access.all(Source) if s.name == "nuit")


async def test_silence_is_reported_once_and_over_when_it_speaks(door: Door) -> None:
    await made(door)
    watch, book = door.intake.heartbeats, door.intake.book
    await watch.check(BEGAN)
    await watch.check(BEGAN + MINUTE - 1)
    assert told(door) == [], "no silence before one period after the start"
    book.heard(id_of(door), BEGAN + MINUTE // 2)
    await watch.check(BEGAN + MINUTE + 1)
    assert told(door) == []
    for late in (0, 1, 5_000):
        await watch.check(BEGAN + MINUTE // 2 + MINUTE + late)
    assert told(door) == [("Alert", "outage_it")]
    opening = door.inputs.appended[0][1]
    assert (opening.site_id, opening.severity, opening.source, opening.occurred_at) == (
        "cen-1",
        2,
        "systeme",
        BEGAN + MINUTE // 2,
    )
    assert opening.measure is not None
    assert opening.measure.object == "system:source.nuit"
    book.heard(id_of(door), BEGAN + 3 * MINUTE)
    await watch.check(BEGAN + 3 * MINUTE + 1)
    await watch.check(BEGAN + 3 * MINUTE + 2)
    assert told(door) == [("Alert", "outage_it"), ("Cancel", "outage_it")]
    assert door.inputs.appended[1][1].references == (opening.report_id,)
    await watch.check(BEGAN + 5 * MINUTE)
    assert told(door)[2:] == [("Alert", "outage_it")], "another silence is another report"


async def test_a_ping_of_opsgenie_is_a_sign_of_life_and_so_is_a_refused_message(door: Door) -> None:
    key = await made(door)
    async with door.client(Authorization=f"GenieKey {key}") as http:
        assert (await http.get("/v2/heartbeats/nuit/ping")).status_code == 202
        pinged = door.intake.book.health(id_of(door)).last_seen
        assert pinged is not None
        assert (await http.post("/v2/alerts", json={})).status_code == 422
    refused = door.intake.book.health(id_of(door))
    assert refused.last_seen is not None
    assert refused.last_seen >= pinged
    assert dict(refused.refused) == {"invalid": 1}
    assert refused.per_minute(refused.last_seen) == 0.2


async def test_a_native_report_is_a_sign_of_life_too(door: Door) -> None:
    key = await made(door)
    async with door.client(Authorization=f"Bearer {key}") as http:
        assert (await http.post("/api/v1/reports", json=report())).status_code == 202
    assert door.intake.book.health(id_of(door)).last_seen is not None


async def test_a_replay_is_no_sign_of_life(door: Door) -> None:
    """A silent source does not speak because the cell replays an old message."""
    key = await made(door)
    async with door.client(Authorization=f"GenieKey {key}") as http:
        assert (await http.post("/v2/alerts", json={})).status_code == 422
        assert (
            await http.post(
                "/api/v1/reports",
                json=report(severity=9),
                headers={"Authorization": f"Bearer {key}"},
            )
        ).status_code == 422
    last_seen_at = door.intake.book.health(id_of(door)).last_seen
    await asyncio.sleep(0.002)
    for right in ({"message": "Pompe"}, report()):
        refused_message = door.intake.refused._queue.get_nowait()
        assert (await offered_again(door, refused_message, orjson.dumps(right))).status_code == 202
    assert door.intake.book.health(id_of(door)).last_seen == last_seen_at


async def test_a_restart_neither_repeats_nor_forgets_a_silence(door: Door, tmp_path: Path) -> None:
    await made(door)
    await door.intake.heartbeats.check(BEGAN)
    await door.intake.heartbeats.check(BEGAN + MINUTE)
    assert len(door.inputs.appended) == 1
    await door.intake.book.flush()

    def restarted() -> HeartbeatMonitor:
        return HeartbeatMonitor(
            door.intake.access,
            door.intake.front._machines.transitions,
            door.intake.ledger,
            door.intake.book,
        )

    again = restarted()
    await again.check(BEGAN + 10 * MINUTE)
    await again.check(BEGAN + 11 * MINUTE)
    assert len(door.inputs.appended) == 1, "the silence goes on: it is known from the log"
    door.intake.book.heard(id_of(door), BEGAN + 12 * MINUTE)
    await restarted().check(BEGAN + 12 * MINUTE + 1)
    assert told(door)[1:] == [("Cancel", "outage_it")]


async def test_the_log_away_delays_the_report_and_loses_it_not(door: Door) -> None:
    await made(door)
    await door.intake.heartbeats.check(BEGAN)
    door.inputs.away = True
    await door.intake.heartbeats.check(BEGAN + MINUTE)
    door.inputs.away = False
    door.intake.receiver.away = False
    await door.intake.heartbeats.check(BEGAN + MINUTE + 1000)
    assert told(door) == [("Alert", "outage_it")]


@pytest.mark.parametrize("record", [{"heartbeat_s": None}, {"scope": {"realms": ["92~ex-1"]}}])
async def test_sources_without_a_promise_or_in_an_exercise_may_be_silent(
    door: Door, record: dict[str, Any]
) -> None:
    await made(door, **record)
    await door.intake.heartbeats.check(BEGAN)
    await door.intake.heartbeats.check(BEGAN + 100 * MINUTE)
    assert told(door) == []


async def test_a_source_that_is_stopped_by_a_person_is_no_longer_waited_for(door: Door) -> None:
    await made(door)
    await door.intake.heartbeats.check(BEGAN)
    await door.intake.heartbeats.check(BEGAN + MINUTE)
    async with await door.as_(Role.ADMIN) as http:
        assert (await http.post("/api/v1/sources/nuit/disable")).status_code == 200
    await door.intake.heartbeats.check(BEGAN + 2 * MINUTE)
    await door.intake.heartbeats.check(BEGAN + 9 * MINUTE)
    assert told(door) == [("Alert", "outage_it"), ("Cancel", "outage_it")]


async def test_a_source_that_another_front_hears_is_not_silent(door: Door, tmp_path: Path) -> None:
    await made(door)
    source, log, master = id_of(door), MemoryKeyedLog(), MasterKey(b"k" * 32)
    other_book = SourceStats(tmp_path / "other.db")
    other = SignExchange("", door.intake.access, other_book, log, master)
    here = SignExchange("", door.intake.access, door.intake.book, log, master)
    stranger = SignExchange("", door.intake.access, other_book, log, MasterKey(b"s" * 32))
    watch = HeartbeatMonitor(
        door.intake.access,
        door.intake.heartbeats._transitions,
        door.intake.ledger,
        door.intake.book,
        is_shared=True,
    )
    await watch.check(BEGAN)
    # Signs that follow closely share a record; what stays behind is within the grace
    for sign_time in (BEGAN + MINUTE // 2, BEGAN + MINUTE // 2 + 4_999):
        other_book.heard(source, sign_time)
        await other.send()
    assert len(log.entries) == 1
    here.apply_record(log.entries[0].key.encode(), log.entries[0].value)
    assert door.intake.book.health(source).last_seen == BEGAN + MINUTE // 2
    other_book.heard(source, BEGAN + 10 * MINUTE)
    await stranger.send()
    here.apply_record(log.entries[1].key.encode(), log.entries[1].value)
    here.apply_record(b"signs", None)
    await watch.check(BEGAN + MINUTE // 2 + 4_999 + MINUTE)
    assert told(door) == []
    await watch.check(BEGAN + MINUTE // 2 + MINUTE + calculate_grace(MINUTE))
    assert told(door) == [("Alert", "outage_it")]
    other_book.close()
