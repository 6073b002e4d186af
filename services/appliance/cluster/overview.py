"""The overview of `vigie cluster status`: machines, votes, copies, versions and faults."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from services.appliance.cluster.control import BrokersState, ClusterControl, QuorumState
from services.appliance.cluster.keeper import find_copies, find_replication
from services.appliance.cluster.layout import COPIES
from services.appliance.cluster.registry import ClusterRecords, ClusterRegistry, MachineRecord
from services.runtime.kafka.broker_certificate import (
    WARNING_DAYS,
    count_days,
    describe_end,
    find_first_end,
)
from services.runtime.kafka.security import get_security
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
    certificate_days: int | None
    """Days until the certificate that it presents ends; None if it presents none."""


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
    certificates = await _count_certificate_days(records)
    return build_overview(member, records, quorum, brokers, copies, certificates)


async def _count_certificate_days(records: ClusterRecords) -> dict[int, int]:
    """Return the days until the first certificate of each machine ends, by number."""
    machines = [record for record in records.machines.values() if record.state != "left"]
    ends = await asyncio.gather(
        *(
            find_first_end([machine.broker, machine.controller], get_security().ca)
            for machine in machines
        )
    )
    return {
        machine.number: count_days(end)
        for machine, end in zip(machines, ends, strict=True)
        if end is not None
    }


def build_overview(
    member: ClusterMember,
    records: ClusterRecords,
    quorum: QuorumState,
    brokers: BrokersState,
    copies: int,
    certificate_days: Mapping[int, int],
) -> ClusterOverview:
    """Return the overview of one moment."""
    present = [record for _, record in sorted(records.machines.items()) if record.state != "left"]
    machines = tuple(
        _describe_machine(record, member, quorum, brokers, certificate_days.get(record.number))
        for record in present
    )
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
    record: MachineRecord,
    member: ClusterMember,
    quorum: QuorumState,
    brokers: BrokersState,
    certificate_days: int | None,
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
        certificate_days=certificate_days,
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
    faults += [
        f"the certificate of machine {machine.number} {describe_end(machine.certificate_days)}: it "
        "should have been renewed, see why in the log of `vigie up` there"
        for machine in machines
        if machine.certificate_days is not None and machine.certificate_days < WARNING_DAYS
    ]
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
