"""Table of all topics: key, content, partitions, retention.

Provisioning creates exactly these; a start on a topic that differs is refused by name. All core
topics are keyed by realm and use `schemas.realms.partition_of`, so a realm has the same partition
number everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from schemas.realms import is_live

PARTITION_COUNT = 8
"""Partitions of every realm-keyed topic; fixed for the life of an installation."""

SERVICES = ("alerts", "continuity", "delivery")


SERVICES_WITH_URGENT_LANE: set[str] = {"alerts"}
"""Deciders with a second input topic, the urgent lane, which is decided first."""


class Retention(StrEnum):
    FOREVER = "forever"  # delete policy, retention.ms = -1
    COMPACTED = "compacted"  # newest record per key; a null value erases
    WEEK = "week"  # messages between machines; a machine that missed some asks again


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    holds: str
    """Content of a record, in words for AsyncAPI and docs."""
    retention: Retention
    partitions: int = PARTITION_COUNT
    key: str = "realm"
    append_time: bool = False
    """Use the broker's append time, the only clock of a live realm, not the producer's."""
    durable_each: bool = False
    """Set flush.messages=1 on a single node (docs/adr/0003-flush-each-record-on-a-single-node.md)."""
    max_message_bytes: int = 1_048_576


def input_topic(service: str) -> str:
    """Return the name of the ordered input topic of a decider."""
    return f"{service}.inputs"


def urgent_topic(service: str) -> str:
    """Return the name of the urgent lane of a decider that has one."""
    return f"{service}.urgent"


def input_topics(service: str) -> tuple[str, ...]:
    """Return the input topics of a decider, the urgent lane last."""
    return (
        (input_topic(service), urgent_topic(service))
        if service in SERVICES_WITH_URGENT_LANE
        else (input_topic(service),)
    )


def is_input_topic(topic: str) -> bool:
    """Return whether a topic is an input of a decider, on either lane."""
    return topic.endswith((".inputs", ".urgent"))


def select_urgent_topic(service: str, realm: str) -> str:
    """Return the topic for an urgent input.

    Urgent are danger to people, commands of people, facts of other services, ticks and renewals of
    leases. A simulated realm has one lane, because its conductor alone decides the order.
    """
    return (
        urgent_topic(service)
        if service in SERVICES_WITH_URGENT_LANE and is_live(realm)
        else input_topic(service)
    )


def log_topic(service: str) -> str:
    """Return the name of a decider's log."""
    return f"{service}.log"


def snapshot_topic(service: str) -> str:
    """Return the name of the topic with a decider's snapshots."""
    return f"{service}.snapshots"


LARGE_MESSAGE_BYTES = 1_310_720
"""Limit for topics with records that wrap a whole body of 1 MiB.

Their producers set `max_request_size` to twice this.
"""

PUBLIC_TOPICS = (
    "incidents",
    "continuity",
    "plans",
    "reassignments",
    "notifications",
    "deliveries",
    "actions",
    "statements",
    "obligations",
    "handovers",
    "resource-requests",
)

TOPICS: tuple[Topic, ...] = (
    *(
        Topic(
            input_topic(s),
            f"inputs of {s}, CloudEvents binary",
            Retention.FOREVER,
            append_time=True,
            durable_each=True,
        )
        for s in SERVICES
    ),
    *(
        Topic(
            urgent_topic(s),
            f"urgent inputs of {s}, CloudEvents binary",
            Retention.FOREVER,
            append_time=True,
            durable_each=True,
        )
        for s in SERVICES
        if s in SERVICES_WITH_URGENT_LANE
    ),
    *(
        Topic(
            log_topic(s),
            f"Transactions of {s}, one per input",
            Retention.FOREVER,
            durable_each=True,
        )
        for s in SERVICES
    ),
    *(
        Topic(
            snapshot_topic(s),
            f"snapshot chunks and manifests of {s}",
            Retention.COMPACTED,
            key="slot and chunk",
        )
        for s in SERVICES
    ),
    *(
        Topic(p, f"public facts about {p}, CloudEvents binary", Retention.FOREVER)
        for p in PUBLIC_TOPICS
    ),
    Topic(
        "events.external",
        "CloudEvents of producers outside, binary or structured",
        Retention.FOREVER,
        key="source",
    ),
    Topic(
        "directory",
        "people's contact points, encrypted per item",
        Retention.COMPACTED,
        partitions=1,
        key="person token",
        durable_each=True,
    ),
    Topic(
        "texts",
        "free text, raw bytes and photos, encrypted per item",
        Retention.COMPACTED,
        partitions=4,
        key="text id",
        durable_each=True,
        max_message_bytes=LARGE_MESSAGE_BYTES,
    ),
    Topic(
        "access",
        "accounts, rights, token hashes, sources",
        Retention.COMPACTED,
        partitions=1,
        key="kind and id",
        durable_each=True,
    ),
    Topic(
        "keyring",
        "data keys on their way between the machines of a cluster, sealed per machine",
        Retention.WEEK,
        partitions=1,
        key="kind and machine",
        durable_each=True,
    ),
    Topic(
        "fronts",
        "signs of life of sources and counts of quotas, between the fronts of a cluster",
        Retention.WEEK,
        partitions=1,
        key="kind",
    ),
    Topic(
        "dead-letters",
        "inputs that failed or could not be read, with the reason and the original bytes",
        Retention.FOREVER,
        max_message_bytes=LARGE_MESSAGE_BYTES,
    ),
)

TOPICS_BY_NAME: dict[str, Topic] = {t.name: t for t in TOPICS}


def kafka_config(topic: Topic) -> dict[str, str]:
    """Return the Kafka configuration of a topic."""
    config = {"max.message.bytes": str(topic.max_message_bytes)}
    match topic.retention:
        case Retention.FOREVER:
            config |= {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
        case Retention.COMPACTED:
            config |= {
                "cleanup.policy": "compact",
                "min.cleanable.dirty.ratio": "0.2",
                "delete.retention.ms": "86400000",
            }
        case Retention.WEEK:
            config |= {
                "cleanup.policy": "delete",
                "retention.ms": "604800000",
                "retention.bytes": "-1",
                "segment.ms": "3600000",
            }
    if topic.append_time:
        config["message.timestamp.type"] = "LogAppendTime"
    if topic.durable_each:
        config["flush.messages"] = "1"
    return config
