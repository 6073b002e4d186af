"""Effect of each fact on the state of delivery: rows, deadlines, queues, budgets, call-outs.

Pure and total.
"""

from collections.abc import Iterable
from dataclasses import replace

from schemas.base import MINUTE_MS, Fact, Instant
from schemas.callouts import CallOutChanged, CallOutListed, CallOutReleased
from schemas.delivery import HoldChanged, HoldRow, NotificationChanged, NotificationRow
from schemas.oncall import ReachabilityChanged
from schemas.ranks import SITE_MANAGER_ROLE
from schemas.reference import ChannelsSection, EscalationPolicy, ReferencePublished, RosterSection
from schemas.runtime import DeadlineFailed, LossDeclared, Rebased
from schemas.words import Channel, NotificationState
from services.delivery.callouts.callouts import (
    CallOutProgress,
    add_listed_people,
    compute_managers_at,
    compute_pause_ms,
    compute_reminder_at,
    replace_callout_row,
)
from services.delivery.deadlines import (
    AttemptDue,
    CallOutDue,
    ChannelFree,
    HeldMessageDue,
    HoldEnds,
    LaterMessageDue,
    OutcomeLost,
)
from services.delivery.notifications import attempts
from services.delivery.notifications.channel_policies import (
    DEFAULT_POLICIES,
    ChannelPacing,
    DeliveryRules,
    compile_policies,
)
from services.delivery.state import DeliveryState, parse_channels
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadlines


def evolve(state: DeliveryState, fact: Fact, at: Instant) -> DeliveryState:
    """Return the state after one fact. A fact of another service changes nothing."""
    match fact:
        case NotificationChanged(row=row):
            return evolve_notification(state, row)
        case HoldChanged(row=row):
            return evolve_hold(state, row, at)
        case CallOutChanged() | CallOutListed() | CallOutReleased():
            return evolve_callout(state, fact, at)
        case ReferencePublished():
            return evolve_reference(state, fact)
        case ReachabilityChanged(row=row):  # with unverified channels: planning puts them last
            channels = tuple(point.channel for point in row.points)
            return replace(state, directory=state.directory.set(row.id, channels))
        case LossDeclared() | Rebased():
            return evolve_loss(state, at)
        case DeadlineFailed(key=key):
            return replace(state, agenda=state.agenda.disarm(key))
        case _:
            return state


def build_terms(state: DeliveryState, now: Instant) -> attempts.AttemptTerms:
    """Return the terms in force for the next step of any notification."""
    policies, pacing = state.rules.channels, state.pacing

    def is_open(row: NotificationRow, channel: Channel) -> bool:
        return pacing.is_open(row, channel, policies[channel], now)

    return attempts.AttemptTerms(state.lineage, now, state.sending_held, policies, is_open)


def evolve_notification(state: DeliveryState, row: NotificationRow) -> DeliveryState:
    """Store a row and update deadlines, queues, budgets and the counts of its call-out."""
    before, is_settled = state.notifications.get(row.id), attempts.is_settled(row)
    agenda = (
        state.agenda.disarm(OutcomeLost(row.id))
        .disarm(HeldMessageDue(row.id))
        .disarm(LaterMessageDue(row.id))
    )
    for attempt in row.attempts:
        agenda = agenda.arm(AttemptDue(row.id, attempt.number), attempt.due)
    if row.not_before is not None and not is_settled:
        agenda = agenda.arm(LaterMessageDue(row.id), row.not_before)
    waits = row.why == attempts.HELD and not is_settled
    held_notifications = (
        state.held.set(row.id, row.planned_at)
        if waits
        else state.held.delete(row.id)
        if row.id in state.held
        else state.held
    )
    quiet = row.why == attempts.QUIET_HOURS and row.campaign is None and not is_settled
    bundles = state.bundles.place_message(
        row,
        bundled=row.why == attempts.BUNDLED and not is_settled,
        quiet=quiet,
        minute=row.why == attempts.SAME_MINUTE and not is_settled,
    )
    new_attempts = row.attempts[len(before.attempts) if before is not None else 0 :]
    for attempt in new_attempts:
        if attempt.number == 1:
            bundles = bundles.record_first_attempt(row, attempt.planned_at)
    callouts = state.callouts
    if row.campaign is not None and (one := callouts.get(row.campaign)) is not None:
        callouts = callouts.set(row.campaign, one.count_change(before, row, state.rules))
    pacing = update_pacing(state.pacing, before, row, state.rules)
    if pacing is not state.pacing:
        changed_channels = {a.channel for a in new_attempts}
        changed_channels |= {
            one.channel
            for one in (state.pacing.waiting.get(row.id), pacing.waiting.get(row.id))
            if one is not None
        }
        agenda = _schedule_channels(
            agenda, pacing, state.rules, changed_channels, is_held=state.sending_held
        )
    return replace(
        state,
        notifications=state.notifications.set(row.id, row),
        agenda=agenda,
        held=held_notifications,
        bundles=bundles,
        callouts=callouts,
        pacing=pacing,
    )


def update_pacing(
    pacing: ChannelPacing,
    before: NotificationRow | None,
    row: NotificationRow,
    rules: DeliveryRules,
) -> ChannelPacing:
    """Update buckets and queues after a change of a row, from its wait and its new attempts."""
    waits = row.waits_for is not None and not attempts.is_settled(row)
    pacing = (
        pacing.add_to_queue(row, row.waits_for)
        if waits and row.waits_for is not None
        else pacing.remove_from_queue(row.id)
    )
    for attempt in row.attempts[len(before.attempts) if before is not None else 0 :]:
        pacing = pacing.spend_token(
            attempt.channel, rules.channels[attempt.channel], attempt.planned_at
        )
    return pacing


def _schedule_channels(
    agenda: Deadlines,
    pacing: ChannelPacing,
    rules: DeliveryRules,
    channels: Iterable[Channel],
    *,
    is_held: bool,
) -> Deadlines:
    """Set the deadline for the next messages at each of these providers.

    During a hold, only danger counts.
    """
    for channel in channels:
        opens = pacing.opens_at(channel, rules.channels[channel], is_held=is_held)
        agenda = agenda.arm(ChannelFree(channel), opens)
    return agenda


def evolve_callout(
    state: DeliveryState, fact: CallOutChanged | CallOutListed | CallOutReleased, at: Instant
) -> DeliveryState:
    """Apply a fact of a call-out and set its deadlines."""
    progress_due: Instant | None = None
    match fact:
        case CallOutChanged(row=row):
            before = state.callouts.get(row.id)
            one = replace_callout_row(before, row)
            former = None if before is None else before.row
            pause_ms = compute_pause_ms(one, former, state.notifications.values())
            progress_due = at + pause_ms
        case CallOutListed(callout=id):
            one = add_listed_people(state.callouts[id], fact)
        case CallOutReleased(callout=id, count=count):
            one = state.callouts[id]
            one = replace(one, next=one.next + count)
    id, agenda = one.row.id, state.agenda
    running = one.row.state == "running"
    headcount = one.row if running and one.row.kind == "headcount" else None
    deadlines = {
        "remind": None if headcount is None else compute_reminder_at(headcount, state.rules, at),
        "managers": None if headcount is None else compute_managers_at(headcount, state.rules, at),
        "next": at + 1 if running and one.next < len(one.people) else None,
        "progress": (progress_due or agenda.due_of(CallOutDue(id, "progress")))
        if running
        else None,
        "withdraw": at + 1
        if one.row.state in ("stopped", "done") and list_open_notifications(state, one)
        else None,
    }
    for step, when in deadlines.items():
        agenda = agenda.arm(CallOutDue(id, step), when)
    return replace(state, callouts=state.callouts.set(id, one), agenda=agenda)


def list_open_notifications(state: DeliveryState, one: CallOutProgress) -> list[NotificationRow]:
    """List the open notifications of a call-out that no sender may be calling."""
    return [
        row
        for row in state.notifications.values()
        if row.campaign == one.row.id
        and not attempts.is_settled(row)
        and row.state in (NotificationState.PLANNED, NotificationState.ATTEMPTED)
        and not any(a.state == "granted" for a in row.attempts)
    ]


def is_callout_over(state: DeliveryState, row: NotificationRow) -> bool:
    one = state.callouts.get(row.campaign) if row.campaign is not None else None
    return one is not None and one.row.state in ("stopped", "done")


def withdraw_for_callout(row: NotificationRow) -> NotificationRow:
    off = attempts.supersede_planned(row).model_copy(
        update={"withdrawn": "callout_stopped", "why": "callout_stopped"}
    )
    return attempts.update_state(off)


def evolve_hold(state: DeliveryState, row: HoldRow, now: Instant) -> DeliveryState:
    agenda = state.agenda.disarm(HoldEnds())
    if row.held and row.until is not None:
        agenda = agenda.arm(HoldEnds(), row.until)
        for waiting in state.held:
            agenda = agenda.disarm(HeldMessageDue(waiting))
    else:
        for waiting in state.held:  # the runtime bounds how many fire in one Transaction
            agenda = agenda.arm(HeldMessageDue(waiting), now)
    state = replace(state, hold=row, agenda=agenda)
    return replace(
        state,
        agenda=_schedule_channels(
            state.agenda, state.pacing, state.rules, state.pacing.queues, is_held=state.sending_held
        ),
    )


def evolve_reference(state: DeliveryState, event: ReferencePublished) -> DeliveryState:
    if isinstance(event.data, RosterSection):
        roster = event.data.roster.channels
        mine = {
            h.scope: who
            for h in event.data.roster.holders
            if h.role == SITE_MANAGER_ROLE and h.scope and (who := h.holder or h.deputy)
        }
        staged_channels = Map({person: parse_channels(names) for person, names in roster.items()})
        state = replace(state, staged=staged_channels, staged_managers=Map(mine))
    if isinstance(event.data, EscalationPolicy):
        staged_rules = state.staged_rules or replace(state.rules, channels=DEFAULT_POLICIES)
        policy = event.data.policy
        new_rules = replace(
            staged_rules,
            budget_per_hour=policy.budget_per_hour,
            reminders_ms=tuple(m * MINUTE_MS for m in policy.headcount_reminders_min),
            managers_ms=policy.headcount_manager_min * MINUTE_MS,
            close_pct=policy.headcount_close_pct,
        )
        state = replace(state, staged_rules=new_rules)
    if isinstance(event.data, ChannelsSection):
        staged_rules = state.staged_rules or state.rules
        digest_ms = event.data.rules.digest_min * MINUTE_MS
        state = replace(
            state,
            staged_rules=replace(
                staged_rules, channels=compile_policies(event.data.rules), digest_ms=digest_ms
            ),
        )
    if event.last and state.staged is not None:
        state = replace(state, channels=state.staged, staged=None)
    if event.last and state.staged_managers is not None:
        state = replace(state, managers=state.staged_managers, staged_managers=None)
    if event.last and state.staged_rules is not None:
        state = replace(state, rules=state.staged_rules, staged_rules=None)
        state = replace(
            state,
            agenda=_schedule_channels(
                state.agenda,
                state.pacing,
                state.rules,
                state.pacing.queues,
                is_held=state.sending_held,
            ),
        )
    return state


def evolve_loss(state: DeliveryState, now: Instant) -> DeliveryState:
    """Schedule every open attempt to become ambiguous at the next input.

    The lost history may have claimed and called it.
    """
    agenda = state.agenda
    for row in state.notifications.values():
        if attempts.find_open_attempt(row):
            agenda = agenda.arm(OutcomeLost(row.id), now)
    return replace(state, agenda=agenda, lost_at=now)
