"""Resources of the first day. Rule D111."""

from __future__ import annotations

from pydantic import Field

from services.console.commissioning.checks import CheckState
from services.console.resource_base import Resource, Time


class CommissioningCondition(Resource):
    """One condition, computed from deeds."""

    id: str
    title: str
    state: CheckState = Field(description="done, partly, open")
    text: str = Field(description="what was found")
    at: Time | None = Field(description="time of the deed")
    grave: bool = Field(
        description="true if it is missing and a crisis would reach nobody, or data would be lost"
    )
    path: str = Field(description="page that fulfils it")
    command: str | None = Field(description="command line, if no page does it")


class Commissioning(Resource):
    """The readiness of an installation for its first crisis."""

    ready: bool = Field(description="true if every condition is fulfilled")
    done: int = Field(description="number of fulfilled conditions")
    reference: str | None = Field(description="version of the reference data in force")
    items: list[CommissioningCondition]
    next: None = None
