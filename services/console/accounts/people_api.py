"""Serve the directory under `/api/v1/people`, also as a table for `vigie directory import`.

It holds names and numbers, so only those who keep the directory may have it, and every reading is
recorded. Rules D56 and D59.
"""

import asyncio
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import Field

from schemas.people.directory import Contact, ContactPoint
from schemas.topics import select_urgent_topic
from schemas.words import Channel
from services.console.directory.contact_file import build_announcements, compare_contacts
from services.console.directory.contact_file import read_contacts as parse_contact_file
from services.console.exports.formats import TABLE_RESPONSES, TableForm
from services.console.exports.line_faults import (
    TABLE_BODY,
    LineFault,
    TableInvalid,
    convert_line_faults,
    decode_table,
    describe_line_faults,
)
from services.console.exports.tables import Column, FileNaming, build_csv_response
from services.console.http.context import (
    PageRequest,
    ReadContext,
    RealmName,
    check_live_realm,
    check_whole_territory,
    require_read,
)
from services.console.http.decisions import get_author
from services.console.http.producer import CommandProducer
from services.console.i18n import Translator, get_translator
from services.console.resources import Page, Resource, Time, to_datetime
from services.runtime.http.problems import ProblemError
from services.runtime.http.request_headers import choose_language
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.http_access import require_permission
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.secrets.vault import RealmDirectory, VaultDirectory

router = APIRouter(prefix="/api/v1/people", tags=["people"])
PeopleReader = Annotated[ReadContext, Depends(require_read(Permission.DIRECTORY_WRITE))]
Keeper = Annotated[Principal, Depends(require_permission(Permission.DIRECTORY_WRITE))]
DIRECTORY_TIMEOUT_S: Final = 5.0
"""Seconds to wait for the copy of the directory."""
log = structlog.get_logger(__name__)


class DirectoryPoint(Resource):
    """One way to reach a person."""

    channel: Channel
    address: str
    verified_at: Time | None
    quiet: str | None


class Person(Resource):
    """A person of the directory. Rule D58."""

    person: str
    name: str | None
    language: str
    site: str | None
    points: list[DirectoryPoint]


class DirectoryImport(Resource):
    """The effect of a file on the directory."""

    written: bool = Field(description="false for a trial, and for a file with faults")
    people: int
    added: int
    changed: int
    same: int
    faults: list[str] = Field(description="the first 20 faults, with their line, without content")
    text: str


@dataclass(frozen=True, slots=True)
class ContactRow:
    """One contact point of a person; `point` is None for a person without any."""

    contact: Contact
    point: ContactPoint | None


COLUMNS: Final[Sequence[Column[ContactRow]]] = (
    Column("person", lambda row: row.contact.person),
    Column("name", lambda row: row.contact.name),
    Column("language", lambda row: row.contact.language),
    Column("channel", lambda row: None if row.point is None else row.point.channel.value),
    Column("address", lambda row: None if row.point is None else row.point.address),
    Column("verified_at", lambda row: format_verification(row.point)),
    Column("site", lambda row: row.contact.site),
    Column("quiet", lambda row: format_quiet_hours(row.point)),
)
"""Columns as `vigie directory import` reads them."""


@router.get(
    "",
    response_model=Page[Person],
    responses=TABLE_RESPONSES,
    summary="List people and their contact points; every reading is recorded",
)
async def list_people(
    request: Request, reader: PeopleReader, part: PageRequest, form: TableForm
) -> Page[Person] | Response:
    check_whole_territory(reader.principal)
    directory: VaultDirectory = request.app.state.directory
    contacts = await read_contacts(directory.of(reader.realm))
    access: AccessStore = request.app.state.access
    access.trace(reader.principal, "directory.exported", f"{reader.realm} {form}")
    log.info(
        "directory.exported",
        by=get_author(reader.principal),
        realm=reader.realm,
        people=len(contacts),
        form=form,
    )
    if form == "csv":
        about = FileNaming(reader.realm, "personnes", reader.lang)
        return build_csv_response(COLUMNS, list_contact_rows(contacts), about)
    return part.of([_build_person(one) for one in contacts], lambda one: str(one.person))


@router.post(
    "/import",
    openapi_extra=TABLE_BODY,
    summary="Import people from CSV, as exported; a known person is replaced. `dry_run` tells only",
)
async def import_people(
    request: Request, author: Keeper, realm: RealmName = None, dry_run: bool = False
) -> DirectoryImport:
    territory = check_live_realm(request, author, realm)
    check_whole_territory(author)
    _ = get_translator(choose_language(request.headers.get("accept-language")))
    directory: VaultDirectory = request.app.state.directory
    people = directory.of(territory)
    reference = await request.app.state.model.of(territory).reference()
    content = await request.body()
    try:
        contacts = await asyncio.to_thread(_parse_file, content, reference.sites)
    except TableInvalid as error:
        if not dry_run:
            raise ProblemError("invalid", faults=convert_line_faults(error.faults, _)) from error
        return _build_refusal(error.faults, _)
    change = await asyncio.to_thread(compare_contacts, contacts, people.peek)
    if not dry_run:
        await _store_contacts(request, territory, contacts)
        access: AccessStore = request.app.state.access
        access.trace(author, "directory.imported", f"{territory} {len(contacts)}")
        log.info("directory.imported", by=get_author(author), realm=territory, people=len(contacts))
    counts = _(
        "{added}, {changed} et {same}.",
        added=_.plural("{n} personne nouvelle", "{n} personnes nouvelles", change.added),
        changed=_.plural("{n} changée", "{n} changées", change.changed),
        same=_.plural("{n} inchangée", "{n} inchangées", change.same),
    )
    after = _("Rien n’est encore écrit.") if dry_run else _("L’annuaire est à jour.")
    return DirectoryImport.from_row(
        change, written=not dry_run, people=len(contacts), faults=[], text=f"{counts} {after}"
    )


def _parse_file(content: bytes, sites: Collection[str]) -> list[Contact]:
    """Read a file. A realm without reference data yet knows no site. Raises TableInvalid."""
    return parse_contact_file(decode_table(content), sites or None)


def _build_refusal(faults: Sequence[LineFault], _: Translator) -> DirectoryImport:
    sentences, text = describe_line_faults(faults, _)
    return DirectoryImport(
        written=False, people=0, added=0, changed=0, same=0, faults=sentences, text=text
    )


async def _store_contacts(request: Request, realm: str, contacts: Sequence[Contact]) -> None:
    """Write people of a live realm to its directory, then tell it how they are reached.

    Raises BrokerAway: repeat.
    """
    state = request.app.state
    directory: VaultDirectory = state.directory
    people = directory.of(realm)
    producer: CommandProducer = state.producer
    await people.put_all(contacts)
    await people.wait_until_current(DIRECTORY_TIMEOUT_S)
    for command in build_announcements(contacts):
        await producer.send(
            select_urgent_topic("alerts", realm),
            realm,
            command,
            id=f"reach-{secrets.token_hex(12)}",
            source="/console/people",
        )


async def read_contacts(people: RealmDirectory) -> list[Contact]:
    """Return everybody in the directory of a realm, by token."""
    contacts = [await people.get(person) for person in sorted(people.ids())]
    return [contact for contact in contacts if contact is not None]


def list_contact_rows(contacts: Iterable[Contact]) -> Iterator[ContactRow]:
    """Yield one row per contact point, in order of preference."""
    for contact in contacts:
        for point in contact.points or (None,):
            yield ContactRow(contact, point)


def format_verification(point: ContactPoint | None) -> str | None:
    """Return the time of the last verification (ISO 8601, UTC)."""
    at = _get_verification_time(point)
    return None if at is None else at.isoformat()


def format_quiet_hours(point: ContactPoint | None) -> str | None:
    """Return quiet hours as the import reads them: `21:00-07:00`."""
    if point is None or point.quiet is None:
        return None
    return "-".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in point.quiet)


def _get_verification_time(point: ContactPoint | None) -> datetime | None:
    return None if point is None or point.verified_at is None else to_datetime(point.verified_at)


def _build_person(contact: Contact) -> Person:
    return Person.from_row(
        contact,
        points=[
            DirectoryPoint(
                channel=point.channel,
                address=point.address,
                verified_at=_get_verification_time(point),
                quiet=format_quiet_hours(point),
            )
            for point in contact.points
        ],
    )
