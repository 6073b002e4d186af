"""Reassignment in a realm: what the planner is asked, what it proposes, what persons decide of it, what is ordered and carried out.

Agents are counts per site, activity and métier, never persons (D58). R1–R9 stand in docs/reference/reassignment-model.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final, Literal

from pydantic import Field

from schemas.alerts import Confinement
from schemas.base import Command, Fact, Instant, Message, Model, RowFact, message

SETUP_MIN: Final = 30
"""Minutes from arrival at another site to work, unless the territory says otherwise."""
HOME_MIN: Final = 60
"""Minutes until an agent who is at their site works at home."""


class Preference(StrEnum):
    """What comes first once every vital need that can be met is met."""

    BEST = "best"
    """Everybody at work, then the nearest trade, then short ways."""
    FEWEST = "fewest"
    """As few agents as possible travel."""
    LEAST_CO2 = "least_co2"
    FASTEST = "fastest"
    """The shortest ways."""


class LineState(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    DECLINED = "declined"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    ARRIVED = "arrived"
    RELEASED = "released"
    VOID = "void"


UNDER_WAY = (LineState.DISPATCHED, LineState.ACCEPTED, LineState.ARRIVED)
"""Of an order that went out and is not over, in their order."""


class ProposalState(StrEnum):
    OPEN = "open"
    SUPERSEDED = "superseded"
    LAPSED = "lapsed"
    """Nothing is hit any more."""
    FAILED = "failed"
    """The planner could not compute; `failure` says why."""


# ── what is asked ──────────────────────────────────────────────────────────────────────────────────────────────────


class SiteCondition(Model):
    """A site that is not as on a quiet day."""

    site: str
    staff_pct: int = 100
    seat_pct: int = 100
    host_ok: bool = True
    confinement: Confinement | None = Field(
        default=None,
        exclude_if=lambda why: why is None,
        description="nobody leaves it or comes to it, and nobody stands in for it (D78): its people shelter, or are being counted",
    )
    ends_at: Instant | None = Field(
        default=None,
        exclude_if=lambda at: at is None,
        description="announced end of all that it lacks (D80); None: nobody knows",
    )
    estimated: bool = Field(
        default=False,
        exclude_if=lambda yes: not yes,
        description="evacuated, and nobody has counted: its agents are those planned there (D78)",
    )


class Situation(Model):
    """The sites that are hit, and what travel and telework are possible."""

    sites: tuple[SiteCondition, ...]
    elapsed_h: float = Field(description="since the first fact")
    transit: bool = True
    telework: bool = True
    at: Instant | None = Field(
        default=None,
        exclude_if=lambda at: at is None,
        description="now, where some end is announced (D80)",
    )
    opens: dict[str, Instant] = Field(
        default_factory=dict,
        exclude_if=lambda opens: not opens,
        description="next opening of the activities whose work is closed now",
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


@message
class ProposalRequested(Fact):
    """Continuity asks the planner. A newer request replaces an unanswered one."""

    request: str
    number: int
    reference: str
    situation: Situation
    preference: Preference = Preference.BEST
    fresh: bool = Field(
        default=False,
        description="the proposal before does not weigh: somebody asked for another preference",
    )
    incident: str | None = None
    asked_by: str | None = Field(default=None, description="None: the situation asked")


# ── what is proposed ───────────────────────────────────────────────────────────────────────────────────────────────


class Reason(Model):
    code: str = Field(description="R1 … R9 or a word of docs/reference/reassignment-model.md")
    values: dict[str, str | int] = Field(default_factory=dict)


class LineRow(Model):
    """`count` agents of (`site`, `activity`, `metier`) work at `place`. `need_*` are empty for agents who go on with their own work."""

    id: str
    site: str
    activity: str
    metier: str
    supply: Literal["displaced", "releasable"]
    need_site: str = ""
    need_activity: str = ""
    need_metier: str = ""
    place: str = Field(description="a site, or `telework`")
    count: int
    criticality: int = Field(description="of the work that is done")
    tenths: int = 0
    minutes: int = 0
    grams: int = Field(default=0, description="of CO2, both ways, per agent")
    why: tuple[Reason, ...] = ()
    recalled: int | None = Field(
        default=None,
        description="of `count`: who are where an approved line needs nobody any more, and come back first. None: not computed, any of them",
    )
    held: int | None = Field(
        default=None,
        description="of `count`: who are where an approved line needs only others of its agents. None: not computed, any of them",
    )


class LinesRow(Model):
    """A part of the lines of a proposal, in their order. `id` = `<proposal>/<part>`."""

    id: str
    proposal: str
    part: int
    lines: tuple[LineRow, ...]


class NotPossible(Model):
    """Agents for whom there is no answer, summed over the sites with the same reason."""

    activity: str
    metier: str
    sites: tuple[str, ...] = Field(description="at most three")
    sites_more: int = 0
    count: int
    missing: Literal["people", "seats"]
    why: tuple[Reason, ...] = ()


class Decision(Model):
    """What a person decided of a proposal. `rules`: what the decision rests on."""

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
    """Agents from a kind of site (or a site that loses a large part) to a kind of place, `telework` or, without a place, `idle`."""

    source: str
    target: str
    work: Literal["help", "own", "idle"]
    count: int


class ProposalRow(Model):
    """`objective`: the levels of docs/reference/reassignment-model.md, all counts for this proposal. `version` counts decisions (If-Match)."""

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
        default=None, description="first level that is not proved optimal; None: all are"
    )
    bound: float | None = Field(default=None, description="best bound of that level")
    demand: int = Field(default=0, description="agents missing below a minimum")
    unmet_agents: int = 0
    displaced: int = 0
    own_work: int = Field(
        default=0, description="displaced agents who go on with their own work elsewhere or at home"
    )
    idle_agents: int = Field(
        default=0, description="displaced agents of criticality 1 to 3 without a place"
    )
    suspended_agents: int = 0
    travelling: int = Field(default=0, description="agents of its lines who work at another site")
    lines: int = 0
    agents: int = 0
    kept: int = Field(default=0, description="agents of approved lines that stay as they are")
    changed: int = Field(
        default=0, description="agents of approved lines that are void or no longer needed"
    )
    unmet: tuple[NotPossible, ...] = ()
    idle: tuple[NotPossible, ...] = ()
    suspended: tuple[NotPossible, ...] = ()
    not_shown: int = Field(default=0, description="entries of the three lists that are not listed")
    flow: tuple[FlowRow, ...] = ()
    decisions: tuple[Decision, ...] = ()
    withdrawn: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda lines: not lines,
        description="lines that nobody decided and nobody can: their site, or their place, shelters or counts its people (D78)",
    )
    estimated: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda sites: not sites,
        description="evacuated sites of which nobody has counted anybody: their agents are those planned there (D78)",
    )
    superseded_by: str | None = None
    failure: str | None = None
    version: int = 0


class KeptRow(Model):
    """An approved line in the situation of a new proposal: so many of its agents are still needed. `void`: its place was lost."""

    line: str
    needed: int
    void: bool = False


@message
class ProposalComputed(Message):
    """From the planner: one part of its answer to a request. The last part brings the proposal into force."""

    request: str
    part: int
    parts: int
    lines: tuple[LineRow, ...] = Field(default=(), max_length=150)
    kept: tuple[KeptRow, ...] = Field(default=(), max_length=150)
    row: ProposalRow | None = Field(default=None, description="with the last part")


@message
class ProposalLinesRecorded(RowFact):
    collection: ClassVar[str] = "proposal_lines"
    row: LinesRow


@message
class ProposalChanged(RowFact):
    """`change`: computed, failed, superseded, lapsed, approved, declined, withdrawn (some of its lines, D78)."""

    collection: ClassVar[str] = "proposals"
    row: ProposalRow
    change: str


# ── what is ordered ────────────────────────────────────────────────────────────────────────────────────────────────


class ReassignmentRow(LineRow):
    """A line that a person approved, from then on. `needed`: so many are still needed; below `count`, release is proposed."""

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
    starts_at: Instant | None = Field(
        default=None,
        exclude_if=lambda at: at is None,
        description="from when: the next opening of the activity's calendar (D80)",
    )
    ends_at: Instant | None = Field(
        default=None,
        exclude_if=lambda at: at is None,
        description="until when, as announced when it was dispatched; None: nobody knows",
    )
    accepted_at: Instant | None = None
    arrived_at: Instant | None = None
    ended_at: Instant | None = None
    by: str | None = Field(default=None, description="who said the last word")
    cause: str | None = Field(
        default=None,
        description="of a void line: place_lost, site_removed; of a released one: recalled, by an approval",
    )

    @property
    def worked_activity(self) -> str:
        """Return the activity that its agents work for: the one in need, or their own."""
        return self.need_activity or self.activity


@message
class ReassignmentChanged(RowFact):
    """`change`: dispatched, accepted, arrived, released, needed, void."""

    collection: ClassVar[str] = "reassignments"
    row: ReassignmentRow
    change: str


class OrderRow(Model):
    """What a decision asks of one site: how many leave it, how many come to it. Told to its manager by count."""

    id: str
    proposal: str
    decision: str
    site: str
    leave: int = 0
    come: int = 0
    stay_home: int = Field(default=0, description="of those who leave: at home")
    lines: tuple[str, ...] = Field(
        default=(),
        description="that this order dispatched: each line in the order of the site that it leaves",
    )
    dispatched_at: Instant
    starts_at: Instant | None = Field(
        default=None,
        exclude_if=lambda at: at is None,
        description="from when: the first of its lines (D80)",
    )
    ends_at: Instant | None = Field(
        default=None,
        exclude_if=lambda at: at is None,
        description="until when: the last of its lines; None: until further notice",
    )


@message
class ReassignmentOrdered(RowFact):
    collection: ClassVar[str] = "reassignment_orders"
    row: OrderRow


@message
class TravelDeclared(Fact):
    """A person's word about travel and telework for the next proposals. None: as the facts say."""

    transit: bool | None = None
    telework: bool | None = None


# ── decisions ──────────────────────────────────────────────────────────────────────────────────────────────────────


@message
class ComputeReassignments(Command):
    """Ask for a proposal now. `transit`, `telework`: a person's word; None: as before."""

    preference: Preference = Preference.BEST
    transit: bool | None = None
    telework: bool | None = None


@message
class ApproveReassignments(Command):
    """Approve lines of the proposal in force, all that are undecided by default; their orders go out at once."""

    proposal: str
    lines: tuple[str, ...] | None = Field(default=None, max_length=2000)
    expected: int | None = None


@message
class DeclineReassignments(Command):
    """Decline lines, with a reason."""

    proposal: str
    lines: tuple[str, ...] | None = Field(default=None, max_length=2000)
    expected: int | None = None


MOST_STEPS = 100
"""Lines of one step: each is a fact, and a Transaction stays below 256 KiB."""
TRAVEL: Final = "M"
"""In `objective` beside the levels: minutes one way, over all who move. Level D has what fairness costs in it too. Proposals of earlier versions lack it."""


class Step(Command):
    """Where an order stands, in the words of the site. Of several lines, those that are already there stay as they are."""

    line: str
    lines: tuple[str, ...] = Field(
        default=(), max_length=MOST_STEPS - 1, description="more lines, in the same breath"
    )


@message
class AcceptReassignment(Step):
    """The site manager has taken the order."""


@message
class ArriveReassignment(Step):
    """The agents are at work."""


@message
class ReleaseReassignment(Step):
    """The agents go back to their usual work."""
