"""`vigie repair` and `vigie rebuild`: mend the logs, or rebuild the read model from them."""

import asyncio
import json
import time
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Final

import typer
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from schemas.topics import PARTITION_COUNT, ROUTES, SERVICES
from services.appliance.supervisor.alone import NoBroker, run_broker
from services.cli.client import print_error
from services.cli.output import show_progress
from services.console.read_model import store
from services.runtime.log.repair import (
    CompletedRepair,
    LogDamage,
    RepairRefused,
    accept_loss,
    diagnose_logs,
    rebase,
)
from services.runtime.process.exits import Stop
from services.runtime.process.settings import Settings

POLL_INTERVAL_S: Final = 0.1


class NotRebuilt(Exception):
    """Signal that no projector started, or finished, in time; perhaps none is running."""


async def rebuild_read_model(url: str, patience_s: float) -> float:
    """Discard the read model, wait until a projector has filled it again, and return the seconds.

    Raises RedisError, OSError and NotRebuilt.
    """
    client = store.connect(url)
    began = time.monotonic()
    try:
        before = await client.get(store.EPOCH)
        await client.delete(store.EPOCH)
        while time.monotonic() - began < patience_s:
            epoch, state = await client.mget(store.EPOCH, store.STATE)
            if epoch not in (None, before) and state == b"live":
                return time.monotonic() - began
            await asyncio.sleep(POLL_INTERVAL_S)
    finally:
        await client.aclose()
    raise NotRebuilt(
        f"the read model is not whole after {patience_s:g} s: see `vigie status` and the "
        "projector's log"
    )


def rebuild(
    patience_s: Annotated[
        float, typer.Option("--wait", min=1, help="Seconds to wait for the end")
    ] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Rebuild the read model from the logs.

    Reports are still accepted. Pages answer 503 until it is complete.
    """
    settings = Settings()
    if not settings.redis:
        raise print_error("no store: start `vigie up`, or set VIGIE_REDIS")
    try:
        took = asyncio.run(rebuild_read_model(settings.redis, patience_s))
    except (RedisError, OSError) as error:
        raise print_error(f"the store does not answer: {error}") from error
    except NotRebuilt as error:
        raise print_error(error) from error
    typer.echo(
        json.dumps({"rebuilt_s": round(took, 2)})
        if as_json
        else f"rebuilt from the logs in {took:.1f} s"
    )


class Service(StrEnum):
    ALERTS = "alerts"
    CONTINUITY = "continuity"
    DELIVERY = "delivery"


LOGIC = max(ROUTES)
_LOSS_EXITS, _INPUT_EXITS = {"log.truncated", "source.forked"}, {"input.gap", "input.rewritten"}


def repair(
    lose: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Continue a log that lost its last records; they are gone for good",
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--rebase", help="Continue at the first input that the log has not applied"),
    ] = False,
    service: Annotated[Service | None, typer.Option(help="One service; default: all")] = None,
    partition: Annotated[
        int | None,
        typer.Option(
            min=0, max=PARTITION_COUNT - 1, help="One partition; default: every damaged one"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Show damaged logs; with a decision, append it to them.

    A process that stopped by a damage needs no stop; other workers of its service do. With `vigie
    up` stopped, the broker is started alone. Exits with 1 while damage remains. A loss that only a
    reader noticed needs --service and --partition.
    """
    if lose and again:
        raise typer.BadParameter("--accept-loss or --rebase, one at a time")
    services = [service.value] if service else list(SERVICES)
    try:
        with show_progress("Lecture des journaux …"):
            damaged_logs, declarations = asyncio.run(
                _repair(services, partition, lose=lose, again=again)
            )
    except (KafkaError, RepairRefused, NoBroker, Stop, OSError) as error:
        raise print_error(error) from error
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "damaged": [asdict(f) for f in damaged_logs],
                    "repaired": [asdict(r) for r in declarations],
                }
            )
        )
    else:
        for finding in damaged_logs:
            typer.echo(f"{finding.exit:16} {finding.detail}")
        for one in declarations:
            typer.echo(
                f"repaired         {one.service}.log/{one.partition}: {one.detail} (history {one.history})"
            )
        if not damaged_logs and not declarations:
            typer.echo(
                "no damage: every log holds what its snapshots have seen, every input goes on "
                "where its log has applied it"
            )
    if len(damaged_logs) > len(declarations):
        raise typer.Exit(1)


async def _repair(
    services: list[str], partition: int | None, *, lose: bool, again: bool
) -> tuple[list[LogDamage], list[CompletedRepair]]:
    async with run_broker(Settings()) as settings:
        damaged_logs = [
            f
            for s in services
            for f in await diagnose_logs(settings.kafka, s)
            if partition in (None, f.partition)
        ]
        declarations = []
        for finding in damaged_logs:
            if lose and finding.exit in _LOSS_EXITS:
                declarations.append(
                    await accept_loss(
                        settings.kafka, finding.service, finding.partition, LOGIC, finding.detail
                    )
                )
            elif again and finding.exit in _INPUT_EXITS:
                declarations.append(
                    await rebase(settings.kafka, finding.service, finding.partition, LOGIC)
                )
        if lose and not damaged_logs and len(services) == 1 and partition is not None:
            declarations.append(
                await accept_loss(
                    settings.kafka, services[0], partition, LOGIC, "a reader had seen more"
                )
            )
    return damaged_logs, declarations
