"""Resources of the directory. Rule D89."""

from datetime import date
from typing import Literal, TypeAlias

from pydantic import Field

from schemas.words import Channel
from services.console.resource_base import Resource, Time


class RoleHolders(Resource):
    """The people to call for one role now, as tokens; reading a number of theirs is logged."""

    id: str = Field(description="`role` or `role:scope`")
    role: str
    role_name: str
    scope: str | None
    scope_name: str | None
    holder: str | None
    deputy: str | None


class PhoneLink(Resource):
    """A number or an address, as it is written and as a link."""

    label: str
    link: str | None = Field(description="`tel:` or `mailto:`; None: nothing that can be dialled")


class Partner(Resource):
    """A body outside the département, by its function."""

    id: str
    domain: str
    function: str
    organisation: str
    caller: str = Field(description="role that calls")
    caller_name: str
    when: str
    say: str
    ask: str
    withhold: str | None = Field(description="what is never passed on")
    plans: list[str]
    hours: str | None
    fallback: str | None = Field(description="channel that needs no system of the département")
    state: str = Field(
        description="to_complete: no number; to_verify: none verified within 90 days; verified"
    )
    phones: list[PhoneLink]
    emails: list[PhoneLink]
    verified_on: date | None


class LevelBridge(Resource):
    """The conference bridge of a level; None waits to be filled in."""

    level: int
    bridge: PhoneLink | None


SiteBar: TypeAlias = Literal[
    "closed", "evacuated", "sheltering", "area_evacuated", "area_sheltering"
]
"""Reason why nobody meets at a site; `area_…` is an order for the area around it."""


class PassedOverPoint(Resource):
    """A meeting point in a site that is barred now."""

    name: str
    why: SiteBar


class MeetingPlace(Resource):
    """The first meeting point that nothing bars; no name if there is none, or none is known."""

    name: str | None
    passed_over: list[PassedOverPoint]


class ReachingPoints(Resource):
    """Ways to reach the crisis cell."""

    phone: PhoneLink | None
    meeting_point: str | None = Field(description="the first that nothing bars")
    passed_over: list[PassedOverPoint] = Field(description="meeting points before it")
    bridges: list[LevelBridge]


class DirectoryState(Resource):
    """Roles with their holders (`items`), partners, and ways to reach the cell."""

    realm: str
    at: Time
    cell: ReachingPoints
    items: list[RoleHolders]
    partners: list[Partner]
    next: None = None


class PersonPoint(Resource):
    """One number or address of a person."""

    channel: Channel
    address: PhoneLink
    verified_at: Time | None


class PersonEntry(Resource):
    """A person with numbers and addresses. Personal data: every reading is logged."""

    person: str = Field(description="token")
    roles: list[str] = Field(description="what the person holds now, in the reader's language")
    name: str | None
    points: list[PersonPoint]
