"""`vigie up`: the whole system on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import ValidationError

from services.runtime.access import AccessStore
from services.runtime.kafka import BrokerAway, RecordProducer
from services.runtime.keys import MasterKeyInvalid
from services.runtime.settings import Settings
from services.runtime.supervisor.status import Addresses
from services.runtime.supervisor.up import Options, UpFailed
from services.runtime.supervisor.up import up as run_up
from services.runtime.territory import TerritoryInvalid, load_territory
from services.runtime.territory_publish import open_live_realm

ACCESS_S = 30.0


async def _open_live_realm(settings: Settings) -> None:
    """Open the live realm and publish the territory, unless this Kafka has this version already (kept in `run/territory.json`)."""
    try:
        territory = await asyncio.to_thread(load_territory, settings.territory)
    except (TerritoryInvalid, OSError) as error:
        raise UpFailed(
            f"the territory {settings.territory} cannot be loaded ({error}): see `vigie territory check {settings.territory}`"
        ) from error
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        cluster = (await admin.describe_cluster())["cluster_id"]
    finally:
        await admin.close()
    published = settings.data.run / "territory.json"
    current = {"cluster": cluster, "realm": territory.code, "version": territory.version}
    try:
        if json.loads(published.read_text()) == current:
            return
    except (OSError, ValueError):
        pass
    try:
        async with RecordProducer(settings.kafka) as producer:
            await open_live_realm(producer, territory, int(time.time() * 1000))
    except BrokerAway as error:
        raise UpFailed(f"the territory cannot be published: {error}") from error
    published.write_text(json.dumps(current))


async def _first_login(settings: Settings) -> None:
    """The token of commands on this machine, and the one-time code while no administrator has a password."""
    try:
        async with AccessStore.open(settings, "up") as access, asyncio.timeout(ACCESS_S):
            await access.bootstrap()
    except (MasterKeyInvalid, BrokerAway, TimeoutError, OSError) as error:
        raise UpFailed(f"accounts cannot be made ready: {error or 'the broker does not answer in time'}") from error


async def _before_services(settings: Settings, addresses: Addresses) -> None:
    found = settings.model_copy(update={"kafka": addresses.kafka, "redis": addresses.redis, "console": addresses.console})
    await asyncio.gather(_first_login(found), _open_live_realm(found))


def _greeting(settings: Settings, demo: bool) -> str:
    lines = ["", f"  Vigie is ready: http://{settings.http}"]
    code = settings.data.secrets / "admin.code"
    if code.exists():
        lines.append(f"  First login: the one-time administrator code is in {code}")
    if demo:
        lines.append("  An exercise runs beside the empty live realm: S04, power cut Nanterre – La Défense, at speed 20")
    return "\n".join([*lines, "  Ctrl-C stops everything cleanly. In another shell: vigie status", ""])


def up(
    data: Annotated[Path | None, typer.Option(help="Data directory [VIGIE_DATA_DIR, default ~/.local/share/vigie]")] = None,
    http: Annotated[str | None, typer.Option(help="HOST:PORT to listen on [VIGIE_HTTP, default 127.0.0.1:8092]")] = None,
    territory: Annotated[Path | None, typer.Option(help="Reference data to publish to the live realm [VIGIE_TERRITORY]")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT of an existing broker, in place of the embedded one")] = None,
    redis: Annotated[str | None, typer.Option(help="redis://HOST:PORT/DB of an existing store, in place of the embedded one")] = None,
    demo: Annotated[bool, typer.Option(help="Play S04 in an exercise realm")] = False,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Processes per decider")] = 1,
) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    given: dict[str, Any] = {"data_dir": data, "http": http, "territory": territory}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise _fail("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())) from error
    java = os.environ.get("VIGIE_JAVA")
    options = Options(
        settings=settings,
        kafka=kafka or os.environ.get("VIGIE_KAFKA") or None,
        redis=redis or os.environ.get("VIGIE_REDIS") or None,
        demo=demo,
        workers=workers,
        java=Path(java) if java else None,
        before_services=lambda addresses: _before_services(settings, addresses),
        greeting=lambda s: _greeting(s, demo),
    )
    try:
        asyncio.run(run_up(options))
    except UpFailed as error:
        raise _fail(str(error)) from error


def _fail(sentence: str) -> typer.Exit:
    typer.secho(f"vigie up: {sentence}", err=True, fg="red")
    return typer.Exit(1)
