"""`vigie directory`: people and their contact points, on the machine with the keys.

No log contains any of it.
"""

from __future__ import annotations

import asyncio
import csv
import json
import re
import secrets
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime, time
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from schemas.catalogue.channels import CHANNELS
from schemas.oncall import DAY_MIN, NoteReachability, ReachRow
from schemas.people.directory import Contact, ContactPoint
from schemas.reference import CONTACT_TOKEN_PREFIX
from schemas.topics import select_urgent_topic
from services.cli.client import error_text, require_broker
from services.console.exports.tables import unescape_formula
from services.delivery.channels.sms.origin import normalize_dialled_number
from services.delivery.channels.webhook.driver import is_allowed_url
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
COLUMNS = ("person", "name", "language", "channel", "address", "verified_at")
_MAIL_PATTERN = re.compile(r"[^@\s]+@[^@\s]+")
PEOPLE_PER_MESSAGE = 200
"""People per message to the deciders."""
DIRECTORY_TIMEOUT_S = 5.0
"""Seconds to wait for the running system's copy of the directory."""


class DirectoryInvalid(ValueError):
    """Signal a file that cannot be imported.

    The message has one line per problem, with line number and without content.
    """


class AddressInvalid(ValueError):
    """Signal an address that nothing would reach; the message describes the right form."""


def read_contacts(lines: Iterable[str]) -> list[Contact]:
    """Read contacts from CSV: one line per contact point, in order of preference.

    Columns: `COLUMNS`, optionally `site` and `quiet` (`21:00-07:00`), separated by commas or, as an
    export writes them, by semicolons. Raises DirectoryInvalid.
    """
    rows = iter(lines)
    titles = next(rows, "")
    separator = ";" if ";" in titles else ","
    reader = csv.DictReader(chain((titles,), rows), delimiter=separator)
    if missing := set(COLUMNS) - set(reader.fieldnames or ()):
        raise DirectoryInvalid(f"line 1: missing columns {', '.join(sorted(missing))}")
    names: dict[str, tuple[str | None, str, str | None]] = {}
    points: dict[str, list[ContactPoint]] = {}
    problems: list[str] = []
    for line in reader:
        row = {name: _strip_apostrophe(value) for name, value in line.items()}
        reachable = bool(row["channel"] or row["address"])
        try:
            verified = datetime.fromisoformat(row["verified_at"]) if row["verified_at"] else None
            if verified is not None and verified.tzinfo is None:
                verified = verified.replace(tzinfo=UTC)
            at = None if verified is None else int(verified.timestamp() * 1000)
            given = {
                "channel": row["channel"],
                "address": (row["address"] or "").strip(),
                "verified_at": at,
                "quiet": _parse_quiet_hours(row.get("quiet") or ""),
            }
            point = _normalize_address(ContactPoint.model_validate(given)) if reachable else None
            Contact.model_validate(
                {
                    "person": row["person"],
                    "name": row["name"] or None,
                    "language": row["language"] or "fr",
                    "site": row.get("site") or None,
                }
            )
        except ValidationError as error:
            problems += [
                f"line {reader.line_num}: {'.'.join(map(str, e['loc']))}: {e['msg']}"
                for e in error.errors(include_input=False)
            ]
            continue
        except AddressInvalid as error:
            problems.append(f"line {reader.line_num}: address: {error}")
            continue
        except ValueError:
            problems.append(
                f"line {reader.line_num}: verified_at is an ISO date, quiet is 21:00-07:00"
            )
            continue
        names.setdefault(
            row["person"], (row["name"] or None, row["language"] or "fr", row.get("site") or None)
        )
        points.setdefault(row["person"], []).extend([point] if point is not None else [])
    if problems:
        raise DirectoryInvalid("\n".join(problems))
    return [
        Contact.model_validate(
            {
                "person": person,
                "name": name,
                "language": language,
                "site": site,
                "points": points[person],
            }
        )
        for person, (name, language, site) in names.items()
    ]


def _strip_apostrophe(value: Any) -> Any:
    """Remove the apostrophe that an export puts before a text such as `+33612345678`."""
    return unescape_formula(value) if isinstance(value, str) else value


def _normalize_address(point: ContactPoint) -> ContactPoint:
    """Normalize the address of a contact point.

    Raises AddressInvalid, so that a wrong address is found at import and not during a call.
    """
    match CHANNELS[point.channel].address:
        case "telephone":
            if (number := normalize_dialled_number(point.address)) is None:
                raise AddressInvalid(
                    "a telephone number, 06 12 34 56 78 or +33612345678, is expected"
                )
            return point.model_copy(update={"address": number})
        case "mail" if _MAIL_PATTERN.fullmatch(point.address) is None:
            raise AddressInvalid("a mail address, name@example.org, is expected")
        case "url" if not is_allowed_url(point.address):
            raise AddressInvalid("an https:// address is expected")
        case _:
            return point


def _parse_quiet_hours(text: str) -> tuple[int, int] | None:
    """Parse `21:00-07:00` to local minutes.

    Raises ValueError.
    """
    if not text:
        return None
    start, end = (_parse_minute(part.strip()) for part in text.split("-"))
    return start, end


def _parse_minute(text: str) -> int:
    if text == "24:00":
        return DAY_MIN
    at = time.fromisoformat(text)
    return at.hour * 60 + at.minute


async def _write_contacts(settings: Settings, contacts: list[Contact]) -> None:
    """Write people to the directory, then announce their reachability to the live realm.

    The realm gets channels, proofs and quiet hours, never an address. The directory comes first, so
    a person called next is in it. Partners (`contact:<id>`) are never called by an escalation.
    """
    async with Vault.open(settings) as vault:
        await vault.directory.put_all(contacts)
        await vault.directory.settled(DIRECTORY_TIMEOUT_S)
    realm = settings.territory.name
    rows = [c.reach() for c in contacts if not c.person.startswith(CONTACT_TOKEN_PREFIX)]
    async with RecordProducer(settings.kafka, InputMarks.open(settings.data.secrets)) as producer:
        for start in range(0, len(rows), PEOPLE_PER_MESSAGE):
            command = NoteReachability(
                author="system:directory",
                role="admin",
                people=tuple(rows[start : start + PEOPLE_PER_MESSAGE]),
            )
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
