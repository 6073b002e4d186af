"""Decisions of people that delivery owns: a table of handlers, their answers and refusals.

Here are those about all sending (hold and release), about one message (replay), and answers to
notifications by link, reply, key or page. Rule D33.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.base import Command
from schemas.calling import AnswerReceived
from schemas.callouts import (
    CallOutChanged,
    CallOutListed,
    CallOutRow,
    DraftCallOut,
    StartCallOut,
    StopCallOut,
)
from schemas.commands import (
    AnswerCards,
    AnswerNotification,
    HoldSending,
    ReleaseSending,
    ReplayNotification,
)
from schemas.delivery import HoldChanged, HoldRow, NotificationRow
from schemas.ranks import HOLD_ROLE, may_count, may_decide
from schemas.runtime import CommandApplied
from schemas.words import Answer, Channel, NotificationState
from services.delivery.callouts.callouts import CallOutProgress, compute_progress, estimate_channels
from services.delivery.decision import DeliveryDecision
from services.delivery.notifications.attempts import is_granted, is_perhaps_heard, restart_attempts
from services.delivery.notifications.channel_policies import choose_channels
from services.delivery.notifications.notification_lifecycle import release_bundle
from services.delivery.replies.answers import answer_cards, record_answer
from services.runtime.decider.command_checks import require_reason
from services.runtime.decider.protocol import CommandResult, RefusedCommand

REPLAYABLE_STATES: Final = frozenset({NotificationState.FAILED, NotificationState.AMBIGUOUS})


def draft_callout(draft: DeliveryDecision, command: DraftCallOut) -> CommandResult:
    """List people on a draft; the estimates come with the last chunk.

    Another text for the same decision replaces that of the draft: an order was refused since, and
    the message would count its agents. Rule D101.
    """
    state = draft.state
    callout = state.callouts.get(command.callout)
    _require_callout_right(command.role, command.kind if callout is None else callout.row.kind)
    if callout is not None and callout.row.state != "draft":
        raise RefusedCommand(409, "callout_started")
    row = _build_row(command, draft.now) if callout is None else callout.row
    if row.text_id != command.text_id and command.decision is not None:
        new_row = _build_row(command, draft.now)
        row = new_row.model_copy(update={"people": row.people, "unreachable": row.unreachable})
    excluded_people = {one.person for one in callout.people} if callout is not None else set()
    excluded_people |= _list_uncalled_people(draft, row.corrects)
    new = tuple(
        {one.person: one for one in command.people if one.person not in excluded_people}.values()
    )
    everybody = (*(callout.people if callout is not None else ()), *new)
    if command.last or callout is None:
        estimates = estimate_channels(
            everybody, row.channels, state.rules, state.pacing, command.sms_parts
        )
        reachable_count = sum(e.people for e in estimates)
        row = row.model_copy(
            update={
                "people": len(everybody),
                "unreachable": len(everybody) - reachable_count,
                "estimates": estimates,
                "cost_cents": sum(e.cost_cents for e in estimates),
            }
        )
    draft.emit(CallOutChanged(row=row), CallOutListed(callout=row.id, people=new))
    return {"callout": row.id, "people": len(everybody)}


def _list_uncalled_people(draft: DeliveryDecision, callout: str | None) -> set[str]:
    """Return the people that a stopped call-out did not go to any more: nothing to correct."""
    wrong = draft.state.callouts.get(callout or "")
    if wrong is None or wrong.row.state != "stopped":
        return set()
    rows = (row for row in draft.state.notifications.values() if row.campaign == callout)
    unheard = {row.person for row in rows if not any(map(is_perhaps_heard, row.attempts))}
    return unheard | {one.person for one in wrong.people[wrong.next :]}


def _build_row(command: DraftCallOut, now: int) -> CallOutRow:
    return CallOutRow(
        id=command.callout,
        kind=command.kind,
        state="draft",
        text_id=command.text_id,
        decision=command.decision,
        corrects=command.corrects,
        incident=command.incident,
        sites=command.sites,
        level=command.level,
        danger=command.danger,
        answer_expected=command.answer_expected,
        channels=command.channels,
        by=command.author,
        drafted_at=now,
    )


def start_callout(draft: DeliveryDecision, command: StartCallOut) -> CommandResult:
    """Start sending."""
    callout = _find_callout(draft, command)
    if callout.row.state != "draft":
        raise RefusedCommand(409, "callout_started")
    changes = {"state": "running", "started_at": draft.now, "by": command.author}
    draft.emit(CallOutChanged(row=callout.row.model_copy(update=changes), change="started"))
    return {"callout": callout.row.id}


def stop_callout(draft: DeliveryDecision, command: StopCallOut) -> CommandResult:
    """Stop sending to people that have no message yet."""
    callout = _find_callout(draft, command)
    if callout.row.state not in ("draft", "running"):
        raise RefusedCommand(409, "callout_over")
    progress = compute_progress(callout, draft.state.rules, draft.state.pacing, draft.now)
    row = progress.model_copy(update={"state": "stopped", "ended_at": draft.now, "eta_at": None})
    draft.emit(CallOutChanged(row=row, change="stopped"))
    return {"callout": row.id, "handed": row.handed}


def _find_callout(draft: DeliveryDecision, command: StartCallOut | StopCallOut) -> CallOutProgress:
    callout = draft.state.callouts.get(command.callout)
    _require_callout_right(command.role, "callout" if callout is None else callout.row.kind)
    if callout is None:
        raise RefusedCommand(404, "callout_not_found")
    return callout


def _require_callout_right(role: str, kind: str) -> None:
    """Refuse a role that may not call many people; a site manager may count the site (D79)."""
    if not (may_count(role) if kind == "headcount" else may_decide(role, HOLD_ROLE)):
        raise RefusedCommand(403, "role_not_allowed")


def answer_notification(draft: DeliveryDecision, command: AnswerNotification) -> CommandResult:
    """Decide an answer of a person.

    It counts in every state: late, to a withdrawn call, before any receipt. The same answer again
    has no effect. A different one replaces the first, because a person that said yes may be unable
    to come.
    """
    row = draft.state.notifications.get(command.notification)
    if row is None:
        raise RefusedCommand(404, "notification_not_found")
    if command.person != row.person:
        raise RefusedCommand(403, "not_addressee", notification=row.id)
    if not row.answer_expected:
        raise RefusedCommand(409, "answer_not_expected", notification=row.id)
    instead = command.instead if command.answer is Answer.DECLINE else None
    is_repeat = row.answer == command.answer.value and instead is None
    if not is_repeat:
        draft.record_rows(record_answer(row, command.answer, draft.now))
        release_bundle(draft, row)
        draft.emit(
            AnswerReceived(
                notification=row.id,
                person=row.person,
                answer=command.answer,
                channel=command.channel,
                at=draft.now,
                instead=instead,
                proved=_find_proved_channel(row, command),
            )
        )
    return {"notification": row.id, "answer": command.answer.value, "repeated": is_repeat}


def _find_proved_channel(row: NotificationRow, command: AnswerNotification) -> Channel | None:
    """Return the channel that this answer proves to work, if it is certain.

    It is the channel of the answer, or for a link the only channel that did not fail.
    """
    sent_channels = {a.channel for a in row.attempts if is_granted(a) and a.state != "failed"}
    if command.channel == "link":
        return next(iter(sent_channels)) if len(sent_channels) == 1 else None
    return next(
        (c for c in sent_channels if c.value == command.channel and c is not Channel.APP), None
    )


def hold_sending(draft: DeliveryDecision, command: HoldSending) -> CommandResult:
    """Hold sending, except danger to people, or move the end; needs a reason and a future end."""
    _require_right(command)
    require_reason(command)
    if command.until <= draft.now:
        raise RefusedCommand(409, "until_past")
    row = HoldRow(
        held=True, until=command.until, by=command.author, reason=command.reason, since=draft.now
    )
    draft.emit(HoldChanged(row=row))
    return {"until": command.until}


def release_sending(draft: DeliveryDecision, command: ReleaseSending) -> CommandResult:
    """End a hold before its time."""
    _require_right(command)
    if not draft.state.sending_held:
        raise RefusedCommand(409, "not_held")
    row = HoldRow(held=False, by=command.author, reason=command.reason, since=draft.now)
    draft.emit(HoldChanged(row=row))
    return {}


def on_hold_end(draft: DeliveryDecision) -> None:
    """Record that the hold reached its end."""
    draft.emit(HoldChanged(row=HoldRow(held=False, reason="until_reached", since=draft.now)))


def replay_notification(draft: DeliveryDecision, command: ReplayNotification) -> CommandResult:
    """Send a notification that reached nobody again, from its first channel."""
    _require_right(command)
    row = draft.state.notifications.get(command.notification)
    if row is None:
        raise RefusedCommand(404, "notification_not_found")
    if row.state not in REPLAYABLE_STATES:
        raise RefusedCommand(409, "not_dead", state=row.state.value)
    verified_channels = draft.state.list_verified_channels(row.person)
    channels = choose_channels(row.channels, verified_channels) or verified_channels
    draft.record_attempt(row, restart_attempts(row, channels))
    return {"notification": row.id}


def _require_right(command: Command) -> None:
    if not may_decide(command.role, HOLD_ROLE):
        raise RefusedCommand(403, "role_not_allowed")


HANDLERS: Final[Mapping[type[Command], Callable[[DeliveryDecision, Any], CommandResult]]] = {
    AnswerNotification: answer_notification,
    AnswerCards: answer_cards,
    HoldSending: hold_sending,
    ReleaseSending: release_sending,
    ReplayNotification: replay_notification,
    DraftCallOut: draft_callout,
    StartCallOut: start_callout,
    StopCallOut: stop_callout,
}
"""Handler of each command of delivery. A handler refuses before it records anything."""


def apply_command(draft: DeliveryDecision, command_id: str, command: Command) -> None:
    """Apply a command and record the result, or record its refusal alone."""
    handler = HANDLERS.get(type(command))
    if handler is None:
        return
    try:
        result = handler(draft, command)
    except RefusedCommand as refusal:
        draft.emit(refusal.to_fact(command_id, command))
        return
    draft.emit(CommandApplied(command_id=command_id, command=type(command).__name__, result=result))
