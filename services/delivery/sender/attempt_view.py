"""View of the log for one sender run: offered attempts, its claims, its grants. No I/O, no clock.

This order makes a provider call happen once per attempt, whatever is killed when:

1. An attempt `planned` in the log is on offer. The run notes its monotonic time, then sends
   `ClaimAttempt`.
2. Only a grant read back from the log, for this run id, may be called (`granted`). A run id is
   drawn at every start.
3. The run takes a grant once (`observe` hands it out once), and calls once, within the limit
   counted from the time noted in 1.
4. It reports the outcome. Without one, delivery declares the attempt ambiguous at append time +
   limit + grace.
5. A run that replaces one that has certainly ended reports the open grants of that run as ambiguous
   at once.

See `docs/explanation/architecture.md`, Only the sender has effects.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from schemas.base import Instant
from schemas.callouts import CallOutChanged, CallOutListed
from schemas.crisis.area_orders import AREA_ORDER
from schemas.delivery import (
    AttemptGranted,
    AttemptOutcomes,
    AttemptRow,
    ChannelsProbed,
    ClaimAttempts,
    HoldChanged,
    NotificationChanged,
    NotificationRow,
    ProbeRow,
)
from schemas.people.replies import ReplySubject
from schemas.reference import ReferencePublished
from schemas.topics import is_live
from schemas.words import Channel
from services.delivery.channels.base import build_reference_key
from services.delivery.notifications.channel_policies import get_urgency, is_never_waiting
from services.delivery.sender.outcomes import SlotRoom, get_room
from services.messages import MessageNames
from services.messages.composition import ACTION_DUE, read_card_list
from services.messages.names import find_territory_name
from services.runtime.log.transaction import Transaction

FIRST_TEST = "first"
"""Id of the first silent test of a live realm."""
KEPT_REFERENCES = 20_000
"""Messages with receipts that can be matched; the oldest are forgotten first."""
KEPT_INCIDENTS = 2_000
"""Incidents with a known order of calls; the oldest are forgotten first."""
BURST_INCIDENTS = 8
"""Incidents with a new first message within `BURST_S` that make a burst."""
BURST_S = 0.5
LONGEST_WAIT_S = 2.0
"""Longest wait of a second message for the first ones of other incidents in a burst."""
_OBSERVED_FACTS = frozenset(
    m.__name__
    for m in (
        NotificationChanged,
        AttemptGranted,
        HoldChanged,
        ReferencePublished,
        CallOutChanged,
        CallOutListed,
        ChannelsProbed,
    )
)


_MULTI_ATTEMPT_TYPES = frozenset({ClaimAttempts.wire_type(), AttemptOutcomes.wire_type()})
"""Types of inputs about several attempts."""
OfferOrder = tuple[int, int, int, int]
"""Urgency, rank in its incident, level (gravest first), time planned; smallest first."""


@dataclass(frozen=True, slots=True)
class AttemptOffer:
    """An attempt that waits for a claim."""

    realm: str
    row: NotificationRow
    correlation_id: str
    traceparent: str | None = None
    order: OfferOrder = (0, 0, 0, 0)
    """Order in which offers get a call slot."""
    observed_s: float = 0.0
    """Monotonic time when it was first read."""
    attempt: str = field(init=False)
    room: SlotRoom = field(init=False)
    """Room in which it needs a call slot."""

    @property
    def follows_another(self) -> bool:
        """True for a message that never waits, if its incident has an earlier one of these."""
        return self.order[1] > 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "attempt", self.row.attempts[-1].id)
        object.__setattr__(self, "room", get_room(self.realm, self.row))


@dataclass(frozen=True, slots=True)
class ClaimedAttempt:
    """A claim of this run."""

    at_s: float
    """Monotonic time from before it was first sent."""
    correlation_id: str
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class OpenGrant:
    """An attempt that a run may be calling."""

    realm: str
    notification: str
    attempt: str
    run: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class GrantedCall:
    """A grant that this run may use once."""

    realm: str
    row: NotificationRow
    grant: AttemptGranted
    correlation_id: str
    claimed_s: float
    """Monotonic time from before the first claim was sent."""
    traceparent: str | None = None

    @property
    def attempt(self) -> AttemptRow:
        """The granted attempt."""
        return next(a for a in self.row.attempts if a.id == self.grant.attempt)

    def left_s(self, now_s: float) -> float:
        """Return the seconds left of the limit; ≤ 0: must not be called any more."""
        return self.grant.limit_ms / 1000 - (now_s - self.claimed_s)


@dataclass(frozen=True, slots=True)
class ChannelProbe:
    """Request to test the channels silently."""

    realm: str
    row: ProbeRow
    correlation_id: str
    repeating_run: str = ""
    """Run that repeats a test which has its answer already."""

    @property
    def name(self) -> str:
        """Name of this request; a month may have several, and all senders share the first one."""
        return ":".join(
            [
                "probe",
                self.realm,
                self.row.id,
                *([] if self.row.id == FIRST_TEST else [str(self.row.asked_at)]),
                *([self.repeating_run] if self.repeating_run else []),
            ]
        )


@dataclass
class OpenHeadcount:
    """Part of a headcount that its single answers need."""

    realm: str
    sites: tuple[str, ...]
    started_at: int | None
    over: bool
    persons: set[str] = field(default_factory=set)
    """Persons that are asked."""
    notifications: dict[str, str] = field(default_factory=dict)
    """Notification id → person."""


@dataclass(frozen=True, slots=True)
class ProviderReference:
    """Attempt behind a provider's id."""

    realm: str
    notification: str
    attempt: str


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A call that a person may answer."""

    realm: str
    role: str
    headcount: bool
    """« Are you safe? »: three answers, kept apart."""
    at: int
    """Time when it was planned."""
    is_answered: bool
    """True after an answer; people may change it, for example if they cannot come after all."""
    unread: bool = False
    """True after a reply that is no answer; help is sent once."""
    area_order: bool = False
    """« Does the order concern your site? »: it may be answered in these words. Rule D102."""
    action_due: bool = False
    """« Is the action done? »: a yes completes it."""

    @property
    def subject(self) -> ReplySubject:
        if self.headcount:
            return ReplySubject.HEADCOUNT
        if self.action_due:
            return ReplySubject.ACTION
        return ReplySubject.AREA_ORDER if self.area_order else ReplySubject.CALL


@dataclass(frozen=True, slots=True)
class CardList:
    """The last SMS to a person that names action cards by number. Rule D84."""

    notification: str
    role: str
    at: int
    """Time at which it was granted to a sender."""
    unread: bool = False
    """True after a reply that says nothing about them; help is sent once."""


class SavedView(BaseModel):
    """Parts of the view that a file holds; see `AttemptView`."""

    offers: list[tuple[str, NotificationRow, str, str | None]]
    """Realm, row, correlation id and trace of each."""
    grants: dict[str, OpenGrant]
    turns: dict[str, dict[str, int]]
    probes: dict[str, ChannelProbe]
    proven: dict[str, ChannelProbe]
    realms_on_hold: set[str]
    references: dict[str, ProviderReference]
    awaited_ids: dict[Channel, dict[str, str]]
    questions: dict[str, dict[str, OpenQuestion]]
    card_lists: list[tuple[tuple[str, str], CardList]]
    headcounts: dict[str, OpenHeadcount]
    names: dict[str, MessageNames]


@dataclass
class AttemptView:
    """View of the log; `observe` takes every accepted record of the live partitions in order."""

    run: str
    monotonic: Callable[[], float]
    own_providers: AbstractSet[tuple[str, Channel]] = frozenset()
    """Realms with a provider of their own on a channel: it may give ids that another gives, too."""
    offers: dict[str, AttemptOffer] = field(default_factory=dict)
    """Attempt → offer."""
    names: dict[str, MessageNames] = field(default_factory=dict)
    references: dict[str, ProviderReference] = field(default_factory=dict)
    """`reference_key` → attempt, in the order in which providers took them."""
    awaited_ids: dict[Channel, dict[str, str]] = field(default_factory=dict)
    """Channel → attempt → the provider's id, of accepted messages that wait for a receipt."""
    questions: dict[str, dict[str, OpenQuestion]] = field(default_factory=dict)
    """Person → notification → unanswered calls, and the last answered one."""
    card_lists: dict[tuple[str, str], CardList] = field(default_factory=dict)
    """(realm, person) → the last list of cards that the person got by SMS."""
    headcounts: dict[str, OpenHeadcount] = field(default_factory=dict)
    """Headcounts with kept single answers."""
    caught_up: bool = False
    """True once the log was read to its end: a call that is not here was never made."""
    probes: dict[str, ChannelProbe] = field(default_factory=dict)
    """`<realm>/<drill>` → a silent test of the channels without a result."""
    proven: dict[str, ChannelProbe] = field(default_factory=dict)
    """Realm → the last silent test with a result."""
    claims: set[str] = field(default_factory=set)
    """Attempts that this run has claimed and the log has not decided on yet."""
    grants: dict[str, OpenGrant] = field(default_factory=dict)
    """Notification → its attempt without an outcome, granted to any run."""
    _realms_on_hold: set[str] = field(default_factory=set)
    _claims: dict[str, ClaimedAttempt] = field(default_factory=dict)
    _claim_inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Input id → the attempts that this run claims by it, until the log holds it."""
    _turns: dict[str, dict[str, int]] = field(default_factory=dict)
    """Incident → its notifications that never wait, in the order in which they were planned."""
    _used_grants: set[str] = field(default_factory=set)
    _offers: dict[str, str] = field(default_factory=dict)
    _new_firsts_s: deque[float] = field(default_factory=lambda: deque(maxlen=BURST_INCIDENTS))
    """Times when the newest first messages of incidents were read."""

    def observe(self, transaction: Transaction) -> list[GrantedCall]:
        """Apply one record; return each grant of this run in it once, however often it is read.

        Simulated realms are ignored.
        """
        realm = transaction.realm
        if not is_live(realm):
            return []
        facts = [f.message() for f in transaction.facts if f.name in _OBSERVED_FACTS]
        grants = [f for f in facts if isinstance(f, AttemptGranted) and f.run == self.run]
        rows = {f.row.id: f.row for f in facts if isinstance(f, NotificationChanged)}
        for fact in facts:
            match fact:
                case NotificationChanged(row=row):
                    correlation_id = self._correlation_of(row, transaction)
                    self._offer(realm, row, correlation_id, self._trace_of(row, transaction))
                    self._note_grant(realm, row, correlation_id)
                    self._refer(realm, row)
                    self._ask(realm, row)
                    self._note_card_list(realm, row)
                    if row.campaign in self.headcounts:
                        self.headcounts[row.campaign].notifications[row.id] = row.person
                case CallOutChanged(row=callout) if callout.kind == "headcount":
                    headcount = self.headcounts.setdefault(
                        callout.id, OpenHeadcount(realm, callout.sites, None, over=False)
                    )
                    headcount.started_at, headcount.over = (
                        callout.started_at,
                        callout.state in ("stopped", "done"),
                    )
                case CallOutListed() if fact.callout in self.headcounts:
                    self.headcounts[fact.callout].persons.update(one.person for one in fact.people)
                case ChannelsProbed(row=probe):
                    self.probes.pop(f"{realm}/{probe.id}", None)
                    one = ChannelProbe(realm, probe, transaction.src.correlation_id)
                    if probe.done_at is None:
                        self.probes[f"{realm}/{probe.id}"] = one
                    else:
                        self.proven[realm] = one
                case HoldChanged(row=hold):
                    (self._realms_on_hold.add if hold.held else self._realms_on_hold.discard)(realm)
                case ReferencePublished(data=section):
                    self.names[realm] = self.names_of(realm).with_section(section)
                case _:
                    pass
        self.claims.difference_update(self._claim_inputs.pop(transaction.src.id, ()))
        return [
            self._build_granted_call(rows[g.notification], g, transaction)
            for g in grants
            if g.attempt in self._claims and g.attempt not in self._used_grants
        ]

    def _build_granted_call(
        self, row: NotificationRow, grant: AttemptGranted, by: Transaction
    ) -> GrantedCall:
        self._used_grants.add(grant.attempt)
        claim = self._claims[grant.attempt]
        traceparent = self._trace_of(row, by)
        return GrantedCall(by.realm, row, grant, claim.correlation_id, claim.at_s, traceparent)

    def _correlation_of(self, row: NotificationRow, by: Transaction) -> str:
        """Return the correlation id of this row.

        A record of several attempts has the id of the first.
        """
        claim = self._claim_of(row) if by.src.type in _MULTI_ATTEMPT_TYPES else None
        return by.src.correlation_id if claim is None else claim.correlation_id

    def _trace_of(self, row: NotificationRow, by: Transaction) -> str | None:
        """Return the trace parent for the next hop of this row, always in the row's own trace.

        A record of several attempts is a hop in the trace of the first. Attempts of other traces
        follow their own last hop instead.
        """
        claim = self._claim_of(row) if by.src.type in _MULTI_ATTEMPT_TYPES else None
        if claim is None or _get_trace_id(claim.traceparent) == _get_trace_id(by.traceparent):
            return by.traceparent
        return claim.traceparent

    def _claim_of(self, row: NotificationRow) -> ClaimedAttempt | None:
        """Return the last claim of this row by this run."""
        claims = (self._claims.get(attempt.id) for attempt in reversed(row.attempts))
        return next((claim for claim in claims if claim is not None), None)

    def _offer(
        self, realm: str, row: NotificationRow, correlation_id: str, traceparent: str | None
    ) -> None:
        earlier = None
        if (before := self._offers.pop(row.id, None)) is not None:
            earlier = self.offers.pop(before, None)
            self.claims.discard(before)
        if row.attempts and row.attempts[-1].state == "planned":
            attempt = row.attempts[-1].id
            is_new = earlier is None or earlier.attempt != attempt
            observed_s = self.monotonic() if earlier is None or is_new else earlier.observed_s
            offer = AttemptOffer(
                realm, row, correlation_id, traceparent, self._order_of(row), observed_s
            )
            self.offers[attempt] = offer
            is_first_call = is_never_waiting(row) and row.attempts[-1].number == 1
            if is_new and is_first_call and not offer.follows_another:
                self._new_firsts_s.append(observed_s)
            self._offers[row.id] = attempt
            if attempt in self._claims and attempt not in self._used_grants:
                self.claims.add(attempt)

    def _order_of(self, row: NotificationRow) -> OfferOrder:
        """Return the sort key of an offer for claims.

        Danger goes first, then the first person of each incident, then the second. Other
        messages keep the order in which the provider's pace released them.
        """
        urgent = int(get_urgency(row))
        if not is_never_waiting(row):
            return urgent, 0, 0, row.attempts[-1].planned_at
        turns = self._turns.setdefault(row.incident or row.escalation or row.id, {})
        while len(self._turns) > KEPT_INCIDENTS:
            del self._turns[next(iter(self._turns))]
        return urgent, turns.setdefault(row.id, len(turns)), -int(row.level), row.planned_at

    def _note_grant(self, realm: str, row: NotificationRow, correlation_id: str) -> None:
        last_attempt = row.attempts[-1] if row.attempts else None
        if (
            last_attempt is not None
            and last_attempt.state == "granted"
            and last_attempt.run is not None
        ):
            self.grants[row.id] = OpenGrant(
                realm, row.id, last_attempt.id, last_attempt.run, correlation_id
            )
        else:
            self.grants.pop(row.id, None)

    def _refer(self, realm: str, row: NotificationRow) -> None:
        for attempt in row.attempts:
            if attempt.provider_id is not None and attempt.state == "accepted":
                key = self.build_key(realm, attempt.channel, attempt.provider_id)
                self.references[key] = ProviderReference(realm, row.id, attempt.id)
            waiting = self.awaited_ids.setdefault(attempt.channel, {})
            if (
                attempt.provider_id is not None
                and attempt.state == "accepted"
                and attempt.due is not None
            ):
                waiting[attempt.id] = attempt.provider_id
            else:
                waiting.pop(attempt.id, None)
        while len(self.references) > KEPT_REFERENCES:
            del self.references[next(iter(self.references))]

    def build_key(self, realm: str, channel: Channel, provider_id: str) -> str:
        """Return the key of a provider's id among `references`; see `build_reference_key`."""
        key = build_reference_key(channel, provider_id)
        return f"{realm}/{key}" if (realm, channel) in self.own_providers else key

    def _ask(self, realm: str, row: NotificationRow) -> None:
        mine = self.questions.get(row.person, {})
        if row.answer is not None:
            mine = {
                id: question
                for id, question in mine.items()
                if not question.is_answered or question.realm != realm
            }
        if (
            row.answer_expected
            and row.withdrawn is None
            and any(a.granted_at is not None for a in row.attempts)
        ):
            mine[row.id] = OpenQuestion(
                realm,
                row.role,
                row.template == "headcount",
                row.planned_at,
                row.answer is not None,
                row.unread_at is not None,
                row.template == AREA_ORDER,
                row.template == ACTION_DUE,
            )
        else:
            mine.pop(row.id, None)
        self._keep_asked(row.person, mine)

    def _note_card_list(self, realm: str, row: NotificationRow) -> None:
        sent_at = max(
            (
                attempt.granted_at
                for attempt in row.attempts
                if attempt.channel is Channel.SMS and attempt.granted_at is not None
            ),
            default=None,
        )
        if sent_at is None or not read_card_list(row):
            return
        before = self.card_lists.get((realm, row.person))
        if before is None or before.at <= sent_at:
            self.card_lists[realm, row.person] = CardList(
                row.id, row.role, sent_at, row.unread_at is not None
            )

    def _keep_asked(self, person: str, questions: dict[str, OpenQuestion]) -> None:
        if questions:
            self.questions[person] = questions
        else:
            self.questions.pop(person, None)

    def forget_headcount(self, id: str) -> None:
        """Forget a headcount with its answers; no more are accepted."""
        headcount = self.headcounts.pop(id)
        for notification, person in headcount.notifications.items():
            mine = self.questions.get(person, {})
            mine.pop(notification, None)
            self._keep_asked(person, mine)

    def to_claim(
        self, has_place: Callable[[SlotRoom], bool] = lambda _: True
    ) -> list[AttemptOffer]:
        """List the offers that this run has not claimed and no hold blocks, in claiming order.

        `has_place` tells for which rooms offers are wanted.
        """
        free = [
            offer
            for id, offer in self.offers.items()
            if id not in self._claims
            and has_place(offer.room)
            and (offer.row.danger or offer.realm not in self._realms_on_hold)
        ]
        return sorted(free, key=lambda offer: offer.order)

    def must_wait(self, offer: AttemptOffer) -> bool:
        """Check whether a message must wait for the first messages of other incidents in a burst.

        Danger never waits.
        """
        now_s, newest = self.monotonic(), self._new_firsts_s
        return (
            offer.follows_another
            and not offer.row.danger
            and len(newest) == BURST_INCIDENTS
            and newest[0] > now_s - BURST_S
            and offer.observed_s > now_s - LONGEST_WAIT_S
        )

    def claiming(self, offers: Sequence[AttemptOffer], input_id: str) -> None:
        """Note the time before the input that claims these offers is first sent."""
        for offer in offers:
            self._claims.setdefault(
                offer.attempt,
                ClaimedAttempt(self.monotonic(), offer.correlation_id, offer.traceparent),
            )
            self.claims.add(offer.attempt)
        self._claim_inputs[input_id] = tuple(offer.attempt for offer in offers)

    def unclaim(self, attempts: Iterable[str]) -> None:
        """Forget claims in a refused input; those still on offer may be claimed again."""
        for attempt in attempts:
            if attempt in self.offers:
                self._claims.pop(attempt, None)

    def list_abandoned_grants(self, ended_runs: AbstractSet[str]) -> list[OpenGrant]:
        """Return the grants of these runs that have no outcome."""
        return [grant for grant in self.grants.values() if grant.run in ended_runs]

    def list_first_tests(self, now: Instant) -> list[ChannelProbe]:
        """List a silent test for each live realm without one. Rule D38."""
        tested = {probe.realm for probe in self.probes.values()} | self.proven.keys()
        return [
            ChannelProbe(
                realm, ProbeRow(id=FIRST_TEST, asked_at=now), f"probe:{realm}:{FIRST_TEST}"
            )
            for realm in sorted(self.names.keys() - tested)
            if is_live(realm)
        ]

    def list_outdated_tests(
        self, find_channels: Callable[[str], AbstractSet[Channel]]
    ) -> list[ChannelProbe]:
        """List silent tests to repeat: their result has other providers than this run.

        Providers were configured or removed since. `find_channels` returns the channels of a realm.
        """
        return [
            replace(one, repeating_run=self.run)
            for one in self.proven.values()
            if {c.channel for c in one.row.channels if c.outcome != "not_configured"}
            != find_channels(one.realm)
        ]

    def names_of(self, realm: str) -> MessageNames:
        """Return the labels of the realm's territory."""
        territory_names = self.names.get(realm)
        return (
            MessageNames(territory=find_territory_name(realm))
            if territory_names is None
            else territory_names
        )

    def forget_offers(self) -> None:
        """Forget offers and holds, which come again after a change of history.

        Claims and grants that this run took stay known.
        """
        self.offers.clear()
        self._offers.clear()
        self.claims.clear()
        self._claim_inputs.clear()
        self.grants.clear()
        self.probes.clear()
        self.proven.clear()
        self._realms_on_hold.clear()
        self.references.clear()
        self.awaited_ids.clear()
        self.questions.clear()
        self.card_lists.clear()
        self.headcounts.clear()

    def dump(self) -> dict[str, Any]:
        """Dump the view, so that a start need not read the log from its beginning.

        Claims and calls are left out: they end with the run.
        """
        content = SavedView.model_construct(
            offers=[
                (o.realm, o.row, o.correlation_id, o.traceparent) for o in self.offers.values()
            ],
            grants=self.grants,
            turns=self._turns,
            probes=self.probes,
            proven=self.proven,
            realms_on_hold=self._realms_on_hold,
            references=self.references,
            awaited_ids=self.awaited_ids,
            questions=self.questions,
            card_lists=list(self.card_lists.items()),
            headcounts=self.headcounts,
            names=self.names,
        )
        return content.model_dump(mode="json", exclude_defaults=True)

    def load(self, dump: dict[str, Any]) -> None:
        """Restore from a dump. Raises ValueError, also for one of an earlier form."""
        content = SavedView.model_validate(dump)
        self._turns = content.turns
        for offer in content.offers:
            self._offer(*offer)
        self.grants = content.grants
        self.probes = content.probes
        self.proven = content.proven
        self._realms_on_hold = content.realms_on_hold
        for address, reference in content.references.items():
            channel, _, provider_id = address.partition(":")
            key = self.build_key(reference.realm, Channel(channel.rpartition("/")[2]), provider_id)
            self.references[key] = reference
        self.awaited_ids = content.awaited_ids
        self.questions = content.questions
        self.card_lists = dict(content.card_lists)
        self.headcounts = content.headcounts
        self.names = content.names


def _get_trace_id(traceparent: str | None) -> str | None:
    return None if traceparent is None else traceparent.split("-")[1]
