"""`vigie directory`: people and their contact points, on the machine with the keys.

No log contains any of it.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from services.cli.client import error_text, require_broker
from services.cli.oncall.directory_sync import sync
from services.cli.oncall.directory_writing import (
    RealmOption,
    choose_realm,
    erase_person,
    run,
    write_contacts,
)
from services.cli.output import create_group
from services.console.directory.contact_file import COLUMNS, DirectoryInvalid, read_contacts
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import Vault

app = create_group("People's contact points, encrypted per person: import, sync, count, erase.")
app.command()(sync)


@app.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(help=f"CSV with columns {','.join(COLUMNS)} and perhaps site, quiet")
    ],
    realm: RealmOption = None,
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
    settings = require_broker(Settings())
    territory = choose_realm(settings, realm)
    run(write_contacts(settings, territory, contacts))
    points = sum(len(contact.points) for contact in contacts)
    typer.echo(f"{territory} : {len(contacts)} personnes, {points} moyens de contact")


@app.command()
def count(
    realm: RealmOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Count the people in the directory."""
    settings = require_broker(Settings())
    territory = choose_realm(settings, realm)

    async def count_people() -> int:
        async with Vault.open(settings) as vault:
            return len(vault.directory.of(territory).ids())

    people = asyncio.run(count_people())
    typer.echo(json.dumps({"people": people}) if as_json else str(people))


@app.command()
def erase(
    person: Annotated[str, typer.Argument(help="Person token")], realm: RealmOption = None
) -> None:
    """Erase a person for ever and end the escalations' wait for them.

    The key is deleted, so copies and backups of Kafka cannot be read either.
    """
    settings = require_broker(Settings())
    if not run(erase_person(settings, choose_realm(settings, realm), person)):
        typer.secho(
            f"{person} n’est pas dans l’annuaire ; l’effacement est demandé quand même",
            err=True,
            fg="red",
        )
        raise typer.Exit(1)
    typer.echo(f"{person} effacé")
