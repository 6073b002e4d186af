"""The sender with the real decider on a log in memory: one provider call per attempt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from schemas.base import Message
from schemas.calling import NotificationPlanned
from schemas.callouts import Called, DraftCallOut, StartCallOut
from schemas.commands import HoldSending, ReleaseSending
from schemas.delivery import (
    AttemptOutcome,
    ChannelsProbed,
    ClaimAttempt,
    NotificationRow,
    ProbeOutcome,
    ProbeRow,
)
from schemas.oncall import DrillRow, LaddersDrilled
from schemas.people.directory import Contact, ContactPoint
from schemas.reference import MeetingPoint, ReferencePublished, Roster, RosterSection
from schemas.runtime import RealmOpened, Tick
from schemas.topics import PARTITION_COUNT, partition_of
from schemas.wire import Place
from schemas.words import Channel, Level, NotificationState
from services import messages
from services.delivery.channels.base import CallResult, ChannelDrivers, Outgoing
from services.delivery.decider import DeliveryDecider
from services.delivery.sender import sender as sender_module
from services.delivery.sender.sender import RecordBatch, Sender, create_attempt_view
from services.messages import MessageNames
from services.runtime.identity.signed_links import AnswerLinks, ProviderLinks
from services.runtime.kafka.clients import BrokerAway
from services.runtime.log.transaction import Transaction
from services.runtime.secrets.vault import TextItem
from services.runtime.testing import MemoryService
from tests.faults.matrix import proves
from tests.unit.delivery.desk import T0

LINKS = AnswerLinks(b"k" * 32)


class Provider:
    """Takes calls and answers by script; the last answer repeats."""

    def __init__(self, *answers: CallResult | BaseException) -> None:
        self.answers = list(answers) or [CallResult("accepted", provider_id="p1")]
        self.calls: list[Outgoing] = []
        self.hangs: asyncio.Event | None = None

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        assert timeout_s > 0
        self.calls.append(outgoing)
        if self.hangs is not None:
            await self.hangs.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class People:
    """Directory of `dgs`, reachable by mail, and of `second` with the same mail address."""

    def __init__(self) -> None:
        self.contact: Contact | None = Contact(
            person="dgs",
            name="D. G.",
            points=(
                ContactPoint(channel=Channel.EMAIL, address="old@example.org"),
                ContactPoint(channel=Channel.EMAIL, address="dgs@example.org", verified_at=T0),
            ),
        )

    def of(self, realm: str) -> People:  # noqa: ARG002
        return self

    async def get(self, person: str, *, wait_s: float = 0.0) -> Contact | None:  # noqa: ARG002
        return self.contact if person in ("dgs", "second") else None


class Writings(dict[str, TextItem]):
    """Texts by id."""

    async def get(self, text_id: str, *, wait_s: float = 0.0) -> TextItem | None:  # type: ignore[override]  # noqa: ARG002
        return super().get(text_id)


@dataclass
class World:
    """delivery on an in-memory log; senders come and go."""

    service: MemoryService[Any] = field(
        default_factory=lambda: MemoryService(DeliveryDecider(), clock=T0)
    )
    people: People = field(default_factory=People)
    texts: Writings = field(default_factory=Writings)
    provider: Provider = field(default_factory=Provider)
    log: list[Transaction] = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    away: int = 0
    """So many sends fail before Kafka is back."""
    drop: tuple[type[Message], ...] = ()
    """Messages that are lost for ever: their sender was killed before it sent them."""
    now_s: float = 1000.0

    def put(
        self, message: Message, realm: str = "92", id: str | None = None, **envelope: Any
    ) -> Transaction:
        self.log.append(
            tx := self.service.feed(realm, message, id=id or f"in-{len(self.log)}", **envelope)
        )
        self.grown.set()
        return tx

    def open(self, realm: str, channels: Sequence[str]) -> None:
        opened = RealmOpened(territory="92", title_code="t", started_at=T0, lineage=realm)
        self.put(
            opened,
            realm,
            place=Place("alerts", partition_of(realm, PARTITION_COUNT), 0, 1, 0),
            place_hash="h",
        )
        roster = RosterSection(
            roster=Roster(
                holders=(),
                channels={"dgs": tuple(channels), "second": tuple(channels), "ghost": ("email",)},
            )
        )
        self.put(ReferencePublished(reference="r", data=roster, last=True), realm)

    def plan(self, id: str = "n1", realm: str = "92", **changes: Any) -> str:
        notification = f"8f0f6a8e-0000-5000-8000-{id.removeprefix('n'):0>12}"
        self.put(
            NotificationPlanned(
                **{
                    "notification": notification,
                    "level": Level.N3,
                    "role": "dgs",
                    "person": "dgs",
                    "channels": (Channel.EMAIL,),
                    "template": "incident_wave",
                    "planned_at": self.service.clock,
                    **changes,
                }
            ),
            realm,
        )
        return notification

    def row(self, notification: str, realm: str = "92") -> NotificationRow:
        row: NotificationRow = self.service.state(realm).notifications[notification]
        return row

    async def send(
        self,
        topic: str,
        realm: str,
        message: Message,
        *,
        id: str,
        source: str,
        correlation_id: str | None = None,
        traceparent: str | None = None,  # noqa: ARG002
    ) -> tuple[int, int]:
        assert (topic, source) == ("delivery.inputs", "/delivery/sender")
        assert correlation_id
        if self.away:
            self.away -= 1
            raise BrokerAway("no broker")
        if not isinstance(message, self.drop):
            self.put(message, realm, id)
        return 0, 0

    def sender(self, **options: Any) -> Sender:
        drivers = options.pop("drivers", {Channel.EMAIL: self.provider})
        return Sender(
            self,
            self.people,
            self.texts,
            drivers if isinstance(drivers, ChannelDrivers) else ChannelDrivers(drivers),
            LINKS,
            ProviderLinks(b"r" * 32),
            "https://vigie.example/",
            monotonic=lambda: self.now_s,
            **options,
        )

    async def batches(self) -> AsyncIterator[RecordBatch]:
        read = 0
        while True:
            new, read = self.log[read:], len(self.log)
            yield RecordBatch(new, caught_up=True)
            self.grown.clear()
            if read == len(self.log):
                await self.grown.wait()

    async def until(self, sender: Sender, done: Any) -> None:
        """Run a sender until `done()`, then kill it with its pending work."""
        running = asyncio.create_task(sender.run(self.batches()))

        async def watch() -> None:
            while not done():
                assert not running.done(), running.exception()
                await asyncio.sleep(0)

        try:
            await asyncio.wait_for(watch(), 5)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def later(self, ms: int) -> None:
        """Move the time of the broker and tick delivery."""
        self.service.clock += ms
        self.put(Tick())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(sender_module, "REPEAT_S", 0)
    made = World()
    made.open("92", ["sms", "email"])
    return made


async def test_a_planned_attempt_is_claimed_called_and_reported(world: World) -> None:
    n = world.plan()
    await world.until(world.sender(), lambda: world.row(n).state is NotificationState.ACCEPTED)
    (call,) = world.provider.calls
    assert call.address == "dgs@example.org", "the verified address comes first"
    assert "https://vigie.example/a/" in call.text.plain()
    assert world.row(n).attempts[0].provider_id == "p1"


@pytest.mark.parametrize(
    ("fronts", "spare"),
    [
        (("https://vigie.example", "http://10.2.0.1:8092/"), "http://10.2.0.1:8092"),
        (("https://vigie.example",), None),
        ((), None),
    ],
)
async def test_a_mail_names_a_second_machine_under_another_address(
    world: World, fronts: tuple[str, ...], spare: str | None
) -> None:
    """Machines under one configured name are one address."""
    n = world.plan()
    sender = world.sender(find_other_fronts=lambda: fronts)
    await world.until(sender, lambda: world.row(n).state is NotificationState.ACCEPTED)
    text = world.provider.calls[0].text
    path = text.link.removeprefix("https://vigie.example")
    assert text.spare_link == (f"{spare}{path}" if spare else None)
    assert [line.split()[-1] for line in text.footer if "ne s’ouvre pas" in line] == (
        [f"{spare}{path}"] if spare else []
    )


def reached_by(world: World, channel: Channel, *addresses: str) -> None:
    world.people.contact = Contact(
        person="dgs",
        points=tuple(ContactPoint(channel=channel, address=a, verified_at=T0) for a in addresses),
    )


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ((CallResult("failed", error="subscription_gone"), CallResult("accepted")), "accepted"),
        (
            (
                CallResult("failed", error="subscription_gone"),
                CallResult("ambiguous", error="push_timeout"),
            ),
            "ambiguous",
        ),
        ((CallResult("failed", error="subscription_gone"),), "failed"),
    ],
)
async def test_every_browser_of_a_person_gets_the_message(
    world: World, answers: tuple[CallResult, ...], state: str
) -> None:
    world.open("92", ["app"])
    reached_by(world, Channel.APP, "telephone", "office")
    push = Provider(*answers)
    n = world.plan(channels=(Channel.APP,))
    await world.until(
        world.sender(drivers={Channel.APP: push}),
        lambda: len(world.row(n).attempts) > 0 and world.row(n).attempts[0].ended_at,
    )
    assert [c.address for c in push.calls[:2]] == ["telephone", "office"]
    assert world.row(n).attempts[0].state == state


@pytest.mark.parametrize("passing", [True, False])
async def test_a_second_try_goes_to_the_second_number(world: World, passing: bool) -> None:
    """Also when the first is wrong for good: then only as long as there is another one."""
    world.open("92", ["sms"])
    reached_by(world, Channel.SMS, "+33600000001", "+33600000002")
    sms = Provider(CallResult("failed", error="sms_0x58", retry=passing), CallResult("accepted"))
    n = world.plan(channels=(Channel.SMS,))
    sender = world.sender(drivers={Channel.SMS: sms})
    await world.until(sender, lambda: world.row(n).attempts[0].state == "failed")
    world.later(30_000)
    await world.until(
        world.sender(drivers={Channel.SMS: sms}),
        lambda: world.row(n).state is NotificationState.ACCEPTED,
    )
    assert [c.address for c in sms.calls] == ["+33600000001", "+33600000002"]


async def test_numbers_that_are_all_wrong_are_not_tried_again(world: World) -> None:
    world.open("92", ["sms"])
    reached_by(world, Channel.SMS, "+33600000001", "+33600000002")
    sms = Provider(CallResult("failed", error="sms_invalid"))
    n = world.plan(channels=(Channel.SMS,))
    await world.until(
        world.sender(drivers={Channel.SMS: sms}), lambda: world.row(n).attempts[0].state == "failed"
    )
    world.later(30_000)
    await world.until(
        world.sender(drivers={Channel.SMS: sms}),
        lambda: world.row(n).state is NotificationState.FAILED,
    )
    assert [c.address for c in sms.calls] == ["+33600000001", "+33600000002"]
    assert [a.retry for a in world.row(n).attempts] == [True, False]


class Tried(Provider):
    """One that can be tried silently."""

    def __init__(self, *words: str | Exception | None) -> None:
        super().__init__()
        self.words, self.probes = list(words), 0

    async def probe(self, timeout_s: float) -> str | None:  # noqa: ARG002
        self.probes += 1
        word = self.words.pop(0)
        if isinstance(word, Exception):
            raise word
        return word


def drilled(world: World, realm: str = "92") -> None:
    row = DrillRow(id="2027-03", at=T0, reference="r", rungs=())
    world.put(
        LaddersDrilled(row=row),
        realm,
        place=Place("alerts", partition_of(realm, PARTITION_COUNT), 0, 9, 0),
        place_hash="h",
    )


def probed(world: World) -> list[ProbeRow]:
    facts = [f.message() for t in world.log for f in t.facts]
    return [f.row for f in facts if isinstance(f, ChannelsProbed)]


async def test_a_drill_tests_every_channel_once_without_calls(world: World) -> None:
    mail, sms, voice = Tried(None), Tried("sms_connection"), Tried(RuntimeError("promise broken"))
    drilled(world)
    sender = world.sender(
        drivers={
            Channel.EMAIL: mail,
            Channel.SMS: sms,
            Channel.VOICE: voice,
            Channel.CHAT: Provider(),
        }
    )
    await world.until(sender, lambda: len(probed(world)) == 2)
    initial_drill, done = probed(world)
    assert (initial_drill.done_at, initial_drill.channels) == (None, ())
    assert (done.id, done.asked_at) == ("2027-03", initial_drill.asked_at)
    assert {c.channel.value: c.error or c.outcome for c in done.channels} == {
        "email": "answered",
        "sms": "sms_connection",
        "voice": "driver_error",
        "chat": "no_silent_test",
        "app": "not_configured",
        "webhook": "not_configured",
    }
    assert [mail.probes, sms.probes, voice.probes] == [1, 1, 1]
    assert not any(p.calls for p in (mail, sms, voice))


async def test_a_sender_killed_before_its_result_leaves_the_drill_to_the_next(world: World) -> None:
    drilled(world)
    world.drop = (ProbeOutcome,)
    first = Tried(None)
    await world.until(world.sender(drivers={Channel.EMAIL: first}), lambda: first.probes == 1)
    world.drop = ()
    later = world.sender(drivers={Channel.EMAIL: Tried(None)})
    await world.until(later, lambda: len(probed(world)) == 2 and not later.outbox.probes)


def _only_mail(_realm: str) -> set[Channel]:
    return {Channel.EMAIL}


async def test_a_provider_that_was_configured_since_is_tried_at_the_start_and_answers_for_the_drill(
    world: World,
) -> None:
    """The page said for the rest of the month that no message leaves, while they did."""
    drilled(world)
    await world.until(world.sender(drivers={}), lambda: len(probed(world)) == 2)
    assert all(c.outcome == "not_configured" for c in probed(world)[-1].channels)
    mail = Tried(None)
    later = world.sender(drivers={Channel.EMAIL: mail})
    await world.until(
        later,
        lambda: len(probed(world)) == 3 and later.outbox.list_outdated_tests(_only_mail) == [],
    )
    row = probed(world)[-1]
    assert (row.id, row.asked_at) == (probed(world)[0].id, probed(world)[0].asked_at)
    assert {c.channel for c in row.channels if c.outcome == "answered"} == {Channel.EMAIL}
    attempt_view = create_attempt_view()
    attempt_view.load(later.outbox.dump())
    assert attempt_view.list_outdated_tests(_only_mail) == []
    assert [one.row for one in attempt_view.list_outdated_tests(lambda _realm: {Channel.SMS})] == [
        row
    ]
    assert mail.probes == 1


async def test_channels_that_were_never_tested_are_tested_at_the_start(world: World) -> None:
    """No page said that nobody can be called, until the first drill of the month."""
    world.open("92", ("email",))
    world.open("92~ex-1", ("email",))
    first, second = world.sender(drivers={}), world.sender(drivers={})
    await world.until(first, lambda: bool(first.outbox.proven))
    await world.until(second, lambda: bool(second.outbox.proven))
    (row,) = probed(world)
    assert {c.outcome for c in row.channels} == {"not_configured"}
    assert row.done_at is not None
    assert first.outbox.proven.keys() == {"92"}
    await world.until(
        later := world.sender(drivers={Channel.EMAIL: Tried(None)}), lambda: len(probed(world)) == 2
    )
    assert later.outbox.list_first_tests(T0) == []
    assert {c.outcome for c in probed(world)[-1].channels} == {"answered", "not_configured"}


async def test_senders_of_several_machines_give_their_first_test_one_name(world: World) -> None:
    """Inputs of one name count once."""
    world.open("92", ("email",))
    world.drop = (ProbeOutcome,)
    sender = world.sender(drivers={})
    await world.until(sender, lambda: bool(sender.outbox.list_first_tests(T0)))
    (early,), (late,) = (sender.outbox.list_first_tests(at) for at in (T0, T0 + 1))
    assert early.name == late.name


async def test_the_drill_of_a_simulated_realm_tries_nothing(world: World) -> None:
    world.open("92~ex-7", ["email"])
    drilled(world, "92~ex-7")
    assert probed(world) == []


async def test_two_senders_make_one_call(world: World) -> None:
    n = world.plan()
    one, two = world.sender(), world.sender()
    tasks = [asyncio.create_task(s.run(world.batches())) for s in (one, two)]
    await world.until(world.sender(), lambda: world.row(n).state is NotificationState.ACCEPTED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(world.provider.calls) == 1


async def test_an_exercise_beside_the_live_realm_reaches_no_person(world: World) -> None:
    """A simulated realm cannot reach real people, even if its records come to the sender."""
    world.open("92~ex-7", ["email"])
    exercise = world.plan("n2", realm="92~ex-7")
    live = world.plan("n1")
    await world.until(world.sender(), lambda: world.row(live).state is NotificationState.ACCEPTED)
    assert [c.realm for c in world.provider.calls] == ["92"]
    assert world.row(exercise, "92~ex-7").attempts[0].state == "planned"


async def test_a_channel_without_a_provider_makes_the_person_unreachable(world: World) -> None:
    n = world.plan(channels=(Channel.SMS,))
    await world.until(
        world.sender(drivers={}), lambda: world.row(n).state is NotificationState.FAILED
    )
    assert [(a.channel, a.error) for a in world.row(n).attempts] == [
        (Channel.SMS, "channel_not_configured"),
        (Channel.EMAIL, "channel_not_configured"),
    ]
    assert world.row(n).why == "channel_not_configured"


@pytest.mark.parametrize(("person", "error"), [("ghost", "person_unknown"), ("dgs", "no_address")])
async def test_a_person_without_address_fails_by_name(
    world: World, person: str, error: str
) -> None:
    world.people.contact = Contact(person="dgs")
    n = world.plan(person=person)
    await world.until(world.sender(), lambda: world.row(n).state is NotificationState.FAILED)
    assert world.row(n).why == error
    assert not world.provider.calls


async def test_killed_before_the_claim_the_next_run_sends(world: World) -> None:
    n = world.plan()
    world.drop = (ClaimAttempt,)
    await world.until(world.sender(), lambda: True)
    world.drop = ()
    await world.until(world.sender(), lambda: world.row(n).state is NotificationState.ACCEPTED)
    assert len(world.provider.calls) == 1


async def test_killed_between_grant_and_call_the_next_run_waits_for_the_doubt_and_sends_again_marked(
    world: World,
) -> None:
    n = world.plan()
    dead = world.sender()
    dead.outbox.observe(world.log[-1])
    offer = dead.outbox.to_claim()[0]
    dead.outbox.claiming([offer], "claim")
    world.put(ClaimAttempt(notification=n, attempt=offer.attempt, run=dead.outbox.run))
    await world.until(world.sender(), lambda: True)
    assert not world.provider.calls, "a grant of another run is not ours"
    world.later(45_000)
    world.later(30_000)
    await world.until(world.sender(), lambda: world.row(n).state is NotificationState.ACCEPTED)
    (call,) = world.provider.calls
    assert (call.number, call.possible_duplicate) == (2, True)


async def test_killed_between_call_and_outcome_the_attempt_is_doubted_and_repeated_once(
    world: World,
) -> None:
    n = world.plan()
    world.drop = (AttemptOutcome,)
    await world.until(world.sender(), lambda: bool(world.provider.calls))
    world.drop = ()
    world.later(45_000)
    world.later(30_000)
    await world.until(world.sender(), lambda: world.row(n).state is NotificationState.ACCEPTED)
    assert [(c.number, c.possible_duplicate) for c in world.provider.calls] == [
        (1, False),
        (2, True),
    ]


async def test_offers_of_the_past_are_not_claimed_before_the_end_of_the_log_is_reached(
    world: World,
) -> None:
    n = world.plan()

    async def past() -> AsyncIterator[RecordBatch]:
        yield RecordBatch(list(world.log), caught_up=False)

    await world.sender().run(past())
    assert world.row(n).state is NotificationState.PLANNED


async def test_a_record_read_again_is_not_called_again(world: World) -> None:
    n = world.plan()
    sender = world.sender()
    await world.until(sender, lambda: world.row(n).state is NotificationState.ACCEPTED)
    sender.outbox.forget_offers()
    await world.until(sender, lambda: not sender.outbox.offers)
    assert len(world.provider.calls) == 1


@proves("sender", "clock", note="limits run on a clock that does not jump")
async def test_a_grant_that_comes_after_the_limit_is_not_called_and_tried_again(
    world: World,
) -> None:
    """The limit counts from before the claim was sent, on the sender's own clock."""
    n = world.plan()
    sender = world.sender()
    sender.outbox.observe(world.log[-1])
    offer = sender.outbox.to_claim()[0]
    sender.outbox.claiming([offer], "claim")
    world.put(ClaimAttempt(notification=n, attempt=offer.attempt, run=sender.outbox.run))
    world.now_s += 30
    await world.until(sender, lambda: world.row(n).attempts[0].state == "failed")
    assert world.row(n).attempts[0].error == "limit_passed"
    assert not world.provider.calls
    world.later(30_000)
    await world.until(sender, lambda: world.row(n).state is NotificationState.ACCEPTED)


async def test_a_slow_provider_holds_up_neither_the_log_nor_other_channels(world: World) -> None:
    world.provider.hangs = asyncio.Event()
    quick = Provider()
    slow, fast = world.plan("n1"), world.plan("n2", channels=(Channel.SMS,))
    world.people.contact = Contact(
        person="dgs",
        points=(
            ContactPoint(channel=Channel.EMAIL, address="a@example.org"),
            ContactPoint(channel=Channel.SMS, address="+33100000000"),
        ),
    )
    sender = world.sender(drivers={Channel.EMAIL: world.provider, Channel.SMS: quick})
    await world.until(sender, lambda: world.row(fast).state is NotificationState.ACCEPTED)
    assert world.row(slow).state is NotificationState.ATTEMPTED


async def test_danger_does_not_wait_for_the_calls_of_a_slow_provider(world: World) -> None:
    world.provider.hangs = asyncio.Event()
    for i in range(1, 6):
        world.plan(f"n{i}")
    danger: list[str] = []

    def called() -> bool:
        if not danger and len(world.provider.calls) == 2:
            danger.append(world.plan("n9", danger=True))
        return [c.row.id for c in world.provider.calls[2:]] == danger != []

    await world.until(world.sender(calls_at_once=2), called)


async def test_a_driver_that_breaks_its_promise_is_a_doubt(world: World) -> None:
    n = world.plan()
    world.provider.answers = [RuntimeError("bug"), CallResult("accepted")]
    await world.until(world.sender(), lambda: world.row(n).attempts[0].state == "ambiguous")
    assert world.row(n).attempts[0].error == "driver_error"


@proves("sender", "network", note="no broker")
async def test_claims_and_outcomes_wait_for_a_broker_that_is_away(world: World) -> None:
    n = world.plan()
    world.away = 3
    await world.until(world.sender(), lambda: world.row(n).state is NotificationState.ACCEPTED)
    assert len(world.provider.calls) == 1


async def test_during_a_hold_nothing_is_claimed_but_danger(world: World) -> None:
    hold = HoldSending(
        author="coord-pca", role="coordinator", reason="text:1", until=world.service.clock + 600_000
    )
    waiting = world.plan("n1")
    world.put(hold)
    danger = world.plan("n2", danger=True)
    sender = world.sender()
    await world.until(sender, lambda: world.row(danger).state is NotificationState.ACCEPTED)
    assert world.row(waiting).state is NotificationState.PLANNED
    world.put(ReleaseSending(author="coord-pca", role="coordinator"))
    world.later(1)
    await world.until(sender, lambda: world.row(waiting).state is NotificationState.ACCEPTED)


async def test_a_message_that_cannot_be_made_fails_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = world.plan("n1", template="bad"), world.plan("n2")
    real = messages.compose_message

    def compose(row: NotificationRow, *rest: Any, **more: Any) -> Any:
        if row.template == "bad":
            raise KeyError("template")
        return real(row, *rest, **more)

    monkeypatch.setattr(sender_module, "compose_message", compose)
    await world.until(
        world.sender(),
        lambda: (
            world.row(good).state is NotificationState.ACCEPTED
            and world.row(bad).attempts[0].state == "failed"
        ),
    )
    assert world.row(bad).attempts[0].error == "message_not_made"


def test_the_people_of_a_headcount_are_read_from_the_log_and_kept_between_runs(
    world: World,
) -> None:
    person_ids = {"dgs", "a", "b"}
    people = tuple(
        Called(person=person, channels=(Channel.EMAIL,)) for person in sorted(person_ids)
    )
    by: dict[str, Any] = {"author": "c", "role": "coordinator", "callout": "h1"}
    world.put(
        DraftCallOut(
            **by,
            kind="headcount",
            sites=("cen-1", "cen-2"),
            danger=True,
            answer_expected=True,
            channels=(Channel.EMAIL,),
            people=people,
            last=True,
        )
    )
    world.put(StartCallOut(**by))
    world.service.clock += 1
    world.put(Tick())
    first, second = world.sender().outbox, world.sender().outbox
    for transaction in world.log:
        first.observe(transaction)
    headcount = first.headcounts["h1"]
    assert (headcount.sites, headcount.over, headcount.persons) == (
        ("cen-1", "cen-2"),
        False,
        person_ids,
    )
    assert sorted(headcount.notifications.values()) == sorted(person_ids)
    second.load(json.loads(json.dumps(first.dump())))
    assert second.headcounts == first.headcounts


def test_kept_state_offers_the_same_attempts_without_claims(world: World) -> None:
    world.plan("n1")
    world.put(
        HoldSending(
            author="c", role="coordinator", reason="text:1", until=world.service.clock + 600_000
        )
    )
    first = world.sender()
    for transaction in world.log:
        first.outbox.observe(transaction)
    names = MessageNames(
        levels={3: "Crise"},
        sites={"cen-1": ("Centre", "Nanterre")},
        meeting_points=(MeetingPoint(name="Salle A", site="cen-1"),),
    )
    first.outbox.names["92"] = names
    second = world.sender()
    second.outbox.load(json.loads(json.dumps(first.outbox.dump())))
    assert second.outbox.offers == first.outbox.offers
    assert second.outbox.names == {"92": names}
    assert second.outbox.to_claim() == []
    world.put(ReleaseSending(author="c", role="coordinator"))
    second.outbox.observe(world.log[-1])
    assert len(second.outbox.to_claim()) == 1


async def test_a_call_out_carries_the_text_of_the_cell_until_its_erasure() -> None:
    world = World()
    world.open("92", ("email",))
    world.texts["t-1"] = TextItem({"text": "Le site est fermé, restez chez vous."})
    for id, text in (("c1", "t-1"), ("c2", "t-gone")):
        command = DraftCallOut(
            author="coord-pca",
            role="coordinator",
            callout=id,
            text_id=text,
            channels=(Channel.EMAIL,),
            people=(Called(person="dgs", channels=(Channel.EMAIL,)),),
            last=True,
        )
        world.put(command)
        world.put(StartCallOut(author="coord-pca", role="coordinator", callout=id))
        world.service.clock += 10
        world.put(Tick())

    def rows() -> list[NotificationRow]:
        return [r for r in world.service.state("92").notifications.values() if r.campaign]

    await world.until(
        world.sender(),
        lambda: len(rows()) == 2 and all(r.attempts and r.attempts[-1].ended_at for r in rows()),
    )
    assert [o.text.lines[-1] for o in world.provider.calls] == [
        "Le site est fermé, restez chez vous."
    ]
    assert {(r.campaign, r.state, r.attempts[0].error) for r in rows()} == {
        ("c1", "accepted", None),
        ("c2", "failed", "text_erased"),
    }
