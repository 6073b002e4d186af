"""Resources of maintenance windows and leases."""

from pydantic import Field

from schemas.words import EventType
from services.console.resource_base import Resource, Time


class LabelMatch(Resource):
    """A comparison of one label with a value; `regex` must match the whole value."""

    name: str
    value: str
    regex: bool
    equal: bool


class WindowCoverage(Resource):
    """Coverage of a window: each given list must match every report of a cause."""

    sites: list[str]
    kinds: list[str]
    poles: list[str]
    types: list[EventType]
    sources: list[str]
    matchers: list[LabelMatch]


class Maintenance(Resource):
    """A maintenance window: planned works that show in the picture and call nobody. Rule D64."""

    id: str
    realm: str
    title: str = Field(description="description of the sites and causes covered")
    state: str = Field(description="planned, active, over")
    covers: WindowCoverage
    starts_at: Time = Field(description="time of the first occurrence")
    ends_at: Time
    rrule: str | None
    begins_at: Time | None = Field(description="time of the present occurrence, or of the next one")
    until_at: Time | None
    origin: str = Field(description="vigie, alertmanager")
    author: str
    role: str
    reason: str | None = Field(description="free text, for roles that may read it")
    created_by: str | None = Field(
        description="person for whom a program asked; for the same roles"
    )
    planned_at: Time
    changed_at: Time
    over_at: Time | None
    over_by: str | None
    version: int = Field(description="number of decisions; also the ETag")
    causes: int = Field(description="number of open causes that it covers now")
    covered_sites: list[str]


class Lease(Resource):
    """An alert that a source keeps alive; `id` is the report that opened it. Rule D66."""

    id: str
    realm: str
    state: str = Field(description="held, lapsed, ended")
    source_key: str | None
    labels: dict[str, str]
    began_at: Time
    renewed_at: Time
    until: Time
    explicit: bool
    quiet: str | None
    quiet_by: list[str]
