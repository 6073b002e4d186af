"""Action cards (fiches réflexes) of a plan: due, overdue, done. Rule D50."""

from __future__ import annotations

from typing import Final

from schemas.alerts import AttentionRequested
from schemas.base import MINUTE_MS, Instant
from schemas.continuity import CardRow, PlanRow
from schemas.plans import Card, CardOrigin, CardPhase
from schemas.reference import Plan
from schemas.words import CardState
from services.continuity.activities.calendars import compute_local_instant, get_local_day
from services.continuity.activities.impact_analysis import STRIKE_FLAG
from services.continuity.decision import ContinuityDecision
from services.continuity.state import ContinuityState

PILOT_AFTER_MS: Final = 10 * MINUTE_MS
"""Time after which an overdue card goes from its owner to the pilot. Rule D50."""
_STRIKE_DAY_STARTS_MIN: Final = 6 * 60
_OPEN_STATES: Final = frozenset((CardState.TO_DO, CardState.DOING))


def find_card_origin(
    state: ContinuityState, plan: Plan, card: Card, trigger_since: Instant
) -> Instant:
    """Return the instant from which `t_min` of a card counts.

    This is the start of the trigger, 06:00 on the strike day that the notice names, or the next
    time of day that the card names.
    """
    if card.origin is CardOrigin.LOCAL_TIME and card.local_min is not None:
        return _find_next_local_time(trigger_since, card.local_min)
    if plan.card_origin is None and card.origin is not CardOrigin.STRIKE_DAY:
        return trigger_since
    notice = state.dependencies.get(STRIKE_FLAG)
    if notice is None or notice.speaks_of is None:
        return trigger_since
    return compute_local_instant(get_local_day(notice.speaks_of), _STRIKE_DAY_STARTS_MIN)


def _find_next_local_time(after: Instant, minute: int) -> Instant:
    """Return the first instant from `after` on with this minute of a local day."""
    day = get_local_day(after)
    today = compute_local_instant(day, minute)
    return today if today >= after else compute_local_instant(day + 1, minute)


def build_cards(state: ContinuityState, plan: Plan, trigger_since: Instant) -> tuple[CardRow, ...]:
    """Return the cards of a plan, to do; those of the return follow when it recovers."""
    return tuple(
        CardRow(
            id=c.id,
            role=c.role,
            pole=c.pole or plan.pole,
            due_at=find_card_origin(state, plan, c, trigger_since) + c.t_min * MINUTE_MS,
        )
        for c in plan.cards
        if c.phase is not CardPhase.RETURN
    )


def carry_over_cards(
    state: ContinuityState, before: Plan | None, plan: Plan, row: PlanRow, now: Instant
) -> tuple[CardRow, ...]:
    """Carry the progress of cards over to a new version of their plan.

    A card is known by its task, or by its id in an earlier version (`formerly`). Ids of earlier
    versions are positions in the list: without this, a task inserted before others would take over
    their progress.
    """
    if before is None or not row.cards or row.trigger_since is None or before.cards == plan.cards:
        return row.cards
    stood = {card.id: card for card in row.cards}
    known = {card.task: stood[card.id] for card in before.cards if card.id in stood}
    renamed = {
        card.id: stood[card.formerly]
        for card in plan.cards
        if card.formerly in stood
        and any(old.id == card.formerly and old.phase is None for old in before.cards)
    }
    tasks = {card.id: card.task for card in plan.cards}
    return tuple(
        _copy_progress(card, known.get(tasks[card.id], renamed.get(card.id)), now)
        for card in build_cards(state, plan, row.trigger_since)
    )


def _copy_progress(card: CardRow, was: CardRow | None, now: Instant) -> CardRow:
    """Copy the progress to a card; it stays overdue only if it is late by its own time."""
    if was is None:
        return card
    late = card.due_at <= now
    return card.model_copy(
        update={
            "state": was.state,
            "overdue": was.overdue and late,
            "pilot_told": was.pilot_told and late,
            "by": was.by,
            "at": was.at,
            "reason": was.reason,
        }
    )


def reschedule_cards(
    state: ContinuityState, plan: Plan, row: PlanRow, now: Instant
) -> tuple[CardRow, ...]:
    """Give the open cards of a row their new times after its day was moved; others stay."""
    if row.trigger_since is None:
        return row.cards
    fresh = {card.id: card for card in build_cards(state, plan, row.trigger_since)}
    return tuple(
        _copy_progress(fresh[card.id], card, now) if is_open(card) and card.id in fresh else card
        for card in row.cards
    )


def is_open(card: CardRow) -> bool:
    """Check whether a card is to do or doing."""
    return card.state in _OPEN_STATES


def find_next_card_deadline(row: PlanRow) -> Instant | None:
    """Return the next instant at which an open card becomes overdue or goes to the pilot.

    Cards count only while the plan is active.
    """
    return min(
        (
            at
            for card in row.cards
            if is_open(card) and (at := _find_next_attention(row, card)) is not None
        ),
        default=None,
    )


def _find_next_attention(row: PlanRow, card: CardRow) -> Instant | None:
    """Return the next instant at which a card asks for attention.

    A delay before the decision counts from the decision, and so do the ten minutes of the pilot.
    """
    asked = max(card.due_at, row.decided_at or card.due_at)
    if not card.overdue:
        return asked
    return None if card.pilot_told else asked + PILOT_AFTER_MS


def mark_overdue_cards(draft: ContinuityDecision, row: PlanRow) -> PlanRow:
    """Mark the cards that are overdue by now, and demand attention for them."""
    made = []
    for card in row.cards:
        due = _find_next_attention(row, card) if is_open(card) else None
        if due is None or due > draft.now:
            made.append(card)
        elif not card.overdue:
            _demand_card_attention(draft, row, card, (card.role,))
            made.append(card.model_copy(update={"overdue": True}))
        else:
            _demand_card_attention(
                draft, row, card, draft.bia.pilots(draft.state.level) or (row.decides,)
            )
            made.append(card.model_copy(update={"pilot_told": True}))
    return row.model_copy(update={"cards": tuple(made)})


def _demand_card_attention(
    draft: ContinuityDecision, row: PlanRow, card: CardRow, roles: tuple[str, ...]
) -> None:
    draft.record(
        AttentionRequested(
            code="card_overdue",
            roles=roles,
            pole=card.pole,
            plan=row.id,
            card=card.id,
            limit_at=card.due_at,
            incident=row.incident,
        )
    )


def replace_card(row: PlanRow, card: CardRow) -> PlanRow:
    """Replace the card with the same id."""
    return row.model_copy(
        update={"cards": tuple(card if c.id == card.id else c for c in row.cards)}
    )


def find_card(row: PlanRow, card: str) -> CardRow | None:
    """Find the card with this id."""
    return next((c for c in row.cards if c.id == card), None)
