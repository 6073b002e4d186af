"""Resources of the risk of breach. Rule D132."""

from pydantic import Field

from services.console.resource_base import Resource, Time


class DecisionRisk(Resource):
    """Risk if one decision that waits were taken now."""

    kind: str = Field(description="strategy or generator")
    id: str = Field(description="strategy as listed, or site of the generator")
    name: str
    requested: bool = Field(description="a resource request waits, or is on its way")
    rto_pct: float | None
    dmia_pct: float | None


class ActivityRisk(Resource):
    """Probability that the limits of an interrupted activity break."""

    activity: str
    name: str
    rto_pct: float | None = Field(description="null: passed, or not running")
    dmia_pct: float | None
    back_at: Time = Field(description="time by which it is back in half of the draws")
    decisions: list[DecisionRisk] = Field(description="those that lower a risk, best first")


class BreachRisks(Resource):
    """Risks of all interrupted activities, the highest first."""

    items: list[ActivityRisk]
    draws: int
    returns_seen: int = Field(description="ended causes of the logs behind the laws")
    answers_seen: int
    arrivals_seen: int
    next: None = None
