"""Resources of the contingency analysis: the cost of further losses."""

from pydantic import Field

from services.console.resource_base import Resource, Time


class Gap(Resource):
    """Missing agents of one métier, with the outside bodies that could help (SR-FOUR, SR-MUT)."""

    site: str
    activity: str
    activity_name: str
    metier: str
    metier_name: str
    count: int
    missing: str = Field(description="people or seats")
    why: list[str] = Field(description="codes of docs/how-to/reassign.md")
    outside_help: list[str]


class Loss(Resource):
    """Sites lost together.

    U1, U2 and U3 count the agents of criticality 1, 2 and 3 that stay missing after the best
    reassignment, weighted by urgency.
    """

    sites: list[str]
    names: list[str]
    u1: int
    u2: int
    u3: int
    gaps: list[Gap]
    gaps_more: int = Field(description="gaps that are not listed")


class Crisis(Resource):
    """The current crisis as the start of a ranking.

    It gives the affected sites, the agents of approved reassignments at desks, and the need that is
    unmet without a further loss.
    """

    number: int = Field(description="number of the proposal for this situation")
    sites_hit: int
    held: int
    elapsed_h: float
    u1: int
    u2: int
    u3: int


class Gain(Resource):
    """Gain of one more trained agent, fallback site or generator over the gravest losses.

    The planner solves each loss again with it; negative is better.
    """

    kind: str = Field(
        description=(
            "agent of a métier, site of a kind, or generator at a site in a commune without power"
        )
    )
    what: str
    name: str
    u1: int
    u2: int
    u3: int
    agents: int = Field(description="change of the unmet agents, not weighted")
    kept: int = Field(
        description="number of activities above their minimum only with it, over these losses"
    )
    losses: int = Field(description="number of losses considered")


class Contingency(Resource):
    """Ranking of the losses that leave vital work undone: each site (N-1) or each pair (N-2).

    The planner computes it in the background: from a quiet day once per reference version, from a
    crisis whenever the situation changes.
    """

    id: str
    realm: str
    n: int
    lost: str = Field(
        description="building: only the building is lost; people: building and staff are lost"
    )
    reference: str
    losses: int = Field(description="number of losses examined")
    unmet: int = Field(
        description=(
            "number of losses that leave something undone; from the present crisis: more than now"
        )
    )
    worst: list[Loss] = Field(description="the ten gravest losses, worst first")
    gains: list[Gain] = Field(
        description="for n = 1: gains from one more agent, site or generator, best first"
    )
    present: Crisis | None = Field(description="null = from a quiet day")
    paired: list[str] = Field(
        description=(
            "for n = 2: sites examined in pairs with every other; empty = every pair was examined"
        )
    )
    paired_names: list[str]
    computed_at: Time
