"""Cost of one more report in the decider of alerts with a hundred thousand open.

`pytest -m bench -s`.
"""

from __future__ import annotations

import gc
import random
import time
from uuid import UUID

import pytest

from schemas.base import Message
from schemas.reports import ReportReceived
from schemas.runtime import OpenRealm
from schemas.topics import PARTITION_COUNT, input_topic, partition_of
from schemas.words import EventType
from services.alerts.decider import AlertsDecider
from services.runtime.decider.inputs import InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.kafka.clients import build_headers, encode_message
from services.runtime.log.chain import PreparedAppend, apply_input, create_empty_view
from services.territory.publish import build_reference_commands
from tests.shipped import territory

REALM = "92~test-many"
OPEN = 100_000
EVERY_MS = 600
T0 = 1_800_000_000_000
AIM_US = 1000
TYPES = [t for t in EventType if t is not EventType.REOPENING]


class Alerts:
    """The decider with its log, without Kafka."""

    def __init__(self) -> None:
        self.machine, self.view, self.taken = Machine(AlertsDecider()), create_empty_view(), 0

    def take(self, message: Message, id: str, at: int) -> PreparedAppend:
        headers = build_headers(message.wire_type(), id=id, source="/bench", at=at)
        record = InputRecord(
            input_topic("alerts"),
            partition_of(REALM, PARTITION_COUNT),
            self.taken,
            REALM.encode(),
            encode_message(message),
            headers,
            at,
        )
        self.view, appended = apply_input(self.machine, self.view, record, "bench")
        self.taken += 1
        return appended


@pytest.mark.bench
def test_one_more_report_costs_less_than_a_millisecond_among_any_number() -> None:
    alerts, rnd, sites = Alerts(), random.Random(1), [site.id for site in territory().sites]
    alerts.take(
        OpenRealm(author="a", role="admin", territory="92", title_code="bench", started_at=T0),
        "open",
        T0,
    )
    for id, command in build_reference_commands(territory(), REALM, "system:reference", "admin"):
        alerts.take(command, id, T0)
    spent: list[float] = []
    gc.collect()
    gc.disable()
    print()
    for n in range(OPEN):
        at = T0 + n * EVERY_MS
        report = ReportReceived(
            report_id=str(UUID(int=n + 1)),
            source=rnd.choice(["cellule", "site", "capteur"]),
            site_id=rnd.choice(sites),
            type=rnd.choice(TYPES),
            severity=rnd.choice([1, 2, 2, 2, 3]),
            occurred_at=at - rnd.randrange(60_000),
            text_id=f"report-{n}",
        )
        began = time.thread_time()
        appended = alerts.take(report, report.report_id, at)
        spent.append(time.thread_time() - began)
        assert appended.outcome == "applied"
        if (n + 1) % (OPEN // 10) == 0:
            last = sorted(spent[-OPEN // 10 :])
            mean, half = sum(last) / len(last) * 1e6, last[len(last) // 2] * 1e6
            print(
                f"  {n + 1:7,} open: one more {mean:.0f} µs, half of them under {half:.0f} µs (aim {AIM_US}), {len(appended.raw):,} bytes"
            )
    gc.enable()
