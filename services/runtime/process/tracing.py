"""Traces from a report to the sent message: W3C trace context, exported by OTLP.

There is one span per hop: the front accepts a report, the console sends a command, a decider
applies one input up to its acknowledged append, a channel calls its provider. The context travels
in the record header `ce_traceparent`, on inputs, public topics and the log. It is never part of a
value, so hashes, facts and replays do not depend on it, and facts that a new owner publishes again
keep their trace.

Without `OTEL_EXPORTER_OTLP_ENDPOINT` nothing is imported, written or read. Attributes name hops,
never people: ids of messages, types, realms, channels, codes.
"""

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal

from schemas.wire import CE_TRACEPARENT

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Variables of OpenTelemetry that name the collector.

The other variables of its SDK work as well (sampler, headers, certificate).
"""
_DEFAULT_TIMEOUT: Final = ("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
"""Default export timeout in seconds (the SDK has 10): a stop must not wait long."""
Attributes = Mapping[str, str | int | bool]
_KINDS: Final = {"server": "SERVER", "consumer": "CONSUMER", "client": "CLIENT"}
_CALLER_CONTEXT: ContextVar[str | None] = ContextVar("traceparent", default=None)
_traces: "Traces | None" = None


class TraceSpan:
    """A hop in progress. End it once."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any) -> None:
        self._span = span
        at = span.get_span_context()
        self.traceparent: str = f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"
        """Context that the next hop gets as its parent."""

    def end(self, *, fault: str | None = None, **attributes: str | int | bool) -> None:
        """End the span; `fault` is the code of a failed hop."""
        self._span.set_attributes({f"vigie.{name}": value for name, value in attributes.items()})
        if fault is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR, fault)
        self._span.end()


class Traces:
    """Spans of one process."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("vigie")
        self._extract = TraceContextTextMapPropagator().extract

    def begin(
        self,
        name: str,
        kind: Literal["server", "consumer", "client"],
        parent: str | None,
        attributes: Attributes,
        *,
        began_ns: int | None = None,
    ) -> TraceSpan:
        """Begin a span now, or at `began_ns` (wall clock).

        An invalid parent counts as none: a new trace begins.
        """
        from opentelemetry.trace import SpanKind

        context = (
            None
            if parent is None
            else self._extract({"traceparent": parent}, context=_create_empty_context())
        )
        span = self._tracer.start_span(
            name,
            context=context or _create_empty_context(),
            kind=SpanKind[_KINDS[kind]],
            attributes=dict(attributes),
            start_time=began_ns,
        )
        return TraceSpan(span)

    def close(self) -> None:
        """Export the remaining spans to the collector."""
        self._provider.shutdown()


def _create_empty_context() -> Any:
    from opentelemetry.context import Context

    return Context()


def configure_tracing(service: str) -> None:
    """Begin tracing if a collector is configured.

    Call it once in the process that serves, after any fork.
    """
    global _traces
    if _traces is not None or not any(os.environ.get(name) for name in ENDPOINTS):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ.setdefault(*_DEFAULT_TIMEOUT)
    instance = os.environ.get("VIGIE_INSTANCE") or os.environ.get("VIGIE_PROCESS") or service
    attributes = {
        "service.namespace": "vigie",
        "service.name": service,
        "service.instance.id": instance,
    }
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _traces = Traces(provider)
    atexit.register(_traces.close)


def get_traces() -> Traces | None:
    """Return the traces of this process, or None without a collector."""
    return _traces


@contextmanager
def trace_request(
    name: str, attribute_builder: Callable[[], Attributes]
) -> Iterator[TraceSpan | None]:
    """Trace the handling of a request of a caller (`set_caller`) around a block.

    An exception is the fault of the span. Yields None without a collector.
    """
    if _traces is None:
        yield None
        return
    span = _traces.begin(name, "server", _CALLER_CONTEXT.get(), attribute_builder())
    try:
        yield span
    except BaseException as error:
        span.end(fault=type(error).__name__)
        raise
    span.end()


def set_caller(traceparent: str | None) -> None:
    """Store the caller's trace context for the request that this task serves."""
    _CALLER_CONTEXT.set(traceparent)


def read_traceparent(headers: Sequence[tuple[str, bytes | None]]) -> str | None:
    """Return the trace context of a record."""
    for name, value in headers:
        if name == CE_TRACEPARENT and value is not None:
            return value.decode("ascii", "replace")
    return None


def build_trace_headers(traceparent: str | None) -> list[tuple[str, bytes]] | None:
    """Return the headers for a record without other headers."""
    return None if traceparent is None else [(CE_TRACEPARENT, traceparent.encode())]
