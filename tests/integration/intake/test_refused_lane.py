"""The cell reads refused messages and offers them again, in the sender's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson
from fastapi import status

from services.appliance.embedded.kafka import RunningKafka
from tests.integration.intake.conftest import FrontProcess, report
from tests.integration.intake.test_commands import vigie
from tests.unit.intake.machines.cap_messages import info, message, vigilance
from tests.waiting import eventually

PAGERDUTY = "0123456789abcdef0123456789abcdef"


async def refused(http: httpx.AsyncClient, sender: str) -> dict[str, Any]:
    """Wait for a dead letter of this sender: other tests leave theirs on the same broker."""
    dead_letters: list[dict[str, Any]] = []

    async def there() -> bool:
        answer = await http.get("/api/v1/refused", params={"source": sender})
        dead_letters[:] = answer.json()["items"]
        return bool(dead_letters)

    await eventually(there, 60)
    (letter,) = dead_letters
    return letter


async def test_a_refused_message_takes_effect_after_the_repair(
    front: FrontProcess, broker: RunningKafka, on_log: Callable[[str], Any], tmp_path: Path
) -> None:
    async with front.client() as http:

        async def source(name: str, dialect: str, **more: Any) -> tuple[str, dict[str, str]]:
            made = (
                await http.post(
                    "/api/v1/sources",
                    json={"name": name, "dialect": dialect, "site": "cen-1"} | more,
                )
            ).json()
            return made["id"], {"Authorization": f"Bearer {made['key']}"}

        async def taken(headers: dict[str, str], path: str, body: bytes, kind: str) -> int:
            return (
                await http.post(path, content=body, headers=headers | {"content-type": kind})
            ).status_code

        async def once(realm: str, sender: str) -> Any:
            (record,) = [
                m
                for m in (orjson.loads(r.value) for r in await on_log(realm))
                if m.get("source_key") == sender
            ]
            return record

        # another mapping, over HTTP: what came is replayed as it came
        probe, key = await source("sonde", "generic", scope={"realms": ["92~test-probe"]})
        assert (
            await taken(
                key,
                "/webhooks/generic/sonde",
                b'{"nom": "Pompe muette", "id": "p1"}',
                "application/json",
            )
            == 422
        )
        letter = await refused(http, probe)
        details = (await http.get(f"/api/v1/refused/{letter['id']}")).json()
        assert (await http.head(f"/api/v1/refused/{letter['id']}")).status_code == 200
        assert (details["source"], details["body"], details["input_type"]) == (
            probe,
            '{"nom": "Pompe muette", "id": "p1"}',
            "generic",
        )
        again = await http.post(f"/api/v1/refused/{letter['id']}/replay")
        assert (again.status_code, again.json()["errors"][0]["field"]) == (422, "title"), (
            "nothing is mended yet"
        )
        changed = await http.patch(
            "/api/v1/sources/sonde", json={"fields": {"title": "/nom"}, "type": "outage_water"}
        )
        assert (changed.status_code, changed.json()["type"], changed.json()["site"]) == (
            200,
            "outage_water",
            "cen-1",
        )
        for _ in range(2):
            assert (await http.post(f"/api/v1/refused/{letter['id']}/replay")).status_code == 202
        assert (
            (await once("92~test-probe", probe))["type"],
            (await once("92~test-probe", probe))["site_id"],
        ) == ("outage_water", "cen-1")
        assert (
            len((await http.get("/api/v1/refused", params={"source": probe})).json()["items"]) == 1
        ), "a replay that fails lies there already"

        # a CAP exercise without a realm, mended and replayed from the shell
        meteo, key = await source("meteo", "cap")
        assert (
            await taken(
                key, "/api/v1/cap", message(vigilance(), status="Exercise"), "application/cap+xml"
            )
            == 422
        )
        letter = await refused(http, meteo)
        assert (
            await vigie(
                front, broker, "source", "change", "meteo", "--exercise-realm", "92~ex-lane"
            )
        ).returncode == 0
        replayed = await vigie(front, broker, "dlq", "replay", letter["id"])
        assert (replayed.returncode, replayed.stderr) == (0, "")
        assert (await once("92~ex-lane", meteo))["colour"] == "orange"

        # a corrected body
        pager, _ = await source(
            "astreinte", "pagerduty", key=PAGERDUTY, scope={"realms": ["92~test-pager"]}
        )
        event = {"routing_key": PAGERDUTY, "event_action": "trigger", "dedup_key": "d"}
        assert (
            await taken(
                {"Authorization": "Token token=None"},
                "/v2/enqueue",
                orjson.dumps(event),
                "application/json",
            )
            == 400
        )
        letter = await refused(http, pager)
        payload = {"payload": {"summary": "s", "source": "x", "severity": "error"}}
        corrected = await http.post(
            f"/api/v1/refused/{letter['id']}/replay", content=orjson.dumps(event | payload)
        )
        assert (corrected.status_code, corrected.json()["dedup_key"]) == (202, "d")
        assert (await once("92~test-pager", pager))["severity"] == 3

        # the form of an SMS gateway: kept without the number, mended by the cell, once
        gateway, sms_key = await source("passerelle", "sms", scope={"realms": ["92~test-sms"]})
        form = b"From=%2B33600000000&Body=bonjour&MessageSid=SM7"
        assert (
            await taken(sms_key, "/webhooks/sms", form, "application/x-www-form-urlencoded") == 422
        )
        letter = await refused(http, gateway)
        details = (await http.get(f"/api/v1/refused/{letter['id']}")).json()
        assert "600000000" not in details["body"]
        for _ in range(2):
            mended = details["body"].replace("bonjour", "117 FEU").encode()
            replayed = await http.post(f"/api/v1/refused/{letter['id']}/replay", content=mended)
            assert replayed.status_code == 200, replayed.text
        assert (
            (await once("92~test-sms", gateway))["type"],
            (await once("92~test-sms", gateway))["certainty"],
        ) == ("fire", "unconfirmed")

        # a native report stays its sender's, and says who corrected it
        token = (
            await http.post("/api/v1/tokens", json={"role": "source", "speaks_as": "enedis"})
        ).json()
        native = {"Authorization": f"Bearer {token['token']}"}
        assert (
            await taken(
                native,
                "/api/v1/reports",
                orjson.dumps(report(realm="92~test-native", severity=9)),
                "application/json",
            )
            == 422
        )
        letter = await refused(http, token["principal"]["id"])
        fixed = tmp_path / "fixed.json"
        fixed.write_bytes(orjson.dumps(report(realm="92~test-native")))
        assert (
            await vigie(front, broker, "dlq", "replay", letter["id"], "--body", str(fixed))
        ).returncode == 0
        corrected = await once("92~test-native", token["principal"]["id"])
        assert (corrected["source"], corrected["certainty"], corrected["corrected_by"]) == (
            "enedis",
            "unconfirmed",
            "local-admin",
        )

        # who may do what
        for role, reads, replays in (
            ("observer", 403, 403),
            ("auditor", 200, 403),
            ("cell", 200, 202),
        ):
            made = (await http.post("/api/v1/tokens", json={"role": role})).json()
            as_ = {"Authorization": f"Bearer {made['token']}"}
            assert (await http.get("/api/v1/refused", headers=as_)).status_code == reads
            answer = await http.post(
                f"/api/v1/refused/{letter['id']}/replay", headers=as_, content=fixed.read_bytes()
            )
            assert answer.status_code == replays
        assert (await http.get("/api/v1/refused/none")).status_code == status.HTTP_404_NOT_FOUND
        assert (
            await http.put(f"/api/v1/refused/{letter['id']}")
        ).status_code == status.HTTP_405_METHOD_NOT_ALLOWED
        assert (
            await http.patch("/api/v1/sources/none", json={"site": "cen-1"})
        ).status_code == status.HTTP_404_NOT_FOUND
        assert (
            await http.patch("/api/v1/sources/sonde", json={"exercise_realm": "92~ex-1"})
        ).status_code == 422

        # a sender that was stopped says nothing more
        cap_letter = await refused(http, meteo)
        assert (await http.post("/api/v1/sources/meteo/disable", json={})).status_code == 200
        assert (
            await http.post(f"/api/v1/refused/{cap_letter['id']}/replay")
        ).status_code == status.HTTP_409_CONFLICT
        assert await taken(key, "/api/v1/cap", message(info()), "application/cap+xml") == 401
