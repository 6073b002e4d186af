"""People on pages of the crisis."""

from __future__ import annotations

from pydantic import Field

from services.console.resource_base import Resource


class PresentPerson(Resource):
    """One person of the cell, as the others see them."""

    name: str = Field(
        description=(
            "first name and initial from the directory; empty for an account without a person"
        )
    )
    role: str = Field(description="text in the language of the reader")
    places: list[str] = Field(description="`cell`, `incident:<id>`")


class Presence(Resource):
    """The others: the reader is not among them."""

    realm: str
    place: str | None
    people: list[PresentPerson]


class PresenceChanged(Resource):
    """A person came to a place or left it; `GET /presence` lists the people there."""

    id: str = Field(description="place in the console, e.g. `incident:<id>`")
    realm: str
