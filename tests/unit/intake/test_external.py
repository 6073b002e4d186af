"""Records of `events.external`: one report each, repetitions and restarts without effect, every
refusal with its reason.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.intake.dead_letters.dead_letter_store import RefusedMessage
from services.runtime.identity.permissions import Role
from tests.unit.intake.conftest import Door

NATIVE = {
    "site_id": "col-001",
    "type": "outage_power",
    "severity": 3,
    "occurred_at": "2026-11-24T09:40:00+01:00",
}
STRUCTURED = "application/cloudevents+json"


@dataclass
class Record:
    """Record as returned by aiokafka."""

    value: bytes | None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_795_000_000_000


class MemoryLane:
    """Stands for `DeadLetterStore`."""

    def __init__(self) -> None:
        self.kept: list[RefusedMessage] = []

    async def keep_now(self, refused: RefusedMessage) -> None:
        self.kept.append(refused)


@pytest.fixture
async def lane(door: Door) -> MemoryLane:
    made = MemoryLane()
    door.intake.external._refused = made  # type: ignore[assignment]
    async with await door.as_(Role.ADMIN) as http:
        record = {
            "name": "gtb",
            "dialect": "cloudevents",
            "site": "cen-1",
            "speaks_for": ["urn:gtb:92", "urn:capteurs:*"],
        }
        assert (await http.post("/api/v1/sources", json=record)).status_code == 201
    return made


def binary(data: Any, id: str = "e-1", source: str = "urn:gtb:92", **more: str) -> Record:
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": id,
        "ce_source": source,
        "ce_type": "fr.92.gtb",
        "content-type": "application/json",
    } | more
    return Record(
        data if data is None or isinstance(data, bytes) else orjson.dumps(data),
        [(n, v.encode()) for n, v in attributes.items() if v],
    )


def structured(data: Any, id: str = "e-1", source: str = "urn:gtb:92", **more: Any) -> Record:
    event = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": "fr.92.gtb",
        "data": data,
    } | more
    return Record(orjson.dumps(event), [("content-type", f"{STRUCTURED}; charset=utf-8".encode())])


async def offered(door: Door, *records: Record) -> None:
    for n, record in enumerate(records):
        record.offset = n
    await door.intake.external._take_in_order(0, list(records))


async def test_binary_and_structured_are_the_same_report_once(door: Door, lane: MemoryLane) -> None:
    await offered(
        door, binary(NATIVE), structured(NATIVE), binary(NATIVE), binary(NATIVE, id="e-2")
    )
    assert [(m.site_id, m.type.value, m.dialect) for _, m, _ in door.inputs.appended] == [
        ("col-001", "outage_power", "cloudevents")
    ] * 2
    assert lane.kept == []
    assert door.intake.book.positions() == {0: 4}


async def test_an_event_without_a_time_is_of_when_it_was_written(
    door: Door, lane: MemoryLane
) -> None:
    """The front may read it hours later."""
    written_at = time.time_ns() // 1_000_000 - 3_600_000
    record = binary({"title": "Pompe muette", "id": "p1"})
    record.timestamp = written_at
    await offered(door, record)
    assert [m.occurred_at for _, m, _ in door.inputs.appended] == [written_at]
    assert lane.kept == []


async def test_the_bytes_of_a_record_with_any_headers_are_shown(
    door: Door, lane: MemoryLane
) -> None:
    """Kafka carries values that HTTP cannot."""
    record = structured(NATIVE)
    record.headers = [("content-type", f"{STRUCTURED}; a=b\r\nSet-Cookie: c=d".encode())]
    await offered(door, record)
    async with await door.as_(Role.ADMIN) as http:
        answer = await http.get(f"/api/v1/reports/{door.inputs.appended[0][1].report_id}/raw")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (
        200,
        record.value,
        "application/octet-stream",
    )


async def test_an_event_over_http_and_over_kafka_is_one(door: Door, lane: MemoryLane) -> None:
    await offered(door, binary(NATIVE))
    async with await door.as_(Role.ADMIN) as admin:
        made = (await admin.get("/api/v1/sources")).json()["items"][0]
    from services.runtime.identity.principals import Source

    source = next(s for s in door.intake.access.all(Source) if s.name == made["name"])
    principal = door.intake.access.principal(source.id)
    assert principal is not None
    _, key = await door.intake.access.create_token(principal)
    event = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "urn:gtb:92",
        "type": "fr.92.gtb",
        "data": NATIVE,
    }
    async with door.client(
        **{"Authorization": f"Bearer {key}", "Content-Type": STRUCTURED}
    ) as http:
        assert (await http.post("/api/v1/events", content=orjson.dumps(event))).status_code == 202
    assert len(door.inputs.appended) == 1


async def test_a_signal_read_again_after_its_end_opens_nothing(
    door: Door, lane: MemoryLane
) -> None:
    begins, ends = (
        {"title": "Ascenseur bloqué", "status": "firing"},
        {"title": "Ascenseur bloqué", "status": "resolved"},
    )
    storm = [binary(begins, id="a", ce_subject="asc-1"), binary(ends, id="b", ce_subject="asc-1")]
    await offered(door, *storm)
    door.intake.front._machines.transitions.episodes._newest.clear()
    await offered(door, *storm)
    assert [m.type.value for _, m, _ in door.inputs.appended] == ["outage_it", "reopening"]
    await offered(door, binary(begins, id="c", ce_subject="asc-1"))
    assert [m.type.value for _, m, _ in door.inputs.appended] == [
        "outage_it",
        "reopening",
        "outage_it",
    ]


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (binary(None), "body"),
        (binary(b""), "body"),
        (structured(None), "data"),
        (binary(NATIVE, ce_id=""), "ce-id"),
        (binary(NATIVE, ce_specversion="0.3"), "ce-specversion"),
        (binary(NATIVE, ce_specversion=""), "ce_specversion"),
        (binary(NATIVE, source="urn:nobody"), "source"),
        (binary(NATIVE, source=""), "source"),
        (binary(b"{"), "body"),
        (binary(NATIVE | {"severity": 9}), "severity"),
        (Record(b"\xff\xfe", [("content-type", STRUCTURED.encode())]), "body"),
        (Record(b"[]", [("content-type", b"application/cloudevents-batch+json")]), "content-type"),
        (Record(b"", []), "ce_specversion"),
        (Record(b"", [("ce_traceparent", None), ("ce_type", None)]), "ce_specversion"),
        (Record(None, [("ce_specversion", b"1.0"), ("ce_source", b"\xff\xff")]), "source"),
    ],
)
async def test_a_bad_record_is_kept_with_its_reason_and_stops_nothing(
    door: Door, lane: MemoryLane, record: Record, field: str
) -> None:
    await offered(door, record, binary(NATIVE, id="good"))
    (refused_message,) = lane.kept
    assert [f.field for f in refused_message.problem.faults] == [field]
    assert (refused_message.place, refused_message.body) == (
        ("events.external", 0, 0),
        record.value or b"",
    )
    assert len(door.inputs.appended) == 1


async def test_a_defect_of_ours_costs_its_record_alone(
    door: Door, lane: MemoryLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("defect")

    with monkeypatch.context() as patch:
        patch.setattr("services.intake.integrations.cloudevents.parse_time", broken)
        await offered(door, binary(NATIVE))
    await offered(door, binary(NATIVE))
    assert [k.problem.code for k in lane.kept] == ["internal"]
    assert len(door.inputs.appended) == 1


async def test_a_source_speaks_for_its_own_names_only_and_the_longest_wins(
    door: Door, lane: MemoryLane
) -> None:
    async with await door.as_(Role.ADMIN) as http:
        record = {
            "name": "capteurs-eau",
            "dialect": "cloudevents",
            "site": "cen-2",
            "speaks_for": ["urn:capteurs:eau:*"],
            "type": "outage_water",
        }
        assert (await http.post("/api/v1/sources", json=record)).status_code == 201
        again = await http.post("/api/v1/sources", json=record | {"name": "autre"})
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        other = await http.post(
            "/api/v1/sources",
            json=record | {"name": "autre", "dialect": "generic", "speaks_for": ["urn:x"]},
        )
        assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "speaks_for")
    signal = {"title": "fuite", "status": "firing"}
    await offered(
        door,
        binary(signal, id="1", source="urn:capteurs:eau:3"),
        binary(signal, id="2", source="urn:capteurs:gaz:3"),
    )
    assert [(m.type.value, m.site_id) for _, m, _ in door.inputs.appended] == [
        ("outage_water", "cen-2"),
        ("outage_it", "cen-1"),
    ]
    async with await door.as_(Role.ADMIN) as http:
        assert (await http.post("/api/v1/sources/capteurs-eau/disable")).status_code == 200
    await offered(door, binary(signal, id="3", source="urn:capteurs:eau:3"))
    assert door.inputs.appended[-1][1].site_id == "cen-1", (
        "the wider name of another source takes it"
    )


async def test_a_record_that_may_pass_later_is_retried(
    door: Door, lane: MemoryLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def back(seconds: float) -> None:
        waited.append(seconds)
        door.inputs.away = len(waited) < 3

    door.inputs.away = True
    monkeypatch.setattr("services.intake.integrations.external_events.asyncio.sleep", back)
    await offered(door, binary(NATIVE))
    assert len(waited) >= 3
    assert (len(door.inputs.appended), lane.kept) == (1, [])


async def test_health_and_positions_survive_a_restart(
    door: Door, lane: MemoryLane, tmp_path: Path
) -> None:
    await offered(door, binary(NATIVE), binary(b"{", id="bad"))
    await door.intake.book.flush()
    await door.close()
    again = Door(tmp_path)
    try:
        assert again.intake.book.positions() == {0: 2}
        health = again.intake.book.health(lane.kept[0].principal.id)
        assert (health.accepted, dict(health.refused), health.last_refusal is not None) == (
            1,
            {"not_json": 1},
            True,
        )
        assert health.last_seen is not None
    finally:
        door.intake = again.intake


@pytest.mark.parametrize(
    "written",
    [-1, 0, 1_795_000_000_000_000, 9_223_372_036_854_775_807],
    ids=["unset", "zero", "microseconds", "last"],
)
async def test_a_record_with_an_impossible_time_is_kept_as_of_now(
    door: Door, lane: MemoryLane, written: int
) -> None:
    record = binary(b"{")
    record.timestamp = written
    await offered(door, record)
    assert [r.at for r in lane.kept] == [None]
