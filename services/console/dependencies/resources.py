"""Resources of losses and their cascades. Rule D130."""

from __future__ import annotations

from pydantic import Field

from services.console.resource_base import Resource, Time


class DependencyResource(Resource):
    """A system, supplier, kitchen, kind of site, site or person on duty."""

    id: str = Field(description="kind and name, such as system:ad")
    kind: str = Field(description="system, supplier, kitchen, kind (of sites), site or person")
    name: str
    down: bool = Field(description="it gives nothing in the current crisis already")


class LossStrategy(Resource):
    code: str = Field(description="as listed in the impact analysis")
    name: str


class LossActivity(Resource):
    """An activity that the loss hits."""

    id: str
    name: str
    pole: str
    pole_name: str
    criticality: int
    rto_h: float
    dmia_h: float
    vulnerable_public: int
    before_pct: float
    after_pct: float
    stops: bool = Field(description="it falls under its minimum (MBCO) through the loss")
    strategies: list[LossStrategy] = Field(
        description="strategies that carry this kind of loss; empty: none, or it does not stop"
    )


class LossRole(Resource):
    """A role that loses a person."""

    role: str
    scope: str | None
    name: str
    left: str | None = Field(description="token of the person who remains; null: nobody")


class LossPlan(Resource):
    """A plan that would be proposed."""

    id: str
    title: str
    level: int
    after_h: float = Field(description="hours after the loss; 0: at once")
    text: str = Field(description="trigger in the words of the plan")


class DependencyLoss(Resource):
    """One or two resources lost on top of the current crisis. Rule D130."""

    resources: list[DependencyResource]
    stopped: int = Field(description="number of activities that stop")
    bare: int = Field(description="number of those that no strategy carries")
    activities: list[LossActivity] = Field(description="those that stop first, then the weakened")
    already: list[str] = Field(description="activities that need it and are interrupted already")
    roles: list[LossRole]
    plans: list[LossPlan]
    undecided: list[str] = Field(description="plans whose deciding role would have nobody")
    orphan_cards: int = Field(description="cards of valid plans with neither owner nor deputy")
    first_rto_h: float | None
    first_dmia_h: float | None
    vulnerable_public: int = Field(description="0–3, highest of the activities that stop (D82)")
    together: list[str] = Field(
        description="names of activities and roles that fail only if both are lost"
    )


class CoFailure(Resource):
    """One crisis where the resource failed, and then the activity."""

    realm: str
    out_at: Time
    degraded_at: Time


class HiddenDependency(Resource):
    """A dependency that the impact analysis does not declare. Rule D131."""

    resource: str = Field(description="kind and name, such as system:ad")
    resource_name: str
    activity: str
    activity_name: str
    exposed: int = Field(description="crises in which the resource was out")
    together: int = Field(description="crises among them in which the activity was degraded then")
    without: int = Field(description="crises in which the resource was not out")
    degraded_without: int = Field(description="crises among those with a degraded activity")
    p_value: float = Field(description="Fisher's exact test, one-sided")
    adjusted: float = Field(description="share of false findings to expect (Benjamini, Hochberg)")
    evidence: list[CoFailure]


class HiddenDependencies(Resource):
    """Undeclared dependencies, the surest first."""

    items: list[HiddenDependency]
    crises: int = Field(description="recorded crises that were compared")
    next: None = None


class DependencyLosses(Resource):
    """Losses, worst first."""

    items: list[DependencyLoss]
    total: int = Field(description="number of losses that stop an activity or empty a role")
    not_modelled: list[str] = Field(
        description="kinds of resource that the reference data ties to no activity"
    )
    next: None = None
