"""A leader dies under load in a cluster that `vigie cluster` formed, and machines come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from services.appliance.cluster.control import ClusterControl
from services.appliance.cluster.invitation import open_invitation
from services.appliance.cluster.keeper import MachineLeft
from tests.faults.test_cluster import IN_STEP_S, Run
from tests.formed_cluster import FormedCluster
from tests.system import RunningVigie
from tests.waiting import eventually

SPREAD_WAIT_S: Final = 90.0
"""Less than the five minutes after which Kafka spreads leaders by itself."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the product on a cluster of its own, bootstrapped from all three addresses."""
    cluster = FormedCluster(tmp_path_factory.mktemp("cluster"))
    try:
        asyncio.run(cluster.start())
        options = ("--kafka", cluster.addresses)
        login = cluster.login | {"VIGIE_KAFKA_REPLICATION": "3"}
        folder = tmp_path_factory.mktemp("vigie")
        cluster.share_key(folder / "data" / "secrets")
        with RunningVigie(folder, options=options, **login) as vigie:
            yield Run(cluster, vigie)
    finally:
        cluster.stop()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_death_of_a_leader_of_three_machines_loses_nothing(
    run: Run, record_property: Callable[[str, object], None]
) -> None:
    run.storm([False, True], record_property)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_leaders_are_spread_and_return_to_a_machine_that_was_away(tmp_path: Path) -> None:
    asyncio.run(spread_leaders(FormedCluster(tmp_path)))


async def spread_leaders(cluster: FormedCluster) -> None:
    async with cluster:
        await eventually(lambda: leads_a_fair_share(cluster, {1, 2, 3}), SPREAD_WAIT_S)
        cluster.kill(1)
        await eventually(lambda: cluster.is_in_step({2, 3}), IN_STEP_S)
        cluster.revive(1)
        await eventually(lambda: cluster.is_in_step({1, 2, 3}), IN_STEP_S)
        await eventually(lambda: leads_a_fair_share(cluster, {1, 2, 3}), SPREAD_WAIT_S)


async def leads_a_fair_share(cluster: FormedCluster, machines: set[int]) -> bool:
    """Return whether each machine leads at least a quarter of the partitions."""
    description = await cluster.describe()
    leads = (
        Counter(copies.leader for copies in description.partitions.values()) if description else {}
    )
    return all(leads.get(number, 0) >= sum(leads.values()) / 4 > 0 for number in machines)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_machine_leaves_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    """A fourth takes the copies of one that leaves, then the vote of a dead one is taken."""
    asyncio.run(change_machines(FormedCluster(tmp_path)))


async def change_machines(cluster: FormedCluster) -> None:
    async with cluster:
        await cluster.join(4, cluster.command(1, "invite"))
        cluster.command(2, "leave")
        assert await cluster.is_in_step({1, 3, 4})
        cluster.kill(2)
        with pytest.raises(AssertionError, match="machine 3 is alive"):
            cluster.command(1, "replace", "3")
        cluster.kill(3)
        await eventually(lambda: cluster.is_in_step({1, 4}), IN_STEP_S)
        invitation = open_invitation(cluster.command(1, "replace", "3"))
        assert invitation.number == 5
        async with ClusterControl(cluster.addresses) as control:
            quorum = await control.describe_quorum()
        assert set(quorum.voters) == {1, 4}
        with pytest.raises(MachineLeft):
            await cluster.keep(2)
