"""The real delivery process on a real broker: planned → mail → log, and killed at every point."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope

from schemas.base import Message
from schemas.calling import NotificationPlanned
from schemas.commands import AnswerNotification
from schemas.delivery import NotificationChanged, NotificationRow
from schemas.people.directory import Contact, ContactPoint
from schemas.people.replies import ARRIVED_TEXT_PREFIX, TEXT_PART_PREFIX, TextReading
from schemas.reference import (
    ChannelRule,
    ChannelRules,
    ChannelsSection,
    ReferencePublished,
    Roster,
    RosterSection,
)
from schemas.runtime import RealmOpened
from schemas.topics import PARTITION_COUNT, live_partitions, partition_of, urgent_topic
from schemas.wire import Place
from schemas.words import Answer, Channel, Level, NotificationState
from services.appliance.embedded.kafka import RunningKafka
from services.runtime.decider.inputs import InputMarks
from services.runtime.identity.signed_links import AnswerLinks, derive_answer_id
from services.runtime.kafka.clients import (
    RecordProducer,
    build_headers,
    choose_partition,
    encode_message,
)
from services.runtime.log.reader import LogReader
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import find_free_ports
from services.runtime.secrets.vault import TextItem, Vault
from services.verify.auditor.auditor import Auditor
from tests import forked
from tests.faults.matrix import proves
from tests.integration.delivery.ovh import TOKEN, OvhApi
from tests.integration.delivery.smsc import Smsc, running_smsc
from tests.integration.intake.conftest import FrontProcess, records
from tests.waiting import eventually

ADDRESS = "dgs@example.org"
NUMBER = "+33612345678"
PATIENCE_S = 120
"""Also for a machine that is busy with other tests."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


ENDS = (NotificationState.ACCEPTED, NotificationState.FAILED, NotificationState.AMBIGUOUS)
"""Results of an attempt; a machine busy beyond the limit of a call abandons it and records that."""
Process = forked.Process
ROSTER = Roster(holders=(), channels={"dgs": ("sms", "email", "webhook")})


@dataclass
class World:
    """A mailbox, a webhook, a directory of one person, and delivery processes."""

    settings: Settings
    producer: RecordProducer
    vault: Vault
    smtp: str
    hook: str
    realm: str = "92"
    mails: list[tuple[str, int]] = field(default_factory=list)
    """(Message-ID, number of the attempt) of every mail that the relay took."""
    hooks: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[str, NotificationRow] = field(default_factory=dict)
    """The read model: last row per id."""
    mine: set[str] = field(default_factory=set)
    """Planned by the storm of kills."""
    changes: list[str] = field(default_factory=list)
    """Ids of the rows in the order in which they changed."""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert envelope.rcpt_tos == [ADDRESS]
        self.mails.append((str(mail["Message-ID"]), int(mail["X-Vigie-Attempt"])))
        return "250 2.0.0 queued"

    async def handle_hook(self, request: web.Request) -> web.Response:
        self.hooks.append(json.loads(await request.read())["data"])
        return web.Response(status=204)

    async def put(
        self, message: Message, id: str = "", realm: str = "", place: Place | None = None
    ) -> None:
        topic, key = "delivery.inputs", realm or self.realm
        headers = build_headers(
            message.wire_type(),
            id=id or str(uuid4()),
            source="/test",
            at=1_802_340_000_000 if realm else None,
            place=place,
            place_hash="0" * 32 if place else None,
        )
        await self.producer.send_raw(
            topic, choose_partition(topic, key), key.encode(), encode_message(message), headers
        )

    async def open(self, realm: str) -> None:
        """Send the forwarded facts of an opened realm with its roster."""
        opened = RealmOpened(
            territory="92", title_code="t", started_at=1_802_340_000_000, lineage=realm
        )
        other = "" if realm == self.realm else realm
        number = 1 if realm == self.realm else 2  # several realms share a partition
        await self.put(
            opened,
            f"open-{realm}",
            realm,
            Place("alerts", partition_of(realm, PARTITION_COUNT), 0, number, 0),
        )
        roster = RosterSection(roster=ROSTER)
        await self.put(ReferencePublished(reference="r", data=roster, last=True), realm=other)

    async def plan(self, realm: str = "", **changes: Any) -> str:
        notification = str(uuid4())
        planned: dict[str, Any] = {
            "notification": notification,
            "level": Level.N3,
            "role": "dgs",
            "person": "dgs",
            "channels": (Channel.EMAIL,),
            "template": "incident_wave",
            "planned_at": 1_802_340_000_000,
            **changes,
        }
        await self.put(NotificationPlanned(**planned), realm=realm)
        return notification

    async def doubt_briefly(self) -> None:
        """Return rules with doubts of some seconds."""
        rules = ChannelRules(
            channels=tuple(_quick(channel) for channel in (Channel.EMAIL, Channel.WEBHOOK))
        )
        for data in (ChannelsSection(rules=rules), RosterSection(roster=ROSTER)):
            await self.put(
                ReferencePublished(
                    reference="quick", data=data, last=isinstance(data, RosterSection)
                )
            )

    async def start(self, failpoint: str = "", **more: str) -> Process:
        """Start a delivery process."""
        environment = os.environ | {
            "VIGIE_DATA_DIR": str(self.settings.data_dir),
            "VIGIE_KAFKA": self.settings.kafka,
            "VIGIE_INSTANCE": "delivery-0",
            "VIGIE_SMTP_URL": self.smtp,
            "VIGIE_MAIL_FROM": "vigie@example.net",
            "VIGIE_WEBHOOK_SECRET": SECRET,
            "VIGIE_PUBLIC_URL": "https://vigie.example",
            "VIGIE_FAILPOINT": failpoint,
            **more,
        }
        log = self.settings.data_dir / f"delivery-{failpoint or 'whole'}.log"
        return await asyncio.to_thread(
            forked.start, "services.delivery", environment=environment, log=log
        )

    @asynccontextmanager
    async def delivery(self, failpoint: str = "", **more: str) -> AsyncIterator[Process]:
        """Run a delivery process and stop it in the end."""
        process = await self.start(failpoint, **more)
        try:
            yield process
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 15)

    async def died(self, failpoint: str) -> str:
        """Plan one notification for a process that dies at the failpoint; returns the notification."""
        async with self.delivery(failpoint) as process:
            notification = await self.plan()
            assert await asyncio.to_thread(process.wait, PATIENCE_S) == -9, failpoint
        return notification

    async def state(
        self, notification: str, *states: NotificationState, timeout_s: float = PATIENCE_S
    ) -> NotificationRow:
        await eventually(
            lambda: notification in self.rows and self.rows[notification].state in states, timeout_s
        )
        return self.rows[notification]

    async def words(self, more: int) -> None:
        """Wait until the log has so many more records, or is complete."""
        until = len(self.changes) + more
        await eventually(lambda: len(self.changes) >= until or self._idle(), PATIENCE_S)

    def _idle(self) -> bool:
        return self.mine <= {id for id, row in self.rows.items() if row.state in ENDS}

    async def follow(self) -> None:
        """Fold the log into the read model, for ever."""
        async with LogReader(self.settings.kafka, "delivery") as reader:
            async for accepted in reader:
                for fact in accepted.transaction.facts:
                    if fact.name == "NotificationChanged":
                        row = NotificationChanged.model_validate(fact.data).row
                        self.rows[row.id] = row
                        self.changes.append(row.id)


@pytest.fixture(scope="module")
def own_settings(start_broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Start a broker of its own, without other writers in live realms."""
    broker: RunningKafka = asyncio.run(start_broker())
    settings = Settings(data_dir=tmp_path_factory.mktemp("delivery") / "data", kafka=broker.address)
    settings.data.make()
    return settings


@pytest.fixture
async def world(own_settings: Settings) -> AsyncIterator[World]:
    settings = own_settings
    async with (
        RecordProducer(settings.kafka, InputMarks.open(settings.data.secrets)) as producer,
        Vault.open(settings) as vault,
    ):
        made = World(settings, producer, vault, "", "")
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(made, hostname="relay.example.net", loop=asyncio.get_running_loop()),
            "127.0.0.1",
            0,
        )
        app = web.Application()
        app.router.add_post("/hook", made.handle_hook)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.smtp = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        made.hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        points = (
            ContactPoint(channel=Channel.EMAIL, address=ADDRESS),
            ContactPoint(channel=Channel.WEBHOOK, address=made.hook),
            ContactPoint(channel=Channel.SMS, address=NUMBER),
        )
        await vault.directory.of("92").put(Contact(person="dgs", points=points))
        following = asyncio.create_task(made.follow())
        await made.open(made.realm)
        yield made
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await runner.cleanup()
        server.close()


async def test_planned_messages_are_sent_and_answered_and_an_exercise_reaches_no_person(
    world: World,
) -> None:
    """Another live realm, where one person has the same token, rings nobody of this one."""
    for realm in ("92~ex-7", "93"):
        await world.open(realm)
    exercise, abroad = await world.plan("92~ex-7"), await world.plan("93")
    async with world.delivery():
        notification = await world.plan()
        row = await world.state(notification, NotificationState.ACCEPTED)
        assert world.mails == [(row.attempts[0].provider_id, 1)]
        await world.state(exercise, NotificationState.PLANNED)
        row = await world.state(abroad, NotificationState.FAILED)
        assert row.attempts[0].error == "person_unknown"
        sms = await world.plan(channels=(Channel.SMS,))
        row = await world.state(sms, NotificationState.ACCEPTED)
        assert [(a.channel, a.error) for a in row.attempts] == [
            (Channel.SMS, "channel_not_configured"),
            (Channel.EMAIL, None),
        ]
        answer = AnswerNotification(
            author="dgs",
            role="dgs",
            notification=notification,
            person="dgs",
            answer=Answer.ACK,
            channel="link",
        )
        for _ in range(2):  # a link works once
            await world.put(answer, id=derive_answer_id("token"))
        row = await world.state(notification, NotificationState.ANSWERED)
        assert row.answer == "ack"
    assert len(world.mails) == 2
    assert world.rows[exercise].attempts[0].state == "planned"
    assert AnswerLinks.open(world.settings.data.secrets)  # the console reads the same key


async def test_an_sms_goes_out_is_received_and_answered_over_smpp(world: World) -> None:
    async with running_smsc() as smsc:
        address = f"smpp://vigie:secret@127.0.0.1:{smsc.port}"
        async with world.delivery(VIGIE_SMS_URL=address, VIGIE_SMS_SENDER="38000") as process:
            await smsc.saw("bind")
            notification = await world.plan(channels=(Channel.SMS,))
            submission = await smsc.saw("submit")
            assert submission["destination"] == NUMBER.removeprefix("+")
            smsc.tell(do="receipt", id=submission["id"], state="DELIVRD", err="000", tlv=True)
            assert (await smsc.saw("receipt_answered"))["status"] == 0
            row = await world.state(notification, NotificationState.RECEIVED)
            assert row.attempts[0].provider_id == submission["id"]
            smsc.tell(do="reply", source=NUMBER.removeprefix("+"), text="1")
            row = await world.state(notification, NotificationState.ANSWERED)
            assert row.answer == "ack"
            assert process.poll() is None
        assert smsc.of("unbind")


async def test_the_sender_of_a_text_from_the_field_is_answered_once(world: World) -> None:
    """Two front processes may store the same text again while delivery reads it."""
    item = TextItem(
        {
            "from": NUMBER,
            "words": "il y a le feu au collège",
            "at": time.time_ns() // 1_000_000,
            "realms": (),
            "reading": TextReading.PLACE_MISSING.value,
            "site": None,
            "may_answer": True,
            "type": "fire",
            "danger": True,
        }
    )
    async with running_smsc() as smsc:
        address = f"smpp://vigie:secret@127.0.0.1:{smsc.port}"
        async with world.delivery(VIGIE_SMS_URL=address, VIGIE_SMS_SENDER="38000"):
            await smsc.saw("bind")
            for id in ("reply-a", "reply-a", "reply-b"):
                await world.vault.texts.put(id, item)
                await eventually(lambda: world.vault.texts.ids("reply-") == [], PATIENCE_S)

            def questions() -> list[str]:
                """Return the receivers; an earlier test may have left another message."""
                submissions = smsc.of("submit")
                return [s["destination"] for s in submissions if "Quel site ?" in s["text"]]

            await eventually(lambda: len(questions()) >= 2, PATIENCE_S)
        assert questions() == [NUMBER.removeprefix("+")] * 2

    def people() -> list[str | None]:
        return [r.person for r in world.rows.values() if r.template == "text_without_place"]

    await eventually(lambda: people() == ["dgs", "dgs"], PATIENCE_S)


class RunningOvh(OvhApi):
    """OVH with a running clock."""

    async def handle(self, request: web.Request) -> web.Response:
        self.now = datetime.now(UTC)
        return await super().handle(request)


@pytest.fixture
async def reporting(world: World) -> AsyncIterator[World]:
    """Run the front of the same installation, for a person with a verified number."""
    point = ContactPoint(channel=Channel.SMS, address=NUMBER, verified_at=1)
    await world.vault.directory.of("92").put(Contact(person="dgs", points=(point,)))
    settings = world.settings
    port = find_free_ports(1)[0]
    front = FrontProcess(settings.data_dir, settings.kafka, port, "127.0.0.1:9", {})
    front.start()
    try:
        await front.accepting()
        yield world
    finally:
        front.stop()


async def list_fires(world: World) -> list[tuple[str, str]]:
    """Return id and site of the reports of a fire that the front accepted."""
    log = await records(world.settings.kafka, urgent_topic("alerts"), "92")
    inputs = [(dict(record.headers)["ce_id"].decode(), json.loads(record.value)) for record in log]
    return [(id, body["site_id"]) for id, body in inputs if body.get("type") == "fire"]


async def read_last_description(world: World) -> str:
    """Return the words of the newest report of a fire."""
    log = await records(world.settings.kafka, urgent_topic("alerts"), "92")
    fires = [body for record in log if (body := json.loads(record.value)).get("type") == "fire"]
    item = await world.vault.texts.get(fires[-1]["text_id"])
    assert item is not None
    return str(item.fields["description"])


async def settle_texts(world: World) -> None:
    """Return once the front and delivery have read all texts."""
    texts = world.vault.texts

    async def is_read() -> bool:
        ids = [*texts.ids(ARRIVED_TEXT_PREFIX), *texts.ids(TEXT_PART_PREFIX)]
        items = [await texts.get(id) for id in ids]
        is_accepted = not any(item is not None and len(item.fields) > 2 for item in items)
        return bool(items) and is_accepted and not texts.ids("reply-")

    await eventually(is_read, PATIENCE_S)


def list_text_answers(world: World) -> list[str]:
    rows = [row for row in world.rows.values() if row.template == "text_received"]
    return [str(row.values["site"]) for row in rows]


async def test_a_danger_by_ovh_is_one_report_with_one_answer_though_delivery_dies(
    reporting: World,
) -> None:
    api = RunningOvh(datetime.now(UTC))
    api.answers = {7: {"id": 7, "sender": NUMBER, "message": "269 FEU", "tag": "", "credits": 0}}
    before, answers = await list_fires(reporting), list_text_answers(reporting)
    async with api.running() as url:
        more = {
            "VIGIE_SMS_URL": url,
            "VIGIE_SMS_SENDER": "38000",
            "VIGIE_SMS_TOKEN": TOKEN,
            "VIGIE_SMS_RECEIPTS": "poll",
        }
        async with reporting.delivery("after-text", **more) as process:
            assert await asyncio.to_thread(process.wait, PATIENCE_S) == -9
        async with reporting.delivery(**more):
            await eventually(lambda: api.asked.count("/incoming/7") == 2, PATIENCE_S)
            await eventually(lambda: len(api.taken) > 0, PATIENCE_S)
            await settle_texts(reporting)
    assert [site for _, site in (await list_fires(reporting))[len(before) :]] == ["clg-0922629H"]
    assert list_text_answers(reporting)[len(answers) :] == ["clg-0922629H"]
    (job,) = api.taken.values()
    assert job["receivers"] == [NUMBER]
    assert "signalement recu : incendie" in job["message"]


async def tell_until_stored(smsc: Smsc, text: dict[str, Any]) -> None:
    """Send a text until delivery answers that it is stored."""
    status = -1
    while status != 0:
        count = len(smsc.of("reply_answered"))
        smsc.tell(**text)
        status = (await smsc.saw("reply_answered", count + 1))["status"]


async def tell_until_death(smsc: Smsc, process: Process, text: dict[str, Any]) -> None:
    """Send a text until delivery dies; before it has read the log, it asks to repeat it."""
    await smsc.saw("bind")
    smsc.tell(**text)
    while process.poll() is None:
        answered = len(smsc.of("reply_answered"))
        await eventually(
            lambda n=answered: (  # type: ignore[misc]
                process.poll() is not None or len(smsc.of("reply_answered")) > n
            ),
            PATIENCE_S,
        )
        if process.poll() is None:
            smsc.tell(**text)
    assert process.wait(0) == -9


async def test_a_danger_by_smpp_is_one_report_with_one_answer_though_delivery_dies(
    reporting: World,
) -> None:
    before, answers = await list_fires(reporting), list_text_answers(reporting)
    async with AsyncExitStack() as stack:
        smsc = await stack.enter_async_context(running_smsc())
        address = f"smpp://vigie:secret@127.0.0.1:{smsc.port}"
        more = {"VIGIE_SMS_URL": address, "VIGIE_SMS_SENDER": "38000"}
        text = {"do": "reply", "source": NUMBER.removeprefix("+"), "text": "FEU 101"}
        async with reporting.delivery("after-text", **more) as process:
            await tell_until_death(smsc, process, text)
        assert all(event["status"] != 0 for event in smsc.of("reply_answered"))
        await stack.enter_async_context(reporting.delivery(**more))
        await smsc.saw("submit")
        smsc.tell(**text)
        await eventually(lambda: smsc.of("reply_answered")[-1]["status"] == 0, PATIENCE_S)
        await settle_texts(reporting)
        assert len(smsc.of("submit")) == 1
    assert [site for _, site in (await list_fires(reporting))[len(before) :]] == ["cen-1"]
    assert list_text_answers(reporting)[len(answers) :] == ["cen-1"]


async def test_a_long_text_by_smpp_is_one_report_though_delivery_dies_between_its_parts(
    reporting: World,
) -> None:
    """The cut is within a character of two UTF-16 units, as handsets cut."""
    words = "FEU 101 dans la cuisine du rez-de-chaussée 🔥 nous sortons tous par la rue"
    octets, before = words.encode("utf-16-be"), await list_fires(reporting)
    cut = 2 * words.index("🔥") + 2
    first, rest = (
        {
            "do": "reply",
            "source": NUMBER.removeprefix("+"),
            "hex": part.hex(),
            "coding": 8,
            "header": [0, 3, 77, 2, number],
        }
        for number, part in ((1, octets[:cut]), (2, octets[cut:]))
    )
    async with running_smsc() as smsc:
        more = {
            "VIGIE_SMS_URL": f"smpp://vigie:secret@127.0.0.1:{smsc.port}",
            "VIGIE_SMS_SENDER": "38000",
        }
        async with reporting.delivery("after-text", **more) as process:
            await tell_until_death(smsc, process, rest)
        async with reporting.delivery(**more):
            await smsc.saw("bind", 2)
            for part in (rest, first, rest):
                await tell_until_stored(smsc, part)
            await settle_texts(reporting)
    ((_, site),) = (await list_fires(reporting))[len(before) :]
    assert site == "cen-1"
    assert await read_last_description(reporting) == words


async def test_the_auditor_finds_no_breach_in_the_logs_of_these_tests(world: World) -> None:
    async with world.delivery():
        await world.state(await world.plan(), NotificationState.ACCEPTED)
        auditor = Auditor(
            world.settings.kafka, "redis://127.0.0.1:1/0"
        )  # a store that is away is no breach
        try:
            async for verdict in auditor.verdicts():
                if verdict.state != "reading":
                    break
        finally:
            await auditor.close()
    assert (verdict.state, verdict.breaches) == ("green", ())


KILL_POINTS = ("before-claim", "after-claim", "before-call", "after-call", "after-outcome")


@proves("sender", "kill", doubled="said")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "points",
    [("after-claim", "after-call"), pytest.param(KILL_POINTS, marks=pytest.mark.soak)],
    ids=len,
)
async def test_kills_at_points_of_the_sender_forget_no_person_and_repeat_no_call(
    world: World, points: tuple[str, ...]
) -> None:
    """A restarted process may die on the remains of an earlier one.

    The pairing of attempts and kills varies, the promise does not.
    """
    await world.doubt_briefly()
    notifications = [await world.died(point) for point in points]
    async with world.delivery():
        rows = [await world.state(n, NotificationState.ACCEPTED) for n in notifications]
    calls = [*world.mails, *((h["notification"], h["attempt"]) for h in world.hooks)]
    assert len(calls) == len(set(calls)), "an attempt was called twice"
    for row in rows:
        called_numbers = [number for id, number in calls if row.id in id]
        made = [a.number for a in row.attempts if a.state == "accepted"]
        doubted = [a.number for a in row.attempts if a.state == "ambiguous"]
        assert set(made) <= set(called_numbers) <= {*made, *doubted}
        assert all(a.possible_duplicate for a in row.attempts if doubted and a.number > doubted[0])
    assert any(a.state == "ambiguous" for row in rows for a in row.attempts), (
        "a kill between claim and outcome leaves a doubt"
    )
    bookmark = next(world.settings.data.run.glob("sender-*.json"))
    assert set(json.loads(bookmark.read_bytes())["positions"]) == {
        str(p) for p in live_partitions(PARTITION_COUNT)
    }


@proves("sender", "kill", doubled="said")
@proves("sender", "stop", doubled="said")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("kills", "seed"), [(3, 6), pytest.param(200, 200, marks=pytest.mark.soak)]
)
async def test_random_kills_and_standstills_forget_no_person_and_send_only_planned_messages(
    world: World, kills: int, seed: int
) -> None:
    """SIGKILL, or SIGSTOP past the limit of a claim, at a random record of the log.

    Seeded, with new notifications all the time; both faults come.
    """
    rnd = random.Random(seed)
    await world.doubt_briefly()
    planned: list[str] = []
    process = await world.start()
    faults: set[str] = set()
    for _ in range(kills):
        planned += [
            await world.plan(channels=(rnd.choice((Channel.EMAIL, Channel.WEBHOOK)),))
            for _ in range(rnd.randint(3, 6))
        ]
        world.mine |= set(planned)
        await world.words(rnd.randint(0, 9))
        if rnd.random() < 0.2:
            faults.add("standstill")
            process.send_signal(signal.SIGSTOP)
            await passed(_LIMIT_S + 1)
            process.send_signal(signal.SIGCONT)
        else:
            faults.add("kill")
            process.kill()
            await asyncio.to_thread(process.wait)
            process = await world.start()
    assert faults == {"kill", "standstill"}
    try:
        rows = [await world.state(n, *ENDS, timeout_s=3 * PATIENCE_S) for n in planned]
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)
    calls = [(re.findall(r"[0-9a-f-]{36}", id)[0], number) for id, number in world.mails]
    calls += [(h["notification"], h["attempt"]) for h in world.hooks]
    calls = [call for call in calls if call[0] in planned]
    assert len(calls) == len(set(calls)), "an attempt was called twice"
    for row in rows:
        called_numbers = {number for id, number in calls if id == row.id}
        accepted_numbers = {a.number for a in row.attempts if a.state == "accepted"}
        doubted = {a.number for a in row.attempts if a.state == "ambiguous"}
        assert accepted_numbers <= called_numbers <= accepted_numbers | doubted, (
            "told by what the log says, or by an attempt that it calls doubtful"
        )
        assert all(
            a.possible_duplicate for a in row.attempts if doubted and a.number > min(doubted)
        ), "a repetition says that it may be one"
    strangers = {id for id, _ in world.mails if not any(n in id for n in world.rows)} | {
        h["notification"] for h in world.hooks
    } - set(world.rows)
    assert strangers == set(), "sent, and never planned"
    assert any(row.state is NotificationState.ACCEPTED for row in rows)


async def passed(seconds: float) -> None:
    """Return the real length of a standstill."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    await eventually(lambda: clock() > until, PATIENCE_S)


_LIMIT_S = 5
"""Time limit of a call in tests that kill processes."""


def _quick(channel: Channel) -> ChannelRule:
    """Shorten a doubt to ten seconds."""
    return ChannelRule(
        channel=channel,
        per_minute=6_000,
        burst=100,
        doubt="at_least_once",
        limit_s=_LIMIT_S,
        grace_s=5,
        tries=5,
    )
