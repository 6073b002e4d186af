"""Life of an action: request, reminder, answer, lateness and end. Rule D87, actions.

An action has an escalation of its own. Its steps are the assignee, the deputy once it is late, and
the pilot. So an assignee who is unreachable climbs as in any escalation.
"""

from typing import Any, Final

from schemas.base import MINUTE_MS, Instant, copy_with
from schemas.calling import EscalationRow, NotificationWithdrawn, RoleUncovered, WaveRow
from schemas.callouts import AGENT
from schemas.crisis.actions import ACTION_ARROWS, OPEN_ACTION_STATES, ActionChanged, ActionRow
from schemas.words import ActionPriority, ActionState, Answer, Channel
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import responses, steps
from services.alerts.escalation.escalations import end_escalation
from services.alerts.escalation.notifications import inform_people
from services.alerts.escalation.oncall import (
    ASSIGNEE,
    DEPUTY,
    PILOT,
    find_action_level,
    find_assignee,
    find_new_holder,
    find_pilots,
    find_reachable_person,
    find_role_of,
    list_channels,
)

ESCALATION_NAME: Final = "action"
"""Name of the escalation of an action, beside N1 to N4."""
PILOT_AFTER_MIN: Final = 10
"""Minutes between the calls of the deputy and of the pilot, as for overdue cards (D50)."""
REMINDER: Final = "action_reminder"
DUE: Final = "action_due"
"""Message that asks for the end of an accepted action: an acknowledgement completes it."""
DECLINED: Final = "action_declined"
CANCELLED: Final = "action_cancelled"
CLOSING: Final = "closing"
"""Change of the action with which the next step goes on, when an incident of very many closes."""
CANCELLED_PER_STEP: Final = 20
_CHANNELS: Final = {
    ActionPriority.LOW: (Channel.APP, Channel.EMAIL, Channel.SMS),
    ActionPriority.NORMAL: (Channel.APP, Channel.SMS),
    ActionPriority.HIGH: (Channel.SMS, Channel.APP),
    ActionPriority.URGENT: (Channel.VOICE, Channel.SMS, Channel.APP),
}


def open_action(draft: AlertsDecision, row: ActionRow) -> None:
    """Record a new action and call its assignee."""
    row = copy_with(
        row,
        {
            "escalation": draft.derive("escalation"),
            "next_at": row.requested_at + (row.due_at - row.requested_at) // 2,
        },
    )
    _record(draft, row, "requested")
    _start_escalation(draft, row)


def _record(draft: AlertsDecision, row: ActionRow, change: str, **values: Any) -> ActionRow:
    """Record a change of an action, and return the row."""
    state = values.get("state", row.state)
    assert state == row.state or state in ACTION_ARROWS[row.state], (row.state, state)
    row = copy_with(row, values)
    draft.emit(ActionChanged(row=row, change=change))
    return row


def _start_escalation(draft: AlertsDecision, row: ActionRow) -> None:
    assert row.escalation is not None
    policy, post = draft.territory.policy, find_assignee(draft, row)
    if post.holder is None or not list_channels(draft, post.holder):
        draft.emit(RoleUncovered(escalation=row.escalation, role=post.role, scope=post.scope))
    escalation = EscalationRow(
        id=row.escalation,
        ladder=ESCALATION_NAME,
        scope=f"action:{row.id}",
        action=row.id,
        state="running",
        policy=draft.state.version,
        started_at=draft.clock,
        wave=0,
        cycle=1,
        level=find_action_level(draft, row),
        waves=_build_steps(row),
        later=(_build_step(row, 3, PILOT, row.due_at, 0),),
        repeat_after_min=policy.repeat.after_min if policy is not None else PILOT_AFTER_MIN,
        repeat_times=policy.repeat.times if policy is not None else 1,
    )
    steps.record_escalation(draft, steps.fire_next_wave(draft, escalation), "started")


def _build_steps(row: ActionRow) -> tuple[WaveRow, ...]:
    """Return the steps: assignee now, deputy when the action is late, pilot after that."""
    late_min = (row.due_at - row.requested_at) // MINUTE_MS
    pilot_at = row.due_at + PILOT_AFTER_MIN * MINUTE_MS
    return (
        _build_step(row, 1, ASSIGNEE, row.requested_at, 0, max(1, late_min // 2)),
        _build_step(row, 2, DEPUTY, row.due_at, late_min),
        _build_step(row, 3, PILOT, pilot_at, late_min + PILOT_AFTER_MIN),
    )


def _build_step(
    row: ActionRow,
    number: int,
    name: str,
    due_at: Instant,
    after_min: int,
    ack_min: int = PILOT_AFTER_MIN,
) -> WaveRow:
    return WaveRow(
        wave=number,
        cycle=1,
        due_at=due_at,
        state="waiting",
        roles=(name,),
        expected=1,
        after_min=after_min,
        ack_min=ack_min,
        channels=_CHANNELS[row.priority],
    )


# ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def apply_answer(
    draft: AlertsDecision, notification: str, person: str, answer: Answer, instead: str | None
) -> None:
    """Move an action by the answer to one of its calls.

    The escalation has counted the answer already. A decline that names a substitute only passes
    the call on.
    """
    call = draft.state.calls.get(notification)
    escalation = draft.state.escalations.get(call.escalation or "") if call is not None else None
    row = draft.state.actions.get(escalation.action or "") if escalation is not None else None
    if call is None or escalation is None or row is None or row.state not in OPEN_ACTION_STATES:
        return
    if answer is Answer.ACK:
        if call.template == DUE and row.state is ActionState.ACCEPTED:
            complete(draft, row, person)
        elif row.accepted_by != person:
            _record_acceptance(draft, row, person)
    elif instead is None and responses.ends_action(draft, escalation, call):
        decline(draft, row, person, None)


def accept(draft: AlertsDecision, row: ActionRow, author: str) -> ActionRow:
    """Accept an action on a screen: the escalation stops until the due time."""
    escalation = _get_escalation(draft, row)
    calls = [
        n
        for w in escalation.waves
        for n in w.notifications
        if draft.state.calls[n].person == author
    ]
    for notification in calls:  # delivery did not see this answer
        draft.emit(NotificationWithdrawn(notification=notification, why=Answer.ACK.value))
    if escalation.state in ("running", "exhausted", "answered"):
        responses.count_acknowledgement(draft, escalation, author, max(escalation.wave, 1))
    return _record_acceptance(draft, row, author)


def _record_acceptance(draft: AlertsDecision, row: ActionRow, person: str) -> ActionRow:
    return _record(
        draft,
        row,
        "accepted",
        state=ActionState.ACCEPTED,
        accepted_by=person,
        accepted_at=draft.now,
        next_at=row.due_at if row.overdue_at is None else None,
        version=row.version + 1,
    )


def complete(draft: AlertsDecision, row: ActionRow, author: str) -> ActionRow:
    """Mark an action as done; one that nobody accepted is accepted first."""
    if row.state is ActionState.REQUESTED:
        row = accept(draft, row, author)
    return _end(draft, row, "done", ActionState.DONE, author)


def decline(draft: AlertsDecision, row: ActionRow, author: str, reason: str | None) -> ActionRow:
    """Decline an action, and notify its requester and the pilot."""
    row = _end(draft, row, "declined", ActionState.DECLINED, author, reason)
    pilots = (find_reachable_person(draft, post) for post in find_pilots(draft, row))
    recipients = dict.fromkeys(
        p for p in (row.requested_by, *pilots) if p is not None and p != author
    )
    _inform(draft, row, tuple(recipients), DECLINED)
    return row


def cancel(draft: AlertsDecision, row: ActionRow, author: str, reason: str | None) -> ActionRow:
    """Cancel an action, and notify the people that were called for it."""
    called_people = steps.list_called_people(draft, _get_escalation(draft, row))
    row = _end(draft, row, "cancelled", ActionState.CANCELLED, author, reason)
    _inform(draft, row, tuple(p for p in called_people if p != author), CANCELLED)
    return row


def cancel_actions(draft: AlertsDecision, incident: str, author: str, reason: str | None) -> None:
    """Cancel the open actions of an incident that a person closes.

    A Transaction holds a part of very many; the next deadline goes on with the others.
    """
    rows = [
        row
        for _id, row in sorted(draft.state.actions.items())
        if row.state in OPEN_ACTION_STATES and draft.resolve_incident(row.incident) == incident
    ]
    for row in rows[:CANCELLED_PER_STEP]:
        cancel(draft, row, author, reason)
    for row in rows[CANCELLED_PER_STEP:][:1]:
        _record(draft, row, CLOSING, next_at=draft.now, ended_by=author, reason=reason)


def _end(
    draft: AlertsDecision,
    row: ActionRow,
    change: str,
    state: ActionState,
    author: str,
    reason: str | None = None,
) -> ActionRow:
    """End an action: stop its clock and withdraw the calls that wait for an answer."""
    row = _record(
        draft,
        row,
        change,
        state=state,
        ended_by=author,
        ended_at=draft.now,
        next_at=None,
        reason=reason,
        version=row.version + 1,
    )
    escalation = _get_escalation(draft, row)
    end_escalation(draft, escalation, None, "ended", change)
    for call in (draft.state.calls[n] for w in escalation.waves for n in w.notifications):
        if call.template == DUE and call.person in escalation.acknowledged_by:
            draft.emit(NotificationWithdrawn(notification=call.notification, why=change))
    return row


def _inform(draft: AlertsDecision, row: ActionRow, persons: tuple[str, ...], template: str) -> None:
    inform_people(
        draft,
        persons,
        draft.resolve_incident(row.incident),
        template,
        steps.build_action_values(draft, row),
        despite_quiet_hours=steps.passes_quiet_hours(draft, row),
    )


def _get_escalation(draft: AlertsDecision, row: ActionRow) -> EscalationRow:
    return draft.state.escalations[row.escalation or ""]


# ── the clock ──────────────────────────────────────────────────────────────────────────────────────────────────────


def on_action_due(draft: AlertsDecision, id: str) -> None:
    """Remind of an unanswered action at half of its delay; later record that it is late."""
    row = draft.state.actions[id]
    if row.state not in OPEN_ACTION_STATES:
        return
    if row.ended_by is not None:
        incident = draft.resolve_incident(row.incident) or ""
        cancel_actions(draft, incident, row.ended_by, row.reason)
        return
    if draft.clock >= row.due_at:
        _record_lateness(draft, row)
    else:
        _remind(draft, row)


def _remind(draft: AlertsDecision, row: ActionRow) -> None:
    row = _record(draft, row, "reminded", reminded_at=draft.now, next_at=row.due_at)
    escalation = _get_escalation(draft, row)
    if find_new_holder(draft, escalation, row) is not None:
        escalation = _call_new_holder(draft, escalation)
    else:
        for person in steps.list_called_people(draft, escalation):
            if person not in escalation.acknowledged_by:
                escalation = _call(draft, escalation, person, REMINDER)
    steps.record_escalation(draft, escalation, "reminded")


def _call_new_holder(draft: AlertsDecision, escalation: EscalationRow) -> EscalationRow:
    """Ask the new holder of a role for an action, and remind the former one no more."""
    first = escalation.waves[0]
    for notification in first.notifications:
        if draft.state.calls[notification].person not in escalation.acknowledged_by:
            draft.emit(NotificationWithdrawn(notification=notification, why="role_changed"))
    row = draft.state.actions[escalation.action or ""]
    notifications, _ = steps.call_roles(draft, escalation, first, [find_assignee(draft, row)], ())
    return steps.replace_wave(escalation, 0, notifications=(*first.notifications, *notifications))


def _record_lateness(draft: AlertsDecision, row: ActionRow) -> None:
    """Record that an action is late; call the deputy although somebody accepted it.

    The escalation of an unanswered action calls the deputy by itself at this time.
    """
    row = _record(draft, row, "overdue", overdue_at=row.due_at, next_at=None)
    if row.state is not ActionState.ACCEPTED or row.accepted_by is None:
        return
    escalation = _call(draft, _get_escalation(draft, row), row.accepted_by, DUE)
    steps.escalate_by_hand(draft, copy_with(escalation, {"state": "running"}))


def _call(
    draft: AlertsDecision, escalation: EscalationRow, person: str, template: str
) -> EscalationRow:
    """Call a person of an action again, within the newest step that fired."""
    index = max(n for n, w in enumerate(escalation.waves) if w.fired_at is not None)
    wave, post = escalation.waves[index], steps.find_called_role(draft, escalation, person)
    notification = steps.plan_notification(draft, escalation, wave, post, person, template)
    if notification is None:
        return escalation
    return steps.replace_wave(escalation, index, notifications=(*wave.notifications, notification))


def find_named_role(draft: AlertsDecision, person: str) -> tuple[str, str | None]:
    """Return the on-call role and scope of a person now; `AGENT` for none."""
    role = find_role_of(draft, person) or AGENT
    scopes = draft.state.rota.scopes(role)
    pairs = ((scope, draft.state.rota.pair(role, scope, draft.clock)) for scope in scopes)
    return role, next((s for s, now in pairs if person in (now.holder, now.deputy)), None)
