"""Resources of demands for the attention of a role. Rule D77."""

from pydantic import Field

from services.console.resource_base import Resource, Time


class DemandLine(Resource):
    """One decision that waits, with the number of things behind it."""

    key: str = Field(
        description="the decision: `plan:PT-ELEC`, `escalation:…`, `silent:…`, "
        "`clocks:rto:sites:care`, …"
    )
    kind: str = Field(
        description="danger, danger_doubted, danger_placeless, headcount_proposed, help, missing, "
        "counting, headcount, escalation, level_proposed, lowering_proposed, plan_proposed, "
        "cards_late, clocks_rto, clocks_dmia, "
        "reassignment_proposed, action, action_late, resource_request, resource_late, obligation, "
        "obligation_late, handover_signed, handover_returned, statement_submitted, "
        "change_proposed, erasure_proposed, page_dangerous, page_stale, strategy_dangerous, "
        "or a kind of task"
    )
    urgency: int = Field(
        description="1 people in danger or unaccounted for, 2 people without care, 3 decisions "
        "that expire, 4 the rest"
    )
    since: Time
    due_at: Time | None
    count: int = Field(description="number of sites, tasks, clocks, cards or people concerned")
    others: int = Field(
        default=0, description="other dangers beyond the limit, which this row tells"
    )
    roles: list[str]
    answered: list[str] = Field(
        default_factory=list, description="roles among them that took charge: asked no more"
    )
    incident: str | None
    plan: str | None
    escalation: str | None
    activity: str | None = Field(
        default=None, description="activity with the first limit of clocks_rto or clocks_dmia"
    )
    report: str | None = Field(
        default=None, description="newest report of the oldest danger_doubted or danger_placeless"
    )


class AttentionState(Resource):
    """The queue of one role, the most urgent first."""

    realm: str
    role: str | None
    at: Time
    queue: list[DemandLine]
    digest: list[DemandLine] = Field(
        description="number of least urgent demands held back; never danger to people"
    )
    rate: int = Field(description="new demands in the last 10 minutes")
    limit: int = Field(
        description="largest number that one person can follow in 10 minutes (EEMUA 191)"
    )
