"""Resource requests with their deadlines and messages, and the levels of stocks. Rule D88."""

from collections.abc import Iterable
from typing import Any, Literal

from schemas import reference as ref
from schemas.alerts import AttentionRequested
from schemas.base import MINUTE_MS, Instant
from schemas.crisis.resource_requests import (
    ARROWS,
    MOVING_STATES,
    WAITING_STATES,
    OfferRow,
    OfferState,
    RequestPriority,
    RequestState,
    ResourceRequestChanged,
    ResourceRequestRow,
    StockChanged,
    StockRow,
)
from services.continuity.deadlines import RequestDue
from services.continuity.decision import ContinuityDecision
from services.continuity.reassignment.site_conditions import find_ordered_sites
from services.logistics import Need

AttentionCode = Literal[
    "resource_unanswered",
    "resource_unfilled",
    "resource_late",
    "resource_expired",
    "resource_return",
    "resource_stopped",
    "resource_resumed",
]


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


def build_need(row: ResourceRequestRow, quantity: int | None = None) -> Need:
    """Return the need behind a request, or behind a part of its quantity."""
    return Need(
        row.kind,
        row.metier,
        row.quantity if quantity is None else quantity,
        row.site,
        row.needed_from,
        row.needed_until,
        row.priority,
    )


def record_request(
    draft: ContinuityDecision, row: ResourceRequestRow, change: str, **changes: Any
) -> ResourceRequestRow:
    """Record a changed request and set its next deadline.

    Raises ValueError for a state that may not follow the one before.
    """
    new_row = row.model_copy(update=changes)
    before = draft.state.requests.get(row.id)
    if before is not None and new_row.state not in ARROWS[before.state] | {before.state}:
        raise ValueError(f"no arrow leads from {before.state} to {new_row.state}")
    draft.emit(ResourceRequestChanged(row=new_row, change=change))
    draft.arm(RequestDue(row.id), find_next_deadline(new_row))
    return new_row


def find_next_deadline(row: ResourceRequestRow) -> Instant | None:
    """Return the next instant when a request changes by itself; None: never."""
    times: list[Instant | None] = [offer.expires_at for offer in row.open_offers]
    if row.state in WAITING_STATES:
        times.append(row.remind_at)
        if row.unfilled_at is None:
            times.append(find_unfilled_time(row))
    elif row.state in MOVING_STATES and row.late_at is None:
        times.append(row.eta_at)
    elif is_awaited_back(row):
        times.append(row.needed_until)
    return min((at for at in times if at is not None), default=None)


def find_unfilled_time(row: ResourceRequestRow) -> Instant | None:
    """Return when a request is unfilled without a promise: its start, else its end.

    One that was needed at once has no start to miss.
    """
    if row.needed_from is not None and row.needed_from > row.requested_at:
        return row.needed_from
    return row.needed_until


def on_request_due(draft: ContinuityDecision, id: str) -> None:
    """Apply every deadline of a request that has passed; after a stall, several at once."""
    row = draft.state.requests.get(id)
    if row is None:
        return
    row = expire_offers(draft, row)
    row = _mark_unfilled(draft, row)
    row = _remind_cell(draft, row)
    row = _mark_late(draft, row)
    row = _mark_return_due(draft, row)
    draft.arm(RequestDue(id), find_next_deadline(row))


def expire_offers(draft: ContinuityDecision, row: ResourceRequestRow) -> ResourceRequestRow:
    """Return expired reservations to their stocks; without another offer the request waits."""
    expired_offers = [offer for offer in row.open_offers if offer.expires_at <= draft.now]
    if not expired_offers:
        return row
    row = withdraw_offers(draft, row, expired_offers, OfferState.EXPIRED, "expired")
    if not row.open_offers and row.state in WAITING_STATES:
        alert_cell(draft, row, "resource_expired")
    return row


def withdraw_offers(
    draft: ContinuityDecision,
    row: ResourceRequestRow,
    offers: list[OfferRow],
    state: OfferState,
    change: str,
) -> ResourceRequestRow:
    """Return open offers to their stocks; a request without another offer waits again."""
    free_reservations(draft, offers)
    is_last = len(offers) == len(row.open_offers) and row.state is RequestState.OFFERED
    return record_request(
        draft,
        row,
        change,
        offers=close_offers(row.offers, offers, state),
        state=_get_waiting_state(row) if is_last else row.state,
    )


def _get_waiting_state(row: ResourceRequestRow) -> RequestState:
    return RequestState.REQUESTED if row.unfilled_at is None else RequestState.UNFILLED


def close_offers(
    offers: tuple[OfferRow, ...], closed_offers: list[OfferRow], state: OfferState
) -> tuple[OfferRow, ...]:
    """Return the offers with the closed ones in this state."""
    ids = {offer.id for offer in closed_offers}
    return tuple(
        offer.model_copy(update={"state": state}) if offer.id in ids else offer for offer in offers
    )


def _mark_unfilled(draft: ContinuityDecision, row: ResourceRequestRow) -> ResourceRequestRow:
    unfilled_at = find_unfilled_time(row)
    waiting = row.state in WAITING_STATES and row.unfilled_at is None
    if not waiting or unfilled_at is None or unfilled_at > draft.now:
        return row
    row = record_request(draft, row, "unfilled", state=RequestState.UNFILLED, unfilled_at=draft.now)
    alert_cell(draft, row, "resource_unfilled")
    return row


def _remind_cell(draft: ContinuityDecision, row: ResourceRequestRow) -> ResourceRequestRow:
    if row.state not in WAITING_STATES or row.remind_at is None or row.remind_at > draft.now:
        return row
    return alert_unanswered(draft, row, "reminded")


def alert_unanswered(
    draft: ContinuityDecision, row: ResourceRequestRow, change: str
) -> ResourceRequestRow:
    """Tell the cell of a request for life that nobody has promised, and plan the next reminder."""
    row = record_request(
        draft,
        row,
        change,
        reminders=row.reminders + 1,
        remind_at=draft.now + draft.bia.resources.rules.remind_min * MINUTE_MS,
    )
    alert_cell(draft, row, "resource_unanswered")
    return row


def _mark_late(draft: ContinuityDecision, row: ResourceRequestRow) -> ResourceRequestRow:
    is_awaited = row.state in MOVING_STATES and row.late_at is None and row.eta_at is not None
    if not is_awaited or row.eta_at is None or row.eta_at > draft.now:
        return row
    row = record_request(draft, row, "late", late_at=row.eta_at)
    alert_cell(draft, row, "resource_late")
    return row


def is_awaited_back(row: ResourceRequestRow) -> bool:
    """Return whether a resource is in place and will be missed after its time."""
    return row.state is RequestState.IN_PLACE and not row.used_up and row.return_due_at is None


def _mark_return_due(draft: ContinuityDecision, row: ResourceRequestRow) -> ResourceRequestRow:
    over = row.needed_until is not None and row.needed_until <= draft.now
    if not (over and is_awaited_back(row)):
        return row
    row = record_request(draft, row, "return_due", return_due_at=row.needed_until)
    alert_cell(draft, row, "resource_return")
    return row


def is_reminded(row: ResourceRequestRow) -> bool:
    """Return whether the cell is told again of a request while nobody promises anything."""
    return row.priority is RequestPriority.LIFE


def is_barred(draft: ContinuityDecision, stock: str | None) -> bool:
    """Return whether an order stands at the site of a stock, or for its area. D78 and D102."""
    listed_stock = draft.bia.resources.stocks.get(stock or "")
    if listed_stock is None:
        return False
    site = draft.state.sites.get(listed_stock.site)
    is_ordered = site is not None and site.is_barred
    return is_ordered or listed_stock.site in find_ordered_sites(draft.state)


def on_order_given(draft: ContinuityDecision, site: str) -> None:
    """Stop resources from or to a site with an order to leave or to shelter, or inside its area.

    Open offers of its stocks go back. The cell is told of each request that loses its last offer,
    and of promises from or to the site. Rules D78, D88 and D102.
    """
    for id in sorted(draft.state.requests):
        row = draft.state.requests[id]
        barred_offers = [offer for offer in row.open_offers if _leaves(draft, offer, site)]
        if barred_offers:
            row = withdraw_offers(draft, row, barred_offers, OfferState.WITHDRAWN, "stopped")
        lost = bool(barred_offers) and not row.open_offers and row.state in WAITING_STATES
        if lost or _is_bound(draft, row, site):
            alert_cell(draft, row, "resource_stopped", barred=site)


def on_order_ended(draft: ContinuityDecision, site: str) -> None:
    """Tell the cell of the end of an order at a site, or for its area, where it matters.

    That is each request that lost an offer of its stocks and still waits for one, and each promise
    from or to the site. Rules D78, D88 and D102.
    """
    for id in sorted(draft.state.requests):
        row = draft.state.requests[id]
        is_waiting = row.state in WAITING_STATES and not row.open_offers
        has_lost_offer = is_waiting and any(
            offer.state is OfferState.WITHDRAWN and _leaves(draft, offer, site)
            for offer in row.offers
        )
        if has_lost_offer or _is_bound(draft, row, site):
            alert_cell(draft, row, "resource_resumed", barred=site)


def _leaves(draft: ContinuityDecision, offer: OfferRow, site: str) -> bool:
    """Return whether an offer comes from a stock of a site."""
    return draft.bia.resources.get_site(offer.stock) == site


def _is_bound(draft: ContinuityDecision, row: ResourceRequestRow, site: str) -> bool:
    """Return whether a resource is promised from a site, or promised to it or on its way there."""
    is_from = any(_leaves(draft, offer, site) for offer in row.committed_offers)
    is_to = row.state in MOVING_STATES and row.site == site
    return is_to or (row.state is RequestState.COMMITTED and is_from)


def alert_cell(
    draft: ContinuityDecision,
    row: ResourceRequestRow,
    code: AttentionCode,
    *,
    barred: str | None = None,
) -> None:
    """Demand attention from the roles of the cell and the pilots of the level."""
    roles = draft.bia.resources.rules.cell_roles
    pilots = draft.bia.pilots(draft.state.level)
    site = draft.bia.sites.get(row.site)
    draft.emit(
        AttentionRequested(
            code=code,
            roles=tuple(dict.fromkeys((*roles, *pilots))),
            pole=site.pole if site is not None else None,
            site=row.site,
            limit_at=row.eta_at if code == "resource_late" else row.needed_from,
            incident=row.incident,
            request=row.id,
            resource=row.kind,
            quantity=row.quantity,
            barred=barred,
        )
    )
