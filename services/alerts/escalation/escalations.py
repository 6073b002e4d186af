"""Start, join, update and end escalations. Rules D32, D35 and D63."""

from collections.abc import Collection
from typing import Any

from schemas.base import MINUTE_MS, copy_with
from schemas.calling import EscalationRow, NotificationUrged, NotificationWithdrawn
from schemas.catalogue.event_types import endangers_people
from schemas.people.attendance import PRESENT_MODES
from schemas.ranks import TECHNICIAN_ROLE
from schemas.reference import Escalation, Wave
from schemas.words import Level
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import cell_staffing
from services.alerts.escalation.notifications import (
    WITHDRAWN_TEMPLATE,
    get_suppression_reason,
    inform_people,
    record_withheld_notification,
)
from services.alerts.escalation.oncall import list_incidents
from services.alerts.escalation.steps import (
    build_waves,
    call_conditional,
    call_pole_director,
    call_responders_again,
    clear_acknowledgements,
    find_called_role,
    find_escalation,
    find_foremost_incident,
    fire_next_wave,
    list_called_people,
    record_escalation,
    restart_escalation,
    schedule_next_step,
)
from services.alerts.evolve import OPEN
from services.alerts.incidents.incident_lifecycle import list_open_causes
from services.alerts.levels.levels import CRISIS, TERRITORY, Rises


def update_escalations(draft: AlertsDecision, rises: Rises) -> None:
    """Start the escalations that new levels ask for, and supersede the lower ones.

    Also acts on incidents that became suppressed or are no longer, were reopened, or became
    dangerous. Rule D35, level changes.
    """
    if rises.territory is not None and draft.level >= CRISIS:
        incidents = _list_crisis_incidents(draft)
        before = [
            e
            for scope in (TERRITORY, *incidents)
            if (e := find_escalation(draft, scope)) is not None
        ]
        start_escalation(draft, TERRITORY, draft.level, incidents, before)
        draft.reopened.difference_update(incidents)  # they have just been called
    turned_incidents = frozenset(draft.turned | draft.reopened)
    for incident in sorted(turned_incidents):
        _update_for_suppression(draft, incident, rises)
    draft.turned.clear()
    for incident in rises.incidents:
        level, quiet = draft.incident(incident).level, draft.incident(incident).quiet
        own = find_escalation(draft, incident)
        if level < CRISIS and quiet is not None:
            if incident not in turned_incidents:
                record_withheld_notification(draft, incident, "ladder")
        elif level < CRISIS:
            start_escalation(draft, incident, level, (incident,), [own] if own else [])
        else:
            _join_crisis(draft, incident, own)
    draft.reopened.clear()
    for incident, pole in rises.poles:
        row, own = draft.incident(incident), find_escalation(draft, incident)
        if own is not None and row.level < CRISIS and get_suppression_reason(row) is None:
            call_pole_director(draft, own, pole)
    if (
        "flags" in draft.list_changed_parts()
        and (crisis := find_escalation(draft, TERRITORY)) is not None
    ):
        call_conditional(draft, crisis)
    for incident in sorted(draft.endangered):
        _urge_notifications(draft, incident)
    for incident in sorted(draft.endangered | draft.more_danger):
        _call_for_danger(draft, incident)
    draft.endangered.clear()
    draft.more_danger.clear()


def _list_crisis_incidents(draft: AlertsDecision) -> tuple[str, ...]:
    return tuple(i for i in draft.open_incidents if draft.incident(i).level >= CRISIS)


def _urge_notifications(draft: AlertsDecision, incident: str) -> None:
    """Send pending calls of an incident at once, because people may be in danger now.

    Neither quiet hours nor a hold delays them any longer.
    """
    for row in filter(None, (find_escalation(draft, scope) for scope in (incident, TERRITORY))):
        if incident not in row.incidents:
            continue
        for call in (
            draft.state.calls[n]
            for w in row.waves
            for n in w.notifications
            if n in draft.state.calls
        ):
            if not call.danger and call.person not in row.acknowledged_by:
                draft.emit(NotificationUrged(notification=call.notification))


def _call_for_danger(draft: AlertsDecision, incident: str) -> None:
    """Call again for an incident that became dangerous, at N1 at least.

    Earlier answers, lowered levels and vain calls were about no danger. From N3 on the cell is
    there and sees it. Decided in `docs/adr/0040-call-again-when-people-are-in-danger.md`.
    """
    row, own = draft.incident(incident), find_escalation(draft, incident)
    if row.level >= CRISIS or row.state not in OPEN or get_suppression_reason(row) is not None:
        return
    if own is None:
        start_escalation(draft, incident, max(row.level, Level.N1), (incident,), [])
        own = find_escalation(draft, incident)
        if own is not None:
            clear_acknowledgements(draft, own)
    elif own.state != "running" or _is_back_after_error(draft, incident):
        restart_escalation(draft, _skip_waiting_waves(own), "endangered")


def _is_back_after_error(draft: AlertsDecision, incident: str) -> bool:
    """Return whether people are in danger after an earlier report of danger was withdrawn.

    The people in charge were told that it was an error (rule D3): they are called again.
    """
    reports = draft.find_reports(draft.state.incident_reports.get(incident, ()))
    return incident in draft.endangered and any(
        endangers_people(r.type, r.severity)
        and ("cancelled" in r.flags or r.confirmation == "denied")
        for r in reports
    )


def _skip_waiting_waves(row: EscalationRow) -> EscalationRow:
    """Return the escalation without the waves that have not fired."""
    waves = (
        copy_with(w, {"state": "superseded"}) if w.state == "waiting" else w for w in row.waves
    )
    return copy_with(row, {"waves": tuple(waves)})


def _update_for_suppression(draft: AlertsDecision, incident: str, rises: Rises) -> None:
    """End the escalation of a suppressed incident, or start one that may call again.

    An incident that is no longer suppressed, or open again, calls although its level was reached
    before. Rules D26, D64 and D65.
    """
    row, own = draft.incident(incident), find_escalation(draft, incident)
    speaks = row.quiet is None or incident in draft.reopened
    if (hush := get_suppression_reason(row)) is not None:
        record_withheld_notification(draft, incident, "ladder")
        if own is not None:
            end_escalation(draft, own, None, "ended", hush)
    elif (
        speaks
        and own is None
        and incident not in rises.incidents
        and row.level > Level.N0
        and row.state in OPEN
    ):
        if row.level < CRISIS:
            start_escalation(draft, incident, row.level, (incident,), [])
        else:
            _join_crisis(draft, incident, None)


def _join_crisis(draft: AlertsDecision, incident: str, own: EscalationRow | None) -> None:
    """Add an incident that reaches N3 to the realm's escalation, as an information.

    No new acknowledgement is needed. Danger to people is told at once to all who were called: those
    who have not answered yet know of another incident alone. If nobody answered that escalation, or
    all its incidents are closed, a new one starts and covers them. Rule D32, escalations.
    """
    crisis = find_escalation(draft, TERRITORY)
    if crisis is None or _is_crisis_over(draft, crisis, incident):
        incidents = _list_crisis_incidents(draft)
        level = max(draft.incident(i).level for i in incidents)
        start_escalation(
            draft, TERRITORY, level, incidents, [e for e in (own, crisis) if e is not None]
        )
        return
    in_charge = own.acknowledged_by if own is not None else ()
    if own is not None:
        end_escalation(draft, own, crisis.id)
    if incident not in crisis.incidents:
        crisis = record_escalation(
            draft, copy_with(crisis, {"incidents": (*crisis.incidents, incident)}), "joined"
        )
        row, people = draft.incident(incident), list_people_in_charge(draft, crisis)
        if row.danger or not people:
            people = (*people, *list_called_people(draft, crisis))
        inform_people(
            draft,
            tuple(dict.fromkeys((*people, *in_charge))),
            incident,
            "information",
            {"reached": int(row.level)},
            danger=row.danger,
        )


def list_people_in_charge(draft: AlertsDecision, row: EscalationRow) -> tuple[str, ...]:
    """Return the people in charge of an escalation, to be informed: those with a yes.

    In a crisis of days others take over: people present in the cell, or on their way, are in charge
    too, and nobody is whose function another person fills now. Rules D32 and D90.
    """
    if row.scope != TERRITORY:
        return row.acknowledged_by
    attendance = draft.state.attendance
    filled = {(one.role, one.scope) for one in attendance.values() if one.mode in PRESENT_MODES}
    roles = {person: find_called_role(draft, row, person) for person in row.acknowledged_by}
    staying = (
        person
        for person, post in roles.items()
        if person in attendance or (post.role, post.scope) not in filled
    )
    return tuple(dict.fromkeys((*staying, *sorted(attendance))))


def tell_of_withdrawals(draft: AlertsDecision) -> None:
    """Notify the people in charge of an incident after its last report proved an error.

    They may be on their way: quiet hours do not delay it. The incident stays open until a person
    closes it. Rule D3, withdrawals.
    """
    for id in dict.fromkeys(map(draft.resolve_incident, sorted(draft.withdrawn))):
        if id is None or draft.incident(id).state not in OPEN or list_open_causes(draft, id):
            continue
        people = _list_people_of_incident(draft, id)
        inform_people(draft, people, id, WITHDRAWN_TEMPLATE, {}, despite_quiet_hours=True)
    draft.withdrawn.clear()


def _list_people_of_incident(draft: AlertsDecision, incident: str) -> tuple[str, ...]:
    """Return the people in charge of an incident, of those merged into it, and of its crisis."""
    merged_incidents = (
        id for id in sorted(draft.state.merged_incidents) if draft.resolve_incident(id) == incident
    )
    rows = draft.incidents((incident, *merged_incidents))
    people = [person for row in rows for person in row.acknowledged_by]
    crisis = find_escalation(draft, TERRITORY)
    if crisis is not None and incident in {one.id for one in list_incidents(draft, crisis)}:
        people += list_people_in_charge(draft, crisis)
    return tuple(dict.fromkeys(people))


def find_ended_crisis(draft: AlertsDecision, incident: str | None = None) -> EscalationRow | None:
    """Return the newest escalation of a crisis if all its incidents are closed.

    `incident`, if given, must be one of them.
    """
    crisis = draft.state.escalations.get(draft.state.ladders.get(TERRITORY, ""))
    incidents = [] if crisis is None else list_incidents(draft, crisis)
    if not incidents or any(one.state in OPEN for one in incidents):
        return None
    return crisis if incident is None or incident in {one.id for one in incidents} else None


def thank(draft: AlertsDecision, crisis: EscalationRow) -> None:
    """Notify the people in charge of a crisis, and those of its cell, that it is over.

    Its incidents are closed, and its level has fallen.
    """
    people = tuple(dict.fromkeys((*crisis.acknowledged_by, *sorted(draft.state.attendance))))
    inform_people(draft, people, find_foremost_incident(draft, crisis), "crisis_end", {})


def _is_crisis_over(draft: AlertsDecision, crisis: EscalationRow, incident: str) -> bool:
    if crisis.state == "exhausted":
        return True
    if not crisis.incidents or (incident in crisis.incidents and incident not in draft.reopened):
        return False
    return all(i.state not in OPEN for i in list_incidents(draft, crisis) if i.id != incident)


def start_escalation(
    draft: AlertsDecision,
    scope: str,
    level: Level,
    incidents: tuple[str, ...],
    before: list[EscalationRow],
) -> None:
    """Start an escalation at its first wave; it supersedes those before it.

    Their responders must acknowledge again. Rule D35, level changes.
    """
    if scope == TERRITORY:
        cell_staffing.call_cell(draft, level)
    waves, policy = get_waves_of_level(draft, level, incidents), draft.territory.policy
    if not waves or policy is None:
        return
    id, now = draft.derive("escalation"), draft.clock
    for old in before:
        end_escalation(draft, old, id)
    row = EscalationRow(
        id=id,
        ladder=f"N{int(level)}",
        scope=scope,
        incidents=incidents,
        state="running",
        policy=draft.state.version,
        started_at=now,
        wave=0,
        cycle=1,
        level=level,
        previous_level=max((o.level for o in before if o.level < level), default=None),
        waves=build_waves(waves, 1, now),
        repeat_times=policy.repeat.times,
        **_build_terms(policy, level),
    )
    row, lower = fire_next_wave(draft, row), [o for o in before if o.level < level]
    record_escalation(
        draft,
        call_responders_again(
            draft, row, [(person, o) for o in lower for person in o.acknowledged_by]
        )
        if lower
        else row,
        "started",
    )


def get_waves_of_level(
    draft: AlertsDecision, level: Level, incidents: tuple[str, ...]
) -> tuple[Wave, ...]:
    """Return the steps of a level.

    Below a crisis the first step names another role for a non-technical event. Rule D73.
    """
    waves, policy = draft.territory.ladder(level), draft.territory.policy
    incident = draft.resolve_incident(incidents[0]) if incidents else None
    if policy is None or level >= CRISIS or incident is None:
        return waves
    instead = next(
        (
            policy.role_by_nature[n]
            for n in _list_natures(draft, incident)
            if n in policy.role_by_nature
        ),
        None,
    )
    if instead is None:
        return waves
    return tuple(_replace_role(wave, instead) if wave.wave == 1 else wave for wave in waves)


def _replace_role(wave: Wave, role: str) -> Wave:
    names = (role if name == TECHNICIAN_ROLE else name for name in wave.who)
    return wave.model_copy(update={"who": tuple(dict.fromkeys(names))})


def _list_natures(draft: AlertsDecision, incident: str) -> tuple[str, ...]:
    """Return the family of an incident and the type of its first report."""
    reports = draft.find_reports(draft.state.incident_reports.get(incident, ()))
    first = min(reports, key=lambda r: (r.recorded_at, r.id), default=None)
    return (draft.incident(incident).kind, *((first.type.value,) if first is not None else ()))


def _build_terms(policy: Escalation, level: Level) -> dict[str, Any]:
    """Return the policy's terms for an escalation of this level, beside its waves."""
    stale = policy.stale_answer
    return {
        "repeat_after_min": policy.repeat.after_min,
        "never_skipped": policy.never_skipped if level >= CRISIS else (),
        "stale_after_min": stale.after_min.get(f"N{int(level)}") if stale is not None else None,
    }


def apply_current_policy(draft: AlertsDecision, row: EscalationRow) -> bool:
    """Apply the policy in force to an escalation; return False if it has no waves for the level.

    Called people stay called and no answer is lost: fired waves stay as they were. The new policy
    provides the waiting waves, counted from the beginning of the cycle, and later cycles. Only
    the newest of several due waves fires. Rule D63, reference versions.
    """
    waves, policy = get_waves_of_level(draft, row.level, row.incidents), draft.territory.policy
    if not waves or policy is None:
        return False
    mine = [w for w in row.waves if w.cycle == row.cycle]
    began = min(w.due_at - w.after_min * MINUTE_MS for w in mine)
    reached_wave = max((w.wave for w in mine if w.state != "waiting"), default=0)
    new = build_waves(waves, row.cycle, began)
    ahead = tuple(w for w in new if w.wave > reached_wave) if row.state == "running" else ()
    row = copy_with(
        row,
        {
            "policy": draft.state.version,
            "waves": (*(w for w in row.waves if w.state != "waiting"), *ahead),
            "later": new,
            "repeat_times": row.since_cycle - 1 + policy.repeat.times,
            **_build_terms(policy, row.level),
        },
    )
    record_escalation(
        draft, schedule_next_step(row) if row.state == "running" else row, "reapplied"
    )
    return True


def end_escalation(
    draft: AlertsDecision,
    row: EscalationRow,
    by: str | None,
    state: str = "superseded",
    why: str = "superseded",
    called_again: Collection[str] = (),
) -> None:
    """End an escalation before its time and withdraw its unanswered calls.

    `called_again` are people with a call of the escalation that follows, `by`.
    """
    record_escalation(
        draft,
        copy_with(
            _skip_waiting_waves(row),
            {"state": state, "next_at": None, "stale_at": None, "superseded_by": by},
        ),
        state,
    )
    for notification in (n for w in row.waves for n in w.notifications):
        call = draft.state.calls.get(notification)
        if call is not None and call.person not in row.acknowledged_by:
            reason = "superseded" if call.person in called_again else why
            draft.emit(NotificationWithdrawn(notification=notification, why=reason))
