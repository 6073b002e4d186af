"""Page `/retex`: lessons learned."""

import asyncio
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request

from services.console.documents.sitrep_screen import make_api_link, make_source_link
from services.console.facilitation.page import build_role_lines
from services.console.i18n import N_, get_translator
from services.console.read_model.queries import Queries
from services.console.texts import words as w
from services.console.web.access import build_shell, require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import build_frame_context
from services.runtime.identity.permissions import Permission

INCIDENTS_LISTED: Final = 50


async def build_retex_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `retex.html`: lessons learned of one incident (`incident`) or the whole realm."""
    shell = await build_shell(
        request, queries, require_reader(request, Permission.LOG_READ), "retex"
    )
    lang, queries = shell.lang, queries.of(shell.realm.name, shell.lang)
    incident = request.query_params.get("incident") or None
    document, actions, incidents, reference, sheet = await asyncio.gather(
        queries.draft_retex(incident=incident, langs=(lang,)),
        queries.improvements(),
        queries.incidents(limit=INCIDENTS_LISTED),
        queries.reference(),
        queries.evaluation_sheet(),
    )
    _, names = get_translator(lang), reference.names
    return {
        **build_frame_context(request, shell),
        "document": document,
        "sheet": document.sheet(lang),
        "href": make_source_link(shell),
        "evaluation": sheet if shell.realm.simulated and incident is None else None,
        "roles": build_role_lines(sheet, _),
        "incident_id": incident,
        "incidents": [i for i in incidents.items if i.merged_into is None],
        "api": make_api_link(shell, "/api/v1/retex", incident=incident),
        "may_decide": shell.reader.may(Permission.SITREP_WRITE)
        and shell.reader.reaches_some(incidents.items, incident),
        "ends": lambda action: shell.reader.reaches_some(incidents.items, action.incident),
        "may_export": shell.reader.whole and shell.reader.may(Permission.EVIDENCE_EXPORT),
        "evidence": f"/api/v1/incidents/{incident}/export?{urlencode({'realm': shell.realm.name})}",
        "actions": [
            i for i in actions.items if i.state == "open" and incident in (None, i.incident)
        ],
        "owners": {code: w.name_role(code, None, names, _) for code in names.roles},
        "owner": lambda action: w.name_role(action.owner, None, names, _),
    }


PAGE: Final = WebPage(
    "retex", "/retex", "retex.html", build_retex_page, N_("RETEX"), needs=Permission.LOG_READ
)
