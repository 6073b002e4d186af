"""Realms, topics and routes: where each record lies, and where each accepted fact goes.

* **Realms** have a name, a partition and derived ids. A realm has the same partition number on
  every core topic (`partition_of`).
* **Topics** have a key, content, partitions and retention. Provisioning creates exactly these; a
  start on a topic that differs is refused by name. All core topics are keyed by realm.
* **Routes** lead accepted facts to other services and public topics, by logic version.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b, sha1
from typing import Any, Final
from uuid import UUID, uuid5

MAX_STEP_MINUTES: Final = 10 * 366 * 1440
"""Longest time in minutes by which the clock of a simulated realm moves at once."""
_NAME_PATTERN = re.compile(
    r"(?P<territory>[0-9A-Za-z]{1,8})(?:~(?P<kind>ex|what|test)-(?P<run>[0-9A-Za-z][0-9A-Za-z_-]{0,47}))?"
)
_VARIANT_DIGITS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_DEMONSTRATIONS: Final = ("~ex-demo-", "~ex-flux-")
"""Parts of the names of exercises that play themselves."""
_NAMESPACE = UUID("8c1d5f0e-92a7-5b1e-9b1e-0a5f2f6f9200")


class RealmKind(StrEnum):
    LIVE = "live"
    EXERCISE = "ex"
    WHAT_IF = "what"
    TEST = "test"


class RealmNameInvalid(ValueError):
    """Signal an invalid realm name.

    A realm is `<territory>` or `<territory>~ex-<id>`, `~what-<id>`, `~test-<id>`.
    """


def parse_realm(name: str) -> tuple[str, RealmKind, str | None]:
    """Split a realm name into (territory, kind, run).

    Raises RealmNameInvalid.
    """
    m = _NAME_PATTERN.fullmatch(name)
    if not m:
        raise RealmNameInvalid(f"not a realm name: {name!r}")
    return m["territory"], RealmKind(m["kind"]) if m["kind"] else RealmKind.LIVE, m["run"]


def get_territory(realm: str) -> str:
    """Return the live realm of a realm's territory. Raises RealmNameInvalid."""
    return parse_realm(realm)[0]


def is_demonstration(realm: str) -> bool:
    """Return whether an exercise plays itself, so that nobody is exercised in it."""
    return any(part in realm for part in _DEMONSTRATIONS)


def is_live(realm: str) -> bool:
    """Return whether a realm runs on the real clock.

    All others have a simulated clock and cannot reach real recipients.
    """
    return "~" not in realm


def partition_of(realm: str, partitions: int) -> int:
    """Return the partition of a realm: live realms on the first half, all others on the second."""
    half = max(partitions // 2, 1)
    slot = int.from_bytes(blake2b(realm.encode(), digest_size=4).digest()) % half
    return slot if is_live(realm) or partitions == 1 else half + slot


def live_partitions(partitions: int) -> range:
    """Return the partitions of live realms.

    They hold no other realm, unless there is only one partition.
    """
    return range(max(partitions // 2, 1))


@lru_cache(maxsize=1024)
def lineage_namespace(lineage: str) -> UUID:
    """Return the namespace of all ids in the history that began in realm `lineage`.

    A fork keeps the ids of its origin.
    """
    return uuid5(_NAMESPACE, lineage)


@lru_cache(maxsize=1024)
def _namespace_bytes(lineage: str) -> bytes:
    return lineage_namespace(lineage).bytes


def derive_id(lineage: str, source_id: str, kind: str, ordinal: int) -> str:
    """Derive the id of one effect: `uuid5(lineage, id carried by the input, kind, ordinal)`.

    Implements RFC 9562 by hand: `str(uuid.uuid5(...))` costs ten times as much, for every fact of
    every input.
    """
    name = f"{source_id}\x1f{kind}\x1f{ordinal}".encode()
    h = sha1(_namespace_bytes(lineage) + name, usedforsecurity=False).hexdigest()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT_DIGITS[h[16]]}{h[17:20]}-{h[20:32]}"


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
    """Set flush.messages=1 on a single node (ADR 0003, flush each record on a single node)."""
    max_message_bytes: int = 1_048_576
    segment_ms: int | None = None
    """Age at which a segment is closed, so that compaction begins; None = the broker's default."""


def input_topic(service: str) -> str:
    """Return the name of the ordered input topic of a decider."""
    return f"{service}.inputs"


def urgent_topic(service: str) -> str:
    """Return the name of the urgent lane of a decider that has one."""
    return f"{service}.urgent"


def is_urgent(topic: str) -> bool:
    """Return whether a topic is the urgent lane of a decider."""
    return topic == urgent_topic(topic.rpartition(".")[0])


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
        "feeds",
        "memory of the official feeds and their readers, between the machines of a cluster, sealed",
        Retention.COMPACTED,
        partitions=1,
        key="kind and feed",
        max_message_bytes=LARGE_MESSAGE_BYTES,
        segment_ms=3_600_000,
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
    if topic.segment_ms is not None:
        config["segment.ms"] = str(topic.segment_ms)
    if topic.append_time:
        config["message.timestamp.type"] = "LogAppendTime"
    if topic.durable_each:
        config["flush.messages"] = "1"
    return config


ROUTES: dict[int, dict[str, dict[str, tuple[str, ...]]]] = {
    1: {
        "alerts": {
            "RealmOpened": ("continuity", "delivery"),
            "RealmClosed": ("continuity", "delivery"),
            "ReferencePublished": ("continuity", "delivery"),
            "SiteStatusChanged": ("continuity",),
            "IncidentChanged": ("continuity",),
            "LevelChanged": ("continuity",),
            "TriggerChanged": ("continuity",),
            "FlagChanged": ("continuity",),
            "AreaOrderChanged": ("continuity",),
            "NotificationPlanned": ("delivery",),
            "NotificationWithdrawn": ("delivery",),
            "NotificationUrged": ("delivery",),
            "ReachabilityChanged": ("delivery",),
            "LaddersDrilled": ("delivery",),
        },
        "continuity": {
            "MetricChanged": ("alerts",),
            "AttentionRequested": ("alerts",),
            "CrisisTended": ("alerts",),
            "SitrepIssued": ("alerts",),
            "ImprovementChanged": ("alerts",),
            "CardAnswerSettled": ("delivery",),
        },
        "delivery": {
            "AnswerReceived": ("alerts",),
            "Unreachable": ("alerts",),
            "CardsAnswered": ("continuity",),
            "AttentionRequested": ("alerts",),
        },
    }
}
"""Logic version → source service → fact name → destinations.

The logic version of a record selects its table.
"""

PUBLIC_FACTS: dict[str, tuple[str, ...]] = {
    "incidents": (
        "ReportChanged",
        "SiteStatusChanged",
        "IncidentChanged",
        "LevelChanged",
        "TaskChanged",
        "FlagChanged",
        "AreaOrderChanged",
    ),
    "notifications": (
        "NotificationPlanned",
        "NotificationWithdrawn",
        "EscalationChanged",
        "AnswerRecorded",
        "RoleUncovered",
    ),
    "continuity": (
        "ActivityChanged",
        "LocalClockChanged",
        "AlarmRaised",
        "AlarmArbitrated",
        "StrategyChanged",
        "SitrepIssued",
        "ImprovementChanged",
        "ContingencyChanged",
    ),
    "statements": ("StatementChanged", "QuestionChanged", "PublicationChanged"),
    "plans": ("PlanChanged", "TriggerChanged", "SiteCardChanged"),
    "deliveries": ("NotificationChanged", "HoldChanged", "CallOutChanged"),
    "reassignments": ("ProposalChanged", "ReassignmentChanged", "ReassignmentOrdered"),
    "actions": ("ActionChanged", "StimulusChanged"),
    "obligations": ("ObligationChanged",),
    "handovers": ("HandoverChanged",),
    "resource-requests": ("ResourceRequestChanged", "StockChanged"),
}
"""Public topic → fact names."""


def list_destinations(
    logic: int, service: str, fact: str, data: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the services that receive a fact; none if the fact carries `routed: false`.

    Raises KeyError for a logic version without a table.
    """
    return ROUTES[logic][service].get(fact, ()) if data.get("routed", True) else ()


def list_receivers(service: str) -> list[str]:
    """Return the services that receive any fact of this one, in any logic version."""
    return sorted(
        {
            receiver
            for table in ROUTES.values()
            for receivers in table.get(service, {}).values()
            for receiver in receivers
        }
    )


def list_public_topics(fact: str) -> tuple[str, ...]:
    """Return the public topics that carry a fact."""
    return tuple(topic for topic, facts in PUBLIC_FACTS.items() if fact in facts)


CONDUCTOR_ROUTES: frozenset[tuple[str, str]] = frozenset(
    {("delivery", "alerts"), ("delivery", "continuity")}
)
"""(source, destination) that the conductor forwards itself in simulated realms.

It forwards one fact at a time, when the realm is quiet.
"""


def is_published(source: str, destination: str, realm: str) -> bool:
    """Return whether a publisher forwards facts of this realm; otherwise the conductor does."""
    return is_live(realm) or (source, destination) not in CONDUCTOR_ROUTES
