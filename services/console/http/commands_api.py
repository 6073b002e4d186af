"""Serve the answer to a pending decision under `/api/v1/commands/{id}`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.console.http.context import Author, deciding
from services.console.http.decisions import LONGEST_WAIT_S, Answer, Decisions, author_of
from services.console.http.problems import NotFound, RealmUnknown
from services.console.logbook.queries import command_result
from services.console.resources import CommandResult
from services.console.texts import refusal
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal

router = APIRouter(prefix="/api/v1/commands", tags=["decisions"])


@router.get("/{id}", summary="pending, applied, refused or failed; `Prefer: wait=N` waits for it")
async def one(
    id: str,
    request: Request,
    response: Response,
    author: Annotated[Author, Depends(deciding(Permission.REPORT_STATUS))],
) -> CommandResult:
    decisions: Decisions = request.app.state.decisions
    response.headers["Cache-Control"] = "no-store"
    answer = _shown_to(author.principal, await decisions.answers.read(id))
    if answer is None and not decisions.issued(id):
        raise NotFound
    if answer is None and not await decisions.answers.under_way(id):
        raise ProblemError("command_gone")
    if answer is None and "wait=" in request.headers.get("prefer", ""):
        with decisions.waits.patience(
            author.principal.id, min(author.wait_s, LONGEST_WAIT_S)
        ) as patience_s:
            answer = _shown_to(author.principal, await decisions.answers.wait(id, patience_s))
    if answer is not None:
        return command_result(answer, author.lang)
    if await _is_over(author):  # pending when the realm was closed, mostly a step
        code = "realm_closed"
        return CommandResult(
            id=id,
            command_id=id,
            realm=author.realm,
            state="failed",
            code=code,
            detail=refusal(code, {}, author.lang),
        )
    return CommandResult(id=id, command_id=id, realm=author.realm, state="pending")


def _shown_to(reader: Principal, answer: Answer | None) -> Answer | None:
    """Return the answer if the reader may see its realm and its command.

    Readers without the right to the situation see only their own commands. Raises ProblemError
    `out_of_scope`, NotFound.
    """
    if answer is None:
        return None
    if not reader.sees(answer["realm"]):
        raise ProblemError("out_of_scope", field="realm")
    if not reader.may(Permission.PICTURE_READ) and answer.get("author") != author_of(reader):
        raise NotFound
    return answer


async def _is_over(author: Author) -> bool:
    """Return whether the realm is closed; False for one that the read model does not have yet."""
    with suppress(RealmUnknown):
        return (await author.model.realm(author.realm)).state == "closed"
    return False
