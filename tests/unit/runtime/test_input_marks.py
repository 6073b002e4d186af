"""An input counts only from a process of this installation; the broker password is not enough."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas import wire as ce
from schemas.base import DAY_MS
from schemas.runtime import InputDuplicate, InputRefused, OpenRealm, Tick
from schemas.topics import (
    PARTITION_COUNT,
    TOPICS,
    input_topic,
    is_input_topic,
    log_topic,
    partition_of,
    urgent_topic,
)
from schemas.wire import Place
from services.runtime.decider.inputs import (
    MAX_INPUT_AGE_MS,
    UNMARKED_GRACE_MS,
    Headers,
    InputMarks,
    InputRecord,
)
from services.runtime.decider.machine import Machine
from services.runtime.decider.protocol import RETENTION_MS
from services.runtime.kafka.clients import RecordProducer, build_headers, encode_message
from services.runtime.log.chain import (
    ChainView,
    PreparedAppend,
    apply_input,
    create_empty_view,
    fold_record,
)
from services.runtime.secrets.keyring import MasterKey, MasterKeyInvalid
from tests.faults.runtime.toy import EchoDecider, ToyDecider, ToyEscalated, ToyReport, ToyState
from tests.marks import MARKS, put_key

T0 = 1_800_000_000_000
REALM, KEY = "92", b"92"
P = partition_of(REALM, PARTITION_COUNT)
OTHER = MasterKey(b"x" * 32)
MACHINE: Machine[ToyState] = Machine(ToyDecider(1))


def headers(**more: Any) -> list[tuple[str, bytes]]:
    fields: dict[str, Any] = {"id": "r1", "source": "/p-dupont", "time_ms": T0, **more}
    return build_headers(fields.pop("type", ToyReport.wire_type()), **fields)


def record(
    given: Headers | None = None,
    *,
    topic: str = "toy.inputs",
    key: bytes = KEY,
    n: int = 1,
    at: int = T0,
) -> InputRecord:
    """Build a record as the broker returns it, without a mark unless `given` has one."""
    value = encode_message(ToyReport(incident="i1", n=n))
    return InputRecord(topic, P, 0, key, value, headers() if given is None else given, at)


def signed(made: InputRecord, marks: InputMarks = MARKS) -> InputRecord:
    return replace(made, headers=marks.sign(made.topic, made.key, made.value, made.headers))


def fault(made: InputRecord, marks: InputMarks = MARKS) -> str | None:
    refusal = marks.find_fault(made)
    assert refusal is None or refusal.code == "unsigned"
    return None if refusal is None else refusal.detail


GENUINE = signed(record())


@pytest.mark.parametrize(
    "content", [b"", b"soon", b"-1", b"1e9", b"\xff\xfe", b"0\n0", "१२".encode(), b"9" * 40]
)
def test_a_damaged_time_file_is_named_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    MasterKey.open(tmp_path)
    (tmp_path / "inputs.since").write_bytes(content)
    with pytest.raises(
        MasterKeyInvalid,
        match=r"inputs\.since is damaged: .* Put it back from a backup, or write 0",
    ):
        InputMarks.open(tmp_path)


def test_a_moment_may_end_with_a_line_as_editors_write_it(tmp_path: Path) -> None:
    MasterKey.open(tmp_path)
    (tmp_path / "inputs.since").write_bytes(b"0\n")
    assert InputMarks.open(tmp_path).find_fault(record()) is not None


def with_header(name: str, value: bytes) -> InputRecord:
    """Return the genuine record with one header changed, or added before its mark."""
    rest = [(n, v) for n, v in GENUINE.headers if n != name]
    return replace(GENUINE, headers=[(name, value), *rest])


def test_a_record_of_this_installation_is_taken() -> None:
    assert fault(GENUINE) is None
    assert fault(signed(record(), InputMarks(MasterKey(b"t" * 32)))) is None, (
        "any process that holds the key"
    )


def test_a_record_without_a_mark_is_not() -> None:
    assert fault(record()) == "the record bears no mark of this installation"


CHANGED = {
    "value": replace(GENUINE, value=encode_message(ToyReport(incident="i1", n=2))),
    "no value": replace(GENUINE, value=None),
    "another lane": replace(GENUINE, topic="toy.urgent"),
    "another service": replace(GENUINE, topic="alerts.inputs"),
    "another realm": replace(GENUINE, key=b"75"),
    "id": with_header(ce.CE_ID, b"r2"),
    "type": with_header(ce.CE_TYPE, b"vigie.SetLevel.v1"),
    "author": with_header(ce.CE_SOURCE, b"/p-durand"),
    "time": with_header(ce.CE_TIME, b"2027-01-15T08:00:00.001Z"),
    "logical time": with_header(ce.CE_AT, b"1"),
    "correlation": with_header(ce.CE_CORRELATION, b"c"),
    "causation": with_header(ce.CE_CAUSATION, b"c"),
    "place": with_header(ce.CE_PLACE, b"alerts/0/0/9/0"),
    "hash of the place": with_header(ce.CE_PLACEHASH, b"0"),
    "a header more": with_header("x", b""),
    "a header twice": replace(GENUINE, headers=[*GENUINE.headers, (ce.CE_ID, b"r1")]),
    "a header less": replace(GENUINE, headers=list(GENUINE.headers)[1:]),
    "a header moved into the next": replace(
        GENUINE, headers=[(ce.CE_SPECVERSION + "1", b".0"), *list(GENUINE.headers)[1:]]
    ),
    "the mark twice": replace(GENUINE, headers=[*GENUINE.headers, GENUINE.headers[-1]]),
    "an empty mark": with_header(ce.MARK, b""),
    "another key": signed(record(), InputMarks(OTHER)),
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED)
def test_every_part_of_a_record_is_authenticated(changed: InputRecord) -> None:
    assert (
        fault(changed)
        == "the mark of the record is not of this installation, or its content was changed"
    )


def test_a_mark_that_is_there_is_replaced() -> None:
    """An operator offers a record again: its old or foreign mark is no part of it."""
    again = signed(replace(GENUINE, topic="toy.urgent"))
    assert fault(again) is None
    assert [name for name, _ in again.headers].count(ce.MARK) == 1


# ── time ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_copy_that_comes_when_its_id_is_forgotten_is_refused() -> None:
    assert MAX_INPUT_AGE_MS < RETENTION_MS
    assert fault(replace(GENUINE, timestamp=T0 + MAX_INPUT_AGE_MS)) is None
    assert (
        fault(replace(GENUINE, timestamp=T0 + MAX_INPUT_AGE_MS + 1))
        == "the record was made more than 6 days before it came"
    )


@pytest.mark.parametrize(
    "kept",
    [
        record(headers(place=Place("alerts", P, 0, 9, 0), place_hash="0" * 32)),
        record(headers(), key=b"92~ex-1"),
        record(build_headers(Tick.wire_type(), id="t1", source="/toy")),
    ],
    ids=["a forwarded fact", "an exercise", "a tick"],
)
def test_inputs_without_effect_when_repeated_may_be_old(kept: InputRecord) -> None:
    assert fault(replace(signed(kept), timestamp=T0 + 30 * DAY_MS)) is None


def test_inputs_of_the_version_before_are_taken_and_no_later_one() -> None:
    marks = InputMarks(MasterKey(b"t" * 32), since=T0)
    assert fault(record(at=T0 - 1), marks) is None
    assert fault(record(at=T0), marks) is not None
    assert fault(replace(CHANGED["value"], timestamp=T0 - 1), marks) is not None, (
        "a wrong mark is wrong at any time"
    )


def test_an_upgraded_installation_notes_once_from_when_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "master.key").write_bytes(b"t" * 32)
    monkeypatch.setattr(time, "time_ns", lambda: T0 * 1_000_000)
    assert fault(record(at=T0 + UNMARKED_GRACE_MS - 1), InputMarks.open(tmp_path)) is None
    monkeypatch.setattr(time, "time_ns", lambda: (T0 + DAY_MS) * 1_000_000)
    assert fault(record(at=T0 + UNMARKED_GRACE_MS), InputMarks.open(tmp_path)) is not None


def test_a_new_installation_takes_none_without_a_mark(tmp_path: Path) -> None:
    assert fault(record(at=1), InputMarks.open(tmp_path)) is not None
    assert fault(signed(record(), put_key(tmp_path / "other"))) is None


# ── deciding ─────────────────────────────────────────────────────────────────────────────────────


def opened() -> ChainView[ToyState]:
    order = OpenRealm(author="system:up", role="admin", territory="92", started_at=T0)
    input_record = InputRecord(
        "toy.inputs",
        P,
        0,
        KEY,
        encode_message(order),
        headers(id="open", type=order.wire_type()),
        T0,
    )
    return apply_input(MACHINE, create_empty_view(), input_record, "run")[0]


def applied(
    view: ChainView[ToyState], made: InputRecord
) -> tuple[ChainView[ToyState], PreparedAppend]:
    """Apply a record like a worker."""
    record = replace(made, offset=view.position.applied + 1)
    return apply_input(MACHINE, view, record, "run", MARKS.find_fault(record))


def test_an_unsigned_input_is_refused_on_record_and_changes_nothing() -> None:
    before = opened()
    after, prepared_append = applied(before, record())
    (fact,) = prepared_append.transaction.facts
    refused = fact.message()
    assert isinstance(refused, InputRefused)
    assert (refused.code, refused.input_type, prepared_append.outcome) == (
        "unsigned",
        ToyReport.wire_type(),
        "refused",
    )
    assert after.realms == before.realms
    assert fold_record(MACHINE, before, before.position.next, prepared_append.raw) == after, (
        "a reader needs no key"
    )


def test_no_claim_of_an_unsigned_record_is_believed() -> None:
    """Its id may be that of an awaited command, its place beyond all that will come."""
    place = Place("alerts", P, 0, 10**9, 0)
    _, prepared_append = applied(
        opened(), record(headers(place=place, place_hash="0" * 32, correlation_id="c"))
    )
    source = prepared_append.transaction.src
    assert (source.id, source.correlation_id, source.causation_id) == (f"toy.inputs/{P}/1",) * 3
    assert (source.source, source.place, source.place_hash) == ("", None, None)


def test_a_forged_place_does_not_hide_the_facts_that_come() -> None:
    echo: Machine[Any] = Machine(EchoDecider(1))
    view, at = create_empty_view(), Place("toy", P, 0, 10**9, 0)
    escalated = ToyEscalated(incident="i", rung=1)
    forged = InputRecord(
        "toyecho.inputs",
        P,
        0,
        KEY,
        encode_message(escalated),
        headers(type=escalated.wire_type(), place=at, place_hash="0" * 32),
        T0,
    )
    view, _ = apply_input(echo, view, forged, "run", MARKS.find_fault(forged))
    assert not view.position.marks


@pytest.mark.parametrize("unreadable", [b"\xff", b"a" * 300, None])
def test_an_unsigned_record_with_a_hostile_type_is_refused_all_the_same(
    unreadable: bytes | None,
) -> None:
    made = replace(record(), headers=[(ce.CE_ID, b"r1"), (ce.CE_TYPE, unreadable)])
    _, prepared_append = applied(opened(), made)
    assert (prepared_append.transaction.src.type, prepared_append.outcome) == ("", "refused")


def test_a_copy_of_a_genuine_record_is_a_duplicate() -> None:
    view, first = applied(opened(), GENUINE)
    assert first.outcome == "applied"
    after, copy = applied(view, GENUINE)
    assert [type(fact.message()) for fact in copy.transaction.facts] == [InputDuplicate]
    assert after.realms[REALM].domain == view.realms[REALM].domain


# ── producers ────────────────────────────────────────────────────────────────────────────────────


def test_every_input_topic_is_known_as_one() -> None:
    topic_names = {topic.name for topic in TOPICS if is_input_topic(topic.name)}
    assert topic_names == {
        input_topic("alerts"),
        input_topic("continuity"),
        input_topic("delivery"),
        urgent_topic("alerts"),
    }


async def test_a_producer_without_the_key_sends_no_input() -> None:
    producer = RecordProducer("127.0.0.1:1")
    with pytest.raises(ValueError, match=r"alerts\.inputs"):
        await producer.send(input_topic("alerts"), REALM, Tick(), id="t", source="/test")
    await producer.stop()
    assert not is_input_topic(log_topic("alerts"))
