"""The overview of `vigie cluster status`: machines, votes, copies, versions and faults."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from services.appliance.cluster.control import (
    BrokersState,
    ClusterControl,
    QuorumState,
)
from services.appliance.cluster.keeper import find_copies, find_replication
from services.appliance.cluster.layout import COPIES
from services.appliance.cluster.registry import ClusterRecords, ClusterRegistry, MachineRecord
from services.runtime.process.cluster import ClusterMember
from services.runtime.process.settings import Settings


@dataclass(frozen=True, slots=True)
class MachineOverview:
    """One machine."""

    number: int
    name: str
    front: str
    broker: str
    version: str
    state: str
    """`alive`, `away`, `leaving` or `joining`."""
    is_own: bool
    votes: bool
    leads_quorum: bool
    lag: int | None
    """Records of the metadata that its controller has not read; None if it is not seen."""
    leads: int
    """Partitions that it leads."""
    copies: int
    late: int
    """Copies that are not in step."""


@dataclass(frozen=True, slots=True)
class ClusterOverview:
    """All machines and faults."""

    cluster: str
    copies: int
    partitions: int
    late: int
    machines: tuple[MachineOverview, ...]
    faults: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the form of `--json`."""
        return asdict(self)


async def read_overview(settings: Settings, member: ClusterMember) -> ClusterOverview:
    """Ask the brokers. Raises ClusterRefused, KafkaError, OSError."""
    async with (
        ClusterRegistry.open(settings) as registry,
        ClusterControl(settings.kafka) as control,
    ):
        records = await registry.read()
        quorum = await control.describe_quorum()
        brokers = await control.describe_brokers()
        copies = await find_replication(control)
    return build_overview(member, records, quorum, brokers, copies)


def build_overview(
    member: ClusterMember,
    records: ClusterRecords,
    quorum: QuorumState,
    brokers: BrokersState,
    copies: int,
) -> ClusterOverview:
    """Return the overview of one moment."""
    present = [record for _, record in sorted(records.machines.items()) if record.state != "left"]
    machines = tuple(_describe_machine(record, member, quorum, brokers) for record in present)
    late = [
        partition
        for partition, partition_copies in brokers.partitions.items()
        if not partition_copies.in_step >= set(partition_copies.replicas)
    ]
    return ClusterOverview(
        member.cluster,
        copies,
        len(brokers.partitions),
        len(late),
        machines,
        tuple(find_faults(machines, records, copies, len(late))),
    )


def _describe_machine(
    record: MachineRecord, member: ClusterMember, quorum: QuorumState, brokers: BrokersState
) -> MachineOverview:
    number = record.number
    controller = quorum.voters.get(number) or quorum.observers.get(number)
    state = "away"
    if number in brokers.alive:
        state = "leaving" if record.state == "leaving" else "alive"
    machine_copies = [
        partition_copies
        for partition_copies in brokers.partitions.values()
        if number in partition_copies.replicas
    ]
    return MachineOverview(
        number=number,
        name=record.name,
        front=record.front,
        broker=record.broker,
        version=record.version,
        state=state,
        is_own=number == member.number,
        votes=number in quorum.voters,
        leads_quorum=number == quorum.leader,
        lag=controller.lag if controller is not None and state != "away" else None,
        leads=sum(partition_copies.leader == number for partition_copies in machine_copies),
        copies=find_copies(brokers, number),
        late=sum(number not in partition_copies.in_step for partition_copies in machine_copies),
    )


def find_faults(
    machines: tuple[MachineOverview, ...], records: ClusterRecords, copies: int, late: int
) -> list[str]:
    """Return one sentence for each thing that needs a person, or time."""
    faults = []
    away = [str(machine.number) for machine in machines if machine.state == "away"]
    if away:
        faults.append(
            f"machine {', '.join(away)} is away: start it, or `vigie cluster replace` if it is lost"
        )
    if len(machines) < COPIES:
        faults.append(_describe_few_machines(machines, copies))
    elif copies < COPIES:
        faults.append("the copies are being made: until then a report has one")
    elif late:
        faults.append(f"{late} partitions have a copy that is late")
    versions = sorted({machine.version for machine in machines})
    if len(versions) > 1:
        faults.append(f"the machines run different versions: {', '.join(versions)}")
    if records.unreadable:
        faults.append(
            f"{records.unreadable} records of machines were written with other keys: find out who "
            "has the broker's password"
        )
    return faults


def _describe_few_machines(machines: tuple[MachineOverview, ...], copies: int) -> str:
    """Describe the risk of fewer than three machines."""
    beginning = f"{len(machines)} of {COPIES} machines: invite another"
    voters = [str(machine.number) for machine in machines if machine.votes]
    if copies == COPIES:
        return f"{beginning}, because the loss of machine {' or '.join(voters)} stops the others"
    return f"{beginning}, because a report has one copy until then"
