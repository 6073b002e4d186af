"""Steps of a call-out that is under way: next people, reminders, managers, withdrawal, counts."""

from dataclasses import replace

from schemas.alerts import AttentionRequested
from schemas.callouts import (
    CHUNK_PEOPLE,
    CallOutChanged,
    CallOutReleased,
    CallOutRow,
    HeadcountAnswer,
    HeadcountSaid,
    HeadcountTallied,
)
from schemas.ranks import SITE_MANAGER_ROLE
from schemas.topics import is_live
from schemas.words import NotificationState
from services.delivery.callouts.callouts import (
    CallOutProgress,
    build_next_group,
    compute_progress,
    select_people_to_remind,
)
from services.delivery.decision import DeliveryDecision
from services.delivery.evolve import list_open_notifications, withdraw_for_callout
from services.delivery.notifications import attempts
from services.delivery.state import DeliveryState


def on_callout_due(draft: DeliveryDecision, one: CallOutProgress, step: str) -> None:
    """Continue a call-out: next people, progress, reminders, managers, or withdrawal."""
    match step:
        case "next":
            _call_next_people(draft, one)
        case "remind":
            _remind_people(draft, one)
        case "managers":
            _call_managers(draft, one)
        case "withdraw":
            rows = list_open_notifications(draft.state, one)[:CHUNK_PEOPLE]
            draft.record_rows(*map(withdraw_for_callout, rows))
            _record_progress(draft, draft.state.callouts[one.row.id])
        case _:
            _record_progress(draft, one)


def _call_next_people(draft: DeliveryDecision, one: CallOutProgress) -> None:
    rows = build_next_group(one, draft.state.lineage, draft.now)
    for row in rows:  # each takes its place before the next one looks for its own
        draft.record_attempt(row, row)
    draft.emit(CallOutReleased(callout=one.row.id, count=len(rows)))


def _remind_people(draft: DeliveryDecision, one: CallOutProgress) -> None:
    """Remind people without an answer; the row counts them as before their reminder."""
    state = draft.state
    waiting = select_people_to_remind(state.notifications.values(), one, state.rules)
    for row in waiting[:CHUNK_PEOPLE]:
        draft.record_attempt(row, attempts.restart_attempts(row, row.channels))
    if len(waiting) <= CHUNK_PEOPLE:
        new_row = one.row.model_copy(update={"reminded": one.row.reminded + 1})
        one = replace(one, row=new_row)
    _record_progress(draft, one)


def _call_managers(draft: DeliveryDecision, one: CallOutProgress) -> None:
    """Request calls to the managers of the sites from alerts, which knows the schedule.

    Rule D37.
    """
    state, now = draft.state, draft.now
    draft.emit(
        AttentionRequested(
            code="headcount_manager",
            roles=(SITE_MANAGER_ROLE,),
            incident=one.row.incident,
            sites=one.row.sites,
            found=one.count(NotificationState.ANSWERED),
            expected=len(one.people),
        )
    )
    new_row = one.row.model_copy(update={"managers_called_at": now})
    draft.emit(CallOutChanged(row=_compute_row(state, replace(one, row=new_row), now)))


def apply_headcount(
    draft: DeliveryDecision, headcount_event: HeadcountTallied | HeadcountSaid
) -> None:
    """Update the counts of a headcount; equal counts change nothing.

    A simulated answer counts only in a simulated realm, and never more often than there are
    answered notifications: a person with two channels may answer twice.
    """
    one = draft.state.callouts.get(headcount_event.callout)
    if one is None:
        return
    source = one.row if isinstance(headcount_event, HeadcountSaid) else headcount_event
    counts = {answer: getattr(source, answer.value) for answer in HeadcountAnswer}
    if isinstance(headcount_event, HeadcountSaid):
        answer_count = one.count(NotificationState.ANSWERED)
        if is_live(draft.state.realm) or sum(counts.values()) >= answer_count:
            return
        counts[headcount_event.answer] += 1
    row = one.row.model_copy(update={answer.value: count for answer, count in counts.items()})
    if row != one.row:
        _record_progress(draft, replace(one, row=row))


def _record_progress(draft: DeliveryDecision, one: CallOutProgress) -> None:
    draft.emit(CallOutChanged(row=_compute_row(draft.state, one, draft.now)))


def _compute_row(state: DeliveryState, one: CallOutProgress, now: int) -> CallOutRow:
    """Compute the present row; a hold postpones its end, unless it is about danger."""
    held_ms = 0
    if state.hold is not None and state.sending_held and not one.row.danger:
        held_ms = max(0, state.hold.until - now) if state.hold.until is not None else 0
    return compute_progress(one, state.rules, state.pacing, now, held_ms)
