"""Resources of logistics: resource requests, their offers, stock levels."""

from pydantic import ConfigDict, Field

from schemas.crisis.resource_requests import OfferState, RequestPriority, RequestState
from services.console.resource_base import Resource, Time


class ResourceOffer(Resource):
    id: str
    stock: str | None
    partner: str | None
    name: str = Field(description="name of the stock or the partner")
    quantity: int
    state: OfferState
    eta_at: Time
    late_min: int = Field(description="minutes after the requested time; 0: in time")
    cost_eur: int | None
    expires_at: Time = Field(description="end of the reservation")
    offered_at: Time
    offered_by: str


class ResourceSuggestion(Resource):
    """Offer that could be made now; the first of the list is the best."""

    stock: str | None
    partner: str | None
    name: str
    quantity: int
    eta_at: Time
    late_min: int
    cost_eur: int | None
    distance_km: float | None
    why: str = Field(
        description="only, nearest, cheapest, farther, dearer, unpriced, late or short"
    )
    text: str = Field(description="the reason as a sentence")


class ResourceRequest(Resource):
    """Resource request of a site; `suggestions` is set only if it is read alone."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True
    )

    id: str
    realm: str
    number: int
    title: str = Field(description="quantity and kind in words")
    kind: str
    metier: str | None
    quantity: int
    site: str
    site_name: str
    start: Time | None = Field(alias="from", description="null: as soon as possible")
    until: Time | None
    priority: RequestPriority
    state: RequestState
    incident: str | None
    text: str | None = Field(description="words of the request, for readers with the right")
    version: int = Field(description="counts decisions; also the ETag")
    requested_at: Time
    requested_by: str
    requested_role: str
    offers: list[ResourceOffer]
    committed: int
    committed_at: Time | None
    committed_by: str | None
    eta_at: Time | None
    departed_at: Time | None
    arrived_at: Time | None
    ended_at: Time | None
    cost_eur: int | None = Field(description="of what is committed; null: unknown or nothing")
    reminders: int = Field(description="how often the cell was told that nobody promised anything")
    unfilled_at: Time | None
    late_at: Time | None = Field(description="since when the announced arrival is overdue")
    return_due_at: Time | None = Field(description="since when it is no longer needed")
    suggestions: list[ResourceSuggestion] | None = None


class StockLevel(Resource):
    id: str
    realm: str
    name: str
    kind: str
    kind_name: str
    metier: str | None
    site: str
    site_name: str
    quantity: int = Field(description="what the holder owns, wherever it is")
    reserved: int = Field(description="in open offers")
    engaged: int = Field(description="committed, on its way or in place")
    available: int
    unit_cost_eur: float
    ready_min: int
    counted_at: Time | None
    counted_by: str | None
