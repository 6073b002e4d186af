"""Real clients of each integration send unusual fields; each has a defined effect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import orjson
import pytest

from services.intake.integrations import request
from services.intake.integrations.request import parse_time
from tests.unit.intake.conftest import Door
from tests.unit.intake.machines.test_machines import KEY, event, last, reports, source


class Minute:
    """Stands for the clock by which messages arrive."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 24, 8, tzinfo=UTC)

    def now(self, zone: tzinfo) -> datetime:
        return self.at.astimezone(zone)

    def __call__(self, *parts: Any, **options: Any) -> datetime:
        return datetime(*parts, **options)  # noqa: DTZ001


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> Minute:
    stopped = Minute()
    monkeypatch.setattr(request, "datetime", stopped)
    return stopped


# ── PagerDuty ────────────────────────────────────────────────────────────────────────────────────────────────────────

ONE = "Labels:\n - alertname = Disk\n - severity = warning\nAnnotations:\n - severity = critical\nSource: http://p/graph\n"
OTHER = "Labels:\n - alertname = Power\n - severity = critical\n - site = cen-2\nAnnotations:\nSource: \n"
LISTED = [
    {"status": "firing", "labels": {"severity": "warning"}},
    {"status": "firing", "labels": {"severity": "critical", "site": "cen-2"}},
]


@pytest.mark.parametrize(
    ("details", "severity", "site"),
    [
        ({"firing": ONE, "resolved": "", "num_firing": "1"}, 2, "cen-1"),
        ({"firing": ONE + OTHER, "resolved": ""}, 4, "cen-2"),
        ({"firing": OTHER + ONE, "resolved": ONE}, 4, "cen-2"),
        ({"firing": LISTED, "resolved": []}, 4, "cen-2"),
        ({"firing": "", "resolved": ONE}, 2, "cen-1"),
        ({"severity": "info", "firing": OTHER}, 1, "cen-2"),
        ({"firing": ["x", {"labels": 1}], "resolved": 3}, 3, "cen-1"),
    ],
)
async def test_alertmanager_through_pagerduty_is_as_grave_as_its_gravest_alert(
    door: Door, details: Any, severity: int, site: str
) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    async with door.client() as http:
        response = await http.post(
            "/v2/enqueue", json=event(severity="error", custom_details=details)
        )
        assert response.status_code == 202
    assert reports(door) == [("outage_it", site, severity)]


@pytest.mark.parametrize("timestamp", [None, "2026-11-24T08:00:00Z"])
async def test_a_repeated_message_without_a_key_is_one_cause(
    door: Door, timestamp: str | None, minute: Minute
) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    body = event(key=None, timestamp=timestamp)
    async with door.client() as http:
        keys = [(await http.post("/v2/enqueue", json=body)).json()["dedup_key"] for _ in range(2)]
        assert len({*keys}) == len(reports(door)) == 1
        keys.append(
            (await http.post("/v2/enqueue", json=body | {"client": "autre"})).json()["dedup_key"]
        )
        minute.at += timedelta(minutes=1)
        keys.append((await http.post("/v2/enqueue", json=body)).json()["dedup_key"])
    assert len({*keys}) == len(reports(door)) == (3 if timestamp is None else 2)


@pytest.mark.parametrize(("given", "kept"), [(1_000, 1_000), (1_024, 1_024), (1_025, 1_024)])
async def test_a_summary_is_cut_where_the_vendor_cuts_it(door: Door, given: int, kept: int) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    async with door.client() as http:
        assert (await http.post("/v2/enqueue", json=event(summary="x" * given))).status_code == 202
    text = await door.intake.vault.texts.get(f"report-{last(door).report_id}")
    assert text is not None
    assert text.fields["headline"] == "x" * kept


# ── Opsgenie ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_opsgenie_s_other_calls_about_an_alert_open_nothing(door: Door) -> None:
    """Alertmanager with `update_alerts` sends the creation, then `/message` and `/description`, each time."""
    key = (await source(door, dialect="opsgenie"))["key"]
    created = {"message": "Disque plein", "alias": "disk/1", "description": "sda", "priority": "P1"}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", "message", {"message": "Disque plein"}),
        ("PUT", "description", {"description": "sda"}),
        ("POST", "notes", {"note": "vu"}),
        ("POST", "snooze", {"endTime": "2027-01-01T00:00:00Z"}),
    ]
    async with door.client(Authorization=f"GenieKey {key}") as http:
        for words in ("Disque plein", "Disque très plein"):
            assert (
                await http.post("/v2/alerts", json=created | {"message": words})
            ).status_code == 202
            for method, call, body in calls:
                answer = await http.request(
                    method, f"/v2/alerts/disk%2F1/{call}?identifierType=alias", json=body
                )
                assert (answer.status_code, answer.json()["result"]) == (
                    202,
                    "Request will be processed",
                ), call
        assert (
            await http.post("/v2/alerts/disk%2F1/close?identifierType=alias", json={"source": "am"})
        ).status_code == 202
    assert [(m.type.value, m.msg_type.value) for _, m, _ in door.inputs.appended] == [
        ("outage_it", "Alert"),
        ("outage_it", "Update"),
        ("reopening", "Alert"),
    ]


@pytest.mark.usefixtures("minute")
async def test_opsgenie_without_an_alias_is_one_cause_in_any_number_of_messages(door: Door) -> None:
    key = (await source(door, dialect="opsgenie"))["key"]
    async with door.client(Authorization=f"GenieKey {key}") as http:
        for n in (1, 1, 2):
            assert (
                await http.post("/v2/alerts", json={"message": f"Panne {n}"})
            ).status_code == 202
    assert len(reports(door)) == 2


# ── GoAlert ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["json", "form", "multipart", "query"])
async def test_goalert_meta_names_the_site_in_any_form(door: Door, form: str) -> None:
    key = (await source(door, dialect="goalert", rules=[{"when": {"link": "a=b"}, "severity": 5}]))[
        "key"
    ]
    url, pairs = f"/api/v2/generic/incoming?token={key}", ["site=cen-2", "link=a=b", "nothing"]
    async with door.client() as http:
        if form == "json":
            answer = await http.post(
                url, json={"summary": "Porte", "meta": {"site": "cen-2", "link": "a=b"}}
            )
        elif form == "form":
            answer = await http.post(url, data={"summary": "Porte", "meta": pairs})
        elif form == "multipart":
            answer = await http.post(
                url, files=[("summary", (None, "Porte")), *(("meta", (None, p)) for p in pairs)]
            )
        else:
            answer = await http.post(url, params={"token": key, "summary": "Porte", "meta": pairs})
    assert (answer.status_code, reports(door)) == (200, [("outage_it", "cen-2", 5)])


async def test_a_pending_grafana_rule_or_one_without_data_reports_nothing(door: Door) -> None:
    key = (await source(door, dialect="goalert"))["key"]
    async with door.client() as http:
        for state in ("pending", "no_data", "paused", "alerting", "no_data", "paused", "ok"):
            body = {"ruleName": "CPU", "ruleId": 1, "state": state, "message": "trop"}
            assert (
                await http.post(f"/api/v2/grafana/incoming?token={key}", content=orjson.dumps(body))
            ).status_code == 200
    assert [t for t, *_ in reports(door)] == ["outage_it", "reopening"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1795593600", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ("1795593600.25", datetime(2026, 11, 25, 8, 0, 0, 250_000, UTC)),
        ("1795593600000", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        (1_795_593_600, datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ("202611250800", None),
        ("20261125080000", None),
        ("20261125", None),
        ("117", None),
        ("١٧٩٥٥٩٣٦٠٠", None),
    ],
)
def test_a_form_gives_the_same_time_as_json(given: object, expected: datetime | None) -> None:
    assert parse_time(given) == expected
