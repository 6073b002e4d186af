"""Orders to leave or to shelter that name communes or an area, and the sites inside. Rule D102."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from pydantic import Field

from schemas.base import Instant, Model, RowFact, optional, register_message
from schemas.words import EventType, SiteStatus

AREA_ORDER: Final = "area_order"
"""Kind of the task that asks a site whether an order concerns it, and template of its message."""
CONCERNED: Final = "concerned"
"""Outcome of that task: the order holds at the site, as if it had been named."""
NOT_CONCERNED: Final = "not_concerned"
"""Outcome of that task: the order does not hold at the site."""
AREA_ORDERS: Final[Mapping[EventType, SiteStatus]] = {
    EventType.EVACUATION: SiteStatus.EVACUATED,
    EventType.SHELTER_IN_PLACE: SiteStatus.SHELTERING,
}
"""Type of a report that gives an order → the order."""


class AreaOrderRow(Model):
    """One order for communes or an area; its id is that of its cause.

    Each site inside has a task of the kind `area_order` that names the order as its candidate.
    """

    id: str
    incident: str | None
    order: SiteStatus = Field(description="evacuated or sheltering")
    report: str = Field(description="report that names the communes or draws the area")
    source: str
    ordered_at: Instant
    communes: tuple[str, ...] = ()
    sites: tuple[str, ...] = Field(default=(), description="sites inside, sorted")
    outside: tuple[str, ...] = Field(
        default=(), description="sites that said that the order does not concern them"
    )
    leaving: tuple[str, ...] = Field(
        default=(), description="sites that still have to hear that the order is over for them"
    )
    ended_at: Instant | None = optional("time from which the order holds no more")
    next_at: Instant | None = optional("next time at which a site is asked, called again or told")

    @property
    def barred(self) -> frozenset[str]:
        """Sites inside that nobody is sent to."""
        return frozenset(self.sites).difference(self.outside)


def list_barred_sites(orders: Iterable[AreaOrderRow]) -> frozenset[str]:
    """List the sites that nobody is sent to, because an order for their area holds. Rule D102."""
    return frozenset(site for row in orders if row.ended_at is None for site in row.barred)


@register_message
class AreaOrderChanged(RowFact):
    """An order for communes or an area changed, or a site of it answered.

    `change`: opened, moved (another area), ended, progress.
    """

    collection: ClassVar[str] = "area_orders"
    row: AreaOrderRow
    change: str = "progress"
