"""Messages that waited: for a provider, a digest, the end of a minute or of quiet hours."""

from __future__ import annotations

from dataclasses import replace

from schemas.base import MINUTE_MS
from schemas.delivery import NotificationRow
from schemas.words import Channel
from services.delivery.decision import DeliveryDecision
from services.delivery.notifications import attempts
from services.delivery.notifications.bundling import (
    bundle_messages,
    bundle_minute,
    choose_newest_call,
    select_covered_messages,
)
from services.delivery.notifications.planning import plan_first_step


def on_channel_free(draft: DeliveryDecision, channel: Channel) -> None:
    """Send the messages next in the queue of this provider."""
    state, now = draft.state, draft.now
    freed = replace(draft.build_terms(), is_open=lambda _row, _channel: True)
    room = state.pacing.room(channel, state.rules.channels[channel], now)
    for id in state.pacing.first(channel, room):
        row = state.notifications[id]
        draft.record_step(row, plan_first_step(draft.state, row, now, freed))


def on_held_message_due(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Send a message that waited for the end of the hold."""
    draft.record_step(row, plan_first_step(draft.state, row, draft.now))


def on_later_message_due(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Send a message that waited for an hour: alone, or with others of its person."""
    if row.why == attempts.BUNDLED:
        _send_digest(draft, row)
    elif row.why == attempts.SAME_MINUTE:
        _send_minute(draft, row)
    elif row.id in draft.state.bundles.quiet.get(row.person, ()):
        _send_after_quiet_hours(draft, row)
    else:
        draft.record_attempt(row, row)


def _send_digest(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Send one message for all that this person waits for."""
    waiting = draft.state.bundles.waiting.get(row.person, ())
    others = tuple(draft.state.notifications[id] for id in waiting if id != row.id)
    carrier, *bundled = bundle_messages(row, others)
    draft.record_step(row, plan_first_step(draft.state, carrier, draft.now))
    draft.record_rows(*map(attempts.update_state, bundled))


def _send_minute(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Send the messages that waited for the end of a minute as one.

    It waits longer if the person heard of danger meanwhile, or is being called.
    """
    state, now = draft.state, draft.now
    waiting = (state.notifications[id] for id in state.bundles.minute.get(row.person, ()))
    same = tuple(one for one in waiting if one.incident == row.incident)
    first, *bundled = bundle_minute(same)
    ends = None if state.sending_held else state.bundles.minute_ends(first, now)
    if ends is not None:
        draft.record_rows(*(one.model_copy(update={"not_before": ends}) for one in same))
        return
    draft.record_attempt(state.notifications[first.id], first)
    draft.record_rows(*map(attempts.update_state, bundled))
    settled = {first.id, *(one.id for one in bundled)}
    later = (one for one in same if one.id not in settled)
    draft.record_rows(*(one.model_copy(update={"not_before": now + MINUTE_MS}) for one in later))


def _send_after_quiet_hours(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Send one message for the messages of one kind that quiet hours held back."""
    state, now = draft.state, draft.now
    others = (state.notifications[id] for id in state.bundles.quiet[row.person] if id != row.id)
    due = tuple(o for o in others if o.not_before is not None and o.not_before <= now)
    mine = select_covered_messages(row, due)
    first, *bundled = (
        choose_newest_call(mine) if row.answer_expected else bundle_messages(mine[0], mine[1:])
    )
    draft.record_step(state.notifications[first.id], plan_first_step(state, first, now))
    draft.record_rows(*map(attempts.update_state, bundled))
