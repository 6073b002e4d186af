"""The changes between two versions, in rows of their files (D63)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from schemas.reference import (
    PLAN_CONTENT_SECTIONS,
    PUBLISHING_ORDER,
    Section,
    SectionData,
    Staffing,
    compute_version,
)
from schemas.reference_changes import MAX_NAMED_ROWS, SectionDifference
from services.territory.differences import compare_sections, list_dropped_sites
from tests.shipped import territory

_SECTION: TypeAdapter[SectionData] = TypeAdapter(SectionData)


def _with(section: Section, edit: Any) -> tuple[SectionData, ...]:
    """Return the territory with one section edited as JSON."""

    def one(data: SectionData) -> SectionData:
        if data.section is not section:
            return data
        raw = data.model_dump(mode="json")
        edit(raw)
        return _SECTION.validate_python(raw)

    return tuple(one(data) for data in territory().sections)


def _named(section: Section, edit: Any) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    (difference,) = compare_sections(territory().sections, _with(section, edit))
    assert difference.section is section
    return (difference.added, difference.changed, difference.dropped), difference.named


def test_a_version_read_back_from_json_is_the_same() -> None:
    again = [_SECTION.validate_json(section.model_dump_json()) for section in territory().sections]
    assert compute_version(again) == territory().version
    assert compare_sections(territory().sections, again) == []
    published = [section.section for section in again]
    assert published == [section for section in PUBLISHING_ORDER if section in published]
    assert set(PUBLISHING_ORDER) - set(published) <= set(PLAN_CONTENT_SECTIONS)


def test_rows_are_added_changed_and_dropped() -> None:
    def edit(raw: dict[str, Any]) -> None:
        gone, other, *rest = raw["sites"]
        raw["sites"] = [other | {"desks": 999}, *rest, gone | {"id": "new-1"}]

    first, second = (s["id"] for s in territory().sections[1].model_dump(mode="json")["sites"][:2])
    assert _named(Section.SITES, edit) == ((1, 1, 1), (f"-{first}", f"~{second}", "+new-1"))
    assert list_dropped_sites(territory().sections, _with(Section.SITES, edit)) == [first]


def test_rows_within_the_policy_are_named_by_their_kind() -> None:
    def edit(raw: dict[str, Any]) -> None:
        raw["policy"]["ladders"]["N3"][0]["ack_min"] += 1
        raw["policy"]["budget_per_hour"] += 1
        raw["policy"]["levels"][1]["text"] += "."
        del raw["policy"]["roles"]["observateur"]

    assert _named(Section.ESCALATION, edit) == (
        (0, 3, 1),
        ("-roles observateur", "~levels 1", "~ladders N3", "~budget_per_hour"),
    )


def test_staffing_and_roster_rows_have_the_key_of_their_file() -> None:
    def staff(raw: dict[str, Any]) -> None:
        raw["cells"][0]["staff"] += 1

    staffing = next(s for s in territory().sections if isinstance(s, Staffing))
    cell = staffing.cells[0]
    assert _named(Section.STAFFING, staff) == (
        (0, 1, 0),
        (f"~cells {cell.site} {cell.activity} {cell.metier}",),
    )

    def hold(raw: dict[str, Any]) -> None:
        raw["roster"]["holders"][0]["holder"] = "somebody-else"

    assert _named(Section.ROSTER, hold)[0] == (0, 1, 0)


def test_another_order_of_rows_is_a_difference_without_rows() -> None:
    def edit(raw: dict[str, Any]) -> None:
        raw["communes"].reverse()

    assert _named(Section.COMMUNES, edit) == ((0, 0, 0), ())


def test_a_long_section_is_counted_whole_and_named_in_part() -> None:
    differences = compare_sections([], territory().sections)
    assert [d.section for d in differences] == [s.section for s in territory().sections]
    (sites,) = [d for d in differences if d.section is Section.SITES]
    assert sites.added == len(territory().sites)
    assert len(sites.named) == MAX_NAMED_ROWS


@pytest.mark.parametrize("named", [("a",) * (MAX_NAMED_ROWS + 1)], ids=["too_many"])
def test_the_list_of_names_is_bounded(named: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="at most"):
        SectionDifference(section=Section.SITES, named=named)
