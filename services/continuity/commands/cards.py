"""Decisions about action cards: start, complete, skip. Rules D50 and D84."""

from typing import Any, Final, Literal

from schemas import commands as cmd
from schemas.base import MINUTE_MS
from schemas.card_scopes import is_selected
from schemas.continuity import (
    CardAnswerSettled,
    CardProof,
    CardReference,
    CardRow,
    CardsAnswered,
    CrisisTended,
    PlanRow,
    RefusedNumber,
    SiteCardChanged,
    SiteCardRow,
)
from schemas.plans import Evidence
from schemas.ranks import may_act
from schemas.words import ACTIVE_PLAN_STATES, CardChange, CardState
from services.continuity.decision import ContinuityDecision
from services.continuity.plans.cards import find_card, is_open, replace_card
from services.continuity.plans.plans import record_plan, review_cards
from services.continuity.plans.site_cards import (
    CLOSED_STATES,
    build_owner,
    build_site_card,
    build_site_card_id,
    find_reference_card,
    is_opened_per_site,
    list_site_cards,
    schedule_opening,
)
from services.continuity.state import NO_SITE_CARDS
from services.runtime.decider.command_checks import require_reason
from services.runtime.decider.protocol import CommandResult, RefusedCommand

PROOF_AHEAD_MS: Final = MINUTE_MS
"""Clocks of people may be ahead of ours by that much."""
CardCommand = cmd.StartCard | cmd.CompleteCard | cmd.SkipCard
_CHANGES = {
    CardState.DOING: "started",
    CardState.DONE: "completed",
    CardState.NOT_APPLICABLE: "skipped",
}


def start_card(draft: ContinuityDecision, command: cmd.StartCard) -> CommandResult:
    """Start a card; it may still become overdue.

    At a site that its scope leaves to a person, the card is opened instead, for its owner.
    """
    row, card = _find_card(draft, command)
    if _is_per_site(draft, row, card) and command.site is not None:
        opened_row = _open_chosen_card(draft, row, card, command.site)
        if opened_row is not None:
            return _describe_card(draft, row, opened_row)
    return _change_card(draft, command, CardState.DOING)


def complete_card(draft: ContinuityDecision, command: cmd.CompleteCard) -> CommandResult:
    """Complete a card, with its evidence if there is any; the reason is evidence in words.

    A photo may follow the completion of a card that asks for one, such as an answer by SMS.
    """
    proof = command.proof
    if proof is not None and proof.at is not None and proof.at > draft.now + PROOF_AHEAD_MS:
        raise RefusedCommand(409, "proof_in_future")
    if proof is not None and proof.photo is not None:
        row, card = _find_work(draft, command)
        if lacks_photo(draft, row.id, card):
            return _add_photo(draft, command, row, card)
    return _change_card(draft, command, CardState.DONE, command.reason, proof=proof)


def skip_card(draft: ContinuityDecision, command: cmd.SkipCard) -> CommandResult:
    """Mark a card as not applicable; it needs a reason."""
    return _change_card(draft, command, CardState.NOT_APPLICABLE, require_reason(command))


def lacks_photo(draft: ContinuityDecision, plan: str, card: CardRow | SiteCardRow) -> bool:
    """Return whether a completed card asks for a photo that nobody gave."""
    name = card.card if isinstance(card, SiteCardRow) else card.id
    reference = find_reference_card(draft.bia.plans[plan], name)
    return (
        card.state is CardState.DONE
        and (card.proof is None or card.proof.photo is None)
        and reference is not None
        and reference.evidence is Evidence.PHOTO
    )


def _add_photo(
    draft: ContinuityDecision, command: cmd.CompleteCard, row: PlanRow, card: CardRow | SiteCardRow
) -> CommandResult:
    """Add the photo to a completed card; its author and its time stay."""
    photo = command.proof.photo if command.proof is not None else None
    proof = (card.proof or CardProof()).model_copy(update={"photo": photo, "photo_at": draft.now})
    new_card = card.model_copy(update={"proof": proof, "reason": command.reason or card.reason})
    if isinstance(new_card, SiteCardRow):
        draft.emit(SiteCardChanged(row=new_card, change="photo"))
    else:
        record_plan(draft, replace_card(row, new_card), "card")
    return _describe_card(draft, row, new_card)


def answer_cards(draft: ContinuityDecision, answer: CardsAnswered) -> None:
    """Apply an answer by numbers to the cards of its message, and record the changed ones.

    One wrong number hinders no other. Without a number it is about the only card of the message
    that is still open.
    """
    pending = [
        number
        for number, id in enumerate(answer.cards, start=1)
        if _is_open_card(_find_answered_card(draft, CardReference.parse(id)))
    ]
    numbers = answer.numbers or (tuple(pending) if len(pending) == 1 else ())
    missing: Literal["number", "reason"] | None = None
    applied_numbers: list[int] = []
    refusals: list[RefusedNumber] = []
    if answer.change is CardChange.SKIP and not answer.reason:
        missing, numbers = "reason", ()
    elif not numbers and pending:
        missing = "number"
    for number in numbers:
        why = _answer_card(draft, answer, number)
        if why is None:
            applied_numbers.append(number)
        else:
            refusals.append(RefusedNumber(number=number, why=why))
    closed_numbers = applied_numbers if answer.change is not CardChange.START else []
    completed_numbers = applied_numbers if answer.change is CardChange.COMPLETE else []
    draft.emit(
        CardAnswerSettled(
            notification=answer.notification,
            person=answer.person,
            channel=answer.channel,
            change=answer.change,
            applied=tuple(applied_numbers),
            refused=tuple(refusals),
            missing=missing,
            left=len(set(pending).difference(closed_numbers)),
            photos=tuple(
                n for n in completed_numbers if _asks_for_photo(draft, answer.cards[n - 1])
            ),
        )
    )
    if applied_numbers:
        plan = draft.state.plans[CardReference.parse(answer.cards[applied_numbers[0] - 1]).plan]
        draft.emit(CrisisTended(by=answer.person, incident=plan.incident))


def _answer_card(
    draft: ContinuityDecision, answer: CardsAnswered, number: int
) -> Literal["unknown", "closed", "over"] | None:
    """Change one card of a message; return why not, or None if it was changed."""
    if not 1 <= number <= len(answer.cards):
        return "unknown"
    reference = CardReference.parse(answer.cards[number - 1])
    row = _find_answered_card(draft, reference)
    if row is not None and row.state in CLOSED_STATES:
        return "closed"
    if not _is_open_card(row):
        return "over"
    change_command = _ANSWER_COMMANDS[answer.change](
        author=answer.person,
        role=answer.role,
        plan=reference.plan,
        card=reference.card,
        member=reference.owner,
        channel=answer.channel,
        reason=answer.reason,
    )
    try:
        _ANSWER_HANDLERS[answer.change](draft, change_command)
    except RefusedCommand as refusal:  # raised before anything is recorded
        return "closed" if refusal.code == "already" else "over"
    return None


def _asks_for_photo(draft: ContinuityDecision, id: str) -> bool:
    reference = CardReference.parse(id)
    row = _find_answered_card(draft, reference)
    return row is not None and lacks_photo(draft, reference.plan, row)


def _find_answered_card(
    draft: ContinuityDecision, reference: CardReference
) -> SiteCardRow | CardRow | None:
    """Find the present row of a card; None if the plan is over, or lives anew."""
    row = draft.state.plans.get(reference.plan)
    if row is None or row.state not in ACTIVE_PLAN_STATES or row.life != reference.life:
        return None
    if reference.owner is None:
        return find_card(row, reference.card)
    cards = draft.state.site_cards.get(reference.plan, NO_SITE_CARDS)
    return cards.get(build_site_card_id(reference.plan, reference.card, reference.owner))


def _is_open_card(row: SiteCardRow | CardRow | None) -> bool:
    return row is not None and is_open(row)


def _find_card(draft: ContinuityDecision, command: CardCommand) -> tuple[PlanRow, CardRow]:
    row = draft.state.plans.get(command.plan)
    if row is None or row.id not in draft.bia.plans:
        raise RefusedCommand(404, "plan_not_found", plan=command.plan)
    card = find_card(row, command.card)
    if card is None:
        raise RefusedCommand(404, "card_not_found", plan=row.id, card=command.card)
    if not may_act(command.role):
        raise RefusedCommand(403, "not_allowed", role=command.role)
    if row.state not in ACTIVE_PLAN_STATES:
        raise RefusedCommand(409, "not_active", plan=row.id, state=row.state.value)
    return row, card


def _find_work(
    draft: ContinuityDecision, command: CardCommand
) -> tuple[PlanRow, CardRow | SiteCardRow]:
    """Find the plan, and the card of it or of the site that a command is about."""
    row, card = _find_card(draft, command)
    if _is_per_site(draft, row, card):
        return row, _find_site_card(draft, command, row)
    return row, card


def _is_per_site(draft: ContinuityDecision, row: PlanRow, card: CardRow) -> bool:
    reference_card = find_reference_card(draft.bia.plans[row.id], card.id)
    return (
        reference_card is not None and reference_card.scope is not None and is_opened_per_site(card)
    )


def _change_card(
    draft: ContinuityDecision,
    command: CardCommand,
    state: CardState,
    reason: str | None = None,
    proof: CardProof | None = None,
) -> CommandResult:
    row, card = _find_card(draft, command)
    if _is_per_site(draft, row, card):
        return _change_site_card(draft, command, row, state, reason, proof)
    _check_move(row, card, state)
    new_card = card.model_copy(
        update={
            "state": state,
            "by": command.author,
            "at": draft.now,
            "overdue": card.overdue and state is CardState.DOING,
            "reason": reason,
            "proof": proof,
            "channel": command.channel,
        }
    )
    record_plan(draft, replace_card(row, new_card), "card")
    schedule_opening(draft, draft.state.plans[row.id])
    return _describe_card(draft, row, new_card)


def _change_site_card(
    draft: ContinuityDecision,
    command: CardCommand,
    row: PlanRow,
    state: CardState,
    reason: str | None,
    proof: CardProof | None,
) -> CommandResult:
    site_card = _find_site_card(draft, command, row)
    _check_move(row, site_card, state)
    new_site_card = site_card.model_copy(
        update={
            "state": state,
            "by": command.author,
            "at": draft.now,
            "reason": reason,
            "proof": proof,
            "channel": command.channel,
        }
    )
    draft.emit(SiteCardChanged(row=new_site_card, change=_CHANGES[state]))
    review_cards(draft, row, row)
    return _describe_card(draft, row, new_site_card)


def _find_site_card(draft: ContinuityDecision, command: CardCommand, row: PlanRow) -> SiteCardRow:
    """Find the card of the site, of the member, or of the role of the author."""
    owner = command.site or command.member or command.role
    id = build_site_card_id(row.id, command.card, owner)
    site_card = draft.state.site_cards.get(row.id, NO_SITE_CARDS).get(id)
    if site_card is not None and site_card.life == row.life:
        return site_card
    if command.site is None and command.member is None:
        raise RefusedCommand(409, "site_required", plan=row.id, card=command.card)
    raise RefusedCommand(404, "site_card_not_found", plan=row.id, card=command.card, site=owner)


def _open_chosen_card(
    draft: ContinuityDecision, row: PlanRow, card: CardRow, site: str
) -> SiteCardRow | None:
    """Open a card at a site that a person chose; None: it is open there.

    Raises RefusedCommand for a site that the selector of the card does not match.
    """
    id = build_site_card_id(row.id, card.id, site)
    if any(site_card.id == id for site_card in list_site_cards(draft.state, row)):
        return None
    plan = draft.bia.plans[row.id]
    reference, place = find_reference_card(plan, card.id), draft.bia.sites.get(site)
    if (
        reference is None
        or not (reference.scope is not None and reference.scope.type == "site")
        or place is None
    ):
        return None
    if reference.scope is None or not is_selected(reference.scope, place):
        raise RefusedCommand(409, "site_not_selected", plan=row.id, card=card.id, site=site)
    opened_card = build_site_card(draft, plan, row, reference, build_owner(plan, reference, place))
    draft.emit(SiteCardChanged(row=opened_card, change="opened"))
    count = sum(site_card.card == card.id for site_card in list_site_cards(draft.state, row))
    opened_row = replace_card(row, card.model_copy(update={"sites": count}))
    review_cards(draft, row, opened_row)
    return opened_card


def _check_move(row: PlanRow, card: CardRow | SiteCardRow, state: CardState) -> None:
    """Refuse a move that is none: of a closed card, or of one that waits for others.

    A card that waits may still be marked as not applicable.
    """
    name = card.card if isinstance(card, SiteCardRow) else card.id
    if card.state is CardState.WAITING:
        if state is not CardState.NOT_APPLICABLE:
            raise RefusedCommand(409, "card_waiting", plan=row.id, card=name)
    elif card.state is state or not is_open(card):
        raise RefusedCommand(409, "already", card=name, state=card.state.value)


def _describe_card(
    draft: ContinuityDecision, row: PlanRow, card: CardRow | SiteCardRow
) -> CommandResult:
    answer: CommandResult = {
        "plan": row.id,
        "card": card.card if isinstance(card, SiteCardRow) else card.id,
        "state": card.state.value,
        "late_ms": max(draft.now - card.due_at, 0),
    }
    if isinstance(card, SiteCardRow) and card.site is not None:
        answer["site"] = card.site
    return answer


_ANSWER_COMMANDS: Final[dict[CardChange, type[CardCommand]]] = {
    CardChange.START: cmd.StartCard,
    CardChange.COMPLETE: cmd.CompleteCard,
    CardChange.SKIP: cmd.SkipCard,
}
_ANSWER_HANDLERS: Final[dict[CardChange, Any]] = {
    CardChange.START: start_card,
    CardChange.COMPLETE: complete_card,
    CardChange.SKIP: skip_card,
}
"""Change in an answer → its command, and the handler of that."""
