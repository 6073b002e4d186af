"""Contingency ranking: result of the planner as an input, and the fact of continuity."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Instant, Message, Model, RowFact, register_message


class GapRow(Model):
    """Agents of a métier that would be missing.

    `why`: codes of docs/how-to/reassign.md.
    """

    site: str
    activity: str
    metier: str
    count: int
    missing: Literal["people", "seats"]
    why: tuple[str, ...] = ()


class LossRow(Model):
    """Sites lost together, and the agents still missing after the best reassignment.

    `u1`, `u2` and `u3` count agents for criticality 1, 2 and 3, weighted by urgency.
    """

    sites: tuple[str, ...]
    u1: int
    u2: int
    u3: int
    gaps: tuple[GapRow, ...] = ()
    gaps_more: int = 0


class GainRow(Model):
    """Gain from one more agent, site or generator over the gravest losses, solved again with it.

    Values are changes: negative is better. `agents` are not weighted.
    """

    kind: Literal["agent", "site", "generator"]
    what: str = Field(
        description=(
            "agent: métier; site: kind of site; generator: site, for a commune without power"
        )
    )
    u1: int
    u2: int
    u3: int
    agents: int = Field(description="change of the unmet agents")
    kept: int = Field(description="activities above their minimum only with it, over these losses")
    losses: int = Field(description="number of losses considered")


class PresentRow(Model):
    """The crisis at the start of a ranking.

    `stamp` changes with the situation and with approved lines. The crisis is over if no sites are
    hit and none are held.
    """

    stamp: str
    number: int = Field(description="number of the request for a proposal with this situation")
    sites_hit: int
    held: int = Field(description="agents of approved lines; their desks are taken")
    elapsed_h: float
    u1: int = Field(description="unmet already, without a further loss")
    u2: int
    u3: int


class ContingencyRow(Model):
    """Contingency ranking of one reference version.

    `id` is `n<n>-<lost>`, or `now-n<n>-<lost>` from the present crisis; there, a loss counts if it
    leaves more undone than now.
    """

    id: str
    n: Literal[1, 2]
    lost: Literal["building", "people"] = Field(
        description="building: only the building is lost; people: building and staff are lost"
    )
    reference: str
    losses: int = Field(description="number of losses examined")
    unmet: int = Field(description="number of losses that leave something undone")
    worst: tuple[LossRow, ...] = Field(description="the ten gravest losses, worst first")
    gains: tuple[GainRow, ...] | None = Field(
        default=None,
        description=(
            "for n = 1: gains from one more agent, site or generator, best first; null = not "
            "computed (yet)"
        ),
    )
    computed_at: Instant = 0
    present: PresentRow | None = Field(
        default=None, description="crisis from which it starts; null = a quiet day"
    )
    paired: tuple[str, ...] = Field(
        default=(),
        description=(
            "for n = 2: sites examined in pairs with every other; empty = every pair was examined"
        ),
    )


@register_message
class ContingencyComputed(Message):
    """From the planner: a ranking; it counts only for the reference version in force."""

    row: ContingencyRow


@register_message
class ContingencyChanged(RowFact):
    collection: ClassVar[str] = "contingency"
    row: ContingencyRow
