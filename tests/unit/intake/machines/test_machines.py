"""Integrations as real clients use them: one report per transition, precise refusals."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson
import pytest

from schemas.reports import ReportReceived
from services.intake.dead_letters.dead_letter_store import RefusedMessage, build_dead_letter
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Source
from services.runtime.kafka.dead_letters import DeadLetter
from services.runtime.secrets.vault import OWN_WORDS_FIELD
from tests.unit.intake.conftest import Door

KEY = "0123456789abcdef0123456789abcdef"


async def source(door: Door, name: str = "supervision", **record: Any) -> dict[str, Any]:
    """Create a registered source with the key `key`."""
    async with await door.as_(Role.ADMIN) as http:
        made = await http.post("/api/v1/sources", json={"name": name, "site": "cen-1"} | record)
    assert made.status_code == 201, made.text
    return dict(made.json())


def reports(door: Door) -> list[tuple[str, str | None, int]]:
    return [(m.type.value, m.site_id, m.severity) for _, m, _ in door.inputs.appended]


def last(door: Door) -> ReportReceived:
    return door.inputs.appended[-1][1]


# ── PagerDuty ────────────────────────────────────────────────────────────────────────────────────────────────────────


def event(action: str = "trigger", key: str | None = "srv-1", **payload: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"routing_key": KEY, "event_action": action}
    if key:
        body["dedup_key"] = key
    if action == "trigger":
        body["payload"] = {
            "summary": "Serveur muet",
            "source": "srv-1",
            "severity": "critical",
        } | payload
    return body


@pytest.mark.parametrize("path", ["/v2/enqueue", "/v2/enqueue/"])
async def test_pagerduty_opens_and_closes_one_episode(door: Door, path: str) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    async with door.client(Authorization="Token token=None") as http:
        opened = await http.post(path, json=event())
        assert (opened.status_code, opened.json()) == (
            202,
            {"status": "success", "message": "Event processed", "dedup_key": "srv-1"},
        )
        assert (await http.post(path, json=event())).status_code == 202
        assert (await http.post(path, json=event(summary="Serveur en feu"))).status_code == 202
        assert (await http.post(path, json=event("resolve"))).status_code == 202
        assert (await http.post(path, json=event("resolve"))).status_code == 202
        assert (await http.post(path, json=event("resolve", "never-seen"))).status_code == 202
    opening, update, closing = (m for _, m, _ in door.inputs.appended)
    assert (
        opening.type.value,
        opening.severity,
        opening.site_id,
        opening.source,
        opening.dialect,
    ) == ("outage_it", 4, "cen-1", "supervision", "pagerduty")
    assert (update.msg_type.value, update.references) == ("Update", (opening.report_id,))
    assert (
        closing.type.value,
        closing.site_id,
        closing.references,
        [t.value for t in closing.lifts],
    ) == ("reopening", "cen-1", (opening.report_id,), ["outage_it"])


async def test_every_change_of_mind_counts_and_a_repetition_never(door: Door) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    async with door.client() as http:
        for severity in ("warning", "critical", "critical", "warning", "warning", "critical"):
            assert (
                await http.post("/v2/enqueue", json=event(severity=severity))
            ).status_code == 202
            await asyncio.sleep(0.002)
    assert [s for *_, s in reports(door)] == [2, 4, 2, 4]


@pytest.mark.parametrize(
    "at", ["1960-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "hier"]
)
async def test_an_end_never_precedes_its_beginning_for_any_clock_of_the_sender(
    door: Door, at: str
) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    async with door.client() as http:
        await http.post("/v2/enqueue", json=event())
        ended = event("resolve") | {
            "payload": {"summary": "fini", "source": "s", "severity": "info", "timestamp": at}
        }
        assert (await http.post("/v2/enqueue", json=ended)).status_code == 202
    opening, closing = (m for _, m, _ in door.inputs.appended)
    assert closing.occurred_at >= opening.occurred_at


async def test_keys_that_look_like_ours_are_keys_like_any_other(door: Door) -> None:
    made = await source(door, dialect="pagerduty", key=KEY)
    assert made["key"] == KEY
    async with door.client() as http, door.client(Authorization=f"Bearer {KEY}") as native:
        odd = {
            "site_id": "cen-1",
            "type": "info",
            "severity": 1,
            "occurred_at": "2027-02-11T09:40:00Z",
            "alias": "disk@home",
        }
        assert (await native.post("/api/v1/reports", json=odd)).status_code == 202
        for key in ("disk", "disk@17", "disk#end"):
            for action in ("trigger", "resolve"):
                door.intake.front._machines.transitions.episodes._newest.clear()
                assert (await http.post("/v2/enqueue", json=event(action, key))).status_code == 202
    assert [t for t, *_ in reports(door)] == ["info"] + ["outage_it", "reopening"] * 3


async def test_a_key_that_was_resolved_opens_again_but_not_by_a_trigger_from_before_its_end(
    door: Door,
) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    async with door.client() as http:
        for body in (event(), event("resolve"), event(timestamp="2015-07-17T08:42:58.315+0000")):
            assert (await http.post("/v2/enqueue", json=body)).status_code == 202
        assert [t for t, *_ in reports(door)] == ["outage_it", "reopening"]
        await asyncio.sleep(0.002)
        assert (await http.post("/v2/enqueue", json=event())).status_code == 202
    assert [t for t, *_ in reports(door)] == ["outage_it", "reopening", "outage_it"]


async def test_pagerduty_names_faults_and_returns_a_generated_key(door: Door) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    async with door.client() as http:
        made = await http.post("/v2/enqueue", json=event(key=None))
        assert made.json()["dedup_key"]
        wrong = await http.post("/v2/enqueue", json=event("resolve", None))
        assert (wrong.status_code, wrong.json()["status"], wrong.json()["errors"]) == (
            400,
            "invalid event",
            ["dedup_key: required for acknowledge and resolve"],
        )
        assert (await http.post("/v2/enqueue", json=event("explode"))).status_code == 400
        assert (await http.post("/v2/enqueue", json=event(summary=""))).json()["errors"] == [
            "payload.summary: required"
        ]
        assert (await http.post("/v2/enqueue", json=event(summary="x" * 5000))).status_code == 202
        assert (
            await http.post(
                "/v2/change/enqueue", json={"routing_key": KEY, "payload": {"summary": "deploy"}}
            )
        ).status_code == 202
        unknown = await http.post("/v2/enqueue", json=event() | {"routing_key": "f" * 32})
        assert (unknown.status_code, unknown.json()["errors"]) == (
            400,
            ["routing_key: the key of a source is expected there"],
        )
        for size in (512 * 1024, 2 << 20):  # the vendor's bound, and ours
            large = await http.post("/v2/enqueue", json=event(custom_details="x" * size))
            assert (large.status_code, large.json()["status"]) == (400, "invalid event")
        assert (await http.post("/v2/enqueue", content=b"{")).status_code == 400


async def test_while_the_log_is_away_a_machine_is_asked_to_come_again(door: Door) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    async with door.client() as http:
        door.inputs.away = True
        away = await http.post("/v2/enqueue", json=event())
        assert (away.status_code, away.headers["retry-after"]) == (503, "2")
        door.inputs.away = False
        assert (await http.post("/v2/enqueue", json=event())).status_code == 202
    assert len(reports(door)) == 1


# ── Alertmanager ─────────────────────────────────────────────────────────────────────────────────────────────────────

ZERO = "0001-01-01T00:00:00Z"


def alert(
    status: str = "firing",
    fingerprint: str = "f1",
    starts: str = "2026-11-24T08:00:00.123456789Z",
    **labels: str,
) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "Panne", "severity": "critical"} | labels,
        "annotations": {"summary": "Plus de réseau"},
        "startsAt": starts,
        "endsAt": ZERO if status == "firing" else "2026-11-24T09:00:00Z",
        "generatorURL": "http://p/graph",
        "fingerprint": fingerprint,
    }


def group(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": "{}",
        "status": "firing",
        "receiver": "vigie",
        "alerts": list(alerts),
        "truncatedAlerts": 0,
    }


@pytest.mark.parametrize("how", ["bearer", "basic", "query"])
async def test_alertmanager_repeats_a_group_for_nothing(door: Door, how: str) -> None:
    key = (await source(door, dialect="alertmanager"))["key"]
    headers = {
        "bearer": f"Bearer {key}",
        "basic": "Basic " + base64.b64encode(f"am:{key}".encode()).decode(),
    }
    url = "/webhooks/alertmanager" + (f"?token={key}" if how == "query" else "")
    async with door.client(**({"Authorization": headers[how]} if how in headers else {})) as http:
        answers = await asyncio.gather(
            *(http.post(url, json=group(alert(), alert(fingerprint="f2"))) for _ in range(6))
        )
        assert {a.status_code for a in answers} == {202}
        assert len(reports(door)) == 2
        assert (
            await http.post(url, json=group(alert("resolved"), alert(fingerprint="f2")))
        ).status_code == 202
        assert (await http.post(url, json=group(alert("resolved"), alert()))).status_code == 202
    assert [t for t, *_ in reports(door)] == ["outage_it", "outage_it", "reopening"]
    assert door.inputs.appended[0][1].occurred_at == 1_795_507_200_123


async def test_a_later_start_is_another_episode_and_an_earlier_one_the_same(door: Door) -> None:
    key = (await source(door, dialect="alertmanager"))["key"]
    async with door.client(Authorization=f"Bearer {key}") as http:
        for starts in ("2026-11-24T08:00:00Z", "2026-11-24T07:30:00Z", "2026-11-24T08:10:00Z"):
            assert (
                await http.post("/webhooks/alertmanager", json=group(alert(starts=starts)))
            ).status_code == 202
    assert len(reports(door)) == 2


async def test_one_alert_out_of_bounds_costs_the_others_nothing(door: Door) -> None:
    made = await source(door, dialect="alertmanager", scope={"sites": ["cen-1"]})
    async with door.client(Authorization=f"Bearer {made['key']}") as http:
        mixed = await http.post(
            "/webhooks/alertmanager",
            json=group(alert(), alert(fingerprint="f2", site="cen-9"), {"labels": {}}),
        )
        assert mixed.status_code == 202
        alone = await http.post(
            "/webhooks/alertmanager", json=group(alert(fingerprint="f3", site="cen-9"))
        )
        assert (alone.status_code, alone.json()["code"]) == (403, "out_of_scope")
        assert (await http.post("/webhooks/alertmanager", json={"alerts": "x"})).status_code == 422
    assert len(reports(door)) == 1
    async with await door.as_(Role.ADMIN) as http:
        [source_view] = (await http.get("/api/v1/sources")).json()["items"]
    assert (source_view["accepted"], source_view["refused"], source_view["enabled"]) == (
        1,
        {"out_of_scope": 2, "invalid": 2},
        True,
    )
    assert "key" not in source_view


async def test_alerts_that_the_sender_cut_off_are_a_refusal(door: Door) -> None:
    """Alertmanager and Grafana leave out alerts beyond `max_alerts`, and only count them."""
    made = await source(door, dialect="alertmanager")
    async with door.client(Authorization=f"Bearer {made['key']}") as http:
        cut = group(alert()) | {"truncatedAlerts": 12}
        assert (await http.post("/webhooks/alertmanager", json=cut)).status_code == 202
    assert len(reports(door)) == 1
    letter = door.intake.refused._queue.get_nowait()
    assert letter.problem.faults[0].field == "truncatedAlerts"


async def test_rules_set_site_type_and_severity_of_a_signal(door: Door) -> None:
    rules = [
        {"when": {"alertname": "Watchdog"}, "drop": True},
        {
            "when": {"instance": "col-(.*)", "severity": "critical"},
            "site": "clg-0920077J",
            "type": "outage_telecom",
            "severity": 3,
        },
    ]
    key = (await source(door, dialect="alertmanager", rules=rules))["key"]
    async with door.client(Authorization=f"Bearer {key}") as http:
        many = group(
            alert(fingerprint="a", alertname="Watchdog"),
            alert(fingerprint="b", instance="col-12"),
            alert(fingerprint="c"),
        )
        assert (await http.post("/webhooks/alertmanager", json=many)).status_code == 202
    assert reports(door) == [("outage_telecom", "clg-0920077J", 3), ("outage_it", "cen-1", 4)]


# ── Opsgenie, GoAlert, apprise, generic ──────────────────────────────────────────────────────────────────────────────


async def test_opsgenie_alias_is_closed_by_nothing_but_its_name(door: Door) -> None:
    key = (await source(door, dialect="opsgenie"))["key"]
    async with door.client(Authorization=f"GenieKey {key}") as http:
        opened = await http.post(
            "/v2/alerts",
            json={
                "message": "Disque plein",
                "alias": "disk/1",
                "priority": "P1",
                "details": {"site": "cen-2"},
            },
        )
        assert (opened.status_code, opened.json()["result"]) == (202, "Request will be processed")
        assert (
            await http.post("/v2/alerts/disk%2F1/acknowledge?identifierType=alias", json={})
        ).status_code == 202
        assert (
            await http.post("/v2/alerts/disk%2F1/close?identifierType=alias", json={"source": "x"})
        ).status_code == 202
        assert (await http.get("/v2/heartbeats/nuit/ping")).status_code == 202
        wrong = await http.post("/v2/alerts", json={"alias": "a"})
        assert (wrong.status_code, list(wrong.json()["errors"])) == (422, ["message"])
    assert reports(door) == [
        ("outage_it", "cen-2", 4),
        ("info", "cen-2", 1),
        ("reopening", "cen-2", 1),
    ]


async def test_an_alias_of_any_characters_is_the_same_when_it_is_offered_again(door: Door) -> None:
    key = (await source(door, dialect="opsgenie"))["key"]
    async with door.client(Authorization=f"GenieKey {key}") as http:
        assert (
            await http.post("/v2/alerts", json={"message": "Plein ?", "alias": "a?b%3F/c"})
        ).status_code == 202
        assert (
            await http.post("/v2/alerts/a%3Fb%253F%2Fc/close?identifierType=alias", content=b"{")
        ).status_code == 422
    refused_message = door.intake.refused._queue.get_nowait()
    assert (await offered_again(door, refused_message, b"{}")).status_code == 202
    assert [type for type, *_ in reports(door)] == ["outage_it", "reopening"]


@pytest.mark.parametrize("form", ["json", "form", "multipart", "query"])
async def test_goalert_takes_any_form(door: Door, form: str) -> None:
    key = (await source(door, dialect="goalert"))["key"]
    url, fields = (
        f"/api/v2/generic/incoming?token={key}",
        {"summary": "Porte bloquée", "details": "aile B", "dedup": "porte"},
    )
    async with door.client() as http:

        async def post(**more: str) -> httpx.Response:
            body = fields | more
            if form == "json":
                return await http.post(url, json=body)
            if form == "form":
                return await http.post(url, data=body)
            if form == "multipart":
                return await http.post(url, files={n: (None, v) for n, v in body.items()})
            return await http.post(url, params=body | {"token": key})

        assert (await post()).status_code == 200
        assert (await post(action="close")).status_code == 200
    assert [t for t, *_ in reports(door)] == ["outage_it", "reopening"]


async def test_grafana_and_alertmanager_speak_through_goalert_too(door: Door) -> None:
    key = (await source(door, dialect="goalert"))["key"]
    async with door.client() as http:
        legacy = {"ruleName": "CPU", "ruleId": 1, "state": "alerting", "message": "trop"}
        for body in (legacy, legacy | {"state": "ok"}, group(alert())):
            assert (
                await http.post(f"/api/v2/grafana/incoming?token={key}", json=body)
            ).status_code == 200
        assert (
            await http.post(
                f"/api/v2/prometheusalertmanager/incoming?token={key}",
                json=group(alert(fingerprint="z")),
            )
        ).status_code == 200
    assert [t for t, *_ in reports(door)] == ["outage_it", "reopening", "outage_it", "outage_it"]


SOAP = """<?xml version='1.0' encoding='utf-8'?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>
<Notification xmlns="http://nuxref.com/apprise/NotifyXML-1.1.xsd"><Version>1.1</Version><Subject>Onduleur</Subject>
<MessageType>x</MessageType><Message>sur batterie</Message><Type>{type}</Type></Notification></soapenv:Body></soapenv:Envelope>"""


@pytest.mark.parametrize("form", ["json", "xml", "form"])
async def test_apprise_success_ends_the_failure(door: Door, form: str) -> None:
    key = (await source(door, dialect="apprise"))["key"]
    async with door.client(**{"X-Token": key}) as http:

        async def post(type: str) -> httpx.Response:
            fields = {
                "version": "1.0",
                "title": "Onduleur",
                "message": "sur batterie",
                "type": type,
            }
            if form == "json":
                return await http.post("/webhooks/apprise", json=fields)
            if form == "form":
                return await http.post("/webhooks/apprise", data=fields)
            return await http.post(
                "/webhooks/apprise",
                content=SOAP.format(type=type),
                headers={"content-type": "application/xml"},
            )

        assert (await post("failure")).status_code == 200
        assert (await post("success")).status_code == 200
    assert [(t, s) for t, _, s in reports(door)] == [("outage_it", 4), ("reopening", 1)]


async def test_apprise_with_an_attachment_is_a_form_in_parts(door: Door) -> None:
    key = (await source(door, dialect="apprise"))["key"]
    fields = {"version": "1.0", "title": "Onduleur", "message": "sur batterie", "type": "failure"}
    async with door.client(**{"X-Token": key}) as http:
        answer = await http.post(
            "/webhooks/apprise", data=fields, files={"file01": ("a.png", b"\x89PNG", "image/png")}
        )
    assert answer.status_code == 200, answer.text
    assert reports(door) == [("outage_it", "cen-1", 4)]


async def test_apprise_info_informs_and_opens_nothing(door: Door) -> None:
    key = (await source(door, dialect="apprise"))["key"]
    async with door.client(**{"X-Token": key}) as http:
        for _ in range(2):
            assert (
                await http.post(
                    "/webhooks/apprise",
                    json={"title": "Sauvegarde", "message": "faite", "type": "info"},
                )
            ).status_code == 200
        assert (
            await http.post(
                "/webhooks/apprise",
                json={"title": "Sauvegarde", "message": "faite", "type": "success"},
            )
        ).status_code == 200
    assert reports(door) == [("info", "cen-1", 1)]


async def test_xml_touches_neither_files_nor_the_network(door: Door, tmp_path: Path) -> None:
    key = (await source(door, dialect="apprise"))["key"]
    (tmp_path / "secret").write_text("secret")
    bombs = [
        f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><a><title>&x;</title></a>',
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><a><title>&b;</title></a>',
        "<a><b></a>",
        "",
        "\x00",
    ]
    async with door.client(**{"X-Token": key, "content-type": "application/xml"}) as http:
        for bomb in bombs:
            assert (await http.post("/webhooks/apprise", content=bomb)).status_code == 422
    assert reports(door) == []


async def test_a_generic_source_is_read_by_its_pointers_or_by_common_names(door: Door) -> None:
    fields = {
        "title": "/event/name",
        "key": "/event/id",
        "state": "/event/up",
        "severity": "/event/sev",
        "site": "/tags/0",
    }
    mapped, plain = (
        await source(door, "mapped", dialect="generic", fields=fields),
        await source(door, "plain", dialect="generic"),
    )
    async with door.client() as http:
        body = {
            "event": {"name": "Lien coupé", "id": 7, "up": False, "sev": "high"},
            "tags": ["cen-3"],
        }
        opening = body | {"event": body["event"] | {"up": "down"}}
        assert (
            await http.post(f"/webhooks/generic/mapped?token={mapped['key']}", json=opening)
        ).status_code == 202
        assert (
            await http.post(f"/webhooks/generic/mapped?token={mapped['key']}", json=body)
        ).status_code == 202
        assert (
            await http.post(
                f"/webhooks/generic/plain?token={plain['key']}",
                json={"text": "Alerte", "level": "warning"},
            )
        ).status_code == 202
        assert (
            await http.post(
                f"/webhooks/generic/plain?token={plain['key']}", json={"level": "warning"}
            )
        ).status_code == 422
        assert (
            await http.post(f"/webhooks/generic/plain?token={mapped['key']}", json={"text": "x"})
        ).status_code == 403
    assert reports(door) == [
        ("outage_it", "cen-3", 4),
        ("reopening", "cen-3", 1),
        ("outage_it", "cen-1", 2),
    ]


# ── CloudEvents ──────────────────────────────────────────────────────────────────────────────────────────────────────

ENVELOPE = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/scada/42",
    "type": "fr.example.alarm",
    "time": "2026-11-24T08:00:00Z",
}
NATIVE = {"type": "outage_water", "severity": 3, "site_id": "cen-2"}


@pytest.mark.parametrize("mode", ["binary", "structured", "batch"])
async def test_a_native_report_travels_in_a_cloudevent(door: Door, mode: str) -> None:
    key = (await source(door, dialect="cloudevents"))["key"]
    async with door.client(Authorization=f"Bearer {key}") as http:

        async def post() -> httpx.Response:
            if mode == "binary":
                return await http.post(
                    "/api/v1/events",
                    json=NATIVE,
                    headers={f"ce-{n}": v for n, v in ENVELOPE.items()},
                )
            kind = (
                "application/cloudevents+json"
                if mode == "structured"
                else "application/cloudevents-batch+json"
            )
            event: Any = ENVELOPE | {"data": NATIVE}
            return await http.post(
                "/api/v1/events",
                content=orjson.dumps([event] if mode == "batch" else event),
                headers={"content-type": kind},
            )

        assert [(await post()).status_code for _ in range(2)] == [202, 202]
    assert reports(door) == [("outage_water", "cen-2", 3)]
    assert (last(door).occurred_at, last(door).dialect) == (1_795_507_200_000, "cloudevents")


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "info", "measure": {"name": "total_isolation", "value": True}},
        {"type": "info", "measure": {"value": 46, "unit": "m"}},
        {"type": "weather_alert", "colour": "violet"},
    ],
    ids=["reserved measure", "figure without name", "colour"],
)
async def test_a_refused_event_of_a_batch_is_not_counted_as_accepted(
    door: Door, wrong: dict[str, Any]
) -> None:
    """D76: the reply counted events that the front had refused for a measure or a colour."""
    await source(door, dialect="cloudevents", key=KEY)
    body = {"severity": 3, "occurred_at": "2027-02-11T09:40:00+01:00"}
    attributes = {"specversion": "1.0", "source": "/x", "type": "t"}
    right = attributes | {"id": "1", "data": body | {"type": "outage_power"}}
    events = [right, attributes | {"id": "2", "data": body | wrong}]
    headers = {"content-type": "application/cloudevents-batch+json"}
    async with door.client(Authorization=f"Bearer {KEY}") as http:
        answer = await http.post("/api/v1/events", content=orjson.dumps(events), headers=headers)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    assert len(door.inputs.appended) == 1


async def test_other_data_is_read_by_the_mapping_with_its_subject_as_key(door: Door) -> None:
    rules = [{"when": {"ce.type": r"fr\.example\..*"}, "type": "outage_power"}]
    key = (await source(door, dialect="cloudevents", rules=rules))["key"]
    async with door.client(
        **{"Authorization": f"Bearer {key}", "content-type": "application/cloudevents+json"}
    ) as http:
        for n, state in enumerate(("alarm", "ok")):
            event = ENVELOPE | {
                "id": f"e-{n}",
                "subject": "tgbt-3",
                "data": {"state": state, "level": "high", "message": "TGBT 3"},
            }
            assert (
                await http.post("/api/v1/events", content=orjson.dumps(event))
            ).status_code == 202
    assert reports(door) == [("outage_power", "cen-1", 4), ("reopening", "cen-1", 1)]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (ENVELOPE | {"specversion": "0.3"}, "specversion"),
        ({k: v for k, v in ENVELOPE.items() if k != "id"}, "id"),
        (ENVELOPE | {"data_base64": "%%"}, "data_base64"),
        (ENVELOPE | {"data": NATIVE | {"severity": 9}}, "severity"),
        ([], "body"),
    ],
)
async def test_a_wrong_event_is_refused_by_field(door: Door, event: Any, field: str) -> None:
    key = (await source(door, dialect="cloudevents"))["key"]
    async with door.client(
        **{"Authorization": f"Bearer {key}", "content-type": "application/cloudevents+json"}
    ) as http:
        answer = await http.post("/api/v1/events", content=orjson.dumps(event))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def offered_again(
    door: Door, kept: RefusedMessage, body: bytes = b"", came: int = 1
) -> httpx.Response:
    """Replay a message as the cell, unchanged or with another body. `came`: its arrival in ms."""
    letter = build_dead_letter(kept, "92", came)

    async def find(id: str, _author: object) -> DeadLetter:
        assert id == letter.id
        return letter

    async def body_of(letter: DeadLetter) -> bytes:
        return kept.body

    lane: Any = door.intake.front._refused
    lane._find, lane._body = find, body_of
    async with await door.as_(Role.CELL) as http:
        return await http.post(f"/api/v1/refused/{letter.id}/replay", content=body)


@pytest.mark.parametrize(
    ("kind", "body", "code", "wrong", "right"),
    [
        (
            "application/json",
            orjson.dumps(NATIVE | {"site_id": "col-1"}),
            "out_of_scope",
            b"col-1",
            b"cen-2",
        ),
        (
            "application/json",
            b'{"type": "outage_water", "severity": 3,',
            "not_json",
            b'"data_base64":',
            b'"data": %s, "was":' % orjson.dumps(NATIVE),
        ),
        ("", b"", "invalid", b'"datacontenttype":', b'"data": %s, "was":' % orjson.dumps(NATIVE)),
    ],
)
async def test_a_binary_event_that_was_refused_is_offered_again_whole(
    door: Door, kind: str, body: bytes, code: str, wrong: bytes, right: bytes
) -> None:
    made = await source(door, dialect="cloudevents", scope={"sites": ["cen-1", "cen-2"]})
    headers = {f"ce-{n}": v for n, v in ENVELOPE.items()} | ({"content-type": kind} if kind else {})
    async with door.client(Authorization=f"Bearer {made['key']}") as http:
        assert (await http.post("/api/v1/events", content=body, headers=headers)).json()[
            "code"
        ] == code
    refused_message = door.intake.refused._queue.get_nowait()
    assert (await offered_again(door, refused_message)).json()["code"] == code, (
        "nothing is mended yet"
    )
    mended = refused_message.body.replace(wrong, right)
    assert mended != refused_message.body
    for _ in range(2):
        again = await offered_again(door, refused_message, mended)
        assert again.status_code == 202, again.text
    assert reports(door) == [("outage_water", "cen-2", 3)]


KUMA = {
    "rules": [
        {"when": {"heartbeat.status": "1"}, "state": "closed"},
        {"when": {"heartbeat.status": "2|3"}, "drop": True},
        {"when": {"heartbeat.status": "0"}, "state": "open"},
    ],
    "fields": {
        "key": "/monitor/id",
        "title": "/monitor/name",
        "details": "/msg",
        "state": "/heartbeat/status",
    },
}


async def test_a_rule_with_another_colour_is_refused_when_it_is_written(door: Door) -> None:
    """D76: the front would refuse each message that the rule matches, in the crisis."""
    rules = [{"when": {"title": ".*"}, "type": "weather_alert", "colour": "violet"}]
    body = {"name": "meteo", "dialect": "generic", "rules": rules}
    async with await door.as_(Role.ADMIN) as http:
        answer = await http.post("/api/v1/sources", json=body)
        assert answer.status_code == 422
        assert [e["field"] for e in answer.json()["errors"]] == ["rules.1.colour"]
        await source(door, "meteo", dialect="generic")
        changed = await http.patch("/api/v1/sources/meteo", json={"rules": rules})
        assert [e["field"] for e in changed.json()["errors"]] == ["rules.1.colour"]


async def test_a_rule_translates_a_code_of_a_program(door: Door) -> None:
    """Uptime Kuma: 0 is down, 1 up, 2 tried again, 3 maintained."""
    key = (await source(door, dialect="generic", **KUMA))["key"]
    async with door.client(Authorization=f"Bearer {key}") as http:
        for code in (1, 2, 0, 0, 3, 1):
            body = {
                "heartbeat": {"status": code},
                "monitor": {"id": 7, "name": "Extranet"},
                "msg": f"code {code}",
            }
            assert (await http.post("/webhooks/generic/supervision", json=body)).status_code == 202
    assert reports(door) == [("outage_it", "cen-1", 3), ("reopening", "cen-1", 1)]


async def test_a_cap_message_carries_its_own_state(door: Door) -> None:
    async with await door.as_(Role.ADMIN) as http:
        answer = await http.post(
            "/api/v1/sources",
            json={
                "name": "meteo",
                "dialect": "cap",
                "rules": [{"when": {"event": "x"}, "state": "closed"}],
            },
        )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "rules.1.state")


@pytest.mark.parametrize("word", ["CLEAR", "Résolu", "rétablie", "TERMINÉ", "Recovered", "OK"])
async def test_an_end_has_many_names(door: Door, word: str) -> None:
    key = (await source(door, dialect="generic"))["key"]
    async with door.client(Authorization=f"Bearer {key}") as http:
        for state in ("PROBLEM", "ACKNOWLEDGEMENT", word):
            assert (
                await http.post(
                    "/webhooks/generic/supervision",
                    json={"id": "p1", "title": "Pompe", "state": state},
                )
            ).status_code == 202
    assert [m.acknowledges for _, m, _ in door.inputs.appended] == [False, True, False]
    assert [t for t, *_ in reports(door)] == ["outage_it", "info", "reopening"]


async def test_a_group_of_grafana_ends_although_its_title_changes(door: Door) -> None:
    key = (await source(door, dialect="generic"))["key"]
    async with door.client(Authorization=f"Bearer {key}") as http:
        for status in ("firing", "resolved"):
            body = {
                "status": status,
                "title": f"[{status.upper()}:1] Pompe",
                "message": "…",
                "groupKey": "{}:{alertname=Pompe}",
                "alerts": [],
            }
            assert (await http.post("/webhooks/generic/supervision", json=body)).status_code == 202
    assert [t for t, *_ in reports(door)] == ["outage_it", "reopening"]


CAME = 1_795_000_000_000


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        ("generic", "/webhooks/generic/supervision", {"titre": "Pompe"}),
        (
            "pagerduty",
            "/v2/enqueue",
            event(key=None) | {"payload": {"summary": "Pompe", "source": "p"}},
        ),
        ("opsgenie", "/v2/alerts", {"titre": "Pompe"}),
        ("goalert", "/api/v2/generic/incoming", {"titre": "Pompe"}),
        ("apprise", "/webhooks/apprise", {"titre": "Pompe", "type": "failure"}),
        ("apprise", "/webhooks/apprise", {"titre": "Pompe", "type": "info"}),
    ],
)
async def test_a_replayed_message_without_a_time_has_its_first_arrival(
    door: Door, dialect: str, path: str, body: dict[str, Any]
) -> None:
    """A trouble of the night that is replayed in the morning began in the night: its clocks run from then."""
    key = (await source(door, dialect=dialect, key=KEY))["key"]
    async with door.client() as http:
        assert (
            await http.post(
                path, params={"token": key}, json=body, headers={"Authorization": f"GenieKey {key}"}
            )
        ).status_code in (400, 422)
    refused_message = door.intake.refused._queue.get_nowait()
    mended = orjson.dumps(
        body
        | {
            "title": "Pompe",
            "message": "Pompe",
            "summary": "Pompe",
            "payload": {"summary": "Pompe", "source": "p", "severity": "error"},
        }
    )
    for _ in range(2):
        assert (await offered_again(door, refused_message, mended, CAME)).status_code in (200, 202)
    assert [m.occurred_at for _, m, _ in door.inputs.appended] == [CAME]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", orjson.dumps(NATIVE)),
        ("text/plain", "Pompe à l’arrêt".encode()),
        ("text/plain", b"\xe9teinte"),
    ],
)
async def test_the_bytes_of_a_binary_event_say_all_of_it(
    door: Door, kind: str, body: bytes
) -> None:
    made = await source(door, dialect="cloudevents")
    headers = {f"ce-{n}": v for n, v in ENVELOPE.items()} | {"content-type": kind}
    async with door.client(Authorization=f"Bearer {made['key']}") as http:
        assert (await http.post("/api/v1/events", content=body, headers=headers)).status_code == 202
        first = last(door)
        text_item = await door.intake.vault.texts.get(f"report-{first.report_id}")
        assert text_item is not None
        assert text_item.raw is not None
        assert {n: v for n, v in orjson.loads(text_item.raw).items() if n in ENVELOPE} == ENVELOPE
        other = text_item.raw.replace(b'"e-1"', b'"e-2"')
        assert (
            await http.post(
                "/api/v1/events",
                content=other,
                headers={"content-type": str(text_item.content_type)},
            )
        ).status_code == 202
    texts = [
        await door.intake.vault.texts.get(f"report-{m.report_id}")
        for _, m, _ in door.inputs.appended
    ]
    assert last(door).type == first.type
    field_sets = [
        {n: v for n, v in text.fields.items() if n != OWN_WORDS_FIELD}
        for text in [text_item, *texts]
        if text is not None
    ]
    assert all(fields == field_sets[0] for fields in field_sets)


@pytest.mark.parametrize(
    ("headers", "content", "code"),
    [
        ({"content-encoding": "gzip"}, b"x", "content_encoding"),
        ({}, b"x" * ((1 << 20) + 1), "body_too_large"),
    ],
)
async def test_an_unread_body_is_refused_in_the_name_of_its_sender(
    door: Door, headers: dict[str, str], content: bytes, code: str
) -> None:
    made = await source(door, dialect="alertmanager")
    async with door.client() as http:
        for more in ({"Authorization": f"Bearer {made['key']}"}, {}):
            answer = await http.post(
                "/webhooks/alertmanager", content=content, headers=headers | more
            )
            assert answer.json()["code"] == code
    refused_message = door.intake.refused._queue.get_nowait()
    assert (refused_message.principal.id, refused_message.problem.code, refused_message.body) == (
        made["id"],
        code,
        b"",
    )
    async with await door.as_(Role.ADMIN) as admin:
        (source_view,) = (await admin.get("/api/v1/sources")).json()["items"]
        assert (await admin.get("/api/v1/intake/strangers")).json()["count"] == 1, (
            "who shows no key"
        )
    assert (
        source_view["refused"],
        source_view["last_refusal"]["code"],
        source_view["last_seen"] is None,
    ) == (
        {code: 1},
        code,
        False,
    )


async def test_a_known_key_at_another_door_is_no_stranger(door: Door) -> None:
    made = await source(door, dialect="alertmanager")
    async with door.client(Authorization=f"Bearer {made['key']}") as http:
        assert (await http.post("/webhooks/apprise", json={"message": "x"})).json()[
            "code"
        ] == "other_door"
    refused_message = door.intake.refused._queue.get_nowait()
    assert (
        refused_message.principal.id,
        refused_message.path,
        orjson.loads(refused_message.body),
    ) == (
        made["id"],
        "/webhooks/apprise",
        {"message": "x"},
    )


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_strangers_and_disabled_sources_are_turned_away(door: Door) -> None:
    made = await source(door, dialect="alertmanager")
    async with (
        door.client(Authorization=f"Bearer {made['key']}") as http,
        await door.as_(Role.ADMIN) as admin,
        door.client() as stranger,
    ):
        assert (
            await stranger.post("/webhooks/alertmanager", json=group(alert()))
        ).status_code == 401
        elsewhere = await http.post("/webhooks/apprise", json={"message": "x"})
        assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "other_door")
        assert elsewhere.json()["detail"].endswith(
            "« supervision » (alertmanager), à envoyer à /webhooks/alertmanager."
        )
        assert (await admin.post("/webhooks/alertmanager", json=group(alert()))).status_code == 403
        assert (await admin.post("/api/v1/sources/supervision/disable")).json()["enabled"] is False
        assert (await http.post("/webhooks/alertmanager", json=group(alert()))).status_code == 401
        assert (await admin.post("/api/v1/sources/supervision/enable")).json()["enabled"] is True
        assert (await http.post("/webhooks/alertmanager", json=group(alert()))).status_code == 202
        assert (await http.get("/webhooks/alertmanager")).status_code == 405
    assert len(reports(door)) == 1


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"dialect": "telex"}, "dialect"),
        ({"dialect": "generic", "fields": {"colour": "/a"}}, "fields.colour"),
        ({"dialect": "generic", "rules": [{"when": {"a": "("}}]}, "rules.1.when.a"),
    ],
)
async def test_a_source_that_cannot_work_is_refused_by_field(
    door: Door, record: dict[str, Any], field: str
) -> None:
    async with await door.as_(Role.ADMIN) as http:
        answer = await http.post("/api/v1/sources", json={"name": "s"} | record)
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (422, [field])


async def test_a_name_and_a_key_belong_to_one_source(door: Door) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    async with await door.as_(Role.ADMIN) as http:
        for record in ({"name": "supervision"}, {"name": "autre", "key": KEY}):
            assert (
                await http.post("/api/v1/sources", json={"dialect": "pagerduty"} | record)
            ).status_code == 409
        await door.intake.access.put(Source(id="source-lost", name="perdue", dialect="pagerduty"))
        assert (await http.post("/api/v1/sources/perdue/enable")).status_code == 404
        assert (
            await http.post("/api/v1/sources", json={"dialect": "pagerduty", "name": "perdue"})
        ).status_code == 201


async def test_open_episodes_survive_the_memory_of_the_process(door: Door) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    async with door.client() as http:
        await http.post("/v2/enqueue", json=event())
        await door.intake.ledger.flush()
        door.intake.front._machines.transitions.episodes._newest.clear()
        await http.post("/v2/enqueue", json=event("resolve"))
        await door.intake.ledger.flush()
        door.intake.front._machines.transitions.episodes._newest.clear()
        await http.post("/v2/enqueue", json=event("resolve"))
    assert [t for t, *_ in reports(door)] == ["outage_it", "reopening"]


@pytest.mark.parametrize("role", [Role.ADMIN, Role.CELL, Role.AUDITOR])
async def test_only_a_message_of_the_source_is_replayed_in_its_name(door: Door, role: Role) -> None:
    """A message that was refused is offered again from the lane, where its sender's bytes lie."""
    made = await source(door, "gen", dialect="generic")
    async with await door.as_(role) as http:
        response = await http.post(
            "/webhooks/generic/gen", json={"title": "Panne"}, headers={"X-Vigie-Source": made["id"]}
        )
    assert (response.status_code, door.inputs.appended) == (403, [])


# ── episodes whose sender's clock or words are odd ───────────────────────────────────────────────────────────────────


def one_alert(
    status: str, starts: str, ends: str = "0001-01-01T00:00:00Z", fingerprint: str = "f1"
) -> dict[str, Any]:
    alert = {
        "status": status,
        "labels": {"alertname": "Down"},
        "startsAt": starts,
        "endsAt": ends,
        "fingerprint": fingerprint,
    }
    return {"version": "4", "status": status, "alerts": [alert]}


async def _told(door: Door, *bodies: dict[str, Any], forgetful: bool) -> list[str]:
    """Return the types of reports from these groups; `forgetful`: restart between them."""
    made = await source(door, "am", dialect="alertmanager")
    async with door.client(Authorization=f"Bearer {made['key']}") as http:
        for body in bodies:
            if forgetful:
                await door.intake.ledger.flush()
                door.intake.front._machines.transitions.episodes._newest.clear()
            assert (await http.post("/webhooks/alertmanager", json=body)).status_code == 202
    return [t for t, *_ in reports(door)]


@pytest.mark.parametrize("forgetful", [False, True])
async def test_an_end_repeated_by_a_slow_node_leaves_the_next_episode_open(
    door: Door, forgetful: bool
) -> None:
    first = "2026-11-20T10:00:00Z", "2026-11-20T10:10:00Z"
    report_types = await _told(
        door,
        one_alert("firing", first[0]),
        one_alert("resolved", *first),
        one_alert("firing", "2026-11-20T10:20:00Z"),
        one_alert("resolved", *first),
        forgetful=forgetful,
    )
    assert report_types == ["outage_it", "reopening", "outage_it"]


@pytest.mark.parametrize("forgetful", [False, True])
async def test_a_clock_that_ran_ahead_once_silences_no_later_alert(
    door: Door, forgetful: bool
) -> None:
    ahead = "2099-11-20T10:00:00Z", "2099-11-20T10:10:00Z"
    later = "2027-02-01T10:00:00Z"  # after what the log of these tests calls now
    report_types = await _told(
        door,
        one_alert("firing", ahead[0]),
        one_alert("resolved", *ahead),
        one_alert("firing", ahead[0]),
        one_alert("firing", later),
        one_alert("firing", later),
        one_alert("resolved", later, later),
        forgetful=forgetful,
    )
    assert report_types[:3] == ["outage_it", "reopening", "outage_it"]
    assert report_types[3:] == ["reopening"]
    assert all(m.occurred_at <= time.time() * 1000 for _, m, _ in door.inputs.appended)


@pytest.mark.parametrize("forgetful", [False, True])
async def test_an_episode_begun_in_the_future_ends_on_report(door: Door, forgetful: bool) -> None:
    report_types = await _told(
        door,
        one_alert("firing", "2099-11-20T10:00:00Z"),
        one_alert("firing", "2026-11-20T10:00:00Z"),
        one_alert("resolved", "2026-11-20T10:00:00Z", "2026-11-20T10:10:00Z"),
        forgetful=forgetful,
    )
    assert report_types == ["outage_it", "reopening"]


@pytest.mark.parametrize("forgetful", [False, True])
async def test_an_episode_from_before_our_time_ends_too(door: Door, forgetful: bool) -> None:
    report_types = await _told(
        door,
        one_alert("firing", "0800-01-01T00:00:00Z"),
        one_alert("resolved", "0800-01-01T00:00:00Z", "2026-11-20T10:10:00Z"),
        forgetful=forgetful,
    )
    assert report_types == ["outage_it", "reopening"]


@pytest.mark.parametrize(
    "place",
    ["Bâtiment B, troisième étage, " * 5, "B" * 300, "Bâtiment B\nétage 3", "salle#end", "\x00"],
)
async def test_an_unknown_place_opens_and_ends_also_after_a_restart(door: Door, place: str) -> None:
    made = await source(door, "gen", dialect="generic")
    async with door.client(Authorization=f"Bearer {made['key']}") as http:
        for state in ("problem", "ok"):
            await door.intake.ledger.flush()
            door.intake.front._machines.transitions.episodes._newest.clear()
            response = await http.post(
                "/webhooks/generic/gen", json={"title": "Fuite", "location": place, "status": state}
            )
            assert response.status_code == 202
    opening, closing = (m for _, m, _ in door.inputs.appended)
    assert (closing.type.value, closing.references, closing.site_id) == (
        "reopening",
        (opening.report_id,),
        opening.site_id,
    )
