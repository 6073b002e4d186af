"""Resources of facilitation and evaluation. Rule D94."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from services.console.resource_base import Resource, Time


class StimulusState(StrEnum):
    """State of a stimulus on the list of the organiser."""

    PLANNED = "planned"
    DUE = "due"
    PLAYED = "played"
    SKIPPED = "skipped"


class ObserverNote(Resource):
    """One note of an observer."""

    by: str
    role: str
    at: Time
    mark: int | None = Field(description="0 nothing happened, 3 as expected")
    text: str | None


class Stimulus(Resource):
    """One stimulus, with its time, words, plays and notes."""

    id: str
    realm: str
    state: StimulusState
    at: Time = Field(description="planned time")
    title: str | None
    source: str | None = Field(description="kind of source that tells it")
    expected: str | None = Field(description="reaction that is expected of the players")
    played_at: list[Time] = Field(description="times at which it was played")
    reacted_min: float | None = Field(
        description="minutes from its first play until somebody took charge of its incident"
    )
    mark: float | None = Field(description="mean mark of the observers")
    notes: list[ObserverNote]
    body: dict[str, Any] | None = Field(
        description="report to send now; null if it is not sent as a report"
    )
    version: int


class RoleParticipation(Resource):
    """Part of one role in an exercise, from its log alone."""

    role: str
    name: str
    called: int = Field(description="messages that expected an answer")
    answered: int
    decided: int = Field(description="plans decided")
    cards: int = Field(description="cards done")
    first_action_min: float | None = Field(description="minutes to the first useful action (D95)")
    credit: bool = Field(description="the role acted: the exercise counts as its training")


class EvaluationSheet(Resource):
    """Evaluation of an exercise: marks, reactions and participation."""

    realm: str
    at: Time
    stimuli: int
    played: int
    skipped: int
    noted: int = Field(description="stimuli with a note")
    mark: float | None = Field(description="mean of the marks of the stimuli")
    roles: list[RoleParticipation]
