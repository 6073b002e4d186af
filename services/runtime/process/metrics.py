"""The table of all metrics, and functions to feed them.

A name that is not in the table is a programming error (KeyError).
"""

import contextlib
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
disable_created_metrics()  # type: ignore[no-untyped-call]
_DURATION_BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)


@dataclass(frozen=True, slots=True)
class Metric:
    kind: Literal["counter", "gauge", "histogram"]
    means: str
    labels: tuple[str, ...] = ()


METRICS: dict[str, Metric] = {
    # Every process
    "vigie_build_info": Metric("gauge", "1; the labels are the version", ("version", "python")),
    "vigie_broker_certificate_end_seconds": Metric(
        "gauge", "Unix time at which the first certificate of a broker ends, with TLS only"
    ),
    # Worker: one decider on its log partitions
    "vigie_inputs_total": Metric(
        "counter", "Inputs that got their Transaction, by outcome", ("service", "outcome")
    ),
    "vigie_append_seconds": Metric(
        "histogram",
        "Time from sending a Transaction to its acknowledgement by all replicas",
        ("service",),
    ),
    "vigie_appends_in_flight": Metric(
        "gauge", "Transactions sent and not acknowledged yet", ("service",)
    ),
    "vigie_oldest_unacked_seconds": Metric(
        "gauge", "Age of the oldest unacknowledged append", ("service",)
    ),
    "vigie_input_lag_records": Metric(
        "gauge", "Inputs of the owned partitions that are not applied yet", ("service", "partition")
    ),
    "vigie_chain_seq": Metric(
        "gauge", "Sequence number of the last accepted record", ("service", "partition")
    ),
    "vigie_records_ignored_total": Metric(
        "counter", "Log records that do not continue the chain", ("service", "partition")
    ),
    "vigie_deadlines_armed": Metric(
        "gauge", "Deadlines waiting in all realms of this process", ("service",)
    ),
    "vigie_deadline_lateness_seconds": Metric(
        "histogram", "Time from the deadline to its decision, live realms", ("service",)
    ),
    "vigie_deadlines_failed_total": Metric(
        "counter",
        "Deadlines lost because their decision raised an error, live realms",
        ("service",),
    ),
    "vigie_take_seconds": Metric(
        "gauge", "Last recovery of a partition: snapshot, fold, position", ("service", "partition")
    ),
    "vigie_snapshots_total": Metric("counter", "Snapshots written", ("service",)),
    "vigie_snapshot_seconds": Metric("histogram", "Dump and send of one snapshot", ("service",)),
    # Publisher
    "vigie_published_total": Metric("counter", "Facts sent to a topic", ("service", "topic")),
    "vigie_publish_lag_records": Metric(
        "gauge", "Accepted records not published yet", ("service", "partition")
    ),
    # Dead letters
    "vigie_dead_letters_total": Metric(
        "counter", "Records sent to dead-letters, by reason", ("service", "reason")
    ),
    # Keyed topics
    "vigie_unsigned_erasures_total": Metric(
        "counter",
        (
            "Ignored records on access, texts or directory that would erase or replace another "
            "without our signature"
        ),
        ("topic",),
    ),
    # Front
    "vigie_reports_total": Metric(
        "counter", "Answers of the front, by dialect and status", ("dialect", "status")
    ),
    "vigie_report_seconds": Metric(
        "histogram", "Time from reading a request to the acknowledgement by Kafka", ("dialect",)
    ),
    "vigie_over_rate_total": Metric(
        "counter", "Reports refused because their sender exceeds its rate", ("sender",)
    ),
    "vigie_backlog_seconds": Metric(
        "gauge", "Estimated wait of an ordinary report for its decision", ("partition",)
    ),
    "vigie_backlog_refused_total": Metric(
        "counter", "Reports refused because decisions are behind"
    ),
    "vigie_external_lag_records": Metric(
        "gauge", "Records of events.external not judged yet", ("partition",)
    ),
    "vigie_connections_refused_total": Metric(
        "counter", "Connections refused because their address has too many"
    ),
    "vigie_proxied_total": Metric(
        "counter", "Requests passed to the console, by status class", ("status",)
    ),
    # Read model and console
    "vigie_projected_total": Metric("counter", "Rows written to the store", ("collection",)),
    "vigie_projection_lag_records": Metric(
        "gauge", "Log records not in the store yet", ("service", "partition")
    ),
    "vigie_attention_rate": Metric(
        "gauge", "New demands on a role in ten minutes, as last read (D77)", ("realm", "role")
    ),
    "vigie_stream_clients": Metric("gauge", "Open live streams", ()),
    "vigie_http_seconds": Metric("histogram", "Time to answer", ("route",)),
    # Sender
    "vigie_page_seconds": Metric(
        "histogram",
        (
            "Time from the decision to the provider for the first call of a message with an answer, "
            "live realms"
        ),
        ("channel",),
    ),
    "vigie_channel_configured": Metric(
        "gauge", "1 for a channel that the settings of delivery name, else 0", ("channel",)
    ),
    "vigie_attempts_total": Metric(
        "counter", "Provider calls, by channel and outcome", ("channel", "outcome")
    ),
    "vigie_attempt_seconds": Metric("histogram", "Provider call", ("channel",)),
    "vigie_receipts_total": Metric(
        "counter",
        "Receipts from a line of the provider, by channel and state; unknown = no such attempt",
        ("channel", "state"),
    ),
    "vigie_replies_total": Metric(
        "counter", "Replies of people, by channel and effect", ("channel", "outcome")
    ),
    # Auditor
    "vigie_audit_green": Metric(
        "gauge", "1 while every promise is kept, judged from the logs alone"
    ),
    "vigie_audit_breaches": Metric("gauge", "Broken promises, by law", ("law",)),
    "vigie_audit_records": Metric(
        "gauge", "Log records that the auditor has read since it started"
    ),
    # Watch over official feeds
    "vigie_feed_rounds_total": Metric(
        "counter", "Rounds of official feeds, by verdict", ("feed", "verdict")
    ),
    "vigie_feed_posts_total": Metric("counter", "Reports of official feeds sent", ("feed",)),
    "vigie_feed_late": Metric(
        "gauge", "1 while a feed that is on was not understood for two of its periods", ("feed",)
    ),
    "vigie_feed_age_seconds": Metric(
        "gauge", "Time since a feed was last fresh and understood", ("feed",)
    ),
    "vigie_mailbox_mails_total": Metric(
        "counter", "E-mails of the mailbox, by answer of the front", ("outcome",)
    ),
    "vigie_mailbox_age_seconds": Metric(
        "gauge", "Time since the mailbox was last read to its end", ()
    ),
    # Conductor
    "vigie_steps_total": Metric("counter", "Steps of simulated clocks", ()),
}

_collectors: dict[str, Counter | Gauge | Histogram] = {}


def _get_collector(name: str) -> Counter | Gauge | Histogram:
    if (collector := _collectors.get(name)) is None:
        metric = METRICS[name]
        match metric.kind:
            case "counter":
                collector = Counter(name, metric.means, metric.labels, registry=REGISTRY)
            case "gauge":
                collector = Gauge(name, metric.means, metric.labels, registry=REGISTRY)
            case "histogram":
                collector = Histogram(
                    name, metric.means, metric.labels, registry=REGISTRY, buckets=_DURATION_BUCKETS
                )
        _collectors[name] = collector
    return collector


def count(name: str, by: float = 1, **labels: str) -> None:
    """Add to a counter."""
    collector = _get_collector(name)
    assert isinstance(collector, Counter)
    (collector.labels(**labels) if labels else collector).inc(by)


def initialize_counter(name: str, **labels: str) -> None:
    """Set a counter to 0 before its first event.

    Prometheus sees no increase in a counter that starts with 1, so no alert would follow the first
    event.
    """
    count(name, 0, **labels)


def remove_gauge(name: str, **labels: str) -> None:
    """Remove a value that `set_gauge` set, if any, because this process no longer knows it."""
    values = [labels[label] for label in METRICS[name].labels]
    with contextlib.suppress(KeyError):
        _get_collector(name).remove(*values)


def set_gauge(name: str, value: float, **labels: str) -> None:
    collector = _get_collector(name)
    assert isinstance(collector, Gauge)
    (collector.labels(**labels) if labels else collector).set(value)


def observe(name: str, seconds: float, **labels: str) -> None:
    """Record a duration."""
    collector = _get_collector(name)
    assert isinstance(collector, Histogram)
    (collector.labels(**labels) if labels else collector).observe(seconds)


def render_exposition() -> bytes:
    """Return all metrics of this process in Prometheus text format."""
    return generate_latest(REGISTRY)
