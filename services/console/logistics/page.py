"""Board of resource requests: columns by state, stocks by kind. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.crisis.resource_requests import RequestState
from services.console.i18n import N_, Translator
from services.console.resources import ResourceRequest, StockLevel

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
    ended = [one for one in over if one.ended_at is not None]
    newest = sorted(ended, key=lambda one: (one.ended_at, one.number), reverse=True)
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
