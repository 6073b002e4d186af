"""`vigie repair`: decide after an exit that names damage (docs/how-to/exits.md)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from schemas.routes import ROUTES
from schemas.topics import PARTITION_COUNT, SERVICES
from services.appliance.supervisor.alone import NoBroker, run_broker
from services.cli.client import print_error
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


class Service(StrEnum):
    ALERTS = "alerts"
    CONTINUITY = "continuity"
    DELIVERY = "delivery"


LOGIC = max(ROUTES)
_LOSS_EXITS, _INPUT_EXITS = {"log.truncated", "source.forked"}, {"input.gap", "input.rewritten"}


def repair(
    lose: Annotated[
        bool, typer.Option("--accept-loss", help="Continue a log that lost its last records")
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

    Stop the services first. Exits with 1 while damage remains. A loss that only a reader noticed
    needs --service and --partition.
    """
    if lose and again:
        raise typer.BadParameter("--accept-loss or --rebase, one at a time")
    services = [service.value] if service else list(SERVICES)
    try:
        damaged_logs, done = asyncio.run(_repair(services, partition, lose=lose, again=again))
    except (KafkaError, RepairRefused, NoBroker, Stop, OSError) as error:
        raise print_error(error) from error
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "damaged": [asdict(f) for f in damaged_logs],
                    "repaired": [asdict(r) for r in done],
                }
            )
        )
    else:
        for finding in damaged_logs:
            typer.echo(f"{finding.exit:16} {finding.detail}")
        for one in done:
            typer.echo(
                f"repaired         {one.service}.log/{one.partition}: {one.detail} (history {one.history})"
            )
        if not damaged_logs and not done:
            typer.echo(
                "no damage: every log holds what its snapshots have seen, every input goes on "
                "where its log has applied it"
            )
    if len(damaged_logs) > len(done):
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
        done = []
        for finding in damaged_logs:
            if lose and finding.exit in _LOSS_EXITS:
                done.append(
                    await accept_loss(
                        settings.kafka, finding.service, finding.partition, LOGIC, finding.detail
                    )
                )
            elif again and finding.exit in _INPUT_EXITS:
                done.append(await rebase(settings.kafka, finding.service, finding.partition, LOGIC))
        if lose and not damaged_logs and len(services) == 1 and partition is not None:
            done.append(
                await accept_loss(
                    settings.kafka, services[0], partition, LOGIC, "a reader had seen more"
                )
            )
    return damaged_logs, done
