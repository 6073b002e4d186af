"""Reports during a failure: post each until accepted, follow it until applied, check promises."""

from __future__ import annotations

import random
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime

import httpx2 as httpx

from tests.system import RunningVigie
from tests.waiting import until

SITES = ("cen-1", "cen-2", "sst-05", "pmi-04", "clg-0920077J", "gym-07", "par-05")
TYPES = ("outage_power", "closure", "staff_shortage", "reopening")
SETTLED = ("applied", "duplicate")
WAIT_S = 90.0


class Reporter(threading.Thread):
    """Posts reports, each until it is accepted, under one key."""

    def __init__(self, vigie: RunningVigie, seed: int, count: int) -> None:
        super().__init__(name=f"reporter-{seed}")
        self._vigie, self._random, self._count = vigie, random.Random(seed), count
        self.accepted: dict[str, str] = {}
        self.refused: list[str] = []

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._vigie.token}"}
        with httpx.Client(
            base_url=self._vigie.url, headers=headers, timeout=15, trust_env=False, verify=False
        ) as client:
            for _ in range(self._count):
                self._post(client, str(uuid.uuid4()))

    def _post(self, client: httpx.Client, key: str) -> None:
        body = {
            "site_id": self._random.choice(SITES),
            "type": self._random.choice(TYPES),
            "severity": 2,
            "occurred_at": datetime.now(UTC).isoformat(),
            "headline": "essai",
        }
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            try:
                answer = client.post("/api/v1/reports", json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code == 202:
                self.accepted[key] = answer.json()["report_id"]
                return
            if answer.status_code < 500:
                self.refused.append(answer.text)
                return
            time.sleep(0.1)
        self.refused.append("never accepted")


def wait_until_settled(vigie: RunningVigie, reports: list[str]) -> list[str]:
    """Wait for all reports; return those not applied within WAIT_S.

    The newest one is asked for until it is settled, and the others once then: each answer costs
    the system as much as a report.
    """
    end, unsettled_reports = time.monotonic() + WAIT_S, reports
    while unsettled_reports and time.monotonic() < end:
        with suppress(httpx.TransportError, ValueError):
            if is_settled(vigie, unsettled_reports[-1]):
                unsettled_reports = [
                    report for report in unsettled_reports[:-1] if not is_settled(vigie, report)
                ]
        if unsettled_reports:
            time.sleep(0.3)
    return unsettled_reports


def is_settled(vigie: RunningVigie, report: str) -> bool:
    return vigie.http.get(f"/api/v1/reports/{report}").json().get("state") in SETTLED


def kept(vigie: RunningVigie) -> None:
    """Check every promise with `verify` and with the auditor."""
    verdict = vigie.cli("verify")
    assert verdict.returncode == 0, verdict.stdout[-3000:]
    until(lambda: audit(vigie) == "green", WAIT_S)


def audit(vigie: RunningVigie) -> str:
    """Return the result of the auditor; nothing while the console is away."""
    try:
        answer = vigie.http.get("/api/v1/overview")
    except httpx.TransportError:
        return ""
    return str(answer.json()["audit"]["state"]) if answer.status_code == 200 else ""
