"""Machines know of each other by records that only their own keys open."""

from __future__ import annotations

from dataclasses import asdict, replace

import orjson
import pytest

from services.appliance.cluster.members import RemovalRefused, check_leaving
from services.appliance.cluster.registry import (
    ClusterRecords,
    InvitationRecord,
    MachineRecord,
    fold_records,
)
from services.runtime.secrets.keyring import encrypt

KEY = bytes(32)
OTHER_KEY = bytes([1]) * 32


def make_machine(number: int, state: str = "in") -> MachineRecord:
    record = MachineRecord(
        number, f"10.0.0.{number}:9093", f"10.0.0.{number}:9094", f"site-{number}", "http://x", "1"
    )
    return replace(record, state=state)  # type: ignore[arg-type]


def seal(record: MachineRecord | InvitationRecord, key: bytes = KEY) -> tuple[bytes, bytes]:
    is_machine = isinstance(record, MachineRecord)
    name = f"machine:{record.number}" if is_machine else f"invitation:{record.id}"  # type: ignore[union-attr]
    return name.encode(), encrypt(key, orjson.dumps(asdict(record)), name.encode())


def build_records(*machines: MachineRecord) -> ClusterRecords:
    return fold_records(KEY, [seal(machine) for machine in machines])


def test_the_newest_record_of_a_machine_counts() -> None:
    cluster_records = build_records(make_machine(1), make_machine(2), make_machine(2, "left"))
    assert [record.number for record in cluster_records.members] == [1]


def test_records_of_accounts_are_ignored() -> None:
    cluster_records = fold_records(
        KEY, [(b"principal:x", b"sealed"), (None, None), seal(make_machine(1))]
    )
    assert list(cluster_records.machines) == [1]
    assert cluster_records.unreadable == 0


def test_a_record_of_other_keys_is_counted_and_changes_nothing() -> None:
    cluster_records = fold_records(
        KEY, [seal(make_machine(1)), seal(make_machine(1, "left"), OTHER_KEY)]
    )
    assert cluster_records.machines[1].state == "in"
    assert cluster_records.unreadable == 1


def test_a_record_cannot_stand_for_another_machine() -> None:
    _, sealed = seal(make_machine(1))
    assert fold_records(KEY, [(b"machine:2", sealed)]).machines == {}


def test_the_first_use_of_an_invitation_counts() -> None:
    made = InvitationRecord("a1", 2, 1000)
    uses = [replace(made, used_by=name) for name in ("first", "second")]
    cluster_records = fold_records(KEY, [seal(record) for record in (made, *uses)])
    assert cluster_records.uses == {"a1": "first"}


def test_numbers_are_never_used_twice() -> None:
    gone = make_machine(3, "left")
    invited = seal(InvitationRecord("a1", 4, 1000))
    assert fold_records(KEY, [seal(make_machine(1)), seal(gone), invited]).find_free_number() == 5
    assert build_records().find_free_number() == 1


def test_one_of_four_may_leave_and_one_of_two() -> None:
    everybody = frozenset({1, 2, 3, 4})
    check_leaving(build_records(*map(make_machine, (1, 2, 3, 4))), 2, everybody)
    check_leaving(build_records(*map(make_machine, (1, 2))), 1, everybody)


@pytest.mark.parametrize(
    ("numbers", "alive", "reason"),
    [
        ((1, 2, 3), {1, 2, 3}, "the loss of either"),
        ((1,), {1}, "the last machine"),
        ((1, 2, 3, 4), {1, 2, 4}, "machine 3 is away"),
    ],
)
def test_a_machine_that_is_needed_cannot_leave(
    numbers: tuple[int, ...], alive: set[int], reason: str
) -> None:
    records = build_records(*map(make_machine, numbers))
    with pytest.raises(RemovalRefused, match=reason):
        check_leaving(records, 1, frozenset(alive))
