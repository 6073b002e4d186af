"""Choose the channels of a planned notification and their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.base import Instant
from schemas.calling import NotificationPlanned
from schemas.delivery import NotificationRow
from schemas.words import Channel, NotificationState
from services.delivery.notifications.channel_policies import FALLBACK_CHANNELS


def choose_channels(
    preferred_channels: Sequence[Channel], verified: Iterable[Channel]
) -> tuple[Channel, ...]:
    """Return the step's channels that are verified for the person, then e-mail and webhook.

    The order is that of the step. Other verified channels are not used: a step with `app, sms` does
    not ring a phone at night (D36).
    """
    mine = set(verified)
    return tuple(dict.fromkeys(c for c in (*preferred_channels, *FALLBACK_CHANNELS) if c in mine))


def build_planned_row(
    planned: NotificationPlanned, verified: Iterable[Channel], lost_at: Instant | None
) -> NotificationRow:
    """Build the first row of a notification, without an attempt.

    Its channels stay as they are now, even if the roster changes.
    """
    return NotificationRow(
        id=planned.notification,
        incident=planned.incident,
        escalation=planned.escalation,
        wave=planned.wave,
        cycle=planned.cycle,
        level=planned.level,
        previous_level=planned.previous_level,
        role=planned.role,
        scope=planned.scope,
        person=planned.person,
        channels=choose_channels(planned.channels, verified),
        state=NotificationState.PLANNED,
        template=planned.template,
        values=planned.values,
        answer_expected=planned.answer_expected,
        danger=planned.danger,
        planned_at=planned.planned_at,
        ack_by=planned.ack_by,
        quiet_until=planned.quiet_until,
        possible_duplicate=lost_at is not None and planned.planned_at <= lost_at,
    )
