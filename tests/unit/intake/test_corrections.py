"""A corrected message names its editor, is unconfirmed, and differs only in the wrong fields."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import orjson
import pytest

from schemas.reports import ReportReceived
from schemas.words import Certainty
from services.cli.data.dlq import name_corrector
from services.intake.dead_letters.dead_letter_store import build_dead_letter, list_refused_fields
from services.intake.integrations.external_events import read_corrector
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Scope, Trace
from services.runtime.kafka.dead_letters import DeadLetter
from tests.unit.intake.conftest import Door, report
from tests.unit.intake.machines.test_machines import offered_again


async def refused(door: Door, body: bytes, **more: Any) -> Any:
    """Return the kept copy of a message refused to a source."""
    async with await door.as_(Role.SOURCE, speaks_as="enedis", **more) as http:
        answer = await http.post(
            "/api/v1/reports", content=body, headers={"content-type": "application/json"}
        )
    assert answer.status_code in (403, 422)
    return door.intake.refused._queue.get_nowait()


async def replayed(door: Door, kept: Any, **changes: Any) -> httpx.Response:
    return await offered_again(door, kept, orjson.dumps(orjson.loads(kept.body) | changes))


async def test_a_corrected_message_names_its_editor_and_is_unconfirmed(door: Door) -> None:
    """It counted as the source's own confirmed word, and no record knew the person."""
    refused_message = await refused(door, orjson.dumps(report(severity=9, certainty="confirmed")))
    assert (await replayed(door, refused_message, severity=5)).status_code == 202
    ((_, logged_report, _),) = door.inputs.appended
    assert logged_report.source == "enedis"
    assert logged_report.source_key == refused_message.principal.id
    assert logged_report.severity == 5
    assert logged_report.certainty is Certainty.UNCONFIRMED
    assert logged_report.corrected_by is not None
    assert logged_report.corrected_by.startswith("cell-")
    traces = [
        (t.act, t.author) for t in door.intake.access.all(Trace) if t.act.startswith("refusal.")
    ]
    assert sorted(traces) == [
        ("refusal.corrected", logged_report.corrected_by),
        ("refusal.replayed", logged_report.corrected_by),
    ]


async def test_a_corrected_report_of_an_exercise_stays_in_it(door: Door) -> None:
    """Its realm stood in the address alone, so that it was sent again to the live realm."""
    async with await door.as_(Role.CELL) as http:
        for path, body in (
            ("/api/v1/reports", report(severity=9)),
            ("/api/v1/reports:batch", [report(severity=9, headline="gymnase")]),
        ):
            await http.post(f"{path}?realm=92~ex-1", json=body)
    while not door.intake.refused._queue.empty():
        refused_message = door.intake.refused._queue.get_nowait()
        assert (await replayed(door, refused_message, severity=5)).status_code == 202
    assert [realm for realm, _, _ in door.inputs.appended] == ["92~ex-1", "92~ex-1"]


async def test_a_message_that_is_replayed_as_it_came_stays_its_senders(door: Door) -> None:
    body = orjson.dumps(report(severity=4))
    refused_message = await refused(door, body, scope=Scope(sites=("cen-1",)))
    principal = door.intake.access.principal(refused_message.principal.id)
    assert principal is not None
    await door.intake.access.put(principal.model_copy(update={"scope": Scope(sites=("col-001",))}))
    for offer_body in (b"", body):
        assert (await offered_again(door, refused_message, offer_body)).status_code == 202
    ((_, logged_report, _),) = door.inputs.appended
    assert (logged_report.certainty, logged_report.corrected_by) == (Certainty.CONFIRMED, None)
    assert {t.act for t in door.intake.access.all(Trace) if t.act.startswith("refusal.")} == {
        "refusal.replayed"
    }


@pytest.mark.parametrize(
    ("wrong", "changes", "kept_field"),
    [
        ({"severity": 9}, {"severity": 5, "type": "fire"}, "type"),
        ({"severity": 9}, {"severity": 5, "site_id": "ase-09"}, "site_id"),
        ({"severity": 9}, {"severity": 5, "persons_concerned": 12}, "persons_concerned"),
        ({"status": "Exercise"}, {"status": "Actual", "certainty": "rumour"}, "certainty"),
    ],
)
async def test_a_correction_may_change_only_refused_fields(
    door: Door, wrong: dict[str, Any], changes: dict[str, Any], kept_field: str
) -> None:
    refused_message = await refused(door, orjson.dumps(report(**wrong)))
    answer = await replayed(door, refused_message, **changes)
    assert answer.status_code == 422
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(kept_field, "unchanged")]
    assert door.inputs.appended == []


async def test_an_unreadable_message_may_change_as_a_whole(door: Door) -> None:
    refused_message = await refused(door, b'{"site_id": "col-001", "type": ')
    assert (await offered_again(door, refused_message, orjson.dumps(report()))).status_code == 202
    assert [logged_report.certainty for _, logged_report, _ in door.inputs.appended] == [
        Certainty.UNCONFIRMED
    ]


async def test_a_rumour_stays_one(door: Door) -> None:
    refused_message = await refused(door, orjson.dumps(report(severity=9, certainty="rumour")))
    assert (await replayed(door, refused_message, severity=2)).status_code == 202
    assert [logged_report.certainty for _, logged_report, _ in door.inputs.appended] == [
        Certainty.RUMOUR
    ]


async def test_a_letter_names_the_fields_that_were_refused(door: Door) -> None:
    for body, scope, fields in (
        (report(severity=9, type="storm in a teacup"), None, {"severity", "type"}),
        (report(), Scope(sites=("cen-1",)), {"site_id"}),
        (report(status="Exercise"), None, {"status"}),
    ):
        refused_message = await refused(
            door, orjson.dumps(body), **({"scope": scope} if scope else {})
        )
        assert list_refused_fields(build_dead_letter(refused_message, "92", 1)) == fields


class _Record:
    def __init__(self, *headers: tuple[str, bytes]) -> None:
        self.headers = headers


def test_a_corrected_record_of_a_topic_names_its_editor() -> None:
    assert read_corrector(_Record(("ce_id", b"1"))) is None
    assert read_corrector(_Record(("vigie_corrected_by", b"cell-1"))) == "cell-1"


@pytest.mark.parametrize(("said", "becomes"), [("confirmed", "unconfirmed"), ("rumour", "rumour")])
def test_the_shell_names_its_operator_in_a_corrected_report(said: str, becomes: str) -> None:
    value, headers = name_corrector(
        orjson.dumps({"certainty": said}), [("ce_type", ReportReceived.wire_type().encode())]
    )
    assert orjson.loads(value) == {"certainty": becomes, "corrected_by": "local-admin"}
    assert dict(headers) == {"ce_type": ReportReceived.wire_type().encode()}


def test_a_correction_from_the_shell_decides_for_no_other_person() -> None:
    """A corrected decision of a director was the director's."""
    original_headers = [
        ("ce_type", b"vigie.SetLevel.v1"),
        ("ce_source", b"person:p-1?role=director"),
    ]
    value, headers = name_corrector(
        b'{"author": "p-1", "role": "director", "scope": "territory", "level": 3}', original_headers
    )
    document = orjson.loads(value)
    assert (document["author"], document["role"]) == ("local-admin", "admin")
    assert dict(headers)["ce_source"] == b"person:local-admin?role=admin"


def test_an_unreadable_message_may_be_replaced_as_a_whole() -> None:
    for value, headers in (
        (b"\xff", [("ce_type", b"vigie.SetLevel.v1")]),
        (b"{}", [("ce_type", b"unknown")]),
        (b"[]", []),
    ):
        assert name_corrector(value, headers) == (value, headers)


def test_a_letter_of_the_door_is_known_by_its_detail() -> None:
    dead_letter = DeadLetter(
        id="l",
        lane="refused",
        service="intake",
        realm="92",
        at=1,
        code="forbidden",
        detail="Not permitted",
    )  # type: ignore[arg-type]
    assert list_refused_fields(dead_letter) == set()
