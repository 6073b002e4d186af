"""Resources of actions."""

from pydantic import Field

from schemas.words import ActionPriority, ActionState
from services.console.resource_base import Resource, Time


class Action(Resource):
    """Something that somebody has to do until a time: an action, or a task of the rules."""

    id: str
    realm: str
    kind: str = Field(
        description="`request`: asked by a person; else the kind of a task of the rules"
    )
    title: str | None = Field(
        description="for the cell, who asked and who is concerned; None once it was erased"
    )
    state: ActionState
    assignee: str | None = Field(description="role, `<role>:<scope>`, person or site")
    role: str | None
    scope: str | None = Field(description="pôle or site of the role")
    person: str | None = Field(description="token of a person that was named")
    site: str | None
    incident: str | None
    plan: str | None
    priority: ActionPriority
    requested_by: str | None
    requested_at: Time
    due_at: Time | None
    late: bool = Field(description="open past `due_at`")
    reminded_at: Time | None
    accepted_by: str | None
    accepted_at: Time | None
    ended_by: str | None
    ended_at: Time | None
    outcome: str | None = Field(description="code of the result of a task")
    reason: str | None = Field(description="why it was declined or cancelled, as the title")
    escalation: str | None
    version: int
