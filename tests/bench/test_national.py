"""A hundred territories of 253 sites on one worker, a storm over thirty of them at once.

The baseline of each run is the same storm in one realm alone. The work of one input must stay
flat: decide, evolve, encode, hash.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest

from schemas.topics import PARTITION_COUNT, input_topic
from services.runtime.decider.inputs import InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.log.chain import ChainView, apply_input, create_empty_view
from services.runtime.worker.worker import GC_THRESHOLD
from tests.bench.test_intake import machine
from tests.bench.test_workers import DECIDERS, Record, of_realm, s04_inputs
from tests.shipped import territory

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

TERRITORIES: Final = tuple(f"{n:02d}~ex-national" for n in range(1, 101))
STORM: Final = 30
OPENING: Final = ("OpenRealm", "PublishReference", "RealmOpened", "ReferencePublished")
FLAT: Final = 0.20
ROUNDS: Final = 3
Told = list[tuple[bytes, list[tuple[str, bytes]]]]
Views = dict[int, ChainView[Any]]
"""Partition → its content."""


class Country:
    """One worker of one service with these realms open; a storm leaves it unchanged."""

    def __init__(self, service: str, given: Told, realms: tuple[str, ...]) -> None:
        self._made: Machine[Any] = Machine(DECIDERS[service]())
        self._topic = input_topic(service)
        self._storm = [one for one in given if _type(one[1]) not in OPENING]
        opening = [one for one in given if _type(one[1]) in OPENING]
        self._open: Views = {p: create_empty_view() for p in range(PARTITION_COUNT)}
        facts = self._tell(
            self._open, [record for realm in realms for record in _opened(opening, realm)]
        )
        assert facts["RealmOpened"] == len(realms)
        assert facts["ReferencePublished"] >= len(realms)

    def storm(self, realms: tuple[str, ...]) -> tuple[float, Counter[str]]:
        """Return (µs CPU per input, facts by name); realms take turns, one input each."""
        realm_records: list[Iterator[Record]] = [of_realm(self._storm, realm) for realm in realms]
        records = [record for together in zip(*realm_records, strict=True) for record in together]
        views = dict(self._open)
        gc.collect()
        began = time.process_time()
        facts = self._tell(views, records)
        return (time.process_time() - began) / len(records) * 1e6, facts

    def _tell(self, views: Views, records: list[Record]) -> Counter[str]:
        facts: Counter[str] = Counter()
        for partition, key, value, headers in records:
            view = views[partition]
            input_record = InputRecord(
                self._topic, partition, view.position.applied + 1, key, value, headers, 0
            )
            views[partition], appended = apply_input(self._made, view, input_record, "bench")
            facts.update(fact.name for fact in appended.transaction.facts)
            facts["inputs"] += 1
        return facts


def _opened(opening: Told, realm: str) -> Iterator[Record]:
    """Return the same opening for another territory."""
    for partition, key, value, headers in of_realm(opening, realm):
        yield (
            partition,
            key,
            value.replace(
                b'"territory":"92"', b'"territory":"%s"' % realm.split("~", maxsplit=1)[0].encode()
            ),
            headers,
        )


def _type(headers: list[tuple[str, bytes]]) -> str:
    return dict(headers)["ce_type"].decode().split(".")[1]


@pytest.fixture(autouse=True)
def _memory_as_in_a_worker() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLD)
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize("service", ["alerts", "continuity", "delivery"])
def test_an_input_costs_the_same_among_a_hundred_realms_as_in_one_alone(
    service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = s04_inputs(service)
    sites = len(territory().sites) * len(TERRITORIES)
    country = Country(service, inputs, TERRITORIES)
    alone = Country(service, inputs, TERRITORIES[:1])
    costs: dict[str, list[float]] = {"alone": [], "country": []}
    became: dict[str, Counter[str]] = {}
    for _ in range(ROUNDS):  # one after the other, so that a busy machine is busy for both
        for name, where, realms in (
            ("alone", alone, TERRITORIES[:1]),
            ("country", country, TERRITORIES[:STORM]),
        ):
            runs = [where.storm(realms) for _ in range(STORM if name == "alone" else 1)]
            costs[name].append(sum(us for us, _ in runs) / len(runs))
            became[name] = runs[0][1]
    one, all_ = min(costs["alone"]), min(costs["country"])
    with capsys.disabled():
        print(
            f"\n{machine()}\n  {service}, {len(TERRITORIES)} territories of together {sites:,} sites, S04 over {STORM} of them at once: "
            f"{became['country']['inputs']:,} inputs, {all_:.0f} µs CPU each; one realm alone {one:.0f} µs: {all_ / one:.2f} ×"
        )
    assert became["country"] == Counter({name: n * STORM for name, n in became["alone"].items()})
    assert all_ <= one * (1 + FLAT), costs
