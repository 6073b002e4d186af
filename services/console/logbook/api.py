"""Serve the logbook under `/api/v1/log`.

Append-only: a correction is a new line with the id of the line it corrects.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from services.console.http.answers import RESPONSES
from services.console.http.context import (
    Cursor,
    DecisionContext,
    Limit,
    LogReader,
    Multiple,
    require_decision,
)
from services.console.logbook.notes import Note, add_note
from services.console.resources import KindOfLine, Line, Page
from services.runtime.identity.permissions import Permission

router = APIRouter(prefix="/api/v1/log", tags=["main courante"])


class LogNote(Note):
    incident: str | None = None


@router.get("", summary="List lines, newest first")
async def list_lines(
    reader: LogReader,
    kind: Multiple[KindOfLine],
    incident: str | None = None,
    site: str | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Line]:
    return await reader.model.timeline(
        reader.realm,
        as_of=reader.as_of,
        lang=reader.lang,
        incident=incident,
        site=site,
        kind=kind,
        texts=True,
        limit=limit,
        cursor=cursor,
    )


@router.post("", responses=RESPONSES, summary="Write a line")
async def write_line(
    author: Annotated[DecisionContext, Depends(require_decision(Permission.NOTE_WRITE))],
    body: LogNote,
) -> Response:
    return await add_note(author.within(body), body, body.incident)
