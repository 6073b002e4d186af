"""Waves of an escalation: when one fires, and the people it calls.

An escalation is frozen when it starts: its row carries the terms of its policy version, until a
person applies the one in force (rule D63). Roles become people when a wave fires. Rules D32 and
D34.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

from schemas.alerts import IncidentRow
from schemas.base import MINUTE_MS, Instant, copy_with
from schemas.calling import (
    EscalationChanged,
    EscalationRow,
    NotificationPlanned,
    RoleUncovered,
    WaveRow,
)
from schemas.crisis.actions import ActionRow
from schemas.crisis.area_orders import AREA_ORDERS
from schemas.ranks import POLE_DIRECTOR_ROLE
from schemas.reference import Wave
from schemas.words import ActionPriority, Channel, EventType, IncidentState
from services.alerts.causes.cause_lifecycle import list_placeless_causes
from services.alerts.decision import AlertsDecision
from services.alerts.escalation.oncall import (
    OnCallRole,
    find_quiet_end,
    find_role_of,
    get_holder_and_deputy,
    list_channels,
    list_incidents,
    resolve_roles,
)
from services.alerts.evolve import OPEN
from services.alerts.reference.territory import SILENT_REPORT_TYPES
from services.alerts.reports.report_facts import is_confirmed, is_current_word

MAX_NAMED_COMMUNES: Final = 12
"""Communes of an incident that a notification names; it counts the others."""
UNSPECIFIC_KIND: Final = "site"
"""Family of incidents with a name that does not tell the event."""


def find_escalation(draft: AlertsDecision, scope: str) -> EscalationRow | None:
    """Return the current escalation of an incident or of the territory.

    It may be running, answered or exhausted; ended and superseded ones are not returned.
    """
    id = draft.state.ladders.get(scope)
    row = draft.state.escalations[id] if id is not None else None
    return row if row is not None and row.state in ("running", "answered", "exhausted") else None


def find_foremost_incident(draft: AlertsDecision, row: EscalationRow) -> str | None:
    """Return the incident that an escalation's messages name: the first open one, or the first."""
    incidents = list_incidents(draft, row)
    return next(
        (i.id for i in incidents if i.state in OPEN), incidents[0].id if incidents else None
    )


def record_escalation(draft: AlertsDecision, row: EscalationRow, change: str) -> EscalationRow:
    """Record a step of an escalation."""
    draft.emit(EscalationChanged(row=row, change=change))
    return row


def build_waves(waves: Iterable[Wave], cycle: int, began: Instant) -> tuple[WaveRow, ...]:
    """Return the waiting waves of a cycle that began at that time."""
    return tuple(
        WaveRow(
            wave=w.wave,
            cycle=cycle,
            due_at=began + w.after_min * MINUTE_MS,
            state="waiting",
            roles=w.who,
            expected=w.expected,
            after_min=w.after_min,
            ack_min=w.ack_min,
            channels=tuple(Channel(c) for c in w.channels),
            only_if=w.only_if,
        )
        for w in waves
    )


def fire_next_wave(draft: AlertsDecision, row: EscalationRow) -> EscalationRow:
    """Fire the next waiting wave, and the following one if a role is uncovered.

    A wave that means nobody counts as uncovered. Rule D34.
    """
    while True:
        index = next((n for n, w in enumerate(row.waves) if w.state == "waiting"), None)
        if index is None:
            return schedule_next_step(row)
        row, is_covered = _fire_wave(draft, row, index)
        if is_covered:
            return schedule_next_step(row)


def _fire_wave(draft: AlertsDecision, row: EscalationRow, index: int) -> tuple[EscalationRow, bool]:
    wave = row.waves[index]
    names = tuple(name for name in wave.roles if is_wanted(draft, wave, name))
    due_roles = list(resolve_roles(draft, names, row))
    notifications, uncovered_roles = call_roles(draft, row, wave, due_roles, row.acknowledged_by)
    values = {
        "state": "fired",
        "fired_at": draft.clock,
        "roles": names,
        "notifications": (*wave.notifications, *notifications),
    }
    row = _add_uncovered_roles(replace_wave(row, index, **values), uncovered_roles)
    is_covered = bool(due_roles) and not uncovered_roles
    return copy_with(row, {"wave": wave.wave, "cycle": wave.cycle}), is_covered


def _add_uncovered_roles(row: EscalationRow, roles: Iterable[str]) -> EscalationRow:
    return copy_with(row, {"uncovered_roles": tuple(dict.fromkeys((*row.uncovered_roles, *roles)))})


def is_wanted(draft: AlertsDecision, wave: WaveRow, name: str) -> bool:
    """Return whether a step calls this name now: always, or while its flag is true (D73)."""
    flag = wave.only_if.get(name)
    row = None if flag is None else draft.state.flags.get(f"flag:{flag}")
    return flag is None or (row is not None and row.is_true)


def call_conditional(draft: AlertsDecision, row: EscalationRow) -> None:
    """Call members of fired steps with a newly true condition, once in a cycle. Rule D73."""
    for index, wave in enumerate(row.waves):
        new = [
            name for name in wave.only_if if name not in wave.roles and is_wanted(draft, wave, name)
        ]
        if wave.cycle != row.cycle or wave.fired_at is None or not new:
            continue
        excluded_people = {*list_called_people(draft, row, row.cycle), *row.acknowledged_by}
        notifications, uncovered_roles = call_roles(
            draft, row, wave, resolve_roles(draft, new, row), excluded_people
        )
        row = replace_wave(
            row,
            index,
            roles=(*wave.roles, *new),
            notifications=(*wave.notifications, *notifications),
        )
        row = record_escalation(draft, _add_uncovered_roles(row, uncovered_roles), "wave")


def call_pole_director(draft: AlertsDecision, row: EscalationRow, pole: str) -> None:
    """Call the director of a further pôle in the step that called the first, once. Rule D32."""
    for index, wave in enumerate(row.waves):
        is_fired = wave.cycle == row.cycle and wave.fired_at is not None
        if not is_fired or POLE_DIRECTOR_ROLE not in wave.roles:
            continue
        excluded_people = {*list_called_people(draft, row), *row.acknowledged_by}
        now = get_holder_and_deputy(draft, POLE_DIRECTOR_ROLE, pole)
        post = OnCallRole(POLE_DIRECTOR_ROLE, pole, now.holder, now.deputy)
        if not excluded_people.isdisjoint((now.holder, now.deputy)):
            return
        notifications, uncovered_roles = call_roles(draft, row, wave, (post,), excluded_people)
        values = {"notifications": (*wave.notifications, *notifications)}
        row = _add_uncovered_roles(replace_wave(row, index, **values), uncovered_roles)
        record_escalation(draft, row, "wave")
        return


def call_roles(
    draft: AlertsDecision,
    row: EscalationRow,
    wave: WaveRow,
    roles: Iterable[OnCallRole],
    excluded_people: Collection[str],
) -> tuple[list[str], list[str]]:
    """Call the holders of these roles, or their deputies if a holder is missing or unreachable.

    The deputy of a holder who declined in this cycle is called, too. Each person is called once,
    and none of `excluded_people`. Returns the notifications and the uncovered roles. Rules D33,
    answers, and D34, uncovered roles.
    """
    notifications: dict[str, str] = {}
    uncovered_roles: list[str] = []
    for post in roles:
        deputy = None if post.deputy in row.declined_by else post.deputy
        has_declined = post.holder in row.declined_by
        person = (
            post.holder
            if post.holder is not None and not has_declined and list_channels(draft, post.holder)
            else None
        )
        if person is None:
            if not has_declined or deputy is None:
                draft.emit(RoleUncovered(escalation=row.id, role=post.role, scope=post.scope))
                uncovered_roles.append(format_role(post.role, post.scope))
            person = deputy
        if person is None or person in notifications or person in excluded_people:
            continue
        if (notification := plan_notification(draft, row, wave, post, person)) is not None:
            notifications[person] = notification
    return [*notifications.values()], uncovered_roles


def call_responders_again(
    draft: AlertsDecision, row: EscalationRow, said_yes: Iterable[tuple[str, EscalationRow]]
) -> EscalationRow:
    """Call people again if their acknowledgement was for something that no longer counts.

    The first wave of this cycle calls those that the cycle has not called, in the role in which
    they were called before. The incidents lose their acknowledgement until a person answers.
    """
    first = next(n for n, w in enumerate(row.waves) if w.cycle == row.cycle)
    for person, answered_escalation in said_yes:
        if person not in list_called_people(draft, row, row.cycle):
            wave = row.waves[first]
            notification = plan_notification(
                draft, row, wave, find_called_role(draft, answered_escalation, person), person
            )
            row = (
                replace_wave(row, first, notifications=(*wave.notifications, notification))
                if notification is not None
                else row
            )
    clear_acknowledgements(draft, row)
    return row


def clear_acknowledgements(draft: AlertsDecision, row: EscalationRow) -> None:
    """Clear the acknowledgements of an escalation's incidents."""
    for incident in list_incidents(draft, row):
        if incident.state is IncidentState.ACKNOWLEDGED:
            draft.alter(
                incident.id,
                "stale",
                state=IncidentState.OPEN,
                acknowledged_by=(),
                updated_at=draft.now,
            )


def find_called_role(draft: AlertsDecision, row: EscalationRow, person: str) -> OnCallRole:
    """Return the role that an escalation called a person for; else their on-call role."""
    calls = (
        draft.state.calls[n] for w in row.waves for n in w.notifications if n in draft.state.calls
    )
    call = next((c for c in calls if c.person == person), None)
    return (
        OnCallRole(find_role_of(draft, person), None, person, None)
        if call is None
        else OnCallRole(call.role, call.scope, person, None)
    )


def format_role(role: str, scope: str | None) -> str:
    """Return a role with its scope as one string."""
    return role if scope is None else f"{role}:{scope}"


def plan_notification(
    draft: AlertsDecision,
    row: EscalationRow,
    wave: WaveRow,
    post: OnCallRole,
    person: str,
    template: str | None = None,
) -> str | None:
    """Plan one notification of a wave; return None when the person has no channel.

    Without `template`, the escalation chooses it.
    """
    by = list_channels(draft, person, wave.channels)
    if not by:
        return None
    if row.action is not None:
        return _plan_action_notification(draft, row, wave, post, person, by, template)
    notification, incident = draft.derive("notification"), find_foremost_incident(draft, row)
    open_incidents = [i for i in list_incidents(draft, row) if i.state in OPEN]
    danger = any(i.danger for i in open_incidents)
    is_over = bool(open_incidents) and all(i.over_since is not None for i in open_incidents)
    over = {"over": True} if is_over else {}
    first = (
        {"first_call": True}
        if row.previous_level and not _was_called_before(draft, row, person)
        else {}
    )
    draft.emit(
        NotificationPlanned(
            notification=notification,
            incident=incident,
            escalation=row.id,
            wave=wave.wave,
            cycle=wave.cycle,
            level=row.level,
            previous_level=row.previous_level,
            role=post.role,
            scope=post.scope,
            person=person,
            channels=by,
            answer_expected=True,
            danger=danger,
            template=_choose_template(row),
            values=build_message_values(draft, incident) | first | over,
            planned_at=draft.clock,
            ack_by=draft.clock + wave.ack_min * MINUTE_MS,
            quiet_until=None if danger else find_quiet_end(draft, person, post.role, row.level),
        )
    )
    return notification


def _plan_action_notification(
    draft: AlertsDecision,
    row: EscalationRow,
    wave: WaveRow,
    post: OnCallRole,
    person: str,
    channels: tuple[Channel, ...],
    template: str | None,
) -> str:
    """Plan a notification about an action. Rule D87.

    A maintenance window does not withhold a person's text.
    """
    assert row.action is not None
    action, notification = draft.state.actions[row.action], draft.derive("notification")
    draft.emit(
        NotificationPlanned(
            notification=notification,
            incident=draft.resolve_incident(action.incident),
            escalation=row.id,
            wave=wave.wave,
            cycle=wave.cycle,
            level=row.level,
            role=post.role,
            scope=post.scope,
            person=person,
            channels=channels,
            answer_expected=True,
            template=template or ("action_request" if wave.wave == 1 else "action_overdue"),
            values=build_action_values(draft, action),
            planned_at=draft.clock,
            ack_by=draft.clock + wave.ack_min * MINUTE_MS,
            quiet_until=None
            if passes_quiet_hours(draft, action)
            else find_quiet_end(draft, person, post.role, row.level, action.due_at),
        )
    )
    return notification


def passes_quiet_hours(draft: AlertsDecision, action: ActionRow) -> bool:
    """Return whether quiet hours delay no message about an action.

    It is urgent, or it is late and of high priority. Rules D36 and D87.
    """
    is_late = draft.clock >= action.due_at
    return action.priority is ActionPriority.URGENT or (
        is_late and action.priority is ActionPriority.HIGH
    )


def build_action_values(
    draft: AlertsDecision, action: ActionRow
) -> dict[str, str | int | float | bool | None]:
    """Return the values of a message about an action; its title is a reference. Rule D70."""
    values = build_message_values(draft, draft.resolve_incident(action.incident))
    values |= {"action": action.id, "text": action.text_id, "limit_at": action.due_at}
    if action.plan is not None:
        values["plan"] = action.plan
    if action.scope in draft.territory.sites:
        values["site"] = action.scope
    return values


def _choose_template(row: EscalationRow) -> str:
    if row.stale_times:
        return "answer_stale"
    return "level_raised" if row.previous_level else "incident_wave"


def _was_called_before(draft: AlertsDecision, row: EscalationRow, person: str) -> bool:
    """Return whether one of the escalations that led to this one has called the person."""
    waiting = [*draft.state.predecessors.get(row.id, ())]
    while waiting:
        earlier = draft.state.escalations[waiting.pop()]
        if person in list_called_people(draft, earlier):
            return True
        waiting += draft.state.predecessors.get(earlier.id, ())
    return False


def build_message_values(
    draft: AlertsDecision, incident: str | None
) -> dict[str, str | int | float | bool | None]:
    """Return the values of a message about an incident as codes: kind, places and start.

    Names are added when the message is written, in the person's language and as short as the
    channel needs. Rules D59 and D70.
    """
    if incident is None:
        return {}
    row = draft.incident(incident)
    values: dict[str, str | int | float | bool | None] = {
        "number": row.number,
        "kind": row.kind,
        "severity": row.severity,
    }
    values |= {
        "members": len(row.members),
        "communes": len(row.communes),
        "commune": row.communes[0] if row.communes else None,
    }
    values |= {
        "since": row.opened_at,
        "places": ",".join(row.communes[:MAX_NAMED_COMMUNES]) or None,
    }
    orders = [
        o for o in draft.state.area_orders.values() if draft.resolve_incident(o.incident) == row.id
    ]
    if len(row.members) == 1 and all(o.ended_at is not None for o in orders):
        values["only_site"] = row.members[0]
    if (event := _find_gravest_event(draft, row)) is not None:
        values["event"] = event.value
        if "only_site" not in values and AREA_ORDERS.get(event) in {o.order for o in orders}:
            values["area_order"] = AREA_ORDERS[event].value
    return values


def _find_gravest_event(draft: AlertsDecision, row: IncidentRow) -> EventType | None:
    """Return the gravest event of an incident with a family that does not tell the event."""
    if row.kind != UNSPECIFIC_KIND:
        return None
    causes = [
        (cause.severity, cause.id, cause.type)
        for site in row.members
        if (site_row := draft.state.sites.get(site)) is not None
        for cause in site_row.causes
        if draft.resolve_incident(cause.incident) == row.id
    ]
    placeless = [(c.severity, c.id, c.type) for c in list_placeless_causes(draft, row.id)]
    reports = [
        (r.severity, r.id, r.type)
        for r in draft.find_reports(draft.state.incident_reports.get(row.id, ()))
        if is_confirmed(r) and is_current_word(r) and r.type not in SILENT_REPORT_TYPES
    ]
    gravest = max(causes or placeless or reports, default=None)
    return None if gravest is None else gravest[2]


def list_called_people(
    draft: AlertsDecision, row: EscalationRow, since_cycle: int = 1
) -> tuple[str, ...]:
    """Return the people called so far, once each."""
    notifications = (
        n
        for w in row.waves
        if w.cycle >= since_cycle
        for n in w.notifications
        if n in draft.state.calls
    )
    return tuple(dict.fromkeys(draft.state.calls[n].person for n in notifications))


def schedule_next_step(row: EscalationRow) -> EscalationRow:
    """Set the next due time of an escalation: the next wave, else the next cycle."""
    waiting = next((w for w in row.waves if w.state == "waiting"), None)
    if waiting is not None:
        return copy_with(row, {"next_at": waiting.due_at})
    last = max((w.fired_at or w.due_at for w in row.waves), default=row.started_at)
    return copy_with(row, {"next_at": last + row.repeat_after_min * MINUTE_MS})


def on_escalation_due(draft: AlertsDecision, id: str) -> None:
    """Fire the due wave of an escalation.

    After a stall only the newest due wave fires; the skipped ones are superseded. After the last
    cycle the escalation is exhausted.
    """
    row = draft.state.escalations[id]
    if row.state != "running" or row.next_at is None:
        return
    waiting = [n for n, w in enumerate(row.waves) if w.state == "waiting"]
    if not waiting:
        row = add_cycle(row, row.next_at)
        if row.state == "exhausted":
            record_escalation(draft, row, "exhausted")
            return
        waiting = [n for n, w in enumerate(row.waves) if w.state == "waiting"]
    due_waves = [n for n in waiting if row.waves[n].due_at <= draft.clock]
    for n in due_waves[:-1]:
        row = replace_wave(row, n, state="superseded")
    record_escalation(draft, fire_next_wave(draft, row), "wave")


def restart_escalation(draft: AlertsDecision, row: EscalationRow, why: str) -> None:
    """Restart an escalation that was acknowledged or ended unanswered.

    Earlier answers no longer count. `why` is the code of the change.
    """
    before = copy_with(
        row,
        {
            "state": "running",
            "stale_at": None,
            "since_cycle": row.cycle + 1,
            "acknowledged_by": (),
            "repeat_times": row.cycle + row.repeat_times - (row.since_cycle - 1),
        },
    )
    escalation = fire_next_wave(draft, _clear_answers(add_cycle(before, draft.clock)))
    record_escalation(
        draft,
        call_responders_again(draft, escalation, [(person, row) for person in row.acknowledged_by]),
        why,
    )


def _clear_answers(row: EscalationRow) -> EscalationRow:
    fresh = {"answered": (), "positive": 0, "declined": 0}
    return copy_with(
        row, {"waves": tuple(copy_with(w, fresh) if w.cycle == row.cycle else w for w in row.waves)}
    )


def add_cycle(row: EscalationRow, at: Instant) -> EscalationRow:
    """Add a cycle from the first wave, as often as the policy says; answers add up.

    Rule D33, answers.
    """
    if row.cycle > row.repeat_times:
        return copy_with(row, {"state": "exhausted", "next_at": None})
    new_waves = tuple(
        copy_with(
            w,
            {
                "cycle": row.cycle + 1,
                "due_at": at + w.after_min * MINUTE_MS,
                "state": "waiting",
                "fired_at": None,
                "notifications": (),
                "roles": tuple(dict.fromkeys((*w.roles, *w.only_if))),
            },
        )
        for w in row.later or [w for w in row.waves if w.cycle == row.cycle]
    )
    fresh = {"cycle": row.cycle + 1, "declined_by": (), "missed_by": (), "uncovered_roles": ()}
    return copy_with(row, {"waves": (*row.waves, *new_waves), **fresh})


def replace_wave(row: EscalationRow, index: int, **values: Any) -> EscalationRow:
    wave = copy_with(row.waves[index], values)
    return copy_with(row, {"waves": (*row.waves[:index], wave, *row.waves[index + 1 :])})


def escalate_by_hand(draft: AlertsDecision, row: EscalationRow) -> bool:
    """Fire the next wave at a person's request, also in an acknowledged escalation.

    A wave whose people have all answered calls nobody: the next one fires, too. After the last wave
    a new cycle begins, however many there were. Returns whether somebody was called.
    """
    row, last_cycle = revive_skipped_waves(row, draft.clock), row.cycle + 1
    calls = before = _count_calls(row)
    while calls == before:
        if not any(w.state == "waiting" for w in row.waves):
            if row.cycle == last_cycle:
                break
            repeat_times = max(row.repeat_times, row.cycle)
            row = add_cycle(copy_with(row, {"repeat_times": repeat_times}), draft.clock)
        row = fire_next_wave(draft, row)
        calls = _count_calls(row)
    record_escalation(draft, row, "wave")
    return calls > before


def _count_calls(row: EscalationRow) -> int:
    return sum(len(wave.notifications) for wave in row.waves)


def revive_skipped_waves(row: EscalationRow, now: Instant, patience_min: int = 0) -> EscalationRow:
    """Return the escalation with the skipped waves of this cycle waiting again.

    They keep their delays. If the first is due by now, it is due after `patience_min` minutes.
    """
    skipped_waves = [w for w in row.waves if w.state == "skipped" and w.cycle == row.cycle]
    first_due = min((w.due_at for w in skipped_waves), default=now)
    late = now + patience_min * MINUTE_MS - first_due if first_due <= now else 0
    waves = tuple(
        copy_with(w, {"state": "waiting", "due_at": w.due_at + late}) if w in skipped_waves else w
        for w in row.waves
    )
    return copy_with(row, {"waves": waves})
