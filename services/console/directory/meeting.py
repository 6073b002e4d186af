"""Choose where the crisis cell meets: the first place that nothing bars. Rule D89."""

from collections.abc import Iterable, Mapping

from schemas.alerts import SiteRow
from schemas.crisis.area_orders import AreaOrderRow
from schemas.reference import MeetingPoint
from schemas.words import SiteStatus
from services.console.directory.resources import MeetingPlace, PassedOverPoint, SiteBar
from services.console.read_model.snapshot import RealmSnapshot

_STATUS_BARS: Mapping[SiteStatus, SiteBar] = {
    SiteStatus.CLOSED: "closed",
    SiteStatus.EVACUATED: "evacuated",
    SiteStatus.SHELTERING: "sheltering",
}
_AREA_BARS: Mapping[SiteStatus, SiteBar] = {
    SiteStatus.EVACUATED: "area_evacuated",
    SiteStatus.SHELTERING: "area_sheltering",
}


async def read_meeting_place(
    picture: RealmSnapshot, points: Iterable[MeetingPoint]
) -> MeetingPlace:
    """Return where the cell meets by the sites and orders of a snapshot."""
    bars = list_site_bars(
        (await picture.rows(SiteRow)).values(), (await picture.rows(AreaOrderRow)).values()
    )
    return choose_meeting_place(points, bars)


def list_site_bars(sites: Iterable[SiteRow], orders: Iterable[AreaOrderRow]) -> dict[str, SiteBar]:
    """Return why nobody meets at a site: closed, under an order, or in the area of one."""
    bars = {
        site: _AREA_BARS[order.order]
        for order in orders
        if order.ended_at is None
        for site in order.barred
    }
    for row in sites:
        order = row.order if row.is_barred else None
        if (status := order or row.status) is SiteStatus.CLOSED or order is not None:
            bars[row.id] = _STATUS_BARS[status]
    return bars


def choose_meeting_place(
    points: Iterable[MeetingPoint], bars: Mapping[str, SiteBar]
) -> MeetingPlace:
    """Return the first place that nothing bars, with those before it and why.

    A place without a site is never barred.
    """
    passed_over = list[PassedOverPoint]()
    for point in points:
        bar = None if point.site is None else bars.get(point.site)
        if bar is None:
            return MeetingPlace(name=point.name, passed_over=passed_over)
        passed_over.append(PassedOverPoint(name=point.name, why=bar))
    return MeetingPlace(name=None, passed_over=passed_over)
