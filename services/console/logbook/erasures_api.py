"""Erase the text of a report or logbook line for good.

Serves `POST /api/v1/reports/{id}/erase` and `POST /api/v1/log/{id}/erase`. The first call proposes
it with a reason, a second person approves or declines. All are logbook lines. Rule D58.
"""

import asyncio
from typing import Annotated, Final, Self
from weakref import WeakValueDictionary

from fastapi import APIRouter, Depends, Request
from pydantic import Field, model_validator

from schemas.commands import AddNote
from schemas.words import LineKind
from services.console.http.answers import require_text, send_text
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    PageRequest,
    ReadContext,
    is_limited,
    require_decision,
    require_read,
)
from services.console.http.decisions import get_author
from services.console.http.scopes import check_sites
from services.console.logbook.erasures import ErasureProposal, Erasures, ErasureSubject
from services.console.resources import Erasure, Page, to_datetime
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission
from services.runtime.process.machine import now_ms

router = APIRouter(prefix="/api/v1", tags=["texts"])
ReportEraser = Annotated[DecisionContext, Depends(require_decision(Permission.DIRECTORY_WRITE))]
LineEraser = Annotated[
    DecisionContext, Depends(require_decision(Permission.DIRECTORY_WRITE, whole_territory=True))
]
ErasureReader = Annotated[ReadContext, Depends(require_read(Permission.DIRECTORY_WRITE))]


def _name_subject(subject: ErasureSubject) -> str:
    """Name a report by the first characters of its id, as its page does, and a line by its place."""
    return (
        f"du signalement {subject.id[:8]}"
        if subject.kind == "report"
        else f"de la ligne {subject.id}"
    )


class EraseRequest(DecisionBody):
    approve: bool = Field(
        default=False, description="true = approve an erasure that another person proposed"
    )
    decline: bool = Field(
        default=False,
        description="true = end a proposal with a reason, as another person or as its author",
    )

    @model_validator(mode="after")
    def _check_one_answer(self) -> Self:
        if self.approve and self.decline:
            raise ValueError("approve or decline, not both")
        return self


@router.post(
    "/reports/{id}/erase",
    summary="Propose, approve or decline the erasure of text, original bytes and photos of a report",
)
async def erase_report(author: ReportEraser, id: str, body: EraseRequest) -> Erasure:
    within = author.within(body)
    if is_limited(within.principal):  # a report without a known site belongs to the whole territory
        site = (await within.model.report(id)).site
        await check_sites(within, [site] if site is not None else [], "site")
    text_location = await within.model.report_text(id)
    return await _erase(
        within,
        body,
        ErasureSubject("report", id, within.realm, text_location.text_id),
        text_location.incident,
    )


@router.post(
    "/log/{id}/erase",
    summary="Propose, approve or decline the erasure of the text of a line of the main courante",
)
async def erase_line(author: LineEraser, id: str, body: EraseRequest) -> Erasure:
    within = author.within(body)
    text_location = await within.model.line_text(id)
    return await _erase(
        within,
        body,
        ErasureSubject("line", id, within.realm, text_location.text_id),
        text_location.incident,
    )


@router.get(
    "/erasures",
    operation_id="list_erasure_proposals",
    summary="List proposed erasures that wait for a second person",
)
async def list_proposals(
    request: Request, reader: ErasureReader, part: PageRequest
) -> Page[Erasure]:
    proposals = Erasures(request.app.state.texts).open()
    return part.of(
        [_build_erasure(one, None) for one in proposals if reader.principal.sees(one.realm)]
    )


async def _erase(
    author: DecisionContext, body: EraseRequest, subject: ErasureSubject, incident: str | None
) -> Erasure:
    """Decide one text after the other: of two approvals at once, one leaves a line."""
    async with _LOCKS.setdefault(subject.text_id, asyncio.Lock()):
        return await _decide_erasure(author, body, subject, incident)


_LOCKS: Final[WeakValueDictionary[str, asyncio.Lock]] = WeakValueDictionary()
"""Text → its decision under way."""


async def _decide_erasure(
    author: DecisionContext, body: EraseRequest, subject: ErasureSubject, incident: str | None
) -> Erasure:
    erasures, by, at = (
        Erasures(author.request.app.state.texts),
        get_author(author.principal),
        now_ms(),
    )
    if body.approve:
        proposal = await erasures.approvable(subject, by)
        reason, act, trace = proposal.reason, "approuvé", "text.erased"
    else:
        require_text(body.reason)
        reason = str(body.reason)
        if body.decline:
            proposal = await erasures.proposed(subject)
            act, trace = "refusé, le texte reste", "text.erasure_declined"
        else:
            proposal = await erasures.propose(subject, by, reason, at)
            act, trace = "proposé", "text.erasure_proposed"
    access: AccessStore = author.request.app.state.access
    access.trace(author.principal, trace, subject.id)
    await _write_line(
        author,
        f"Effacement du texte {_name_subject(subject)} {act}. Raison : {reason}",
        incident,
    )
    if body.approve:  # last, so that a repetition after a failure finds the proposal
        await erasures.erase(subject, proposal, at)
    if body.decline:
        await erasures.decline(subject)
    erasure = _build_erasure(proposal, by if body.approve else None, at)
    return erasure.model_copy(update={"state": "declined"}) if body.decline else erasure


async def _write_line(author: DecisionContext, text: str, incident: str | None) -> None:
    """Write the act to the logbook.

    A closed realm takes no line; the register of accesses still has it.
    """
    await send_text(
        author, None, "alerts", AddNote, text, incident=incident, kind=LineKind.DECISION
    )


def _build_erasure(proposal: ErasureProposal, approved_by: str | None, at: int = 0) -> Erasure:
    return Erasure.from_row(
        proposal,
        state="proposed" if approved_by is None else "erased",
        proposed_by=proposal.by,
        proposed_at=to_datetime(proposal.at),
        approved_by=approved_by,
        erased_at=None if approved_by is None else to_datetime(at),
    )
