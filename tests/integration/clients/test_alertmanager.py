"""Prometheus, amtool and Alertmanagers run against the whole product, as senders and receivers."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from services.intake.integrations.alertmanager_api import compute_fingerprint
from services.runtime.process.sockets import find_free_ports
from tests.loopback import serving
from tests.system import ROOT, RunningVigie
from tests.waiting import until

PATIENCE_S = 90.0


def _program(name: str) -> str:
    """Find the program on the PATH, or else the one fetched by `make clients`."""
    program = shutil.which(name) or shutil.which(
        name, path=str(ROOT / ".venv" / "clients" / "usr" / "bin")
    )
    assert program is not None, f"{name}: call `make clients`"
    return program


@pytest.fixture(scope="module")
def vigie(apart: RunningVigie) -> RunningVigie:
    """Return a system that no other test uses meanwhile, because one test kills its front."""
    return apart


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a program that ends with the test."""
    with ExitStack() as stack:

        def started(name: str, *arguments: str) -> subprocess.Popen[bytes]:
            log = stack.enter_context((tmp_path / f"{name}-{len(arguments)}.log").open("ab"))
            process = subprocess.Popen(
                [_program(name), *arguments], stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path
            )
            stack.callback(_ended, process)
            return process

        yield started


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _source(
    vigie: RunningVigie, name: str, dialect: str, site: str, **record: Any
) -> tuple[str, str]:
    """Return (key, id) of a source for one site."""
    made = vigie.http.post(
        "/api/v1/sources",
        json={"name": name, "dialect": dialect, "site": site, "severity": 3} | record,
    )
    assert made.status_code == 201, made.text
    return made.json()["key"], made.json()["id"]


def _causes(vigie: RunningVigie, site: str) -> list[Any]:
    causes: list[Any] = vigie.get(f"/api/v1/sites/{site}")["causes"]
    return causes


def _calls(vigie: RunningVigie, incident: str) -> list[Any]:
    calls: list[Any] = vigie.get(f"/api/v1/notifications?incident={incident}&limit=1000")["items"]
    return calls


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


# ── be an Alertmanager ─────────────────────────────────────────────────────────────────────────────────────────────


def test_amtool_adds_queries_silences_and_expires(vigie: RunningVigie, tmp_path: Path) -> None:
    key, id = _source(vigie, "amtool", "alertmanager", "cen-1")
    (tmp_path / "http.yml").write_text(f"basic_auth:\n  username: vigie\n  password: {key}\n")

    def amtool(*arguments: str) -> str:
        """Run amtool, check exit code 0 and return its output."""
        command = [
            _program("amtool"),
            "--alertmanager.url",
            vigie.url,
            "--http.config.file",
            str(tmp_path / "http.yml"),
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    assert "vigie" in amtool("cluster", "show")
    silence = amtool(
        "silence",
        "add",
        "alertname=~Node.*",
        "--comment=migration",
        "--author=exploitation",
        "--duration=1h",
    ).strip()
    until(lambda: silence in amtool("silence", "query"), PATIENCE_S)
    assert "exploitation" in amtool("silence", "query", "alertname=~Node.*")
    assert silence not in amtool("silence", "query", "alertname=Other")

    amtool(
        "alert",
        "add",
        "alertname=NodeDown",
        "instance=web1",
        "--annotation=summary=Le serveur ne répond plus",
    )
    until(
        lambda: (
            "Le serveur ne répond plus"
            in amtool("alert", "query", "--silenced", "alertname=NodeDown")
        ),
        PATIENCE_S,
    )
    assert "NodeDown" not in amtool("alert", "query"), "silenced"
    window = vigie.get(f"/api/v1/maintenance/{silence}")
    assert (
        window["state"],
        window["covers"]["sources"],
        window["reason"],
        window["created_by"],
    ) == ("active", [id], "migration", "exploitation")
    (cause,) = _causes(vigie, "cen-1")
    assert cause["maintenance"] == [silence]
    incident = vigie.get(f"/api/v1/incidents/{cause['incident']}")
    assert (incident["quiet"], incident["level"]) == ("maintenance", 0)
    assert not _calls(vigie, incident["id"])

    amtool("silence", "expire", silence)
    until(lambda: "NodeDown" in amtool("alert", "query"), PATIENCE_S)
    assert silence in amtool("silence", "query", "--expired")
    until(lambda: _calls(vigie, incident["id"]), PATIENCE_S)

    amtool("alert", "add", "alertname=NodeDown", "instance=web1", f"--end={_in(-1)}")
    until(lambda: not _causes(vigie, "cen-1"), PATIENCE_S)
    assert "NodeDown" not in amtool("alert", "query")


def test_windows_of_people_are_silences_and_sources_see_only_their_own(vigie: RunningVigie) -> None:
    """One store serves both.

    An operator sees the windows of people as silences; a source sees only its own.
    """
    body = {
        "sites": ["pmi-04"],
        "types": "outage_power",
        "starts_at": _in(-60),
        "ends_at": _in(3600),
        "reason": "TGBT",
    }
    planned = vigie.http.post("/api/v1/maintenance", json=body, headers={"Prefer": "wait=20"})
    assert planned.status_code == 200, planned.text
    window = planned.json()["result"]["window"]
    until(lambda: any(s["id"] == window for s in vigie.get("/api/v2/silences")), PATIENCE_S)
    silence = vigie.get(f"/api/v2/silence/{window}")
    assert {(m["name"], m["value"]) for m in silence["matchers"]} == {
        ("site", "pmi-04"),
        ("type", "outage_power"),
    }
    key, _id = _source(vigie, "curious", "alertmanager", "pmi-04")
    with httpx.Client(
        base_url=vigie.url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=20
    ) as source:
        assert source.get("/api/v2/silences").json() == []
        assert source.delete(f"/api/v2/silence/{window}").status_code == 404
        wrong = source.post(
            "/api/v2/silences",
            json={"matchers": [], "endsAt": _in(60), "comment": "x", "createdBy": "y"},
        )
        assert (wrong.status_code, wrong.json()) == (400, "at least one matcher required")
    ended = vigie.http.delete(f"/api/v2/silence/{window}")
    assert ended.status_code == 200, ended.text
    until(
        lambda: vigie.get(f"/api/v2/silence/{window}")["status"]["state"] == "expired", PATIENCE_S
    )
    assert vigie.http.get("/-/healthy").status_code == vigie.http.get("/-/ready").status_code == 200
    assert (
        vigie.http.get("/api/v2/status", headers={"Authorization": "Bearer no"}).status_code == 401
    )


def test_valid_alerts_are_accepted_although_the_answer_is_400(vigie: RunningVigie) -> None:
    key, _id = _source(vigie, "half", "alertmanager", "cen-2")
    with httpx.Client(
        base_url=vigie.url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=20
    ) as http:
        answer = http.post(
            "/api/v2/alerts",
            json=[{"labels": {}}, {"labels": {"alertname": "B"}, "endsAt": _in(3600)}],
        )
        assert answer.status_code == 400
        assert "labels" in answer.json()
        until(
            lambda: (
                [a["labels"] for a in http.get("/api/v2/alerts").json()] == [{"alertname": "B"}]
            ),
            PATIENCE_S,
        )
        assert http.get("/api/v2/alerts", params={"filter": 'alertname!="B"'}).json() == []
        (alert,) = http.get("/api/v2/alerts", params={"active": "true"}).json()
        assert set(alert) == {
            "labels",
            "annotations",
            "receivers",
            "fingerprint",
            "startsAt",
            "updatedAt",
            "endsAt",
            "status",
            "generatorURL",
        }
        assert (
            http.post(
                "/api/v2/alerts", json=[{"labels": {"alertname": "B"}, "endsAt": _in(-1)}]
            ).status_code
            == 200
        )
        until(lambda: not _causes(vigie, "cen-2"), PATIENCE_S)


def test_prometheus_holds_an_alert_by_leases_and_its_death_ends_it(
    vigie: RunningVigie, start: Any, tmp_path: Path
) -> None:
    """This holds through a kill -9 of the front: leases are deadlines of the decider."""
    key, id = _source(vigie, "prometheus", "alertmanager", "sst-13")
    (port,) = find_free_ports(1)
    (tmp_path / "rules.yml").write_text(
        "groups:\n- name: g\n  rules:\n  - alert: AlwaysOn\n    expr: vector(1)\n    labels: {severity: error}\n    annotations: {summary: toujours}\n"
    )
    (tmp_path / "prometheus.yml").write_text(
        "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\nalerting:\n  alertmanagers:\n  - api_version: v2\n"
        f"    authorization: {{credentials: {key}}}\n    static_configs: [{{targets: ['{vigie.http_address}']}}]\n"
    )
    prometheus = start(
        "prometheus",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--rules.alert.resend-delay=2s",
    )

    def lease() -> Any:
        """Return the newest lease.

        A request stalled at the front beyond its lease is an end, then a new beginning.
        """
        return next(iter(vigie.get(f"/api/v1/leases?source={id}")["items"]), None)

    until(lambda: _causes(vigie, "sst-13") and lease() is not None, PATIENCE_S)
    (cause,) = _causes(vigie, "sst-13")
    first = lease()
    assert first["labels"] == {"alertname": "AlwaysOn", "severity": "error"}
    until(lambda: lease()["until"] > first["until"], PATIENCE_S)

    vigie.kill("intake")
    killed = datetime.now(UTC).isoformat()
    until(vigie.ready, PATIENCE_S)
    until(lambda: lease()["renewed_at"] > killed and lease()["state"] == "held", PATIENCE_S)
    assert {c["incident"] for c in _causes(vigie, "sst-13")} == {cause["incident"]}

    prometheus.kill()
    until(lambda: lease()["state"] == "lapsed" and not _causes(vigie, "sst-13"), PATIENCE_S)


# ── be the receiver of Alertmanagers ───────────────────────────────────────────────────────────────────────────────


def _alertmanager(
    start: Any,
    folder: Path,
    config: str,
    *,
    peers: tuple[int, ...] = (),
    gossip: int | None = None,
    **flags: str,
) -> str:
    """Start an Alertmanager and return its address."""
    (port,) = find_free_ports(1)
    file = folder / f"alertmanager-{port}.yml"
    file.write_text(config)
    cluster = (
        [
            f"--cluster.listen-address=127.0.0.1:{gossip}",
            f"--cluster.advertise-address=127.0.0.1:{gossip}",
        ]
        if gossip
        else ["--cluster.listen-address="]
    )
    start(
        "prometheus-alertmanager",
        f"--config.file={file}",
        f"--storage.path={folder / f'am-{port}'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *cluster,
        *(f"--cluster.peer=127.0.0.1:{p}" for p in peers),
        *(f"--{n.replace('_', '.', 1).replace('_', '-')}={v}" for n, v in flags.items()),
    )
    return f"http://127.0.0.1:{port}"


def _is_ready(address: str, nodes: int = 0) -> bool:
    try:
        if httpx.get(f"{address}/-/ready", trust_env=False, verify=False).status_code != 200:
            return False
        return (
            not nodes
            or len(
                httpx.get(f"{address}/api/v2/status", trust_env=False).json()["cluster"]["peers"]
            )
            == nodes
        )
    except httpx.TransportError:
        return False


def _post(address: str, labels: dict[str, str], began: str, *, over: bool = False) -> None:
    alert = {
        "labels": labels,
        "annotations": {"summary": "essai"},
        "startsAt": began,
        "endsAt": _in(-1 if over else 3600),
    }
    assert httpx.post(f"{address}/api/v2/alerts", json=[alert], trust_env=False).status_code == 200


def test_a_real_alertmanager_reports_by_webhook_pagerduty_and_opsgenie(
    vigie: RunningVigie, start: Any, tmp_path: Path
) -> None:
    keys = {
        name: _source(vigie, f"am-{name}", dialect, site, severity=None)[0]
        for name, dialect, site in (
            ("webhook", "alertmanager", "par-01"),
            ("pagerduty", "pagerduty", "par-02"),
            ("opsgenie", "opsgenie", "par-03"),
        )
    }
    address = _alertmanager(
        start,
        tmp_path,
        f"""
route: {{receiver: all, group_wait: 100ms, group_interval: 1s, repeat_interval: 1h, group_by: [alertname]}}
receivers:
- name: all
  webhook_configs: [{{url: '{vigie.url}/webhooks/alertmanager', http_config: {{authorization: {{credentials: {keys["webhook"]}}}}}}}]
  pagerduty_configs: [{{routing_key: {keys["pagerduty"]}, url: '{vigie.url}/v2/enqueue'}}]
  opsgenie_configs: [{{api_url: '{vigie.url}/', api_key: {keys["opsgenie"]}, update_alerts: true}}]
""",
    )
    until(lambda: _is_ready(address), PATIENCE_S)
    labels, began = {"alertname": "PumpDown", "instance": "p1", "severity": "warning"}, _in(-120)
    _post(address, labels, began)
    for site in ("par-01", "par-02", "par-03"):
        until(lambda site=site: len(_causes(vigie, site)) == 1, PATIENCE_S)
    (theirs,) = httpx.get(f"{address}/api/v2/alerts", trust_env=False).json()
    assert theirs["fingerprint"] == compute_fingerprint(labels)
    assert [c["severity"] for site in ("par-01", "par-02") for c in _causes(vigie, site)] == [
        2,
        2,
    ], "PagerDuty's own is always error"
    _post(address, labels, began, over=True)
    for site in ("par-01", "par-02", "par-03"):
        until(lambda site=site: not _causes(vigie, site), PATIENCE_S)


@contextmanager
def _slowly(target: str, delay_s: float) -> Iterator[tuple[str, list[float]]]:
    """Put a slow proxy before Vigie; return (address, times of requests)."""
    host, _, port = target.partition(":")
    times: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            times.append(time.monotonic())
            body = self.rfile.read(int(self.headers["content-length"]))
            beyond = http.client.HTTPConnection(host, int(port), timeout=60)
            beyond.request(
                "POST",
                self.path,
                body,
                {
                    n: v
                    for n, v in self.headers.items()
                    if n.lower() in ("authorization", "content-type")
                },
            )
            answer = beyond.getresponse()
            content = answer.read()
            beyond.close()
            threading.Event().wait(delay_s)  # the point of this way: it is slow
            with suppress(ConnectionError):  # who lost patience does not read it
                self.send_response(answer.status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

    with serving(Handler) as url:
        yield url.removeprefix("http://"), times


def test_a_cluster_of_three_before_a_slow_vigie_is_one_incident_and_one_escalation(
    vigie: RunningVigie, start: Any, tmp_path: Path
) -> None:
    """Each node waits `peer-timeout` for the one before it, then sends the group too.

    Three requests make one alert.
    """
    key, _id = _source(vigie, "cluster", "alertmanager", "par-04")
    with _slowly(vigie.http_address, 4.0) as (slow, requests):
        config = f"""
route: {{receiver: one, group_wait: 100ms, group_interval: 1m, repeat_interval: 1h, group_by: [alertname]}}
receivers:
- name: one
  webhook_configs: [{{url: 'http://{slow}/webhooks/alertmanager', http_config: {{authorization: {{credentials: {key}}}}}}}]
"""
        gossip = tuple(find_free_ports(3))
        nodes = [
            _alertmanager(
                start,
                tmp_path,
                config,
                peers=gossip[:1] if n else (),
                gossip=own,
                cluster_peer_timeout="500ms",
                cluster_settle_timeout="1s",
            )
            for n, own in enumerate(gossip)
        ]
        until(lambda: all(_is_ready(node, 3) for node in nodes), PATIENCE_S)
        began = _in(-120)
        for node in nodes:
            _post(node, {"alertname": "LinkDown", "instance": "l1"}, began)
        until(lambda: len(requests) >= 3, PATIENCE_S)
        until(lambda: _causes(vigie, "par-04"), PATIENCE_S)
        (cause,) = _causes(vigie, "par-04")
        incident = vigie.get(f"/api/v1/incidents/{cause['incident']}")
        until(lambda: _calls(vigie, incident["id"]), PATIENCE_S)
    assert cause["reports"] == incident["reports"], "one report of it"
    assert len(incident["reports"]) == 1
    ladders = vigie.get(f"/api/v1/escalations?incident={incident['id']}")["items"]
    assert len([x for x in ladders if x["scope"] == incident["id"]]) == 1
    first = [n for n in _calls(vigie, incident["id"]) if (n["wave"], n["cycle"]) == (1, 1)]
    assert len({n["person_token"] for n in first}) == len(first), "nobody is called twice"
