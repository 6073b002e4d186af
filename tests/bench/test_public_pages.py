"""All 5,300 agents ask where they work tomorrow within a minute, after a cold start (D97)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import cycle, islice

import pytest

from schemas.reference import Sites, Staffing
from tests.shipped import territory
from tests.system import RunningVigie
from tests.waiting import until

pytestmark = pytest.mark.bench

AGENTS = 5_300
MINUTE_S = 60.0
CROWD = 32


def list_choices() -> Iterator[str]:
    """Yield the address of each group of the territory, over and over."""
    cells = [c for one in territory().sections if isinstance(one, Staffing) for c in one.cells]
    return cycle(f"/demain?site={cell.site}&metier={cell.metier}" for cell in cells)


def ask(vigie: RunningVigie, path: str) -> tuple[int, float]:
    """Return status and seconds of one request over a connection of its own."""
    began = time.perf_counter()
    with closing(HTTPConnection(vigie.http_address, timeout=30)) as connection:
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        answer.read()
    return answer.status, time.perf_counter() - began


def test_every_agent_has_an_answer_within_a_minute_of_a_cold_start(apart: RunningVigie) -> None:
    sites = next(one.sites for one in territory().sections if isinstance(one, Sites))
    for site in sites[:20]:
        report = {
            "type": "closure",
            "site_id": site.id,
            "severity": 2,
            "occurred_at": datetime.now(UTC).isoformat(),
        }
        assert apart.http.post("/api/v1/reports", json=report).status_code == 202
    until(lambda: len(apart.get("/api/v1/publications/agents")["changes"]) >= 20)
    until(lambda: apart.http.post("/api/v1/publications/agents:publish").status_code == 200)
    until(lambda: ask(apart, "/demain")[0] == 200)
    apart.kill("intake")
    until(apart.ready)
    began = time.perf_counter()
    with ThreadPoolExecutor(CROWD) as crowd:
        paths = islice(list_choices(), AGENTS)
        answers = list(crowd.map(lambda path: ask(apart, path), paths))
    took_s = time.perf_counter() - began
    delays = sorted(delay for _status, delay in answers)
    print(
        f"{AGENTS} answers in {took_s:.1f} s, {AGENTS / took_s:.0f}/s, "
        f"median {statistics.median(delays) * 1000:.0f} ms, "
        f"p99 {delays[int(0.99 * AGENTS)] * 1000:.0f} ms"
    )
    assert {status for status, _delay in answers} == {200}
    assert took_s < MINUTE_S
