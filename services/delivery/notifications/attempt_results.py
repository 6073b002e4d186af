"""Claims, outcomes and receipts of attempts. Late, repeated and foreign ones have no effect."""

from __future__ import annotations

from schemas.delivery import (
    AttemptGranted,
    AttemptOutcome,
    AttemptRow,
    ClaimAttempt,
    NotificationRow,
    ReceiptReceived,
)
from schemas.realms import is_live
from services.delivery.decision import DeliveryDecision
from services.delivery.evolve import is_callout_over, withdraw_for_callout
from services.delivery.notifications import attempts
from services.delivery.simulated_channels import SIMULATED_RUN
from services.delivery.state import DeliveryState


def decide_attempt(draft: DeliveryDecision, attempt_event: ClaimAttempt | AttemptOutcome) -> None:
    """Decide the claim of an attempt or its outcome."""
    if isinstance(attempt_event, ClaimAttempt):
        decide_claim(draft, attempt_event)
    else:
        decide_outcome(draft, attempt_event)


def decide_claim(draft: DeliveryDecision, claim: ClaimAttempt) -> None:
    """Grant a planned attempt to a sender, unless it must not be made any more."""
    state = draft.state
    row, attempt = _find(state, claim.notification, claim.attempt)
    if row is None or attempt is None or attempt.state != "planned" or not is_live(state.realm):
        return
    if is_callout_over(state, row):
        draft.record_rows(withdraw_for_callout(row))
        return
    if state.sending_held and not row.danger:
        withheld = attempts.supersede_planned(row).model_copy(update={"why": attempts.HELD})
        draft.record_rows(attempts.update_state(withheld))
        return
    policy = state.rules.channels[attempt.channel]
    draft.emit(
        AttemptGranted(
            notification=row.id,
            attempt=attempt.id,
            run=claim.run,
            channel=attempt.channel,
            person=row.person,
            limit_ms=policy.limit_ms,
        )
    )
    draft.record_rows(attempts.grant_attempt(row, attempt, claim.run, draft.now, policy))


def decide_outcome(draft: DeliveryDecision, outcome: AttemptOutcome) -> None:
    """Record the outcome of a granted attempt, and plan the next one if it failed."""
    state, now = draft.state, draft.now
    row, attempt = _find(state, outcome.notification, outcome.attempt)
    if row is None or attempt is None:
        return
    policy = state.rules.channels[attempt.channel]
    if attempt.state == "planned" and not is_live(state.realm) and outcome.run == SIMULATED_RUN:
        # nobody is called in a simulated realm: the outcome is the grant
        row = attempts.grant_attempt(row, attempt, outcome.run, now, policy)
        attempt = next(a for a in row.attempts if a.id == attempt.id)
    elif attempt.run != outcome.run or attempt.state not in ("granted", "ambiguous"):
        return
    row = attempts.change_attempt(row, attempt, parts=outcome.parts, receipts=outcome.receipts)
    match outcome.outcome:
        case "accepted":
            wait_ms = policy.receipt_ms if outcome.receipts else None
            after = attempts.mark_accepted(row, attempt, now, outcome.provider_id, wait_ms)
        case "failed":
            after = attempts.mark_failed(
                row, attempt, now, outcome.error, retry=outcome.retry, asked_s=outcome.retry_after_s
            )
        case "ambiguous" if attempt.state == "ambiguous":
            return
        case "ambiguous":
            after = attempts.mark_ambiguous(row, attempt, now, outcome.error)
    draft.record_attempt(row, after)


def decide_receipt(draft: DeliveryDecision, receipt: ReceiptReceived) -> None:
    """Record a receipt of a provider; a failure there leads to the next channel."""
    row, attempt = _find(draft.state, receipt.notification, receipt.attempt)
    if (
        row is None
        or attempt is None
        or not attempts.is_granted(attempt)
        or attempt.state == "received"
    ):
        return
    if receipt.state == "received":
        draft.record_step(row, attempts.mark_received(row, attempt, draft.now))
    elif attempt.state != "failed":
        failed = attempts.mark_failed(row, attempt, draft.now, receipt.error, retry=False)
        draft.record_attempt(row, failed)


def on_attempt_due(draft: DeliveryDecision, row: NotificationRow, number: int) -> None:
    """Continue after the time of an attempt: no outcome, no receipt, or the next one is due."""
    attempt = row.attempts[number - 1]
    match attempt.state:
        case "granted":
            after = attempts.mark_ambiguous(row, attempt, draft.now, attempts.NO_OUTCOME)
        case "accepted":
            after = attempts.mark_without_receipt(row, attempt)
        case _:
            after = attempts.change_attempt(row, attempt, due=None)
    draft.record_attempt(row, after)


def on_outcome_lost(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Mark an open attempt as ambiguous after a declared loss."""
    doubted = attempts.find_open_attempt(row)
    if doubted is None:
        draft.record_attempt(row, row)
    else:
        after = attempts.mark_ambiguous(row, doubted, draft.now, attempts.LOSS)
        draft.record_attempt(row, after)


def _find(
    state: DeliveryState, notification: str, attempt: str
) -> tuple[NotificationRow | None, AttemptRow | None]:
    row = state.notifications.get(notification)
    return row, attempts.find_attempt(row, attempt) if row is not None else None
