# ruff: noqa: ARG002  the protocol of a decider
"""Decider of delivery: joins planning, attempts, answers and hold."""

from collections.abc import Sequence
from typing import Final, assert_never

from schemas.base import Command, Fact, Instant
from schemas.calling import NotificationPlanned, NotificationUrged, NotificationWithdrawn
from schemas.callouts import HeadcountSaid, HeadcountTallied
from schemas.continuity import CardAnswerSettled
from schemas.delivery import (
    AttemptOutcome,
    AttemptOutcomes,
    ChannelsProbed,
    ClaimAttempt,
    ClaimAttempts,
    ProbeOutcome,
    ProbeRow,
    ReceiptReceived,
    ReplyUnread,
    TextRead,
)
from schemas.oncall import LaddersDrilled, ReachabilityChanged
from schemas.reference import ReferencePublished, Section
from schemas.topics import is_live
from services.delivery.callouts.steps import apply_headcount, on_callout_due
from services.delivery.commands import apply_command, on_hold_end
from services.delivery.deadlines import (
    KEYS,
    AttemptDue,
    CallOutDue,
    ChannelFree,
    DeliveryDeadline,
    HeldMessageDue,
    HoldEnds,
    LaterMessageDue,
    OutcomeLost,
)
from services.delivery.decision import DeliveryDecision
from services.delivery.evolve import evolve
from services.delivery.notifications.notification_lifecycle import (
    answer_unread_reply,
    decide_attempt,
    decide_receipt,
    on_attempt_due,
    on_channel_free,
    on_held_message_due,
    on_later_message_due,
    on_outcome_lost,
    plan_notification,
    urge_notification,
    withdraw_notification,
)
from services.delivery.replies.answers import answer_text, confirm_card_answer
from services.delivery.state import DeliveryState, index_state
from services.runtime.decider.codec import Dumped, StateCodec
from services.runtime.decider.protocol import Deadline, Firing, Input

_KEPT_SECTIONS = (
    Section.ROSTER,
    Section.ESCALATION,
    Section.CHANNELS,
    Section.COMMUNES,
    Section.SITES,
    Section.ACTIVITIES,
    Section.OBLIGATIONS,
    Section.PLANS,
    Section.RESOURCES,
)
"""Sections that delivery records: reachable people, provider limits, names in messages (D70)."""
_CODEC: Final = StateCodec(DeliveryState)


class DeliveryDecider:
    """Decider of the delivery service; implements `Decider[DeliveryState]`.

    A provider is called only after an `AttemptGranted`, and only in live realms.
    """

    service = "delivery"
    logic = 1

    def initial(self, realm: str, lineage: str) -> DeliveryState:
        """Return an empty state: nobody can be reached, nothing is planned."""
        return DeliveryState(realm, lineage)

    def decide(self, state: DeliveryState, current_input: Input) -> Sequence[Fact]:
        """Decide one input. Late, repeated and foreign inputs about an attempt cause no fact."""
        draft = DeliveryDecision(state, current_input)
        match current_input.message:
            case NotificationPlanned() as event:
                if event.notification not in state.notifications:
                    plan_notification(draft, event)
            case NotificationWithdrawn(notification=notification, why=why):
                withdraw_notification(draft, notification, why)
            case NotificationUrged(notification=notification):
                urge_notification(draft, notification)
            case ClaimAttempt() | AttemptOutcome() as message:
                decide_attempt(draft, message)
            case ClaimAttempts(claims=several) | AttemptOutcomes(outcomes=several):
                for message in several:
                    decide_attempt(draft, message)
            case ReceiptReceived() as receipt:
                decide_receipt(draft, receipt)
            case ReplyUnread() | CardAnswerSettled() | TextRead() as reply:
                _answer_reply(draft, reply)
            case HeadcountTallied() | HeadcountSaid() as message:
                apply_headcount(draft, message)
            case LaddersDrilled() | ProbeOutcome() as message:
                decide_channel_probe(draft, message)
            case ReachabilityChanged() | ReferencePublished() as message:
                if _is_recorded(message):
                    draft.emit(message)
            case Command() as command:
                apply_command(draft, current_input.id, command)
        return draft.finish()

    def fire(self, state: DeliveryState, firing: Firing) -> Sequence[Fact]:
        """Fire a due deadline.

        These are missing outcomes (ambiguous), missing receipts (next channel), the time of the
        next attempt, the end of the hold, and declared losses.
        """
        draft = DeliveryDecision(state, firing)
        _apply_deadline(draft, KEYS.parse(firing.deadline.key))
        return draft.finish()

    def evolve(self, state: DeliveryState, fact: Fact, fact_id: str, at: Instant) -> DeliveryState:
        """Return the state after one fact."""
        return evolve(state, fact, at)

    def next_deadline(self, state: DeliveryState) -> Deadline | None:
        """Return the earliest deadline."""
        return state.agenda.first()

    def dump(self, state: DeliveryState) -> Dumped:
        """Dump the state into JSON-able collections."""
        return _CODEC.dump(state)

    def load(self, realm: str, lineage: str, dump: Dumped) -> DeliveryState:
        """Restore a state from a dump. Raises TypeError for one of an earlier form."""
        return index_state(_CODEC.load(dump))


def _answer_reply(
    draft: DeliveryDecision, reply: ReplyUnread | CardAnswerSettled | TextRead
) -> None:
    """Answer a reply that was not understood, one about action cards, or a text from the field."""
    match reply:
        case ReplyUnread():
            answer_unread_reply(draft, reply)
        case CardAnswerSettled():
            confirm_card_answer(draft, reply)
        case TextRead():
            answer_text(draft, reply)


def _is_recorded(change: ReachabilityChanged | ReferencePublished) -> bool:
    """Check whether an input becomes part of the state as it is."""
    return (
        isinstance(change, ReachabilityChanged)
        or change.last
        or change.data.section in _KEPT_SECTIONS
    )


def _apply_deadline(draft: DeliveryDecision, key: DeliveryDeadline) -> None:
    rows = draft.state.notifications
    match key:
        case HoldEnds():
            on_hold_end(draft)
        case ChannelFree(channel=channel):
            on_channel_free(draft, channel)
        case CallOutDue(callout=callout, step=step):
            on_callout_due(draft, draft.state.callouts[callout], step)
        case AttemptDue(notification=notification, number=number):
            on_attempt_due(draft, rows[notification], number)
        case OutcomeLost(notification=notification):
            on_outcome_lost(draft, rows[notification])
        case HeldMessageDue(notification=notification):
            on_held_message_due(draft, rows[notification])
        case LaterMessageDue(notification=notification):
            on_later_message_due(draft, rows[notification])
        case _:
            assert_never(key)


def decide_channel_probe(draft: DeliveryDecision, word: LaddersDrilled | ProbeOutcome) -> None:
    """Record the request for a probe or its outcome; a simulated realm has no channels.

    The channels are tested in silence at the first start and in the monthly drill. Rule D38.
    """
    if not is_live(draft.state.realm):
        return
    match word:
        case LaddersDrilled(row=drill):
            row = ProbeRow(id=drill.id, asked_at=draft.now)
        case ProbeOutcome(drill=id, asked_at=asked_at, channels=channels):
            row = ProbeRow(id=id, asked_at=asked_at, done_at=draft.now, channels=channels)
    draft.emit(ChannelsProbed(row=row))
