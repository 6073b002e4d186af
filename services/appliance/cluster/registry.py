"""Knowledge of the machines about each other: sealed records on the topic `access`.

A machine with other keys cannot read or write them. Services ignore these records.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, Self

import orjson

from schemas.topics import TOPICS_BY_NAME
from services.runtime.kafka.clients import KeyedWriter
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.cluster import (
    FEED_KEY,
    INVITATION_KEY,
    MACHINE_KEY,
    MAX_NUMBER,
    Machine,
)
from services.runtime.process.machine import now_ms
from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import MasterKey, decrypt, encrypt

TOPIC: Final = "access"
MachineState = Literal["in", "leaving", "left"]


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """One machine, as it said at its last start."""

    number: int
    broker: str
    controller: str
    name: str
    """Name of its data directory on its host."""
    front: str
    """Address of its front for browsers and senders."""
    version: str
    state: MachineState = "in"
    since: int = 0
    """Time of the state in ms."""

    @property
    def machine(self) -> Machine:
        """Return its addresses."""
        return Machine(self.number, self.broker, self.controller, self.front)


@dataclass(frozen=True, slots=True)
class InvitationRecord:
    """One invitation and its use."""

    id: str
    number: int
    expires_at: int
    used_by: str = ""
    """A random name of the attempt that used it."""


@dataclass(frozen=True, slots=True)
class FeedSwitch:
    """A feed that somebody has switched on or off."""

    name: str
    enabled: bool
    since: float
    """Unix seconds; the latest switch counts."""
    keys: dict[str, str]
    """Content of its files in `secrets/feeds`, by name."""


@dataclass(frozen=True, slots=True)
class ClusterRecords:
    """All records at one moment."""

    machines: dict[int, MachineRecord]
    invitations: dict[str, InvitationRecord]
    uses: dict[str, str]
    """Invitation → the first attempt that used it, in the order of the topic."""
    feeds: dict[str, FeedSwitch] = field(default_factory=dict)
    unreadable: int = 0
    """Records that were written with other keys."""

    @property
    def members(self) -> list[MachineRecord]:
        """Return the machines that hold copies, by number."""
        return [record for _, record in sorted(self.machines.items()) if record.state == "in"]

    def find_free_number(self) -> int:
        """Return a number that no machine ever had. Raises ValueError."""
        used = [*self.machines, *(record.number for record in self.invitations.values())]
        number = max(used, default=0) + 1
        if number > MAX_NUMBER:
            raise ValueError("every number of a machine was used")
        return number


class ClusterRegistry:
    """Reader and writer of the records. Use it with `async with`."""

    def __init__(self, kafka: str, seal_key: bytes) -> None:
        self._kafka = kafka
        self._seal_key = seal_key
        self._writer = KeyedWriter(kafka)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the registry of the brokers in the settings. Raises OSError, MasterKeyInvalid."""
        return cls(settings.kafka, MasterKey.open(settings.data.secrets).derive_key("access"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writer.stop()

    async def read(self) -> ClusterRecords:
        """Return all records. Raises KafkaError, OSError."""
        partitions = range(TOPICS_BY_NAME[TOPIC].partitions)
        async with PartitionReader(self._kafka) as reader:
            bounds = await reader.bounds(TOPIC, partitions)
            entries = [(record.key, record.value) async for record in reader.read(TOPIC, bounds)]
        return fold_records(self._seal_key, entries)

    async def put_machine(self, record: MachineRecord) -> None:
        """Write the record of a machine. Raises BrokerAway."""
        await self._put(f"{MACHINE_KEY}{record.number}", asdict(record))

    async def enter_state(self, record: MachineRecord, state: MachineState) -> None:
        """Write another state of a machine. Raises BrokerAway."""
        await self.put_machine(replace(record, state=state, since=now_ms()))

    async def put_invitation(self, record: InvitationRecord) -> None:
        """Write the record of an invitation. Raises BrokerAway."""
        await self._put(f"{INVITATION_KEY}{record.id}", asdict(record))

    async def put_feed(self, switch: FeedSwitch) -> None:
        """Write the record of a feed. Raises BrokerAway."""
        await self._put(f"{FEED_KEY}{switch.name}", asdict(switch))

    async def _put(self, key: str, content: dict[str, Any]) -> None:
        value = encrypt(self._seal_key, orjson.dumps(content), key.encode())
        await self._writer.put(TOPIC, key, value)


def fold_records(
    seal_key: bytes, records: Iterable[tuple[bytes | None, bytes | None]]
) -> ClusterRecords:
    """Return the state after these records of the topic. Other records are ignored."""
    machines: dict[int, MachineRecord] = {}
    invitations: dict[str, InvitationRecord] = {}
    uses: dict[str, str] = {}
    feeds: dict[str, FeedSwitch] = {}
    unreadable: set[str] = set()
    for raw_key, value in records:
        key = (raw_key or b"").decode("utf-8", "replace")
        if value is None or not key.startswith((MACHINE_KEY, INVITATION_KEY, FEED_KEY)):
            continue
        try:
            content = orjson.loads(decrypt(seal_key, value, key.encode()))
            if key.startswith(MACHINE_KEY):
                machine = MachineRecord(**content)
                machines[machine.number] = machine
            elif key.startswith(FEED_KEY):
                switch = FeedSwitch(**content)
                feeds[switch.name] = switch
            else:
                invitation = InvitationRecord(**content)
                invitations[invitation.id] = invitation
                if invitation.used_by:
                    uses.setdefault(invitation.id, invitation.used_by)
        except (ValueError, TypeError):
            unreadable.add(key)
        else:
            unreadable.discard(key)
    return ClusterRecords(machines, invitations, uses, feeds, len(unreadable))
