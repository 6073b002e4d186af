"""Open a card per site or person, in bounded steps, and remind each owner once.

Rules D50 and D84.

A card with a scope has one `SiteCardRow` per selected site or member of a group. A deadline opens
them (`cards:<plan>`), at most `OPENED_PER_STEP` in one Transaction. One deadline for all plans
(`remind:`) tells each owner about all its cards in one message.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.alerts import AttentionRequested
from schemas.base import MINUTE_MS, Instant
from schemas.card_scopes import is_selected
from schemas.continuity import (
    CardReference,
    CardRow,
    PlanRow,
    SiteCardChanged,
    SiteCardRow,
    SiteHeard,
)
from schemas.plans import Card, CardOrigin, CardPhase, CardScope
from schemas.ranks import SITE_MANAGER_ROLE
from schemas.reference import Plan, Site
from schemas.words import ACTIVE_PLAN_STATES, CardState, SiteStatus
from services.continuity.activities.calendars import compute_local_instant, get_local_day
from services.continuity.activities.impact_analysis import STRIKE_FLAG
from services.continuity.deadlines import CardRemindersDue, SiteCardsDue
from services.continuity.decision import DROPPED_AUTHOR, ContinuityDecision
from services.continuity.state import NO_SITE_CARDS, ContinuityState, get_standing_incident

_STRIKE_DAY_STARTS_MIN: Final = 6 * 60
MOST_INFORMED: Final = 300
"""Most owners informed of the end of a plan: a Transaction holds 256 KiB."""
OPENED_PER_STEP: Final = 150
"""Site cards that one step opens or changes: a row has up to 500 bytes, a Transaction 256 KB."""
REMINDERS_PER_STEP: Final = 100
LISTED_CARDS: Final = 6
"""Cards with a number in a message: an SMS has no room for more beside the event (D70)."""
BUNDLE_MS: Final = MINUTE_MS
"""Time from the first card of an owner to its message; further cards go with it."""
REMINDER_PAUSE_MS: Final = 30 * MINUTE_MS
"""Shortest time between two messages to the same owner about its cards."""
OPEN_STATES: Final = frozenset((CardState.WAITING, CardState.TO_DO, CardState.DOING))
CLOSED_STATES: Final = frozenset((CardState.DONE, CardState.NOT_APPLICABLE))


def compute_card_due(state: ContinuityState, plan: Plan, card: Card, since: Instant) -> Instant:
    """Return when a card is due; `since` is the start of its delay, unless its origin is a day.

    A forecast threshold without a forecast counts from `since`, and is never before it.
    """
    start = find_card_origin(state, plan, card, since)
    delay = card.t_min * MINUTE_MS
    return start + (max(delay, 0) if card.origin is CardOrigin.FORECAST_THRESHOLD else delay)


def find_card_origin(state: ContinuityState, plan: Plan, card: Card, since: Instant) -> Instant:
    """Return the start of `t_min` of a card.

    This is `since`, 06:00 on the strike day that the notice names, or the next time of day that
    the card names.
    """
    if card.origin is CardOrigin.LOCAL_TIME and card.local_min is not None:
        return _find_next_local_time(since, card.local_min)
    if card.origin is not CardOrigin.STRIKE_DAY and (
        plan.card_origin is None or card.phase is not None
    ):
        return since
    notice = state.dependencies.get(STRIKE_FLAG)
    if notice is None or notice.speaks_of is None:
        return since
    return compute_local_instant(get_local_day(notice.speaks_of), _STRIKE_DAY_STARTS_MIN)


def _find_next_local_time(after: Instant, minute: int) -> Instant:
    """Return the first instant from `after` on with this minute of a local day."""
    day = get_local_day(after)
    today = compute_local_instant(day, minute)
    return today if today >= after else compute_local_instant(day + 1, minute)


def build_site_card_id(plan: str, card: str, owner: str) -> str:
    """Return the id of the card of a site or role."""
    return f"{plan}/{card}/{owner}"


def list_site_cards(state: ContinuityState, row: PlanRow) -> list[SiteCardRow]:
    """Return the site cards of the present life of a plan, by id."""
    rows = state.site_cards.get(row.id, NO_SITE_CARDS)
    return [rows[id] for id in sorted(rows) if rows[id].life == row.life]


def list_resting_cards(state: ContinuityState, row: PlanRow) -> frozenset[str]:
    """Return the cards of the return of a plan that does not recover any more. Rule D48."""
    plan = state.bia.plans.get(row.id) if state.bia is not None else None
    return frozenset(
        card.id for card in (plan.cards if plan is not None else ()) if row.is_at_rest(card.phase)
    )


def _list_asking_cards(state: ContinuityState, row: PlanRow) -> list[SiteCardRow]:
    """Return the open site cards of a plan, without those at rest."""
    resting_cards = list_resting_cards(state, row)
    return [
        card
        for card in list_site_cards(state, row)
        if card.state in (CardState.TO_DO, CardState.DOING) and card.card not in resting_cards
    ]


def group_by_card(rows: Iterable[SiteCardRow]) -> dict[str, list[SiteCardRow]]:
    groups: dict[str, list[SiteCardRow]] = {}
    for row in rows:
        groups.setdefault(row.card, []).append(row)
    return groups


def get_asked_time(plan: PlanRow, row: SiteCardRow | CardRow) -> Instant:
    """Return when an open card becomes overdue.

    A delay before the decision counts from the decision, one behind other cards from their end.
    """
    return max(row.due_at, plan.decided_at or row.due_at, row.ready_at or row.due_at)


def schedule_opening(draft: ContinuityDecision, row: PlanRow) -> None:
    """Schedule the opening of the site cards of an active plan, a millisecond later.

    A deadline that fired now is never armed for now: ids of its facts come from its time, so two
    facts would get one id.
    """
    plan = draft.bia.plans.get(row.id)
    if (
        plan is not None
        and row.state in ACTIVE_PLAN_STATES
        and any(card.scope is not None for card in plan.cards)
    ):
        draft.arm(SiteCardsDue(row.id), draft.now + 1)


def schedule_openings_of_incident(draft: ContinuityDecision, incident: str) -> None:
    """Schedule the site cards of active plans after a merge of their incident."""
    standing = get_standing_incident(draft.state, incident)
    for row in draft.state.plans.values():
        if get_standing_incident(draft.state, row.incident) == standing:
            schedule_opening(draft, row)


def schedule_openings_of_site(draft: ContinuityDecision, site: str) -> None:
    """Schedule the opening of cards at a site that an active plan newly concerns."""
    place = draft.bia.sites.get(site)
    if place is None:
        return
    for row in draft.state.plans.values():
        plan = draft.bia.plans.get(row.id)
        if plan is None or row.state not in ACTIVE_PLAN_STATES:
            continue
        site_cards = draft.state.site_cards.get(row.id, NO_SITE_CARDS)
        opened_cards = {card.id for card in row.cards if is_opened_per_site(card)}
        if any(
            card.id in opened_cards
            and not row.is_at_rest(card.phase)
            and _is_wanted(draft.state, plan, row, card, place)
            and not _is_known(site_cards, row, card, site)
            for card in plan.cards
        ):
            draft.arm(SiteCardsDue(row.id), draft.now + 1)  # as schedule_opening


def is_opened_per_site(card: CardRow) -> bool:
    """Return whether site cards stand behind this card; not if it was closed before it had any."""
    return card.sites is not None or card.state in OPEN_STATES


def _is_known(site_cards: Mapping[str, SiteCardRow], row: PlanRow, card: Card, owner: str) -> bool:
    site_card = site_cards.get(build_site_card_id(row.id, card.id, owner))
    return site_card is not None and site_card.life == row.life


def _is_wanted(state: ContinuityState, plan: Plan, row: PlanRow, card: Card, site: Site) -> bool:
    """Return whether a card is to be opened at a site now."""
    scope = card.scope
    if scope is None or scope.type != "site" or scope.where == "chosen":
        return False
    if not is_selected(scope, site):
        return False
    site_state = state.sites.get(site.id)
    status = SiteStatus.NORMAL if site_state is None else site_state.status
    if scope.statuses and status not in scope.statuses:
        return False
    if scope.causes and not _list_causes(state, row, site_state, scope):
        return False
    return scope.where == "all" or _is_concerned(state, plan, row, card, site)


def _list_causes(
    state: ContinuityState, row: PlanRow, site_state: SiteHeard | None, scope: CardScope
) -> list[Instant]:
    """Return the starts of the causes at a site that concern a plan, those of its scope only."""
    incident = get_standing_incident(state, row.incident)
    return [
        cause.since
        for cause in (site_state.causes if site_state is not None else ())
        if (not scope.causes or cause.type in scope.causes)
        and (
            row.pole is not None
            or incident is None
            or get_standing_incident(state, cause.incident) == incident
        )
    ]


def _is_concerned(state: ContinuityState, plan: Plan, row: PlanRow, card: Card, site: Site) -> bool:
    """Return whether a site is or was in trouble, or is exposed to the flood of the plan.

    Cards of the return are for sites that were in trouble during this life of the plan.
    """
    scope = card.scope
    if scope is None:
        return False
    if site.flood_exposure in plan.zone_by_threshold_m and (
        "flood_exposure" in scope.flags or scope.communes
    ):
        return True
    site_state = state.sites.get(site.id)
    if site_state is None:
        return False
    if _list_causes(state, row, site_state, scope):
        return True
    return (
        card.phase is CardPhase.RETURN
        and site_state.lifted_at is not None
        and site_state.lifted_at >= (row.trigger_since or 0)
    )


@dataclass(frozen=True, slots=True)
class _Owner:
    """Owner of a site card, with the part of the id that names it."""

    name: str
    site: str | None
    role: str
    pole: str | None


def _list_owners(
    draft: ContinuityDecision, plan: Plan, row: PlanRow, card: Card
) -> Iterator[_Owner]:
    scope = card.scope
    if scope is None:
        return
    if scope.type == "person":
        for role in draft.bia.policy.groups.get(scope.group or "", ()):
            yield _Owner(role, None, role, None)
        return
    for site in draft.bia.sites.values():
        if _is_wanted(draft.state, plan, row, card, site):
            yield build_owner(plan, card, site)


def build_owner(plan: Plan, card: Card, site: Site) -> _Owner:
    """Return the owner of a card at a site: its manager, or the role that the card names."""
    pole = card.pole or plan.pole
    if card.role == SITE_MANAGER_ROLE:
        pole = None if site.pole == "multi" else site.pole
    return _Owner(site.id, site.id, card.role, pole)


def build_site_card(
    draft: ContinuityDecision, plan: Plan, row: PlanRow, card: Card, owner: _Owner
) -> SiteCardRow:
    """Return the new card of a site or person, due by the delay of its card."""
    site_state = draft.state.sites.get(owner.site or "")
    causes = (
        _list_causes(draft.state, row, site_state, card.scope) if card.scope is not None else []
    )
    since = row.trigger_since if row.trigger_since is not None else draft.now
    if card.origin is CardOrigin.SITE_EVENT:
        start = min(causes, default=since)
    elif card.origin is CardOrigin.REQUEST:
        start = draft.now
    elif card.origin is CardOrigin.STAND_DOWN:
        start = row.stand_down_since or draft.now
    else:
        start = max(since, min(causes, default=since))
    return SiteCardRow(
        id=build_site_card_id(row.id, card.id, owner.name),
        plan=row.id,
        card=card.id,
        life=row.life,
        site=owner.site,
        role=owner.role,
        pole=owner.pole,
        state=CardState.WAITING if card.depends_on else CardState.TO_DO,
        opened_at=draft.now,
        due_at=compute_card_due(draft.state, plan, card, start),
    )


def _list_cards_of_dropped_sites(draft: ContinuityDecision, row: PlanRow) -> list[SiteCardRow]:
    """Return the open cards of sites that new reference data dropped, as not applicable.

    Nobody could do them, and the cards behind them waited for ever.
    """
    closed_fields = {"state": CardState.NOT_APPLICABLE, "by": DROPPED_AUTHOR, "at": draft.now}
    return [
        card.model_copy(update=closed_fields)
        for card in list_site_cards(draft.state, row)
        if card.site is not None
        and card.site not in draft.bia.sites
        and card.state not in CLOSED_STATES
    ]


def _list_moved_cards(draft: ContinuityDecision, plan: Plan, row: PlanRow) -> Iterator[SiteCardRow]:
    """Yield the open cards of the return with the times of a plan that recovers once more."""
    if row.stand_down_since is None:
        return
    due_times = {
        card.id: compute_card_due(draft.state, plan, card, row.stand_down_since)
        for card in plan.cards
        if card.origin is CardOrigin.STAND_DOWN
    }
    for site_card in list_site_cards(draft.state, row):
        due_at = due_times.get(site_card.card, site_card.due_at)
        if site_card.state in OPEN_STATES and site_card.due_at < due_at:
            yield site_card.model_copy(update={"due_at": due_at})


def open_site_cards(draft: ContinuityDecision, row: PlanRow) -> PlanRow:
    """Open missing site cards of an active plan, as many as fit into a step.

    Returns the plan with the number of its site cards; a further step follows if some are left.
    """
    plan = draft.bia.plans[row.id]
    site_cards = draft.state.site_cards.get(row.id, NO_SITE_CARDS)
    standing = {card.id: card for card in row.cards}
    room = OPENED_PER_STEP
    for site_card in _list_cards_of_dropped_sites(draft, row):
        if not room:
            draft.arm(SiteCardsDue(row.id), draft.now + 1)
            return row
        draft.emit(SiteCardChanged(row=site_card, change="skipped"))
        room -= 1
    for site_card in _list_moved_cards(draft, plan, row):
        if not room:
            draft.arm(SiteCardsDue(row.id), draft.now + 1)
            return row
        draft.emit(SiteCardChanged(row=site_card, change="moved"))
        room -= 1
    for card in plan.cards:
        stands = standing.get(card.id)
        if card.scope is None or stands is None or row.is_at_rest(card.phase):
            continue
        if not is_opened_per_site(stands):
            continue
        for owner in _list_owners(draft, plan, row, card):
            if _is_known(site_cards, row, card, owner.name):
                continue
            if not room:
                draft.arm(SiteCardsDue(row.id), draft.now + 1)
                return row
            site_card = build_site_card(draft, plan, row, card, owner)
            draft.emit(SiteCardChanged(row=site_card, change="opened"))
            room -= 1
    if room < OPENED_PER_STEP:
        schedule_reminders(draft, draft.now + BUNDLE_MS)
    counts = group_by_card(list_site_cards(draft.state, row))
    scoped_cards = {card.id for card in plan.cards if card.scope is not None}
    return row.model_copy(
        update={
            "cards": tuple(
                stands.model_copy(update={"sites": len(counts.get(stands.id, ()))})
                if stands.id in scoped_cards and is_opened_per_site(stands)
                else stands
                for stands in row.cards
            )
        }
    )


def find_reference_card(plan: Plan, card: str) -> Card | None:
    """Return a card of a plan in the reference data."""
    return next((candidate for candidate in plan.cards if candidate.id == card), None)


def schedule_reminders(draft: ContinuityDecision, at: Instant) -> None:
    """Set the next message to owners of site cards, unless an earlier one is set."""
    before = draft.get_deadline(CardRemindersDue())
    draft.arm(CardRemindersDue(), at if before is None else min(at, before))


def find_next_site_deadline(state: ContinuityState, row: PlanRow, now: Instant) -> Instant | None:
    """Return the next time when an open site card of a plan becomes overdue."""
    return min(
        (at for card in _list_asking_cards(state, row) if (at := get_asked_time(row, card)) > now),
        default=None,
    )


def refer_to_site_card(row: SiteCardRow) -> CardReference:
    """Return the reference by which messages name the card."""
    return CardReference(row.life, row.plan, row.card, row.id.split("/")[2])


def get_owner_key(row: SiteCardRow) -> str:
    """Return the key of the last message to the owner of a card."""
    return f"{row.role}/{row.site or row.pole or ''}"


def schedule_overdue_reminders(draft: ContinuityDecision, row: PlanRow) -> None:
    """Schedule reminders of site cards that became overdue after the last message."""
    message_times = [
        _get_message_time(draft.state, row, card, draft.now)
        for card in _list_asking_cards(draft.state, row)
    ]
    if (first := min((at for at in message_times if at is not None), default=None)) is not None:
        schedule_reminders(draft, max(first, draft.now + 1))


def _get_message_time(
    state: ContinuityState, row: PlanRow, card: SiteCardRow, now: Instant
) -> Instant | None:
    """Return when the owner of an open card gets a message about it; None: nothing new."""
    reminded_at = state.reminded.get(get_owner_key(card))
    if reminded_at is None or card.opened_at > reminded_at:
        return card.opened_at + BUNDLE_MS
    asked_at = get_asked_time(row, card)
    if reminded_at < asked_at <= now:
        return max(asked_at + BUNDLE_MS, reminded_at + REMINDER_PAUSE_MS)
    return None


@dataclass(slots=True)
class _Reminder:
    """Open site cards of one owner, of all plans."""

    first: SiteCardRow
    incident: str | None
    limit_at: Instant
    cards: int = 0
    card_times: list[tuple[Instant, str]] = field(default_factory=list)
    """Time and reference of each card."""
    plans: frozenset[str] = frozenset()
    overdue: bool = False
    is_due: bool = False


def remind_owners(draft: ContinuityDecision) -> None:
    """Tell each owner about its open site cards, once for all plans.

    A message goes to owners with cards that are new or overdue since their last one. Owners past
    the bound of a step follow in the next one.
    """
    reminders = _collect_reminders(draft)
    due_owners = sorted(owner for owner, reminder in reminders.items() if reminder.is_due)
    for owner in due_owners[:REMINDERS_PER_STEP]:
        _record_reminder(draft, reminders[owner])
    if due_owners[REMINDERS_PER_STEP:]:
        draft.arm(CardRemindersDue(), draft.now + 1)
        return
    for row in _list_active_rows(draft.state):
        schedule_overdue_reminders(draft, row)


def _list_active_rows(state: ContinuityState) -> list[PlanRow]:
    rows = (row for row in state.plans.values() if row.state in ACTIVE_PLAN_STATES)
    return sorted(rows, key=lambda row: row.id)


def _collect_reminders(draft: ContinuityDecision) -> dict[str, _Reminder]:
    reminders: dict[str, _Reminder] = {}
    for row in _list_active_rows(draft.state):
        for card in _list_asking_cards(draft.state, row):
            owner, asked_at = get_owner_key(card), get_asked_time(row, card)
            reminder = reminders.setdefault(owner, _Reminder(card, row.incident, asked_at))
            reminder.cards += 1
            reminder.card_times.append((asked_at, str(refer_to_site_card(card))))
            reminder.plans |= {row.id}
            reminder.overdue |= asked_at <= draft.now
            if asked_at < reminder.limit_at:
                reminder.first, reminder.limit_at = card, asked_at
            at = _get_message_time(draft.state, row, card, draft.now)
            reminder.is_due |= at is not None and at <= draft.now
    return reminders


def inform_owners_of_end(draft: ContinuityDecision, row: PlanRow) -> None:
    """Tell the owners informed of site cards that are still open that their plan is stood down."""
    open_cards: dict[str, list[SiteCardRow]] = {}
    for card in _list_asking_cards(draft.state, row):
        owner = get_owner_key(card)
        reminded_at = draft.state.reminded.get(owner)
        if reminded_at is not None and card.opened_at <= reminded_at:
            open_cards.setdefault(owner, []).append(card)
    for owner in sorted(open_cards)[:MOST_INFORMED]:
        first, *others = open_cards[owner]
        draft.emit(
            AttentionRequested(
                code="cards_over",
                roles=(first.role,),
                pole=first.pole,
                site=first.site,
                plan=row.id,
                incident=row.incident,
                unfinished=1 + len(others),
            )
        )


def _record_reminder(draft: ContinuityDecision, reminder: _Reminder) -> None:
    card = reminder.first
    draft.emit(
        AttentionRequested(
            code="card_overdue" if reminder.overdue else "cards_opened",
            roles=(card.role,),
            pole=card.pole,
            site=card.site,
            plan=card.plan if len(reminder.plans) == 1 else None,
            card=card.card if reminder.cards == 1 else None,
            limit_at=reminder.limit_at,
            incident=reminder.incident,
            cards=reminder.cards,
            listed=tuple(id for _, id in sorted(reminder.card_times)[:LISTED_CARDS]),
        )
    )
