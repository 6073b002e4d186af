"""An order for a commune on the whole system: each site is asked, and the cell reads the answers."""

import uuid
from typing import Any

from tests.system import RunningVigie, logged_in
from tests.waiting import until

COMMUNE = "92036"
"""Gennevilliers."""


def _open_exercise(vigie: RunningVigie) -> str:
    realm = f"92~test-area-{uuid.uuid4().hex[:6]}"
    body = {"id": realm, "title_code": "ESSAI", "started_at": "2026-11-25T08:00:00+01:00"}
    answer = vigie.http.post("/api/v1/realms", json=body, headers={"Prefer": "wait=20"})
    assert answer.status_code == 200, answer.text
    return realm


def test_yes_opens_the_order_at_one_site_of_the_commune(vigie: RunningVigie) -> None:
    realm = _open_exercise(vigie)
    report = {
        "realm": realm,
        "source": {"name": "prefecture"},
        "type": "evacuation",
        "severity": 5,
        "certainty": "confirmed",
        "zone": [COMMUNE],
        "occurred_at": "2026-11-25T08:00:00+01:00",
    }
    answer = vigie.http.post("/api/v1/reports", json=report)
    assert answer.status_code == 202, answer.text

    def read(path: str, **query: str) -> list[dict[str, Any]]:
        page = vigie.http.get(path, params={"realm": realm, **query})
        return list(page.json()["items"]) if page.status_code == 200 else []

    until(lambda: len(read("/api/v1/tasks", kind="area_order")) > 3)
    asking, *others = read("/api/v1/tasks", kind="area_order")
    assert {t["state"] for t in (asking, *others)} == {"open"}
    settled = vigie.http.post(
        f"/api/v1/tasks/{asking['id']}/done",
        json={"realm": realm, "outcome": "concerned"},
        headers={"Prefer": "wait=20"},
    )
    assert settled.status_code == 200, settled.text
    until(lambda: bool(read("/api/v1/tasks", kind="headcount", site=asking["site"])))
    statuses = {s["id"]: s["status"] for s in read("/api/v1/sites", limit="500")}
    assert statuses[asking["site"]] == "evacuated"
    assert {statuses[t["site"]] for t in others} == {"normal"}
    with logged_in(vigie, "cell") as browser:
        page = browser.get(f"/incidents/{asking['incident']}", params={"realm": realm})
        assert "Consigne d’évacuation, Gennevilliers" in page.text
        assert "1 concerné" in page.text
        assert f"{len(others)} sans réponse" in page.text
