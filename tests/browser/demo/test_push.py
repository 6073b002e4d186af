"""Web push from the page to the phone: subscription, call, display, receipt, end."""

from __future__ import annotations

import http.server
import json
import queue
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Visitor, log_in
from tests.integration.delivery.test_push import Browser as Device
from tests.integration.delivery.test_push import encode_base64
from tests.loopback import serving
from tests.system import RunningVigie
from tests.waiting import until

PERSON = "ast-technique"


class PushService(http.server.BaseHTTPRequestHandler):
    """Push service that accepts messages or reports an ended subscription."""

    bodies: queue.Queue[bytes]
    status = 201

    def do_POST(self) -> None:
        self.bodies.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(type(self).status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def service() -> Iterator[tuple[str, type[PushService]]]:
    handler = type("Service", (PushService,), {"bodies": queue.Queue()})
    with serving(handler) as url:
        yield f"{url}/send/", handler


def stand_in(endpoint: str, device: Device) -> str:
    """Run a script in place of the push service of the browser vendor."""
    made = {
        "endpoint": endpoint,
        "keys": {"p256dh": encode_base64(device.public), "auth": encode_base64(device.secret)},
    }
    return f"""
      const made = {json.dumps(made)};
      PushManager.prototype.getSubscription = async () => window.subscribed ?? null;
      PushManager.prototype.subscribe = async (options) => (window.subscribed = {{
        endpoint: made.endpoint, options, toJSON: () => made, unsubscribe: async () => (window.subscribed = null, true),
      }});"""


def notified(vigie: RunningVigie) -> list[dict[str, Any]]:
    return list(vigie.get(f"/api/v1/notifications?person={PERSON}")["items"])


@pytest.mark.timeout(600)
def test_a_browser_receives_the_call_of_its_person(
    demo: RunningVigie, desktop: Browser, service: tuple[str, type[PushService]]
) -> None:
    address, handler = service
    device = Device()
    visitor = Visitor(desktop, demo.url, log_in(demo, desktop, "technician", person=PERSON))
    context = visitor.context(width=390, height=844, permissions=["notifications"])
    page = visitor.page(context=context)
    page.add_init_script(stand_in(f"{address}abc", device))
    page.goto("/appareil")
    expect(page.locator("#state")).to_have_text("Cet appareil ne reçoit pas vos appels.")
    page.get_by_role("button", name="Recevoir mes appels ici").click()
    expect(page.locator("#state")).to_have_text("Cet appareil reçoit vos appels.")
    expect(page.locator("#count")).to_have_text("Appareils qui reçoivent vos appels : 1")

    cdp = context.new_cdp_session(page)
    workers: list[dict[str, Any]] = []
    cdp.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: workers.extend(event["registrations"]),
    )
    cdp.send("ServiceWorker.enable")
    until(lambda: page.evaluate("true") and workers)
    report = {
        "site_id": "pmi-04",
        "type": "closure",
        "severity": 2,
        "occurred_at": "2026-11-25T08:00:00+01:00",
        "headline": "Fermé",
    }
    assert demo.http.post("/api/v1/reports", json=report).status_code == 202
    message = device.read(posted(handler, demo))
    until(lambda: [n["state"] for n in notified(demo)] == ["accepted"], 60)

    cdp.send(
        "ServiceWorker.deliverPushMessage",
        {
            "origin": demo.url,
            "registrationId": workers[0]["registrationId"],
            "data": message.decode(),
        },
    )
    until(lambda: [n["state"] for n in notified(demo)] == ["received"], 60)
    titles = page.evaluate(
        "navigator.serviceWorker.ready.then((r) => r.getNotifications()).then((n) => n.map((one) => [one.title, one.data.url]))"
    )
    assert titles[0][0].startswith("N1 – ")
    page.goto(titles[0][1])
    page.get_by_role("button", name="Je prends en charge").click()
    until(lambda: [n["state"] for n in notified(demo)] == ["answered"], 60)

    handler.status = 410
    assert demo.http.post("/api/v1/reports", json=report | {"site_id": "pmi-05"}).status_code == 202
    until(lambda: devices(page) == 0, 120)
    assert visitor.complaints == []
    context.close()


def posted(handler: type[PushService], vigie: RunningVigie) -> bytes:
    """Return the messages posted to the push service."""
    try:
        return handler.bodies.get(timeout=180)
    except queue.Empty:
        raise AssertionError(notified(vigie)) from None


def devices(page: Page) -> int:
    """Count the browsers in the directory."""
    return int(
        page.evaluate(
            "fetch('/api/v1/me/push').then((answer) => answer.json()).then((known) => known.devices)"
        )
    )
