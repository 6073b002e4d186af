"""Define CloudEvents 1.0 headers in Kafka binary mode and the place of a forwarded fact.

Every record on an input or public topic has the realm as key, JSON data as value and the headers
below. `ce_time` is ISO 8601 and only informs; in a live realm the broker's append time is the
clock.
"""

from __future__ import annotations

from dataclasses import dataclass

CE_SPECVERSION = "ce_specversion"
CE_ID = "ce_id"
CE_SOURCE = "ce_source"
CE_TYPE = "ce_type"
CE_TIME = "ce_time"
CONTENT_TYPE = "content-type"
CE_AT = "ce_at"
"""Logical time in ms, simulated realms only.

`recorded_at` from the player, `t` of a StepTo, or the time of the transaction.
"""
CE_PLACE = "ce_place"
"""`service/partition/history/seq/ordinal` of a forwarded fact in its source log."""
CE_PLACEHASH = "ce_placehash"
"""Hex hash of the source log record that holds the fact."""
CE_CORRELATION = "ce_correlationid"
"""Id of the first input of the causal chain (a report, a command)."""
CE_CAUSATION = "ce_causationid"
"""Id of the fact or input that directly caused this one."""
CE_TRACEPARENT = "ce_traceparent"
"""W3C trace context of the hop that wrote the record, only while tracing is on.

CloudEvents extension Distributed Tracing. No rule reads it.
"""

MARK = "vigie_mark"
"""HMAC-SHA256 (hex) of an input, with the key of the installation.

It covers topic, key, value and all other headers.
"""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Place of a forwarded fact in its source log; ordered within (service, partition)."""

    service: str
    partition: int
    history: int
    seq: int
    ordinal: int

    def __str__(self) -> str:
        return f"{self.service}/{self.partition}/{self.history}/{self.seq}/{self.ordinal}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Parse the result of str().

        Raises ValueError.
        """
        service, *numbers = text.split("/")
        partition, history, seq, ordinal = (int(n) for n in numbers)
        return cls(service, partition, history, seq, ordinal)
