"""Decisions about resource requests and stocks. Rule D88, resource requests.

An offer from a stock reserves its quantity, and only open offers are committed. One decider per
realm decides in one order, so nothing is promised twice.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.base import MINUTE_MS, Command, Instant
from schemas.crisis import resource_requests as res
from schemas.ranks import may_act, may_count
from services.continuity import resources
from services.continuity import resources as req
from services.continuity.decision import ContinuityDecision
from services.logistics import Suggestion, estimate_partner_offer, estimate_stock_offer, rank_offers
from services.runtime.decider.command_checks import check_version, get_row, require_reason
from services.runtime.decider.protocol import CommandResult, RefusedCommand

MAX_OPEN_REQUESTS: Final = 2_000
MAX_OFFERS: Final = 40
"""Offers of one request, closed ones included: a row stays small."""
_State = res.RequestState


def _find_request(
    draft: ContinuityDecision, command: res.ResourceCommand
) -> res.ResourceRequestRow:
    row = get_row(draft.state.requests, command.request, "request_not_found")
    check_version(row, command.expected)
    return row


def _require_state(row: res.ResourceRequestRow, *states: res.RequestState) -> None:
    if row.state not in states:
        raise RefusedCommand(409, "request_state", request=row.id, state=row.state.value)


def _require_worker(command: Command) -> None:
    if not may_act(command.role):
        raise RefusedCommand(403, "not_allowed", role=command.role)


def _record(
    draft: ContinuityDecision,
    command: Command,
    row: res.ResourceRequestRow,
    change: str,
    **changes: Any,
) -> res.ResourceRequestRow:
    """Record a person's change of a request, as its next version."""
    version = row.version + 1
    return req.record_request(draft, row, change, **changes, version=version, by=command.author)


def _describe(row: res.ResourceRequestRow) -> CommandResult:
    return {
        "request": row.id,
        "number": row.number,
        "state": row.state.value,
        "version": row.version,
    }


def request_resource(draft: ContinuityDecision, command: res.RequestResource) -> CommandResult:
    """Request a resource for a site. The cell is told at once of a request for life."""
    if not may_count(command.role):
        raise RefusedCommand(403, "not_allowed", role=command.role)
    _check_request(draft, command)
    row = res.ResourceRequestRow(
        id=draft.derive("request", 0),
        number=draft.state.request_count + 1,
        kind=command.resource,
        metier=command.metier,
        quantity=command.quantity,
        site=command.site,
        needed_from=command.needed_from,
        needed_until=command.needed_until,
        priority=command.priority,
        state=_State.REQUESTED,
        incident=command.incident,
        text_id=_get_text_id(command.reason),
        requested_at=draft.now,
        requested_by=command.author,
        requested_role=command.role,
        by=command.author,
    )
    if req.is_reminded(row):
        row = req.alert_unanswered(draft, row, "requested")
    else:
        row = req.record_request(draft, row, "requested")
    return _describe(row)


def _get_text_id(reason: str | None) -> str | None:
    text = reason is not None and reason.startswith("text:")
    return reason.removeprefix("text:") if reason is not None and text else None


def _check_request(draft: ContinuityDecision, command: res.RequestResource) -> None:
    """Raise Refused for a request that nobody could fill."""
    kind = draft.bia.resources.kinds.get(command.resource)
    if kind is None:
        raise RefusedCommand(404, "resource_not_found", kind=command.resource)
    if kind.by_metier is (command.metier is None):
        raise RefusedCommand(409, "metier_needed" if kind.by_metier else "metier_unused")
    if command.site not in draft.bia.sites:
        raise RefusedCommand(404, "site_not_found", site=command.site)
    if command.incident is not None and command.incident not in draft.state.incidents:
        raise RefusedCommand(404, "incident_not_found", incident=command.incident)
    until, start = command.needed_until, command.needed_from
    if until is not None and until <= max(draft.now, start or 0):
        raise RefusedCommand(409, "until_past", until=until)
    if len(draft.state.requests) >= MAX_OPEN_REQUESTS:
        raise RefusedCommand(409, "too_many_requests", most=MAX_OPEN_REQUESTS)


def offer_resource(draft: ContinuityDecision, command: res.OfferResource) -> CommandResult:
    """Offer a resource. An offer from a stock reserves it until the offer expires."""
    _require_worker(command)
    row = req.expire_offers(draft, _find_request(draft, command))
    _require_state(row, _State.REQUESTED, _State.OFFERED, _State.UNFILLED)
    if (command.stock is None) is (command.partner is None):
        raise RefusedCommand(409, "stock_or_partner")
    if len(row.offers) >= MAX_OFFERS:
        raise RefusedCommand(409, "too_many_offers", most=MAX_OFFERS)
    expires_at = _compute_expiry(draft, row, command.expires_at)
    if command.eta_at is not None and command.eta_at <= draft.now:
        raise RefusedCommand(409, "eta_past", eta=command.eta_at)
    if command.stock is not None:
        estimate = _reserve(draft, row, command.stock, command.quantity)
    else:
        estimate = _estimate_partner(draft, row, command.partner or "", command.quantity)
    offer = res.OfferRow(
        id=f"{row.id}/{len(row.offers) + 1}",
        stock=estimate.stock,
        partner=estimate.partner,
        quantity=estimate.quantity,
        eta_at=command.eta_at or estimate.eta_at,
        cost_eur=estimate.cost_eur if command.cost_eur is None else command.cost_eur,
        expires_at=expires_at,
        offered_at=draft.now,
        offered_by=command.author,
    )
    row = _record(draft, command, row, "offered", state=_State.OFFERED, offers=(*row.offers, offer))
    return _describe(row) | {
        "offer": offer.id,
        "quantity": offer.quantity,
        "eta_at": offer.eta_at,
        "cost_eur": offer.cost_eur,
        "expires_at": offer.expires_at,
    }


def _compute_expiry(
    draft: ContinuityDecision, row: res.ResourceRequestRow, requested_end: Instant | None
) -> Instant:
    """Return the end of a reservation: as asked, else after the time of its kind."""
    if requested_end is not None:
        if requested_end <= draft.now:
            raise RefusedCommand(409, "until_past", until=requested_end)
        return requested_end
    kind = draft.bia.resources.kinds.get(row.kind)
    return draft.now + (kind.reserved_min if kind is not None else 60) * MINUTE_MS


def _reserve(
    draft: ContinuityDecision, row: res.ResourceRequestRow, id: str, requested_quantity: int | None
) -> Suggestion:
    stock = get_row(draft.bia.resources.stocks, id, "stock_not_found")
    if (stock.kind, stock.metier) != (row.kind, row.metier):
        raise RefusedCommand(409, "other_resource", stock=id, kind=stock.kind)
    _require_open_way(draft, id)
    free = resources.count_available(draft, stock)
    quantity = min(row.quantity, free) if requested_quantity is None else requested_quantity
    if quantity > row.quantity:
        raise RefusedCommand(409, "offer_too_large", asked=quantity, quantity=row.quantity)
    if free == 0 or quantity > free:
        raise RefusedCommand(409, "stock_short", stock=id, available=free)
    resources.reserve_stock(draft, stock, quantity)
    need = req.build_need(row)
    return estimate_stock_offer(draft.bia.resources, stock, need, quantity, draft.now)


def _require_open_way(draft: ContinuityDecision, stock: str | None) -> None:
    """Refuse (409) to send a stock from a site under an order to leave or to shelter."""
    if resources.is_barred(draft, stock):
        site = draft.bia.resources.get_site(stock)
        raise RefusedCommand(409, "stock_barred", stock=stock, site=site)


def _estimate_partner(
    draft: ContinuityDecision, row: res.ResourceRequestRow, id: str, requested_quantity: int | None
) -> Suggestion:
    partner = get_row(draft.bia.resources.partners, id, "partner_not_found")
    if row.kind not in partner.kinds:
        raise RefusedCommand(409, "other_resource", stock=id, kind=row.kind)
    quantity = row.quantity if requested_quantity is None else requested_quantity
    if quantity > row.quantity:
        raise RefusedCommand(409, "offer_too_large", asked=quantity, quantity=row.quantity)
    need = req.build_need(row)
    return estimate_partner_offer(draft.bia.resources, partner, need, quantity, draft.now)


def commit_resource(draft: ContinuityDecision, command: res.CommitResource) -> CommandResult:
    """Commit offers; the other open offers go back to their stocks."""
    _require_worker(command)
    row = req.expire_offers(draft, _find_request(draft, command))
    _require_state(row, _State.OFFERED, _State.UNFILLED)
    chosen_offers = _choose_offers(row, command.offers)
    for offer in chosen_offers:
        _require_open_way(draft, offer.stock)
    committed_offers = _trim_offers(chosen_offers, row.quantity)
    promised_quantity = sum(offer.quantity for offer in committed_offers.values())
    if promised_quantity < row.quantity and not command.partial:
        raise RefusedCommand(
            409, "request_short", promised=promised_quantity, quantity=row.quantity
        )
    rest = [offer for offer in row.open_offers if offer.id not in committed_offers]
    for offer in row.open_offers:
        if offer.id in committed_offers:
            resources.engage_stock(draft, offer, committed_offers[offer.id].quantity)
    resources.free_reservations(draft, rest)
    offers = tuple(
        committed_offers.get(offer.id, offer)
        for offer in req.close_offers(row.offers, rest, res.OfferState.WITHDRAWN)
    )
    row = _record(
        draft,
        command,
        row,
        "committed",
        state=_State.COMMITTED,
        offers=offers,
        committed=promised_quantity,
        committed_at=draft.now,
        committed_by=command.author,
        eta_at=max(offer.eta_at for offer in committed_offers.values()),
        remind_at=None,
    )
    return _describe(row) | {"committed": promised_quantity, "eta_at": row.eta_at}


def _choose_offers(row: res.ResourceRequestRow, ids: tuple[str, ...]) -> list[res.OfferRow]:
    """Return the chosen open offers, or without a choice all of them, best first."""
    if not ids:
        ranked_offers = rank_offers(req.build_need(row), row.open_offers)
    else:
        offers_by_id = {offer.id: offer for offer in row.offers}
        if (unknown := next((id for id in ids if id not in offers_by_id), None)) is not None:
            raise RefusedCommand(404, "offer_not_found", offer=unknown)
        ranked_offers = [offers_by_id[id] for id in dict.fromkeys(ids)]
        closed_offer = next((o for o in ranked_offers if o.state is not res.OfferState.OPEN), None)
        if closed_offer is not None:
            raise RefusedCommand(
                409, "offer_closed", offer=closed_offer.id, state=closed_offer.state.value
            )
    if not ranked_offers:
        raise RefusedCommand(409, "no_offer", request=row.id)
    return ranked_offers


def _trim_offers(offers: list[res.OfferRow], quantity: int) -> dict[str, res.OfferRow]:
    """Return the first offers that cover the quantity, committed; the last one may shrink."""
    committed_offers: dict[str, res.OfferRow] = {}
    for offer in offers:
        if quantity <= 0:
            break
        part = min(offer.quantity, quantity)
        quantity -= part
        committed_offers[offer.id] = offer.model_copy(
            update={"state": res.OfferState.COMMITTED} | _shrink_offer(offer, part)
        )
    return committed_offers


def _shrink_offer(offer: res.OfferRow, quantity: int) -> dict[str, Any]:
    """Return the changes of an offer that is taken in part."""
    if quantity == offer.quantity:
        return {}
    cost = None if offer.cost_eur is None else -(-offer.cost_eur * quantity // offer.quantity)
    return {"quantity": quantity, "cost_eur": cost}


def depart_resource(draft: ContinuityDecision, command: res.DepartResource) -> CommandResult:
    """Record that the resource has left."""
    _require_worker(command)
    row = _find_request(draft, command)
    _require_state(row, _State.COMMITTED)
    for offer in row.committed_offers:
        _require_open_way(draft, offer.stock)
    if command.eta_at is not None and command.eta_at <= draft.now:
        raise RefusedCommand(409, "eta_past", eta=command.eta_at)
    eta_at = command.eta_at or row.eta_at
    late = row.late_at is not None and eta_at is not None and eta_at <= draft.now
    row = _record(
        draft,
        command,
        row,
        "departed",
        state=_State.EN_ROUTE,
        departed_at=draft.now,
        eta_at=eta_at,
        late_at=row.late_at if late else None,
    )
    return _describe(row) | {"eta_at": row.eta_at}


def arrive_resource(draft: ContinuityDecision, command: res.ArriveResource) -> CommandResult:
    """Record that the resource is in place; a consumable leaves its stock for good."""
    _require_worker(command)
    row = _find_request(draft, command)
    _require_state(row, _State.EN_ROUTE)
    used_up = draft.bia.resources.is_consumable(row.kind)
    if used_up:
        resources.use_up(draft, row.committed_offers)
    row = _record(
        draft,
        command,
        row,
        "arrived",
        state=_State.IN_PLACE,
        arrived_at=draft.now,
        used_up=used_up,
        late_at=None,
    )
    return _describe(row)


def release_resource(draft: ContinuityDecision, command: res.ReleaseResource) -> CommandResult:
    """Release the resource; it goes back to its stock unless it was used up."""
    _require_worker(command)
    row = _find_request(draft, command)
    _require_state(row, _State.IN_PLACE)
    if not row.used_up:
        resources.return_to_stock(draft, row.committed_offers)
    row = _record(draft, command, row, "released", state=_State.RELEASED, ended_at=draft.now)
    return _describe(row)


def cancel_resource(draft: ContinuityDecision, command: res.CancelResource) -> CommandResult:
    """Cancel a request before anything is in place; everything goes back to its stock."""
    _require_worker(command)
    row = _find_request(draft, command)
    reason = require_reason(command)
    _require_state(
        row, _State.REQUESTED, _State.OFFERED, _State.UNFILLED, _State.COMMITTED, _State.EN_ROUTE
    )
    resources.free_reservations(draft, row.open_offers)
    resources.return_to_stock(draft, row.committed_offers)
    open_offers = [*row.open_offers, *row.committed_offers]
    row = _record(
        draft,
        command,
        row,
        "cancelled",
        state=_State.CANCELLED,
        offers=req.close_offers(row.offers, open_offers, res.OfferState.WITHDRAWN),
        committed=0,
        ended_at=draft.now,
        remind_at=None,
        late_at=None,
        reason=reason,
    )
    return _describe(row)


def count_stock(draft: ContinuityDecision, command: res.CountStock) -> CommandResult:
    """Record a count of a stock, never below its promised quantity."""
    _require_worker(command)
    stock = get_row(draft.bia.resources.stocks, command.stock, "stock_not_found")
    row = resources.get_stock_row(draft, stock)
    promised_quantity = row.reserved + row.engaged
    if command.quantity < promised_quantity:
        raise RefusedCommand(409, "stock_promised", stock=stock.id, promised=promised_quantity)
    row = resources.record_count(draft, stock, command.quantity, command.author)
    return {"stock": row.id, "quantity": row.quantity, "available": row.available}


RESOURCE_HANDLERS: Final[
    Mapping[type[Command], Callable[[ContinuityDecision, Any], CommandResult]]
] = {
    res.RequestResource: request_resource,
    res.OfferResource: offer_resource,
    res.CommitResource: commit_resource,
    res.DepartResource: depart_resource,
    res.ArriveResource: arrive_resource,
    res.ReleaseResource: release_resource,
    res.CancelResource: cancel_resource,
    res.CountStock: count_stock,
}
"""Handler of each command about resource requests and stocks."""
