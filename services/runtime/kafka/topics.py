"""Create Kafka's topics exactly by `schemas.topics`, and refuse a topic that differs.

Other partitions would move realms, another policy would lose history. So neither is ever altered
here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError

from schemas.topics import TOPICS, Topic, kafka_config
from services.runtime.kafka.security import get_client_options
from services.runtime.log.partition_reader import PartitionReader

TIMEOUT_MS = 15_000
_ALREADY_EXISTS = 36


class BrokerUnreachable(ConnectionError):
    """No Kafka broker answers at this address."""


class TopicsDiffer(RuntimeError):
    """One or more topics exist with other partitions or another policy than `schemas.topics`."""

    def __init__(self, differences: Sequence[str]) -> None:
        self.differences = tuple(differences)
        super().__init__("; ".join(self.differences))


@dataclass(frozen=True, slots=True)
class ProvisionedTopics:
    created_topics: tuple[str, ...]
    existing: tuple[str, ...]


def build_desired_config(topic: Topic, replication: int) -> dict[str, str]:
    """Return the configuration of a topic.

    With copies on several brokers, `min.insync.replicas` replaces the flush of each record
    (`docs/adr/0003-flush-each-record-on-a-single-node.md`).
    """
    config = kafka_config(topic)
    config.setdefault("message.timestamp.type", "CreateTime")
    if replication > 1:
        config.pop("flush.messages", None)
        config["min.insync.replicas"] = str(replication - 1)
    return config


async def provision_topics(
    kafka: str, *, replication: int = 1, topics: Sequence[Topic] = TOPICS
) -> ProvisionedTopics:
    """Create missing topics, then compare all of them.

    Idempotent, and safe when several processes start at once. Raises BrokerUnreachable,
    TopicsDiffer (naming every difference), or KafkaError if the broker refuses to create a topic.
    """
    admin = await _connect_admin(kafka)
    try:
        existing = set(await admin.list_topics())
        missing = [t for t in topics if t.name not in existing]
        if missing:
            await _create_topics(admin, missing, replication)
            await _wait_for_leaders(kafka, missing)
        differing = await _list_differences(admin, topics, replication)
        await _prepare_coordinator(admin)
    finally:
        await admin.close()
    if differing:
        raise TopicsDiffer(differing)
    return ProvisionedTopics(
        tuple(t.name for t in missing), tuple(t.name for t in topics if t.name in existing)
    )


async def list_differences(
    kafka: str, *, replication: int = 1, topics: Sequence[Topic] = TOPICS
) -> list[str]:
    """Describe each difference from the result of `provision_topics`, without changing anything.

    Raises BrokerUnreachable, KafkaError.
    """
    admin = await _connect_admin(kafka)
    try:
        existing = set(await admin.list_topics())
        missing = [f"topic {t.name} does not exist" for t in topics if t.name not in existing]
        return missing + await _list_differences(
            admin, [t for t in topics if t.name in existing], replication
        )
    finally:
        await admin.close()


async def _connect_admin(kafka: str) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=kafka, request_timeout_ms=TIMEOUT_MS, **get_client_options()
    )
    try:
        await admin.start()
    except (KafkaConnectionError, OSError) as error:
        await admin.close()
        raise BrokerUnreachable(f"no Kafka broker answers at {kafka}") from error
    return admin


async def _wait_for_leaders(kafka: str, topics: Sequence[Topic]) -> None:
    """Wait until new topics have leaders: a topic exists a moment before it takes records."""
    async with PartitionReader(kafka) as reader:
        for topic in topics:
            await reader.bounds(topic.name, range(topic.partitions))


async def _prepare_coordinator(admin: AIOKafkaAdminClient) -> None:
    """Make a new broker create its topic of group offsets now, not when the first worker joins."""
    try:
        await admin.find_coordinator("vigie")
    except KafkaError:
        return  # The broker is creating it, as intended


async def _create_topics(
    admin: AIOKafkaAdminClient, missing: Sequence[Topic], replication: int
) -> None:
    new_topics = [
        NewTopic(
            t.name, t.partitions, replication, topic_configs=build_desired_config(t, replication)
        )
        for t in missing
    ]
    response = await admin.create_topics(new_topics, timeout_ms=TIMEOUT_MS)
    for name, code, *rest in response.topic_errors:
        if code not in (0, _ALREADY_EXISTS):
            raise KafkaError(
                f"the broker refused to create topic {name}: {rest[0] if rest else code}"
            )


async def _list_differences(
    admin: AIOKafkaAdminClient, topics: Sequence[Topic], replication: int
) -> list[str]:
    differences = []
    descriptions = {d["topic"]: d for d in await admin.describe_topics([t.name for t in topics])}
    for topic in topics:
        partitions = len(descriptions[topic.name]["partitions"])
        if partitions != topic.partitions:
            differences.append(
                f"topic {topic.name} has {partitions} partitions instead of {topic.partitions}"
            )
    resources = [ConfigResource(ConfigResourceType.TOPIC, t.name) for t in topics]
    actual: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for _code, _message, _kind, name, entries in response.resources:
            actual[name] = {entry[0]: entry[1] for entry in entries}
    for topic in topics:
        for key, value in build_desired_config(topic, replication).items():
            current = actual[topic.name].get(key)
            if current != value:
                differences.append(f"topic {topic.name} has {key}={current} instead of {value}")
    return differences
