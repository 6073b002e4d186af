"""Take machines out of a cluster: a living one that leaves, and a dead one that is replaced."""

from services.appliance.cluster.control import ClusterControl
from services.appliance.cluster.keeper import advance_cluster, find_copies, keep_votes
from services.appliance.cluster.layout import COPIES
from services.appliance.cluster.registry import ClusterRecords, ClusterRegistry
from services.runtime.process.cluster import ClusterMember
from services.runtime.process.settings import Settings
from services.runtime.secrets.key_exchange import dismiss_machine


class RemovalRefused(RuntimeError):
    """The machine cannot go; the message says why."""


def check_leaving(records: ClusterRecords, number: int, alive: frozenset[int]) -> None:
    """Check that the others can take the copies of a machine that leaves. Raises RemovalRefused."""
    members = {record.number for record in records.members}
    others = members - {number}
    if not others:
        raise RemovalRefused("the last machine of a cluster cannot leave it")
    if len(members) == COPIES:
        raise RemovalRefused(
            "with two machines left, the loss of either would stop both: invite a fourth machine "
            "first, or replace a dead one with `vigie cluster replace`"
        )
    away = sorted(others - alive)
    if away:
        raise RemovalRefused(f"machine {away[0]} is away: wait for it, or replace it first")


async def start_leaving(settings: Settings, member: ClusterMember) -> None:
    """Tell the machines of the cluster that this one leaves; they take its copies.

    Raises RemovalRefused, BrokerAway, KafkaError, OSError.
    """
    async with (
        ClusterRegistry.open(settings) as registry,
        ClusterControl(settings.kafka) as control,
    ):
        records = await registry.read()
        own = records.machines.get(member.number)
        if own is None or own.state != "in":
            return
        check_leaving(records, member.number, (await control.describe_brokers()).alive)
        await registry.enter_state(own, "leaving")


async def advance_leaving(settings: Settings, member: ClusterMember) -> int | None:
    """Continue to leave; return how many copies are still here, None at the end.

    Raises ClusterRefused, BrokerAway, KafkaError, OSError.
    """
    async with (
        ClusterRegistry.open(settings) as registry,
        ClusterControl(settings.kafka) as control,
    ):
        records = await registry.read()
        own = records.machines.get(member.number)
        if own is not None and own.state == "left":
            await dismiss_machine(settings, own.name)
            return None
        await advance_cluster(member, registry, control, records)
        return find_copies(await control.describe_brokers(), member.number)


async def dismiss_dead_machine(settings: Settings, member: ClusterMember, dead: int) -> None:
    """Take the vote of a dead machine and mark it as gone for good.

    Raises RemovalRefused, ClusterRefused, BrokerAway, KafkaError, OSError.
    """
    async with (
        ClusterRegistry.open(settings) as registry,
        ClusterControl(settings.kafka) as control,
    ):
        records = await registry.read()
        record = records.machines.get(dead)
        if record is None:
            machine_numbers = ", ".join(str(number) for number in sorted(records.machines))
            raise RemovalRefused(f"the cluster has no machine {dead}, only {machine_numbers}")
        brokers = await control.describe_brokers()
        if dead in brokers.alive:
            raise RemovalRefused(
                f"machine {dead} is alive: stop it first, or run `vigie cluster leave` on it"
            )
        if record.state != "left":
            await registry.enter_state(record, "left")
        await dismiss_machine(settings, record.name)
        await keep_votes(control, member.cluster, await registry.read(), brokers)
