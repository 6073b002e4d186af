"""Equal reference data is one object while it is in use, and freed afterwards."""

from __future__ import annotations

import gc
from weakref import ref

import pytest

from schemas.reference import ReferencePublished, Section
from schemas.wire import share_object
from services.alerts.decider import AlertsDecider
from services.continuity.decider import ContinuityDecider
from services.runtime.decider.protocol import Decider
from tests.shipped import territory


def published() -> list[ReferencePublished]:
    """Return the data as every realm reads it from its own log."""
    sections = territory().sections
    return [
        ReferencePublished.model_validate_json(
            ReferencePublished(
                reference="r", data=data, last=data is sections[-1]
            ).model_dump_json()
        )
        for data in sections
    ]


def test_equal_data_is_one_object_and_different_data_two() -> None:
    first, again = (
        one.model_copy(update={"sites": one.sites[1:]})
        for one in (published()[1].data for _ in range(2))
    )
    """Data of this test alone."""
    assert first is not again
    assert share_object(first) is share_object(again) is first
    other = first.model_copy(update={"sites": first.sites[1:]})
    assert share_object(other) is other
    gone = ref(first)
    del first, again, other
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("decider", [AlertsDecider(), ContinuityDecider()], ids=lambda d: d.service)
def test_realms_share_equal_data_even_after_a_restart(decider: Decider[object]) -> None:
    states = []
    for realm in ("92~ex-1", "92~ex-2"):
        state = decider.initial(realm, realm)
        for n, fact in enumerate(published()):
            state = decider.evolve(state, fact, f"f{n}", 1)
        states.append(state)
    one, other = states
    loaded = decider.load("92~ex-1", "92~ex-1", decider.dump(one))
    assert loaded == one
    for sections in (other.sections, loaded.sections):  # type: ignore[attr-defined]
        for name in (Section.SITES.value, Section.PLANS.value):
            assert getattr(sections[name], "data", sections[name]) is getattr(
                one.sections[name], "data", one.sections[name]
            )  # type: ignore[attr-defined]
