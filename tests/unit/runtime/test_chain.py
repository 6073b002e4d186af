"""A log partition is a compare-and-swap register: every reader accepts the same history."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import Message
from schemas.runtime import LossDeclared, OpenRealm, Rebased
from schemas.topics import partition_of
from services.runtime.decider.inputs import InputRecord, compute_input_digest
from services.runtime.decider.machine import Machine
from services.runtime.kafka.clients import build_headers, encode_message
from services.runtime.log.chain import (
    MAX_IGNORED_RUN,
    ChainView,
    Position,
    advance_position,
    apply_input,
    build_declaration,
    create_empty_view,
    dump_position,
    fold_record,
    load_position,
)
from services.runtime.log.transaction import MAX_TRANSACTION_BYTES, Transaction
from services.runtime.process.exits import EXITS, Stop
from tests.faults.runtime.toy import ToyDecider, ToyReport

P = partition_of("92", 8)
T0 = 1_800_000_000_000


def record(offset: int, message: Message, id: str) -> InputRecord:
    return InputRecord(
        "toy.inputs",
        P,
        offset,
        b"92",
        encode_message(message),
        build_headers(message.wire_type(), id=id, source="t"),
        T0 + offset,
    )


def inputs(count: int) -> list[InputRecord]:
    opening = OpenRealm(author="system:up", role="admin", territory="92", started_at=0)
    reports = [
        record(n, ToyReport(incident=f"i{n % 5}", n=n, delay_ms=7 if n % 3 else None), f"r{n}")
        for n in range(1, count)
    ]
    return [record(0, opening, "open"), *reports]


def machine(logic: int = 1) -> Machine[Any]:
    return Machine(ToyDecider(logic))


@dataclass
class Writer:
    """A worker that believes that it owns the partition."""

    view: ChainView[Any] = field(default_factory=create_empty_view)
    queue: list[tuple[bytes, int]] = field(default_factory=list)


@pytest.mark.parametrize("seed", range(40))
def test_any_number_of_writers_and_zombies_apply_each_input_once_in_order(seed: int) -> None:
    rnd, given_inputs, log = random.Random(seed), inputs(30), list[bytes]()
    writers, zombies, conflicts = [Writer() for _ in range(3)], list[list[tuple[bytes, int]]](), 0

    def refold(writer: Writer) -> None:
        zombies.append(writer.queue)
        writer.view, writer.queue = create_empty_view(), []
        for offset, raw in enumerate(log):
            writer.view = fold_record(machine(), writer.view, offset, raw)

    for _ in range(600):
        writer = rnd.choice(writers)
        match rnd.choice("aaallllzc"):
            case "a" if (
                writer.view.position.applied + 1 < len(given_inputs) and len(writer.queue) < 5
            ):
                due = given_inputs[writer.view.position.applied + 1]
                writer.view, prepared_append = apply_input(
                    machine(), writer.view, due, f"run{writers.index(writer)}"
                )
                writer.queue.append((prepared_append.raw, prepared_append.expected_offset))
            case "l" if writer.queue:
                raw, expected = writer.queue.pop(0)
                log.append(raw)
                if len(log) - 1 != expected:
                    conflicts += 1
                    refold(writer)
            case "z" if zombies:
                zombie = rnd.choice(zombies)
                if zombie:
                    log.append(zombie.pop(0)[0])
            case "c" if rnd.random() < 0.1:
                refold(writer)
    refold(writers[0])
    view = writers[0].view
    while view.position.applied + 1 < len(given_inputs):
        view, prepared_append = apply_input(
            machine(), view, given_inputs[view.position.applied + 1], "last"
        )
        log.append(prepared_append.raw)
    accepted, at = [], Position()
    for offset, raw in enumerate(log):
        at, transaction = advance_position(at, offset, raw, 1)
        if transaction is not None:
            accepted.append(transaction)
    assert [t.src.offset for t in accepted] == list(range(len(given_inputs)))
    assert [t.src.digest for t in accepted] == [compute_input_digest(r) for r in given_inputs]
    alone = create_empty_view()
    for due in given_inputs:
        alone, _ = apply_input(machine(), alone, due, "alone")
    assert view.realms == alone.realms
    assert at.ignored == len(log) - len(accepted)
    assert conflicts == 0 or at.ignored > 0


def chained(
    count: int, logic: int = 1, view: ChainView[Any] | None = None
) -> tuple[ChainView[Any], list[bytes]]:
    view, log = view or create_empty_view(), []
    for due in inputs(view.position.applied + 1 + count)[view.position.applied + 1 :]:
        view, prepared_append = apply_input(machine(logic), view, due, "run")
        log.append(prepared_append.raw)
    return view, log


def test_a_record_of_older_logic_is_ignored_and_of_newer_logic_stops() -> None:
    _, old = chained(3)
    view, _ = chained(3)
    newer, raws = chained(1, logic=2, view=view)
    at = Position()
    for offset, raw in enumerate(old):
        at, _ = advance_position(at, offset, raw, 2)
    at, transaction = advance_position(at, 3, raws[0], 2)
    assert transaction is not None
    assert at.logic == 2
    tx = Transaction.load(raws[0])
    late = replace(tx, seq=at.seq + 1, prev=at.hash, logic=1)
    after, transaction = advance_position(at, 4, late.dump(), 2)
    assert transaction is None
    assert (after.seq, after.next, after.ignored) == (at.seq, 5, 1)
    with pytest.raises(Stop) as stopped:
        advance_position(Position(seq=3, hash=tx.prev, logic=1, next=3), 3, raws[0], 1)
    assert stopped.value.name == "logic.newer"
    assert newer.position.seq == 4


def test_a_fact_that_this_program_does_not_know_stops_it() -> None:
    view, log = chained(2)
    tx = Transaction.load(log[-1])
    unknown = replace(
        tx,
        seq=3,
        prev=view.position.hash,
        facts=(replace(tx.facts[0], type="vigie.FromTheFuture.v9"),),
    )
    with pytest.raises(Stop) as stopped:
        fold_record(machine(), view, 2, unknown.dump())
    assert stopped.value.name == "logic.newer"


@given(
    st.one_of(
        st.binary(max_size=80),
        st.sampled_from(
            [
                b"{}",
                b"[]",
                b"null",
                None,
                b'{"seq":1,"prev":"x","logic":"a"}',
                b'{"v":1,"seq":1,"src":null}',
            ]
        ),
    )
)
def test_bytes_that_no_writer_made_are_ignored(raw: bytes | None) -> None:
    at, transaction = advance_position(Position(), 0, raw, 1)
    assert transaction is None
    assert (at.next, at.ignored, at.seq) == (1, 1, 0)


def test_a_log_goes_on_behind_any_number_of_records_that_none_of_ours_wrote() -> None:
    """Once the program that wrote them is stopped nothing else is to be repaired."""
    view, log = chained(2)
    for offset in range(2, MAX_IGNORED_RUN + 10):
        view = fold_record(machine(), view, offset, b"junk")
    view, prepared_append = apply_input(machine(), view, inputs(3)[2], "run")
    assert (
        prepared_append.transaction.seq,
        prepared_append.expected_offset,
        view.position.ignored_run,
    ) == (
        3,
        MAX_IGNORED_RUN + 10,
        0,
    )
    assert log


def test_a_declared_loss_raises_the_history_and_reaches_every_realm() -> None:
    view, log = chained(4)
    at = view.position
    raw = build_declaration(
        "toy", 1, at, LossDeclared(detail="disk"), partition=P, now=T0, run="r", history=3
    )
    after = fold_record(machine(), view, at.next, raw)
    assert (after.position.history, after.position.applied, after.position.applied_digest) == (
        3,
        at.applied,
        at.applied_digest,
    )
    assert after.realms["92"].domain.losses == 1
    assert after.realms["92"].now == view.realms["92"].now
    again, prepared_append = apply_input(machine(), after, inputs(5)[4], "run")
    assert prepared_append.transaction.history == 3
    assert again.position.history == 3
    assert log


def test_the_input_continues_at_a_new_base() -> None:
    view, _ = chained(4)
    raw = build_declaration(
        "toy",
        1,
        view.position,
        Rebased(cluster_id="c", next_offset=17),
        partition=P,
        now=T0,
        run="r",
        history=1,
    )
    after = fold_record(machine(), view, view.position.next, raw)
    assert (after.position.applied, after.position.applied_digest, after.position.history) == (
        16,
        "",
        1,
    )


def test_inputs_without_effect_have_other_ids_in_another_history() -> None:
    """A recreated input topic starts at offset 0.

    Its dead letters hid behind the earlier ones, and `verify` saw one id twice.
    """
    view, _ = chained(4)
    unreadable = InputRecord(
        "toy.inputs",
        P,
        4,
        b"92",
        b"{",
        build_headers("vigie.ToyReport.v1", id="bad", source="t"),
        T0,
    )
    view, first = apply_input(machine(), view, unreadable, "run")
    raw = build_declaration(
        "toy",
        1,
        view.position,
        Rebased(cluster_id="c", next_offset=4),
        partition=P,
        now=T0,
        run="r",
        history=1,
    )
    view = fold_record(machine(), view, view.position.next, raw)
    _, second = apply_input(machine(), view, unreadable, "run")
    (was,), (now,) = first.transaction.facts, second.transaction.facts
    assert (was.name, now.name) == ("InputRefused", "InputRefused")
    assert was.id != now.id


def test_a_position_is_kept_as_json_and_comes_back_equal() -> None:
    view, _ = chained(4)
    assert load_position(orjson.loads(orjson.dumps(dump_position(view.position)))) == view.position


@settings(max_examples=50)
@given(st.integers(0, 400_000))
def test_no_record_is_larger_than_kafka_takes(size: int) -> None:
    view, _ = chained(1)
    _, prepared_append = apply_input(
        machine(), view, record(1, ToyReport(incident="i", n=1, blob="x" * size), "big"), "run"
    )
    assert len(prepared_append.raw) <= MAX_TRANSACTION_BYTES
    assert prepared_append.outcome == (
        "applied" if size < MAX_TRANSACTION_BYTES - 2000 else prepared_append.outcome
    )
    assert prepared_append.outcome == (
        "failed" if size > MAX_TRANSACTION_BYTES else prepared_append.outcome
    )


def test_every_exit_has_a_meaning_and_an_instruction() -> None:
    for name, exit in EXITS.items():
        assert exit.means
        assert exit.restart or exit.act, name
    assert EXITS["append.conflict"].code == 71
    assert EXITS["log.truncated"].code == 73
    assert {e.code for n, e in EXITS.items() if n.startswith("input.") and not e.restart} == {74}
