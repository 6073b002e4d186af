"""Waves of an escalation: when one fires, and the people it calls.

An escalation is frozen when it starts: its row carries the terms of its policy version, until a
person applies the one in force (rule D63). Roles become people when a wave fires. Rules D32 and
D34.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from schemas.alerts import IncidentRow
from schemas.base import MINUTE_MS, Instant
from schemas.calling import (
    EscalationChanged,
    EscalationRow,
    NotificationPlanned,
    RoleUncovered,
    WaveRow,
)
from schemas.reference import Wave
from schemas.words import Channel, IncidentState
from services.alerts.decision import Draft
from services.alerts.escalation.oncall import Post, channels, incidents_of, posts, role_of
from services.alerts.escalation.quiet_hours import quiet_until
from services.alerts.evolve import OPEN
from services.alerts.levels.metrics.declared import is_true
from services.alerts.rows import changed

PLACES_TOLD: Final = 12
"""Communes of an incident that a notification names; it counts the others."""
UNTOLD_KIND: Final = "site"
"""Family of incidents with a name that does not tell the event."""


def running(draft: Draft, scope: str) -> EscalationRow | None:
    """Return the current escalation of an incident or of the territory.

    It may be running, answered or exhausted; ended and superseded ones are not returned.
    """
    id = draft.state.ladders.get(scope)
    row = draft.state.escalations[id] if id is not None else None
    return row if row is not None and row.state in ("running", "answered", "exhausted") else None


def foremost(draft: Draft, row: EscalationRow) -> str | None:
    """Return the incident that an escalation's messages name: the first open one, or the first."""
    known = incidents_of(draft, row)
    return next((i.id for i in known if i.state in OPEN), known[0].id if known else None)


def put(draft: Draft, row: EscalationRow, change: str) -> EscalationRow:
    """Record a step of an escalation."""
    draft.emit(EscalationChanged(row=row, change=change))
    return row


def waves_of(waves: Iterable[Wave], cycle: int, began: Instant) -> tuple[WaveRow, ...]:
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


def fire_from(draft: Draft, row: EscalationRow) -> EscalationRow:
    """Fire the next waiting wave, and the one after it at once when a role is uncovered or the wave means nobody (D34)."""
    while True:
        index = next((n for n, w in enumerate(row.waves) if w.state == "waiting"), None)
        if index is None:
            return schedule(row)
        row, covered = _fire(draft, row, index)
        if covered:
            return schedule(row)


def _fire(draft: Draft, row: EscalationRow, index: int) -> tuple[EscalationRow, bool]:
    wave = row.waves[index]
    names = tuple(name for name in wave.roles if is_wanted(draft, wave, name))
    due = list(posts(draft, names, row))
    called, uncovered = call_posts(draft, row, wave, due, row.acknowledged_by)
    fired = {
        "state": "fired",
        "fired_at": draft.clock,
        "roles": names,
        "notifications": (*wave.notifications, *called),
    }
    row = _uncovered(with_wave(row, index, **fired), uncovered)
    return changed(row, {"wave": wave.wave, "cycle": wave.cycle}), bool(due) and not uncovered


def _uncovered(row: EscalationRow, roles: Iterable[str]) -> EscalationRow:
    return changed(row, {"uncovered_roles": tuple(dict.fromkeys((*row.uncovered_roles, *roles)))})


def is_wanted(draft: Draft, wave: WaveRow, name: str) -> bool:
    """Return whether a step calls this name now: always, or while the flag that it names is true (D73)."""
    flag = wave.only_if.get(name)
    return flag is None or is_true(draft.state.flags.get(f"flag:{flag}"))


def call_conditional(draft: Draft, row: EscalationRow) -> None:
    """Call those of the steps that have fired whose condition has come true since (D73), each once in a cycle."""
    for index, wave in enumerate(row.waves):
        new = [
            name for name in wave.only_if if name not in wave.roles and is_wanted(draft, wave, name)
        ]
        if wave.cycle != row.cycle or wave.fired_at is None or not new:
            continue
        spared = {*called_so_far(draft, row, row.cycle), *row.acknowledged_by}
        called, uncovered = call_posts(draft, row, wave, posts(draft, new, row), spared)
        row = with_wave(
            row, index, roles=(*wave.roles, *new), notifications=(*wave.notifications, *called)
        )
        row = put(draft, _uncovered(row, uncovered), "wave")


def call_posts(
    draft: Draft, row: EscalationRow, wave: WaveRow, due: Iterable[Post], spared: Collection[str]
) -> tuple[list[str], list[str]]:
    """Call the holders of these roles, or their deputies if a holder is missing or unreachable.

    Each person is called once, and none of `spared`. Returns the notifications and the uncovered
    roles. Rule D34, uncovered roles.
    """
    called: dict[str, str] = {}
    uncovered: list[str] = []
    for post in due:
        person = post.holder if post.holder is not None and channels(draft, post.holder) else None
        if person is None:
            draft.emit(RoleUncovered(escalation=row.id, role=post.role, scope=post.scope))
            uncovered.append(named(post.role, post.scope))
            person = post.deputy
        if person is None or person in called or person in spared:
            continue
        if (notification := ring(draft, row, wave, post, person)) is not None:
            called[person] = notification
    return [*called.values()], uncovered


def call_again(
    draft: Draft, row: EscalationRow, said_yes: Iterable[tuple[str, EscalationRow]]
) -> EscalationRow:
    """Call people again if their acknowledgement was for something that no longer counts.

    The first wave of this cycle calls those that the cycle has not called, in the role in which
    they were called before. The incidents lose their acknowledgement until a person answers.
    """
    first = next(n for n, w in enumerate(row.waves) if w.cycle == row.cycle)
    for person, answered in said_yes:
        if person not in called_so_far(draft, row, row.cycle):
            wave = row.waves[first]
            called = ring(draft, row, wave, post_in(draft, answered, person), person)
            row = (
                with_wave(row, first, notifications=(*wave.notifications, called))
                if called is not None
                else row
            )
    untake(draft, row)
    return row


def untake(draft: Draft, row: EscalationRow) -> None:
    """Clear the acknowledgements of an escalation's incidents."""
    for known in incidents_of(draft, row):
        if known.state is IncidentState.ACKNOWLEDGED:
            draft.alter(
                known.id,
                "stale",
                state=IncidentState.OPEN,
                acknowledged_by=(),
                updated_at=draft.now,
            )


def post_in(draft: Draft, row: EscalationRow, person: str) -> Post:
    """Return the role in which an escalation called a person; else their on-call role."""
    calls = (
        draft.state.calls[n] for w in row.waves for n in w.notifications if n in draft.state.calls
    )
    call = next((c for c in calls if c.person == person), None)
    return (
        Post(role_of(draft, person), None, person, None)
        if call is None
        else Post(call.role, call.scope, person, None)
    )


def named(role: str, scope: str | None) -> str:
    """Return a role with its scope as one string."""
    return role if scope is None else f"{role}:{scope}"


def ring(draft: Draft, row: EscalationRow, wave: WaveRow, post: Post, person: str) -> str | None:
    """Plan one notification of a wave; return None when the person has no channel."""
    by = channels(draft, person, wave.channels)
    if not by:
        return None
    notification, incident = draft.derive("notification"), foremost(draft, row)
    danger = any(i.danger and i.state in OPEN for i in incidents_of(draft, row))
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
            template=_template(row),
            values=values_of(draft, incident) | first,
            planned_at=draft.clock,
            ack_by=draft.clock + wave.ack_min * MINUTE_MS,
            quiet_until=None if danger else quiet_until(draft, person, post.role, row.level),
        )
    )
    return notification


def _template(row: EscalationRow) -> str:
    if row.stale_times:
        return "answer_stale"
    return "level_raised" if row.previous_level else "incident_wave"


def _was_called_before(draft: Draft, row: EscalationRow, person: str) -> bool:
    """Return whether one of the escalations that led to this one has called somebody."""
    known, waiting = draft.state.escalations.values(), [row.id]
    while waiting:
        by = waiting.pop()
        for earlier in known:
            if earlier.superseded_by == by:
                if person in called_so_far(draft, earlier):
                    return True
                waiting.append(earlier.id)
    return False


def values_of(draft: Draft, incident: str | None) -> dict[str, str | int | float | bool | None]:
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
    values |= {"since": row.opened_at, "places": ",".join(row.communes[:PLACES_TOLD]) or None}
    if len(row.members) == 1:
        values["only_site"] = row.members[0]
    if (event := _event_of(draft, row)) is not None:
        values["event"] = event
    return values


def _event_of(draft: Draft, row: IncidentRow) -> str | None:
    """Return the gravest event of an incident with a family that does not tell the event."""
    if row.kind != UNTOLD_KIND:
        return None
    causes = [
        cause
        for site in row.members
        if (known := draft.state.sites.get(site)) is not None
        for cause in known.causes
        if cause.incident == row.id
    ]
    gravest = max(causes, key=lambda cause: (cause.severity, cause.id), default=None)
    return None if gravest is None else gravest.type.value


def called_so_far(draft: Draft, row: EscalationRow, since_cycle: int = 1) -> tuple[str, ...]:
    """Return the people called so far, once each."""
    called = (
        n
        for w in row.waves
        if w.cycle >= since_cycle
        for n in w.notifications
        if n in draft.state.calls
    )
    return tuple(dict.fromkeys(draft.state.calls[n].person for n in called))


def schedule(row: EscalationRow) -> EscalationRow:
    """Set the next due time of an escalation: the next wave, else the next cycle."""
    waiting = next((w for w in row.waves if w.state == "waiting"), None)
    if waiting is not None:
        return changed(row, {"next_at": waiting.due_at})
    last = max((w.fired_at or w.due_at for w in row.waves), default=row.started_at)
    return changed(row, {"next_at": last + row.repeat_after_min * MINUTE_MS})


def climb(draft: Draft, id: str) -> None:
    """Fire the due wave of an escalation.

    After a stall only the newest due wave fires; the skipped ones are superseded. After the last
    cycle the escalation is exhausted.
    """
    row = draft.state.escalations[id]
    if row.state != "running" or row.next_at is None:
        return
    waiting = [n for n, w in enumerate(row.waves) if w.state == "waiting"]
    if not waiting:
        row = next_cycle(row, row.next_at)
        if row.state == "exhausted":
            put(draft, row, "exhausted")
            return
        waiting = [n for n, w in enumerate(row.waves) if w.state == "waiting"]
    due = [n for n in waiting if row.waves[n].due_at <= draft.clock]
    for n in due[:-1]:
        row = with_wave(row, n, state="superseded")
    put(draft, fire_from(draft, row), "wave")


def next_cycle(row: EscalationRow, at: Instant) -> EscalationRow:
    """Add a cycle from the first wave, as often as the policy says; answers add up.

    Rule D33, answers.
    """
    if row.cycle > row.repeat_times:
        return changed(row, {"state": "exhausted", "next_at": None})
    again = tuple(
        changed(
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
    return changed(row, {"waves": (*row.waves, *again), "cycle": row.cycle + 1})


def with_wave(row: EscalationRow, index: int, **values: Any) -> EscalationRow:
    wave = changed(row.waves[index], values)
    return changed(row, {"waves": (*row.waves[:index], wave, *row.waves[index + 1 :])})


def fire_now(draft: Draft, row: EscalationRow) -> None:
    """Fire the next wave at a person's request, also in an acknowledged escalation.

    After the last wave a new cycle begins, however many there were.
    """
    row = _unskipped(row, draft.clock)
    if not any(w.state == "waiting" for w in row.waves):
        row = next_cycle(
            changed(row, {"repeat_times": max(row.repeat_times, row.cycle)}), draft.clock
        )
    put(draft, fire_from(draft, row), "wave")


def _unskipped(row: EscalationRow, now: Instant) -> EscalationRow:
    """Return the escalation with the skipped waves of this cycle waiting again.

    They keep their delays, and the first is due now at the latest.
    """
    skipped = [w for w in row.waves if w.state == "skipped" and w.cycle == row.cycle]
    late = max(0, now - min((w.due_at for w in skipped), default=now))
    waves = tuple(
        changed(w, {"state": "waiting", "due_at": w.due_at + late}) if w in skipped else w
        for w in row.waves
    )
    return changed(row, {"waves": waves})
