"""A decider reads two lanes in any order; the log keeps that order for later folds."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import (
    SERVICES,
    SERVICES_WITH_URGENT_LANE,
    TOPICS,
    TOPICS_BY_NAME,
    input_topic,
    input_topics,
    partition_of,
    select_urgent_topic,
    urgent_topic,
)
from services.runtime.decider.inputs import InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.kafka.clients import build_headers, encode_message
from services.runtime.log.chain import (
    ChainView,
    apply_input,
    create_empty_view,
    dump_position,
    fold_record,
    load_position,
)
from services.runtime.log.transaction import Transaction
from services.runtime.worker.lag import list_applied_offsets
from services.runtime.worker.tuning import Tuning
from services.runtime.worker.worker import Worker
from services.verify.chain import LogFold
from services.verify.laws import Findings, InputEntry, check_inputs
from tests.faults.runtime.toy import ToyAck, ToyDecider, ToyReport

T0 = 1_800_000_000_000
P = partition_of("92", 8)
TOY = "toy"
STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 30), st.booleans()), min_size=1, max_size=40
)
"""(from the urgent lane, milliseconds since the one before, an id that the other lane has had too)"""


def machine() -> Machine[Any]:
    return Machine(ToyDecider())


def opening() -> InputRecord:
    from schemas.runtime import OpenRealm

    order = OpenRealm(author="system:up", role="admin", territory="92", started_at=0)
    return record(input_topic(TOY), 0, "open", order, T0)


def record(topic: str, offset: int, id: str, message: Any, at: int) -> InputRecord:
    return InputRecord(
        topic,
        P,
        offset,
        b"92",
        encode_message(message),
        build_headers(message.wire_type(), id=id, source="test"),
        at,
    )


def records_of(steps: Sequence[tuple[bool, int, bool]]) -> list[InputRecord]:
    """Return the records of both lanes in reading order; offsets and times rise in each lane."""
    records, nexts, times = [opening()], {False: 1, True: 0}, {False: T0, True: T0}
    for n, (is_urgent, pause, is_twice) in enumerate(steps):
        times[is_urgent] += pause
        message = (
            ToyAck(incident=f"i{n % 3}")
            if is_urgent
            else ToyReport(incident=f"i{n % 3}", n=n, delay_ms=20 if n % 2 else None)
        )
        id = f"m{n - 1}" if is_twice and n else f"m{n}"
        topic = urgent_topic(TOY) if is_urgent else input_topic(TOY)
        records.append(record(topic, nexts[is_urgent], id, message, times[is_urgent]))
        nexts[is_urgent] += 1
    return records


def decided(
    records: Sequence[InputRecord], view: ChainView[Any] | None = None
) -> tuple[ChainView[Any], list[bytes]]:
    view, raws = view or create_empty_view(), []
    for one in records:
        view, appended = apply_input(machine(), view, one, "run")
        raws.append(appended.raw)
    return view, raws


def folded(raws: Sequence[bytes]) -> ChainView[Any]:
    view: ChainView[Any] = create_empty_view()
    for offset, raw in enumerate(raws):
        view = fold_record(machine(), view, offset, raw)
    return view


@settings(max_examples=60)
@given(STEPS, st.integers(0, 40))
def test_a_fold_of_the_log_gives_the_state_and_both_positions_and_the_next_worker_writes_the_same_chain(
    steps: list[tuple[bool, int, bool]], cut: int
) -> None:
    records = records_of(steps)
    view, raws = decided(records)
    again = folded(raws)
    assert again.position == view.position
    assert again.realms == view.realms
    cut = min(cut, len(records))
    _, rest = decided(records[cut:], folded(raws[:cut]))
    assert raws[:cut] + rest == raws, "a crash between two records changes nothing"
    assert load_position(dump_position(view.position)) == view.position


@settings(max_examples=40)
@given(STEPS)
def test_an_id_has_one_effect_from_any_lane(steps: list[tuple[bool, int, bool]]) -> None:
    _, raws = decided(records_of(steps))
    effects: Counter[str] = Counter()
    for raw in raws:
        tx = Transaction.load(raw)
        if not any(fact.name == "InputDuplicate" for fact in tx.facts):
            effects[tx.src.id] += 1
    assert not [id for id, n in effects.items() if n > 1]


@settings(max_examples=40)
@given(STEPS)
def test_verify_follows_both_lanes_by_a_path_of_its_own(
    steps: list[tuple[bool, int, bool]],
) -> None:
    records = records_of(steps)
    _, raws = decided(records)
    findings = Findings()
    log = LogFold(TOY, P, findings.breach)
    for offset, raw in enumerate(raws):
        log.feed(offset, raw, {}, lambda *_: ())
    entries_by_topic: dict[str, dict[int, InputEntry]] = {
        input_topic(TOY): {},
        urgent_topic(TOY): {},
    }
    for one, raw in zip(records, raws, strict=True):
        source = Transaction.load(raw).src
        entries_by_topic[one.topic][one.offset] = InputEntry(
            source.digest, source.type, source.id, "92"
        )
    check_inputs(
        {(TOY, P): log},
        {(TOY, P): entries_by_topic[input_topic(TOY)]},
        findings,
        {(TOY, P): entries_by_topic[urgent_topic(TOY)]},
    )
    assert (findings.broken, findings.pending) == ([], {})


def three() -> list[bytes]:
    return decided(records_of([(True, 1, False), (False, 1, False), (True, 1, False)]))[1]


def test_verify_finds_an_urgent_input_that_was_skipped() -> None:
    first, urgent_one, *_ = three()
    skipped = orjson.loads(urgent_one)
    skipped["src"]["offset"] = 1
    findings = Findings()
    log = LogFold(TOY, P, findings.breach)
    for offset, raw in enumerate([first, orjson.dumps(skipped)]):
        log.feed(offset, raw, {}, lambda *_: ())
    assert [law for law, _ in findings.broken] == ["order"]


def test_each_record_holds_the_positions_of_both_lanes() -> None:
    sources = [Transaction.load(raw).src for raw in three()]
    assert [(s.topic, s.offset, s.beside) for s in sources] == [
        ("toy.inputs", 0, None),
        ("toy.urgent", 0, 0),
        ("toy.inputs", 1, 0),
        ("toy.urgent", 1, 1),
    ]


def test_the_lag_of_both_lanes_is_read_from_the_newest_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("schemas.topics.SERVICES_WITH_URGENT_LANE", {TOY})
    offsets = [list_applied_offsets(Transaction.load(raw), TOY) for raw in three()]
    assert offsets == [
        {"toy.inputs": 0, "toy.urgent": -1},
        {"toy.inputs": 0, "toy.urgent": 0},
        {"toy.inputs": 1, "toy.urgent": 0},
        {"toy.inputs": 1, "toy.urgent": 1},
    ]


def test_a_log_without_urgent_inputs_holds_no_urgent_position() -> None:
    _, raws = decided([opening()])
    assert "beside" not in orjson.loads(raws[0])["src"]


def test_only_live_realms_of_a_decider_with_two_lanes_have_an_urgent_one() -> None:
    assert (
        {t.name for t in TOPICS if t.name.endswith(".urgent")}
        == {urgent_topic(s) for s in SERVICES if s in SERVICES_WITH_URGENT_LANE}
        == {"alerts.urgent"}
    )
    assert (
        TOPICS_BY_NAME[urgent_topic("alerts")].partitions
        == TOPICS_BY_NAME[input_topic("alerts")].partitions
    )
    assert TOPICS_BY_NAME[urgent_topic("alerts")].append_time
    assert select_urgent_topic("alerts", "92") == "alerts.urgent"
    assert select_urgent_topic("alerts", "92~ex-7") == "alerts.inputs"
    assert select_urgent_topic("delivery", "92") == "delivery.inputs"
    assert input_topics("alerts") == ("alerts.inputs", "alerts.urgent")


async def test_a_worker_that_stops_waits_no_longer_for_its_urgent_lane() -> None:
    """The stop ends the reader of the lane first: its waiting input would wait forever."""
    waits = asyncio.Event()

    async def end_of(_partition: int) -> int:
        return 1

    async def wait() -> None:
        waits.set()
        await asyncio.sleep(0)

    fake_machine = SimpleNamespace(realm_of=lambda _: "92", next_due=lambda _: None)
    worker = SimpleNamespace(machine=fake_machine, stopping=False)
    view = SimpleNamespace(realms={}, position=create_empty_view().position)
    owned_partition = SimpleNamespace(partition=P, view=view, is_dropped=False)
    lane = SimpleNamespace(ask_end=end_of, until_decided=wait)
    read = cast("Any", Worker._read_urgent_before)
    waiting = asyncio.create_task(read(worker, owned_partition, opening(), lane))
    await waits.wait()
    assert not waiting.done()
    worker.stopping = True
    async with asyncio.timeout(5):
        await waiting


@pytest.mark.parametrize(("is_awaited", "expected"), [(True, ["fetch", "send"]), (False, [])])
async def test_a_worker_neither_fetches_nor_sends_later_while_somebody_waits(
    is_awaited: bool, expected: list[str]
) -> None:
    hurried, view = list[str](), create_empty_view()
    if not is_awaited:
        view, _ = decided([opening()])
    acknowledgement = asyncio.get_running_loop().create_future()

    async def send(*_: object, **__: object) -> asyncio.Future[Any]:
        return acknowledgement

    async def have_room() -> None:
        pass

    worker = SimpleNamespace(
        machine=machine(),
        run_id="run",
        service=TOY,
        log="toy.log",
        traces=None,
        urgent=None,
        counts=Counter(),
        tuning=Tuning(),
        marks=SimpleNamespace(find_fault=lambda _: None),
        ticker=SimpleNamespace(arm=lambda *_: None),
        app=SimpleNamespace(consumer=SimpleNamespace(hurry=lambda: hurried.append("fetch"))),
        publisher=SimpleNamespace(producer=SimpleNamespace(hurry=lambda: hurried.append("send"))),
        producer=SimpleNamespace(send=send),
    )
    owned_partition = SimpleNamespace(
        partition=P,
        view=view,
        is_dropped=False,
        pending=deque(),
        until_room=have_room,
        wants_snapshot=lambda *_: False,
    )
    report = record(input_topic(TOY), 1, "report", ToyReport(incident="i", n=1), T0)
    await Worker.apply(
        cast("Any", worker), cast("Any", owned_partition), opening() if is_awaited else report
    )
    assert hurried == expected
    acknowledgement.cancel()
