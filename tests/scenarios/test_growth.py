"""A storm on few sites grows logs, public topics and inputs by its events, not by state."""

from __future__ import annotations

from collections import Counter

import orjson

from schemas.reports import ReportReceived
from schemas.topics import SERVICES, input_topic, list_destinations, list_public_topics, log_topic
from schemas.words import EventType
from services.runtime.kafka.clients import build_headers, encode_message
from services.runtime.testing import StoredRecord
from tests.scenarios.memory import MemoryPlayer, scenario

SITES = ("cen-1", "cen-2", "sst-05", "pmi-04", "clg-0920077J", "gym-07", "par-05")
TYPES = (
    EventType.OUTAGE_POWER,
    EventType.OUTAGE_WATER,
    EventType.OUTAGE_IT,
    EventType.DAMAGE_REPORT,
)
REPORTS, PART = 560, 140
EACH_MS = 10
"""All come before the next step of a ladder."""
RECORD = 4 * 1024
DISK = 20 * 1024


def _outgoing(service: str, stored: StoredRecord) -> Counter[str]:
    """Return the bytes of a record on public topics and inputs of other services."""
    sizes: Counter[str] = Counter()
    for ordinal, fact in enumerate(stored.transaction.facts):
        headers = build_headers(
            fact.type,
            id=fact.id,
            source=f"/{service}",
            at=fact.at,
            place=stored.place(ordinal),
            place_hash=stored.hash,
        )
        size = len(orjson.dumps(fact.data)) + sum(
            len(name) + len(value or b"") for name, value in headers
        )
        receivers = list_destinations(stored.transaction.logic, service, fact.name, fact.data)
        for topic in (*list_public_topics(fact.name), *map(input_topic, receivers)):
            sizes[topic] += size
    return sizes


def test_a_report_costs_as_much_disk_at_the_end_of_a_storm_as_at_its_beginning() -> None:
    player = MemoryPlayer(scenario("S04"), "92~test-storm")
    system, realm, begun = player.system, player.realm, player.played.opening
    read = {name: len(system.services[name].log.of(realm)) for name in SERVICES}
    parts: list[Counter[str]] = []
    for n in range(REPORTS):
        if n % PART == 0:
            parts.append(Counter())
        report = ReportReceived(
            report_id=f"00000000-0000-5000-8000-{n:012}",
            source="site_manager",
            source_key="storm",
            site_id=SITES[n % len(SITES)],
            type=TYPES[n % len(TYPES)],
            severity=2,
            occurred_at=begun,
            recorded_at=begun + n * EACH_MS,
            text_id=f"report-{n}",
        )
        system.feed("alerts", realm, report, id=report.report_id, at=report.recorded_at)
        parts[-1][input_topic("alerts")] += len(encode_message(report))
        for name in SERVICES:
            records = system.services[name].log.of(realm)
            for stored in records[read[name] :]:
                parts[-1][log_topic(name)] += len(stored.raw)
                parts[-1] += _outgoing(name, stored)
            read[name] = len(records)
    first, *later = parts
    assert sum(part[log_topic("alerts")] for part in parts) / REPORTS < RECORD
    assert first.total() / PART < DISK
    assert max(part.total() for part in later) < min(part.total() for part in later) * 1.1, parts
    assert later[-1][log_topic("alerts")] < first[log_topic("alerts")]
    assert later[-1][input_topic("continuity")] == 0, "what continuity goes by has not changed"
