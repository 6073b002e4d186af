"""Queries about actions and the tasks of the rules, which are kinds of actions. Rule D87."""

from collections.abc import Callable, Sequence
from typing import Final

from schemas import alerts as a
from schemas.base import Instant
from schemas.crisis import actions as act
from schemas.words import ActionPriority, ActionState, TaskState
from services.console import resources as r
from services.console.http.problems import NotFound
from services.console.incidents.merging import list_merged_incidents
from services.console.messages.queries import INSTRUCTION, is_overdue
from services.console.read_model.query_base import (
    UNLIMITED,
    OpenedRealm,
    QueryBase,
    get_snapshot_time,
)
from services.console.resources import Page
from services.runtime.http.pagination import paginate

REQUEST: Final = "request"
"""Kind of an action that a person asked for; every other kind is one of a task."""
OPEN_STATES: Final = act.OPEN_ACTION_STATES
ACTION_STATE_OF_TASK: Final = {
    TaskState.OPEN: ActionState.REQUESTED,
    TaskState.TAKEN: ActionState.ACCEPTED,
    TaskState.DONE: ActionState.DONE,
    TaskState.VOID: ActionState.CANCELLED,
}
CanRead = Callable[[r.Action], bool]
"""Function that says whether the reader may see the words of an action."""


def never_read(_action: r.Action) -> bool:
    """Return False: no words are shown."""
    return False


class ActionQueries(QueryBase):
    """Queries about actions. Rule D87."""

    async def actions(
        self,
        *,
        state: Sequence[str] = (),
        kind: str | None = None,
        assignee: str | None = None,
        incident: str | None = None,
        plan: str | None = None,
        late: bool | None = None,
        can_read: CanRead = never_read,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.Action]:
        """List actions: open ones first, the earliest due first; then the newest end.

        `assignee` is a role, a pôle, a site or a person.
        """
        view = await self.read()
        requests = (await view.picture.rows(act.ActionRow)).values()
        tasks = (await view.picture.rows(a.TaskRow)).values()
        incidents = await view.picture.rows(a.IncidentRow) if incident is not None else {}
        of_incident = None if incident is None else list_merged_incidents(incidents, incident)
        at = get_snapshot_time(view.picture)
        all_kinds = [_build_action(view, row, at) for row in requests if kind in (None, REQUEST)]
        all_kinds += [_build_task_action(view, t, at) for t in tasks if kind in (None, t.kind)]
        matching_actions = [
            x
            for x in all_kinds
            if (not state or x.state in state)
            and (assignee is None or assignee in (x.assignee, x.role, x.scope, x.person, x.site))
            and (of_incident is None or x.incident in of_incident)
            and (plan is None or x.plan == plan)
            and (late is None or x.late == late)
        ]
        page_actions, following = paginate(matching_actions, _sort_key, limit, cursor)
        words = await self._words(view, page_actions, can_read)
        return Page(items=words, next=following)

    async def action(self, id: str, *, can_read: CanRead = never_read) -> r.Action:
        """Return one action or task. Raises NotFound."""
        view = await self.read()
        row = await view.picture.row(act.ActionRow, id)
        task = await view.picture.row(a.TaskRow, id) if row is None else None
        at = get_snapshot_time(view.picture)
        if row is not None:
            action = _build_action(view, row, at)
        elif task is not None:
            action = _build_task_action(view, task, at)
        else:
            raise NotFound
        return (await self._words(view, [action], can_read))[0]

    async def some_actions(self, view: OpenedRealm, ids: Sequence[str]) -> list[r.Action]:
        """Return these actions for events, without the words of people."""
        rows = await view.picture.some(act.ActionRow, ids)
        at = get_snapshot_time(view.picture)
        return [_build_action(view, row, at) for row in rows.values()]

    async def _words(
        self, view: OpenedRealm, actions: Sequence[r.Action], can_read: CanRead
    ) -> list[r.Action]:
        """Return the actions with the words of people that the reader may see."""
        readable = [x.id for x in actions if can_read(x)]
        rows = await view.picture.some(act.ActionRow, readable)
        return [
            x.model_copy(
                update={
                    "title": self.words_of(rows[x.id].text_id),
                    "reason": self.reason_of(rows[x.id].reason),
                }
            )
            if x.id in rows
            else x
            for x in actions
        ]


def _sort_key(action: r.Action) -> tuple[bool, float, str]:
    is_open = action.state in OPEN_STATES
    at = action.due_at if is_open else action.ended_at
    second = at.timestamp() if at is not None else action.requested_at.timestamp()
    return (not is_open, second if is_open else -second, action.id)


def _build_action(view: OpenedRealm, row: act.ActionRow, at: Instant) -> r.Action:
    return r.Action.from_row(
        row,
        realm=view.shape.realm,
        kind=REQUEST,
        title=None,
        site=row.scope if row.scope in view.shape.reference.sites else None,
        late=row.state in OPEN_STATES and row.due_at <= at,
        outcome=None,
        reason=None,
    )


def _build_task_action(view: OpenedRealm, row: a.TaskRow, at: Instant) -> r.Action:
    task = view.shape.task(row)
    role, _, scope = (row.owner or "").partition(":")
    has_ended = row.state in (TaskState.DONE, TaskState.VOID)
    return r.Action.from_row(
        row,
        realm=task.realm,
        title=None if row.kind == INSTRUCTION else task.title,
        state=ACTION_STATE_OF_TASK[row.state],
        assignee=row.owner,
        role=role or None,
        scope=scope or None,
        person=None,
        plan=None,
        priority=ActionPriority.NORMAL,
        requested_by=row.asked_by,
        requested_at=task.opened_at,
        due_at=task.due_at,
        late=is_overdue(row, at),
        reminded_at=None,
        accepted_by=None if has_ended and row.state is TaskState.VOID else row.taken_by,
        accepted_at=None,
        ended_by=row.taken_by if row.state is TaskState.DONE else None,
        ended_at=task.done_at if has_ended else None,
        reason=None,
        escalation=None,
        version=1,
    )
