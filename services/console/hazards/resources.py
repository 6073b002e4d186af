"""Resources of hazard clocks."""

from pydantic import Field

from services.console.resource_base import Interval, Resource, Time


class HazardActivity(Resource):
    id: str
    name: str
    criticality: int


class HazardCard(Resource):
    """Card of the plan that is still to be done."""

    id: str
    task: str = Field(description="French text of the territory file")
    role: str
    state: str
    due_at: Time | None


class HazardSite(Resource):
    """One site that a hazard reaches. Rule D124."""

    site: str
    name: str
    commune: str
    state: str = Field(description="expected, possible (only at the upper bound) or reached")
    at: Time | None = Field(description="expected hour; null if only possible")
    margin_min: int | None = Field(description="± of the expected hour, in minutes")
    earliest: Time
    latest: Time | None
    until: Time | None = Field(description="end of an announced window")
    threshold_m: float | None = Field(description="level at which the water is there")
    prepare_by: Time | None = Field(description="end of the preparation: barriers, files, cold")
    close_by: Time | None = Field(description="opening from which the site stays closed")
    closed: bool = Field(description="closed, evacuated or sheltering already")
    activities: list[HazardActivity]
    refuge: str | None = Field(description="nearest site that may take its people")
    keys: str = Field(description="role that holds the keys")


class HazardStep(Resource):
    """Threshold of the plan and its measure."""

    level_m: float
    text: str
    state: str
    at: Time | None
    margin_min: int | None


class HazardClosure(Resource):
    """Sites to close before one opening."""

    by: Time
    sites: list[str]


class HazardNotice(Interval):
    """Announced window of a cut or a vigilance."""

    report: str
    colour: str | None
    confirmed: bool


class Hazard(Resource):
    """One hazard with its sites, the soonest first. Rule D124."""

    hazard: str = Field(description="flood, power, heat or snow")
    plan: str | None
    plan_title: str | None
    source: str = Field(description="forecast, trend or announced")
    level_m: float | None = None
    level_at: Time | None = None
    peak_m: float | None = None
    peak_at: Time | None = None
    sites: list[HazardSite]
    dry_sites: int = Field(
        default=0, description="exposed sites of the plan that the flood does not reach"
    )
    steps: list[HazardStep] = Field(default_factory=list)
    windows: list[HazardNotice] = Field(default_factory=list)
    closures: list[HazardClosure] = Field(default_factory=list)
    cards: list[HazardCard] = Field(default_factory=list)


class HazardClocks(Resource):
    """All hazards ahead, the soonest first."""

    items: list[Hazard]
    next: None = None
