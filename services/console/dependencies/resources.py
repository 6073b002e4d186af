"""Resources of losses and their cascades. Rule D130."""

from pydantic import Field

from services.console.resource_base import Resource, Time


class DependencyResource(Resource):
    """A system, supplier, kitchen, transport line, kind of site, site or person on duty."""

    id: str = Field(description="kind and name, such as system:ad")
    kind: str = Field(
        description="system, supplier, kitchen, line, kind (of sites), site or person"
    )
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


class LossCommune(Resource):
    """A commune with sites that loses transport lines."""

    insee: str
    name: str
    lost: list[str] = Field(description="names of the lines that it loses")
    left: list[str] = Field(description="names of the lines that still run")
    cut_off: bool = Field(description="no line is left")
    sites: int
    agents: int
    activities: list[str] = Field(description="activities with agents there, by criticality")


class LossAccess(Resource):
    """An activity with agents in communes that lose transport lines."""

    id: str
    name: str
    pole: str
    pole_name: str
    criticality: int
    sites: int
    agents: int
    cut_sites: int = Field(description="sites among them without a line")
    cut_agents: int


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
        description="names of activities, roles and communes that fail only if both are lost"
    )
    communes: list[LossCommune] = Field(
        description="communes with sites that lose transport lines, those without a line first"
    )
    access: list[LossAccess] = Field(
        description="activities with agents in these communes; a line takes no capacity"
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
    total: int = Field(description="losses that stop an activity, empty a role or take a line")
    not_modelled: list[str] = Field(
        description="kinds of resource that the reference data ties to no activity"
    )
    next: None = None
