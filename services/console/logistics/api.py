"""Routes for resource requests and stocks: `/resource-requests` and `/stocks`.

Rule D88, resource requests.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends
from fastapi.responses import Response
from pydantic import AwareDatetime, ConfigDict, Field

from schemas.crisis import resource_requests as res
from schemas.crisis.resource_requests import OfferState
from services.console.exports.formats import TABLE_RESPONSES, TableForm
from services.console.exports.tables import Column, Columns, FileNaming, build_csv_response
from services.console.http.answers import DecisionRouter, Subject, require_text, send_decision
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    Multiple,
    PageRequest,
    RealmReader,
    check_whole_territory,
    is_limited,
    require_decision,
    set_etag,
    to_instant,
)
from services.console.http.scopes import check_incident, check_sites
from services.console.i18n import N_, Translator, get_translator
from services.console.resources import Page, ResourceRequest, StockLevel
from services.console.texts import words as w
from services.runtime.http.problems import ProblemError, build_fault
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal


def list_request_columns(_: Translator) -> Columns[ResourceRequest]:
    """Return the columns of the table of resource requests."""
    return (
        Column(N_("N°"), lambda r: r.number),
        Column(N_("Moyen"), lambda r: r.title),
        Column(N_("Quantité"), lambda r: r.quantity),
        Column(N_("Priorité"), lambda r: w.translate_code(w.REQUEST_PRIORITY, r.priority, _)),
        Column(N_("État"), lambda r: w.translate_code(w.REQUEST_STATE, r.state, _)),
        Column(N_("Site"), lambda r: r.site_name),
        Column(N_("Code du site"), lambda r: r.site),
        Column(N_("Incident"), lambda r: r.incident),
        Column(N_("À partir de (Paris)"), lambda r: r.start),
        Column(N_("Jusqu’à (Paris)"), lambda r: r.until),
        Column(N_("Demandé à (Paris)"), lambda r: r.requested_at),
        Column(N_("Promis"), lambda r: r.committed),
        Column(N_("Promis par"), list_givers),
        Column(N_("Promis à (Paris)"), lambda r: r.committed_at),
        Column(N_("Arrivée annoncée (Paris)"), lambda r: r.eta_at),
        Column(N_("Parti à (Paris)"), lambda r: r.departed_at),
        Column(N_("Sur place à (Paris)"), lambda r: r.arrived_at),
        Column(N_("Terminé à (Paris)"), lambda r: r.ended_at),
        Column(N_("Coût (€)"), lambda r: r.cost_eur),
        Column(N_("En retard depuis (Paris)"), lambda r: r.late_at),
        Column(N_("Non satisfait depuis (Paris)"), lambda r: r.unfilled_at),
        Column(N_("Identifiant"), lambda r: r.id),
    )


def list_givers(request: ResourceRequest) -> list[str]:
    """Return the names of the stocks and partners that gave their promise."""
    return [offer.name for offer in request.offers if offer.state is OfferState.COMMITTED]


def list_stock_columns(_: Translator) -> Columns[StockLevel]:
    """Return the columns of the table of stocks."""
    return (
        Column(N_("Moyen"), lambda s: s.name),
        Column(N_("Nature"), lambda s: s.kind_name),
        Column(N_("Lieu"), lambda s: s.site_name),
        Column(N_("Code du site"), lambda s: s.site),
        Column(N_("Libre"), lambda s: s.available),
        Column(N_("Réservé"), lambda s: s.reserved),
        Column(N_("Engagé"), lambda s: s.engaged),
        Column(N_("En tout"), lambda s: s.quantity),
        Column(N_("Coût unitaire (€)"), lambda s: s.unit_cost_eur),
        Column(N_("Compté à (Paris)"), lambda s: s.counted_at),
        Column(N_("Identifiant"), lambda s: s.id),
    )


router = DecisionRouter(prefix="/api/v1", tags=["logistics"])
Requester = Annotated[DecisionContext, Depends(require_decision(Permission.RESOURCE_REQUEST))]
Giver = Annotated[DecisionContext, Depends(require_decision(Permission.RESOURCE_PROMISE))]
Code = Annotated[str, Field(min_length=1, max_length=64)]
_UNKNOWN_METIER: Final = build_fault(
    "metier",
    "unknown",
    "ce métier n’est pas dans les données de référence",
    "the reference data have no such job family",
)


class ResourceRequestBody(DecisionBody):
    """Resource request of a site. Its words are the `reason`."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, allow_inf_nan=False, populate_by_name=True
    )

    kind: Code = Field(description="kind of resource, as in `moyens.yaml`")
    metier: Code | None = Field(default=None, description="job family, for people")
    quantity: int = Field(ge=1, le=res.MAX_QUANTITY)
    site: Code
    start: AwareDatetime | None = Field(
        default=None, alias="from", description="null: as soon as possible"
    )
    until: AwareDatetime | None = None
    priority: res.RequestPriority = res.RequestPriority.CONTINUITY
    incident: Code | None = None


class OfferBody(DecisionBody):
    """Offer from a stock, which reserves it, or from a partner.

    Without `eta_at` and `cost_eur`, both are estimated.
    """

    stock: Code | None = None
    partner: Code | None = None
    quantity: int | None = Field(default=None, ge=1, le=res.MAX_QUANTITY)
    eta_at: AwareDatetime | None = None
    cost_eur: int | None = Field(default=None, ge=0, le=res.MAX_COST_EUR)
    expires_at: AwareDatetime | None = Field(
        default=None, description="end of the reservation; null: after the time of its kind"
    )


class CommitBody(DecisionBody):
    offers: list[Annotated[str, Field(max_length=128)]] = Field(
        default_factory=list,
        max_length=50,
        description="empty: the best open offers that cover the quantity",
    )
    partial: bool = Field(default=False, description="they may cover less")


class DepartBody(DecisionBody):
    eta_at: AwareDatetime | None = Field(default=None, description="changes the announced arrival")


class CountBody(DecisionBody):
    quantity: int = Field(
        ge=0, le=res.MAX_QUANTITY, description="including what is out of its place now"
    )


def may_read_words(principal: Principal) -> bool:
    """Return whether a reader sees the words of requests, which are free text."""
    return principal.may(Permission.LOG_READ)


@router.get(
    "/resource-requests",
    operation_id="list_resource_requests",
    response_model=Page[ResourceRequest],
    responses=TABLE_RESPONSES,
    summary="Resource requests: open ones first, life first; also as CSV, without their words",
)
async def list_requests(
    reader: RealmReader,
    part: PageRequest,
    state: Multiple[res.RequestState],
    priority: Multiple[res.RequestPriority],
    form: TableForm,
    site: str | None = None,
    kind: str | None = None,
    incident: str | None = None,
) -> Page[ResourceRequest] | Response:
    requests = await reader.model.resource_requests(
        state=state,
        site=site,
        kind=kind,
        priority=priority,
        incident=incident,
        with_text=form == "json" and may_read_words(reader.principal),
    )
    if form == "json":
        return part.of(requests)
    about = FileNaming(reader.realm, "moyens", reader.lang)
    return build_csv_response(list_request_columns(get_translator(reader.lang)), requests, about)


@router.get(
    "/resource-requests/{id}",
    operation_id="get_resource_request",
    summary="One request with the offers that could be made; its ETag is for If-Match",
)
async def get_request(reader: RealmReader, id: str, response: Response) -> ResourceRequest:
    resource_request = await reader.model.resource_request(
        id, with_text=may_read_words(reader.principal)
    )
    set_etag(response, resource_request.version)
    return resource_request


@router.get(
    "/stocks",
    response_model=Page[StockLevel],
    responses=TABLE_RESPONSES,
    summary="Stocks with what is free, reserved and engaged; also as CSV",
)
async def list_stocks(
    reader: RealmReader,
    part: PageRequest,
    form: TableForm,
    kind: str | None = None,
    site: str | None = None,
) -> Page[StockLevel] | Response:
    stock_levels = [
        one
        for one in await reader.model.stocks()
        if kind in (None, one.kind) and site in (None, one.site)
    ]
    if form == "json":
        return part.of(stock_levels)
    about = FileNaming(reader.realm, "stocks", reader.lang)
    return build_csv_response(list_stock_columns(get_translator(reader.lang)), stock_levels, about)


async def _check_givers(author: DecisionContext, stocks: Iterable[str | None]) -> None:
    """Refuse stocks outside the author's scope; a partner belongs to the whole territory."""
    if not is_limited(author.principal):
        return
    stocks_by_id = (await author.model.reference()).resources.stocks
    for stock in stocks:
        if stock is None:
            check_whole_territory(author.principal, "partner")
        elif stock in stocks_by_id:
            await check_sites(author, [stocks_by_id[stock].site], "stock")
        else:
            check_whole_territory(author.principal, "stock")


async def _check_offers(
    author: DecisionContext, body: DecisionBody | None, id: str, offer_ids: tuple[str, ...]
) -> None:
    """Refuse to commit offers of stocks outside the author's scope."""
    if not is_limited(author.principal):
        return
    within = author.within(body)
    resource_request = await within.model.resource_request(id)
    stocks = [
        offer.stock
        for offer in resource_request.offers
        if offer.id in offer_ids or (not offer_ids and offer.state is res.OfferState.OPEN)
    ]
    await _check_givers(within, stocks or [None])


async def _check_either_end(author: DecisionContext, id: str) -> None:
    """Admit the site that asked and the holders of everything that is committed."""
    if not is_limited(author.principal):
        return
    resource_request = await author.model.resource_request(id)
    try:
        await check_sites(author, [resource_request.site], "site")
    except ProblemError:
        stocks = [o.stock for o in resource_request.offers if o.state is res.OfferState.COMMITTED]
        if not stocks:
            raise
        await _check_givers(author, stocks)


def _to_instant(at: datetime | None) -> int | None:
    return None if at is None else to_instant(at)


REQUEST = Subject(
    router, "/resource-requests/{id}", "request", Giver, _check_either_end, "continuity"
)


@router.decision("/resource-requests", "Request a resource for a site")
async def request_resource(author: Requester, body: ResourceRequestBody) -> Response:
    within = author.within(body)
    await check_sites(within, [body.site], "site")
    if body.metier is not None:
        metiers = (await within.model.reference()).names.metiers
        if metiers and body.metier not in metiers:
            raise ProblemError("invalid", faults=(_UNKNOWN_METIER,))
    if body.incident is not None:
        await check_incident(within, body.incident)
    return await send_decision(
        author,
        body,
        "continuity",
        res.RequestResource,
        resource=body.kind,
        needed_from=_to_instant(body.start),
        needed_until=_to_instant(body.until),
    )


@router.decision(
    "/resource-requests/{id}:offer",
    "Offer from a stock, which reserves it, or from a partner",
    versioned=True,
)
async def offer_resource(author: Giver, id: str, body: OfferBody) -> Response:
    await _check_givers(author.within(body), [body.stock])
    return await send_decision(author, body, "continuity", res.OfferResource, request=id)


@router.decision("/resource-requests/{id}:commit", "Commit offers: the promise", versioned=True)
async def commit_resource(author: Giver, id: str, body: CommitBody | None = None) -> Response:
    offer_ids = tuple(body.offers) if body else ()
    await _check_offers(author, body, id, offer_ids)
    return await send_decision(
        author, body, "continuity", res.CommitResource, request=id, offers=offer_ids
    )


@router.decision("/resource-requests/{id}:depart", "The resource has left", versioned=True)
async def depart_resource(author: Giver, id: str, body: DepartBody | None = None) -> Response:
    await _check_either_end(author.within(body), id)
    eta = _to_instant(body.eta_at) if body else None
    return await send_decision(
        author, body, "continuity", res.DepartResource, request=id, eta_at=eta
    )


REQUEST.forward(":arrive", "The resource is in place", res.ArriveResource, versioned=True)
REQUEST.forward(
    ":release", "The resource goes back, or it was used up", res.ReleaseResource, versioned=True
)


@router.decision(
    "/resource-requests/{id}:cancel", "Cancel a request, with a reason", versioned=True
)
async def cancel_resource(author: Requester, id: str, body: DecisionBody) -> Response:
    if is_limited(author.principal):
        within = author.within(body)
        resource_request = await within.model.resource_request(id)
        await check_sites(within, [resource_request.site], "site")
    require_text(body.reason)
    return await send_decision(author, body, "continuity", res.CancelResource, request=id)


@router.decision("/stocks/{id}:count", "Record a count of a stock, by hand")
async def count_stock(author: Giver, id: str, body: CountBody) -> Response:
    await _check_givers(author.within(body), [id])
    return await send_decision(author, body, "continuity", res.CountStock, stock=id)
