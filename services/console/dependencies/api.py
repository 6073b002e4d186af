"""Routes for losses of resources and hidden dependencies: `/dependencies`. Rules D130, D131.

A declared dependency becomes part of a reference version. Rule D63.
"""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Query
from fastapi.responses import Response
from pydantic import Field

from schemas import reference as ref
from services.console.dependencies.network import LostResource, ResourceKind
from services.console.dependencies.queries import LossRequest
from services.console.dependencies.resources import (
    DependencyLoss,
    DependencyLosses,
    HiddenDependencies,
)
from services.console.http.answers import DecisionRouter
from services.console.http.context import LogReader, Multiple, ReadContext, RealmReader
from services.console.http.problems import NotFound
from services.console.reference.changes_api import ReferenceDecider, VersionProposal, send_version
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1/dependencies", tags=["picture"])
MOST_LOSSES = 200
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
    changed_activities = [
        _name_resource(one, resource) if one.id == activity else one for one in section.activities
    ]
    return section.model_copy(update={"activities": tuple(changed_activities)})


def _name_resource(activity: ref.Activity, resource: LostResource) -> ref.Activity:
    match resource.kind:
        case ResourceKind.SYSTEM:
            return activity.model_copy(update={"systems": (*activity.systems, resource.id)})
        case ResourceKind.SITE_KIND:
            return activity.model_copy(update={"site_kinds": (*activity.site_kinds, resource.id)})
        case _:
            return activity.model_copy(update={"suppliers": (*activity.suppliers, resource.id)})


@router.get(
    "",
    summary=(
        "Losses of one resource (n=1), or of two (n=2), from the current crisis, worst first; "
        "people on duty for readers of the log"
    ),
)
async def list_losses(
    reader: RealmReader,
    kind: Multiple[ResourceKind],
    n: Annotated[int, Query(ge=1, le=2, description="resources lost at once")] = 1,
    together: Annotated[
        bool, Query(description="only pairs that stop something that neither stops alone")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=MOST_LOSSES)] = 20,
) -> DependencyLosses:
    loss_request = LossRequest(n, tuple(kind or ()), limit, together, may_see_people(reader))
    return await reader.model.dependency_losses(loss_request)


@router.get(
    "/cascade",
    summary="Effect of losing one or two resources: activities, strategies, roles and plans",
)
async def get_cascade(
    reader: RealmReader,
    lost: Annotated[
        list[str], Query(min_length=1, max_length=2, description="kind and name, such as system:ad")
    ],
) -> DependencyLoss:
    resources = [LostResource.parse(text) for text in lost]
    valid_resources = [one for one in resources if one is not None]
    if len(valid_resources) < len(resources):
        raise NotFound
    return await reader.model.dependency_loss(valid_resources, with_people=may_see_people(reader))


@router.get(
    "/hidden",
    summary="Dependencies that the impact analysis does not declare, from recorded crises",
)
async def list_hidden(reader: LogReader) -> HiddenDependencies:
    return await reader.model.hidden_dependencies()


class DependencyProposal(VersionProposal):
    """A dependency to declare in the impact analysis."""

    resource: str = Field(max_length=100, description="as listed, such as system:ad")
    activity: str = Field(max_length=40)


@router.decision(
    "/proposals",
    "Propose a hidden dependency as a change of the impact analysis, for another person to approve",
)
async def propose_dependency(author: ReferenceDecider, body: DependencyProposal) -> Response:
    within = author.within(body)
    hidden_dependencies = await within.model.hidden_dependencies()
    if not any(
        (o.resource, o.activity) == (body.resource, body.activity)
        for o in hidden_dependencies.items
    ):
        raise NotFound
    base = await within.model.reference()
    sections = declare_dependency(base.sections, body.resource, body.activity)
    return await send_version(author, body, sections)


def may_see_people(reader: ReadContext) -> bool:
    """Return whether the reader may see people on duty."""
    return reader.principal.may(Permission.LOG_READ)
