"""Routes for legal deadlines: `/obligations`, `/obligation-rules`, also as CSV. Rule D92.

References of receipts and reasons go to the encrypted texts; commands carry their ids.
"""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.crisis.obligations import (
    DismissObligation,
    FulfilObligation,
    ObligationState,
    StartObligation,
)
from services.console.exports.formats import TABLE_RESPONSES, TableForm
from services.console.exports.tables import (
    Column,
    Columns,
    FileNaming,
    build_csv_response,
    read_all_pages,
)
from services.console.http.answers import (
    DecisionRouter,
    Subject,
    require_text,
    send_decision,
    send_text,
)
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Limit,
    LogReader,
    Multiple,
    PageRequest,
    require_decision,
    set_etag,
)
from services.console.http.scopes import check_incident
from services.console.i18n import N_, Translator, get_translator
from services.console.obligations.queries import DeclarationDraft, ObligationClock, ObligationRule
from services.console.resources import Page
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1", tags=["obligations"])
Decider = Annotated[DecisionContext, Depends(require_decision(Permission.INCIDENT_DECIDE))]


def list_clock_columns(names: TerritoryNames, _: Translator) -> Columns[ObligationClock]:
    return (
        Column(N_("Obligation"), lambda c: c.title),
        Column(N_("Fondement"), lambda c: c.basis),
        Column(N_("Autorité"), lambda c: c.authority),
        Column(N_("Rôle"), lambda c: w.name_role(c.role, None, names, _)),
        Column(N_("État"), lambda c: w.translate_code(w.OBLIGATION_STATE, c.state, _)),
        Column(N_("En retard"), lambda c: c.late),
        Column(N_("Connu depuis (Paris)"), lambda c: c.known_at),
        Column(N_("Limite (Paris)"), lambda c: c.due_at),
        Column(N_("Déclaré à (Paris)"), lambda c: c.declared_at),
        Column(N_("Accusé de réception ou raison"), lambda c: c.words),
        Column(N_("Incident"), lambda c: c.incident),
        Column(N_("Identifiant"), lambda c: c.id),
    )


class NewClock(DecisionBody):
    """An obligation of an incident, and the time when the matter became known."""

    obligation: str = Field(min_length=1, max_length=64)
    incident: str = Field(min_length=1, max_length=64)
    known_at: AwareDatetime


class Declaration(DecisionBody):
    """The proof of a declaration. The receipt is encrypted and can be erased."""

    receipt: str = Field(
        min_length=1, max_length=300, description="reference number of the receipt, or its place"
    )
    declared_at: AwareDatetime | None = Field(default=None, description="now when absent")


@router.get(
    "/obligations",
    response_model=Page[ObligationClock],
    responses=TABLE_RESPONSES,
    summary="List the clocks of legal deadlines: those that run first; also as CSV",
)
async def list_obligations(
    reader: LogReader,
    state: Multiple[ObligationState],
    form: TableForm,
    incident: str | None = None,
    late: Annotated[
        bool | None, Query(description="past the limit, or declared after it; false: the others")
    ] = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[ObligationClock] | Response:
    async def read(limit: int, after: str | None) -> Page[ObligationClock]:
        return await reader.model.obligations(
            state=state, incident=incident, late=late, limit=limit, cursor=after
        )

    if form == "json":
        return await read(limit, cursor)
    names = (await reader.model.reference()).names
    columns = list_clock_columns(names, get_translator(reader.lang))
    about = FileNaming(reader.realm, "echeances", reader.lang)
    return build_csv_response(columns, await read_all_pages(read), about)


@router.get("/obligation-rules", summary="List the legal obligations of the territory")
async def list_obligation_rules(reader: LogReader, part: PageRequest) -> Page[ObligationRule]:
    return part.of(await reader.model.obligation_rules())


@router.get("/obligations/{id}", summary="Show one clock; its ETag is the version for If-Match")
async def get_obligation(reader: LogReader, id: str, response: Response) -> ObligationClock:
    obligation = await reader.model.obligation(id)
    set_etag(response, obligation.version)
    return obligation


@router.get(
    "/obligations/{id}/draft",
    summary="Show the draft of a declaration with the facts of its incident, in French",
)
async def get_declaration_draft(reader: LogReader, id: str) -> DeclarationDraft:
    return await reader.model.declaration_draft(id)


async def check_clock_scope(author: DecisionContext, id: str) -> None:
    """Refuse a clock of an incident outside the author's scope.

    A clock without an incident belongs to the whole territory. Raises NotFound.
    """
    if author.principal.scope.sites or author.principal.scope.poles:
        obligation = await author.model.obligation(id)
        await check_incident(author, obligation.incident)


CLOCK = Subject(router, "/obligations/{id}", "clock", Decider, check_clock_scope)


@router.decision(
    "/obligations",
    "Start the clock of an obligation in an incident; its id is `clock` of the result",
)
async def start_clock(author: Decider, body: NewClock) -> Response:
    author = author.within(body)
    await check_incident(author, body.incident)
    return await send_decision(author, body, "alerts", StartObligation)


@router.decision(
    "/obligations/{id}:done",
    "End a clock with the time and the receipt of the declaration",
    versioned=True,
)
async def fulfil_obligation(author: Decider, id: str, body: Declaration) -> Response:
    author = author.within(body)
    await check_clock_scope(author, id)
    return await send_text(
        author,
        body,
        "alerts",
        FulfilObligation,
        require_text(body.receipt, "receipt").strip(),
        clock=id,
    )


CLOCK.forward(
    ":dismiss",
    "End a clock that does not apply, with a reason",
    DismissObligation,
    needs_reason=True,
    versioned=True,
)
