"""Serve the logbook under `/api/v1/log`.

Append-only: a correction is a new line with the id of the line it corrects.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.responses import Response

from services.console.exports.formats import MAP_RESPONSES, MapForm
from services.console.exports.tables import (
    FileNaming,
    build_geojson_response,
    read_all_pages,
    stream_csv_response,
)
from services.console.http.answers import DecisionRouter
from services.console.http.context import (
    Cursor,
    DecisionContext,
    Limit,
    LogReader,
    Multiple,
    require_decision,
)
from services.console.i18n import get_translator
from services.console.logbook.line_table import list_line_columns, list_line_features
from services.console.logbook.notes import Note, add_note
from services.console.resources import KindOfLine, Line, Page
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1/log", tags=["logbook"])


class LogNote(Note):
    incident: str | None = None


@router.get(
    "",
    operation_id="list_log_lines",
    response_model=Page[Line],
    responses=MAP_RESPONSES,
    summary="List lines, newest first; also as CSV and GeoJSON",
)
async def list_lines(
    reader: LogReader,
    kind: Multiple[KindOfLine],
    form: MapForm,
    incident: str | None = None,
    site: str | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Line] | Response:
    async def read(limit: int, after: str | None) -> Page[Line]:
        return await reader.model.timeline(
            incident=incident, site=site, kind=kind, texts=True, limit=limit, cursor=after
        )

    if form == "json":
        return await read(limit, cursor)
    names = (await reader.model.reference()).names
    about = FileNaming(reader.realm, "main-courante", reader.lang)
    if form == "geojson":
        lines = await read_all_pages(read)
        return build_geojson_response(list_line_features(lines, names), about)
    columns = list_line_columns(names, get_translator(reader.lang))
    return await stream_csv_response(columns, read, about)


@router.decision("", "Write a line", operation_id="write_log_line")
async def write_line(
    author: Annotated[DecisionContext, Depends(require_decision(Permission.NOTE_WRITE))],
    body: LogNote,
) -> Response:
    return await add_note(author.within(body), body, body.incident)
