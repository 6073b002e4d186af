"""Write people to the directory, and tell the live realm how they can be reached."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

from schemas.oncall import NoteReachability, ReachRow
from schemas.people.directory import Contact
from schemas.topics import select_urgent_topic
from services.console.directory.contact_file import build_announcements
from services.runtime.decider.input_marks import InputMarks
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import Vault

T = TypeVar("T")
DIRECTORY_TIMEOUT_S = 5.0
"""Seconds to wait for the running system's copy of the directory."""


async def write_contacts(settings: Settings, contacts: list[Contact]) -> None:
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


async def erase_person(settings: Settings, person: str) -> bool:
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


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a piece of work; print that the broker is away, and raise typer.Exit."""
    try:
        return asyncio.run(work)
    except BrokerAway as exc:
        typer.secho(f"Kafka ne répond pas : {exc}", err=True, fg="red")
        raise typer.Exit(1) from exc
