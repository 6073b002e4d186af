"""The waves of a ladder (D32, D34): when one fires, and who is called by it.

A ladder is frozen when it starts: its row carries all that the policy version says about it, until a person applies the one in force
(D63). Roles become persons when a wave fires.
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
"""Communes of an incident that a notification carries; more are counted."""
UNTOLD_KIND: Final = "site"
"""Family of incidents whose name does not say what happened."""


def running(draft: Draft, scope: str) -> EscalationRow | None:
    """The ladder of an incident or of the territory, if it runs or was answered."""
    id = draft.state.ladders.get(scope)
    row = draft.state.escalations[id] if id is not None else None
    return row if row is not None and row.state in ("running", "answered", "exhausted") else None


def foremost(draft: Draft, row: EscalationRow) -> str | None:
    """The incident that the messages of a ladder name: the first that is open, else the first that is known."""
    known = incidents_of(draft, row)
    return next((i.id for i in known if i.state in OPEN), known[0].id if known else None)


def put(draft: Draft, row: EscalationRow, change: str) -> EscalationRow:
    """Record a step of a ladder."""
    draft.emit(EscalationChanged(row=row, change=change))
    return row


def waves_of(waves: Iterable[Wave], cycle: int, began: Instant) -> tuple[WaveRow, ...]:
    """Of a cycle that began then, none of them fired."""
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
    """Call whoever stands in these posts, the deputy where nobody does or nobody can be reached (D34), each person once and none of `spared`.
    Returns the notifications, and the posts that are uncovered.
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
    """Whoever said yes to something that no longer counts must say it again: those whom this cycle has not called are called by its first wave,
    as what the ladder that they answered had called them. Until somebody does, nobody has the incidents in charge.
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
    """Nobody has the incidents of this ladder in charge any more: it asks again."""
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
    """As what a ladder called somebody; whoever it did not call, as what they are on call."""
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
    """A post in one word."""
    return role if scope is None else f"{role}:{scope}"


def ring(draft: Draft, row: EscalationRow, wave: WaveRow, post: Post, person: str) -> str | None:
    """Plan one notification of a wave; None when the person has no channel."""
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
    """Return what a message may say of an incident: kind, places and since when, as codes (D59, D70).

    Names are put in when the message is written, in the language of the person and as short as its channel needs.
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
    """Return the gravest event of an incident whose family does not say what happened."""
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
    """Persons called so far, once each."""
    called = (
        n
        for w in row.waves
        if w.cycle >= since_cycle
        for n in w.notifications
        if n in draft.state.calls
    )
    return tuple(dict.fromkeys(draft.state.calls[n].person for n in called))


def schedule(row: EscalationRow) -> EscalationRow:
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
    """Again from wave 1, as often as the policy says; answers add up (D33)."""
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
    """A person climbs the ladder by hand, also one that was answered: its next wave fires; after the last one it begins again, however often
    it has.
    """
    row = _unskipped(row, draft.clock)
    if not any(w.state == "waiting" for w in row.waves):
        row = next_cycle(
            changed(row, {"repeat_times": max(row.repeat_times, row.cycle)}), draft.clock
        )
    put(draft, fire_from(draft, row), "wave")


def _unskipped(row: EscalationRow, now: Instant) -> EscalationRow:
    """Waves of this cycle that answers made needless wait again: their delays are those of the policy, the first of them is due now at the latest."""
    skipped = [w for w in row.waves if w.state == "skipped" and w.cycle == row.cycle]
    late = max(0, now - min((w.due_at for w in skipped), default=now))
    waves = tuple(
        changed(w, {"state": "waiting", "due_at": w.due_at + late}) if w in skipped else w
        for w in row.waves
    )
    return changed(row, {"waves": waves})
