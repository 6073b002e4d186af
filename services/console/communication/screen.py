"""Page `/communication`: statements, questions and rumours. Rule D91."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import Request

from services.console.communication import page as communication
from services.console.http.decisions import get_author
from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.web.access import require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import build_page_context, load_screen_data
from services.runtime.identity.permissions import Permission


async def build_communication_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `communication.html`: statements, questions and rumours. Rule D91.

    Raises ProblemError `forbidden`, NotFound.
    """
    reader = require_reader(request, Permission.LOG_READ)
    x = await load_screen_data(queries, request, PAGE.name)
    query_params = request.query_params
    incident = query_params.get("incident", x.shell.only_incident) or None
    statements, questions, rumours, templates = await asyncio.gather(
        x.queries.statements(),
        x.queries.questions(),
        x.queries.rumours(),
        x.queries.statement_templates(incident=incident),
    )
    may_write = reader.may(Permission.STATEMENT_WRITE) and x.shell.moment is None
    editor = communication.Editor(
        get_author(reader.principal), reader.principal.acting_role, may_write
    )
    views = communication.build_statement_views(statements.items, editor, x.names, x._)
    waiting, over = communication.split_statements(views)
    is_open, answered = communication.split_questions(
        communication.build_question_views(questions.items, x.names, x._)
    )
    filled = next((t for t in templates if t.id == query_params.get("modele")), None)
    audience = query_params.get("public")
    return {
        **build_page_context(request, x),
        "waiting": waiting,
        "over": over[: communication.OVER_SHOWN],
        "over_count": len(over),
        "published": [s for s in over if s.found.published and not s.found.retracted],
        "open_questions": is_open,
        "answered": answered[: communication.OVER_SHOWN],
        "answered_count": len(answered),
        "rumours": rumours[: communication.OVER_SHOWN],
        "site_name": x.names.site,
        "templates": templates,
        "template_id": filled.id if filled else None,
        "filled": filled,
        "incident_id": incident,
        "rumour_id": query_params.get("rumeur") or None,
        "question_id": query_params.get("question") or None,
        "carried": {
            k: query_params[k] for k in ("rumeur", "question", "public") if query_params.get(k)
        },
        "audience": filled.audience.value if filled else audience,
        "audiences": [one.value for one in communication.AUDIENCES],
        "askers": [one.value for one in reversed(communication.AUDIENCES)],
        "may_write": may_write,
        "may_note": reader.may(Permission.NOTE_WRITE) and x.shell.moment is None,
    }


PAGE: Final = WebPage(
    "communication",
    "/communication",
    "communication.html",
    build_communication_page,
    N_("Communication"),
    needs=Permission.LOG_READ,
    personal=True,  # authors may not validate their own statements (rule D91)
)
