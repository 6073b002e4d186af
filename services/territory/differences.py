"""Compare two versions of the reference data, section by section, row by row.

Rule D63.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from schemas.reference import Section, SectionData, Sites
from schemas.reference_changes import MAX_NAMED_ROWS, SectionDifference

_NAME_FIELDS: Final[tuple[tuple[str, ...], ...]] = (
    ("site", "activity", "metier"),
    ("metier", "by"),
    ("role", "scope"),
    ("id",),
    ("level",),
    ("insee",),
    ("base", "pct"),
    ("activity",),
    ("channel",),
    ("cause",),
    ("wave",),
    ("role",),
)
"""Fields that identify a row of a list; the first set that all rows have counts."""
_WRAPPER_FIELDS: Final = frozenset({"policy", "roster", "rules"})
"""Fields with rows in their own fields."""


def compare_sections(
    before: Sequence[SectionData], after: Sequence[SectionData]
) -> list[SectionDifference]:
    """List the sections that differ, in the order of `after`.

    A section may differ only in the order of its rows. A section that only `before` has stays in
    force, so it does not count.
    """
    earlier_sections = {section.section: section for section in before}
    return [
        _compare_section(earlier_sections.get(section.section), section)
        for section in after
        if earlier_sections.get(section.section) != section
    ]


def list_dropped_sites(before: Sequence[SectionData], after: Sequence[SectionData]) -> list[str]:
    """List the sites that `after` no longer has."""
    remaining_ids = {
        site.id for section in after if isinstance(section, Sites) for site in section.sites
    }
    return [
        site.id
        for section in before
        if isinstance(section, Sites)
        for site in section.sites
        if site.id not in remaining_ids
    ]


def _compare_section(before: SectionData | None, after: SectionData) -> SectionDifference:
    old, new = _index_rows(before) if before is not None else {}, _index_rows(after)
    dropped_names = [name for name in old if name not in new]
    changed_names = [name for name in new if name in old and old[name] != new[name]]
    added_names = [name for name in new if name not in old]
    row_marks = [
        *(f"-{n}" for n in dropped_names),
        *(f"~{n}" for n in changed_names),
        *(f"+{n}" for n in added_names),
    ]
    return SectionDifference(
        section=Section(after.section),
        added=len(added_names),
        changed=len(changed_names),
        dropped=len(dropped_names),
        named=tuple(row_marks[:MAX_NAMED_ROWS]),
    )


def _index_rows(section: SectionData) -> dict[str, Any]:
    """Index the rows of a section by name."""
    rows: dict[str, Any] = {}
    for name, row in _walk_rows(section.model_dump(mode="json", exclude={"section"})):
        number = (
            next((n for n in range(2, len(rows) + 3) if f"{name} ({n})" not in rows), 0)
            if name in rows
            else 0
        )
        rows[f"{name} ({number})" if number else name] = row
    return rows


def _walk_rows(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for field, value in fields.items():
        if field in _WRAPPER_FIELDS and isinstance(value, dict):
            yield from _walk_rows(value)
        elif isinstance(value, dict):
            yield from ((f"{field} {key}", row) for key, row in value.items())
        elif (names := _find_name_fields(value)) is not None:
            yield from ((_format_row_name(field, row, names), row) for row in value)
        else:
            yield field, value


def _find_name_fields(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        return None
    return next(
        (names for names in _NAME_FIELDS if all(name in row for row in value for name in names)),
        None,
    )


def _format_row_name(field: str, row: Mapping[str, Any], names: Sequence[str]) -> str:
    row_name = " ".join(str(row[name]) for name in names if row[name] is not None)
    return row_name if field in _SECTION_LISTS else f"{field} {row_name}"


_SECTION_LISTS: Final = frozenset({"communes", "sites", "activities", "plans", "channels"})
"""Lists that are the section itself; their rows need no other name."""
