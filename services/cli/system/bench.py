"""`vigie bench`: measure the running system.

`make bench` measures systems of its own, beside baselines.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from enum import StrEnum
from typing import Annotated, Any

import typer

from services.cli.client import ApiClient, ApiRefused, VigieUnreachable, find_token, print_error
from services.cli.system.load import LoadResult, Reporter, generate_reports, watch_live_stream
from services.runtime.process.settings import Settings

LIVE_TAIL_S = 5.0
"""Seconds to wait for reports that were not seen yet."""


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
