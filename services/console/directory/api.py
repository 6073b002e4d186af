"""Routes for the directory: `/directory`. Rule D89.

Roles, functions and partners are open to readers of the logbook. The numbers of a person need the
right to the directory, and every reading is logged.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from services.console.directory.numbers import read_partner_numbers, read_person
from services.console.directory.resources import DirectoryState, PersonEntry
from services.console.directory.view import (
    build_reaching_points,
    list_contacts,
    list_partners,
    list_role_holders,
)
from services.console.http.context import LogReader, ReadContext, require_read
from services.console.i18n import get_translator
from services.console.resources import to_datetime
from services.runtime.identity.permissions import Permission

router = APIRouter(prefix="/api/v1/directory", tags=["people"])
PersonReader = Annotated[ReadContext, Depends(require_read(Permission.DIRECTORY_READ))]


@router.get("", summary="Who holds each role now, the partners, and how to reach the cell")
async def get_directory(
    request: Request,
    reader: LogReader,
    role: Annotated[str | None, Query(max_length=64, description="one role only")] = None,
    domain: Annotated[
        str | None, Query(max_length=40, description="partners of one domain only")
    ] = None,
) -> DirectoryState:
    schedule, at = await reader.model.desk()
    reference = await reader.model.reference()
    partners = list_partners(
        reference,
        read_partner_numbers(request, reader.realm, list_contacts(reference)),
        at,
        get_translator(reader.lang),
    )
    return DirectoryState(
        realm=reader.realm,
        at=to_datetime(at),
        cell=build_reaching_points(reference.message_names, await reader.model.meeting_place()),
        items=list_role_holders(schedule, at, role),
        partners=[p for p in partners if domain in (None, p.domain)],
    )


@router.get(
    "/people/{person}",
    summary="Name and numbers of somebody who holds a role now: personal, every reading is logged",
)
async def get_person(request: Request, reader: PersonReader, person: str) -> PersonEntry:
    return await read_person(
        request, reader.model, reader.principal, reader.realm, person, reader.lang
    )
