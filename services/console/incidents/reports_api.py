"""Serve the outcome of a report and its verification under `/api/v1/reports/{id}`.

The front door of intake accepts new reports.
"""

from typing import Annotated

import structlog
from fastapi import Depends
from fastapi.responses import Response
from pydantic import Field

from schemas.commands import (
    ConfirmReport,
    DenyReport,
    LinkReport,
    MarkReportsRead,
    PreviewConfirmation,
)
from services.console.http.answers import DecisionRouter, Subject, send_decision
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    ReadContext,
    is_limited,
    require_decision,
    require_read,
)
from services.console.http.problems import NotFound
from services.console.http.scopes import check_sites
from services.console.resources import Report
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1/reports", tags=["reports"])
ReportVerifier = Annotated[DecisionContext, Depends(require_decision(Permission.REPORT_VERIFY))]
log = structlog.get_logger(__name__)


class LinkRequest(DecisionBody):
    site: str = Field(max_length=64)


@router.get(
    "/{id}",
    summary=(
        "Show the result of a report: applied, duplicate, refused or failed, with reason and "
        "incident"
    ),
)
async def get_report(
    reader: Annotated[ReadContext, Depends(require_read(Permission.REPORT_STATUS))], id: str
) -> Report:
    texts = reader.principal.may(Permission.REPORT_RAW)
    report = await reader.model.report(id, texts=texts)
    if (
        not reader.principal.may(Permission.PICTURE_READ)
        and report.source_key != reader.principal.id
    ):
        raise NotFound  # a source sees its own reports only
    if report.headline or report.description:
        log.info("report.text_read", report=id, realm=reader.realm, reader=reader.principal.id)
    return report


async def _check_scope(author: DecisionContext, id: str) -> None:
    """Refuse a report about a site outside the author's scope.

    A report without a known site belongs to the whole territory.
    """
    if is_limited(author.principal):
        site = (await author.model.report(id)).site
        await check_sites(author, [site] if site is not None else [], "site")


REPORT = Subject(router, "/{id}", "report", ReportVerifier, _check_scope)


REPORT.forward("/confirm", "Confirm a report (D6)", ConfirmReport)
REPORT.forward(
    "/confirm/preview",
    "Preview a confirmation: level, people called, plans. Decides nothing",
    PreviewConfirmation,
)


@router.decision(
    "/{id}/read",
    "Mark a report as read by the cell (D98); 204: already read, or without receipt",
    idle="Already read, or without receipt",
    operation_id="mark_report_read",
)
async def mark_read(
    author: Annotated[DecisionContext, Depends(require_decision(Permission.REPORT_RAW))],
    id: str,
    body: DecisionBody | None = None,
) -> Response:
    within = author.within(body)
    await _check_scope(within, id)
    if not await within.model.is_unread(id):
        return Response(status_code=204)
    return await send_decision(author, body, "alerts", MarkReportsRead, reports=(id,))


REPORT.forward("/deny", "Deny a report", DenyReport)


@router.decision("/{id}/link", "Link a report with an unknown site to a site (D8)")
async def link_report(author: ReportVerifier, id: str, body: LinkRequest) -> Response:
    await check_sites(author.within(body), [body.site], "site")
    return await send_decision(author, body, "alerts", LinkReport, report=id)
