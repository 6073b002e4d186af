"""Resources of sites, communes, pôles and the map."""

from __future__ import annotations

from pydantic import Field

from schemas.words import ActivityState, Certainty, EventType, SiteStatus
from services.console.resource_base import Interval, Reason, Resource, Time


class Cause(Resource):
    id: str
    incident: str | None
    type: EventType
    effect: SiteStatus
    since: Time
    certainty: Certainty
    severity: int
    loss_pct: float
    contested: bool
    planned: bool
    overdue: bool
    sources: list[str]
    reports: list[str]
    expected_end: Time | None = None
    windows: list[Interval] = Field(default_factory=list)
    maintenance: list[str] = Field(
        default_factory=list, description="ids of the maintenance windows that cover it (D64)"
    )
    inhibited_by: str | None = Field(
        default=None, description="id of the cause of which it is a consequence (D65)"
    )


class SiteHeadcount(Resource):
    """People found at an evacuated site, and the expected number."""

    found: int
    expected: int
    at: Time


class Site(Resource):
    id: str
    realm: str
    name: str
    kind: str
    commune: str
    commune_name: str
    pole: str
    status: SiteStatus
    since: Time | None = Field(description="null = normal since before the realm was opened")
    capacity_pct: float
    causes: list[Cause]
    why: list[Reason]
    last_word_at: Time | None
    flags: list[str]
    lat: float
    lon: float
    position: str
    x: float = Field(description="place on the map of `/communes`, in units of its view box")
    y: float
    staff: int
    desks: int
    public_capacity: int
    flood_exposure: str
    generator: bool
    kitchen: str | None
    name_is: str
    confinement: str | None = Field(
        description=(
            "sheltering or counting, if so: nobody leaves it or comes to it for other work "
            "(D78); null = neither"
        )
    )
    vulnerable_public: int = Field(description="0–3: dependence of vulnerable people (D82)")
    headcount: SiteHeadcount | None = Field(
        description="evacuated site: newest count since the evacuation"
    )


class Pole(Resource):
    id: str
    realm: str
    name: str
    type: str
    level: int
    why: list[Reason]
    sites: dict[SiteStatus, int]
    sites_total: int
    activities: dict[ActivityState, int]
    activities_total: int
    capacity_pct: float = Field(description="capacity of its activities, weighted by their staff")
    mbco_pct: float = Field(description="minimum of its activities, weighted in the same way")
    activities_below: int = Field(description="number of activities below their minimum")


class Commune(Resource):
    insee: str
    realm: str
    name: str
    population: int
    lat: float
    lon: float
    x: float
    y: float
    path: str = Field(description="SVG path of the outline")
    seine_flood_plan: bool
    sites: dict[SiteStatus, int]
    incidents: list[str] = Field(description="open incidents with a zone that contains it")


class Map(Resource):
    """View box of all paths and positions, and the attribution to show with them."""

    width: float
    height: float
    attribution: str
