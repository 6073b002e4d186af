"""Routes for situation reports: `/sitreps`. Rule D54.

The next report is a draft that follows the facts; a validated one never changes.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.commands import IssueSitrep
from schemas.continuity import SitrepRow
from services.console.documents.document import Document, hash_document
from services.console.documents.formats import (
    DOCUMENT_RESPONSES,
    DocumentFormat,
    make_document_response,
)
from services.console.documents.sitrep import REMARK_SECTIONS
from services.console.http.answers import DecisionRouter, find_repeated_answer, send_decision
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    LogReader,
    PageRequest,
    require_decision,
    to_instant,
)
from services.console.http.decisions import CommandDispatcher
from services.console.http.fair_queue import ExpensiveWork
from services.console.i18n import get_translator
from services.console.proof.api import read_partners
from services.console.resources import Page, Sitrep
from services.console.web import times
from services.runtime.http.problems import build_field_problem
from services.runtime.identity.permissions import Permission
from services.runtime.secrets.signing import SigningKey

router = DecisionRouter(prefix="/api/v1/sitreps", tags=["situation reports"])
SitrepAuthor = Annotated[
    DecisionContext, Depends(require_decision(Permission.SITREP_WRITE, whole_territory=True))
]
RemarkText = Annotated[str, Field(max_length=2000)]


class ValidateRequest(DecisionBody):
    remarks: dict[str, RemarkText] = Field(
        default_factory=dict, description=f"text to add, by section: {', '.join(REMARK_SECTIONS)}"
    )
    number: int | None = Field(
        default=None,
        ge=1,
        description="number of the report, refused unless it is the next; default: the next",
    )
    as_of: AwareDatetime | None = Field(
        default=None, description="time of the state of knowledge in the document; default: now"
    )
    recipients: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default_factory=list,
        max_length=20,
        description="roles of the whole territory whose holders get a message with the number",
    )


@router.get("", summary="List validated situation reports, newest first")
async def list_sitreps(reader: LogReader, part: PageRequest) -> Page[Sitrep]:
    return part.of((await reader.model.sitreps()).items)


@router.get(
    "/draft",
    response_model=Document,
    responses=DOCUMENT_RESPONSES,
    summary="Show the draft of the next situation report",
)
async def get_draft(reader: LogReader, request: Request, form: DocumentFormat = "json") -> Response:
    langs = ("fr", "en") if form == "json" else (reader.lang,)
    costs: ExpensiveWork = request.app.state.costs
    async with costs.documents.hold_place(reader.principal.id):
        document = await reader.model.draft_sitrep(
            langs=langs, partners=await read_partners(request, reader.model)
        )
        name = f"ps-{reader.realm}-{document.number}-projet"
        return await make_document_response(request, document, form, reader.lang, name=name)


@router.get(
    "/{number}",
    response_model=Document,
    responses=DOCUMENT_RESPONSES,
    summary="Show a validated situation report, byte for byte as frozen",
)
async def get_sitrep(
    reader: LogReader,
    request: Request,
    number: int | Literal["latest"],
    form: DocumentFormat = "json",
) -> Response:
    if number == "latest":
        sitreps = (await reader.model.sitreps()).items
        number = sitreps[0].number if sitreps else 0
    row, document = await reader.model.sitrep(number)
    costs: ExpensiveWork = request.app.state.costs
    async with costs.documents.hold_place(reader.principal.id):
        response = await make_document_response(
            request,
            document,
            form,
            reader.lang,
            name=f"ps-{reader.realm}-{number}",
            stamp=write_stamp(row, reader.lang),
        )
    response.headers["ETag"] = f'"{row.sha256}"'
    response.headers["Vigie-Document-Sha256"] = row.sha256
    response.headers["Vigie-Signature"] = (
        await asyncio.to_thread(sign_document, request, document)
    ).hex()
    return response


async def check_recipients(author: DecisionContext, recipients: Sequence[str]) -> None:
    """Refuse a recipient that is no role of the whole territory. Raises ProblemError `invalid`."""
    holders = (await author.model.reference()).names.holders.values()
    roles = {role for role, scope, _deputy in holders if scope is None}
    for n, recipient in enumerate(recipients):
        if recipient not in roles:
            raise build_field_problem(
                f"recipients.{n}",
                "unknown",
                "aucun rôle du territoire ne porte ce nom",
                "no role of the territory has it",
            )


def sign_document(request: Request, document: Document) -> bytes:
    """Sign the frozen bytes, which hold the known facts and the end of each log (Ed25519)."""
    key: SigningKey = request.app.state.signing_key()
    return key.sign(document.frozen())


def write_stamp(row: SitrepRow, lang: str) -> str:
    """Return the proof text of a frozen document: its time of validation and its hash."""
    at = times.of(row.issued_at)
    return get_translator(lang)(
        "Validé {day} à {at}. SHA-256 {hash}.",
        day=times.day(at, lang),
        at=times.hms(at),
        hash=row.sha256,
    )


@router.decision(
    "", "Validate the next situation report: it gets a number and can no longer be edited"
)
async def validate_sitrep(author: SitrepAuthor, body: ValidateRequest) -> Response:
    author = author.within(body)
    unknown = sorted(set(body.remarks) - set(REMARK_SECTIONS))
    if unknown:
        raise build_field_problem(
            f"remarks.{unknown[0]}",
            "enum",
            f"sections : {', '.join(REMARK_SECTIONS)}",
            f"sections: {', '.join(REMARK_SECTIONS)}",
        )
    await check_recipients(author, body.recipients)
    recipients = tuple(dict.fromkeys(body.recipients))
    decisions: CommandDispatcher = author.request.app.state.decisions
    if (before := await find_repeated_answer(author)) is not None:
        return before
    id = decisions.command_id(author.principal, author.realm, author.key)
    then = author.model.at(to_instant(body.as_of) if body.as_of else None)
    document = await then.draft_sitrep(
        remarks=body.remarks,
        validated_by=author.principal.acting_role,
        partners=await read_partners(author.request, then),
        recipients=recipients,
    )
    document = document.model_copy(update={"heads": dict(await author.model.heads())})
    raw = document.frozen()
    sha256 = hash_document(raw)
    text_id = decisions.text_id(id, sha256)
    await decisions.put_document(text_id, raw)
    return await send_decision(
        author,
        body,
        "continuity",
        IssueSitrep,
        number=body.number or document.number,
        as_of=document.as_of,
        text_id=text_id,
        sha256=sha256,
        counts=document.figures,
        incidents=document.incidents,
        recipients=recipients,
    )
