"""Write people to the directory of a live realm, and tell it how they can be reached."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer

from schemas.oncall import NoteReachability, ReachRow
from schemas.people.directory import Contact
from schemas.topics import RealmNameInvalid, get_territory, is_live, select_urgent_topic
from services.console.directory.contact_file import build_announcements
from services.runtime.decider.inputs import InputMarks
from services.runtime.identity.home_realm import read_home_realm
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import Vault

T = TypeVar("T")
DIRECTORY_TIMEOUT_S = 5.0
"""Seconds to wait for the running system's copy of the directory."""


RealmOption = Annotated[
    str | None, typer.Option("--realm", help="Live realm of the people; without it the home realm")
]


def choose_realm(settings: Settings, realm_name: str | None) -> str:
    """Choose the live realm for a change of its directory. Raises typer.BadParameter.

    People of one realm must never replace those of another. So a shell that names another territory
    than the home realm has to name the realm, too.
    """
    home = read_home_realm(settings)
    if realm_name is None:
        own = settings.territory.name
        if "territory" in settings.model_fields_set and own != home:
            raise typer.BadParameter(
                f"VIGIE_TERRITORY nomme {own}, l’installation est celle de {home} : nommez le "
                f"territoire des personnes (--realm {own} ou --realm {home})"
            )
        return home
    try:
        get_territory(realm_name)
    except RealmNameInvalid as error:
        raise typer.BadParameter(f"{realm_name} n’est pas le nom d’un territoire") from error
    if not is_live(realm_name):
        raise typer.BadParameter(
            f"{realm_name} est un exercice : il lit l’annuaire de {get_territory(realm_name)}"
        )
    return realm_name


async def write_contacts(settings: Settings, realm: str, contacts: list[Contact]) -> None:
    """Write people of a live realm to its directory, then tell it how they can be reached.

    The realm gets channels, proofs and quiet hours, never an address. The directory comes first, so
    a person called next is in it. Partners (`contact:<id>`) are never called by an escalation.
    """
    async with Vault.open(settings) as vault:
        people = vault.directory.of(realm)
        await people.put_all(contacts)
        await people.wait_until_current(DIRECTORY_TIMEOUT_S)
    async with RecordProducer(settings.kafka, InputMarks.open(settings.data.secrets)) as producer:
        for command in build_announcements(contacts):
            await producer.send(
                select_urgent_topic("alerts", realm),
                realm,
                command,
                id=f"reach-{secrets.token_hex(12)}",
                source="/system:directory",
            )


async def erase_person(settings: Settings, realm: str, person: str) -> bool:
    """Erase a person from a directory, then announce it; return whether the person was there.

    The live realm marks the person as unreachable, so that escalations no longer wait.
    """
    async with Vault.open(settings) as vault:
        people = vault.directory.of(realm)
        was_listed = await people.get(person, wait_s=2.0) is not None
        await people.erase(person)
    command = NoteReachability(
        author="system:directory", role="admin", people=(ReachRow(id=person, points=()),)
    )
    async with RecordProducer(settings.kafka, InputMarks.open(settings.data.secrets)) as producer:
        await producer.send(
            select_urgent_topic("alerts", realm),
            realm,
            command,
            id=f"reach-{secrets.token_hex(12)}",
            source="/system:directory",
        )
    return was_listed


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a piece of work; print that the broker is away, and raise typer.Exit."""
    try:
        return asyncio.run(work)
    except BrokerAway as exc:
        typer.secho(f"Kafka ne répond pas : {exc}", err=True, fg="red")
        raise typer.Exit(1) from exc
