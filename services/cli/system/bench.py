"""`vigie bench`: measure the running system.

It posts reports at a fixed rate or at full speed, and reads the live stream. `make bench` measures
systems of its own, beside baselines.
"""

import asyncio
import itertools
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

import aiohttp
import orjson
import typer

from services.cli.client import ApiClient, ApiRefused, VigieUnreachable, find_token, print_error
from services.runtime.process.settings import Settings

CONNECTIONS = 64
LIVE_TAIL_S = 5.0
"""Seconds to wait for reports that were not seen yet."""


@dataclass(slots=True)
class LoadResult:
    """Latencies of accepted reports in seconds, and the number of refused ones."""

    latencies: list[float] = field(default_factory=list)
    refused_count: int = 0
    seconds: float = 0.0

    def quantile(self, share: float) -> float:
        """Return the latency in ms of this quantile; NaN without any."""
        latencies = sorted(self.latencies)
        return (
            latencies[min(int(len(latencies) * share), len(latencies) - 1)] * 1000
            if latencies
            else float("nan")
        )

    @property
    def per_s(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def document(self) -> dict[str, float | int]:
        """Return JSON data; times in ms to one decimal."""
        quantiles = {f"p{round(q * 100)}_ms": round(self.quantile(q), 1) for q in (0.5, 0.9, 0.99)}
        return {
            "accepted": len(self.latencies),
            "refused": self.refused_count,
            "per_s": round(self.per_s),
            **quantiles,
        }


def generate_reports(realm: str | None, sites: list[str]) -> Iterator[dict[str, Any]]:
    """Yield endless plausible reports: power outages and restorations, site by site."""
    for n in itertools.count():
        site = sites[n % len(sites)]
        is_restoration = (n // len(sites)) % 2
        body = {
            "site_id": site,
            "type": "reopening" if is_restoration else "outage_power",
            "severity": 2,
            "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "headline": f"essai {n}",
        }
        yield body | ({"realm": realm} if realm else {})


class Reporter:
    """Posts reports to `url`; use `async with Reporter(url, token) as reporter`."""

    def __init__(self, url: str, token: str, path: str = "/api/v1/reports") -> None:
        self._url, self._path = url, path
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._url,
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=30),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, body: dict[str, Any]) -> str | None:
        """Post a report and return its id, or None if it was not accepted."""
        assert self._session is not None
        try:
            async with self._session.post(
                self._path, data=orjson.dumps(body), headers={"Idempotency-Key": uuid.uuid4().hex}
            ) as answer:
                content = await answer.read()
                return str(orjson.loads(content)["report_id"]) if answer.status == 202 else None
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def at_rate(
        self,
        source: Iterator[dict[str, Any]],
        per_s: float,
        seconds: float,
        post_times: dict[str, float] | None = None,
    ) -> LoadResult:
        """Post reports at a fixed rate (open loop); latency counts from the due time.

        `post_times` collects id → due time.
        """
        load_result = LoadResult()
        tasks: set[asyncio.Task[None]] = set()
        began = time.perf_counter()

        async def one(due_at: float) -> None:
            id = await self.post(next(source))
            if id is None:
                load_result.refused_count += 1
                return
            load_result.latencies.append(time.perf_counter() - due_at)
            if post_times is not None:
                post_times[id] = due_at

        for n in range(int(per_s * seconds)):
            due_at = began + n / per_s
            if (wait := due_at - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(one(due_at))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        load_result.seconds = time.perf_counter() - began
        return load_result


@asynccontextmanager
async def watch_live_stream(
    url: str, token: str, realm: str, arrival_times: dict[str, float]
) -> AsyncIterator[None]:
    """Watch the live stream of a realm in the background.

    `arrival_times` collects report id → time when an incident with it arrived.
    """
    ready = asyncio.Event()

    async def watch() -> None:
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with (
            aiohttp.ClientSession(
                url, headers=headers, timeout=timeout, read_bufsize=1 << 22
            ) as session,
            session.get("/api/v1/stream", params={"realm": realm}) as answer,
        ):
            answer.raise_for_status()
            event = ""
            async for raw in answer.content:
                if raw.startswith(b"event:"):
                    event = raw[6:].strip().decode()
                    if event == "hello":
                        ready.set()
                elif raw.startswith(b"data:") and event == "incidents":
                    now = time.perf_counter()
                    for id in orjson.loads(raw[5:]).get("reports", ()):
                        arrival_times.setdefault(id, now)

    task = asyncio.create_task(watch())
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, timeout=15, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not ready.is_set():
        task.cancel()
        raise ConnectionError(f"the live stream of {realm} does not begin")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class BenchmarkName(StrEnum):
    INTAKE = "intake"
    LIVE = "live"


def bench(
    name: Annotated[
        BenchmarkName,
        typer.Argument(
            help="intake: report posted → 202. live: report posted → incident on the live stream"
        ),
    ],
    rate: Annotated[float, typer.Option(min=1, help="Reports per second")] = 100.0,
    seconds: Annotated[float, typer.Option(min=1, help="Length of the measurement")] = 10.0,
    realm: Annotated[
        str | None, typer.Option(help="Realm to report into; default: a new test realm")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Measure the running system; reports go into a test realm by default."""
    settings = Settings()
    token = find_token(settings)
    if token is None:
        raise print_error(
            f"no token: set VIGIE_TOKEN, or run on the machine of `vigie up` (looked in {settings.data.secrets})"
        )
    try:
        with ApiClient(settings) as client:
            into = realm or _open_test_realm(client)
            sites = [site["id"] for site in client.get("/api/v1/sites?limit=200")["items"]]
        figures = asyncio.run(
            run_benchmark(name, settings.urls[0], token, into, sites, rate, seconds)
        )
    except (VigieUnreachable, ApiRefused, ConnectionError) as error:
        raise print_error(error) from error
    if not figures["accepted"]:
        raise print_error(
            f"no report was accepted in {into}: {figures['refused']} were refused or had no answer"
        )
    if as_json:
        typer.echo(json.dumps({"bench": name.value, "realm": into, "rate": rate} | figures))
    else:
        typer.echo(
            f"{name.value} into {into} at {rate:g}/s for {seconds:g} s: "
            + ", ".join(f"{k} {v}" for k, v in figures.items())
        )


def _open_test_realm(client: ApiClient) -> str:
    from datetime import UTC, datetime

    territory = client.get("/api/v1/realms?limit=1000")["items"]
    live = next(r["id"] for r in territory if "~" not in r["id"])
    realm = f"{live}~test-{secrets.token_hex(3)}"
    body: dict[str, Any] = {
        "id": realm,
        "kind": "test",
        "title_code": "bench",
        "started_at": datetime.now(UTC).isoformat(),
        "speed": None,
    }
    client.post("/api/v1/realms", body, f"open:{realm}")
    return realm


async def run_benchmark(
    name: BenchmarkName,
    url: str,
    token: str,
    realm: str,
    sites: list[str],
    rate: float,
    seconds: float,
) -> dict[str, float | int]:
    """Measure one benchmark.

    A load generator on the same machine competes for the processor: its delay is in the figures.
    Raises ConnectionError.
    """
    source = generate_reports(realm, sites)
    async with Reporter(url, token) as reporter:
        if name is BenchmarkName.INTAKE:
            return (await reporter.at_rate(source, rate, seconds)).document()
        post_times: dict[str, float] = {}
        arrivals: dict[str, float] = {}
        async with watch_live_stream(url, token, realm, arrivals):
            result = await reporter.at_rate(source, rate, seconds, post_times)
            for _ in range(int(LIVE_TAIL_S / 0.1)):
                if post_times.keys() <= arrivals.keys():
                    break
                await asyncio.sleep(0.1)
    load_result = LoadResult(
        [arrivals[id] - due_at for id, due_at in post_times.items() if id in arrivals],
        result.refused_count,
        result.seconds,
    )
    return load_result.document() | {"not_seen": len(post_times.keys() - arrivals.keys())}
