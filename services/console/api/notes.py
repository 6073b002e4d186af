"""A line that a person writes in the main courante (D55): the text goes to `texts`, the command carries its id."""

from __future__ import annotations

from fastapi.responses import Response

from schemas.base import Command, Instant
from schemas.commands import AddNote
from services.console.api.answering import answer
from services.console.api.context import Author
from services.console.decisions import Decisions


async def add_note(author: Author, text: str, incident: str | None, corrects: str | None, occurred_at: Instant | None) -> Response:
    """Raises BrokerAway, ProblemError."""
    decisions: Decisions = author.request.app.state.decisions

    def make(by: str, role: str, reason: str | None) -> Command:
        assert reason is not None
        return AddNote(
            author=by, role=role, text_id=reason.removeprefix("text:"), incident=incident, corrects=corrects, occurred_at=occurred_at
        )

    outcome = await decisions.decide(
        "alerts", author.realm, author.principal, make, reason=text, idempotency_key=author.key, wait_s=author.wait_s
    )
    return answer(author.request, outcome, author.lang)
