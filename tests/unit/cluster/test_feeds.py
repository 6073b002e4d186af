"""A feed that is switched at one machine of a cluster is switched at all, with its keys."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import orjson
import pytest

from services.appliance.cluster.keeper import exchange_switches, read_switches
from services.appliance.cluster.registry import FeedSwitch, fold_records
from services.runtime.process.settings import DataDir
from services.runtime.secrets.keyring import encrypt
from services.watch.store import FeedStore

SEAL_KEY = bytes(32)


@pytest.fixture
def machines(tmp_path: Path) -> tuple[DataDir, DataDir]:
    made = DataDir(tmp_path / "first"), DataDir(tmp_path / "second")
    for data in made:
        data.make()
    return made


def switch(data: DataDir, feed: str, since: float, *, enabled: bool) -> None:
    """Switch a feed as its command does."""
    store = FeedStore(data.feeds)
    store.enable(feed, since, enabled=enabled)
    store.close()


def put_key(data: DataDir, file: str, text: str) -> None:
    (data.secrets / "feeds").mkdir(exist_ok=True)
    (data.secrets / "feeds" / file).write_text(text)


def share(first: DataDir, second: DataDir) -> None:
    """Exchange the switches of both machines, one after the other, over the topic."""
    records: list[tuple[bytes | None, bytes | None]] = []
    for data in (first, second, first):
        for each in exchange_switches(data, fold_records(SEAL_KEY, records).feeds):
            key = f"feed:{each.name}"
            sealed = encrypt(SEAL_KEY, orjson.dumps(asdict(each)), key.encode())
            records.append((key.encode(), sealed))


def test_a_feed_is_on_everywhere_with_its_keys(machines: tuple[DataDir, DataDir]) -> None:
    first, second = machines
    put_key(first, "rte-ecowatt.key", "id:secret")
    put_key(first, "rte-ecowatt.source", "token")
    switch(first, "rte-ecowatt", 100.0, enabled=True)
    share(first, second)
    assert read_switches(second) == read_switches(first)
    keys = second.secrets / "feeds"
    assert (keys / "rte-ecowatt.key").read_text() == "id:secret"
    assert (keys / "rte-ecowatt.source").stat().st_mode & 0o777 == 0o600


def test_the_latest_switch_counts_wherever_it_was(machines: tuple[DataDir, DataDir]) -> None:
    first, second = machines
    switch(first, "vigicrues", 100.0, enabled=True)
    switch(second, "vigicrues", 200.0, enabled=False)
    switch(second, "cert-fr", 150.0, enabled=True)
    share(first, second)
    for data in machines:
        states = {name: each.enabled for name, each in read_switches(data).items()}
        assert states == {"cert-fr": True, "vigicrues": False}


def test_machines_that_agree_write_nothing(machines: tuple[DataDir, DataDir]) -> None:
    first, _ = machines
    switch(first, "vigicrues", 100.0, enabled=True)
    assert exchange_switches(first, read_switches(first)) == []


def test_a_feed_of_another_version_is_left_alone(machines: tuple[DataDir, DataDir]) -> None:
    first, _ = machines
    unknown = FeedSwitch("a-feed-of-tomorrow", enabled=True, since=1.0, keys={})
    assert exchange_switches(first, {unknown.name: unknown}) == []
    assert read_switches(first) == {}
