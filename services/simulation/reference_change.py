"""Change the reference data of a simulation by a merge patch or with another territory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from schemas.reference import PublishReference, Section, SectionData
from services.territory import Territory
from services.territory.source import (
    YamlInvalid,
    find_line,
    is_too_large,
    read_yaml,
    to_plain_value,
)

_NAME_FIELDS: Final = ("id", "level", "wave", "insee", "activity", "channel", "role")
"""Fields that identify an element of a list; the first that all elements have counts."""
_SECTIONS: Final = tuple(section.value for section in Section)
AUTHOR: Final = "system:whatif"


class ChangeInvalid(ValueError):
    """Signal a patch that does not fit the reference data; the message names the place."""


def read_patch(file: Path) -> dict[str, Any]:
    """Read a patch file: section → change.

    Raises ChangeInvalid and OSError.
    """
    try:
        patch = read_yaml(file)
    except YamlInvalid as error:
        raise ChangeInvalid(f"{file}:{error.line}: {error}") from error
    if not isinstance(patch, dict) or not patch or not set(patch) <= set(_SECTIONS):
        raise ChangeInvalid(f"{file}: sections are expected ({', '.join(_SECTIONS)})")
    if wide := next((section for section in patch if is_too_large(patch[section])), None):
        raise ChangeInvalid(
            f"{file}:{find_line(patch, wide)}: {wide} holds too much for a patch, or itself: give a whole folder by --territory"
        )
    return {section: to_plain_value(change) for section, change in patch.items()}


def apply_patch(
    sections: Sequence[SectionData], patch: Mapping[str, Any]
) -> tuple[SectionData, ...]:
    """Merge a patch into the sections.

    Mappings are merged, null removes a key, elements of lists are addressed by name. Raises
    ChangeInvalid.
    """
    have = {section.section.value for section in sections}
    if unknown := sorted(set(patch) - have):
        raise ChangeInvalid(f"{unknown[0]}: the realm has no such section")
    return tuple(
        _patch_section(section, patch[section.section.value])
        if section.section.value in patch
        else section
        for section in sections
    )


def _patch_section(section: SectionData, patch: Any) -> SectionData:
    new_data = _merge_value(section.model_dump(mode="json"), patch, section.section.value)
    try:
        return type(section).model_validate(new_data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ChangeInvalid(f"{section.section.value}.{where}: {fault['msg']}") from error


def _merge_value(value: Any, patch: Any, where: str) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    if isinstance(value, list):
        return _merge_list(value, patch, where)
    new_value = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            new_value.pop(str(key), None)
        else:
            new_value[str(key)] = _merge_value(new_value.get(str(key)), change, f"{where}.{key}")
    return new_value


def _merge_list(value: list[Any], patch: Mapping[Any, Any], where: str) -> list[Any]:
    name = next(
        (n for n in _NAME_FIELDS if value and all(isinstance(e, dict) and n in e for e in value)),
        None,
    )
    if name is None:
        raise ChangeInvalid(f"{where}: elements of this list have no name; give the whole list")
    change_by_key = {str(key): change for key, change in patch.items()}
    new_list = []
    for element in value:
        key = str(element[name])
        change = change_by_key.pop(key, {})
        if change is not None:
            new_list.append(_merge_value(element, change, f"{where}.{key}"))
    for key, addition in change_by_key.items():
        if addition is None or name not in addition:
            element_names = ", ".join(sorted({str(e[name]) for e in value})[:8])
            raise ChangeInvalid(
                f"{where}: no element {name} = {key} (there are {element_names}); a new one needs its `{name}`"
            )
        new_list.append(addition)
    return new_list


def build_commands(
    sections: Sequence[SectionData], realm: str
) -> list[tuple[str, PublishReference]]:
    """Build (input id, command) for each section, under a version of their own."""
    raw = b"\n".join(section.model_dump_json().encode() for section in sections)
    version = blake2b(raw, digest_size=8).hexdigest()
    return [
        (
            f"reference:{realm}:{version}:{s.section}",
            PublishReference(
                author=AUTHOR, role="admin", reference=version, data=s, last=n == len(sections)
            ),
        )
        for n, s in enumerate(sections, start=1)
    ]


def list_sections(territory: Territory) -> tuple[SectionData, ...]:
    return territory.sections
