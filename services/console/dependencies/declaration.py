"""Declare a dependency in the sections of a reference version. Rules D63, D131. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas import reference as ref
from services.console.dependencies.network import LostResource, ResourceKind

_UNNAMED: Final = frozenset({ResourceKind.SITE, ResourceKind.LINE, ResourceKind.PERSON})
"""Kinds of resource that an activity does not list."""


def declare_dependency(
    sections: Sequence[ref.SectionData], resource: str, activity: str
) -> list[ref.SectionData]:
    """Return the version with the resource among those that the activity names.

    Parts of plans that belong to an earlier version are left out. Raises ValueError for a resource
    that no activity can name.
    """
    lost_resource = LostResource.parse(resource)
    if lost_resource is None or lost_resource.kind in _UNNAMED:
        raise ValueError(f"{resource}: no activity can name it")
    parts = next((s.content_parts for s in sections if isinstance(s, ref.Plans)), 0)
    valid = frozenset(ref.PLAN_CONTENT_SECTIONS[:parts])
    valid_sections = [
        s for s in sections if not isinstance(s, ref.PlanContents) or s.section in valid
    ]
    return [
        _declare_in_section(section, lost_resource, activity)
        if isinstance(section, ref.Activities)
        else section
        for section in valid_sections
    ]


def _declare_in_section(
    section: ref.Activities, resource: LostResource, activity: str
) -> ref.Activities:
    changed = [
        _name_resource(one, resource) if one.id == activity else one for one in section.activities
    ]
    return section.model_copy(update={"activities": tuple(changed)})


def _name_resource(activity: ref.Activity, resource: LostResource) -> ref.Activity:
    match resource.kind:
        case ResourceKind.SYSTEM:
            return activity.model_copy(update={"systems": (*activity.systems, resource.id)})
        case ResourceKind.SITE_KIND:
            return activity.model_copy(update={"site_kinds": (*activity.site_kinds, resource.id)})
        case _:
            return activity.model_copy(update={"suppliers": (*activity.suppliers, resource.id)})
