"""CAP on the whole system: a bulletin is one incident, which leaves as CAP again.

A repeated bulletin counts once, and an invalid one is shown.
"""

from __future__ import annotations

import uuid
from typing import Any

import httpx2 as httpx
from lxml import etree

from schemas.cap import MEDIA_TYPE, NAMESPACE
from services.intake.integrations.cap.message import read_message
from tests.system import RunningVigie
from tests.unit.intake.machines.cap_messages import bare, info, message, ref, vigilance
from tests.waiting import until

CAP = f"{{{NAMESPACE}}}"


def test_a_vigilance_rises_is_repeated_and_ends_on_the_whole_system(vigie: RunningVigie) -> None:
    realm = f"92~test-cap-{uuid.uuid4().hex[:6]}"
    opening = {"id": realm, "title_code": "ESSAI", "started_at": "2026-11-25T08:00:00+01:00"}
    assert (
        vigie.http.post("/api/v1/realms", json=opening, headers={"Prefer": "wait=20"}).status_code
        == 200
    )
    made = vigie.http.post(
        "/api/v1/sources",
        json={
            "name": realm[3:],
            "dialect": "cap",
            "scope": {"realms": [realm]},
            "speaks_as": "meteo_france",
        },
    ).json()
    key = {
        "Authorization": f"Bearer {made['key']}",
        "content-type": MEDIA_TYPE,
        "accept-language": "fr",
    }

    def post(body: bytes) -> httpx.Response:
        return httpx.post(
            f"{vigie.url}/api/v1/cap", content=body, headers=key, timeout=20, trust_env=False
        )

    def incidents() -> list[dict[str, Any]]:
        answer = vigie.http.get("/api/v1/incidents", params={"realm": realm})
        return list(answer.json()["items"]) if answer.status_code == 200 else []

    first = post(message(vigilance()))
    assert first.status_code == 202, first.text
    assert post(message(vigilance())).json()["report_id"] == first.json()["report_id"]
    until(lambda: len(incidents()) == 1)
    (incident,) = incidents()
    assert (incident["kind"], incident["state"], incident["reports"], incident["level"]) == (
        "wind",
        "open",
        [first.json()["report_id"]],
        2,
    )

    stepped = vigie.http.post(
        f"/api/v1/realms/{realm}/step", json={"minutes": 10}, headers={"Prefer": "wait=0"}
    )
    assert stepped.status_code == 202, stepped.text
    until(lambda: vigie.get(f"/api/v1/overview?realm={realm}")["at"] >= "2026-11-25T07:10")
    red = message(
        vigilance(colour="4; red; Extreme"),
        identifier="b2",
        sent="2026-11-25T08:10:00+01:00",
        msgType="Update",
        references=ref("bulletin-1"),
    )
    assert post(red).status_code == 202
    until(lambda: incidents()[0]["level"] == 3)

    refused = post(message(vigilance(), info(category="Meteo"), identifier="b3"))
    assert (refused.status_code, [f["field"] for f in refused.json()["errors"]]) == (
        422,
        ["/alert/info[2]/category"],
    )
    until(
        lambda: any(
            s["name"] == realm[3:] and s["last_refusal"]
            for s in vigie.get("/api/v1/sources")["items"]
        )
    )

    emitted = vigie.http.get(f"/api/v1/incidents/{incident['id']}/cap", params={"realm": realm})
    assert emitted.headers["content-type"].startswith(MEDIA_TYPE)
    again, root = read_message(emitted.content)
    assert (again.status, again.type, root.findtext(f"{CAP}scope")) == (
        "Test",
        "Update",
        "Restricted",
    )
    assert etree.QName(root).namespace == NAMESPACE

    over = bare(
        identifier="b4",
        sent="2026-11-25T08:20:00+01:00",
        msgType="Cancel",
        references=f"{ref('bulletin-1')} {ref('b2', '2026-11-25T08:10:00+01:00')}",
    )
    (withdrawn,) = post(over).json()["reports"]
    until(
        lambda: (
            vigie.get(f"/api/v1/reports/{withdrawn['report_id']}?realm={realm}")["state"]
            == "applied"
        )
    )
    (incident_row,) = incidents()
    assert {first.json()["report_id"], withdrawn["report_id"]} <= set(incident_row["reports"])
    assert vigie.get(f"/api/v1/overview?realm={realm}")["level"]["level"] == 3, (
        "latched until a person lowers it (D31)"
    )
