"""Add a note of a person to the logbook: the text goes to `texts`, the command carries its id.

Rule D55.
"""

from __future__ import annotations

from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.commands import AddNote
from schemas.words import Certainty, LineKind
from services.console.http.answers import require_text, send_text
from services.console.http.context import DecisionBody, DecisionContext, to_instant
from services.console.http.scopes import check_incident


class Note(DecisionBody):
    text: str = Field(min_length=1, max_length=4000)
    corrects: str | None = Field(
        default=None, max_length=64, description="id of the line that this one corrects"
    )
    occurred_at: AwareDatetime | None = Field(
        default=None, description="time of the event, for a line typed later; default: now"
    )
    kind: LineKind = LineKind.NOTE
    source: str | None = Field(
        default=None,
        max_length=64,
        pattern="^[a-z0-9_.-]+$",
        description="kind of source of the line, as in reports",
    )
    certainty: Certainty | None = None


async def add_note(author: DecisionContext, body: Note, incident: str | None) -> Response:
    """Write the note; one without an incident needs no scope. Raises BrokerAway, ProblemError."""
    require_text(body.text, "text")
    if incident is not None:
        await check_incident(author, incident)
    return await send_text(
        author,
        "alerts",
        AddNote,
        body.text,
        incident=incident,
        corrects=body.corrects,
        occurred_at=to_instant(body.occurred_at) if body.occurred_at else None,
        kind=body.kind,
        source=body.source,
        certainty=body.certainty,
    )
