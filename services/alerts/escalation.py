"""Ladders and waves (D32–D35): who is called, who answered, when the next wave fires.

A ladder is frozen when it starts: its row carries all that the policy version says about it, until a person applies the one in force
(D63). Roles become persons when a wave fires.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from schemas.alerts import (
    AnswerRecorded,
    EscalationChanged,
    EscalationRow,
    NotificationPlanned,
    NotificationWithdrawn,
    RoleUncovered,
    WaveRow,
)
from schemas.base import MINUTE_MS, Instant
from schemas.maintenance import PagingWithheld
from schemas.reference import Escalation, Wave
from schemas.words import Answer, Channel, IncidentState, Level
from services.alerts.draft import Draft
from services.alerts.evolve import OPEN
from services.alerts.levels import TERRITORY, Rises
from services.alerts.oncall import Post, channels, pair, posts
from services.alerts.quiet import behind
from services.alerts.values import changed

CRISIS = Level.N3
"""From this level on the ladder belongs to the realm (D32)."""


def running(draft: Draft, scope: str) -> EscalationRow | None:
    """The ladder of an incident or of the territory, if it runs or was answered."""
    id = draft.state.ladders.get(scope)
    row = draft.state.escalations[id] if id is not None else None
    return row if row is not None and row.state in ("running", "answered", "exhausted") else None


def _put(draft: Draft, row: EscalationRow, change: str) -> EscalationRow:
    draft.emit(EscalationChanged(row=row, change=change))
    return row


# ── levels rose ────────────────────────────────────────────────────────────────────────────────────────────────────


def follow(draft: Draft, rises: Rises) -> None:
    """Start the ladders that the new levels ask for; the lower ones are superseded (D35)."""
    if rises.territory is not None and draft.level >= CRISIS:
        incidents = tuple(i for i in draft.open_incidents if draft.incident(i).level >= CRISIS)
        before = [e for scope in (TERRITORY, *incidents) if (e := running(draft, scope)) is not None]
        start(draft, TERRITORY, draft.level, incidents, before)
    for incident in sorted(draft.turned):
        _turned(draft, incident, rises)
    turned = frozenset(draft.turned)
    draft.turned.clear()
    for incident in rises.incidents:
        level, quiet = draft.incident(incident).level, draft.incident(incident).quiet
        own = running(draft, incident)
        if level < CRISIS and quiet is not None:
            if incident not in turned:
                withhold(draft, incident, "ladder")
        elif level < CRISIS:
            start(draft, incident, level, (incident,), [own] if own else [])
        else:
            _join_crisis(draft, incident, own)


def _turned(draft: Draft, incident: str, rises: Rises) -> None:
    """What became quiet calls nobody any more; what speaks up again calls, although its level is reached already (D64, D65)."""
    row, own = draft.incident(incident), running(draft, incident)
    if row.quiet is not None:
        withhold(draft, incident, "ladder")
        if own is not None:
            supersede(draft, own, None, "ended", row.quiet)
    elif own is None and incident not in rises.incidents and row.level > Level.N0 and row.state in OPEN:
        if row.level < CRISIS:
            start(draft, incident, row.level, (incident,), [])
        else:
            _join_crisis(draft, incident, None)


def withhold(draft: Draft, incident: str, template: str, roles: tuple[str, ...] = ()) -> None:
    """Record that somebody would have been called (D64, D65)."""
    quiet = draft.incident(incident).quiet
    if quiet is not None:
        draft.emit(PagingWithheld(incident=incident, quiet=quiet, by=behind(draft, incident), template=template, roles=roles))


def _join_crisis(draft: Draft, incident: str, own: EscalationRow | None) -> None:
    """An incident that reaches N3 joins the realm's ladder: information, no new acknowledgement."""
    crisis = running(draft, TERRITORY)
    if crisis is None:
        start(draft, TERRITORY, draft.incident(incident).level, (incident,), [own] if own else [])
        return
    if own is not None:
        supersede(draft, own, crisis.id)
    if incident not in crisis.incidents:
        crisis = _put(draft, changed(crisis, {"incidents": (*crisis.incidents, incident)}), "joined")
        told = crisis.acknowledged_by or _called(draft, crisis)
        inform(draft, told, incident, "information", {"reached": int(draft.incident(incident).level)})


def start(draft: Draft, scope: str, level: Level, incidents: tuple[str, ...], before: list[EscalationRow]) -> None:
    """Start a ladder at its wave 1; it supersedes those before it, whose ackers must ack again (D35)."""
    waves, policy = draft.territory.ladder(level), draft.territory.policy
    if not waves or policy is None:
        return
    id, now = draft.derive("escalation"), draft.clock
    for old in before:
        supersede(draft, old, id)
    row = EscalationRow(
        id=id, ladder=f"N{int(level)}", scope=scope, incidents=incidents, state="running", policy=draft.state.version, started_at=now,
        wave=0, cycle=1, level=level, previous_level=max((o.level for o in before), default=None), waves=_waves(waves, 1, now),
        repeat_times=policy.repeat.times, **_terms(policy, level),
    )  # fmt: skip
    _put(draft, _fire_from(draft, row), "started")


def _waves(waves: Iterable[Wave], cycle: int, began: Instant) -> tuple[WaveRow, ...]:
    """Of a cycle that began then, none of them fired."""
    return tuple(
        WaveRow(
            wave=w.wave, cycle=cycle, due_at=began + w.after_min * MINUTE_MS, state="waiting", roles=w.who, expected=w.expected,
            after_min=w.after_min, ack_min=w.ack_min, channels=tuple(Channel(c) for c in w.channels),
        )
        for w in waves
    )  # fmt: skip


def _terms(policy: Escalation, level: Level) -> dict[str, Any]:
    """What the policy says about a ladder of this level beside its waves."""
    stale = policy.stale_answer
    return {
        "repeat_after_min": policy.repeat.after_min, "never_skipped": policy.never_skipped if level >= CRISIS else (),
        "stale_after_min": stale.after_min.get(f"N{int(level)}") if stale is not None else None,
    }  # fmt: skip


def reapply(draft: Draft, row: EscalationRow) -> bool:
    """The ladder takes the policy in force (D63); False if it has no waves for it.

    Who was called stays called and no answer is lost: waves that have fired stay as they were, those that wait are the new ones, counted
    from the beginning of the cycle; of several that are due by now only the newest fires. Later cycles are the new policy's.
    """
    waves, policy = draft.territory.ladder(row.level), draft.territory.policy
    if not waves or policy is None:
        return False
    mine = [w for w in row.waves if w.cycle == row.cycle]
    began = min(w.due_at - w.after_min * MINUTE_MS for w in mine)
    reached = max((w.wave for w in mine if w.state != "waiting"), default=0)
    new = _waves(waves, row.cycle, began)
    ahead = tuple(w for w in new if w.wave > reached) if row.state == "running" else ()
    row = changed(row, {
        "policy": draft.state.version, "waves": (*(w for w in row.waves if w.state != "waiting"), *ahead), "later": new,
        "repeat_times": row.since_cycle - 1 + policy.repeat.times, **_terms(policy, row.level),
    })  # fmt: skip
    _put(draft, _schedule(row) if row.state == "running" else row, "reapplied")
    return True


# ── waves ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _fire_from(draft: Draft, row: EscalationRow) -> EscalationRow:
    """Fire the next waiting wave, and the one after it at once when a role is uncovered (D34)."""
    while True:
        index = next((n for n, w in enumerate(row.waves) if w.state == "waiting"), None)
        if index is None:
            return _schedule(row)
        row, covered = _fire(draft, row, index)
        if covered:
            return _schedule(row)


def _fire(draft: Draft, row: EscalationRow, index: int) -> tuple[EscalationRow, bool]:
    wave, covered, uncovered = row.waves[index], True, list(row.uncovered_roles)
    called: dict[str, str] = {}
    for post in posts(draft, wave.roles, row):
        person = post.holder if post.holder is not None and channels(draft, post.holder) else None
        if person is None:
            covered = False
            draft.emit(RoleUncovered(escalation=row.id, role=post.role, scope=post.scope))
            uncovered.append(post.role if post.scope is None else f"{post.role}:{post.scope}")
            person = post.deputy
        if person is None or person in called or person in row.acknowledged_by:
            continue
        if (notification := _call(draft, row, wave, post, person)) is not None:
            called[person] = notification
    fired = changed(wave, {"state": "fired", "fired_at": draft.clock, "notifications": (*wave.notifications, *called.values())})
    waves = (*row.waves[:index], fired, *row.waves[index + 1 :])
    return changed(row, {
        "waves": waves, "wave": wave.wave, "cycle": wave.cycle, "uncovered_roles": tuple(dict.fromkeys(uncovered)),
    }), covered  # fmt: skip


def _call(draft: Draft, row: EscalationRow, wave: WaveRow, post: Post, person: str) -> str | None:
    """Plan one notification of a wave; None when the person has no channel."""
    by = channels(draft, person, wave.channels)
    if not by:
        return None
    notification, incident = draft.derive("notification"), row.incidents[0] if row.incidents else None
    draft.emit(NotificationPlanned(
        notification=notification, incident=incident, escalation=row.id, wave=wave.wave, cycle=wave.cycle, level=row.level,
        previous_level=row.previous_level, role=post.role, scope=post.scope, person=person, channels=by, answer_expected=True,
        danger=any(draft.incident(i).danger for i in row.incidents), template=_template(row),
        values=_values(draft, incident), planned_at=draft.clock, ack_by=draft.clock + wave.ack_min * MINUTE_MS,
    ))  # fmt: skip
    return notification


def _template(row: EscalationRow) -> str:
    if row.stale_times:
        return "answer_stale"
    return "level_raised" if row.previous_level else "incident_wave"


def _values(draft: Draft, incident: str | None) -> dict[str, str | int | float | bool | None]:
    if incident is None:
        return {}
    row = draft.incident(incident)
    values: dict[str, str | int | float | bool | None] = {"number": row.number, "kind": row.kind, "severity": row.severity}
    return values | {"members": len(row.members), "communes": len(row.communes), "commune": row.communes[0] if row.communes else None}


def _schedule(row: EscalationRow) -> EscalationRow:
    """When the ladder moves next: the next wave, else the next cycle, else the standing alert."""
    waiting = next((w for w in row.waves if w.state == "waiting"), None)
    if waiting is not None:
        return changed(row, {"next_at": waiting.due_at})
    last = max((w.fired_at or w.due_at for w in row.waves), default=row.started_at)
    return changed(row, {"next_at": last + row.repeat_after_min * MINUTE_MS})


def climb(draft: Draft, id: str) -> None:
    """The ladder is due: after a stall only the newest due step fires, the skipped ones are superseded."""
    row = draft.state.escalations[id]
    if row.state != "running" or row.next_at is None:
        return
    waiting = [n for n, w in enumerate(row.waves) if w.state == "waiting"]
    if not waiting:
        row = _next_cycle(row, row.next_at)
        if row.state == "exhausted":
            _put(draft, row, "exhausted")
            return
        waiting = [n for n, w in enumerate(row.waves) if w.state == "waiting"]
    due = [n for n in waiting if row.waves[n].due_at <= draft.clock]
    for n in due[:-1]:
        row = _with_wave(row, n, state="superseded")
    _put(draft, _fire_from(draft, row), "wave")


def _next_cycle(row: EscalationRow, at: Instant) -> EscalationRow:
    """Again from wave 1, as often as the policy says; answers add up (D33)."""
    if row.cycle > row.repeat_times:
        return changed(row, {"state": "exhausted", "next_at": None})
    again = tuple(
        changed(w, {
            "cycle": row.cycle + 1, "due_at": at + w.after_min * MINUTE_MS, "state": "waiting", "fired_at": None, "notifications": (),
        })
        for w in row.later or [w for w in row.waves if w.cycle == row.cycle]
    )  # fmt: skip
    return changed(row, {"waves": (*row.waves, *again), "cycle": row.cycle + 1})


def _with_wave(row: EscalationRow, index: int, **values: Any) -> EscalationRow:
    wave = changed(row.waves[index], values)
    return changed(row, {"waves": (*row.waves[:index], wave, *row.waves[index + 1 :])})


def fire_now(draft: Draft, row: EscalationRow) -> None:
    """A person climbs the ladder by hand."""
    if not any(w.state == "waiting" for w in row.waves):
        row = _next_cycle(row, draft.clock)
    _put(draft, row if row.state == "exhausted" else _fire_from(draft, row), "wave")


# ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def answered(draft: Draft, notification: str, person: str, answer: Answer) -> None:
    """A person answered a notification of a ladder (D33)."""
    call = draft.state.calls.get(notification)
    row = draft.state.escalations.get(call.escalation) if call is not None and call.escalation is not None else None
    if call is None or row is None:
        draft.emit(AnswerRecorded(escalation=None, notification=notification, person=person, answer=answer, at=draft.now))
        return
    late = row.state != "running" or (call.cycle or 1, call.wave or 1) != (row.cycle, row.wave)
    draft.emit(
        AnswerRecorded(escalation=row.id, notification=notification, person=person, answer=answer, wave=call.wave, late=late, at=draft.now)
    )
    if row.state in ("superseded", "ended"):
        return
    if answer is Answer.ACK:
        said_yes(draft, row, person, call.wave or row.wave)
    else:
        _said_no(draft, row, call)


def said_yes(draft: Draft, row: EscalationRow, person: str, wave: int) -> None:
    """Counts for its own wave, over all cycles since answers last went stale; a quorum stops the waves that have not fired."""
    waves = tuple(
        changed(w, {"answered": (*w.answered, person), "positive": len(w.answered) + 1})
        if w.wave == wave and w.cycle >= row.since_cycle and person not in w.answered else w
        for w in row.waves
    )  # fmt: skip
    by = row.acknowledged_by if person in row.acknowledged_by else (*row.acknowledged_by, person)
    row = changed(row, {"waves": waves, "acknowledged_by": by})
    reached = any(w.wave == wave and w.cycle >= row.since_cycle and w.expected and w.positive >= w.expected for w in waves)
    _put(draft, _satisfied(draft, row, wave) if reached and row.state != "answered" else row, "answered" if reached else "answer")
    for incident in row.incidents:
        acknowledged(draft, incident, person)


def acknowledged(draft: Draft, incident: str, person: str) -> None:
    """Somebody took the incident in charge."""
    known = draft.incident(incident)
    if known.state not in (IncidentState.OPEN, IncidentState.ACKNOWLEDGED):
        return
    by = known.acknowledged_by if person in known.acknowledged_by else (*known.acknowledged_by, person)
    draft.alter(incident, "acknowledged", state=IncidentState.ACKNOWLEDGED, acknowledged_by=by, updated_at=draft.now)


def _satisfied(draft: Draft, row: EscalationRow, wave: int) -> EscalationRow:
    """Quorum: waiting waves are skipped, but for the roles that are never skipped (D34)."""
    for n, w in enumerate(row.waves):
        if w.wave == wave and w.state == "fired":
            row = _with_wave(row, n, state="satisfied")
        elif w.state == "waiting":
            called = set(_called(draft, row))
            due = [p for p in posts(draft, w.roles, row) if p.role in row.never_skipped and p.holder is not None and p.holder not in called]
            ids = [i for p in due if p.holder is not None and (i := _call(draft, row, w, p, p.holder)) is not None]
            row = _with_wave(row, n, state="skipped", notifications=(*w.notifications, *ids))
    return changed(row, {"state": "answered", "next_at": None, "stale_at": _stale_at(draft, row)})


def _called(draft: Draft, row: EscalationRow) -> tuple[str, ...]:
    """Persons called so far, once each."""
    return tuple(dict.fromkeys(draft.state.calls[n].person for w in row.waves for n in w.notifications if n in draft.state.calls))


def _said_no(draft: Draft, row: EscalationRow, call: NotificationPlanned) -> None:
    """D33: a decline calls the deputy at once; without one the next wave fires at once (D34)."""
    index = max(n for n, w in enumerate(row.waves) if call.notification in w.notifications)
    row = _with_wave(row, index, declined=row.waves[index].declined + 1)
    now, reached = pair(draft, call.role, call.scope), _called(draft, row)
    others = [p for p in (now.holder, now.deputy) if p is not None and p != call.person]
    if now.deputy in others and now.deputy in reached:
        _put(draft, row, "declined")
        return
    deputy = next((p for p in others if p not in reached), None)
    wave = row.waves[index]
    called = _call(draft, row, wave, Post(call.role, call.scope, deputy, None), deputy) if deputy is not None else None
    if called is not None:
        _put(draft, _with_wave(row, index, notifications=(*wave.notifications, called)), "declined")
        return
    draft.emit(RoleUncovered(escalation=row.id, role=call.role, scope=call.scope))
    row = changed(row, {"uncovered_roles": tuple(dict.fromkeys((*row.uncovered_roles, call.role)))})
    if row.state == "running" and any(w.state == "waiting" for w in row.waves):
        row = _fire_from(draft, row)
    _put(draft, row, "declined")


def unreachable(draft: Draft, notification: str) -> None:
    """Every channel of a call failed: the deputy is called as after a decline. Nobody waits on a dead ladder."""
    call = draft.state.calls.get(notification)
    row = draft.state.escalations.get(call.escalation) if call is not None and call.escalation is not None else None
    if call is None or row is None or row.state != "running" or call.person in row.acknowledged_by:
        return
    told = draft.state.reach.get(call.person)
    if told is None or told.points:  # else see gone
        _said_no(draft, row, call)


def gone(draft: Draft, person: str) -> None:
    """The last way to reach a person is gone: each running ladder that waits for their answer goes on at once."""
    for row in [draft.state.escalations[id] for id in draft.state.ladders.values()]:
        calls = [draft.state.calls[n] for w in row.waves for n in w.notifications if n in draft.state.calls]
        call = next((c for c in reversed(calls) if c.person == person), None)
        if row.state != "running" or call is None or person in row.acknowledged_by or call.role in row.uncovered_roles:
            continue
        draft.emit(NotificationWithdrawn(notification=call.notification, why="person_gone"))
        _said_no(draft, row, call)


# ── answers that go stale ──────────────────────────────────────────────────────────────────────────────────────────


def _stale_at(draft: Draft, row: EscalationRow) -> Instant | None:
    """When an answer without a deed is no answer any more; None where the policy has no such delay."""
    return None if row.stale_after_min is None else draft.clock + row.stale_after_min * MINUTE_MS


def tended(draft: Draft, incident: str | None) -> None:
    """A person did something about an incident, or (None) about the crisis: its answered ladder does not go stale any more."""
    scopes = (TERRITORY,) if incident is None else (TERRITORY, incident)
    for row in filter(None, (running(draft, scope) for scope in scopes)):
        if row.stale_at is not None and (incident is None or row.scope == incident or incident in row.incidents):
            _put(draft, changed(row, {"stale_at": None}), "tended")


def stale(draft: Draft, id: str) -> None:
    """Taken in charge, then nothing: everybody of wave 1 and those who had answered are called again, and must answer again."""
    row = draft.state.escalations[id]
    if row.state != "answered" or row.stale_at is None:
        return
    said_yes = row.acknowledged_by
    before = changed(row, {
        "state": "running", "stale_at": None, "stale_times": row.stale_times + 1, "since_cycle": row.cycle + 1, "acknowledged_by": (),
        "repeat_times": row.cycle + row.repeat_times - (row.since_cycle - 1),
    })  # fmt: skip
    again = _fire_from(draft, _unanswered(_next_cycle(before, draft.clock)))
    first = next(n for n, w in enumerate(again.waves) if w.cycle == again.since_cycle)
    for person in said_yes:
        if person not in {draft.state.calls[n].person for w in again.waves if w.cycle == again.cycle for n in w.notifications}:
            wave = again.waves[first]
            called = _call(draft, again, wave, Post(_role_of(draft, person), None, person, None), person)
            again = _with_wave(again, first, notifications=(*wave.notifications, called)) if called is not None else again
    _put(draft, again, "stale")
    for incident in row.incidents:
        known = draft.incident(incident)
        if known.state is IncidentState.ACKNOWLEDGED:
            draft.alter(incident, "stale", state=IncidentState.OPEN, acknowledged_by=(), updated_at=draft.now)


def _unanswered(row: EscalationRow) -> EscalationRow:
    fresh = {"answered": (), "positive": 0, "declined": 0}
    return changed(row, {"waves": tuple(changed(w, fresh) if w.cycle == row.cycle else w for w in row.waves)})


# ── ends ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def supersede(draft: Draft, row: EscalationRow, by: str | None, state: str = "superseded", why: str = "superseded") -> None:
    """End a ladder before its time; what nobody answered is withdrawn."""
    waves = tuple(changed(w, {"state": "superseded"}) if w.state == "waiting" else w for w in row.waves)
    _put(draft, changed(row, {"state": state, "next_at": None, "stale_at": None, "superseded_by": by, "waves": waves}), state)
    for notification in (n for w in row.waves for n in w.notifications):
        call = draft.state.calls.get(notification)
        if call is not None and call.person not in row.acknowledged_by:
            draft.emit(NotificationWithdrawn(notification=notification, why=why))


def inform(
    draft: Draft, persons: tuple[str, ...], incident: str | None, template: str, values: dict[str, str | int | float | bool | None]
) -> None:
    """Tell people something that asks for no answer."""
    for person in persons:
        by = channels(draft, person, (Channel.APP, Channel.SMS))
        if by:
            draft.emit(NotificationPlanned(
                notification=draft.derive("notification"), incident=incident, level=draft.level, role=_role_of(draft, person), person=person,
                channels=by, answer_expected=False, template=template, values=_values(draft, incident) | values, planned_at=draft.clock,
            ))  # fmt: skip


def _role_of(draft: Draft, person: str) -> str:
    pairs = ((role, draft.state.rota.pair(role, scope, draft.clock)) for role, scope in draft.state.rota.posts)
    return next((role for role, now in pairs if person in (now.holder, now.deputy)), "")


def attend(
    draft: Draft, roles: tuple[str, ...], *, pole: str | None, site: str | None, incident: str | None, template: str,
    values: dict[str, str | int | float | bool | None],
) -> None:  # fmt: skip
    """Continuity asks that these roles hear of something: alarms, overdue cards, proposals (D44, D50)."""
    if incident is not None and draft.incident(incident).quiet is not None:
        withhold(draft, incident, template, roles)
        return
    known = draft.territory.sites.get(site) if site else None
    scopes = (None, pole, site, known.pole if known else None)
    for role in roles:
        mine = draft.state.rota.scopes(role)
        scope = next((s for s in scopes if s in mine), None)
        now = pair(draft, role, scope)
        person = now.holder or now.deputy
        by = channels(draft, person, (Channel.APP, Channel.SMS, Channel.VOICE)) if person is not None else ()
        if person is None or not by:
            draft.emit(RoleUncovered(role=role, scope=pole or site))
            continue
        draft.emit(NotificationPlanned(
            notification=draft.derive("notification"), incident=incident, level=draft.level, role=role, scope=scope, person=person,
            channels=by, answer_expected=False, template=template,
            values=(_values(draft, incident) if incident is not None else {}) | values, planned_at=draft.clock,
        ))  # fmt: skip
