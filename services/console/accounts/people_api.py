"""Serve the directory under `/api/v1/people`, also as the table that `vigie directory import` reads.

It holds names and numbers, so only those who keep the directory may have it, and every reading is
recorded. Rules D56 and D59.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.console.exports.formats import TABLE_RESPONSES, TableForm
from services.console.exports.tables import Column, FileNaming, build_csv_response
from services.console.http.context import (
    PageRequest,
    ReadContext,
    check_whole_territory,
    require_read,
)
from services.console.http.decisions import get_author
from services.console.resources import Page, Resource, Time, to_datetime
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission
from services.runtime.secrets.vault import VaultDirectory

router = APIRouter(prefix="/api/v1/people", tags=["people"])
PeopleReader = Annotated[ReadContext, Depends(require_read(Permission.DIRECTORY_WRITE))]
log = structlog.get_logger(__name__)


class PersonPoint(Resource):
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
    points: list[PersonPoint]


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
    contacts = await read_contacts(request.app.state.directory)
    access: AccessStore = request.app.state.access
    access.trace(reader.principal, "directory.exported", form)
    log.info("directory.exported", by=get_author(reader.principal), people=len(contacts), form=form)
    if form == "csv":
        about = FileNaming(reader.realm, "personnes", reader.lang)
        return build_csv_response(COLUMNS, list_contact_rows(contacts), about)
    return part.of([_build_person(one) for one in contacts], lambda one: str(one.person))


async def read_contacts(directory: VaultDirectory) -> list[Contact]:
    """Return everybody in the directory, by token."""
    found = [await directory.get(person) for person in sorted(directory.ids())]
    return [contact for contact in found if contact is not None]


def list_contact_rows(contacts: Iterable[Contact]) -> Iterator[ContactRow]:
    """Yield one row per contact point, in order of preference."""
    for contact in contacts:
        for point in contact.points or (None,):
            yield ContactRow(contact, point)


def format_verification(point: ContactPoint | None) -> str | None:
    """Return the time of the last verification (ISO 8601, UTC)."""
    at = _verified_at(point)
    return None if at is None else at.isoformat()


def format_quiet_hours(point: ContactPoint | None) -> str | None:
    """Return quiet hours as the import reads them: `21:00-07:00`."""
    if point is None or point.quiet is None:
        return None
    return "-".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in point.quiet)


def _verified_at(point: ContactPoint | None) -> datetime | None:
    return None if point is None or point.verified_at is None else to_datetime(point.verified_at)


def _build_person(contact: Contact) -> Person:
    return Person(
        person=contact.person,
        name=contact.name,
        language=contact.language,
        site=contact.site,
        points=[
            PersonPoint(
                channel=point.channel,
                address=point.address,
                verified_at=_verified_at(point),
                quiet=format_quiet_hours(point),
            )
            for point in contact.points
        ],
    )
