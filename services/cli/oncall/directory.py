"""`vigie directory`: people and their contact points, on the machine with the keys.

No log contains any of it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from schemas.oncall import NoteReachability, ReachRow
from schemas.people.directory import Contact
from schemas.topics import select_urgent_topic
from services.cli.client import error_text, require_broker
from services.console.directory.contact_file import (
    COLUMNS,
    DirectoryInvalid,
    build_announcements,
    read_contacts,
)
from services.runtime.decider.input_marks import InputMarks
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import Vault

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="People's contact points, encrypted per person: import, count, erase.",
)
T = TypeVar("T")
DIRECTORY_TIMEOUT_S = 5.0
"""Seconds to wait for the running system's copy of the directory."""


async def _write_contacts(settings: Settings, contacts: list[Contact]) -> None:
    """Write people to the directory, then announce their reachability to the live realm.

    The realm gets channels, proofs and quiet hours, never an address. The directory comes first, so
    a person called next is in it. Partners (`contact:<id>`) are never called by an escalation.
    """
    async with Vault.open(settings) as vault:
        await vault.directory.put_all(contacts)
        await vault.directory.settled(DIRECTORY_TIMEOUT_S)
    realm = settings.territory.name
    async with RecordProducer(settings.kafka, InputMarks.open(settings.data.secrets)) as producer:
        for command in build_announcements(contacts):
            await producer.send(
                select_urgent_topic("alerts", realm),
                realm,
                command,
                id=f"reach-{secrets.token_hex(12)}",
                source="/system:directory",
            )


async def _erase_person(settings: Settings, person: str) -> bool:
    """Erase a person from the directory, then announce it; return whether the person was there.

    The live realm marks the person as unreachable, so that escalations no longer wait.
    """
    async with Vault.open(settings) as vault:
        known = await vault.directory.get(person, wait_s=2.0) is not None
        await vault.directory.erase(person)
    command = NoteReachability(
        author="system:directory", role="admin", people=(ReachRow(id=person, points=()),)
    )
    async with RecordProducer(settings.kafka, InputMarks.open(settings.data.secrets)) as producer:
        await producer.send(
            select_urgent_topic("alerts", settings.territory.name),
            settings.territory.name,
            command,
            id=f"reach-{secrets.token_hex(12)}",
            source="/system:directory",
        )
    return known


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except BrokerAway as exc:
        typer.secho(f"Kafka ne répond pas : {exc}", err=True, fg="red")
        raise typer.Exit(1) from exc


@app.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(help=f"CSV with columns {','.join(COLUMNS)} and perhaps site, quiet")
    ],
) -> None:
    """Import people; a known person is replaced.

    The whole file is checked before anything is written.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            contacts = read_contacts(lines)
    except (OSError, UnicodeDecodeError, DirectoryInvalid) as exc:
        typer.secho(
            error_text(exc) if isinstance(exc, OSError) else f"{file}: {exc}", err=True, fg="red"
        )
        raise typer.Exit(1) from exc
    _run(_write_contacts(require_broker(Settings()), contacts))
    typer.echo(
        f"{len(contacts)} personnes, {sum(len(c.points) for c in contacts)} moyens de contact"
    )


@app.command()
def count(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Count the people in the directory."""
    settings = require_broker(Settings())

    async def counted() -> int:
        async with Vault.open(settings) as vault:
            return len(vault.directory.ids())

    people = asyncio.run(counted())
    typer.echo(json.dumps({"people": people}) if as_json else str(people))


@app.command()
def erase(person: Annotated[str, typer.Argument(help="Person token")]) -> None:
    """Erase a person for ever and end the escalations' wait for them.

    The key is deleted, so copies and backups of Kafka cannot be read either.
    """
    if not _run(_erase_person(require_broker(Settings()), person)):
        typer.secho(
            f"{person} n’est pas dans l’annuaire ; l’effacement est demandé quand même",
            err=True,
            fg="red",
        )
        raise typer.Exit(1)
    typer.echo(f"{person} effacé")
