"""A source reports for its types and sites only, from the beginning of an episode to its end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.intake.conftest import Door
from tests.unit.intake.machines.test_machines import KEY, ZERO, event, reports, source

OUTAGES = {"types": ["outage_it"]}


async def test_a_source_that_may_open_an_episode_may_acknowledge_and_end_it(door: Door) -> None:
    await source(door, dialect="pagerduty", key=KEY, scope=OUTAGES)
    async with door.client() as http:
        for body in (event(), event(summary="Autrement"), event("acknowledge"), event("resolve")):
            assert (await http.post("/v2/enqueue", json=body)).status_code == 202
    assert [t for t, *_ in reports(door)] == ["outage_it", "outage_it", "info", "reopening"]
    assert [m.acknowledges for _, m, _ in door.inputs.appended] == [False, False, True, False]


async def test_an_alert_that_ends_by_its_lease_s_sender_ends_within_the_types_of_its_source(
    door: Door,
) -> None:
    key = (await source(door, dialect="alertmanager", scope=OUTAGES))["key"]
    alert = {"labels": {"alertname": "Down"}, "startsAt": "2026-11-24T08:00:00Z"}
    async with door.client(Authorization=f"Bearer {key}") as http:
        for ends in (ZERO, "2026-11-24T08:05:00Z"):
            assert (
                await http.post("/api/v2/alerts", json=[alert | {"endsAt": ends}])
            ).status_code == 200
    assert [t for t, *_ in reports(door)] == ["outage_it", "reopening"]


@pytest.mark.parametrize(
    ("type", "status", "told"), [("outage_it", 200, ["info"]), ("outage_water", 403, [])]
)
async def test_information_has_the_type_of_its_episode(
    door: Door, type: str, status: int, told: list[str]
) -> None:
    key = (await source(door, dialect="apprise", type=type, scope=OUTAGES))["key"]
    async with door.client(**{"X-Token": key}) as http:
        answer = await http.post("/webhooks/apprise", json={"title": "Sauvegarde", "type": "info"})
    assert (answer.status_code, [t for t, *_ in reports(door)]) == (status, told)


async def test_an_acknowledgement_has_the_site_of_its_cause(door: Door) -> None:
    """It names none: a source of several sites could acknowledge nothing."""
    await source(door, dialect="pagerduty", key=KEY, site=None, scope={"sites": ["cen-1", "cen-2"]})
    async with door.client() as http:
        for body in (
            event(custom_details={"site": "cen-2"}),
            event("acknowledge"),
            event("resolve"),
        ):
            assert (await http.post("/v2/enqueue", json=body)).status_code == 202
    assert [s for _, s, _ in reports(door)] == ["cen-2"] * 3


async def test_a_cause_of_another_type_is_refused_from_its_start(door: Door) -> None:
    rules: list[dict[str, Any]] = [{"when": {"class": "eau"}, "type": "outage_water"}]
    await source(door, dialect="pagerduty", key=KEY, scope=OUTAGES, rules=rules)
    async with door.client() as http:
        assert (await http.post("/v2/enqueue", json=event(**{"class": "eau"}))).status_code == 400
    assert reports(door) == []
