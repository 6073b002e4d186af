"""Legal but odd bodies are accepted, or refused with a reason and kept, without side effects."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from services.intake.dead_letters.dead_letter_store import RefusedMessage
from services.runtime.identity.permissions import Role
from services.runtime.secrets.vault import TextItem
from tests.unit.intake.conftest import Door, report
from tests.unit.intake.machines.test_machines import source

DEEP = b"[" * 400 + b"1" + b"]" * 400
"""Can be read, and not be written."""
EVENT = {"specversion": "1.0", "source": "urn:gtb", "type": "t"}
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


class Kept:
    """Kept refusals."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.refused: list[RefusedMessage] = []
        door.intake.refused.keep = self.refused.append  # type: ignore[method-assign]

    async def send(
        self, dialect: str, path: str, body: bytes, kind: str = "application/json"
    ) -> Any:
        key = (await source(self.door, dialect, dialect=dialect))["key"]
        async with self.door.client(Authorization=f"Bearer {key}") as http:
            return await http.post(path, content=body, headers={"content-type": kind})

    @property
    def codes(self) -> list[str]:
        return [r.problem.code for r in self.refused]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    door = Door(tmp_path)
    yield Kept(door)
    await door.close()


def with_data(id: str, data: bytes) -> bytes:
    return orjson.dumps(EVENT | {"id": id})[:-1] + b',"data":' + data + b"}"


async def test_a_member_that_is_too_deep_costs_the_batch_nothing(kept: Kept) -> None:
    deep = orjson.dumps(report())[:-1] + b',"x":' + DEEP + b"}"
    async with await kept.door.as_(Role.CELL) as http:
        response = await http.post(
            "/api/v1/reports:batch",
            content=b"[%s,%s]" % (deep, orjson.dumps(report())),
            headers={"content-type": "application/json"},
        )
    assert response.status_code == 207
    assert [(i["status"], i.get("problem", {}).get("code")) for i in response.json()["items"]] == [
        (422, "invalid"),
        (202, None),
    ]


async def test_a_refused_member_of_a_batch_can_be_offered_again_by_itself(kept: Kept) -> None:
    async with await kept.door.as_(Role.CELL) as http:
        assert (
            await http.post("/api/v1/reports:batch", json=[report(severity=9), report()])
        ).status_code == 207
    (refused,) = kept.refused
    assert refused.path == "/api/v1/reports"
    assert orjson.loads(refused.body)["severity"] == 9


@pytest.mark.parametrize("depth", [20, 990])
async def test_wrapped_text_messages_have_a_bound(kept: Kept, depth: int) -> None:
    response = await kept.send("sms", "/webhooks/sms", b"[" * depth + b"]" * depth)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "depth")
    async with kept.door.client() as stranger:
        assert (
            await stranger.post("/webhooks/sms?token=x", content=b"[" * depth + b"]" * depth)
        ).status_code == 401


@pytest.mark.parametrize("severity", ["1" * 5_000, "٣" * 5_000, 10**300, -1])
async def test_a_severity_of_many_digits_is_none(kept: Kept, severity: Any) -> None:
    body = b'{"title":"Fuite","severity":%s}' % (
        b'"%s"' % severity.encode() if isinstance(severity, str) else b"%d" % severity
    )
    assert (await kept.send("generic", "/webhooks/generic/generic", body)).status_code == 202
    assert [m.severity for _, m, _ in kept.door.inputs.appended] == [3]


@pytest.mark.parametrize(
    "event",
    [
        with_data("1", DEEP),
        with_data(
            "2",
            b'{"type":"info","severity":1,"occurred_at":"2027-01-01T00:00:00Z","x":' + DEEP + b"}",
        ),
        orjson.dumps(EVENT | {"id": "3", "data_base64": "é"}),
        orjson.dumps(EVENT | {"id": "4"}),
        b"{}",
        b"null",
    ],
    ids=["deep", "deep report", "base64", "no data", "empty", "null"],
)
async def test_one_bad_event_costs_the_batch_nothing(kept: Kept, event: bytes) -> None:
    good = with_data("9", b'{"title":"Fuite"}')
    response = await kept.send("cloudevents", "/api/v1/events", b"[%s,%s]" % (event, good), BATCH)
    assert response.status_code == 202
    assert len(kept.door.inputs.appended) == 1
    assert kept.codes == ["invalid"]
    alone = await kept.door.client(Authorization=f"Bearer {await _key(kept)}").post(
        "/api/v1/events", content=event, headers={"content-type": STRUCTURED}
    )
    assert alone.status_code == 422


async def _key(kept: Kept) -> str:
    return str((await source(kept.door, "autre", dialect="cloudevents"))["key"])


@pytest.mark.parametrize(
    "alert", [{"labels": {}}, {"status": "firing"}, None, "x", {"labels": ["a"]}]
)
async def test_an_alert_without_labels_is_kept_and_costs_its_group_nothing(
    kept: Kept, alert: Any
) -> None:
    body = orjson.dumps(
        {"version": "4", "alerts": [alert, {"status": "firing", "labels": {"alertname": "Down"}}]}
    )
    response = await kept.send("alertmanager", "/webhooks/alertmanager", body)
    assert (response.status_code, response.json()["signals"]) == (202, 1)
    assert [(r.problem.code, r.problem.faults[0].field) for r in kept.refused] == [
        ("invalid", "alerts.0.labels")
    ]


@pytest.mark.parametrize(
    "area",
    [
        "CIRCULARSTRING(2.2 48.8,2.3 48.8,2.3 48.9)",
        "CURVEPOLYGON((2.2 48.8,2.3 48.8,2.3 48.9,2.2 48.8))",
        "x",
    ],
)
async def test_an_area_that_cannot_be_drawn_waits_for_a_person(kept: Kept, area: str) -> None:
    async with await kept.door.as_(Role.CELL) as http:
        assert (
            await http.post("/api/v1/reports", json=report(site_id=None, area=area))
        ).status_code == 202
    assert kept.door.inputs.appended[-1][1].area is not None


async def test_an_internal_error_keeps_the_message_and_spares_the_others(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    transitions = kept.door.intake.front._machines.transitions
    taking = transitions._report_transition

    async def failing(speaker: Any, signal: Any) -> Any:
        if signal.labels.get("alertname") == "Odd":
            raise RuntimeError("a fault of ours")
        return await taking(speaker, signal)

    monkeypatch.setattr(transitions, "_report_transition", failing)
    alerts = [{"status": "firing", "labels": {"alertname": n}} for n in ("Odd", "Down")]
    response = await kept.send(
        "alertmanager", "/webhooks/alertmanager", orjson.dumps({"version": "4", "alerts": alerts})
    )
    assert (response.status_code, kept.codes, len(kept.door.inputs.appended)) == (
        202,
        ["internal"],
        1,
    )


async def test_a_large_group_is_kept_once_and_each_report_has_its_own_part(kept: Kept) -> None:
    rng = Random(1)
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "Down", "instance": f"srv-{n}"},
            "annotations": {"description": rng.randbytes(400).hex()},
        }
        for n in range(300)
    ]
    body = orjson.dumps({"version": "4", "groupKey": "g", "alerts": alerts})
    assert (await kept.send("alertmanager", "/webhooks/alertmanager", body)).status_code == 202
    assert len(kept.door.inputs.appended) == 300
    assert sum(len(e.value or b"") for e in kept.door.texts_log.entries) < 3 * len(body)
    _, one, _ = kept.door.inputs.appended[7]
    item = await kept.door.intake.vault.texts.get(one.text_id or "")
    assert item is not None
    alert_group = orjson.loads(item.raw or b"")
    assert (alert_group["groupKey"], [a["labels"]["instance"] for a in alert_group["alerts"]]) == (
        "g",
        [one.labels["instance"]],
    )


async def test_a_refused_request_is_kept_once_per_reason(kept: Kept) -> None:
    body = orjson.dumps({"alerts": [{"labels": {}}] * 50 + [{"labels": {"alertname": "Down"}}]})
    assert (await kept.send("alertmanager", "/webhooks/alertmanager", body)).status_code == 202
    assert kept.codes == ["invalid"]
    health = kept.door.intake.book.health(kept.refused[0].principal.id)
    assert health.refused == {"invalid": 50}


def test_reports_of_many_leases_are_read_once(kept: Kept) -> None:
    labels = [{"alertname": "Down", "instance": f"srv-{n}"} for n in range(400)]
    raw = orjson.dumps(
        [{"labels": x, "annotations": {"summary": x["instance"]}} for x in labels]
        + [None, {"labels": 3}]
    )
    api: Any = kept.door.intake.front._alertmanager
    leases = [{"id": str(n), "labels": x} for n, x in enumerate(labels)]
    api._texts = type(
        "Shelf", (), {"get_many": lambda _, ids: {id: TextItem({}, raw) for id in ids}}
    )()
    began = time.perf_counter()
    notes = api._notes(leases)
    assert time.perf_counter() - began < 2, "a body is read once, not once for each of its alerts"
    assert [notes[x["id"]]["annotations"]["summary"] for x in leases] == [
        x["instance"] for x in labels
    ]


async def test_the_mark_that_windows_puts_before_a_text_is_no_fault_of_it(kept: Kept) -> None:
    mark = b"\xef\xbb\xbf"
    async with await kept.door.as_(Role.CELL) as http:
        json = {"content-type": "application/json"}
        assert (
            await http.post("/api/v1/reports", content=mark + orjson.dumps(report()), headers=json)
        ).status_code == 202
        assert (
            await http.post(
                "/api/v1/reports:batch",
                content=mark + orjson.dumps([report(severity=2)]),
                headers=json,
            )
        ).status_code == 202
    assert (
        await kept.send("generic", "/webhooks/generic/generic", mark + b'{"title":"Fuite"}')
    ).status_code == 202
