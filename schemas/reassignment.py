"""Reassignment in a realm: requests to the planner, proposals, decisions and orders.

Agents are counts per site, activity and métier, never persons (D58).
docs/reference/reassignment-model.md defines R1 to R9.
"""

from enum import StrEnum
from typing import ClassVar, Final, Literal

from pydantic import Field

from schemas.alerts import Confinement
from schemas.base import Command, Fact, Instant, Message, Model, RowFact, optional, register_message

SETUP_MIN: Final = 30
"""Minutes from arrival at another site to work, unless the territory sets another value."""
HOME_MIN: Final = 60
"""Minutes until an agent at a site works at home."""


class Preference(StrEnum):
    """Preference of a proposal, once every vital need that can be met is met."""

    BEST = "best"
    """Everybody at work, then the nearest trade, then short ways."""
    FEWEST = "fewest"
    """Fewest agents that travel."""
    LEAST_CO2 = "least_co2"
    FASTEST = "fastest"
    """Shortest ways."""


class LineState(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    DECLINED = "declined"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    ARRIVED = "arrived"
    RELEASED = "released"
    VOID = "void"
    REFUSED = "refused"
    """The site cannot do it; its agents and that place are not proposed together again."""


ACTIVE_LINE_STATES = (LineState.DISPATCHED, LineState.ACCEPTED, LineState.ARRIVED)
"""States of an order that was dispatched and is not over, in order."""


class ProposalState(StrEnum):
    OPEN = "open"
    SUPERSEDED = "superseded"
    LAPSED = "lapsed"
    """No site is affected any more."""
    FAILED = "failed"
    """The planner could not compute; `failure` gives the reason."""


class SiteCondition(Model):
    """Site that differs from a quiet day."""

    site: str
    staff_pct: int = 100
    seat_pct: int = 100
    host_ok: bool = True
    confinement: Confinement | None = optional(
        "set if its people shelter or are being counted: nobody leaves it, comes to it or "
        "replaces its agents (D78)"
    )
    ordered: bool = Field(
        default=False,
        exclude_if=lambda yes: not yes,
        description="an order for its area holds: nobody comes to it or replaces its agents (D102)",
    )
    ends_at: Instant | None = optional("announced end of all its losses (D80); null = unknown")
    estimated: bool = Field(
        default=False,
        exclude_if=lambda yes: not yes,
        description="evacuated, and nobody has counted: its agents are those planned there (D78)",
    )


class RefusedMove(Model):
    """Agents of a site that do not go to a place, because a site refused such an order."""

    site: str
    activity: str
    metier: str
    place: str = Field(description="site, or `telework`")


class Situation(Model):
    """Affected sites, and the possible travel and telework."""

    sites: tuple[SiteCondition, ...]
    elapsed_h: float = Field(description="hours since the first fact")
    transit: bool = True
    telework: bool = True
    at: Instant | None = optional("present time, set if an end is announced (D80)")
    opens: dict[str, Instant] = Field(
        default_factory=dict,
        exclude_if=lambda opens: not opens,
        description="next opening of the activities that are closed now",
    )
    setup_min: int = Field(
        default=SETUP_MIN,
        exclude_if=lambda m: m == SETUP_MIN,
        description="minutes from arrival at another site to work",
    )
    home_min: int = Field(
        default=HOME_MIN,
        exclude_if=lambda m: m == HOME_MIN,
        description="minutes until an agent works at home",
    )
    refused: tuple[RefusedMove, ...] = Field(
        default=(),
        exclude_if=lambda moves: not moves,
        description="moves that a site refused in this crisis; they are not proposed again (D101)",
    )


@register_message
class ProposalRequested(Fact):
    """Continuity requests a proposal; a newer request replaces an unanswered one."""

    request: str
    number: int
    reference: str
    situation: Situation
    preference: Preference = Preference.BEST
    fresh: bool = Field(
        default=False,
        description=(
            "true if the previous proposal has no weight because somebody asked for another "
            "preference"
        ),
    )
    incident: str | None = None
    asked_by: str | None = Field(
        default=None,
        description="token of the person; null = requested by a change of the situation",
    )
    over_at: Instant | None = optional(
        "time before which managers heard that nobody needs the agents any more (D81)"
    )


class Reason(Model):
    code: str = Field(description="R1 … R9 or a code of docs/reference/reassignment-model.md")
    values: dict[str, str | int] = Field(default_factory=dict)


class LineRow(Model):
    """Proposed reassignment: `count` agents of (`site`, `activity`, `metier`) work at `place`.

    `need_*` are empty for agents that go on with their own work.
    """

    id: str
    site: str
    activity: str
    metier: str
    supply: Literal["displaced", "releasable"]
    need_site: str = ""
    need_activity: str = ""
    need_metier: str = ""
    place: str = Field(description="site, or `telework`")
    count: int
    criticality: int = Field(description="criticality of the work to do")
    tenths: int = 0
    minutes: int = 0
    grams: int = Field(default=0, description="grams of CO2 per agent, both ways")
    why: tuple[Reason, ...] = ()
    recalled: int | None = Field(
        default=None,
        description=(
            "agents of `count` at places where an approved line needs nobody any more; they come "
            "back first. null = not computed"
        ),
    )
    held: int | None = Field(
        default=None,
        description=(
            "agents of `count` at places where an approved line needs only others of its agents. "
            "null = not computed"
        ),
    )


class LinesRow(Model):
    """Part of the lines of a proposal, in order; `id` is `<proposal>/<part>`."""

    id: str
    proposal: str
    part: int
    lines: tuple[LineRow, ...]


class NotPossible(Model):
    """Agents without a solution, summed over sites with the same reason."""

    activity: str
    metier: str
    sites: tuple[str, ...] = Field(description="at most three sites")
    sites_more: int = 0
    count: int
    missing: Literal["people", "seats"]
    why: tuple[Reason, ...] = ()


class Decision(Model):
    """Decision of a person on a proposal; `rules` names its grounds."""

    id: str
    verb: Literal["approve", "decline"]
    lines: tuple[str, ...]
    agents: int
    by: str
    role: str
    at: Instant
    reason: str | None = None
    rules: tuple[str, ...]


class FlowRow(Model):
    """Number of agents that go from one kind of site to one kind of place.

    Both ends may be a single site that many agents leave. `target` may also be `telework`, or
    `idle` for agents without a place.
    """

    source: str
    target: str
    work: Literal["help", "own", "idle"]
    count: int


class ProposalRow(Model):
    """Proposal of reassignments.

    `objective`: the levels of docs/reference/reassignment-model.md, all as counts. `version` counts
    decisions (`If-Match`).
    """

    id: str
    number: int
    state: ProposalState
    reference: str
    preference: Preference = Preference.BEST
    incident: str | None = None
    requested_at: Instant
    computed_at: Instant
    sites_hit: int
    elapsed_h: float
    transit: bool
    telework: bool
    objective: dict[str, int] = Field(default_factory=dict)
    open_level: str | None = Field(
        default=None, description="first level not proved optimal; null = all are proved"
    )
    bound: float | None = Field(default=None, description="best bound of that level")
    demand: int = Field(default=0, description="number of agents missing below a minimum")
    unmet_agents: int = 0
    displaced: int = 0
    own_work: int = Field(
        default=0,
        description="displaced agents that go on with their own work elsewhere or at home",
    )
    idle_agents: int = Field(
        default=0, description="displaced agents of criticality 1 to 3 without a place"
    )
    suspended_agents: int = 0
    travelling: int = Field(default=0, description="agents of its lines that work at another site")
    lines: int = 0
    agents: int = 0
    kept: int = Field(default=0, description="agents of approved lines that stay unchanged")
    changed: int = Field(
        default=0, description="agents of approved lines that are void or no longer needed"
    )
    unmet: tuple[NotPossible, ...] = ()
    idle: tuple[NotPossible, ...] = ()
    suspended: tuple[NotPossible, ...] = ()
    not_shown: int = Field(default=0, description="number of entries left out of the three lists")
    flow: tuple[FlowRow, ...] = ()
    decisions: tuple[Decision, ...] = ()
    withdrawn: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda lines: not lines,
        description=(
            "undecided lines that can no longer be decided: their site or place shelters or "
            "counts its people (D78)"
        ),
    )
    withdrawn_agents: int = Field(
        default=0,
        exclude_if=lambda agents: not agents,
        description="agents of the withdrawn lines; 0 in older logs",
    )
    estimated: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda sites: not sites,
        description=(
            "evacuated sites of which nobody has counted anybody: their agents are those planned "
            "there (D78)"
        ),
    )
    superseded_by: str | None = None
    failure: str | None = None
    version: int = 0

    def count_undecided_lines(self) -> int:
        """Count the lines that are neither decided nor withdrawn."""
        decided_ids = {id for decision in self.decisions for id in decision.lines}
        return self.lines - len(decided_ids | set(self.withdrawn))

    def count_undecided_agents(self) -> int:
        """Count the agents of the lines that are neither decided nor withdrawn."""
        if self.count_undecided_lines() <= 0:  # older logs do not count withdrawn agents
            return 0
        decided_agents = sum(decision.agents for decision in self.decisions)
        return max(self.agents - decided_agents - self.withdrawn_agents, 0)


class KeptRow(Model):
    """Approved line in the situation of a new proposal, with the number of agents still needed.

    `void`: its place was lost.
    """

    line: str
    needed: int
    void: bool = False


@register_message
class ProposalComputed(Message):
    """From the planner: one part of its answer to a request.

    The last part brings the proposal into force.
    """

    request: str
    part: int
    parts: int
    lines: tuple[LineRow, ...] = Field(default=(), max_length=150)
    kept: tuple[KeptRow, ...] = Field(default=(), max_length=150)
    row: ProposalRow | None = Field(default=None, description="set in the last part")


@register_message
class ProposalLinesRecorded(RowFact):
    collection: ClassVar[str] = "proposal_lines"
    row: LinesRow


@register_message
class ProposalChanged(RowFact):
    """A proposal changed.

    `change`: computed, failed, superseded, lapsed, approved, declined, withdrawn (some of its
    lines, D78).
    """

    collection: ClassVar[str] = "proposals"
    row: ProposalRow
    change: str


class ReassignmentRow(LineRow):
    """Reassignment line since its approval.

    `needed` is the number of agents still needed; below `count`, release is proposed.
    """

    proposal: str
    decision: str
    state: LineState
    incident: str | None = None
    needed: int
    approved_by: str
    approved_role: str
    approved_at: Instant
    rules: tuple[str, ...]
    dispatched_at: Instant | None = None
    starts_at: Instant | None = optional("start: next opening of the activity's calendar (D80)")
    ends_at: Instant | None = optional("end as announced at the dispatch; null = unknown")
    ordered_again_at: Instant | None = optional(
        "newest order after the managers heard that nobody needs the agents any more (D81)"
    )
    accepted_at: Instant | None = None
    arrived_at: Instant | None = None
    ended_at: Instant | None = None
    by: str | None = Field(default=None, description="token of the author of the last change")
    cause: str | None = Field(
        default=None,
        description="void line: place_lost, site_removed; released line: recalled, by an approval",
    )
    reason: str | None = optional("reference `text:<id>`: why the site refused the order")

    @property
    def worked_activity(self) -> str:
        """Activity that its agents work for: the one in need, or their own."""
        return self.need_activity or self.activity


@register_message
class ReassignmentChanged(RowFact):
    """A reassignment changed.

    `change`: dispatched, accepted, arrived, released, needed, void, refused.
    """

    collection: ClassVar[str] = "reassignments"
    row: ReassignmentRow
    change: str


class OrderRow(Model):
    """Order of a decision to one site: number of agents that leave and come.

    The manager of the site gets counts only.
    """

    id: str
    proposal: str
    decision: str
    site: str
    leave: int = 0
    come: int = 0
    stay_home: int = Field(default=0, description="number of leaving agents that work at home")
    lines: tuple[str, ...] = Field(
        default=(),
        description=(
            "lines that this order dispatched; each line is in the order of the site that it leaves"
        ),
    )
    dispatched_at: Instant
    starts_at: Instant | None = optional("start of its first line (D80)")
    ends_at: Instant | None = optional("end of its last line; null = until further notice")


@register_message
class ReassignmentOrdered(RowFact):
    collection: ClassVar[str] = "reassignment_orders"
    row: OrderRow


@register_message
class TravelDeclared(Fact):
    """A person declared travel and telework for the next proposals; None: the facts count."""

    transit: bool | None = None
    telework: bool | None = None


@register_message
class ComputeReassignments(Command):
    """Request a proposal now.

    `transit` and `telework` declare travel and telework; None: unchanged.
    """

    preference: Preference = Preference.BEST
    transit: bool | None = None
    telework: bool | None = None


@register_message
class ApproveReassignments(Command):
    """Approve lines of the proposal in force, by default all undecided; orders leave at once."""

    proposal: str
    lines: tuple[str, ...] | None = Field(default=None, max_length=2000)
    expected: int | None = None


@register_message
class DeclineReassignments(Command):
    """Decline lines, with a reason."""

    proposal: str
    lines: tuple[str, ...] | None = Field(default=None, max_length=2000)
    expected: int | None = None


MAX_LINES_PER_STEP = 100
"""Most lines of one step: each is a fact, and a Transaction stays below 256 KiB."""
TRAVEL_MINUTES_KEY: Final = "M"
"""Key in `objective` beside the levels: minutes one way, over all travelling agents.

Level D also contains the cost of fairness. Proposals of earlier versions lack this key.
"""


class Step(Command):
    """Progress of an order, reported by the site.

    Lines that are already in that state stay unchanged.
    """

    line: str
    lines: tuple[str, ...] = Field(
        default=(), max_length=MAX_LINES_PER_STEP - 1, description="further lines of the same step"
    )


@register_message
class AcceptReassignment(Step):
    """The site manager accepted the order."""


@register_message
class ArriveReassignment(Step):
    """The agents are at work."""


@register_message
class ReleaseReassignment(Step):
    """The agents return to their usual work."""


@register_message
class RefuseReassignment(Step):
    """A site cannot do an order, with a reason; its agents have not arrived yet."""
