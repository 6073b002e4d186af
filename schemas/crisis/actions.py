"""Actions of the crisis cell: a task of a person, role or site with a due time. Rule D87."""

from typing import ClassVar, Final

from pydantic import Field

from schemas.base import Command, Instant, Model, RowFact, register_message
from schemas.words import ActionPriority, ActionState

ACTION_ARROWS: Final[dict[ActionState, frozenset[ActionState]]] = {
    ActionState.REQUESTED: frozenset(
        {ActionState.ACCEPTED, ActionState.DECLINED, ActionState.CANCELLED}
    ),
    ActionState.ACCEPTED: frozenset(
        {ActionState.DONE, ActionState.DECLINED, ActionState.CANCELLED}
    ),
    ActionState.DONE: frozenset(),
    ActionState.DECLINED: frozenset(),
    ActionState.CANCELLED: frozenset(),
}
"""State of an action → states that may follow it."""
OPEN_ACTION_STATES: Final = frozenset({ActionState.REQUESTED, ActionState.ACCEPTED})
"""States in which the clock of an action runs."""


@register_message
class RequestAction(Command):
    """Ask a role, a person or a site to do something until a time.

    The title is in `texts`. Rule D87.
    """

    text_id: str
    assignee: str = Field(
        max_length=128,
        description="role, `<role>:<pôle or site>`, token of a person, or site (its manager)",
    )
    due_at: Instant
    incident: str | None = None
    plan: str | None = None
    priority: ActionPriority = ActionPriority.NORMAL


@register_message
class AcceptAction(Command):
    """Accept an action: the author does it."""

    action: str


@register_message
class DeclineAction(Command):
    """Decline an action; its requester gives it to somebody else."""

    action: str


@register_message
class CompleteAction(Command):
    """Mark an action as done; one that nobody accepted is accepted by the author at once."""

    action: str
    outcome: str | None = Field(
        default=None, description="code of the result, of a task of the rules only: confirmed, …"
    )


@register_message
class CancelAction(Command):
    """Cancel an action that is no longer needed, and withdraw its calls."""

    action: str


class ActionRow(Model):
    """One action, from the request to its end."""

    id: str
    state: ActionState
    text_id: str = Field(description="the title, in `texts`")
    assignee: str = Field(description="as it was asked: role, `<role>:<scope>`, person or site")
    role: str = Field(description="role of the assignee; `agent` for a person without one")
    scope: str | None = Field(default=None, description="pôle or site of the role")
    person: str | None = Field(
        default=None, description="token of the person that was named; None: whoever is on call"
    )
    incident: str | None = None
    plan: str | None = None
    priority: ActionPriority
    requested_by: str
    requested_role: str
    requested_at: Instant
    due_at: Instant
    next_at: Instant | None = Field(
        default=None, description="next check: the reminder, then the due time"
    )
    reminded_at: Instant | None = None
    overdue_at: Instant | None = None
    accepted_by: str | None = None
    accepted_at: Instant | None = None
    ended_by: str | None = None
    ended_at: Instant | None = None
    reason: str | None = Field(
        default=None, description="why it was declined or cancelled: `text:<id>`"
    )
    escalation: str | None = None
    version: int = Field(default=1, description="counts decisions of people")


@register_message
class ActionChanged(RowFact):
    """An action changed.

    `change`: requested, reminded, accepted, overdue, done, declined, cancelled; closing, while its
    incident closes with very many actions.
    """

    collection: ClassVar[str] = "actions"
    row: ActionRow
    change: str
