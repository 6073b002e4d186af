"""Action cards (fiches réflexes) of a plan: due, overdue, done. Rules D50, D84."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.alerts import AttentionRequested
from schemas.base import MINUTE_MS, Instant
from schemas.continuity import CardReference, CardRow, PlanRow, SiteCardChanged, SiteCardRow
from schemas.plans import Card, CardOrigin, CardPhase
from schemas.reference import Plan
from schemas.words import CardState
from services.continuity.deadlines import SiteCardsDue
from services.continuity.decision import ContinuityDecision
from services.continuity.plans.site_cards import (
    CLOSED_STATES,
    OPENED_PER_STEP,
    compute_card_due,
    find_next_site_deadline,
    find_reference_card,
    get_asked_time,
    group_by_card,
    list_resting_cards,
    list_site_cards,
)
from services.continuity.state import ContinuityState

PILOT_AFTER_MS: Final = 10 * MINUTE_MS
"""Time after which an overdue card goes from its owner to the pilot. Rule D50."""
_OPEN_STATES: Final = frozenset((CardState.TO_DO, CardState.DOING))


def build_cards(
    state: ContinuityState, plan: Plan, trigger_since: Instant, *, recovering_since: Instant | None
) -> tuple[CardRow, ...]:
    """Return the cards of a plan, to do, or waiting for the cards that they depend on.

    Cards of the return exist while the plan recovers.
    """
    return tuple(
        CardRow(
            id=c.id,
            role=c.role,
            pole=c.pole or plan.pole,
            due_at=compute_card_due(
                state,
                plan,
                c,
                recovering_since
                if c.origin is CardOrigin.STAND_DOWN and recovering_since is not None
                else trigger_since,
            ),
            state=CardState.WAITING if c.depends_on else CardState.TO_DO,
        )
        for c in plan.cards
        if c.phase is not CardPhase.RETURN or recovering_since is not None
    )


def add_return_cards(state: ContinuityState, plan: Plan, row: PlanRow) -> tuple[CardRow, ...]:
    """Return the cards of a plan that recovers, with those of the return that it has not yet.

    The open ones of an earlier recovery get the times of this one.
    """
    new_cards = build_cards(
        state, plan, row.trigger_since or 0, recovering_since=row.stand_down_since
    )
    return_cards = {
        card.id: card
        for card in new_cards
        if (of := find_reference_card(plan, card.id)) is not None and of.phase is CardPhase.RETURN
    }
    before = (
        card.model_copy(update={"due_at": return_cards[card.id].due_at})
        if card.id in return_cards and card.state not in CLOSED_STATES
        else card
        for card in row.cards
    )
    existing_ids = {card.id for card in row.cards}
    return (*before, *(card for id, card in return_cards.items() if id not in existing_ids))


def rest_return_cards(state: ContinuityState, row: PlanRow) -> tuple[CardRow, ...]:
    """Return the cards of a plan that is active as before: nobody is late with its return."""
    resting_cards = list_resting_cards(state, row)
    return tuple(
        card.model_copy(update={"overdue": False, "pilot_told": False})
        if card.id in resting_cards
        else card
        for card in row.cards
    )


def carry_over_cards(
    state: ContinuityState, before: Plan | None, plan: Plan, row: PlanRow, now: Instant
) -> tuple[CardRow, ...]:
    """Carry the progress of cards over to a new version of their plan.

    A card is known by its task, or by its id in an earlier version (`formerly`). Ids of earlier
    versions are positions in the list: without this, a task inserted before others would take over
    their progress. A card that is withdrawn while its plan runs stays in the run. Rule D86.
    """
    if before is None or not row.cards or row.trigger_since is None or before.cards == plan.cards:
        return row.cards
    stood = {card.id: card for card in row.cards}
    cards_by_task = {card.task: stood[card.id] for card in before.cards if card.id in stood}
    former_cards = {
        card.id: stood[card.formerly]
        for card in plan.cards
        if card.formerly in stood
        and any(old.id == card.formerly and old.phase is None for old in before.cards)
    }
    tasks = {card.id: card.task for card in plan.cards}
    new_cards = build_cards(state, plan, row.trigger_since, recovering_since=row.stand_down_since)
    return (
        *(
            _copy_progress(card, cards_by_task.get(tasks[card.id], former_cards.get(card.id)), now)
            for card in new_cards
        ),
        *_keep_withdrawn_cards(before, plan, row),
    )


def _keep_withdrawn_cards(before: Plan, plan: Plan, row: PlanRow) -> Iterator[CardRow]:
    """Yield the cards of a run that its plan no longer has, with their titles."""
    tasks = {card.id: card.task for card in before.cards if card.phase is not None}
    present = {card.id for card in plan.cards} | {card.formerly for card in plan.cards}
    present_tasks = {card.task for card in plan.cards}
    for card in row.cards:
        task = card.task or tasks.get(card.id)
        if task is not None and card.id not in present and task not in present_tasks:
            yield card.model_copy(update={"task": task})


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
            "proof": was.proof,
            "ready_at": was.ready_at,
            "sites": was.sites,
        }
    )


def reschedule_cards(
    state: ContinuityState, plan: Plan, row: PlanRow, now: Instant
) -> tuple[CardRow, ...]:
    """Give the open cards of a row their new times after its day was moved; others stay."""
    if row.trigger_since is None:
        return row.cards
    new_cards = build_cards(state, plan, row.trigger_since, recovering_since=row.stand_down_since)
    fresh = {card.id: card for card in new_cards}
    return tuple(
        _copy_progress(fresh[card.id], card, now) if is_open(card) and card.id in fresh else card
        for card in row.cards
    )


def is_open(card: CardRow | SiteCardRow) -> bool:
    """Check whether a card is to do or doing."""
    return card.state in _OPEN_STATES


def find_next_card_deadline(state: ContinuityState, row: PlanRow, now: Instant) -> Instant | None:
    """Return the next instant when an open card becomes overdue or goes to the pilot.

    Cards count only while the plan is active.
    """
    by_card, unasked_cards = group_by_card(list_site_cards(state, row)), _find_unasked(state, row)
    instants = [
        *(
            _find_next_attention(row, card, by_card)
            for card in row.cards
            if card.id not in unasked_cards
        ),
        find_next_site_deadline(state, row, now),
    ]
    return min((at for at in instants if at is not None), default=None)


def _find_unasked(state: ContinuityState, row: PlanRow) -> frozenset[str]:
    """Return the cards at rest or without their site cards so far; nobody is late with them."""
    plan = state.bia.plans.get(row.id) if state.bia is not None else None
    scoped_cards = {card.id for card in plan.cards if card.scope} if plan is not None else set()
    unopened_cards = (
        card.id for card in row.cards if card.sites is None and card.id in scoped_cards
    )
    return list_resting_cards(state, row).union(unopened_cards)


def _find_next_attention(
    row: PlanRow, card: CardRow, by_card: dict[str, list[SiteCardRow]]
) -> Instant | None:
    """Return the next instant when a card asks for attention; None: never.

    A delay before the decision counts from the decision, and so do the ten minutes of the pilot.
    A card with site cards asks when the first open one is overdue.
    """
    if not is_open(card) or (card.overdue and card.pilot_told):
        return None
    attention_time = get_asked_time(row, card)
    if card.sites is not None:
        pending = [get_asked_time(row, one) for one in by_card.get(card.id, ()) if is_open(one)]
        if not pending:
            return None
        attention_time = min(pending)
    return attention_time + PILOT_AFTER_MS if card.overdue else attention_time


def mark_overdue_cards(draft: ContinuityDecision, row: PlanRow) -> PlanRow:
    """Mark the cards that are overdue by now, and demand attention for them.

    Owners of site cards are told in one message for all of them (`remind_owners`); the pilot gets
    one line with the number of those that are not done.
    """
    by_card = group_by_card(list_site_cards(draft.state, row))
    unasked_cards = _find_unasked(draft.state, row)
    cards = []
    for card in row.cards:
        due_at = None if card.id in unasked_cards else _find_next_attention(row, card, by_card)
        if due_at is None or due_at > draft.now:
            cards.append(card)
        elif not card.overdue:
            if card.sites is None:
                _demand_card_attention(draft, row, card, (card.role,))
            cards.append(card.model_copy(update={"overdue": True}))
        else:
            pilots = draft.bia.pilots(draft.state.level) or (row.decides,)
            _demand_card_attention(draft, row, card, pilots, by_card.get(card.id, ()))
            cards.append(card.model_copy(update={"pilot_told": True}))
    return row.model_copy(update={"cards": tuple(cards)})


def _demand_card_attention(
    draft: ContinuityDecision,
    row: PlanRow,
    card: CardRow,
    roles: tuple[str, ...],
    site_cards: Sequence[SiteCardRow] = (),
) -> None:
    unfinished_count = sum(one.state not in CLOSED_STATES for one in site_cards)
    draft.emit(
        AttentionRequested(
            code="card_overdue",
            roles=roles,
            pole=card.pole,
            plan=row.id,
            card=card.id,
            limit_at=card.due_at,
            incident=row.incident,
            unfinished=unfinished_count if site_cards else None,
            total=len(site_cards) if site_cards else None,
            listed=(str(CardReference(row.life, row.id, card.id)),)
            if roles == (card.role,) and not site_cards
            else None,
        )
    )


def settle_cards(draft: ContinuityDecision, row: PlanRow) -> PlanRow:
    """Open cards with closed dependencies, and sum up the site cards.

    Returns the plan with its cards; changed site cards are recorded, as many as fit into a step.
    """
    plan = draft.bia.plans[row.id]
    reference = {card.id: card for card in plan.cards}
    rows = list_site_cards(draft.state, row)
    index = _Standing({card.id: card for card in row.cards}, group_by_card(rows))
    room = OPENED_PER_STEP
    for one in rows:
        card = reference.get(one.card)
        if one.state is not CardState.WAITING or card is None:
            continue
        if not index.are_closed(card, one.site):
            continue
        if not room:
            draft.arm(SiteCardsDue(row.id), draft.now + 1)
            break
        ready = one.model_copy(update=_build_ready(draft.now, card, one))
        draft.emit(SiteCardChanged(row=ready, change="ready"))
        room -= 1
    by_card = group_by_card(list_site_cards(draft.state, row))
    settled_cards = []
    for stands in row.cards:
        card = reference.get(stands.id)
        if card is None:
            settled_cards.append(stands)
        elif stands.sites is not None:
            settled_cards.append(_sum_up(stands, by_card.get(stands.id, ())))
        elif (
            stands.state is CardState.WAITING
            and card.scope is None
            and index.are_closed(card, None)
        ):
            settled_cards.append(stands.model_copy(update=_build_ready(draft.now, card, stands)))
        else:
            settled_cards.append(stands)
    cards = tuple(settled_cards)
    return row if cards == row.cards else row.model_copy(update={"cards": cards})


@dataclass(frozen=True, slots=True)
class _Standing:
    """Cards and site cards of a plan, by card."""

    cards: dict[str, CardRow]
    site_cards: dict[str, list[SiteCardRow]]

    def are_closed(self, card: Card, site: str | None) -> bool:
        """Check whether the cards that a card depends on are closed.

        A card of a site waits for the cards of that site only. A card that the plan does not have
        hinders nothing.
        """
        return all(self._is_closed(other, site) for other in card.depends_on)

    def _is_closed(self, other: str, site: str | None) -> bool:
        stands = self.cards.get(other)
        if stands is None or stands.state in CLOSED_STATES:
            return True
        if stands.sites is None:
            return False
        rows = self.site_cards.get(other, [])
        return all(
            one.state in CLOSED_STATES for one in rows if site is None or one.site in (site, None)
        )


def _build_ready(now: Instant, card: Card, row: CardRow | SiteCardRow) -> dict[str, Any]:
    """Return the fields of a card that may begin; a delay may count from the card before it."""
    due_at = now + card.t_min * MINUTE_MS if card.origin is CardOrigin.CARD else row.due_at
    return {"state": CardState.TO_DO, "ready_at": now, "due_at": due_at}


def _sum_up(stands: CardRow, rows: Sequence[SiteCardRow]) -> CardRow:
    """Return a card with the sum of its site cards: done when all are closed."""
    states = {one.state for one in rows}
    if states <= CLOSED_STATES:
        state = CardState.DONE if rows else stands.state
        state = CardState.NOT_APPLICABLE if not rows and stands.sites == 0 else state
    elif states == {CardState.WAITING}:
        state = CardState.WAITING
    elif states <= {CardState.WAITING, CardState.TO_DO}:
        state = CardState.TO_DO
    else:
        state = CardState.DOING
    is_closed = state in CLOSED_STATES
    return stands.model_copy(
        update={
            "state": state,
            "overdue": stands.overdue and not is_closed,
            "at": max((one.at for one in rows if one.at), default=None) if is_closed else None,
        }
    )


def replace_card(row: PlanRow, card: CardRow) -> PlanRow:
    """Replace the card with the same id."""
    return row.model_copy(
        update={"cards": tuple(card if c.id == card.id else c for c in row.cards)}
    )


def find_card(row: PlanRow, card: str) -> CardRow | None:
    """Find the card with this id."""
    return next((c for c in row.cards if c.id == card), None)
