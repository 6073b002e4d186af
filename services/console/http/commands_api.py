"""Serve the answer to a pending decision under `/api/v1/commands/{id}`."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.console.http.context import DecisionContext, require_decision
from services.console.http.decisions import MAX_WAIT_S, CommandAnswer, CommandDispatcher, get_author
from services.console.http.problems import NotFound, RealmUnknown
from services.console.incidents.titles import write_refusal
from services.console.logbook.queries import build_command_result, names_site
from services.console.resources import CommandResult
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal

router = APIRouter(prefix="/api/v1/commands", tags=["decisions"])


@router.get(
    "/{id}",
    summary=(
        "Show the result of a decision: pending, applied, refused or failed (`Prefer: wait=N`)"
    ),
)
async def get_command(
    id: str,
    request: Request,
    response: Response,
    author: Annotated[DecisionContext, Depends(require_decision(Permission.REPORT_STATUS))],
) -> CommandResult:
    decisions: CommandDispatcher = request.app.state.decisions
    response.headers["Cache-Control"] = "no-store"
    answer = _check_visible(author.principal, await decisions.answers.read(id))
    if answer is None and not decisions.has_issued(id):
        raise NotFound
    if answer is None and not await decisions.answers.under_way(id):
        raise ProblemError("command_gone")
    if answer is None and "wait=" in request.headers.get("prefer", ""):
        with decisions.waits.patience(
            author.principal.id, min(author.wait_s, MAX_WAIT_S)
        ) as patience_s:
            answer = _check_visible(author.principal, await decisions.answers.wait(id, patience_s))
    if answer is not None:
        names = (await author.model.reference()).names if names_site(answer) else None
        return build_command_result(answer, author.lang, names)
    if await _is_closed(author):  # pending when the realm was closed, mostly a step
        code = "realm_closed"
        return CommandResult(
            id=id,
            command_id=id,
            realm=author.realm,
            state="failed",
            code=code,
            detail=write_refusal(code, {}, author.lang),
        )
    return CommandResult(id=id, command_id=id, realm=author.realm, state="pending")


def _check_visible(reader: Principal, answer: CommandAnswer | None) -> CommandAnswer | None:
    """Return the answer if the reader may see its realm and its command.

    Readers without the right to the situation see only their own commands. Raises ProblemError
    `out_of_scope`, NotFound.
    """
    if answer is None:
        return None
    if not reader.sees(answer["realm"]):
        raise ProblemError("out_of_scope", field="realm")
    if not reader.may(Permission.PICTURE_READ) and answer.get("author") != get_author(reader):
        raise NotFound
    return answer


async def _is_closed(author: DecisionContext) -> bool:
    """Return whether the realm is closed; False for one that the read model does not have yet."""
    with suppress(RealmUnknown):
        return (await author.model.realm()).state == "closed"
    return False
