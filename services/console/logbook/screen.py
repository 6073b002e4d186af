"""Page `/main-courante`: the logbook, newest first."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import Request

from services.console.http.problems import NotFound
from services.console.i18n import N_, get_translator
from services.console.logbook import page as logbook
from services.console.logbook.line_list import KIND_LABELS
from services.console.read_model.queries import Queries
from services.console.texts import words as w
from services.console.texts import world
from services.console.web.access import build_shell, require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import LINE_LIMIT, build_frame_context
from services.runtime.identity.permissions import Permission

NOTES_SCANNED: Final = 200
"""Newest notes to search for the correction of a line."""


async def build_logbook_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `logbook.html`: the logbook, newest first.

    It begins at a cited line (`ligne`) or after a page's end (`suite`). Raises NotFound.
    """
    shell = await build_shell(
        request, queries, require_reader(request, Permission.LOG_READ), "logbook"
    )
    lang, query_params = shell.lang, request.query_params
    queries = queries.of(shell.realm.name, lang)
    kind = query_params.get("genre") if query_params.get("genre") in (*KIND_LABELS, "all") else None
    incident = query_params.get("incident") or None
    cited = await _find_line_key(queries, query_params.get("ligne"))
    cursor = query_params.get("suite") or logbook.build_cursor(cited)
    if incident is not None:
        await queries.incident(incident)
    timeline, notes, reference = await asyncio.gather(
        queries.timeline(
            incident=incident,
            kind=("all",) if cited else (kind,) if kind else (),
            texts=True,
            limit=logbook.LINES_SHOWN,
            cursor=cursor,
        ),
        queries.timeline(kind=("note",), texts=True, limit=NOTES_SCANNED),
        queries.reference(),
    )
    _ = get_translator(lang)
    visible_lines = timeline.items if kind or cited else logbook.remove_early_alarms(timeline.items)
    return {
        **build_frame_context(request, shell),
        "lines": logbook.build_rows(visible_lines, notes.items, reference.names, _),
        "early": len(timeline.items) - len(visible_lines),
        "next": timeline.next,
        "kinds": KIND_LABELS,
        "kind": kind,
        "cited": cited,
        "incident_id": incident,
        "incidents": shell.overview.incidents,
        "written": logbook.WRITABLE_KINDS,
        "sources": {code: w.translate_code(world.SOURCE, code, _) for code in world.SOURCE},
        "certainties": ("confirmed", "unconfirmed", "rumour"),
        "newest": cursor is None,
    }


async def _find_line_key(queries: Queries, line: str | None) -> str | None:
    """Return the key of a line, given its key or its id (corrections cite ids).

    Raises NotFound if no recent line has that id.
    """
    if not line or logbook.build_cursor(line) is not None:
        return line
    newest = (await queries.timeline(kind=("all",), limit=LINE_LIMIT)).items
    cited_line = next((one for one in newest if one.id == line), None)
    if cited_line is None:
        raise NotFound
    return logbook.get_line_key(cited_line)


PAGE: Final = WebPage(
    "logbook",
    "/main-courante",
    "logbook.html",
    build_logbook_page,
    N_("Main courante"),
    needs=Permission.LOG_READ,
)
