"""The server dates a fresh form; a form that waited on a device keeps its own time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.runtime.identity.permissions import Role
from tests.unit.intake.conftest import Door, report

NAMED = 1_802_335_200_000
"""Time in the form."""


@pytest.mark.parametrize(("realm", "ago"), [("92", "200"), ("92~ex-1", "200"), ("92", "29999")])
async def test_a_form_that_was_just_filled_in_is_dated_by_the_server(
    door: Door, realm: str, ago: str
) -> None:
    """A page of an exercise had a clock that jumped back: a reopening was older than its alert."""
    headers = {"Idempotency-Key": "k", "Vigie-Filled-Ago": ago}
    async with await door.as_(Role.ADMIN) as http:
        answer = await http.post("/api/v1/reports", json=report(realm=realm), headers=headers)
    assert answer.status_code == 202
    occurred_at = door.inputs.appended[-1][1].occurred_at
    if realm == "92":
        assert occurred_at is not None
        assert abs(occurred_at - time.time() * 1000) < 60_000
    else:
        assert occurred_at is None, "the log of the realm tells its time"


@pytest.mark.parametrize("ago", ["-1", "x", "9" * 40, str(73 * 3_600_000)])
async def test_a_report_without_a_known_wait_keeps_its_own_time(door: Door, ago: str) -> None:
    headers = {"Idempotency-Key": "k", "Vigie-Filled-Ago": ago}
    async with await door.as_(Role.ADMIN) as http:
        assert (
            await http.post("/api/v1/reports", json=report(), headers=headers)
        ).status_code == 202
    assert door.inputs.appended[-1][1].occurred_at == NAMED


@pytest.mark.parametrize("wrong_min", [-25 * 60, -47, 47, 600_000])
async def test_a_report_that_waited_is_dated_by_the_server_s_clock(
    door: Door, wrong_min: int
) -> None:
    """D7: filled in ten minutes ago on a phone with a wrong clock. Both times are kept."""
    now = time.time()
    device_time = datetime.fromtimestamp(now - 600 + 60 * wrong_min, UTC)
    headers = {"Idempotency-Key": "k", "Vigie-Filled-Ago": "600000"}
    body = report(occurred_at=device_time.isoformat(), description="Fumée au gymnase")
    async with await door.as_(Role.ADMIN) as http:
        answer = await http.post("/api/v1/reports", json=body, headers=headers)
    assert answer.status_code == 202
    message = door.inputs.appended[-1][1]
    assert abs(message.occurred_at - (now - 600) * 1000) < 60_000
    assert message.occurred_at is not None
    assert message.text_id is not None
    item = await door.intake.vault.texts.get(message.text_id)
    assert item is not None
    local = device_time.astimezone(ZoneInfo("Europe/Paris"))
    assert (
        item.fields["description"]
        == f"Fumée au gymnase (horloge de l’appareil fausse : {local:%d/%m/%Y %H:%M})"
    )


@pytest.mark.parametrize(("realm", "wrong_s"), [("92", 40), ("92~ex-1", 900)])
async def test_a_right_clock_and_that_of_an_exercise_are_left(
    door: Door, realm: str, wrong_s: int
) -> None:
    at = int(time.time() - 600 + wrong_s)
    headers = {"Idempotency-Key": "k", "Vigie-Filled-Ago": "600000"}
    body = report(realm=realm, occurred_at=datetime.fromtimestamp(at, UTC).isoformat())
    async with await door.as_(Role.ADMIN) as http:
        assert (await http.post("/api/v1/reports", json=body, headers=headers)).status_code == 202
    assert door.inputs.appended[-1][1].occurred_at == at * 1000


async def test_a_report_that_comes_again_later_counts_once(door: Door) -> None:
    """The answer to the first was lost: the form sends the same again when it is no longer new."""
    async with await door.as_(Role.ADMIN) as http:
        for ago in ("100", "45000"):
            headers = {"Idempotency-Key": "k", "Vigie-Filled-Ago": ago}
            answer = await http.post("/api/v1/reports", json=report(), headers=headers)
            assert answer.status_code == 202
        assert answer.headers["idempotency-replayed"] == "true"
        other = report(occurred_at="2027-02-11T09:41:00+01:00")
        refused = await http.post("/api/v1/reports", json=other, headers={"Idempotency-Key": "k"})
        assert refused.json()["code"] == "key_reused"
    assert len(door.inputs.appended) == 1
