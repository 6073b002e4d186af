"""Contingency ranking: what the planner found, as an input, and what continuity recorded of it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Instant, Message, Model, RowFact, message


class GapRow(Model):
    """Agents of a métier who would be missing. `why`: codes of docs/how-to/reassign.md."""

    site: str
    activity: str
    metier: str
    count: int
    missing: Literal["people", "seats"]
    why: tuple[str, ...] = ()


class LossRow(Model):
    """Sites lost together, and the urgency-weighted agents of criticality 1, 2, 3 that stay missing after the best reassignment."""

    sites: tuple[str, ...]
    u1: int
    u2: int
    u3: int
    gaps: tuple[GapRow, ...] = ()
    gaps_more: int = 0


class GainRow(Model):
    """What one more would buy over the gravest losses, solved again with it. Changes: negative is better; `agents` are not weighted."""

    kind: Literal["agent", "site", "generator"]
    what: str = Field(
        description="agent: métier; site: kind of site; generator: site, when its commune has no power"
    )
    u1: int
    u2: int
    u3: int
    agents: int = Field(description="unmet agents")
    kept: int = Field(
        description="activities that stay above their minimum with it and would not without, over these losses"
    )
    losses: int = Field(description="over how many losses")


class PresentRow(Model):
    """The crisis from which a ranking starts. `stamp` changes with the situation and with the approved lines; no sites hit, none held: it is over."""

    stamp: str
    number: int = Field(description="of the request for a proposal that holds the situation")
    sites_hit: int
    held: int = Field(description="agents of approved lines, whose desks are taken")
    elapsed_h: float
    u1: int = Field(description="unmet already, without a further loss")
    u2: int
    u3: int


class ContingencyRow(Model):
    """Of one reference version. `id` = `n<n>-<lost>`, from the present `now-n<n>-<lost>`: then a loss counts if it leaves more undone than is now."""

    id: str
    n: Literal[1, 2]
    lost: Literal["building", "people"] = Field(
        description="building: its people are safe; people: building and people"
    )
    reference: str
    losses: int = Field(description="looked at")
    unmet: int = Field(description="of them, how many leave something undone")
    worst: tuple[LossRow, ...] = Field(description="the ten gravest, the worst first")
    gains: tuple[GainRow, ...] | None = Field(
        default=None,
        description="of n = 1: what one agent, site or generator more would buy, the best first; None: not computed (yet)",
    )
    computed_at: Instant = 0
    present: PresentRow | None = Field(default=None, description="None: from a quiet day")
    paired: tuple[str, ...] = Field(
        default=(),
        description="of n = 2: the sites of which each pair was looked at; empty: every pair was",
    )


@message
class ContingencyComputed(Message):
    """From the planner. Counts only for the reference version in force."""

    row: ContingencyRow


@message
class ContingencyChanged(RowFact):
    collection: ClassVar[str] = "contingency"
    row: ContingencyRow
