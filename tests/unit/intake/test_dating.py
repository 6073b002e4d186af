"""The server dates a fresh form; a form that waited on a device keeps its own time."""

from __future__ import annotations

import time

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


@pytest.mark.parametrize("ago", ["45000", "-1", "x", "9" * 40])
async def test_a_report_that_waited_keeps_its_own_time(door: Door, ago: str) -> None:
    headers = {"Idempotency-Key": "k", "Vigie-Filled-Ago": ago}
    async with await door.as_(Role.ADMIN) as http:
        assert (
            await http.post("/api/v1/reports", json=report(), headers=headers)
        ).status_code == 202
    assert door.inputs.appended[-1][1].occurred_at == NAMED


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
