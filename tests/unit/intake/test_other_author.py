"""A report that waited on a device never leaves under the name of the next person there."""

from __future__ import annotations

import pytest

from schemas.words import Certainty
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal
from tests.unit.intake.conftest import Door, report

WRITTEN = {"Idempotency-Key": "k", "Vigie-Written-By": "m%C3%A9dard"}


async def test_a_report_that_another_account_wrote_is_refused_and_kept_nowhere(door: Door) -> None:
    """The device keeps it; a dead letter would be sent a second time."""
    async with await door.as_(Role.SITE_MANAGER) as http:
        refused = await http.post("/api/v1/reports", json=report(), headers=WRITTEN)
        assert (refused.status_code, refused.json()["code"]) == (409, "other_author")
        own = await http.post("/api/v1/reports", json=report(), headers={"Idempotency-Key": "k"})
    assert own.status_code == 202
    assert len(door.inputs.appended) == 1
    assert door.intake.refused._queue.empty()


@pytest.mark.parametrize("danger", [{"type": "fire"}, {"severity": 5}])
async def test_a_danger_that_another_account_wrote_leaves_at_once_with_both_names(
    door: Door, danger: dict[str, object]
) -> None:
    body = report(description="Fumée.", **danger)
    async with await door.as_(Role.SITE_MANAGER) as http:
        for _ in range(2):
            answer = await http.post("/api/v1/reports", json=body, headers=WRITTEN)
            assert answer.status_code == 202
    assert len(door.inputs.appended) == 1
    assert door.inputs.appended[-1][1].certainty is Certainty.CONFIRMED
    text = await door.intake.vault.texts.get(f"report-{answer.json()['report_id']}")
    assert text is not None
    assert text.fields["description"] == "Fumée. (écrit sous le compte médard, envoyé par un autre)"


async def test_a_report_of_the_own_account_stays_confirmed(door: Door) -> None:
    async with await door.as_(Role.SITE_MANAGER) as http:
        (principal,) = door.intake.access.all(Principal)
        headers = WRITTEN | {"Vigie-Written-By": principal.id}
        answer = await http.post("/api/v1/reports", json=report(), headers=headers)
    assert answer.status_code == 202
    assert door.inputs.appended[-1][1].certainty is Certainty.CONFIRMED
