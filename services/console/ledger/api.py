"""Routes for the ledger: `/ledger`, `/ledger-totals`, `/ledger-document`. Rule D93."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from services.console.documents.document import Document
from services.console.documents.formats import (
    DOCUMENT_RESPONSES,
    DocumentFormat,
    make_document_response,
)
from services.console.exports.formats import CSV, choose_form
from services.console.exports.tables import (
    ODS,
    Column,
    Columns,
    FileNaming,
    build_csv_response,
    build_ods_response,
    read_all_pages,
)
from services.console.http.context import Cursor, Limit, LogReader
from services.console.http.fair_queue import ExpensiveWork
from services.console.i18n import N_, Translator, get_translator
from services.console.ledger.lines import CostKind
from services.console.ledger.queries import LedgerFilter
from services.console.ledger.resources import COST_KIND, COST_UNIT, LedgerLine, LedgerTotals
from services.console.resources import Page
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames


def list_ledger_columns(names: TerritoryNames, _: Translator) -> Columns[LedgerLine]:
    return (
        Column(N_("Date (Paris)"), lambda line: line.at),
        Column(N_("Nature"), lambda line: w.translate_code(COST_KIND, line.kind, _)),
        Column(N_("Objet"), lambda line: line.what),
        Column(N_("Quantité"), lambda line: line.quantity),
        Column(N_("Unité"), lambda line: w.translate_code(COST_UNIT, line.unit, _)),
        Column(N_("Prix unitaire (€)"), lambda line: line.unit_price_eur),
        Column(N_("Montant (€)"), lambda line: line.amount_eur),
        Column(N_("Prix provisoire"), lambda line: line.draft),
        Column(N_("Incident"), lambda line: line.incident),
        Column(N_("Pôle"), lambda line: names.pole(line.pole, _.lang) if line.pole else None),
        Column(N_("Site"), lambda line: names.site(line.site) if line.site else None),
        Column(
            N_("Dossiers d’assurance"),
            lambda line: [names.obligation(claim, _.lang) for claim in line.claims],
        ),
        Column(N_("Source à la main courante"), lambda line: line.source),
    )


router = APIRouter(prefix="/api/v1", tags=["ledger"])
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {
            CSV: {"schema": {"type": "string"}},
            ODS: {"schema": {"type": "string", "format": "binary"}},
        }
    }
}


def _choose_filter(
    incident: Annotated[str | None, Query(max_length=64)] = None,
    pole: Annotated[str | None, Query(max_length=64)] = None,
    kind: CostKind | None = None,
    claim: Annotated[
        str | None, Query(max_length=64, description="obligation: a declaration to an insurer")
    ] = None,
) -> LedgerFilter:
    return LedgerFilter(incident, pole, kind, claim)


Choice = Annotated[LedgerFilter, Depends(_choose_filter)]


@router.get(
    "/ledger",
    response_model=Page[LedgerLine],
    responses=_RESPONSES,
    summary="List the costs with their sources in the log; also as CSV and ODS",
)
async def list_ledger(
    reader: LogReader,
    request: Request,
    choice: Choice,
    form: Annotated[
        Literal["json", "csv", "ods"] | None,
        Query(alias="format", description="csv, ods: the whole list as a table"),
    ] = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[LedgerLine] | Response:
    async def read(limit: int, after: str | None) -> Page[LedgerLine]:
        return await reader.model.ledger(choice, limit=limit, cursor=after)

    form = form or (
        "csv" if choose_form(request.headers.get("accept"), ("csv",)) == "csv" else None
    )
    if form in (None, "json"):
        return await read(limit, cursor)
    names = (await reader.model.reference()).names
    columns = list_ledger_columns(names, get_translator(reader.lang))
    about = FileNaming(reader.realm, "depenses", reader.lang)
    build = build_ods_response if form == "ods" else build_csv_response
    return build(columns, await read_all_pages(read), about)


@router.get("/ledger-totals", summary="Show the sums of the ledger by kind, incident, pôle, claim")
async def get_ledger_totals(reader: LogReader, choice: Choice) -> LedgerTotals:
    return await reader.model.ledger_totals(choice)


@router.get(
    "/ledger-document",
    response_model=Document,
    responses=DOCUMENT_RESPONSES,
    summary="Show the ledger as a document to print",
)
async def get_ledger_document(
    reader: LogReader, request: Request, choice: Choice, form: DocumentFormat = "json"
) -> Response:
    langs = ("fr", "en") if form == "json" else (reader.lang,)
    costs: ExpensiveWork = request.app.state.costs
    async with costs.documents.hold_place(reader.principal.id):
        document = await reader.model.draft_ledger(choice, langs=langs)
        return await make_document_response(
            request, document, form, reader.lang, name=f"depenses-{reader.realm}"
        )
