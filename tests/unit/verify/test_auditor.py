"""The auditor's open items close with later records; an item that stays open is a breach."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import pytest

from schemas.calling import NotificationPlanned
from schemas.callouts import Called, DraftCallOut, StartCallOut
from schemas.delivery import AttemptOutcome, ClaimAttempt
from schemas.reference import ReferencePublished, Roster, RosterSection
from schemas.runtime import RealmOpened, Tick
from schemas.topics import PARTITION_COUNT, is_published, list_destinations, partition_of
from schemas.wire import Place
from schemas.words import Channel, Level
from services.delivery.decider import DeliveryDecider
from services.runtime.log.transaction import Transaction
from services.runtime.testing import MemoryService
from services.verify.auditor.open_items import Breach, OpenItems
from services.verify.auditor.verdict import (
    ALARM_INTERVAL_S,
    HEARTBEAT_INTERVAL_S,
    Judge,
    OutsideReporter,
    Verdict,
)

T0 = 1_802_340_000_000
PARTITION = partition_of("92", PARTITION_COUNT)
HOUR = 3_600_000


@dataclass
class Delivery:
    """A real delivery log, fed to the books as raw records."""

    service: MemoryService[Any] = field(
        default_factory=lambda: MemoryService(DeliveryDecider(), clock=T0)
    )
    books: OpenItems = field(
        default_factory=lambda: OpenItems(PARTITION, list_destinations, is_published)
    )
    offset: int = 0
    said: int = 0

    def __post_init__(self) -> None:
        opened = RealmOpened(territory="92", title_code="t", started_at=T0, lineage="92")
        self.put(opened, place=Place("alerts", PARTITION, 0, 1, 0), place_hash="h")
        roster = RosterSection(roster=Roster(holders=(), channels={"dgs": ("sms", "email")}))
        self.put(ReferencePublished(reference="r", data=roster, last=True))

    def put(self, message: Any, *, id: str = "", **envelope: Any) -> Transaction:
        self.said += 1
        tx = self.service.feed("92", message, id=id or f"in-{self.said}", **envelope)
        self.read(tx.dump())
        self.books.arrived.clear()  # alerts' log is not part of this test
        return tx

    def read(self, raw: bytes) -> None:
        self.books.feed("delivery", self.offset, raw, json.loads(raw), T0)
        self.offset += 1

    def plan(self, **changes: Any) -> str:
        planned = {
            "notification": f"8f0f6a8e-0000-5000-8000-{self.said:012}",
            "level": Level.N3,
            "role": "dgs",
            "person": "dgs",
            "channels": (Channel.SMS,),
            "template": "incident_wave",
            "planned_at": self.service.clock,
            **changes,
        }
        self.put(NotificationPlanned(**planned))
        return str(planned["notification"])

    def attempt(self, notification: str) -> str:
        return str(self.service.state("92").notifications[notification].attempts[-1].id)

    def breaches(self, now: int, ends: dict[str, int] | None = None) -> list[str]:
        return [b.law for b in self.books.breaches(now, ends or {})]


def test_a_system_at_rest_leaves_no_open_item() -> None:
    d = Delivery()
    notification = d.plan()
    assert d.books.moving
    attempt = d.attempt(notification)
    d.put(ClaimAttempt(notification=notification, attempt=attempt, run="r"))
    assert d.books.claims
    d.put(AttemptOutcome(notification=notification, attempt=attempt, run="r", outcome="failed"))
    second = d.attempt(notification)
    d.put(ClaimAttempt(notification=notification, attempt=second, run="r"))
    d.put(AttemptOutcome(notification=notification, attempt=second, run="r", outcome="accepted"))
    assert (d.books.moving, d.books.claims, d.books.granted) == ({}, {}, {})
    assert d.breaches(T0 + HOUR) == []


def test_a_claim_without_outcome_and_a_deadline_that_never_fires_are_breaches() -> None:
    d = Delivery()
    notification = d.plan()
    d.put(ClaimAttempt(notification=notification, attempt=d.attempt(notification), run="r"))
    assert d.breaches(T0 + 60_000) == []
    assert set(d.breaches(T0 + HOUR)) == {"claim", "notification", "due"}
    d.service.clock = T0 + HOUR
    d.put(Tick())
    assert "claim" not in d.breaches(T0 + HOUR)


def test_an_unclaimed_message_is_a_breach_unless_it_waits_in_the_queue() -> None:
    d = Delivery()
    d.plan()
    assert d.breaches(T0 + HOUR) == ["notification"]
    waiting = Delivery()
    people = tuple(Called(person=f"p{n}", channels=(Channel.SMS,)) for n in range(100))
    waiting.put(
        DraftCallOut(
            author="c",
            role="coordinator",
            callout="c1",
            text_id="t",
            channels=(Channel.SMS,),
            people=people,
            last=True,
        )
    )
    waiting.put(StartCallOut(author="c", role="coordinator", callout="c1"))
    waiting.service.clock += 10
    waiting.put(Tick())
    assert sum("paced" in m.state for m in waiting.books.moving.values()) > 50
    late = [b.what for b in waiting.books.breaches(waiting.service.clock + 200_000, {})]
    assert late
    assert not any("paced" in what for what in late)


def test_a_forged_record_is_ignored_and_a_reader_that_believed_it_is_named() -> None:
    d = Delivery()
    before = d.books.chain("delivery")
    seq, head = before.seq, before.head
    forged = json.loads(d.service.feed("92", Tick(), id="x").dump())
    forged["prev"] = "0" * 32
    d.read(json.dumps(forged).encode())
    assert (d.books.chain("delivery").seq, d.books.chain("delivery").ignored) == (seq, 1)
    d.books.compare("delivery", "projector", seq, head)
    assert d.breaches(T0) == []
    d.books.compare("delivery", "projector", seq, "f" * 32)
    assert d.breaches(T0) == ["reader"]


def record(
    service: str,
    seq: int,
    prev: str,
    offset: int,
    facts: list[dict[str, Any]],
    place: str | None = None,
    **more: Any,
) -> bytes:
    src = {
        "topic": f"{service}.inputs",
        "partition": PARTITION,
        "offset": offset,
        "id": f"i{offset}",
        "type": "vigie.Tick.v1",
        "place": place,
    }
    return json.dumps(
        {
            "seq": seq,
            "prev": prev,
            "logic": 1,
            "history": 0,
            "realm": "92",
            "src": src | more,
            "at": T0,
            "facts": facts,
            "next_due": None,
        }
    ).encode()


def planned_fact(id: str) -> dict[str, Any]:
    return {
        "type": "vigie.NotificationPlanned.v1",
        "id": id,
        "at": T0,
        "data": {"notification": "n"},
    }


def test_a_fact_that_does_not_arrive_or_comes_from_nowhere_is_a_breach() -> None:
    books = OpenItems(PARTITION, list_destinations, is_published)
    raw = record("alerts", 1, "0" * 32, 0, [planned_fact("f1")])
    books.feed("alerts", 0, raw, json.loads(raw), T0)
    assert [b.law for b in books.breaches(T0 + HOUR, {})] == ["forward"]
    row = {
        "type": "vigie.NotificationChanged.v1",
        "id": "x",
        "at": T0,
        "data": {"row": {"id": "n", "state": "failed", "attempts": []}},
    }
    raw = record("delivery", 1, "0" * 32, 0, [row], f"alerts/{PARTITION}/0/1/0", id="f1")
    books.feed("delivery", 0, raw, json.loads(raw), T0)
    assert list(books.breaches(T0 + HOUR, {})) == []
    stranger = record(
        "delivery", 2, books.chain("delivery").head, 1, [row], f"alerts/{PARTITION}/0/2/0", id="f2"
    )
    books.feed("delivery", 1, stranger, json.loads(stranger), T0)
    assert [b.law for b in books.breaches(T0 + HOUR, {})] == ["forward"]


def test_a_fact_that_is_read_before_its_source_is_no_stranger() -> None:
    books = OpenItems(PARTITION, list_destinations, is_published)
    row = {
        "type": "vigie.NotificationChanged.v1",
        "id": "x",
        "at": T0,
        "data": {"row": {"id": "n", "state": "failed", "attempts": []}},
    }
    raw = record("delivery", 1, "0" * 32, 0, [row], f"alerts/{PARTITION}/0/1/0", id="f1")
    books.feed("delivery", 0, raw, json.loads(raw), T0)
    source = record("alerts", 1, "0" * 32, 0, [planned_fact("f1")])
    books.feed("alerts", 0, source, json.loads(source), T0)
    assert list(books.breaches(T0 + HOUR, {})) == []


ROW = {
    "type": "vigie.NotificationChanged.v1",
    "id": "x",
    "at": T0,
    "data": {"row": {"id": "n", "state": "failed", "attempts": []}},
}
REBASED = {"type": "vigie.Rebased.v1", "id": "r", "at": T0, "data": {"next_offset": 1}}


def in_history(raw: bytes, history: int) -> bytes:
    return json.dumps(json.loads(raw) | {"history": history}).encode()


def fed(books: OpenItems, *records: tuple[str, Callable[[str], bytes]]) -> list[str]:
    """Return the laws broken an hour after reading these records (service, record after a head)."""
    for service, make in records:
        chain = books.chain(service)
        raw = make(chain.head)
        books.feed(service, chain.offset, raw, json.loads(raw), T0)
    return [b.law for b in books.breaches(T0 + HOUR, {})]


def test_after_a_restore_too_a_fact_may_be_read_before_its_source_but_not_come_from_nowhere() -> (
    None
):
    """Logs are read beside each other: which of two records comes first is chance."""
    books = OpenItems(PARTITION, list_destinations, is_published)
    rebased = [
        (s, lambda head, s=s: in_history(record(s, 1, head, 0, [REBASED]), 1))
        for s in ("alerts", "delivery")
    ]
    arrival = (
        "delivery",
        lambda head: in_history(
            record("delivery", 2, head, 1, [ROW], f"alerts/{PARTITION}/1/2/0", id="f1"), 1
        ),
    )
    source = (
        "alerts",
        lambda head: in_history(record("alerts", 2, head, 1, [planned_fact("f1")]), 1),
    )
    assert fed(books, *rebased, arrival) == ["forward"]
    assert fed(books, source) == []


def test_facts_received_before_a_rebase_are_not_expected_in_any_order_of_reading() -> None:
    books = OpenItems(PARTITION, list_destinations, is_published)
    arrival = (
        "delivery",
        lambda head: record("delivery", 1, head, 0, [ROW], f"alerts/{PARTITION}/0/1/0", id="f1"),
    )
    rebased = ("delivery", lambda head: in_history(record("delivery", 2, head, 1, [REBASED]), 1))
    source = ("alerts", lambda head: record("alerts", 1, head, 0, [planned_fact("f1")]))
    lost = ("alerts", lambda head: record("alerts", 2, head, 1, [planned_fact("f2")]))
    assert fed(books, arrival, rebased, source) == []
    assert fed(books, lost) == ["forward"]


def test_facts_received_from_before_an_unread_rebase_are_not_expected() -> None:
    """The log of the receiver was read before that of the source.

    The rebase of the source then dropped the received facts.
    """
    books = OpenItems(PARTITION, list_destinations, is_published)
    arrival = (
        "delivery",
        lambda head: in_history(
            record("delivery", 1, head, 0, [ROW], f"alerts/{PARTITION}/1/2/0", id="f1"), 1
        ),
    )
    rebased = ("alerts", lambda head: in_history(record("alerts", 1, head, 0, [REBASED]), 1))
    source = (
        "alerts",
        lambda head: in_history(record("alerts", 2, head, 1, [planned_fact("f1")]), 1),
    )
    lost = (
        "alerts",
        lambda head: in_history(record("alerts", 3, head, 2, [planned_fact("f2")]), 1),
    )
    assert fed(books, arrival, rebased, source) == []
    assert fed(books, lost) == ["forward"]


def test_a_planned_notification_without_a_row_and_a_skipped_input_are_breaches() -> None:
    books = OpenItems(PARTITION, list_destinations, is_published)
    source = record("alerts", 1, "0" * 32, 0, [planned_fact("f1")])
    books.feed("alerts", 0, source, json.loads(source), T0)
    raw = record(
        "delivery",
        1,
        "0" * 32,
        0,
        [],
        f"alerts/{PARTITION}/0/1/0",
        id="f1",
        type="vigie.NotificationPlanned.v1",
    )
    books.feed("delivery", 0, raw, json.loads(raw), T0)
    skipped = record("delivery", 2, books.chain("delivery").head, 2, [])
    books.feed("delivery", 1, skipped, json.loads(skipped), T0)
    assert [b.law for b in books.breaches(T0, {})] == ["notification", "order"]


def test_inputs_that_wait_are_a_breach_only_when_none_is_applied() -> None:
    d = Delivery()
    applied = d.books.chain("delivery").applied
    assert d.breaches(T0, {"delivery": applied + 6}) == []
    assert d.breaches(T0 + 61_000, {"delivery": applied + 6}) == ["applied"]
    d.plan()
    assert "applied" not in d.breaches(T0 + 62_000, {"delivery": applied + 7})


def test_a_breach_counts_when_it_is_seen_twice() -> None:
    judge = Judge()
    breach = Breach("due", "alerts/92: a deadline is 61 s late")
    again = Breach("due", "alerts/92: a deadline is 66 s late")
    assert judge.judge([], 0, caught_up=False).state == "reading"
    assert judge.judge([], 5, caught_up=True).state == "green"
    assert judge.judge([breach], 10, caught_up=True).state == "green"
    red = judge.judge([again], 15, caught_up=True)
    assert (red.state, red.since, red.sentence) == (
        "red",
        15,
        "due: alerts/92: a deadline is 66 s late",
    )
    assert judge.judge([], 20, caught_up=True).state == "green"


# ── the outside ────────────────────────────────────────────────────────────────────────────────────────────────────

RED = Verdict("red", (Breach("claim", "attempt a"),), 1, 1)
GREEN = Verdict("green", (), 2, 2)


@dataclass
class Elsewhere:
    status: int = 200
    seen: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append((request.method, json.loads(request.content).get("state", "heads")))
        return httpx.Response(self.status)


@pytest.fixture
def outside() -> tuple[OutsideReporter, Elsewhere, list[float]]:
    elsewhere, now = Elsewhere(), [0.0]
    client = httpx.AsyncClient(transport=httpx.MockTransport(elsewhere))
    return (
        OutsideReporter(
            client,
            "https://beat.example",
            "https://ring.example",
            lambda: now[0],
            lambda: {"logs": {}},
        ),
        elsewhere,
        now,
    )


async def test_without_a_key_there_is_no_heartbeat_and_alarms_go_on(
    outside: tuple[OutsideReporter, Elsewhere, list[float]],
) -> None:
    reporter, elsewhere, _ = outside

    def unsigned() -> object:
        raise PermissionError("signing.key")

    reporter._statement, signed = unsigned, reporter._statement
    await reporter.tell(GREEN)
    await reporter.tell(RED)
    assert elsewhere.seen == [("POST", "red")]
    reporter._statement = signed
    await reporter.tell(GREEN)
    assert elsewhere.seen[1:] == [("POST", "heads"), ("POST", "green")]


async def test_the_heartbeat_beats_while_it_is_green_and_stops_when_it_is_not(
    outside: tuple[OutsideReporter, Elsewhere, list[float]],
) -> None:
    reporter, elsewhere, now = outside
    for verdict in (Verdict(), GREEN, GREEN, RED, RED):
        await reporter.tell(verdict)
    assert elsewhere.seen == [("POST", "heads"), ("POST", "red")]
    now[0] = HEARTBEAT_INTERVAL_S
    await reporter.tell(RED)
    assert len(elsewhere.seen) == 2
    now[0] = ALARM_INTERVAL_S
    await reporter.tell(RED)
    await reporter.tell(GREEN)
    assert elsewhere.seen[2:] == [("POST", "red"), ("POST", "heads"), ("POST", "green")]


async def test_a_failed_alarm_is_sent_again(
    outside: tuple[OutsideReporter, Elsewhere, list[float]],
) -> None:
    reporter, elsewhere, _ = outside
    elsewhere.status = 503
    await reporter.tell(RED)
    await reporter.tell(RED)
    elsewhere.status = 200
    await reporter.tell(RED)
    await reporter.tell(RED)
    assert elsewhere.seen == [("POST", "red")] * 3
