"""`/api/v1/reports/{id}`: what became of a report, and its verification by a named person. Posting is the front door's."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import Field

from schemas.commands import ConfirmReport, DenyReport, LinkReport
from services.console.api.answering import RESPONSES, decide
from services.console.api.context import Author, Body, Reader, check_scope, deciding, reading
from services.console.faults import NotFound
from services.console.resources import Report
from services.runtime.problems import ProblemError
from services.runtime.rights import Permission

router = APIRouter(prefix="/api/v1/reports", tags=["reports"])
Verifying = Annotated[Author, Depends(deciding(Permission.REPORT_VERIFY))]
log = structlog.get_logger(__name__)


class Link(Body):
    site: str = Field(max_length=64)


@router.get("/{id}", summary="What became of a report: applied, duplicate, refused, failed; with the reason and the incident")
async def one(reader: Annotated[Reader, Depends(reading(Permission.REPORT_STATUS))], id: str) -> Report:
    texts = reader.principal.may(Permission.REPORT_RAW)
    found = await reader.model.report(reader.realm, id, as_of=reader.as_of, lang=reader.lang, texts=texts)
    if not reader.principal.may(Permission.PICTURE_READ) and found.source_key != reader.principal.id:
        raise NotFound  # a source sees its own reports only
    if found.headline or found.description:
        log.info("report.text_read", report=id, realm=reader.realm, reader=reader.principal.id)
    return found


async def _in_scope(author: Author, body: Body | None, id: str) -> None:
    if author.principal.scope.sites:
        found = await author.model.report(author.within(body).realm, id)
        check_scope(
            author.principal.model_copy(update={"scope": author.principal.scope.model_copy(update={"poles": ()})}), sites=[found.site or ""]
        )


@router.post("/{id}/confirm", responses=RESPONSES, summary="Verified by the author (D6)")
async def confirm(author: Verifying, id: str, body: Body | None = None) -> Response:
    await _in_scope(author, body, id)
    return await decide(author, body, "alerts", ConfirmReport, report=id)


@router.post("/{id}/deny", responses=RESPONSES, summary="Denied by the author")
async def deny(author: Verifying, id: str, body: Body | None = None) -> Response:
    await _in_scope(author, body, id)
    return await decide(author, body, "alerts", DenyReport, report=id)


@router.post("/{id}/link", responses=RESPONSES, summary="Link a report with an unknown site to a site (D8)")
async def link(author: Verifying, id: str, body: Link) -> Response:
    if author.principal.scope.sites and body.site not in author.principal.scope.sites:
        raise ProblemError("out_of_scope", field="site")
    return await decide(author, body, "alerts", LinkReport, report=id, site=body.site)
