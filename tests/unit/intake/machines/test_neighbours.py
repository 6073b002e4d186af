"""Programs of other IT teams, set up as `docs/how-to/neighbours.md` says, open and end one cause.

Settings come from the page; macros are replaced as these programs replace them.
"""

from __future__ import annotations

import json
import re
import shlex
from html import escape
from typing import Any
from urllib.parse import urlencode

import pytest
from ruamel.yaml import YAML

from tests.shipped import REPOSITORY
from tests.unit.intake.conftest import Door
from tests.unit.intake.machines.test_machines import reports, source

PAGE = (REPOSITORY / "docs" / "how-to" / "neighbours.md").read_text(encoding="utf-8")


def read_block(title: str) -> str:
    """Return the code block of the page with this title."""
    block_match = re.search(rf"^```{title}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block_match is not None, title
    return block_match[1]


def read_map(name: str) -> dict[str, Any]:
    """Return the rules and fields of a source, as `vigie source add --map` reads them."""
    return dict(YAML(typ="safe").load(read_block(f"yaml {name}")))


def fill(text: str, values: dict[str, str]) -> str:
    """Replace macros by their values."""
    for macro, value in values.items():
        text = text.replace(macro, value)
    return text


async def post(door: Door, name: str, key: str, body: bytes, kind: str, header: str) -> None:
    async with door.client(**{header: key, "Content-Type": kind}) as http:
        done = await http.post(f"/webhooks/generic/{name}", content=body)
    assert done.status_code == 202, done.text


# ── Grafana ──────────────────────────────────────────────────────────────────────────────────────


def make_grafana(status: str) -> dict[str, Any]:
    """Make a message of Grafana's unified alerting, with the fields of its documentation."""
    ends = "2026-11-24T09:51:03.157076+01:00" if status == "resolved" else "0001-01-01T00:00:00Z"
    alert = {
        "status": status,
        "labels": {"alertname": "Onduleur", "site": "cen-2", "severity": "critical"},
        "annotations": {"summary": "Onduleur sur batterie", "description": "Salle 2"},
        "startsAt": "2026-11-24T08:51:03.157076+01:00",
        "endsAt": ends,
        "generatorURL": "https://grafana.example.org/alerting/1afz29v7z/edit",
        "fingerprint": "c6eadffa33fcdf37",
        "silenceURL": "https://grafana.example.org/alerting/silence/new",
        "dashboardURL": "",
        "panelURL": "",
        "values": {"B": 44.2, "C": 1},
    }
    return {
        "receiver": "Vigie",
        "status": status,
        "orgId": 1,
        "alerts": [alert],
        "groupLabels": {},
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": "https://grafana.example.org/",
        "version": "1",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "title": f"[{status.upper()}:1]",
        "state": "alerting" if status == "firing" else "ok",
        "message": "**Firing**",
    }


async def test_an_alert_of_grafana_begins_and_ends_at_its_site(door: Door) -> None:
    key = (await source(door, dialect="alertmanager", severity=3))["key"]
    async with door.client(Authorization=f"Bearer {key}") as http:
        for status in ("firing", "firing", "resolved"):
            done = await http.post("/webhooks/alertmanager", json=make_grafana(status))
            assert done.status_code < 300, done.text
    assert [(kind, site) for kind, site, _ in reports(door)] == [
        ("outage_it", "cen-2"),
        ("reopening", "cen-2"),
    ]


# ── Zabbix ───────────────────────────────────────────────────────────────────────────────────────

ZABBIX = {
    "{EVENT.ID}": "10342",
    "{EVENT.VALUE}": "1",
    "{EVENT.UPDATE.STATUS}": "0",
    "{EVENT.UPDATE.ACTION}": "",
    "{HOST.NAME}": "srv-sig",
    "{EVENT.NAME}": "High CPU utilization",
    "{EVENT.OPDATA}": "Current utilization: 97 %",
    "{EVENT.SEVERITY}": "High",
    "{EVENT.TAGS.site}": "cen-2",
}


def make_zabbix(**changes: str) -> bytes:
    """Make the body that the script of the page sends."""
    values = ZABBIX | {f"{{EVENT.{name}}}": value for name, value in changes.items()}
    body = json.loads(fill(read_block("json zabbix"), values))
    body.pop("url")
    body.pop("token")
    return json.dumps(body).encode()


@pytest.mark.parametrize("action", ["acknowledged", "commented, acknowledged"])
async def test_an_event_of_zabbix_begins_is_acknowledged_and_ends(door: Door, action: str) -> None:
    key = (await source(door, "zabbix", dialect="generic", **read_map("zabbix")))["key"]
    update = {"UPDATE.STATUS": "1"}
    for body in (
        make_zabbix(),
        make_zabbix(**update, **{"UPDATE.ACTION": "commented"}),
        make_zabbix(**update, **{"UPDATE.ACTION": "unacknowledged"}),
        make_zabbix(**update, **{"UPDATE.ACTION": action}),
        make_zabbix(VALUE="0"),
    ):
        await post(door, "zabbix", f"Bearer {key}", body, "application/json", "Authorization")
    assert [(kind, site) for kind, site, _ in reports(door)] == [
        ("outage_it", "cen-2"),
        ("info", "cen-2"),
        ("reopening", "cen-2"),
    ]
    assert reports(door)[0][2] == 4
    assert [m.acknowledges for _, m, _ in door.inputs.appended] == [False, True, False]


async def test_a_severity_that_zabbix_changes_is_reported(door: Door) -> None:
    key = (await source(door, "zabbix", dialect="generic", **read_map("zabbix")))["key"]
    update = {"UPDATE.STATUS": "1", "SEVERITY": "Disaster"}
    action = "commented, changed severity from Warning to Disaster"
    for body in (
        make_zabbix(SEVERITY="Warning"),
        make_zabbix(**update, **{"UPDATE.ACTION": action}),
    ):
        await post(door, "zabbix", f"Bearer {key}", body, "application/json", "Authorization")
    assert [severity for *_, severity in reports(door)] == [2, 4]


# ── Nagios, Centreon ─────────────────────────────────────────────────────────────────────────────

NAGIOS = {
    "$USER9$": "KEY",
    "$HOSTNAME$": "srv-paie",
    "$SERVICEDESC$": "Disk /var",
    "$SERVICEOUTPUT$": 'DISK CRITICAL - free space: /var 12 MB (1% "inode=98%"): & more',
    "$SERVICESTATE$": "CRITICAL",
    "$HOSTOUTPUT$": "PING CRITICAL - Packet loss = 100%",
    "$HOSTSTATE$": "DOWN",
    "$TIMET$": "1793520000",
}


def make_nagios(kind: str, type: str, **changes: str) -> bytes:
    """Make the form that the command of the page sends."""
    words = shlex.split(read_block(f"nagios {kind}").replace("\\\n", " "))
    values = NAGIOS | {"$NOTIFICATIONTYPE$": type} | {f"${n}$": v for n, v in changes.items()}
    fields = [words[n + 1] for n, word in enumerate(words) if word == "--data-urlencode"]
    return urlencode([fill(one, values).partition("=")[::2] for one in fields]).encode()


@pytest.mark.parametrize(("kind", "severity"), [("service", 4), ("host", 3)])
async def test_a_problem_of_nagios_begins_is_acknowledged_and_ends(
    door: Door, kind: str, severity: int
) -> None:
    key = (await source(door, "nagios", dialect="generic", **read_map("nagios")))["key"]
    up = {"SERVICESTATE": "OK", "HOSTSTATE": "UP", "TIMET": "1793520600"}
    for body in (
        make_nagios(kind, "PROBLEM"),
        make_nagios(kind, "FLAPPINGSTART"),
        make_nagios(kind, "FLAPPINGSTOP"),
        make_nagios(kind, "DOWNTIMESTART"),
        make_nagios(kind, "CUSTOM"),
        make_nagios(kind, "ACKNOWLEDGEMENT"),
        make_nagios(kind, "RECOVERY", **up),
    ):
        await post(door, "nagios", key, body, "application/x-www-form-urlencoded", "X-Token")
    assert [kind for kind, *_ in reports(door)] == ["outage_it", "info", "reopening"]
    assert reports(door)[0][1:] == ("cen-1", severity)


async def test_two_services_of_one_host_are_two_causes(door: Door) -> None:
    """Centreon sends the macros of its engine, which are those of Nagios."""
    key = (await source(door, "nagios", dialect="generic", **read_map("nagios")))["key"]
    for service in ("Disk-/var", "Memory"):
        body = make_nagios("service", "PROBLEM", SERVICEDESC=service)
        await post(door, "nagios", key, body, "application/x-www-form-urlencoded", "X-Token")
    assert [kind for kind, *_ in reports(door)] == ["outage_it", "outage_it"]


# ── GLPI ─────────────────────────────────────────────────────────────────────────────────────────


JSON_FILTERS = """|replace({'\\\\"': '"'})|json_encode|raw"""


def make_glpi(event: str, status: int, priority: int = 5, name: str = "Téléphonie muette") -> bytes:
    """Make the body that GLPI makes of the page's template.

    GLPI puts a backslash before each quote, then its templates escape for HTML.
    """
    values = {
        f"{{{{ item.name{JSON_FILTERS} }}}}": json.dumps(name),
        "{{ item.name }}": escape(name.replace('"', r"\"")),
        "{{ event }}": event,
        "{{ item.id }}": "2041",
        "{{ item.status.id }}": str(status),
        "{{ item.priority }}": str(priority),
    }
    return fill(read_block("json glpi"), values).encode()


@pytest.mark.parametrize(("priority", "severity"), [(3, 2), (5, 4), (6, 4)])
async def test_a_ticket_of_glpi_begins_and_ends(door: Door, priority: int, severity: int) -> None:
    key = (await source(door, "glpi", dialect="generic", **read_map("glpi")))["key"]
    for body in (
        make_glpi("new", 1, priority),
        make_glpi("update", 2, priority),
        make_glpi("update", 5, priority),
        make_glpi("update", 6, priority),
    ):
        await post(door, "glpi", key, body, "application/json", "X-Token")
    assert [kind for kind, *_ in reports(door)] == ["outage_it", "reopening"]
    assert reports(door)[0][1:] == ("cen-1", severity)


async def test_a_title_of_a_ticket_may_hold_any_signs(door: Door) -> None:
    """GLPI escapes a quote twice: its JSON was refused, and the ticket lost."""
    key = (await source(door, "glpi", dialect="generic", **read_map("glpi")))["key"]
    body = make_glpi("new", 1, name='Panne "serveur" de l\'annexe : C:\\paie <2> & 🔥')
    await post(door, "glpi", key, body, "application/json", "X-Token")
    assert [kind for kind, *_ in reports(door)] == ["outage_it"]


async def test_a_deleted_ticket_ends(door: Door) -> None:
    key = (await source(door, "glpi", dialect="generic", **read_map("glpi")))["key"]
    for body in (make_glpi("new", 1), make_glpi("delete", 2)):
        await post(door, "glpi", key, body, "application/json", "X-Token")
    assert [kind for kind, *_ in reports(door)] == ["outage_it", "reopening"]
