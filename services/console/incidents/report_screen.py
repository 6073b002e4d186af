"""Page `/signalements/{id}`: one report with its text."""

from __future__ import annotations

from typing import Any, Final

import structlog
from fastapi import Request

from services.console.incidents import report_page as signal
from services.console.read_model.queries import Queries
from services.console.sites.receipts import has_receipt
from services.console.sites.site_screen import load_instructions
from services.console.texts import words as w
from services.console.web.pages import WebPage
from services.console.web.screen_context import (
    build_page_context,
    list_site_choices,
    load_screen_data,
)
from services.runtime.identity.permissions import Permission

log = structlog.get_logger(__name__)


async def build_report_page(queries: Queries, request: Request, id: str) -> dict[str, Any]:
    """Build `signal.html`: one report, with text and photos for readers with the right.

    The reading is recorded (rule D59). Raises NotFound.
    """
    x = await load_screen_data(queries, request, PAGE.name)
    realm, lang, reader = x.shell.realm.name, x.shell.lang, x.shell.reader
    report = await x.queries.report(id, texts=reader.may(Permission.REPORT_RAW))
    if report.headline or report.description or report.attachments:
        log.info("report.text_read", report=id, realm=realm, reader=reader.principal.id)
    site = next((s for s in x.sites if s.id == report.site), None)
    incident = next((i for i in x.shell.overview.incidents if i.id == report.incident), None)
    return {
        **await load_instructions(x, site, id),
        "has_receipt": has_receipt(report),
        "plan_names": {p.id: x.names.plan(p.id) for p in x.reference.plans.values()}
        if signal.is_open_question(report)
        else {},
        **build_page_context(request, x),
        "report": report,
        "site": site,
        "incident": incident,
        "flags": signal.describe_flags(report, x._),
        "facts": signal.list_details(report, x.names, x._),
        "signature": signal.describe_signature(report, x._),
        "state": signal.describe_state(report, x._),
        "sites": list_site_choices(x.sites),
        "erased": signal.describe_erasure(report, lang),
        "verifier": w.name_person(report.verified_by, x.names, x._) if report.verified_by else "",
        "corrector": w.name_person(report.corrected_by, x.names, x._)
        if report.corrected_by
        else "",
    }


PAGE: Final = WebPage(
    "signal",
    "/signalements/{id}",
    "signal.html",
    build_report_page,
    personal=True,  # reading the text of a report is recorded (rule D59)
)
