"""The steps of `vigie up` on a machine of a cluster."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from services.appliance.cluster.control import ClusterControl, ClusterRefused
from services.appliance.cluster.keeper import (
    INTERVAL_S,
    MachineLeft,
    check_membership,
    find_front,
    find_replication,
    keep_cluster,
)
from services.appliance.cluster.majority import keep_looking
from services.appliance.cluster.renewal import keep_certificates
from services.appliance.supervisor.supervisor import Supervisor
from services.appliance.supervisor.up import UpFailed, UpOptions
from services.runtime.kafka.clients import BrokerAway
from services.runtime.process.cluster import read_majority

log = structlog.get_logger(__name__)

MEETING_TIMEOUT_S: Final = 60.0
"""Longest time in seconds of one turn of a cluster's machine with the others."""


ASK_AGAIN_S: Final = 5.0
"""Seconds between questions to machines that do not answer."""


async def wait_for_servers(options: UpOptions, servers: Awaitable[object]) -> None:
    """Wait until the servers of this machine are ready.

    Raises UpFailed if another machine says that this one was taken out. The others shut its broker
    out, which would never be ready.
    """
    is_ready = asyncio.ensure_future(servers)
    asking = asyncio.create_task(_ask_for_membership(options))
    try:
        await asyncio.wait({is_ready, asking}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            asking.result()
        await is_ready
    except MachineLeft as error:
        raise UpFailed(str(error)) from error
    finally:
        is_ready.cancel()
        asking.cancel()


async def _ask_for_membership(options: UpOptions) -> None:
    """Ask the other machines until one answers. Raises MachineLeft."""
    assert options.member is not None
    member = options.member
    others = [machine.broker for machine in member.machines if machine != member.own]
    settings = options.settings.model_copy(update={"kafka": ",".join(others)})
    is_told = False
    while others:
        try:
            async with asyncio.timeout(MEETING_TIMEOUT_S):
                await check_membership(settings, member)
            break
        except (KafkaError, OSError):
            if not is_told:
                log.warning("cluster.alone", why=f"no other machine answers yet: {settings.kafka}")
            is_told = True
            await asyncio.sleep(ASK_AGAIN_S)


async def meet_cluster(options: UpOptions, supervisor: Supervisor) -> None:
    """Bring the cluster up to date with its machines, and this machine with the cluster.

    Failures are logged, because the next turn repeats all of it. Raises UpFailed if this machine
    was taken out of the cluster.
    """
    assert options.member is not None
    addresses = supervisor.addresses
    reached_settings = options.settings.model_copy(update={"kafka": addresses.kafka})
    try:
        async with asyncio.timeout(MEETING_TIMEOUT_S):
            updated_member = await keep_cluster(
                reached_settings, options.member, find_front(options.settings)
            )
            supervisor.change_addresses(replace(addresses, kafka=updated_member.brokers))
            await learn_replication(supervisor)
    except MachineLeft as error:
        raise UpFailed(str(error)) from error
    except (ClusterRefused, BrokerAway, KafkaError, OSError) as error:
        log.warning("cluster.not_kept", why=f"{type(error).__name__}: {error}")


async def learn_replication(supervisor: Supervisor) -> None:
    """Read the number of copies of the topics and give it to the processes to come."""
    addresses = supervisor.addresses
    async with ClusterControl(addresses.kafka) as control:
        replication = await find_replication(control)
    supervisor.change_addresses(replace(addresses, replication=replication))


async def _keep_meeting(options: UpOptions, supervisor: Supervisor) -> None:
    """Repeat the meeting with the other machines while a majority is seen."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        state = await asyncio.to_thread(read_majority, options.settings.data.majority)
        if state is None or state.has_majority:
            await meet_cluster(options, supervisor)


async def stay_in_cluster(
    options: UpOptions, supervisor: Supervisor, stop_task: asyncio.Task[bool]
) -> None:
    """Take part in the cluster until a stop is asked for.

    Raises UpFailed if the cluster let this machine go.
    """
    assert options.member is not None
    # A meeting waits long for machines that are away; the look at the majority goes on meanwhile
    tasks = {
        asyncio.create_task(_keep_meeting(options, supervisor)),
        asyncio.create_task(keep_looking(options.settings.data)),
        asyncio.create_task(keep_certificates(options.settings.data.secrets, options.member)),
    }
    try:
        ended_tasks, _ = await asyncio.wait(
            {*tasks, stop_task}, return_when=asyncio.FIRST_COMPLETED
        )
        for task in ended_tasks & tasks:
            await task
    finally:
        for task in tasks:
            task.cancel()
