"""Bundle several messages to one person into one. Pure. Rules D36 and D71.

Only what asks for no answer is bundled, never danger, never by voice: a call must be answerable on
its own. The first continuity alarm to a person goes at once, those of the next minutes together;
beyond the hourly budget everything else waits for a digest. An order about agents is no alarm: the
manager who shall send or take back people now is told now.

Within a minute a person is told of one incident once: what follows waits for the end of that minute
and goes in one message, the gravest first. Danger to people never waits and is never told by
another message. A call that waits for its turn at a provider counts as told: information that comes
in the meantime waits, the call does not wait for it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final, Self, TypeVar

from schemas.base import HOUR_MS, MINUTE_MS, Instant
from schemas.delivery import BundledItem, NotificationRow
from schemas.people.replies import HELP_TEMPLATES
from schemas.words import Channel
from services.delivery.notifications.attempts import PACED, SAME_MINUTE, is_settled
from services.delivery.notifications.channel_policies import DeliveryRules
from services.runtime.decider.maps import Map

ALARM_TEMPLATES: Final = frozenset(
    {
        "alarm_rto",
        "alarm_dmia",
        "forecast_rto",
        "forecast_dmia",
        "reentry",
        "plan_proposed",
        "stand_down_proposed",
        "plan_dropped",
        "card_overdue",
        "cards_opened",
        "cards_unfinished",
        "site_cards_overdue",
        "reassignment_proposed",
        "resource_unfilled",
        "resource_late",
        "resource_expired",
        "resource_return",
        "resource_resumed",
    }
)
LISTED_ITEMS: Final = 20
"""Messages listed in one digest; more are counted."""
_K = TypeVar("_K")


@dataclass(frozen=True, slots=True)
class RecentMessages:
    """Recent messages to one person."""

    at: tuple[Instant, ...] = ()
    """Messages of the last hour that count for the budget."""
    alarm_at: Instant | None = None
    """Time of the last continuity alarm, or digest with one."""


@dataclass(frozen=True, slots=True)
class BundleQueues:
    told: Map[str, RecentMessages] = Map()
    """Person → recent messages."""
    waiting: Map[str, tuple[str, ...]] = Map()
    """Person → notifications that wait for the next digest, oldest first."""
    quiet: Map[str, tuple[str, ...]] = Map()
    """Person → notifications that wait for the end of the quiet hours, oldest first."""
    minute: Map[str, tuple[str, ...]] = field(default=Map(), compare=False)
    """Person → notifications that wait for the end of a minute, oldest first.

    An index of the notifications: no snapshot holds it.
    """
    about: Map[tuple[str, str], Instant] = field(default=Map(), compare=False)
    """(person, incident) → time of the last message about it. An index, too."""
    queued: Map[tuple[str, str], tuple[str, ...]] = field(default=Map(), compare=False)
    """(person, incident) → calls that wait for a provider, oldest first. An index, too."""

    def until(self, row: NotificationRow, rules: DeliveryRules, now: Instant) -> Instant | None:
        """Return when the digest goes out that this message waits for; None: it goes now."""
        if not is_bundled(row) or (row.quiet_until is not None and now < row.quiet_until):
            return None
        recent = self.told.get(row.person, RecentMessages())
        if (
            row.template in ALARM_TEMPLATES
            and recent.alarm_at is not None
            and now < recent.alarm_at + rules.digest_ms
        ):
            return recent.alarm_at + rules.digest_ms
        if len([at for at in recent.at if at > now - HOUR_MS]) >= rules.budget_per_hour:
            return now + rules.digest_ms
        return None

    def minute_ends(self, row: NotificationRow, now: Instant) -> Instant | None:
        """Return the end of the minute after the person heard of the same incident.

        The result is None if the message goes now. Rule D71.

        Information does not overtake a call that waits for its turn at a provider: it looks again
        in a minute.
        """
        if row.danger or not is_about_incident(row):
            return None
        if not row.answer_expected and _key(row) in self.queued:
            return now + MINUTE_MS
        at = self.about.get(_key(row))
        return at + MINUTE_MS if at is not None and now < at + MINUTE_MS else None

    def record_first_attempt(self, row: NotificationRow, at: Instant) -> Self:
        """Record that the first attempt of this message was planned."""
        about = self.about.set(_key(row), at) if is_about_incident(row) else self.about
        if not is_budgeted(row):
            return self if about is self.about else replace(self, about=about)
        earlier = self.told.get(row.person, RecentMessages())
        recent = tuple(t for t in earlier.at if t > at - HOUR_MS)[-50:]
        alarm = (
            at
            if row.template in ALARM_TEMPLATES
            or any(item.template in ALARM_TEMPLATES for item in row.bundle)
            else earlier.alarm_at
        )
        return replace(
            self, told=self.told.set(row.person, RecentMessages((*recent, at), alarm)), about=about
        )

    def place_message(
        self, row: NotificationRow, *, bundled: bool, quiet: bool, minute: bool
    ) -> Self:
        """Add the message to the queue for a digest, quiet hours or a minute, or to none."""
        person = row.person
        waiting, silent = (
            _place_in_queue(self.waiting, person, row.id, waits=bundled),
            _place_in_queue(self.quiet, person, row.id, waits=quiet),
        )
        soon = _place_in_queue(self.minute, person, row.id, waits=minute)
        queued_calls = _place_in_queue(self.queued, _key(row), row.id, waits=is_queued_call(row))
        if (
            waiting is self.waiting
            and silent is self.quiet
            and soon is self.minute
            and queued_calls is self.queued
        ):
            return self
        return replace(self, waiting=waiting, quiet=silent, minute=soon, queued=queued_calls)

    def with_indexes(self, rows: Iterable[NotificationRow]) -> Self:
        """Return the queues with their indexes rebuilt from all notifications."""
        about: dict[tuple[str, str], Instant] = {}
        minute: dict[str, tuple[str, ...]] = {}
        queued_calls: dict[tuple[str, str], tuple[str, ...]] = {}
        for row in sorted(rows, key=lambda r: (r.planned_at, r.id)):
            if row.why == SAME_MINUTE and not is_settled(row):
                minute[row.person] = (*minute.get(row.person, ()), row.id)
            if is_queued_call(row):
                queued_calls[_key(row)] = (*queued_calls.get(_key(row), ()), row.id)
            if row.attempts and is_about_incident(row):
                about[_key(row)] = max(about.get(_key(row), 0), row.attempts[0].planned_at)
        return replace(self, minute=Map(minute), about=Map(about), queued=Map(queued_calls))


def _place_in_queue(
    queues: Map[_K, tuple[str, ...]], key: _K, id: str, *, waits: bool
) -> Map[_K, tuple[str, ...]]:
    mine = queues.get(key, ())
    if waits == (id in mine):
        return queues
    now = (*mine, id) if waits else tuple(other for other in mine if other != id)
    return queues.set(key, now) if now else queues.delete(key)


def _key(row: NotificationRow) -> tuple[str, str]:
    """Return the person and the incident of a message."""
    return (row.person, row.incident or "")


def is_budgeted(row: NotificationRow) -> bool:
    """Check whether a message counts for the budget: not step 1, voice or danger."""
    voice = bool(row.channels) and row.channels[0] is Channel.VOICE
    return not row.danger and row.wave != 1 and not voice


def is_about_incident(row: NotificationRow) -> bool:
    """Check whether a message is limited to one per person, incident and minute."""
    return row.incident is not None and row.campaign is None and row.template not in HELP_TEMPLATES


def is_queued_call(row: NotificationRow) -> bool:
    """Return whether a call of an incident still waits for its provider."""
    waits = row.why == PACED and not row.attempts and not is_settled(row)
    return waits and row.answer_expected and is_about_incident(row)


def is_bundled(row: NotificationRow) -> bool:
    """Check whether a message may wait for a digest. Help for a text comes at once or too late."""
    is_information = not row.answer_expected and row.template not in HELP_TEMPLATES
    return is_information and is_budgeted(row) and row.campaign is None


def is_first_wait(row: NotificationRow, rules: DeliveryRules, now: Instant) -> bool:
    """Check whether a message may wait for a digest after its wait for a provider.

    One that contains others, or that is as old as a digest, has waited enough.
    """
    return not row.attempts and not row.bundle and now < row.planned_at + rules.digest_ms


def select_covered_messages(
    row: NotificationRow, others: tuple[NotificationRow, ...]
) -> tuple[NotificationRow, ...]:
    """Select the messages of quiet hours that one message to a person covers, this one included.

    Messages without an answer go together; calls must be answerable on their own, so only those of
    one escalation go together.
    """
    if not row.answer_expected:
        return (row, *(o for o in others if not o.answer_expected))
    return (
        row,
        *(
            o
            for o in others
            if o.answer_expected and row.escalation is not None and o.escalation == row.escalation
        ),
    )


def choose_newest_call(rows: tuple[NotificationRow, ...]) -> tuple[NotificationRow, ...]:
    """Return the newest of several calls of one escalation, then those that it replaces."""
    newest = max(rows, key=lambda r: (r.planned_at, r.cycle or 0, r.wave or 0, r.id))
    carrier, *replaced_calls = _replace_calls(newest, [r for r in rows if r.id != newest.id])
    return (carrier.model_copy(update={"why": None, "not_before": None}), *replaced_calls)


def _replace_calls(
    carrier: NotificationRow, calls: Sequence[NotificationRow]
) -> tuple[NotificationRow, ...]:
    """Return the carrier with the information in older calls, then these calls, which it covers."""
    items = (*carrier.bundle, *chain.from_iterable(r.bundle for r in calls))[:LISTED_ITEMS]
    count = carrier.bundle_count + sum(r.bundle_count for r in calls)
    replaced_calls = (
        r.model_copy(update={"bundled_into": carrier.id, "why": "bundled", "not_before": None})
        for r in calls
    )
    return (
        carrier.model_copy(update={"bundle": items, "bundle_count": count}),
        *replaced_calls,
    )


def list_covered_information(
    rows: Iterable[NotificationRow], carrier: str
) -> list[NotificationRow]:
    """List the information in a message, also through the calls that it replaced."""
    rows_by_carrier = defaultdict[str, list[NotificationRow]](list)
    for row in rows:
        if row.bundled_into is not None:
            rows_by_carrier[row.bundled_into].append(row)
    information, carriers = list[NotificationRow](), [carrier]
    while carriers:
        covered_rows = rows_by_carrier[carriers.pop()]
        information += (row for row in covered_rows if not row.answer_expected)
        carriers += (row.id for row in covered_rows if row.answer_expected)
    return information


def sort_by_gravity(rows: tuple[NotificationRow, ...]) -> tuple[NotificationRow, ...]:
    """Sort the messages of one minute: calls before information, then by level, newest first."""
    return tuple(
        sorted(
            rows,
            key=lambda r: (not r.danger, not r.answer_expected, -int(r.level), -r.planned_at, r.id),
        )
    )


def bundle_minute(rows: tuple[NotificationRow, ...]) -> tuple[NotificationRow, ...]:
    """Return the gravest message of a minute with its bundle, then the bundled messages.

    A call covers information and the older calls of its own escalation. A call of another
    escalation must be answerable on its own and goes after it.
    """
    first, *rest = sort_by_gravity(rows)
    calls = [
        r
        for r in rest
        if r.answer_expected and r.escalation is not None and r.escalation == first.escalation
    ]
    carrier, *bundled_messages = bundle_messages(
        first, tuple(r for r in rest if not r.answer_expected)
    )
    carrier, *replaced_calls = _replace_calls(carrier, calls)
    return (carrier, *bundled_messages, *replaced_calls)


def bundle_messages(
    carrier: NotificationRow, others: tuple[NotificationRow, ...]
) -> tuple[NotificationRow, ...]:
    """Return the carrier with the content of the others, then the bundled others.

    Messages bundled earlier go with it.
    """
    if not others:
        return (carrier.model_copy(update={"why": None, "not_before": None}),)
    own = [
        (
            BundledItem(
                template=r.template, level=r.level, values=r.values, role=r.role, scope=r.scope
            ),
            *r.bundle,
        )
        for r in others
    ]
    items = (*carrier.bundle, *chain.from_iterable(own))[:LISTED_ITEMS]
    bundled_rows = tuple(
        r.model_copy(update={"bundled_into": carrier.id, "why": "bundled", "not_before": None})
        for r in others
    )
    count = carrier.bundle_count + len(others) + sum(r.bundle_count for r in others)
    return (
        carrier.model_copy(
            update={"bundle": items, "bundle_count": count, "why": None, "not_before": None}
        ),
        *bundled_rows,
    )
