"""Provisioning: exactly the topics of `schemas.topics`, and no start on one that differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata

from schemas.topics import TOPICS, TOPICS_BY_NAME
from services.appliance.embedded.kafka import RunningKafka
from services.appliance.embedded.store import is_serving as store_is_serving
from services.runtime.identity.home_realm import KEY, read_home_realm, settle_home_realm
from services.runtime.identity.installation import CLAIM_KEY, KeysDiffer, claim_broker
from services.runtime.kafka.clients import KeyedWriter
from services.runtime.kafka.topics import BrokerUnreachable, TopicsDiffer, provision_topics
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import find_free_ports
from services.runtime.secrets.keyring import MasterKey, encrypt, write_private
from tests.brokers import RunningStore


async def test_a_second_provisioning_finds_everything_and_creates_nothing(
    broker: RunningKafka,
) -> None:
    again = await provision_topics(broker.address)
    assert again.created_topics == ()
    assert set(again.existing) == {t.name for t in TOPICS}


async def test_a_topic_with_other_partitions_or_policy_is_refused_by_name(
    broker: RunningKafka,
) -> None:
    differing = (
        replace(TOPICS_BY_NAME["alerts.inputs"], partitions=4, append_time=False),
        replace(TOPICS_BY_NAME["texts"], max_message_bytes=1000),
    )
    with pytest.raises(TopicsDiffer) as refused:
        await provision_topics(broker.address, topics=differing)
    assert "topic alerts.inputs has 8 partitions instead of 4" in refused.value.differences
    assert (
        "topic alerts.inputs has message.timestamp.type=LogAppendTime instead of CreateTime"
        in refused.value.differences
    )
    assert (
        f"topic texts has max.message.bytes={TOPICS_BY_NAME['texts'].max_message_bytes} instead of 1000"
        in refused.value.differences
    )


async def test_an_address_without_a_broker_is_named() -> None:
    port = find_free_ports(1)[0]
    with pytest.raises(BrokerUnreachable, match=f"127.0.0.1:{port}"):
        await provision_topics(f"127.0.0.1:{port}")


async def test_the_store_answers_at_its_socket(store: RunningStore) -> None:
    assert await store_is_serving(store.node.socket)


async def test_a_probe_of_the_broker_asks_only_for_the_topics_of_its_writer(
    broker: RunningKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The front asks every two seconds, for months."""
    answered: list[set[str]] = []
    update = ClusterMetadata.update_metadata

    def note_topics(cluster: ClusterMetadata, metadata: Any) -> None:
        answered.append({topic for _, topic, *_ in metadata.topics})
        update(cluster, metadata)

    writer = KeyedWriter(broker.address)
    try:
        await writer.connect("alerts.inputs", "texts")
        monkeypatch.setattr(ClusterMetadata, "update_metadata", note_topics)
        assert await writer.reachable()
        assert answered == [{"alerts.inputs", "texts"}]
        await writer.put("access", "other", None)
    finally:
        await writer.stop()


async def test_a_broker_refuses_a_machine_with_other_keys(
    broker: RunningKafka, tmp_path: Path
) -> None:
    """It joined the groups, took over calls and failed them: it could open no name."""
    ours, other = (
        Settings(data_dir=tmp_path / name, kafka=broker.address) for name in ("ours", "other")
    )
    ours.data.make()
    writer = KeyedWriter(broker.address)
    try:
        access_key = MasterKey.open(ours.data.secrets).derive_key("access")
        for key in ("principal:somebody", CLAIM_KEY):
            await writer.put("access", key, encrypt(access_key, b"{}", key.encode()))
        await claim_broker(ours)
        with pytest.raises(KeysDiffer):
            await claim_broker(other)
    finally:
        await writer.put("access", CLAIM_KEY, None)
        await writer.stop()


async def test_the_first_territory_stays_the_home_realm_on_every_machine(
    broker: RunningKafka, tmp_path: Path
) -> None:
    """A machine with another territory would read people of its own under the items of the first."""
    machines = [
        Settings(data_dir=tmp_path / name, kafka=broker.address, territory=tmp_path / name)
        for name in ("92", "93")
    ]
    first, second = (settings.data.secrets for settings in machines)
    for settings in machines:
        settings.data.make()
    MasterKey.open(first)
    write_private(second / "master.key", (first / "master.key").read_bytes())
    writer = KeyedWriter(broker.address)
    try:
        assert [await settle_home_realm(settings) for settings in machines] == ["92", "92"]
        assert [read_home_realm(settings) for settings in machines] == ["92", "92"]
    finally:
        await writer.put("access", KEY.decode(), None)
        await writer.stop()
