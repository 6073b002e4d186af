"""Decider of delivery: joins planning, attempts, answers and hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from schemas.base import MINUTE_MS, Command, Fact, Instant
from schemas.calling import (
    NotificationPlanned,
    NotificationUrged,
    NotificationWithdrawn,
    Unreachable,
)
from schemas.callouts import (
    CHUNK_PEOPLE,
    CallOutChanged,
    CallOutListed,
    CallOutReleased,
    CallOutRow,
    DraftCallOut,
    HeadcountAnswer,
    HeadcountSaid,
    HeadcountTallied,
    StartCallOut,
    StopCallOut,
)
from schemas.commands import AnswerNotification, HoldSending, ReleaseSending, ReplayNotification
from schemas.delivery import (
    AttemptGranted,
    AttemptOutcome,
    AttemptOutcomes,
    AttemptRow,
    ClaimAttempt,
    ClaimAttempts,
    HoldChanged,
    NotificationChanged,
    NotificationRow,
    ProbeOutcome,
    ReceiptReceived,
    ReplyUnread,
)
from schemas.oncall import LaddersDrilled, ReachabilityChanged, ReachRow
from schemas.realms import is_live
from schemas.reference import ReferencePublished, Section
from schemas.runtime import CommandApplied, DeadlineFailed, LossDeclared, Rebased
from schemas.words import Answer, Channel, NotificationState
from services.delivery.callouts.callouts import (
    CallOutProgress,
    build_manager_rows,
    build_next_group,
    compute_progress,
    decide_callout,
    select_people_to_remind,
)
from services.delivery.deadlines import (
    KEYS,
    AttemptDue,
    CallOutDue,
    ChannelFree,
    HeldMessageDue,
    HoldEnds,
    LaterMessageDue,
    OutcomeLost,
)
from services.delivery.evolve import (
    build_terms,
    evolve_callout,
    evolve_hold,
    evolve_loss,
    evolve_notification,
    evolve_reference,
    is_callout_over,
    list_open_notifications,
    update_pacing,
    withdraw_for_callout,
)
from services.delivery.notifications import attempts
from services.delivery.notifications.bundling import (
    bundle_messages,
    bundle_minute,
    choose_newest_call,
    is_about_incident,
    select_covered_messages,
)
from services.delivery.notifications.channel_order import build_planned_row, choose_channels
from services.delivery.notifications.channel_test import decide_channel_probe
from services.delivery.notifications.hold import decide_hold, decide_release, expire_hold
from services.delivery.notifications.replay import require_replayable
from services.delivery.notifications.withdrawals import news_of
from services.delivery.replies.answers import ANSWER_REASONS, decide_answer, record_answer
from services.delivery.replies.unparsed_replies import build_help, note_reply
from services.delivery.simulated_channels import SIMULATED_RUN
from services.delivery.snapshot_codec import DumpedState, dump_state, load_state
from services.delivery.state import DeliveryState
from services.runtime.decider.protocol import Deadline, Firing, Input
from services.runtime.decider.refusal import RefusedCommand

_KEPT_SECTIONS = (
    Section.ROSTER,
    Section.ESCALATION,
    Section.CHANNELS,
    Section.COMMUNES,
    Section.SITES,
    Section.ACTIVITIES,
    Section.PLANS,
)
"""Sections that delivery records: reachable people, provider limits, names in messages (D70)."""


def _is_recorded(told: ReachabilityChanged | ReferencePublished) -> bool:
    """Check whether an input becomes part of the state as it is."""
    return isinstance(told, ReachabilityChanged) or told.last or told.data.section in _KEPT_SECTIONS


def _record_announcement(
    realm: str,
    told: ReachabilityChanged | ReferencePublished | LaddersDrilled | ProbeOutcome,
    now: Instant,
) -> list[Fact]:
    """Record facts about people, rules and channels, not about one message."""
    if isinstance(told, LaddersDrilled | ProbeOutcome):
        return decide_channel_probe(realm, told, now)
    return [told] if _is_recorded(told) else []


class DeliveryDecider:
    """Decider of the delivery service; implements `Decider[DeliveryState]`.

    A provider is called only after an `AttemptGranted`, and only in live realms.
    """

    service = "delivery"
    logic = 1

    def initial(self, realm: str, lineage: str) -> DeliveryState:
        """Return an empty state: nobody can be reached, nothing is planned."""
        return DeliveryState(realm, lineage)

    # ── decide ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def decide(self, state: DeliveryState, given: Input) -> Sequence[Fact]:
        """Decide one input. Late, repeated and foreign inputs about an attempt cause no fact."""
        try:
            return self._decide(state, given)
        except RefusedCommand as refused:
            assert isinstance(given.message, Command)
            return [refused.to_fact(given.id, given.message)]

    def _decide(self, state: DeliveryState, given: Input) -> list[Fact]:
        now = given.now
        match given.message:
            case NotificationPlanned() as planned if (
                planned.notification not in state.notifications
            ):
                return self._plan(
                    state,
                    build_planned_row(planned, state.verified(planned.person), state.lost_at),
                    now,
                )
            case NotificationWithdrawn(notification=notification, why=why):
                return self._withdraw(state, notification, why, now)
            case NotificationUrged(notification=notification):
                return self._urge(state, notification, now)
            case ClaimAttempt() | AttemptOutcome() as told:
                return self._decide_attempt(state, told, now)
            case ClaimAttempts(claims=several) | AttemptOutcomes(outcomes=several):
                return self._decide_attempts(state, several, now)
            case ReceiptReceived() as receipt:
                return self._receipt(state, receipt, now)
            case AnswerNotification() as command:
                return decide_answer(
                    state.notifications.get(command.notification), command, given.id, now
                )
            case ReplyUnread() as told:
                return self._unread(state, told, now)
            case HoldSending() as command:
                return decide_hold(command, given.id, now)
            case ReleaseSending() as command:
                return decide_release(state.hold, command, given.id, now)
            case ReplayNotification() as command:
                return self._replay(state, command, given.id, now)
            case DraftCallOut() | StartCallOut() | StopCallOut() as command:
                return decide_callout(
                    state.callouts.get(command.callout),
                    command,
                    given.id,
                    now,
                    state.rules,
                    state.pacing,
                )
            case HeadcountTallied() | HeadcountSaid() as told if (
                one := state.callouts.get(told.callout)
            ) is not None:
                return self._tally(state, one, told, now)
            case (
                ReachabilityChanged()
                | ReferencePublished()
                | LaddersDrilled()
                | ProbeOutcome() as told
            ):
                return _record_announcement(state.realm, told, now)
            case _:
                return []

    def _plan(self, state: DeliveryState, row: NotificationRow, now: Instant) -> list[Fact]:
        """Plan a new notification: send it now, or with others in the next digest (D36)."""
        until = state.bundles.until(row, state.rules, now)
        if until is not None and row.channels:
            return [
                NotificationChanged(
                    row=attempts.update_state(
                        row.model_copy(update={"why": attempts.BUNDLED, "not_before": until})
                    )
                )
            ]
        return self._begin(state, row, row, now)

    def _begin(
        self,
        state: DeliveryState,
        before: NotificationRow,
        row: NotificationRow,
        now: Instant,
        freed: attempts.AttemptTerms | None = None,
    ) -> list[Fact]:
        """Take the first step of a message, or wait.

        It waits if the person heard of the same incident within this minute. Rule D71.

        `freed`: terms of a message whose turn at its provider it is.
        """
        ends = state.bundles.minute_ends(row, now)
        waits_already = state.sending_held or (
            row.quiet_until is not None and now < row.quiet_until
        )
        if ends is None or row.attempts or not row.channels or waits_already:
            return self._moved(
                state,
                before,
                attempts.plan_next_attempt(row, freed or build_terms(state, now)),
                now,
            )
        waiting = row.model_copy(
            update={"why": attempts.SAME_MINUTE, "not_before": ends, "waits_for": None}
        )
        return [NotificationChanged(row=attempts.update_state(waiting))]

    def _replay(
        self, state: DeliveryState, command: ReplayNotification, command_id: str, now: Instant
    ) -> list[Fact]:
        row = require_replayable(state.notifications.get(command.notification), command)
        again = attempts.restart_attempts(
            row,
            choose_channels(row.channels, state.verified(row.person)) or state.verified(row.person),
        )
        applied = CommandApplied(
            command_id=command_id, command="ReplayNotification", result={"notification": row.id}
        )
        return [
            *self._moved(
                state, row, attempts.plan_next_attempt(again, build_terms(state, now)), now
            ),
            applied,
        ]

    def _moved(
        self, state: DeliveryState, before: NotificationRow, after: NotificationRow, now: Instant
    ) -> list[Fact]:
        """Record the new row, and `Unreachable` at the moment when no attempt is left."""
        facts: list[Fact] = [NotificationChanged(row=after)]
        known = before.id in state.notifications
        if after.state is NotificationState.FAILED and not (
            known and before.state is NotificationState.FAILED
        ):
            facts.append(Unreachable(notification=after.id, person=after.person, at=now))
        return facts

    def _withdraw(
        self, state: DeliveryState, notification: str, why: str, now: Instant
    ) -> list[Fact]:
        """Withdraw a notification, or record an answer that a person gave in another way.

        Such an answer came by a page or by another call of the same escalation.
        """
        row = state.notifications.get(notification)
        if row is None or attempts.is_settled(row):
            return []
        if why in ANSWER_REASONS:
            return [NotificationChanged(row=record_answer(row, Answer(why), now))]
        called_back = attempts.supersede_planned(row).model_copy(
            update={"withdrawn": why, "why": why}
        )
        facts: list[Fact] = [NotificationChanged(row=attempts.update_state(called_back))]
        news = news_of(row, why, state.lineage, now)
        return (
            facts
            if news is None or news.id in state.notifications
            else [*facts, *self._begin(state, news, news, now)]
        )

    def _urge(self, state: DeliveryState, notification: str, now: Instant) -> list[Fact]:
        """Mark a notification as danger, and send it if it is waiting for any reason."""
        row = state.notifications.get(notification)
        if (
            row is None
            or row.danger
            or attempts.is_settled(row)
            or row.state is NotificationState.FAILED
        ):
            return []
        urgent = row.model_copy(update={"danger": True, "quiet_until": None})
        return self._moved(
            state, row, attempts.plan_next_attempt(urgent, build_terms(state, now)), now
        )

    def _unread(self, state: DeliveryState, told: ReplyUnread, now: Instant) -> list[Fact]:
        """Note a reply that cannot be understood on the call, and send help once."""
        call = note_reply(state.notifications.get(told.notification), told, now)
        if call is None:
            return []
        told_how = build_help(call, told, state.lineage, now)
        return [
            NotificationChanged(row=call),
            *self._moved(
                state, told_how, attempts.plan_next_attempt(told_how, build_terms(state, now)), now
            ),
        ]

    def _decide_attempt(
        self, state: DeliveryState, told: ClaimAttempt | AttemptOutcome, now: Instant
    ) -> list[Fact]:
        return (
            self._claim(state, told, now)
            if isinstance(told, ClaimAttempt)
            else self._outcome(state, told, now)
        )

    def _decide_attempts(
        self, state: DeliveryState, several: Sequence[ClaimAttempt | AttemptOutcome], now: Instant
    ) -> list[Fact]:
        """Decide several attempts in order, each on the state after the ones before."""
        decided: list[Fact] = []
        for told in several:
            facts = self._decide_attempt(state, told, now)
            for fact in facts:
                state = self.evolve(state, fact, "", now)
            decided += facts
        return decided

    def _claim(self, state: DeliveryState, claim: ClaimAttempt, now: Instant) -> list[Fact]:
        row, attempt = self._find(state, claim.notification, claim.attempt)
        if row is None or attempt is None or attempt.state != "planned" or not is_live(state.realm):
            return []
        if is_callout_over(state, row):
            return [NotificationChanged(row=withdraw_for_callout(row))]
        if state.sending_held and not row.danger:
            held = attempts.supersede_planned(row).model_copy(update={"why": attempts.HELD})
            return [NotificationChanged(row=attempts.update_state(held))]
        granted = AttemptGranted(
            notification=row.id,
            attempt=attempt.id,
            run=claim.run,
            channel=attempt.channel,
            person=row.person,
            limit_ms=state.rules.channels[attempt.channel].limit_ms,
        )
        return [
            granted,
            NotificationChanged(
                row=attempts.grant_attempt(
                    row, attempt, claim.run, now, state.rules.channels[attempt.channel]
                )
            ),
        ]

    def _outcome(self, state: DeliveryState, outcome: AttemptOutcome, now: Instant) -> list[Fact]:
        row, attempt = self._find(state, outcome.notification, outcome.attempt)
        if row is None or attempt is None:
            return []
        if attempt.state == "planned" and not is_live(state.realm) and outcome.run == SIMULATED_RUN:
            row = attempts.grant_attempt(
                row, attempt, outcome.run, now, state.rules.channels[attempt.channel]
            )  # nobody is called in a simulated realm: the outcome is the grant
            attempt = next(a for a in row.attempts if a.id == attempt.id)
        elif attempt.run != outcome.run or attempt.state not in ("granted", "ambiguous"):
            return []
        row = attempts.change_attempt(row, attempt, parts=outcome.parts, receipts=outcome.receipts)
        match outcome.outcome:
            case "accepted":
                policy = state.rules.channels[attempt.channel]
                wait_ms = policy.receipt_ms if outcome.receipts else None
                after = attempts.mark_accepted(row, attempt, now, outcome.provider_id, wait_ms)
            case "failed":
                after = attempts.mark_failed(
                    row,
                    attempt,
                    now,
                    outcome.error,
                    retry=outcome.retry,
                    asked_s=outcome.retry_after_s,
                )
            case "ambiguous" if attempt.state == "ambiguous":
                return []
            case "ambiguous":
                after = attempts.mark_ambiguous(row, attempt, now, outcome.error)
        return self._moved(
            state, row, attempts.plan_next_attempt(after, build_terms(state, now)), now
        )

    def _receipt(self, state: DeliveryState, receipt: ReceiptReceived, now: Instant) -> list[Fact]:
        row, attempt = self._find(state, receipt.notification, receipt.attempt)
        if (
            row is None
            or attempt is None
            or not attempts.is_granted(attempt)
            or attempt.state == "received"
        ):
            return []
        if receipt.state == "received":
            return self._moved(state, row, attempts.mark_received(row, attempt, now), now)
        if attempt.state == "failed":
            return []
        after = attempts.mark_failed(row, attempt, now, receipt.error, retry=False)
        return self._moved(
            state, row, attempts.plan_next_attempt(after, build_terms(state, now)), now
        )

    def _find(
        self, state: DeliveryState, notification: str, attempt: str
    ) -> tuple[NotificationRow | None, AttemptRow | None]:
        row = state.notifications.get(notification)
        return row, attempts.find_attempt(row, attempt) if row is not None else None

    # ── deadlines ──────────────────────────────────────────────────────────────────────────────────────────────────

    def fire(self, state: DeliveryState, firing: Firing) -> Sequence[Fact]:
        """Fire a due deadline.

        These are missing outcomes (ambiguous), missing receipts (next channel), the time of the
        next attempt, the end of the hold, and declared losses.
        """
        now = firing.now
        match KEYS.parse(firing.deadline.key):
            case HoldEnds():
                return [expire_hold(now)]
            case ChannelFree(channel=channel):
                return self._release(state, channel, now)
            case CallOutDue(callout=callout, step=step):
                return self._call_out(state, state.callouts[callout], step, now)
            case AttemptDue(notification=notification, number=number):
                row = state.notifications[notification]
                return self._try_next(state, row, self._overdue(row, number, now), now)
            case OutcomeLost(notification=notification):
                row = state.notifications[notification]
                doubted = attempts.find_open_attempt(row)
                after = (
                    row
                    if doubted is None
                    else attempts.mark_ambiguous(row, doubted, now, attempts.LOSS)
                )
                return self._try_next(state, row, after, now)
            case HeldMessageDue(notification=notification):
                row = state.notifications[notification]
                return self._begin(state, row, row, now)
            case LaterMessageDue(notification=notification):
                return self._send_later(state, state.notifications[notification], now)
            case key:
                assert_never(key)

    def _send_later(self, state: DeliveryState, row: NotificationRow, now: Instant) -> list[Fact]:
        """Send a message that waited for an hour: alone, or with others of its person."""
        if row.why == attempts.BUNDLED:
            return self._digest(state, row, now)
        if row.why == attempts.SAME_MINUTE:
            return self._minute(state, row, now)
        if row.id in state.bundles.quiet.get(row.person, ()):
            return self._morning(state, row, now)
        return self._try_next(state, row, row, now)

    def _try_next(
        self, state: DeliveryState, row: NotificationRow, after: NotificationRow, now: Instant
    ) -> list[Fact]:
        """Plan the next attempt of a message that has become `after`."""
        planned = attempts.plan_next_attempt(after, build_terms(state, now))
        return self._moved(state, row, planned, now)

    def _release(self, state: DeliveryState, channel: Channel, now: Instant) -> list[Fact]:
        """Send the messages next in the queue of this provider."""
        facts: list[Fact] = []
        freed = replace(build_terms(state, now), is_open=lambda _row, _channel: True)
        for id in state.pacing.first(
            channel, state.pacing.room(channel, state.rules.channels[channel], now)
        ):
            row = state.notifications[id]
            moved = self._begin(state, row, row, now, freed)
            if is_about_incident(row):  # thousands of a call-out need not look at one another
                for fact in moved:
                    state = self.evolve(state, fact, "", now)
            facts += moved
        return facts

    def _call_out(
        self, state: DeliveryState, one: CallOutProgress, what: str, now: Instant
    ) -> list[Fact]:
        """Continue a call-out: next people, progress, reminders, managers, or withdrawal."""
        facts: list[Fact] = []
        match what:
            case "next":
                rows = build_next_group(one, state.lineage, now)
                for row in rows:  # each takes its place before the next one looks for its own
                    after = attempts.plan_next_attempt(row, build_terms(state, now))
                    facts += self._moved(state, row, after, now)
                    state = replace(
                        state, pacing=update_pacing(state.pacing, None, after, state.rules)
                    )
                return [*facts, CallOutReleased(callout=one.row.id, count=len(rows))]
            case "remind":
                waiting = select_people_to_remind(state.notifications.values(), one, state.rules)
                for row in waiting[:CHUNK_PEOPLE]:
                    after = attempts.plan_next_attempt(
                        attempts.restart_attempts(row, row.channels), build_terms(state, now)
                    )
                    facts += self._moved(state, row, after, now)
                    state = replace(
                        state, pacing=update_pacing(state.pacing, row, after, state.rules)
                    )
                if len(waiting) <= CHUNK_PEOPLE:
                    one = replace(
                        state.callouts[one.row.id],
                        row=one.row.model_copy(update={"reminded": one.row.reminded + 1}),
                    )
                    return [*facts, CallOutChanged(row=self._progress(state, one, now))]
            case "managers":
                for row in build_manager_rows(
                    one, state.managers, state.verified, state.lineage, now
                ):
                    facts += self._moved(
                        state, row, attempts.plan_next_attempt(row, build_terms(state, now)), now
                    )
                called = one.row.model_copy(update={"managers_called_at": now})
                return [
                    *facts,
                    CallOutChanged(row=self._progress(state, replace(one, row=called), now)),
                ]
            case "withdraw":
                facts += [
                    NotificationChanged(row=withdraw_for_callout(row))
                    for row in list_open_notifications(state, one)[:CHUNK_PEOPLE]
                ]
                for fact in facts:
                    state = self.evolve(state, fact, "", now)
        return [*facts, CallOutChanged(row=self._progress(state, state.callouts[one.row.id], now))]

    def _progress(self, state: DeliveryState, one: CallOutProgress, now: Instant) -> CallOutRow:
        """Compute the present row; a hold postpones its end, unless it is about danger."""
        until = (
            state.hold.until
            if state.hold is not None and state.sending_held and not one.row.danger
            else None
        )
        return compute_progress(
            one, state.rules, state.pacing, now, max(0, until - now) if until is not None else 0
        )

    def _tally(
        self,
        state: DeliveryState,
        one: CallOutProgress,
        told: HeadcountTallied | HeadcountSaid,
        now: Instant,
    ) -> list[Fact]:
        """Update the counts of a headcount; equal counts change nothing.

        A simulated answer counts only in a simulated realm, and never more often than there are
        answered notifications: a person with two channels may answer twice.
        """
        counts = {
            a: getattr(one.row if isinstance(told, HeadcountSaid) else told, a.value)
            for a in HeadcountAnswer
        }
        if isinstance(told, HeadcountSaid):
            if is_live(state.realm) or sum(counts.values()) >= one.count(
                NotificationState.ANSWERED
            ):
                return []
            counts[told.answer] += 1
        row = one.row.model_copy(update={answer.value: count for answer, count in counts.items()})
        return (
            []
            if row == one.row
            else [CallOutChanged(row=self._progress(state, replace(one, row=row), now))]
        )

    def _digest(self, state: DeliveryState, row: NotificationRow, now: Instant) -> list[Fact]:
        """Send one message for all that this person waits for."""
        others = tuple(
            state.notifications[id]
            for id in state.bundles.waiting.get(row.person, ())
            if id != row.id
        )
        carrier, *told = bundle_messages(row, others)
        facts = self._begin(state, row, carrier, now)
        return [*facts, *(NotificationChanged(row=attempts.update_state(one)) for one in told)]

    def _minute(self, state: DeliveryState, row: NotificationRow, now: Instant) -> list[Fact]:
        """Send the messages that waited for the end of a minute as one.

        It waits longer if the person heard of danger meanwhile, or is being called.
        """
        waiting = (state.notifications[id] for id in state.bundles.minute.get(row.person, ()))
        same = tuple(one for one in waiting if one.incident == row.incident)
        first, *told = bundle_minute(same)
        ends = None if state.sending_held else state.bundles.minute_ends(first, now)
        if ends is not None:
            return [
                NotificationChanged(row=one.model_copy(update={"not_before": ends})) for one in same
            ]
        facts = self._moved(
            state,
            state.notifications[first.id],
            attempts.plan_next_attempt(first, build_terms(state, now)),
            now,
        )
        facts += (NotificationChanged(row=attempts.update_state(one)) for one in told)
        settled = {first.id, *(one.id for one in told)}
        later = (one for one in same if one.id not in settled)
        return [
            *facts,
            *(
                NotificationChanged(row=one.model_copy(update={"not_before": now + MINUTE_MS}))
                for one in later
            ),
        ]

    def _morning(self, state: DeliveryState, row: NotificationRow, now: Instant) -> list[Fact]:
        """Send one message for the messages of one kind that quiet hours held back."""
        others = tuple(
            state.notifications[id] for id in state.bundles.quiet[row.person] if id != row.id
        )
        mine = select_covered_messages(
            row, tuple(o for o in others if o.not_before is not None and o.not_before <= now)
        )
        first, *told = (
            choose_newest_call(mine) if row.answer_expected else bundle_messages(mine[0], mine[1:])
        )
        facts = self._begin(state, state.notifications[first.id], first, now)
        return [*facts, *(NotificationChanged(row=attempts.update_state(one)) for one in told)]

    def _overdue(self, row: NotificationRow, number: int, now: Instant) -> NotificationRow:
        attempt = row.attempts[number - 1]
        match attempt.state:
            case "granted":
                return attempts.mark_ambiguous(row, attempt, now, attempts.NO_OUTCOME)
            case "accepted":
                return attempts.mark_without_receipt(row, attempt)
            case _:
                return attempts.change_attempt(row, attempt, due=None)

    def next_deadline(self, state: DeliveryState) -> Deadline | None:
        """Return the earliest deadline."""
        return state.agenda.first()

    # ── evolve ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def evolve(self, state: DeliveryState, fact: Fact, fact_id: str, at: Instant) -> DeliveryState:  # noqa: ARG002  part of the protocol
        """Return the state after one fact."""
        match fact:
            case NotificationChanged(row=row):
                return evolve_notification(state, row)
            case HoldChanged(row=row):
                return evolve_hold(state, row, at)
            case CallOutChanged() | CallOutListed() | CallOutReleased():
                return evolve_callout(state, fact, at)
            case ReferencePublished():
                return evolve_reference(state, fact)
            case ReachabilityChanged(row=row):
                return replace(state, directory=state.directory.set(row.id, _list_channels(row)))
            case LossDeclared() | Rebased():
                return evolve_loss(state, at)
            case DeadlineFailed(key=key):
                return replace(state, agenda=state.agenda.disarm(key))
            case _:
                return state

    # ── snapshots ──────────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self, state: DeliveryState) -> DumpedState:
        """Dump the state into JSON-able collections."""
        return dump_state(state)

    def load(self, realm: str, lineage: str, dumped: DumpedState) -> DeliveryState:
        """Restore a state from a dump."""
        return load_state(realm, lineage, dumped)


def _list_channels(row: ReachRow) -> tuple[Channel, ...]:
    """Return the channels of a person, including unverified ones, which planning puts last."""
    return tuple(point.channel for point in row.points)
