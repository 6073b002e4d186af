"""Call-outs: cost and duration estimates, progress, and stop. Pure.

A draft lists people and sends nothing; its estimates use the declared rates. Once started, people
get their notification in groups of `CHUNK`, each in its own Transaction, and wait for a channel's
pace like everybody else. A stop takes effect with its Transaction: a notification that has not been
handed over by then is not sent.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Self

from schemas.base import Instant
from schemas.callouts import AGENT, CHUNK_PEOPLE, Called, CallOutListed, CallOutRow, ChannelEstimate
from schemas.delivery import NotificationRow
from schemas.topics import derive_id
from schemas.words import Channel, NotificationState
from services.delivery.notifications import attempts
from services.delivery.notifications.channel_policies import (
    ChannelPacing,
    DeliveryRules,
    choose_channels,
)
from services.runtime.decider.maps import Map

PROGRESS_INTERVAL_MS: Final = 2000
"""Interval between progress rows."""
RESTING_INTERVAL_MS: Final = 30_000
"""The same while only answers are missing, or an hour or the end of a hold has to come first."""
HAND_OVERS_FOR_PACE: Final = 50
"""Hand-overs from which the observed pace corrects the declared one."""
_HANDED_STATES: Final = frozenset(
    {NotificationState.ACCEPTED, NotificationState.RECEIVED, NotificationState.ANSWERED}
)
_OPEN_STATES: Final = frozenset({NotificationState.PLANNED, NotificationState.ATTEMPTED})
_LONG_WAITS: Final = frozenset({attempts.HELD, attempts.QUIET_HOURS})


@dataclass(frozen=True, slots=True)
class CallOutProgress:
    """One call-out with its list and its counts."""

    row: CallOutRow
    people: tuple[Called, ...] = ()
    next: int = 0
    """Number of people on the list that have their notification."""
    counts: Map[str, int] = field(default_factory=Map)
    """State of its notifications → how many."""
    spent: float = 0.0

    def count(self, *states: NotificationState) -> int:
        """Count the notifications in these states."""
        return sum(self.counts.get(state.value, 0) for state in states)

    @property
    def is_over(self) -> bool:
        """True if everybody has a notification and none is on its way."""
        return self.next >= len(self.people) and self.count(*_OPEN_STATES) == 0

    def count_change(
        self, before: NotificationRow | None, row: NotificationRow, rules: DeliveryRules
    ) -> Self:
        """Update the counts and costs for a changed notification."""
        counts = self.counts.set(row.state.value, self.counts.get(row.state.value, 0) + 1)
        if before is not None:
            counts = counts.set(before.state.value, counts.get(before.state.value, 0) - 1)
        paid_attempts = (
            {a.id for a in before.attempts if _is_paid(a.state)} if before is not None else set()
        )
        cost_cents = sum(
            rules.channels[a.channel].cost_cents * a.parts
            for a in row.attempts
            if _is_paid(a.state) and a.id not in paid_attempts
        )
        return replace(self, counts=counts, spent=self.spent + cost_cents)


def _is_paid(state: str) -> bool:
    return state in ("accepted", "received", "ambiguous")


def estimate_channels(
    people: Iterable[Called],
    preferred_channels: tuple[Channel, ...],
    rules: DeliveryRules,
    pacing: ChannelPacing,
    sms_parts: int = 1,
) -> tuple[ChannelEstimate, ...]:
    """Estimate people, seconds and cost per channel, in the order of `preferred_channels`.

    Everybody counts for the first of their channels, behind the messages that wait already.
    `sms_parts` are the parts of one SMS.
    """
    by_channel: dict[Channel, int] = {}
    for one in people:
        if mine := choose_channels(preferred_channels, one.channels):
            by_channel[mine[0]] = by_channel.get(mine[0], 0) + 1
    estimates = []
    for channel, count in by_channel.items():
        policy = rules.channels[channel]
        behind = len(pacing.queues.get(channel, ()))
        seconds = -(-max(0, behind + count - policy.burst) * policy.interval_us // 1_000_000)
        parts = sms_parts if channel is Channel.SMS else 1
        cost_cents = round(count * policy.cost_cents * parts)
        estimates.append(
            ChannelEstimate(
                channel=channel, people=count, seconds=seconds, cost_cents=cost_cents, parts=parts
            )
        )
    return tuple(estimates)


def estimate_end(
    one: CallOutProgress,
    rules: DeliveryRules,
    pacing: ChannelPacing,
    now: Instant,
    held_ms: int = 0,
) -> Instant:
    """Estimate when the last notification is handed over.

    The pace is the declared one, or the observed one if that is slower, after the rest of a hold.
    """
    waiting = estimate_channels(one.people[one.next :], one.row.channels, rules, pacing)
    queue_times_ms = [
        -(-len(queue) * rules.channels[c].interval_us // 1000)
        for c, queue in pacing.queues.items()
        if queue
    ]
    declared_ms = max([e.seconds * 1000 for e in waiting] + queue_times_ms, default=0)
    handed_count, remaining_people = (
        one.count(*_HANDED_STATES),
        len(one.people) - one.next + one.count(*_OPEN_STATES),
    )
    if handed_count < HAND_OVERS_FOR_PACE or one.row.started_at is None:
        return now + held_ms + declared_ms
    seen_ms = (now - one.row.started_at) * remaining_people // handed_count
    return now + held_ms + max(declared_ms, seen_ms)


def compute_progress(
    one: CallOutProgress,
    rules: DeliveryRules,
    pacing: ChannelPacing,
    now: Instant,
    held_ms: int = 0,
) -> CallOutRow:
    """Compute the present row with counts, cost and estimated end."""
    running = one.row.state == "running"
    answer_count = one.count(NotificationState.ANSWERED)
    over = running and (
        one.is_over
        if one.row.kind == "callout"
        else answer_count * 100 >= rules.close_pct * len(one.people)
    )
    return one.row.model_copy(
        update={
            "state": "done" if over else one.row.state,
            "ended_at": now if over else one.row.ended_at,
            "handed": one.count(*_HANDED_STATES),
            "received": one.count(NotificationState.RECEIVED, NotificationState.ANSWERED),
            "answered": one.count(NotificationState.ANSWERED),
            "failed": one.count(NotificationState.FAILED),
            "ambiguous": one.count(NotificationState.AMBIGUOUS),
            "withdrawn": one.count(NotificationState.WITHDRAWN, NotificationState.SUPERSEDED),
            "spent_cents": round(one.spent),
            "eta_at": estimate_end(one, rules, pacing, now, held_ms)
            if running and not over
            else None,
        }
    )


def build_next_group(
    one: CallOutProgress, lineage: str, now: Instant
) -> tuple[NotificationRow, ...]:
    """Build the notifications of the next people, without an attempt."""
    row = one.row
    return tuple(
        NotificationRow(
            id=derive_id(lineage, row.id, "callout", number),
            incident=row.incident,
            level=row.level,
            role=AGENT,
            person=person.person,
            channels=choose_channels(row.channels, person.channels),
            state=NotificationState.PLANNED,
            template=_choose_template(row),
            values=_build_values(row),
            answer_expected=row.answer_expected,
            danger=row.danger,
            planned_at=now,
            campaign=row.id,
        )
        for number, person in enumerate(one.people[one.next : one.next + CHUNK_PEOPLE], one.next)
    )


def _choose_template(row: CallOutRow) -> str:
    return row.kind if row.corrects is None else "callout_correction"


def _build_values(row: CallOutRow) -> dict[str, str | int | float | bool | None]:
    return {"text": row.text_id} if row.kind == "callout" else {"site": ", ".join(row.sites)}


def compute_reminder_at(row: CallOutRow, rules: DeliveryRules, at: Instant) -> Instant | None:
    """Return when the next reminder is due; None after the last one."""
    if row.started_at is None or row.reminded >= len(rules.reminders_ms):
        return None
    return max(at + 1, row.started_at + rules.reminders_ms[row.reminded])


def compute_managers_at(row: CallOutRow, rules: DeliveryRules, at: Instant) -> Instant | None:
    """Return when managers are called; None if they have been."""
    if row.started_at is None or row.managers_called_at is not None:
        return None
    return max(at + 1, row.started_at + rules.managers_ms)


def compute_pause_ms(
    one: CallOutProgress, before: CallOutRow | None, rows: Iterable[NotificationRow]
) -> int:
    """Return the time until the next progress row, after the one `before`.

    While everybody who is left waits for an hour or for the end of a hold, nothing changes.
    `rows` are the notifications of the realm.
    """
    if one.next < len(one.people):
        return PROGRESS_INTERVAL_MS
    if one.count(*_OPEN_STATES) == 0:
        return RESTING_INTERVAL_MS
    is_changed = before is None or before.model_copy(update={"eta_at": one.row.eta_at}) != one.row
    busy = is_changed or any(
        row.campaign == one.row.id and row.state in _OPEN_STATES and row.why not in _LONG_WAITS
        for row in rows
    )
    return PROGRESS_INTERVAL_MS if busy else RESTING_INTERVAL_MS


def select_people_to_remind(
    rows: Iterable[NotificationRow], one: CallOutProgress, rules: DeliveryRules
) -> list[NotificationRow]:
    """Select the people of a headcount to remind.

    They have not answered, no attempt is under way, and they have had no message since this
    reminder was due.
    """
    assert one.row.started_at is not None
    due_at = one.row.started_at + rules.reminders_ms[one.row.reminded]
    return [
        row
        for row in rows
        if row.campaign == one.row.id
        and row.answer is None
        and row.withdrawn is None
        and row.channels
        and row.state not in _OPEN_STATES
        and row.why not in attempts.WAIT_REASONS
        and attempts.find_open_attempt(row) is None
        and not any(a.planned_at >= due_at for a in row.attempts)
    ]


def replace_callout_row(progress: CallOutProgress | None, row: CallOutRow) -> CallOutProgress:
    return CallOutProgress(row) if progress is None else replace(progress, row=row)


def add_listed_people(progress: CallOutProgress, fact: CallOutListed) -> CallOutProgress:
    """Return the call-out with these people added."""
    return replace(progress, people=(*progress.people, *fact.people))
