"""Sender: reads delivery's log, claims attempts, calls providers, reports. Live realms only.

The order of these steps is in `attempt_view`. The sender can be killed at any point: the next run
claims an attempt without a grant; a grant without an outcome becomes ambiguous once the next run is
sure that this one has ended (`runs`), at the latest by its deadline. No knowledge of a run outlives
it except the log.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final
from uuid import uuid4

import structlog

from schemas.base import Message
from schemas.delivery import (
    AttemptOutcome,
    ClaimAttempt,
    ClaimAttempts,
    ProbedChannel,
    ProbeOutcome,
)
from schemas.topics import input_topic, is_live
from schemas.words import Channel
from services.delivery.channels.base import CallResult, ChannelDrivers, Outgoing, ProbingDriver
from services.delivery.notifications.attempts import NO_OUTCOME
from services.delivery.sender.attempt_view import (
    AttemptOffer,
    AttemptView,
    ChannelProbe,
    GrantedCall,
    OpenGrant,
)
from services.delivery.sender.outcomes import (
    ATTEMPTS_PER_INPUT,
    CallSlots,
    EndedCall,
    OutcomeReporter,
    is_unprocessed,
)
from services.messages import compose_message, load_phrases
from services.runtime.identity.signed_links import (
    LINK_LIFETIME_MS,
    PROVIDER_LINK_LIFETIME_MS,
    AnswerLink,
    AnswerLinks,
    ProviderLink,
    ProviderLinks,
)
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.log.transaction import Transaction
from services.runtime.process import metrics, tracing
from services.runtime.process.exits import ARMED, reach_failpoint
from services.runtime.process.tracing import TraceSpan
from services.runtime.secrets.vault import VaultDirectory, VaultTexts

log = structlog.get_logger(__name__)

SOURCE: Final = "/delivery/sender"
REPEAT_S: Final = 1.0
"""Pause before a claim or an outcome is sent again while the broker is away."""
TEXT_WAIT_S: Final = 2.0
"""Time to wait for a text or a person that another process has just written."""
CLAIM_AGAIN_S: Final = 0.1
"""Time after which messages that wait for a burst are looked at again."""
PROBE_S: Final = 10.0
"""Timeout of a provider in a drill."""
NOT_CONFIGURED: Final = "channel_not_configured"
_OUTCOMES_BEST_FIRST: Final = ("accepted", "ambiguous", "failed")
"""Results of several browsers of one person, best first; the best one counts."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Accepted records, in log order per partition."""

    transactions: Sequence[Transaction]
    caught_up: bool
    """False while older records are read: their offers may be stale, so nothing is claimed yet."""


def create_attempt_view(
    monotonic: Callable[[], float] = time.monotonic,
    own_providers: AbstractSet[tuple[str, Channel]] = frozenset(),
) -> AttemptView:
    """Create the view of a new run, with a random id."""
    return AttemptView(f"run-{uuid4()}", monotonic, own_providers)


class Sender:
    """One run, with a random id: it never uses a grant of an earlier run."""

    def __init__(
        self,
        producer: RecordProducer,
        directory: VaultDirectory,
        texts: VaultTexts,
        drivers: ChannelDrivers,
        links: AnswerLinks,
        return_links: ProviderLinks,
        public_url: str,
        *,
        outbox: AttemptView | None = None,
        calls_at_once: int = 16,
        ended_runs: Collection[str] = (),
        find_other_fronts: Callable[[], Sequence[str]] = tuple,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Configure a run.

        `ended_runs` are earlier runs that have certainly ended, `find_other_fronts` returns the
        addresses of the other machines of a cluster.
        """
        self.outbox = outbox or create_attempt_view(monotonic)
        self._ended_runs = frozenset(ended_runs)
        self._doubted: set[str] = set()
        """Attempts of ended runs that were reported."""
        self._producer = producer
        self._directory = directory
        self._texts = texts
        self._drivers = drivers
        self._links = links
        self._return_links = return_links
        self._public_url = public_url.rstrip("/")
        self._find_other_fronts = find_other_fronts
        self._monotonic = monotonic
        self._wall_clock = wall_clock
        self._probing: set[str] = set()
        self._places = CallSlots(calls_at_once)
        self._calling: set[str] = set()
        """Attempts granted to this run without an outcome on its way to Kafka."""
        self._outcomes = OutcomeReporter(self.outbox.run, self._send_message, self._free)
        self._parcels: dict[str, tuple[str, ...]] = {}
        """Id of an input → the attempts that it claims, until the log holds it."""
        self._together = ATTEMPTS_PER_INPUT
        self._claiming_soon = False
        self._next_claim: asyncio.TimerHandle | None = None
        self._work: asyncio.TaskGroup | None = None
        """Set while records are read; only then are offers claimed."""

    async def run(self, batches: AsyncIterator[RecordBatch]) -> None:
        """Process accepted records until `batches` ends, then until the running calls have ended.

        Raise an exception group for a fault that is not a provider's; then the process must stop.
        """
        async with asyncio.TaskGroup() as work:
            try:
                self._work = work
                async for batch in batches:
                    self.outbox.caught_up = batch.caught_up
                    for transaction in batch.transactions:
                        self._observe(transaction, work)
                    self._places.keep(self._calling | self.outbox.claims)
                    if batch.caught_up:
                        self._begin_tasks(work)
            finally:
                self._work = None

    def _observe(self, transaction: Transaction, work: asyncio.TaskGroup) -> None:
        """Apply one record and start the calls that it grants to this run."""
        for call in self.outbox.observe(transaction):
            self._calling.add(call.grant.attempt)
            work.create_task(self._carry_out(call))
        for ended_call in self._outcomes.list_unprocessed_outcomes(transaction):
            work.create_task(self._outcomes.report(ended_call))
        offers = self._parcels.pop(transaction.src.id, ())
        if offers and is_unprocessed(transaction):
            log.warning("claims.unread", realm=transaction.realm, count=len(offers))
            self._together = 1
            self.outbox.unclaim(offers)

    def _begin_tasks(self, work: asyncio.TaskGroup) -> None:
        """Claim offers that have a slot, and report ended runs and tested channels."""
        self._claim_offers()
        for grant in (
            self.outbox.list_abandoned_grants(self._ended_runs) if self._ended_runs else ()
        ):
            if grant.attempt not in self._doubted:
                self._doubted.add(grant.attempt)
                work.create_task(self._doubt(grant))
        for probe in self._to_probe():
            if probe.name not in self._probing:
                self._probing.add(probe.name)
                work.create_task(self._probe(probe))

    def _free(self, attempts: Sequence[str]) -> None:
        """Free the slots of attempts with outcomes on their way."""
        for attempt in attempts:
            self._calling.discard(attempt)
            self._places.free(attempt)
        self._claim_soon()

    def _claim_soon(self) -> None:
        """Schedule one claim for all slots that become free at this moment."""
        if not self._claiming_soon:
            self._claiming_soon = True
            asyncio.get_running_loop().call_soon(self._claim_offers)

    def _claim_later(self) -> None:
        """Schedule one claim for the messages that wait for a burst."""
        if self._next_claim is None:
            loop = asyncio.get_running_loop()
            self._next_claim = loop.call_later(CLAIM_AGAIN_S, self._claim_waiting)

    def _claim_waiting(self) -> None:
        self._next_claim = None
        self._claim_offers()

    def _claim_offers(self) -> None:
        """Claim the offers that have a slot; the others stay on offer to every run.

        The slot comes before the claim. So a run that dies leaves no more attempts in doubt than it
        had calls under way, and the limit of an attempt does not run while it waits for a slot.
        """
        self._claiming_soon = False
        if self._work is None or not self.outbox.caught_up:
            return
        by_realm: dict[str, list[AttemptOffer]] = {}
        for offer in self.outbox.to_claim(self._places.has_place):
            if self.outbox.must_wait(offer):
                self._claim_later()
            elif self._places.reserve(offer.attempt, offer.room):
                by_realm.setdefault(offer.realm, []).append(offer)
        for offers in by_realm.values():
            for begin in range(0, len(offers), self._together):
                self._claim(offers[begin : begin + self._together], self._work)

    async def _doubt(self, grant: OpenGrant) -> None:
        """Report a call as ambiguous after its run has ended."""
        outcome = AttemptOutcome(
            notification=grant.notification,
            attempt=grant.attempt,
            run=grant.run,
            outcome="ambiguous",
            error=NO_OUTCOME,
        )
        log.info(
            "attempt.abandoned",
            realm=grant.realm,
            notification=grant.notification,
            attempt=grant.attempt,
            run=grant.run,
        )
        while not await self._send_message(
            grant.realm, outcome, f"{grant.attempt}:ended:{grant.run}", grant.correlation_id, None
        ):
            pass

    def _to_probe(self) -> list[ChannelProbe]:
        """List silent tests: asked for, the first of a realm, and those with other providers."""
        outdated_probes = self.outbox.list_outdated_tests(
            lambda realm: self._drivers.of(realm).keys()
        )
        first_probes = self.outbox.list_first_tests(round(self._wall_clock() * 1000))
        return [*self.outbox.probes.values(), *first_probes, *outdated_probes]

    async def _probe(self, probe: ChannelProbe) -> None:
        """Test every channel of the realm and report the results; nobody gets a message."""
        results = await asyncio.gather(
            *(self._probe_channel(probe.realm, channel) for channel in Channel)
        )
        outcome = ProbeOutcome(
            drill=probe.row.id, asked_at=probe.row.asked_at, channels=tuple(results)
        )
        log.info(
            "channels.probed",
            realm=probe.realm,
            drill=probe.row.id,
            **{t.channel.value: t.error or t.outcome for t in results},
        )
        while not await self._send_message(
            probe.realm, outcome, probe.name, probe.correlation_id, None
        ):
            pass

    async def _probe_channel(self, realm: str, channel: Channel) -> ProbedChannel:
        driver = self._drivers.of(realm).get(channel)
        if driver is None:
            return ProbedChannel(channel=channel, outcome="not_configured")
        if not isinstance(driver, ProbingDriver):
            return ProbedChannel(channel=channel, outcome="no_silent_test")
        try:
            error = await driver.probe(PROBE_S)
        except Exception as fault:  # noqa: BLE001
            # One driver that breaks its contract must not stop the others.
            log.error("driver.raised", channel=channel.value, error=type(fault).__name__)
            error = "driver_error"
        return ProbedChannel(
            channel=channel, outcome="answered" if error is None else "failed", error=error
        )

    def _claim(self, offers: Sequence[AttemptOffer], work: asyncio.TaskGroup) -> None:
        """Claim these offers of one realm with one input."""
        run, first = self.outbox.run, offers[0]
        claims = tuple(
            ClaimAttempt(notification=one.row.id, attempt=one.attempt, run=run) for one in offers
        )
        if len(claims) == 1:
            message: Message = claims[0]
            input_id = f"{first.attempt}:claim:{run}"
        else:
            message = ClaimAttempts(claims=claims)
            input_id = f"{first.attempt}:claims:{run}"
            self._parcels[input_id] = tuple(one.attempt for one in offers)
        self.outbox.claiming(offers, input_id)
        work.create_task(self._send_claim(offers, message, input_id))

    async def _send_claim(
        self, offers: Sequence[AttemptOffer], claim: Message, input_id: str
    ) -> None:
        if ARMED:
            reach_failpoint("before-claim")
        first = offers[0]
        while any(offer.attempt in self.outbox.offers for offer in offers):
            if await self._send_message(
                first.realm, claim, input_id, first.correlation_id, first.traceparent
            ):
                if ARMED:
                    reach_failpoint("after-claim")
                return

    async def _carry_out(self, call: GrantedCall) -> None:
        span = self._span(call)
        result = await self._result(call)
        if span is not None:
            span.end(
                fault=None if result.outcome == "accepted" else result.error or result.outcome,
                outcome=result.outcome,
            )
        metrics.count(
            "vigie_attempts_total", channel=call.grant.channel.value, outcome=result.outcome
        )
        if (
            result.outcome == "accepted"
            and call.row.answer_expected
            and len(call.row.attempts) == 1
            and call.row.not_before is None
        ):
            took_s = (
                time.time() - call.row.planned_at / 1000
            )  # a figure for people: nothing is decided by two clocks
            metrics.observe(
                "vigie_page_seconds", max(took_s, 0.0), channel=call.grant.channel.value
            )
        outcome = AttemptOutcome(
            notification=call.row.id,
            attempt=call.grant.attempt,
            run=self.outbox.run,
            outcome=result.outcome,
            provider_id=result.provider_id,
            error=result.error,
            retry=result.retry,
            retry_after_s=result.retry_after_s,
            parts=result.parts,
            receipts=result.receipts,
        )
        traceparent = call.traceparent if span is None else span.traceparent
        await self._outcomes.report(
            EndedCall(call.realm, outcome, call.grant.channel, call.correlation_id, traceparent)
        )
        if ARMED:
            reach_failpoint("after-outcome")

    def _span(self, call: GrantedCall) -> TraceSpan | None:
        """Begin the trace span of one provider call, from the grant to its result."""
        if (traces := tracing.get_traces()) is None:
            return None
        channel, row = call.grant.channel.value, call.row
        attributes: tracing.Attributes = {
            "vigie.realm": call.realm,
            "vigie.notification": row.id,
            "vigie.attempt": call.attempt.number,
            "vigie.channel": channel,
            "vigie.level": row.level.value,
            "vigie.template": row.template,
        }
        return traces.begin(f"delivery send {channel}", "client", call.traceparent, attributes)

    async def _result(self, call: GrantedCall) -> CallResult:
        channel = call.grant.channel
        driver = self._drivers.of(call.realm).get(channel)
        if driver is None or not is_live(call.realm):
            return CallResult("failed", error=NOT_CONFIGURED)
        try:
            messages_or_result = await self._outgoing(call)
        except Exception as error:  # noqa: BLE001
            # One message that cannot be built must not stop the others.
            log.error("attempt.unprepared", notification=call.row.id, error=type(error).__name__)
            return CallResult("failed", error="message_not_made", retry=True)
        if isinstance(messages_or_result, CallResult):
            return messages_or_result
        messages, others = messages_or_result
        left_s = call.left_s(self._monotonic())
        if left_s <= 0:
            return CallResult("failed", error="limit_passed", retry=True)
        if ARMED:
            reach_failpoint("before-call")
        started_s = self._monotonic()
        try:
            results = await asyncio.gather(*(driver.call(one, left_s) for one in messages))
        except Exception as error:  # noqa: BLE001
            # A driver that breaks its contract may have sent the message or not.
            log.error(
                "driver.raised",
                channel=channel.value,
                notification=call.row.id,
                error=type(error).__name__,
            )
            return CallResult("ambiguous", error="driver_error")
        finally:
            metrics.observe(
                "vigie_attempt_seconds", self._monotonic() - started_s, channel=channel.value
            )
        if ARMED:
            reach_failpoint("after-call")
        best = min(results, key=lambda result: _OUTCOMES_BEST_FIRST.index(result.outcome))
        return replace(best, retry=True) if best.outcome == "failed" and others else best

    async def _outgoing(self, call: GrantedCall) -> tuple[list[Outgoing], int] | CallResult:
        """Build the messages of a call, and count the addresses that are left.

        App messages go to every browser of the person; on other channels, each try uses another
        address.
        """
        row, channel = call.row, call.grant.channel
        people = self._directory.of(call.realm)
        contact = await people.get(row.person, wait_s=TEXT_WAIT_S)
        if contact is None:
            return CallResult("failed", error="person_unknown")
        points = sorted(
            (p for p in contact.points if p.channel == channel), key=lambda p: p.verified_at is None
        )
        if not points:
            return CallResult("failed", error="no_address")
        spoken_text = None
        if (text_id := row.values.get("text")) is not None:
            item = await self._texts.get(str(text_id), wait_s=TEXT_WAIT_S)
            if item is None or "text" not in item.fields:
                return CallResult("failed", error="text_erased")
            spoken_text = str(item.fields["text"])
        names, words = self.outbox.names_of(call.realm), load_phrases(contact.language)
        link, spare_link = self._links_of(call)
        text = compose_message(
            row, names, words, link, spoken_text, public_url=self._public_url, spare_link=spare_link
        )
        others = 0
        if channel is not Channel.APP:
            before = sum(
                a.channel is channel and a.number < call.attempt.number for a in row.attempts
            )
            others = max(len(points) - before - 1, 0)
            points = [points[before % len(points)]]
        outgoing = [
            Outgoing(
                realm=call.realm,
                row=row,
                attempt=call.attempt.id,
                number=call.attempt.number,
                possible_duplicate=call.attempt.possible_duplicate,
                address=point.address,
                text=text,
                returns_url=self._returns(call),
            )
            for point in points
        ]
        return outgoing, others

    def _returns(self, call: GrantedCall) -> str:
        until = round(self._wall_clock() * 1000) + PROVIDER_LINK_LIFETIME_MS
        token = self._return_links.token(
            ProviderLink(
                call.realm,
                call.row.id,
                call.row.person,
                call.attempt.id,
                until,
                headcount=call.row.template == "headcount",
            )
        )
        return f"{self._public_url}/r/{token}"

    def _links_of(self, call: GrantedCall) -> tuple[str | None, str | None]:
        """Return the link of a call, and the same one at another machine if there is one."""
        if not call.row.answer_expected:
            return None, None
        link = AnswerLink(
            call.realm,
            call.row.id,
            call.row.person,
            round(self._wall_clock() * 1000) + LINK_LIFETIME_MS,
        )
        fronts = (front.rstrip("/") for front in self._find_other_fronts())
        spare = next((front for front in fronts if front != self._public_url), None)
        path = f"/a/{self._links.token(link)}"
        return f"{self._public_url}{path}", f"{spare}{path}" if spare else None

    async def _send_message(
        self,
        realm: str,
        message: Message,
        input_id: str,
        correlation_id: str,
        traceparent: str | None,
    ) -> bool:
        """Send a message; False after a pause if the broker is away. Repeats carry the same id."""
        try:
            await self._producer.send(
                input_topic("delivery"),
                realm,
                message,
                id=input_id,
                source=SOURCE,
                correlation_id=correlation_id,
                traceparent=traceparent,
            )
        except BrokerAway as error:
            log.warning("sender.broker_away", error=str(error))
            await asyncio.sleep(REPEAT_S)
            return False
        return True
