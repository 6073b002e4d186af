"""Danger to people uses the urgent lane; its updates and withdrawals follow in order."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx

from services.intake.reports.deduplication import AnswerIndex
from services.runtime.identity.permissions import Role
from tests.unit.intake.conftest import Door, report

INPUTS, URGENT = "alerts.inputs", "alerts.urgent"


async def accepted(http: httpx.AsyncClient, **changes: Any) -> str:
    answer = await http.post("/api/v1/reports", json=report(**changes))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["report_id"])


async def test_danger_to_people_is_urgent_and_nothing_else(door: Door) -> None:
    async with await door.as_(Role.SOURCE) as http:
        for type_ in ("fire", "evacuation", "gas_leak", "outage_power", "info"):
            await accepted(http, type=type_, severity=3)
        await accepted(http, type="outage_it", severity=5)
        await accepted(http, type="sanitary_alert", severity=3)
        await accepted(http, type="sanitary_alert", severity=2)
    assert door.inputs.topics == [*[URGENT] * 3, INPUTS, INPUTS, URGENT, URGENT, INPUTS]


async def test_a_simulated_realm_has_one_lane(door: Door) -> None:
    async with await door.as_(Role.ADMIN) as http:
        await accepted(http, realm="92~ex-1", type="fire", recorded_at="2026-11-26T08:00:00Z")
    assert door.inputs.topics == [INPUTS]


async def test_reports_that_refer_to_an_urgent_one_use_its_lane(door: Door) -> None:
    async with await door.as_(Role.CELL) as http:
        fire = await accepted(http, type="fire")
        await accepted(http, type="info", references=[fire])
        await accepted(http, type="fire", msg_type="Cancel", references=[fire])
        await accepted(http, type="reopening", lifts=["fire"], references=[fire])
        await accepted(http, type="fire", severity=2, msg_type="Update", references=[fire])
    assert door.inputs.topics == [URGENT] * 5


async def test_a_withdrawal_never_overtakes_its_report(door: Door) -> None:
    async with await door.as_(Role.CELL) as http:
        fire, outage = await accepted(http, type="fire"), await accepted(http, type="outage_it")
        await accepted(http, type="fire", msg_type="Cancel", references=[outage])
        await accepted(http, type="fire", msg_type="Cancel", references=[outage, fire])
        await accepted(http, type="fire", severity=5, msg_type="Update", references=[outage])
    assert door.inputs.topics[2:] == [INPUTS, INPUTS, URGENT]


async def test_the_lane_of_a_report_is_known_after_a_restart(door: Door) -> None:
    async with await door.as_(Role.CELL) as http:
        fire, outage = await accepted(http, type="fire"), await accepted(http, type="outage_it")
    await door.intake.ledger.flush()
    again = AnswerIndex(door.intake.settings.answers, door.intake.ledger._words)
    lanes = [
        ledger_entry.urgent for id in (fire, outage) if (ledger_entry := again.get(id)) is not None
    ]
    again.close()
    assert lanes == [True, False]
