"""Derived ids are version-5 UUIDs in the namespace of the lineage, for ever."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import (
    RealmNameInvalid,
    derive_id,
    lineage_namespace,
    live_partitions,
    parse_realm,
    partition_of,
)


@given(st.text(max_size=40), st.text(max_size=60), st.text(max_size=20), st.integers(0, 10_000))
def test_a_derived_id_is_the_uuid5_of_its_name(
    lineage: str, source: str, kind: str, ordinal: int
) -> None:
    derived = derive_id(lineage, source, kind, ordinal)
    assert derived == str(uuid5(lineage_namespace(lineage), f"{source}\x1f{kind}\x1f{ordinal}"))
    assert UUID(derived).version == 5


def test_an_id_once_derived_never_changes() -> None:
    assert derive_id("92~ex-7", "report-1", "incident", 0) == "41ebcf6e-100a-5429-870d-28fe4ec08649"


def test_live_realms_lie_on_the_first_half_and_all_others_on_the_second() -> None:
    assert {partition_of(f"{n}", 8) for n in range(200)} == set(live_partitions(8))
    assert {partition_of(f"92~ex-{n}", 8) for n in range(200)}.isdisjoint(live_partitions(8))


@pytest.mark.parametrize(
    "name",
    ["92\n", "92~ex-7\n", "92~ex-", "92~exercise-7", "92~ex-7 ", "", "9" * 9, "92~ex-" + "x" * 49],
)
def test_an_invalid_name_opens_no_realm(name: str) -> None:
    """A name that ended with a line feed was taken: a realm that no address leads to."""
    with pytest.raises(RealmNameInvalid):
        parse_realm(name)
