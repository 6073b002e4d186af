"""`vigie territory check|load`: reference data from a folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.cli.client import fail
from services.runtime.kafka import BrokerAway, RecordProducer
from services.runtime.settings import Settings
from services.runtime.territory import Territory, TerritoryInvalid, load_territory
from services.runtime.territory_publish import publish_territory

app = typer.Typer(no_args_is_help=True, help="Reference data: check a folder, load it into a realm.")
Folder = Annotated[Path, typer.Argument(help="Folder like territories/92", exists=True, file_okay=False)]


def _load(folder: Path) -> Territory:
    try:
        return load_territory(folder)
    except TerritoryInvalid as exc:
        for problem in exc.problems:
            typer.secho(f"{folder}/{problem}", err=True, fg="red")
        typer.secho(f"{len(exc.problems)} problems", err=True)
        raise typer.Exit(1) from exc


@app.command()
def check(folder: Folder) -> None:
    """Name every dangling id, impossible time and uncovered role with file and line."""
    territory = _load(folder)
    table = Table(title=f"{folder}: version {territory.version}")
    table.add_column("Section")
    table.add_column("Bytes", justify="right")
    for section in territory.sections:
        table.add_row(str(section.section), str(len(section.model_dump_json())))
    Console().print(table)


@app.command()
def load(
    folder: Folder,
    realm: Annotated[str | None, typer.Option(help="Realm that takes it; the territory's live realm by default")] = None,
) -> None:
    """Publish a new version to a realm, ordered like any other input. Decisions cite it from its last section on."""
    territory, settings = _load(folder), Settings()

    async def publish() -> None:
        async with RecordProducer(settings.kafka) as producer:
            await publish_territory(producer, territory, realm or territory.code)

    if not settings.kafka:
        raise fail(ValueError("no broker: start `vigie up`, or set VIGIE_KAFKA"))
    try:
        asyncio.run(publish())
    except BrokerAway as exc:
        raise fail(exc) from exc
    typer.echo(f"version {territory.version} published to realm {realm or territory.code}")
