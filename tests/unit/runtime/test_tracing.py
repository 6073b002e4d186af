"""Traces: W3C context from hop to hop, beside the values; none unless configured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schemas.runtime import Tick
from schemas.wire import CE_TRACEPARENT
from services.console.http.producer import CommandProducer
from services.runtime.decider.inputs import InputRecord, compute_input_digest
from services.runtime.kafka.clients import BrokerAway, RecordProducer, build_headers
from services.runtime.log.transaction import Transaction, TransactionSource, compute_digest
from services.runtime.process import tracing
from services.runtime.process.tracing import Traces, build_trace_headers, read_traceparent
from tests.marks import MARKS

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def told() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(told: InMemorySpanExporter) -> Iterator[Traces]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(told))
    made = Traces(provider)
    yield made
    made.close()


def test_a_hop_goes_on_with_the_trace_that_it_was_given(
    traces: Traces, told: InMemorySpanExporter
) -> None:
    first = traces.begin("a", "server", PARENT, {"vigie.realm": "92"}, began_ns=5)
    second = traces.begin("b", "consumer", first.traceparent, {})
    second.end(outcome="applied")
    first.end()
    b, a = told.get_finished_spans()
    assert (a.context.trace_id, a.parent.span_id, a.start_time) == (
        int(TRACE, 16),
        int(SPAN, 16),
        5,
    )
    assert (b.context.trace_id, b.parent.span_id, b.attributes["vigie.outcome"]) == (
        int(TRACE, 16),
        a.context.span_id,
        "applied",
    )


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "quatremere",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        PARENT.upper(),
        PARENT * 40,
    ],
)
def test_an_invalid_traceparent_begins_a_new_trace(
    traces: Traces, told: InMemorySpanExporter, given: str | None
) -> None:
    traces.begin("a", "server", given, {}).end()
    (a,) = told.get_finished_spans()
    assert a.parent is None
    assert a.context.trace_id != int(TRACE, 16)


def test_a_caller_that_does_not_sample_is_obeyed_and_passed_on(
    traces: Traces, told: InMemorySpanExporter
) -> None:
    span = traces.begin("a", "server", f"00-{TRACE}-{SPAN}-00", {})
    span.end()
    assert told.get_finished_spans() == ()
    assert span.traceparent.startswith(f"00-{TRACE}-")
    assert span.traceparent.endswith("-00")


def test_a_fault_is_traced_by_its_code(traces: Traces, told: InMemorySpanExporter) -> None:
    traces.begin("a", "client", None, {}).end(fault="channel_not_configured")
    (a,) = told.get_finished_spans()
    assert (a.status.is_ok, a.status.description) == (False, "channel_not_configured")


def test_headers_carry_it_and_give_it_back() -> None:
    headers = build_headers(Tick.wire_type(), id="t", source="s", traceparent=PARENT)
    assert read_traceparent(headers) == PARENT
    assert headers[-1] == (CE_TRACEPARENT, PARENT.encode())
    assert build_trace_headers(None) is None
    assert read_traceparent(build_trace_headers(PARENT) or []) == PARENT
    assert read_traceparent([(CE_TRACEPARENT, b"\xff\xfe")]) is not None, (
        "a broken one is read, and is no parent"
    )
    assert build_headers(Tick.wire_type(), id="t", source="s") == headers[:-1], (
        "without traces nothing is added"
    )


def test_traces_change_no_hash_bytes_or_equality() -> None:
    headers = build_headers(Tick.wire_type(), id="t", source="s")
    record = InputRecord("alerts.inputs", 0, 1, b"92", b"{}", headers, 1)
    traced = replace(record, headers=[*headers, (CE_TRACEPARENT, PARENT.encode())])
    assert compute_input_digest(record) == compute_input_digest(traced)
    source = TransactionSource("alerts.inputs", 0, 1, "d", "t", Tick.wire_type(), "s", 1, "t", "t")
    plain = Transaction(1, 1, "0" * 32, 0, "run", "alerts", "92", "92", source, 1, (), None)
    other = replace(plain, traceparent=PARENT)
    assert other.dump() == plain.dump()
    assert compute_digest(other.dump()) == compute_digest(plain.dump())
    assert other == plain
    assert Transaction.load(other.dump()).traceparent is None


async def test_a_command_of_the_console_carries_its_hop_and_a_failed_one_its_fault(
    monkeypatch: pytest.MonkeyPatch, traces: Traces, told: InMemorySpanExporter
) -> None:
    trace_parents: list[str | None] = []

    async def send_once(*_: Any, traceparent: str | None, **__: Any) -> tuple[int, int]:
        trace_parents.append(traceparent)
        if len(trace_parents) > 1:
            raise BrokerAway("gone")
        return 0, 7

    producer = CommandProducer("", MARKS)
    monkeypatch.setattr(RecordProducer, "send", send_once)
    tracing.set_caller(PARENT)
    monkeypatch.setattr(tracing, "_traces", traces)
    assert await producer.send("alerts.inputs", "92", Tick(), id="c-1", source="/s") == (0, 7)
    with pytest.raises(BrokerAway):
        await producer.send("alerts.inputs", "92", Tick(), id="c-2", source="/s")
    good, bad = told.get_finished_spans()
    assert trace_parents[0] == f"00-{TRACE}-{good.context.span_id:016x}-01"
    assert (good.parent.span_id, good.attributes["vigie.input"]) == (int(SPAN, 16), "c-1")
    assert (good.status.is_ok, bad.status.description) == (True, "BrokerAway")
    monkeypatch.setattr(tracing, "_traces", None)
    with pytest.raises(BrokerAway):
        await producer.send("alerts.inputs", "92", Tick(), id="c-3", source="/s")
    assert trace_parents[-1] is None


SERVES = "import services.delivery.__main__, services.intake.app; from services.runtime.process import tracing; import sys; tracing.configure_tracing('intake');"


def test_without_a_collector_the_sdk_is_not_even_imported() -> None:
    trace_check = "print(tracing.get_traces(), sorted(m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    process = subprocess.run(
        [sys.executable, "-c", SERVES + trace_check],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert process.stdout.split() == ["None", "[]"]


def test_an_unreachable_collector_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setattr(tracing, "_traces", None)
    tracing.configure_tracing("toy")
    made: Any = tracing.get_traces()
    made.begin("a", "server", None, {}).end()
    made.close()


@pytest.fixture
def free_port() -> int:
    from services.runtime.process.sockets import find_free_ports

    return find_free_ports(1)[0]
