"""Resources of the contingency analysis: the cost of further losses."""

from __future__ import annotations

from pydantic import Field

from services.console.resources.base import Resource, Time


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

    number: int = Field(description="of the proposal for this situation")
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
            "agent (of a métier), site (of a kind), generator (at a site, when its commune has no "
            "power)"
        )
    )
    what: str
    name: str
    u1: int
    u2: int
    u3: int
    agents: int = Field(description="change of the unmet agents, not weighted")
    kept: int = Field(
        description=(
            "activities that stay above their minimum with it and would not without, over these "
            "losses"
        )
    )
    losses: int = Field(description="over how many losses")


class Contingency(Resource):
    """Ranking of the losses that leave vital work undone: each site (N-1) or each pair (N-2).

    The planner computes it in the background: from a quiet day once per reference version, from a
    crisis whenever the situation changes.
    """

    id: str
    realm: str
    n: int
    lost: str = Field(description="building: its people are safe; people: building and people")
    reference: str
    losses: int = Field(description="looked at")
    unmet: int = Field(
        description="of them, how many leave something undone (from the present: more than now)"
    )
    worst: list[Loss] = Field(description="the ten gravest, the worst first")
    gains: list[Gain] = Field(description="of n = 1: what one more would buy, the best first")
    present: Crisis | None = Field(description="null: from a quiet day")
    paired: list[str] = Field(
        description="of n = 2: the sites of which each pair was looked at; empty: every pair was"
    )
    paired_names: list[str]
    computed_at: Time
