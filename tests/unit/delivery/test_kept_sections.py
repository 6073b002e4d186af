"""Messages of real calls have a name for each thing in the reference data."""

from __future__ import annotations

import pytest

from schemas.reference import SectionData
from services.delivery.decider import _KEPT_SECTIONS
from services.messages import MessageNames
from tests.shipped import territory

SECTIONS = territory().sections


@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: one.section)
def test_delivery_keeps_each_section_that_names_something_in_messages(section: SectionData) -> None:
    if MessageNames().with_section(section) != MessageNames():
        assert section.section in _KEPT_SECTIONS
