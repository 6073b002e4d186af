"""Resources of reassignment: proposals and their lines."""

from pydantic import ConfigDict, Field

from schemas.reassignment import LineState, Preference, ProposalState
from services.console.resource_base import Resource, Time


class ReassignmentReason(Resource):
    code: str = Field(description="R1 … R9 or a code of docs/reference/reassignment-model.md")
    text: str
    values: dict[str, str | int]


class ReassignmentEnd(Resource):
    """One end of a reassignment. `site` is `telework` for work at home."""

    site: str
    name: str
    activity: str
    activity_name: str


class ReassignmentLine(Resource):
    """A number of agents of one métier, without names, and their new work.

    `to.activity` is their work at `to.site`, done for `need_site`.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True
    )

    id: str
    realm: str
    proposal: str
    source: ReassignmentEnd = Field(alias="from")
    target: ReassignmentEnd = Field(alias="to")
    need_site: str | None
    metier: str
    metier_name: str
    need_metier: str | None
    need_metier_name: str | None = Field(
        description="work that they do there, if it belongs to another métier"
    )
    supply: str = Field(
        description="displaced = their site is lost; releasable = they leave less urgent work"
    )
    own_work: bool
    count: int
    recalled: int | None = Field(
        description=(
            "agents of `count` at places where an approved line needs nobody any more; "
            "approving this line ends that one. null = not computed"
        )
    )
    held: int | None = Field(
        description=(
            "agents of `count` at places where an approved line needs only others of its "
            "agents; release that line before you approve this one. null = not computed"
        )
    )
    vulnerable_public: int = Field(
        default=0, description="0–3: dependence of vulnerable people on this work (D82)"
    )
    criticality: int
    score: dict[str, int] = Field(
        description="tenths, minutes (one way), co2_g (both ways, per agent)"
    )
    state: LineState
    why: list[ReassignmentReason]
    incident: str | None
    needed: int | None = Field(description="approved line: number of agents still needed")
    approved_by: str | None
    approved_role: str | None
    approved_at: Time | None
    rules: list[str]
    dispatched_at: Time | None
    starts_at: Time | None = Field(
        default=None, description="start: next opening of the activity's calendar"
    )
    ends_at: Time | None = Field(
        default=None, description="end as announced at the dispatch; null = until further notice"
    )
    accepted_at: Time | None
    arrived_at: Time | None
    ended_at: Time | None
    cause: str | None
    changed_by: str | None = Field(
        default=None, description="token of the author of the last step; null = no step yet"
    )
    reason: str | None = Field(
        default=None,
        description="why the order was refused; null = not refused, not yours to read, or erased",
    )


class MissingAgents(Resource):
    activity: str
    activity_name: str
    metier: str
    metier_name: str
    sites: list[str]
    sites_more: int
    count: int
    missing: str = Field(description="people or seats")
    why: list[ReassignmentReason]
    outside_help: list[str]


class ProposalDecision(Resource):
    id: str
    verb: str
    lines: list[str]
    agents: int
    by: str
    role: str
    at: Time
    rules: list[str]


class Flow(Resource):
    source: str
    target: str
    work: str
    count: int


class Proposal(Resource):
    """A proposal of the planner; `lines` is set only if it is read alone."""

    id: str
    realm: str
    number: int
    state: ProposalState
    preference: Preference
    reference: str
    incident: str | None
    requested_at: Time
    computed_at: Time
    sites_hit: int
    elapsed_h: float
    transit: bool
    telework: bool
    objective: dict[str, int]
    open_level: str | None = Field(
        description="first level not proved optimal; null = all are proved"
    )
    bound: float | None
    demand: int
    unmet_agents: int
    displaced: int
    own_work: int
    idle_agents: int
    suspended_agents: int
    travelling: int
    agents: int
    lines_total: int
    undecided: int
    withdrawn: int = Field(
        description=(
            "lines that can no longer be decided: people shelter or are being counted at "
            "their places"
        )
    )
    estimated: list[str] = Field(
        description=(
            "evacuated sites of which nobody has counted anybody: their agents are those planned "
            "there"
        )
    )
    kept: int
    changed: int
    unmet: list[MissingAgents]
    idle: list[MissingAgents]
    suspended: list[MissingAgents]
    not_shown: int
    flow: list[Flow]
    decisions: list[ProposalDecision]
    superseded_by: str | None
    failure: str | None
    version: int = Field(description="number of decisions; also the ETag")
    lines: list[ReassignmentLine] | None = None
