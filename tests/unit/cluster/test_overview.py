"""`vigie cluster status` names each fault and its remedy."""

from __future__ import annotations

from dataclasses import replace

from services.appliance.cluster.control import BrokersState, ControllerState, QuorumState
from services.appliance.cluster.layout import Copies, Partition
from services.appliance.cluster.overview import ClusterOverview, build_overview
from services.appliance.cluster.registry import ClusterRecords
from services.runtime.process.cluster import ClusterMember
from tests.unit.cluster.test_registry import make_machine


def build(
    records: ClusterRecords,
    alive: set[int],
    partitions: dict[Partition, Copies],
    copies: int = 3,
    certificate_days: dict[int, int] | None = None,
) -> ClusterOverview:
    machines = tuple(record.machine for record in records.machines.values())
    controllers = tuple(
        ControllerState(number, bytes(16), 0, votes=True) for number in records.machines
    )
    return build_overview(
        ClusterMember("Kp9", 1, machines),
        records,
        QuorumState(1, controllers),
        BrokersState(frozenset(alive), partitions),
        copies,
        certificate_days or {},
    )


def make_records(*numbers: int) -> ClusterRecords:
    return ClusterRecords({number: make_machine(number) for number in numbers}, {}, {})


FULL = {Partition("alerts.log", 0): Copies((1, 2, 3), frozenset({1, 2, 3}), 2)}


def test_three_machines_in_step_have_no_fault() -> None:
    overview = build(make_records(1, 2, 3), {1, 2, 3}, FULL)
    assert overview.faults == ()
    assert [machine.leads for machine in overview.machines] == [0, 1, 0]
    assert [machine.leads_quorum for machine in overview.machines] == [True, False, False]


def test_a_machine_that_is_away_is_named_with_its_remedy() -> None:
    late = {Partition("alerts.log", 0): Copies((1, 2, 3), frozenset({1, 2}), 2)}
    overview = build(make_records(1, 2, 3), {1, 2}, late)
    assert "machine 3 is away" in overview.faults[0]
    assert overview.machines[2].late == 1
    assert overview.machines[2].lag is None


def test_two_machines_before_the_third_have_one_copy() -> None:
    overview = build(make_records(1, 2), {1, 2}, FULL, copies=1)
    assert overview.faults == (
        "2 of 3 machines: invite another, because a report has one copy until then",
    )


def test_two_machines_that_are_left_of_three_need_each_other() -> None:
    """Their copies stay three, of which two are in step."""
    overview = build(make_records(1, 3), {1, 3}, FULL)
    assert overview.faults == (
        "2 of 3 machines: invite another, because the loss of machine 1 or 3 stops the others",
    )


def test_different_versions_and_other_keys_are_faults() -> None:
    records = make_records(1, 2, 3)
    records.machines[2] = replace(records.machines[2], version="2")
    overview = build(replace(records, unreadable=1), {1, 2, 3}, FULL)
    assert [fault.split(":")[0] for fault in overview.faults] == [
        "the machines run different versions",
        "1 records of machines were written with other keys",
    ]


def test_a_certificate_that_was_not_renewed_is_named_with_its_machine() -> None:
    days = {1: 183, 2: 89, 3: -1}
    overview = build(make_records(1, 2, 3), {1, 2, 3}, FULL, certificate_days=days)
    assert [fault.split(":")[0] for fault in overview.faults] == [
        "the certificate of machine 2 ends in 89 days",
        "the certificate of machine 3 has ended",
    ]
    assert [machine.certificate_days for machine in overview.machines] == [183, 89, -1]


def test_machines_that_left_are_not_shown() -> None:
    records = make_records(1, 2, 3)
    records.machines[4] = make_machine(4, "left")
    overview = build(records, {1, 2, 3}, FULL)
    assert [machine.number for machine in overview.machines] == [1, 2, 3]
