"""Resources of drills and of progress over exercises. Rule D95."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from services.console.resource_base import Resource, Time


class DrillProposal(Resource):
    """A plan to exercise, and why."""

    plan: str
    title: str
    score: float = Field(description="product of the three shares, each at least 0.1")
    unreached_pct: float = Field(description="people and partners not reached in 30 days")
    loss_pct: float = Field(description="activities that stop in the worst loss of the plan")
    unexercised_pct: float = Field(description="cards not done in time in 12 months")
    resource: str | None = Field(description="resource of that loss, such as system:ad")
    resource_name: str
    stopped: int = Field(description="activities that stop in that loss")
    cards: int = Field(description="cards that were never exercised")
    contacts: list[str] = Field(description="roles of which somebody is not reached")
    full_hosts: list[str] = Field(description="kinds of fallback site without a free place")


class DrillProposals(Resource):
    """Plans to exercise, the weakest first."""

    items: list[DrillProposal]
    next: None = None


class DrillDetail(DrillProposal):
    """One drill of 15 minutes, as an exercise file."""

    seed: int
    exercised_cards: list[str] = Field(description="cards that it expects to be done")
    document: dict[str, Any] = Field(description="the exercise, in the format of exercise files")
    file: str = Field(description="the same as a YAML file, for `vigie play`")


class FirstAction(Resource):
    """Time to the first useful action of a role in one exercise."""

    realm: str
    title: str
    opened_at: Time
    minutes: float


class RoleFirstActions(Resource):
    """First useful actions of a role, the oldest exercise first."""

    role: str
    name: str
    runs: list[FirstAction]
    trend_min: float | None = Field(
        description="newest less oldest, negative is quicker; null with one exercise"
    )


class ExerciseProgress(Resource):
    """First useful actions of all roles over the closed exercises of the last year."""

    items: list[RoleFirstActions]
    exercises: int
    next: None = None
