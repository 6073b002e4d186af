"""Decisions about actions: requests and answers, and instructions of the cell to a site.

An instruction is a task of the site's manager and a message. Rules D87 and D99.
"""

from typing import Final

from schemas import commands as c
from schemas.base import Command
from schemas.crisis import actions as a
from schemas.ranks import SITE_MANAGER_ROLE, may_work_card, speaks_for_cell
from schemas.words import ActionState
from services.alerts import actions
from services.alerts.commands import reports
from services.alerts.decision import (
    AlertsDecision,
    find_open_task,
    get_incident,
    get_report,
    open_task,
)
from services.alerts.escalation import notifications
from services.alerts.escalation.steps import list_called_people
from services.alerts.reference.territory import INSTRUCTION_DUE_MS
from services.runtime.decider.protocol import CommandResult, RefusedCommand

TEMPLATE: Final = "instruction"


def instruct_site(draft: AlertsDecision, command: c.InstructSite) -> CommandResult:
    """Open the task of the site's manager and notify them, or their deputy.

    A maintenance window does not withhold a person's text.
    """
    if command.site not in draft.territory.sites:
        raise RefusedCommand(404, "site_not_found", site=command.site)
    incident = command.incident
    if command.report is not None:
        get_report(draft, command.report)
        incident = incident or draft.incident_of(command.report)
    row = get_incident(draft, incident) if incident is not None else None
    due_at = draft.now + INSTRUCTION_DUE_MS
    open_task(
        draft,
        "instruction",
        site=command.site,
        incident=incident,
        report=command.report,
        due_at=due_at,
        owner=f"{SITE_MANAGER_ROLE}:{command.site}",
        text_id=command.text_id,
        asked_by=command.author,
    )
    task = find_open_task(draft, "instruction", command.text_id)
    assert task is not None
    loud = row is not None and notifications.get_suppression_reason(row) is None
    notifications.inform_roles(
        draft,
        (SITE_MANAGER_ROLE,),
        pole=None,
        site=command.site,
        incident=incident if loud else None,
        template=TEMPLATE,
        values={"text": command.text_id, "site": command.site, "limit_at": due_at},
    )
    return {"task": task.id, "site": command.site}


def request_action(draft: AlertsDecision, command: a.RequestAction) -> CommandResult:
    """Open an action and call its assignee."""
    role, scope, person = resolve_assignee(draft, command.assignee)
    if command.incident is not None:
        get_incident(draft, command.incident)
    if command.plan is not None and command.plan not in {p.id for p in draft.territory.plans}:
        raise RefusedCommand(404, "plan_not_found", plan=command.plan)
    if command.due_at <= draft.now:
        raise RefusedCommand(409, "until_past")
    row = a.ActionRow(
        id=draft.derive("action"),
        state=ActionState.REQUESTED,
        text_id=command.text_id,
        assignee=command.assignee,
        role=role,
        scope=scope,
        person=person,
        incident=draft.resolve_incident(command.incident),
        plan=command.plan,
        priority=command.priority,
        requested_by=command.author,
        requested_role=command.role,
        requested_at=draft.now,
        due_at=command.due_at,
    )
    actions.open_action(draft, row)
    return _build_result(draft, row.id)


def resolve_assignee(draft: AlertsDecision, assignee: str) -> tuple[str, str | None, str | None]:
    """Return role, scope and person of the assignee; refuse an unknown one (404).

    A site means its manager. A role of pôles or sites needs its scope (409).
    """
    if assignee in draft.territory.sites:
        return SITE_MANAGER_ROLE, assignee, None
    role, _, scope = assignee.partition(":")
    scopes = draft.state.rota.scopes(role)
    policy = draft.territory.policy
    if scopes or (policy is not None and role in policy.roles):
        if scope and scope not in scopes:
            raise RefusedCommand(404, "assignee_not_found", assignee=assignee)
        if not scope and scopes and None not in scopes:
            raise RefusedCommand(409, "assignee_scope_missing", assignee=assignee)
        return role, scope or None, None
    if draft.territory.channels(assignee) or assignee in draft.state.reach:
        return (*actions.find_named_role(draft, assignee), assignee)
    raise RefusedCommand(404, "assignee_not_found", assignee=assignee)


def accept_action(draft: AlertsDecision, command: a.AcceptAction) -> CommandResult:
    """Accept an action, or take over one that another person accepted.

    A task of the rules is a kind of action; it is taken.
    """
    if command.action in draft.state.tasks:
        return reports.take_task(
            draft, c.TakeTask(author=command.author, role=command.role, task=command.action)
        )
    row = _get_open_action(draft, command.action)
    _check_answerer(draft, command, row)
    if row.accepted_by == command.author:
        raise RefusedCommand(409, "action_not_requested", state=row.state.value)
    actions.accept(draft, row, command.author)
    return _build_result(draft, row.id)


def decline_action(draft: AlertsDecision, command: a.DeclineAction) -> CommandResult:
    row = _get_open_action(draft, command.action)
    _check_answerer(draft, command, row)
    actions.decline(draft, row, command.author, command.reason)
    return _build_result(draft, row.id)


def complete_action(draft: AlertsDecision, command: a.CompleteAction) -> CommandResult:
    """Mark an action, or a task of the rules, as done."""
    if command.action in draft.state.tasks:
        completion = c.CompleteTask(
            author=command.author,
            role=command.role,
            task=command.action,
            outcome=command.outcome or "done",
        )
        return reports.complete_task(draft, completion)
    row = _get_open_action(draft, command.action)
    _check_answerer(draft, command, row)
    actions.complete(draft, row, command.author)
    return _build_result(draft, row.id)


def cancel_action(draft: AlertsDecision, command: a.CancelAction) -> CommandResult:
    """Cancel an action: the cell and the requester may."""
    row = _get_open_action(draft, command.action)
    if not _is_of_cell(command) and command.author != row.requested_by:
        raise RefusedCommand(403, "not_requester", action=row.id)
    actions.cancel(draft, row, command.author, command.reason)
    return _build_result(draft, row.id)


def _get_open_action(draft: AlertsDecision, id: str) -> a.ActionRow:
    """Return an action that is requested or accepted; refuse any other (404, 409)."""
    row = draft.state.actions.get(id)
    if id in draft.state.tasks:
        raise RefusedCommand(409, "task_of_rules", action=id)
    if row is None:
        raise RefusedCommand(404, "action_not_found", action=id)
    if row.state not in a.OPEN_ACTION_STATES:
        raise RefusedCommand(409, "action_not_open", state=row.state.value)
    return row


def _check_answerer(draft: AlertsDecision, command: Command, row: a.ActionRow) -> None:
    """Refuse (403) an answer of a person without part in the action.

    The assignee answers, the people called, higher roles, and the cell for them.
    """
    if _is_of_cell(command) or may_work_card(command.role, row.role):
        return
    called_people = list_called_people(draft, draft.state.escalations[row.escalation or ""])
    if command.author not in {*called_people, row.person, row.accepted_by}:
        raise RefusedCommand(403, "not_assignee", action=row.id)


def _is_of_cell(command: Command) -> bool:
    """Return whether the author acts in a function of the cell, or is a program of it."""
    return speaks_for_cell(command.role) or command.role == "system"


def _build_result(draft: AlertsDecision, id: str) -> CommandResult:
    row = draft.state.actions[id]
    return {"action": row.id, "state": row.state.value, "version": row.version}
