"""Resource requests and stocks: states, rows, facts and commands.

States follow EDXL-RM. One decider per realm changes requests and stocks in one order, so nothing is
promised twice. Rule D88, resource requests.
"""

from enum import StrEnum
from typing import ClassVar, Final

from pydantic import Field

from schemas.base import Command, Instant, Model, RowFact, register_message

MAX_QUANTITY: Final = 1_000_000
MAX_COST_EUR: Final = 100_000_000


class RequestState(StrEnum):
    REQUESTED = "requested"
    OFFERED = "offered"
    COMMITTED = "committed"
    EN_ROUTE = "en_route"
    IN_PLACE = "in_place"
    RELEASED = "released"
    CANCELLED = "cancelled"
    UNFILLED = "unfilled"


class RequestPriority(StrEnum):
    LIFE = "life"
    CONTINUITY = "continuity"
    COMFORT = "comfort"


class OfferState(StrEnum):
    OPEN = "open"
    COMMITTED = "committed"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


_S = RequestState
WAITING_STATES: Final = frozenset({_S.REQUESTED, _S.OFFERED, _S.UNFILLED})
"""States in which nothing is committed yet."""
MOVING_STATES: Final = frozenset({_S.COMMITTED, _S.EN_ROUTE})
"""States in which an arrival is awaited."""
OVER_STATES: Final = frozenset({_S.RELEASED, _S.CANCELLED})
OPEN_STATES: Final = tuple(state for state in _S if state not in (_S.RELEASED, _S.CANCELLED))
ARROWS: Final[dict[RequestState, frozenset[RequestState]]] = {
    _S.REQUESTED: frozenset({_S.OFFERED, _S.UNFILLED, _S.CANCELLED}),
    _S.OFFERED: frozenset({_S.COMMITTED, _S.REQUESTED, _S.UNFILLED, _S.CANCELLED}),
    _S.UNFILLED: frozenset({_S.OFFERED, _S.COMMITTED, _S.CANCELLED}),
    _S.COMMITTED: frozenset({_S.EN_ROUTE, _S.CANCELLED}),
    _S.EN_ROUTE: frozenset({_S.IN_PLACE, _S.CANCELLED}),
    _S.IN_PLACE: frozenset({_S.RELEASED}),
    _S.RELEASED: frozenset(),
    _S.CANCELLED: frozenset(),
}
"""State → states that may follow it. An offer that expires leads back to requested."""


class OfferRow(Model):
    """Offer for a request, from a stock (reserved until `expires_at`) or from a partner."""

    id: str = Field(description="`<request>/<n>`, n in order of offering")
    stock: str | None = None
    partner: str | None = None
    quantity: int = Field(ge=1)
    state: OfferState = OfferState.OPEN
    eta_at: Instant = Field(description="when it would be in place")
    cost_eur: int | None = Field(default=None, description="whole cost in euros; null: unknown")
    expires_at: Instant = Field(description="end of the reservation")
    offered_at: Instant
    offered_by: str


class ResourceRequestRow(Model):
    """Resource request of a site, with its offers."""

    id: str
    number: int = Field(description="counts the requests of the realm")
    kind: str = Field(description="kind of resource, as in `moyens.yaml`")
    metier: str | None = Field(default=None, description="job family, for people")
    quantity: int = Field(ge=1)
    site: str
    needed_from: Instant | None = Field(default=None, description="null: as soon as possible")
    needed_until: Instant | None = None
    priority: RequestPriority
    state: RequestState
    incident: str | None = None
    text_id: str | None = Field(default=None, description="id of its text in `texts`")
    version: int = Field(default=1, description="counts decisions; also the ETag")
    requested_at: Instant
    requested_by: str
    requested_role: str
    offers: tuple[OfferRow, ...] = ()
    committed: int = Field(default=0, description="promised quantity")
    committed_at: Instant | None = None
    committed_by: str | None = None
    eta_at: Instant | None = Field(default=None, description="when all that is committed arrives")
    departed_at: Instant | None = None
    arrived_at: Instant | None = None
    used_up: bool = Field(default=False, description="true if it left its stock for good")
    ended_at: Instant | None = None
    by: str | None = Field(default=None, description="who decided last")
    reason: str | None = Field(default=None, description="of a cancellation: `text:<id>`")
    reminders: int = Field(default=0, description="how often the cell was told of no answer")
    remind_at: Instant | None = Field(default=None, description="when the cell is told again")
    unfilled_at: Instant | None = Field(
        default=None, description="when it was needed and nothing was committed"
    )
    late_at: Instant | None = Field(
        default=None, description="since when the announced arrival is overdue"
    )
    return_due_at: Instant | None = Field(
        default=None, description="since when it is no longer needed and not released"
    )

    @property
    def open_offers(self) -> tuple[OfferRow, ...]:
        """Offers that may still be committed."""
        return tuple(offer for offer in self.offers if offer.state is OfferState.OPEN)

    @property
    def committed_offers(self) -> tuple[OfferRow, ...]:
        return tuple(offer for offer in self.offers if offer.state is OfferState.COMMITTED)


class StockRow(Model):
    """Level of a stock that was ever reserved, used or counted; others are whole."""

    id: str
    kind: str
    site: str
    listed: int = Field(description="quantity in the reference data in force")
    adjusted: int = Field(
        default=0, description="added to `listed` by counts and by what was used up"
    )
    reserved: int = Field(default=0, ge=0, description="in open offers")
    engaged: int = Field(default=0, ge=0, description="committed, on its way or in place")
    changed_at: Instant
    counted_at: Instant | None = None
    counted_by: str | None = None

    @property
    def quantity(self) -> int:
        """Quantity that the holder owns, wherever it is."""
        return max(self.listed + self.adjusted, 0)

    @property
    def available(self) -> int:
        """Quantity that may be offered."""
        return max(self.quantity - self.reserved - self.engaged, 0)


@register_message
class ResourceRequestChanged(RowFact):
    """A resource request changed.

    `change`: requested, reminded, offered, expired, stopped, committed, departed, late, arrived, released,
    cancelled, unfilled, return_due.
    """

    collection: ClassVar[str] = "resource_requests"
    row: ResourceRequestRow
    change: str


@register_message
class StockChanged(RowFact):
    """A stock changed.

    `change`: reserved, freed, engaged, used, counted, relisted (other quantity in the reference
    data).
    """

    collection: ClassVar[str] = "stocks"
    row: StockRow
    change: str


@register_message
class RequestResource(Command):
    """Request a resource for a site. The words of the request are its `reason`."""

    resource: str = Field(description="kind of resource")
    metier: str | None = None
    quantity: int = Field(ge=1, le=MAX_QUANTITY)
    site: str
    needed_from: Instant | None = None
    needed_until: Instant | None = None
    priority: RequestPriority = RequestPriority.CONTINUITY
    incident: str | None = None


class ResourceCommand(Command):
    """Command about one resource request."""

    request: str
    expected: int | None = None


@register_message
class OfferResource(ResourceCommand):
    """Offer a resource from a stock, which reserves it, or from a partner.

    Without `eta_at` and `cost_eur`, both are estimated from the reference data.
    """

    stock: str | None = None
    partner: str | None = None
    quantity: int | None = Field(default=None, ge=1, le=MAX_QUANTITY)
    eta_at: Instant | None = None
    cost_eur: int | None = Field(default=None, ge=0, le=MAX_COST_EUR)
    expires_at: Instant | None = None


@register_message
class CommitResource(ResourceCommand):
    """Commit offers: the promise. Without `offers`, the best open ones that cover the quantity.

    With `partial` they may cover less.
    """

    offers: tuple[str, ...] = ()
    partial: bool = False


@register_message
class DepartResource(ResourceCommand):
    """Record that the resource has left; `eta_at` changes its announced arrival."""

    eta_at: Instant | None = None


@register_message
class ArriveResource(ResourceCommand):
    """Record that the resource is in place."""


@register_message
class ReleaseResource(ResourceCommand):
    """Release the resource: it goes back to its stock, unless it was used up."""


@register_message
class CancelResource(ResourceCommand):
    """Cancel a request before anything is in place; it needs a reason."""


@register_message
class CountStock(Command):
    """Record a count of a stock, with the part that is out of its place now."""

    stock: str
    quantity: int = Field(ge=0, le=MAX_QUANTITY)
