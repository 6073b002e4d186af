"""Deadlines of resource requests and their messages to the cell. Rule D88."""

from __future__ import annotations

from typing import Any, Literal

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
)
from services.continuity.deadlines import RequestDue
from services.continuity.decision import ContinuityDecision
from services.continuity.resources.stocks import free_reservations
from services.logistics import Need

AttentionCode = Literal[
    "resource_unanswered",
    "resource_unfilled",
    "resource_late",
    "resource_expired",
    "resource_return",
]


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
    free_reservations(draft, expired_offers)
    remaining_offers = len(row.open_offers) - len(expired_offers)
    row = record_request(
        draft,
        row,
        "expired",
        offers=close_offers(row.offers, expired_offers, OfferState.EXPIRED),
        state=row.state
        if remaining_offers or row.state is not RequestState.OFFERED
        else _waiting_state(row),
    )
    if not remaining_offers and row.state in WAITING_STATES:
        alert_cell(draft, row, "resource_expired")
    return row


def _waiting_state(row: ResourceRequestRow) -> RequestState:
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


def alert_cell(draft: ContinuityDecision, row: ResourceRequestRow, code: AttentionCode) -> None:
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
        )
    )
