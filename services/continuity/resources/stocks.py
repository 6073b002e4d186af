"""Levels of stocks: reserved, engaged, used and counted quantities. Rule D88."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from schemas import reference as ref
from schemas.crisis.resource_requests import OfferRow, StockChanged, StockRow
from services.continuity.decision import ContinuityDecision


def get_stock_row(draft: ContinuityDecision, stock: ref.Stock) -> StockRow:
    """Return the level of a listed stock; one that nobody touched is whole."""
    stock_row = draft.state.stocks.get(stock.id)
    if stock_row is not None:
        return stock_row
    return StockRow(
        id=stock.id, kind=stock.kind, site=stock.site, listed=stock.quantity, changed_at=draft.now
    )


def count_available(draft: ContinuityDecision, stock: ref.Stock) -> int:
    """Return the quantity of a stock that nobody has reserved or engaged."""
    return get_stock_row(draft, stock).available


def _record_level(
    draft: ContinuityDecision, row: StockRow, change: str, **changes: Any
) -> StockRow:
    new_row = row.model_copy(update={"changed_at": draft.now} | changes)
    draft.emit(StockChanged(row=new_row, change=change))
    return new_row


def reserve_stock(draft: ContinuityDecision, stock: ref.Stock, quantity: int) -> None:
    """Reserve a quantity for an offer. The caller has checked that it is available."""
    row = get_stock_row(draft, stock)
    _record_level(draft, row, "reserved", reserved=row.reserved + quantity)


def free_reservations(draft: ContinuityDecision, offers: Iterable[OfferRow]) -> None:
    """Return the quantities of open offers to their stocks."""
    for offer in offers:
        if offer.stock is not None and (row := draft.state.stocks.get(offer.stock)) is not None:
            _record_level(draft, row, "freed", reserved=max(row.reserved - offer.quantity, 0))


def engage_stock(draft: ContinuityDecision, offer: OfferRow, quantity: int) -> None:
    """Turn the reservation of an offer into a promise; the rest of it becomes free."""
    if offer.stock is None or (row := draft.state.stocks.get(offer.stock)) is None:
        return
    _record_level(
        draft,
        row,
        "engaged",
        reserved=max(row.reserved - offer.quantity, 0),
        engaged=row.engaged + quantity,
    )


def return_to_stock(draft: ContinuityDecision, offers: Iterable[OfferRow]) -> None:
    """Return the promised quantities to their stocks."""
    for offer in offers:
        if offer.stock is not None and (row := draft.state.stocks.get(offer.stock)) is not None:
            _record_level(draft, row, "freed", engaged=max(row.engaged - offer.quantity, 0))


def use_up(draft: ContinuityDecision, offers: Iterable[OfferRow]) -> None:
    """Take the promised quantities out of their stocks for good."""
    for offer in offers:
        if offer.stock is not None and (row := draft.state.stocks.get(offer.stock)) is not None:
            _record_level(
                draft,
                row,
                "used",
                engaged=max(row.engaged - offer.quantity, 0),
                adjusted=row.adjusted - offer.quantity,
            )


def record_count(
    draft: ContinuityDecision, stock: ref.Stock, quantity: int, author: str
) -> StockRow:
    """Record a count: the whole quantity, wherever it is now."""
    row = get_stock_row(draft, stock)
    return _record_level(
        draft,
        row,
        "counted",
        listed=stock.quantity,
        adjusted=quantity - stock.quantity,
        counted_at=draft.now,
        counted_by=author,
    )


def relist_stocks(draft: ContinuityDecision) -> None:
    """Apply the quantities of a new reference version: a changed quantity is a new count."""
    stocks = draft.bia.resources.stocks
    for id in sorted(draft.state.stocks):
        row, stock = draft.state.stocks[id], stocks.get(id)
        quantity = stock.quantity if stock is not None else 0
        if quantity != row.listed:
            _record_level(draft, row, "relisted", listed=quantity, adjusted=0)
