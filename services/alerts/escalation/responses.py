"""Apply people's answers to an escalation, and continue it without them. Rules D33 and D34."""

from schemas.base import MINUTE_MS, Instant, copy_with
from schemas.calling import (
    AnswerRecorded,
    EscalationRow,
    NotificationPlanned,
    NotificationWithdrawn,
    RoleUncovered,
    WaveRow,
)
from schemas.crisis.actions import OPEN_ACTION_STATES
from schemas.reports import ReportReceived
from schemas.words import ActionState, Answer, IncidentState
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import cell_staffing
from services.alerts.escalation.notifications import WITHDRAWN_TEMPLATE, inform_people
from services.alerts.escalation.oncall import (
    OnCallRole,
    get_holder_and_deputy,
    list_channels,
    list_incidents,
    others_held,
    own_posts,
    resolve_roles,
)
from services.alerts.escalation.steps import (
    call_roles,
    find_called_role,
    find_escalation,
    fire_next_wave,
    format_role,
    is_wanted,
    list_called_people,
    plan_notification,
    record_escalation,
    replace_wave,
    restart_escalation,
    revive_skipped_waves,
    schedule_next_step,
)
from services.alerts.evolve import OPEN
from services.alerts.incidents.incident_lifecycle import is_error
from services.alerts.levels.levels import TERRITORY


def apply_answer(
    draft: AlertsDecision,
    notification: str,
    person: str,
    answer: Answer,
    instead: str | None = None,
) -> None:
    """Apply a person's answer to a notification of an escalation.

    `instead` is a person that they ask to be called in their place. Rule D33, answers.
    """
    call = draft.state.calls.get(notification)
    row = (
        draft.state.escalations.get(call.escalation)
        if call is not None and call.escalation is not None
        else None
    )
    if call is None or row is None:
        draft.emit(
            AnswerRecorded(
                escalation=None,
                notification=notification,
                person=person,
                answer=answer,
                at=draft.now,
            )
        )
        return
    late = row.state != "running" or (call.cycle or 1, call.wave or 1) != (row.cycle, row.wave)
    draft.emit(
        AnswerRecorded(
            escalation=row.id,
            notification=notification,
            person=person,
            answer=answer,
            wave=call.wave,
            late=late,
            at=draft.now,
            action=row.action,
        )
    )
    if row.state in ("superseded", "ended"):
        return
    if answer is Answer.DECLINE and instead is None and ends_action(draft, row, call):
        return  # the action itself is declined (D87)
    if answer is Answer.DECLINE and _is_replaced(draft, row, call):
        return  # somebody else has the action by now
    if answer is Answer.DECLINE and instead is None and person in row.declined_by:
        return  # said already: somebody else was called, or the next step
    _withdraw_other_calls(draft, row, person, answer, notification)
    if answer is Answer.ACK:
        _tell_error(draft, row, call)
        count_acknowledgement(draft, row, person, call.wave or row.wave)
    else:
        _apply_decline(
            draft,
            copy_with(row, {"declined_by": tuple(dict.fromkeys((*row.declined_by, person)))}),
            call,
            instead if instead is not None and _holds_role(draft, call.role, instead) else None,
        )


def _tell_error(draft: AlertsDecision, row: EscalationRow, call: NotificationPlanned) -> None:
    """Tell a person to turn back if all reports behind the call have proved errors since.

    People in charge before were told at once; a later call says that nothing is reported. Rule D3.
    """
    incidents = [incident for incident in list_incidents(draft, row) if incident.state in OPEN]
    is_known = call.person in row.acknowledged_by or bool(call.values.get("over"))
    if incidents and not is_known and all(is_error(draft, incident) for incident in incidents):
        id = incidents[0].id
        inform_people(draft, (call.person,), id, WITHDRAWN_TEMPLATE, {}, despite_quiet_hours=True)


def ends_action(draft: AlertsDecision, row: EscalationRow, call: NotificationPlanned) -> bool:
    """Return whether a decline of this call declines its action. Rule D87.

    The decline of the assignee, or of the person who accepted, does. That of a deputy or pilot who
    was called because the action is late only calls the next person.
    """
    action = draft.state.actions.get(row.action or "")
    if action is None or action.state not in OPEN_ACTION_STATES:
        return False
    if action.state is ActionState.ACCEPTED:
        return call.person == action.accepted_by
    return call.wave == 1 and not _is_replaced(draft, row, call)


def _is_replaced(draft: AlertsDecision, row: EscalationRow, call: NotificationPlanned) -> bool:
    """Return whether the first step of an action has asked somebody else since: its new holder."""
    if row.action is None or call.wave != 1:
        return False
    calls = (
        draft.state.calls[n] for wave in row.waves if wave.wave == 1 for n in wave.notifications
    )
    newest = max(calls, key=lambda one: (one.planned_at, one.notification))
    return newest.person != call.person


def _holds_role(draft: AlertsDecision, role: str, person: str) -> bool:
    """Return whether a person is on call in this role now, for any pôle or site."""
    pairs = (get_holder_and_deputy(draft, role, scope) for scope in draft.state.rota.scopes(role))
    return any(person in (now.holder, now.deputy) for now in pairs)


def _withdraw_other_calls(
    draft: AlertsDecision, row: EscalationRow, person: str, answer: Answer, through: str
) -> None:
    """Withdraw the other calls of an escalation to a person after their answer to one of them."""
    for notification in (n for w in row.waves for n in w.notifications):
        if notification != through and draft.state.calls[notification].person == person:
            draft.emit(NotificationWithdrawn(notification=notification, why=answer.value))


def count_acknowledgement(
    draft: AlertsDecision, row: EscalationRow, person: str, wave: int
) -> None:
    """Count an acknowledgement for its own wave; a quorum stops the waves that have not fired.

    Answers add up over all cycles since answers last went stale.
    """
    waves = tuple(
        copy_with(w, {"answered": (*w.answered, person), "positive": len(w.answered) + 1})
        if w.wave == wave and w.cycle >= row.since_cycle and person not in w.answered
        else w
        for w in row.waves
    )
    by = row.acknowledged_by if person in row.acknowledged_by else (*row.acknowledged_by, person)
    values = {
        "waves": waves,
        "acknowledged_by": by,
        "declined_by": tuple(p for p in row.declined_by if p != person),
        "missed_by": tuple(p for p in row.missed_by if p != person),
    }
    row = copy_with(row, values)
    has_quorum = any(_has_quorum(w, row) for w in waves if w.wave == wave)
    record_escalation(
        draft,
        _skip_waiting_waves(draft, row, wave) if has_quorum and row.state != "answered" else row,
        "answered" if has_quorum else "answer",
    )
    for incident in list_incidents(draft, row):
        acknowledge_incident(draft, incident.id, person)
    if row.scope == TERRITORY:
        cell_staffing.start_shift(draft, person, find_called_role(draft, row, person).role)


def _has_quorum(wave: WaveRow, row: EscalationRow) -> bool:
    """Return whether enough people acknowledged a wave since answers last went stale."""
    return wave.cycle >= row.since_cycle and 0 < wave.expected <= wave.positive


def acknowledge_incident(draft: AlertsDecision, incident: str, person: str) -> None:
    """Record that a person has taken an incident in charge."""
    incident_row = draft.incident(incident)
    if incident_row.state not in (IncidentState.OPEN, IncidentState.ACKNOWLEDGED):
        return
    by = (
        incident_row.acknowledged_by
        if person in incident_row.acknowledged_by
        else (*incident_row.acknowledged_by, person)
    )
    draft.alter(
        incident,
        "acknowledged",
        state=IncidentState.ACKNOWLEDGED,
        acknowledged_by=by,
        updated_at=draft.now,
    )


def acknowledge_from_source(draft: AlertsDecision, report: ReportReceived) -> None:
    """Acknowledge an incident because its alert was acknowledged at the source.

    Only if all its reports come from that source: other reports, and a crisis (N3, N4), wait for
    the people that the escalation calls.
    """
    incident, source = draft.incident_of(report.report_id), report.source_key or report.source
    if incident is None or any(
        _get_sender(draft, r) != source for r in draft.state.incident_reports.get(incident, ())
    ):
        return
    row = find_escalation(draft, incident)
    if row is not None and row.state == "running":
        record_escalation(
            draft, _skip_waiting_waves(draft, row, max(row.wave, 1)), "taken_at_source"
        )
    acknowledge_incident(draft, incident, source)


def _get_sender(draft: AlertsDecision, report: str) -> str:
    row = draft.state.reports[report]
    return row.source_key or row.source


def remove_acknowledgement(
    draft: AlertsDecision, row: EscalationRow, person: str, patience_min: int = 0
) -> EscalationRow:
    """Return the escalation without the acknowledgement of a person, after they declined.

    If the quorum is lost, it runs again. Waves that would have fired meanwhile keep their order and
    their delays; the first fires after `patience_min` minutes, the time that the substitute has to
    answer.
    """
    if person not in row.acknowledged_by:
        return row
    waves = tuple(
        copy_with(
            w, {"answered": tuple(p for p in w.answered if p != person), "positive": w.positive - 1}
        )
        if person in w.answered and w.cycle >= row.since_cycle
        else w
        for w in row.waves
    )
    row = copy_with(
        row,
        {"waves": waves, "acknowledged_by": tuple(p for p in row.acknowledged_by if p != person)},
    )
    if row.scope == TERRITORY:
        cell_staffing.end_shift(draft, person)
    for incident in list_incidents(draft, row):
        if incident.state is IncidentState.ACKNOWLEDGED and person in incident.acknowledged_by:
            remaining_people = tuple(p for p in incident.acknowledged_by if p != person)
            state = IncidentState.ACKNOWLEDGED if remaining_people else IncidentState.OPEN
            draft.alter(
                incident.id,
                "acknowledged",
                state=state,
                acknowledged_by=remaining_people,
                updated_at=draft.now,
            )
    if row.state != "answered" or any(_has_quorum(w, row) for w in waves):
        return row
    waves = tuple(
        copy_with(w, {"state": "fired"}) if w.cycle == row.cycle and w.state == "satisfied" else w
        for w in waves
    )
    row = copy_with(row, {"state": "running", "stale_at": None, "waves": waves})
    row = schedule_next_step(revive_skipped_waves(row, draft.clock, patience_min))
    return (
        row
        if row.next_at is not None and row.next_at > draft.clock
        else copy_with(row, {"next_at": draft.clock + patience_min * MINUTE_MS})
    )


def withdraw_acknowledgement(draft: AlertsDecision, row: EscalationRow, person: str) -> None:
    """Withdraw the acknowledgement of a person that the escalation never called."""
    if (escalation := remove_acknowledgement(draft, row, person)) != row:
        record_escalation(draft, escalation, "declined")


def _skip_waiting_waves(draft: AlertsDecision, row: EscalationRow, wave: int) -> EscalationRow:
    """Skip waiting waves after a quorum, but call roles that are never skipped. Rule D34."""
    for n, w in enumerate(row.waves):
        if w.wave == wave and w.state == "fired":
            row = replace_wave(row, n, state="satisfied")
        elif w.state == "waiting":
            names = [name for name in w.roles if is_wanted(draft, w, name)]
            due_roles = [p for p in resolve_roles(draft, names, row) if p.role in row.never_skipped]
            notifications, _ = call_roles(draft, row, w, due_roles, list_called_people(draft, row))
            row = replace_wave(
                row, n, state="skipped", notifications=(*w.notifications, *notifications)
            )
    return copy_with(
        row, {"state": "answered", "next_at": None, "stale_at": _compute_stale_time(draft, row)}
    )


def _apply_decline(
    draft: AlertsDecision, row: EscalationRow, call: NotificationPlanned, instead: str | None = None
) -> None:
    """Call the deputy, or `instead`, at once after a decline; without one, fire the next wave.

    Rules D33 and D34.
    """
    index = max(n for n, w in enumerate(row.waves) if call.notification in w.notifications)
    row = remove_acknowledgement(draft, row, call.person, row.waves[index].ack_min)
    row = replace_wave(row, index, declined=row.waves[index].declined + 1)
    row = _call_for_other_roles(draft, row, index, call)
    now = get_holder_and_deputy(draft, call.role, call.scope)
    reached_people = {
        *list_called_people(draft, row, row.cycle),
        *row.acknowledged_by,
    }  # people called in vain by an earlier cycle are called again
    others = [p for p in (now.holder, now.deputy) if p is not None and p != call.person]
    named_instead = (
        instead
        if instead not in (None, call.person, *reached_people)
        and list_channels(draft, instead or "")
        else None
    )
    left_roles = _list_left_roles(draft, row, row.waves[index], call)
    has_waiting_deputy = (
        now.deputy in others
        and now.deputy in reached_people
        and now.deputy not in (*row.declined_by, *row.missed_by)
    )
    if named_instead is None and has_waiting_deputy:
        _continue_without(draft, row, left_roles)
        return
    fresh_people = (p for p in others if p not in reached_people and list_channels(draft, p))
    deputy = named_instead or next(fresh_people, None)
    wave = row.waves[index]
    notification = (
        plan_notification(draft, row, wave, OnCallRole(call.role, call.scope, deputy, None), deputy)
        if deputy is not None
        else None
    )
    if notification is None:
        left_roles = (OnCallRole(call.role, call.scope, None, None), *left_roles)
    else:
        row = replace_wave(row, index, notifications=(*wave.notifications, notification))
    _continue_without(draft, row, left_roles)


def _list_left_roles(
    draft: AlertsDecision, row: EscalationRow, wave: WaveRow, call: NotificationPlanned
) -> tuple[OnCallRole, ...]:
    """Return the roles of a wave that this person deputizes for a holder called in vain."""
    return tuple(
        post
        for post in own_posts(draft, row, wave)
        if post.deputy == call.person
        and post.holder in (*row.declined_by, *row.missed_by)
        and (post.role, post.scope) != (call.role, call.scope)
    )


def _continue_without(
    draft: AlertsDecision, row: EscalationRow, left_roles: tuple[OnCallRole, ...]
) -> None:
    """Record a decline, and the roles that it leaves without anybody; these fire the next wave."""
    for post in left_roles:
        draft.emit(RoleUncovered(escalation=row.id, role=post.role, scope=post.scope))
    names = (format_role(post.role, post.scope) for post in left_roles)
    row = copy_with(row, {"uncovered_roles": tuple(dict.fromkeys((*row.uncovered_roles, *names)))})
    if left_roles and row.state == "running" and any(w.state == "waiting" for w in row.waves):
        row = fire_next_wave(draft, row)
    record_escalation(draft, row, "declined")


def _call_for_other_roles(
    draft: AlertsDecision, row: EscalationRow, index: int, call: NotificationPlanned
) -> EscalationRow:
    """Call the deputies of the other roles that one call to the same person stood for."""
    wave = row.waves[index]
    other_roles = others_held(own_posts(draft, row, wave), call)
    others = [
        OnCallRole(p.role, p.scope, p.deputy, None) for p in other_roles if p.deputy is not None
    ]
    notifications, _ = call_roles(
        draft, row, wave, others, {*list_called_people(draft, row, row.cycle), *row.acknowledged_by}
    )
    return (
        replace_wave(row, index, notifications=(*wave.notifications, *notifications))
        if notifications
        else row
    )


def on_notification_unreachable(draft: AlertsDecision, notification: str) -> None:
    """Call the deputy when every channel of a call failed, as after a decline."""
    call = draft.state.calls.get(notification)
    row = (
        draft.state.escalations.get(call.escalation)
        if call is not None and call.escalation is not None
        else None
    )
    if call is None or row is None or row.state != "running":
        return
    if call.person in (*row.acknowledged_by, *row.declined_by):
        return
    reach = draft.state.reach.get(call.person)
    if reach is None or reach.points:  # otherwise `on_person_unreachable` continues it
        missed_by = tuple(dict.fromkeys((*row.missed_by, call.person)))
        _apply_decline(draft, copy_with(row, {"missed_by": missed_by}), call)


def on_person_unreachable(draft: AlertsDecision, person: str) -> None:
    """Continue each running escalation that waits for a person without any channel left."""
    for row in [draft.state.escalations[id] for id in draft.state.ladders.values()]:
        calls = [
            draft.state.calls[n]
            for w in row.waves
            for n in w.notifications
            if n in draft.state.calls
        ]
        call = next((c for c in reversed(calls) if c.person == person), None)
        if (
            row.state != "running"
            or call is None
            or person in (*row.acknowledged_by, *row.declined_by)
            or format_role(call.role, call.scope) in row.uncovered_roles
        ):
            continue
        draft.emit(NotificationWithdrawn(notification=call.notification, why="person_gone"))
        missed_by = tuple(dict.fromkeys((*row.missed_by, person)))
        _apply_decline(draft, copy_with(row, {"missed_by": missed_by}), call)


def _compute_stale_time(draft: AlertsDecision, row: EscalationRow) -> Instant | None:
    """Return when an acknowledgement without action goes stale; None if the policy has no delay."""
    return None if row.stale_after_min is None else draft.clock + row.stale_after_min * MINUTE_MS


def keep_acknowledgement(draft: AlertsDecision, incident: str | None) -> None:
    """Stop the acknowledged escalation from going stale, because a person acted on its incident.

    Without an incident it is about the crisis.
    """
    scopes = (TERRITORY,) if incident is None else (TERRITORY, incident)
    for row in filter(None, (find_escalation(draft, scope) for scope in scopes)):
        if row.stale_at is not None and (
            incident is None or row.scope == incident or incident in row.incidents
        ):
            record_escalation(draft, copy_with(row, {"stale_at": None}), "tended")


def on_acknowledgement_stale(draft: AlertsDecision, id: str) -> None:
    """Restart an acknowledged escalation that nobody acted on.

    The first wave and earlier responders are called again, and must answer again.
    """
    row = draft.state.escalations[id]
    if row.state == "answered" and row.stale_at is not None:
        restart_escalation(draft, copy_with(row, {"stale_times": row.stale_times + 1}), "stale")
