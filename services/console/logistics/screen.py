"""Page `/moyens`: the board of resource requests. Rule D88."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.crisis.resource_requests import OfferState, RequestPriority, RequestState
from services.console.i18n import N_, Translator
from services.console.logistics.api import may_read_words
from services.console.resources import (
    ResourceOffer,
    ResourceRequest,
    ResourceSuggestion,
    StockLevel,
)
from services.console.texts.names import shorten_site_name
from services.console.web.screen_context import ScreenData, ScreenPage, list_site_choices
from services.console.web.shell import ScreenReader
from services.runtime.identity.permissions import Permission

_S = RequestState
COLUMNS: Final = (
    ("waiting", N_("À pourvoir"), (_S.REQUESTED, _S.UNFILLED)),
    ("offered", N_("Réservé, à promettre"), (_S.OFFERED,)),
    ("committed", N_("Promis"), (_S.COMMITTED,)),
    ("en_route", N_("En route"), (_S.EN_ROUTE,)),
    ("in_place", N_("Sur place"), (_S.IN_PLACE,)),
)
"""Key, title and states of each column."""
OVER_SHOWN: Final = 20
"""Ended requests on the board; the CSV has all."""


@dataclass(frozen=True, slots=True)
class BoardColumn:
    key: str
    title: str
    requests: tuple[ResourceRequest, ...]


@dataclass(frozen=True, slots=True)
class RequestRights:
    """Decisions about one request that the account may take, and the offers it may reserve."""

    cancels: bool
    promises: bool
    moves: bool
    suggestions: tuple[ResourceSuggestion, ...]


@dataclass(frozen=True, slots=True)
class GiverScope:
    """Sites and stocks of the account's scope, as the API checks them; partners need no limit."""

    whole: bool
    sites: frozenset[str]
    stocks: frozenset[str]

    def has_site(self, site: str) -> bool:
        return self.whole or site in self.sites

    def may_give(self, givers: Iterable[ResourceOffer | ResourceSuggestion]) -> bool:
        """Return whether every giver is a stock of the scope; True without a limit."""
        return self.whole or all(one.stock in self.stocks for one in givers)


@dataclass(frozen=True, slots=True)
class StockGroup:
    """Stocks of one kind with their sum."""

    kind: str
    name: str
    available: int
    quantity: int
    stocks: tuple[StockLevel, ...]


def build_columns(requests: Sequence[ResourceRequest], _: Translator) -> list[BoardColumn]:
    """Return the columns with their requests, in the order of the list."""
    return [
        BoardColumn(key, _(title), tuple(one for one in requests if one.state in states))
        for key, title, states in COLUMNS
    ]


def list_ended(requests: Sequence[ResourceRequest]) -> list[ResourceRequest]:
    """Return the last requests that were released or cancelled, newest first."""
    over = [one for one in requests if one.state in (_S.RELEASED, _S.CANCELLED)]
    ended_requests = [one for one in over if one.ended_at is not None]
    newest = sorted(ended_requests, key=lambda one: (one.ended_at, one.number), reverse=True)
    return newest[:OVER_SHOWN]


def group_stocks(stocks: Iterable[StockLevel]) -> list[StockGroup]:
    """Group stocks by kind, in the order of the list."""
    groups: dict[str, list[StockLevel]] = {}
    for stock in stocks:
        groups.setdefault(stock.kind, []).append(stock)
    return [
        StockGroup(
            kind,
            kind_stocks[0].kind_name,
            sum(one.available for one in kind_stocks),
            sum(one.quantity for one in kind_stocks),
            tuple(kind_stocks),
        )
        for kind, kind_stocks in groups.items()
    ]


def find_rights(request: ResourceRequest, reader: ScreenReader, scope: GiverScope) -> RequestRights:
    """Return the decisions about a request that the API takes from this reader."""
    gives = reader.may(Permission.RESOURCE_PROMISE)
    own = scope.has_site(request.site)
    open_offers = [one for one in request.offers if one.state is OfferState.OPEN]
    committed = [one for one in request.offers if one.state is OfferState.COMMITTED]
    suggestions = [one for one in request.suggestions or () if gives and scope.may_give([one])]
    return RequestRights(
        cancels=own and reader.may(Permission.RESOURCE_REQUEST),
        promises=gives and bool(open_offers) and scope.may_give(open_offers),
        moves=gives and (own or (bool(committed) and scope.may_give(committed))),
        suggestions=tuple(suggestions),
    )


async def build_resources_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page: requests by state, stocks, the form of a request."""
    lang = x.shell.lang
    principal = x.shell.reader.principal
    requests, stocks = await asyncio.gather(
        x.queries.resource_requests(with_text=may_read_words(principal), with_suggestions=True),
        x.queries.stocks(),
    )
    mine = [site for site in x.sites if x.shell.reader.covers(site)]
    names = x.names
    own_sites = frozenset(site.id for site in mine)
    own_stocks = frozenset(stock.id for stock in stocks if stock.site in own_sites)
    giver_scope = GiverScope(x.shell.reader.whole, own_sites, own_stocks)
    return {
        "rights": {one.id: find_rights(one, x.shell.reader, giver_scope) for one in requests},
        "columns": build_columns(requests, x._),
        "ended": list_ended(requests),
        "stocks": group_stocks(stocks),
        "kinds": [(id, names.resource(id, 2, lang)) for id in names.resource_kinds],
        "people_kinds": [id for id, kind in names.resource_kinds.items() if kind.by_metier],
        "metiers": sorted(
            ((id, names.metier(id, lang)) for id in names.metiers), key=lambda one: one[1]
        ),
        "priorities": list(RequestPriority),
        "places": list_site_choices(mine),
        "asked_place": next(
            (
                (site.id, shorten_site_name(site.name))
                for site in mine
                if site.id == x.request.query_params.get("site")
            ),
            None,
        ),
    }


PAGE: Final = ScreenPage(
    "resources",
    "/moyens",
    "logistics/screen.html",
    build_resources_page,
    N_("Moyens"),
    after="reassignment",
)
