"""Keep a cluster as its machines are: votes, copies, settings of topics, addresses, feeds.

Every machine runs the same steps at its start and every half minute. Each step looks first, so two
machines that do it at once, or a machine that dies in between, harm nothing.
"""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from schemas.topics import TOPICS
from services.appliance.cluster.control import (
    IN_STEP_SETTING,
    BrokersState,
    ClusterControl,
    QuorumState,
    raise_settings,
)
from services.appliance.cluster.layout import COPIES, are_all_in_step, count_copies, plan_copies
from services.appliance.cluster.registry import (
    ClusterRecords,
    ClusterRegistry,
    FeedSwitch,
    MachineRecord,
)
from services.runtime.identity.oidc_settings import OidcSettings, is_safe_url
from services.runtime.process.cluster import ClusterMember, write_member
from services.runtime.process.machine import get_or_create_machine_name
from services.runtime.process.settings import DataDir, Settings, find_version
from services.runtime.secrets.keyring import write_private
from services.watch.connector import list_connectors
from services.watch.store import FeedStore

_KEY_FILES: Final = (".key", ".source")
"""Ends of the names of a feed's files: the key of its publisher, and that of its source."""


def read_switches(data: DataDir) -> dict[str, FeedSwitch]:
    """Return the feeds that were switched here, by name. Raises OSError."""
    store, switches = FeedStore(data.feeds), dict[str, FeedSwitch]()
    try:
        for name in sorted(connector.spec.name for connector in list_connectors()):
            row = store.get(name)
            if row.enabled_at is not None:
                keys = _read_keys(data.secrets / "feeds", name)
                switches[name] = FeedSwitch(name, row.enabled, row.enabled_at, keys)
    finally:
        store.close()
    return switches


def _read_keys(folder: Path, name: str) -> dict[str, str]:
    files = [folder / f"{name}{end}" for end in _KEY_FILES]
    return {file.name: file.read_text(encoding="utf-8") for file in files if file.exists()}


def apply_switch(data: DataDir, switch: FeedSwitch) -> None:
    """Switch a feed here as it was switched elsewhere. Raises OSError.

    The watch may only read once its keys are there.
    """
    folder = data.secrets / "feeds"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for end in _KEY_FILES:
        text = switch.keys.get(f"{switch.name}{end}")
        if text is not None:
            write_private(folder / f"{switch.name}{end}", text.encode(), replace=True)
    store = FeedStore(data.feeds)
    try:
        store.enable(switch.name, switch.since, enabled=switch.enabled)
    finally:
        store.close()


def exchange_switches(data: DataDir, elsewhere: dict[str, FeedSwitch]) -> list[FeedSwitch]:
    """Apply later switches of other machines; return the later ones of this machine.

    Raises OSError.
    """
    here = read_switches(data)
    names = {connector.spec.name for connector in list_connectors()}
    for name, switch in elsewhere.items():
        if name in names and (name not in here or here[name].since < switch.since):
            apply_switch(data, switch)
    return [
        switch
        for name, switch in here.items()
        if name not in elsewhere or elsewhere[name].since < switch.since
    ]


INTERVAL_S: Final = 30.0
log = structlog.get_logger(__name__)


class MachineLeft(RuntimeError):
    """The cluster let this machine go, so that it must not start again."""

    def __init__(self, settings: Settings, member: ClusterMember) -> None:
        super().__init__(
            f"machine {member.number} has left its cluster: delete {settings.data_dir} and "
            "join again with a new invitation"
        )


async def check_membership(settings: Settings, member: ClusterMember) -> None:
    """Check that the brokers of `settings.kafka` count this machine among them.

    Raises MachineLeft, KafkaError, OSError.
    """
    async with ClusterRegistry.open(settings) as registry:
        records = await registry.read()
    own = records.machines.get(member.number)
    if own is not None and own.state == "left":
        raise MachineLeft(settings, member)


async def keep_cluster(settings: Settings, member: ClusterMember, front: str) -> ClusterMember:
    """Run all steps once and return the updated member.

    `settings.kafka` names the brokers, `front` is the address under which others reach this
    machine's pages. Raises MachineLeft, ClusterRefused, BrokerAway, KafkaError, OSError.
    """
    async with (
        ClusterRegistry.open(settings) as registry,
        ClusterControl(settings.kafka) as control,
    ):
        records = await registry.read()
        own = build_own_record(settings, member, front, records)
        if own.state == "left":
            raise MachineLeft(settings, member)
        if records.machines.get(member.number) != own:
            await registry.put_machine(own)
            records.machines[member.number] = own
        updated_member = update_member(settings, member, records)
        for switch in await asyncio.to_thread(exchange_switches, settings.data, records.feeds):
            await registry.put_feed(switch)
        await advance_cluster(member, registry, control, records)
    return updated_member


async def advance_cluster(
    member: ClusterMember,
    registry: ClusterRegistry,
    control: ClusterControl,
    records: ClusterRecords,
) -> None:
    """Give and take votes, move copies, and let machines go, as far as it can be done now."""
    brokers = await control.describe_brokers()
    await keep_votes(control, member.cluster, records, brokers)
    await keep_copies(control, records, brokers)
    await keep_leavers(control, registry, records, brokers)


def find_front(settings: Settings) -> str:
    """Return the address of this machine's front for the others, "" if they do not reach it."""
    own = f"http://{settings.http}"
    return OidcSettings().public_url or ("" if is_safe_url(own) else own)


def build_own_record(
    settings: Settings, member: ClusterMember, front: str, records: ClusterRecords
) -> MachineRecord:
    """Return the record of this machine as it is now."""
    name = get_or_create_machine_name(settings.data)
    own = member.own
    before = records.machines.get(member.number)
    if before is None:
        before = MachineRecord(own.number, own.broker, own.controller, name, front, "")
    return replace(
        before,
        broker=own.broker,
        controller=own.controller,
        name=name,
        front=front,
        version=find_version(),
    )


def update_member(
    settings: Settings, member: ClusterMember, records: ClusterRecords
) -> ClusterMember:
    """Return the member with the addresses of all machines, kept for the next start."""
    machines = {
        record.number: record.machine
        for record in records.machines.values()
        if record.state != "left" or record.number == member.number
    }
    updated_member = replace(
        member, machines=tuple(machines[number] for number in sorted(machines))
    )
    if updated_member != member:
        write_member(settings.data.secrets, updated_member)
        log.info("cluster.machines", numbers=sorted(machines))
    return updated_member


def choose_voters(voters: Collection[int], members: Collection[int]) -> set[int]:
    """Return the machines that should vote.

    Two voters stop when either is away, which is worse than one. So the second machine votes only
    from the third on.
    """
    if len(members) >= COPIES:
        return set(members)
    return set(voters) & set(members) or set(sorted(members)[:1])


async def keep_votes(
    control: ClusterControl, cluster: str, records: ClusterRecords, brokers: BrokersState
) -> None:
    """Give and take votes. Raises ClusterRefused."""
    quorum = await control.describe_quorum()
    members = {record.number for record in records.members}
    voters = choose_voters(quorum.voters, members)
    for number, state in quorum.observers.items():
        if number in voters and number in brokers.alive:
            log.info("cluster.vote_given", machine=number)
            await control.add_voter(cluster, state, records.machines[number].controller)
    await _take_votes(control, cluster, records, brokers, quorum)


async def _take_votes(
    control: ClusterControl,
    cluster: str,
    records: ClusterRecords,
    brokers: BrokersState,
    quorum: QuorumState,
) -> None:
    for number, state in quorum.voters.items():
        record = records.machines.get(number)
        if record is None or record.state == "in":
            continue
        is_drained = number not in brokers.alive or not find_copies(brokers, number)
        if is_drained and len(quorum.voters) > 1:
            log.info("cluster.vote_taken", machine=number)
            await control.remove_voter(cluster, state)


async def keep_copies(
    control: ClusterControl, records: ClusterRecords, brokers: BrokersState
) -> None:
    """Move copies to the machines that should hold them, then rely on them."""
    members = {record.number for record in records.members}
    if not members <= brokers.alive:
        return  # A machine that is away may be back in a moment
    moves = plan_copies(brokers.partitions, members)
    if moves:
        log.info("cluster.copies_move", partitions=len(moves))
        await control.move_copies(moves)
        return
    copies = count_copies(members)
    if copies < COPIES or not are_all_in_step(brokers.partitions, copies):
        return
    topics = {partition.topic for partition in brokers.partitions}
    new_settings = raise_settings(await control.read_topic_settings(topics), copies)
    if new_settings:
        log.info("cluster.copies_relied_on", topics=len(new_settings), copies=copies)
        await control.write_topic_settings(new_settings)


async def keep_leavers(
    control: ClusterControl,
    registry: ClusterRegistry,
    records: ClusterRecords,
    brokers: BrokersState,
) -> None:
    """Release leaving machines that hold nothing any more."""
    voters = (await control.describe_quorum()).voters
    for number, record in records.machines.items():
        if record.state == "in" or number in voters or find_copies(brokers, number):
            continue
        if record.state == "leaving":
            log.info("cluster.machine_left", machine=number)
            await registry.enter_state(record, "left")
        elif number not in brokers.alive:
            await control.unregister_broker(number)


def find_copies(brokers: BrokersState, number: int) -> int:
    """Return how many partitions have a copy on a machine."""
    return sum(number in copies.replicas for copies in brokers.partitions.values())


async def find_replication(control: ClusterControl) -> int:
    """Return how many copies the topics of the product rely on: one or three."""
    settings = await control.read_topic_settings([topic.name for topic in TOPICS])
    relies = any(now.get(IN_STEP_SETTING) == str(COPIES - 1) for now in settings.values())
    return COPIES if relies else 1
