"""Resources of legal deadlines: obligations, their clocks, drafts of declarations. Rule D92."""

from __future__ import annotations

from pydantic import Field

from schemas.crisis.obligations import LimitUnit, ObligationState
from services.console.communication.resources import Signed
from services.console.resource_base import Resource, Time


class ObligationRule(Resource):
    """An obligation of the territory, as its reference data define it."""

    id: str
    realm: str
    title: str
    basis: str = Field(description="article of the law")
    authority: str
    contact: str | None = Field(description="partner of the directory")
    role: str = Field(description="role that declares")
    amount: int
    unit: LimitUnit
    without_delay: bool = Field(
        description="the law says without delay; the limit is the objective of the territory"
    )
    counts_from: str
    condition: str | None
    plans: list[str] = Field(description="plans with a trigger that starts the clock")
    kinds: list[str] = Field(description="families of incidents that start the clock")
    after: str | None = Field(description="obligation whose declaration starts the clock")


class ObligationClock(Resource):
    """The clock of an obligation in an incident."""

    id: str
    realm: str
    obligation: str
    title: str
    basis: str
    authority: str
    state: ObligationState
    incident: str | None
    role: str
    plan: str | None = Field(description="plan with the trigger that started it")
    follows: str | None = Field(description="clock whose declaration started it")
    started: Signed | None = Field(description="null: a rule started it")
    started_at: Time
    known_at: Time = Field(description="time at which the matter became known")
    due_at: Time
    late: bool = Field(description="runs after `due_at`, or was declared after it")
    near: bool = Field(description="half of the limit has passed, or less than a day is left")
    reminders: int
    done: Signed | None
    declared_at: Time | None
    dismissed: Signed | None
    words: str | None = Field(
        description="reference of the receipt, or why it does not apply; null on the live stream"
    )
    changed_at: Time
    version: int = Field(description="counts decisions; also the ETag")


class DeclarationDraft(Resource):
    """The draft of a declaration, filled with the facts that the log knows; in French."""

    clock: str
    realm: str
    obligation: str
    authority: str
    title: str
    text: str
    blanks: list[str] = Field(description="what a person has to fill, as it stands in the text")
