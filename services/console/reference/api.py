"""Routes for the reference data in force in a realm: `/reference`."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from schemas.ranks import SITE_MANAGER_ROLE
from schemas.reference import MeasuresSection, RosterSection, Section
from services.console.http.context import RealmReader
from services.console.http.problems import NotFound
from services.console.resources import Resource
from services.runtime.identity.permissions import Permission

router = APIRouter(prefix="/api/v1/reference", tags=["reference"])
front_router = APIRouter()


class ReferenceIndex(Resource):
    version: str | None = Field(description="null = nothing was published yet")
    sections: list[str]


@router.get(
    "", operation_id="get_reference_index", summary="Show the version in force and its sections"
)
async def get_index(reader: RealmReader) -> ReferenceIndex:
    reference = await reader.model.reference()
    return ReferenceIndex(
        version=reference.version, sections=[s.section for s in reference.sections]
    )


@router.get("/{section}", operation_id="get_reference_section", summary="Show one section")
async def get_section(reader: RealmReader, section: Section) -> dict[str, Any]:
    if section is Section.ROSTER and not reader.principal.may(Permission.LOG_READ):
        raise NotFound
    reference = await reader.model.reference()
    for one in reference.sections:
        if one.section == section:
            return one.model_dump(mode="json")
    raise NotFound


@front_router.get("/measures.json", include_in_schema=False)
async def reserved_measures(request: Request) -> dict[str, Any]:
    """Return the measures that the live territory reserves, and their sources (D76)."""
    state = request.app.state
    reference = await state.model.of(state.live_realm).reference()
    rules = [
        rule
        for one in reference.sections
        if isinstance(one, MeasuresSection)
        for rule in one.rules.measures
    ]
    reserved = [rule for rule in rules if rule.outside == "refuse"]
    return {
        "version": reference.version,
        "reserved": {rule.name: rule.sources for rule in reserved},
        "scopes": {rule.name: rule.scopes for rule in reserved if rule.scopes},
    }


@front_router.get("/managers.json", include_in_schema=False)
async def site_managers(request: Request, realm: str) -> dict[str, Any]:
    """Return the people that manage sites of a live realm, with their sites, for the front."""
    reference = await request.app.state.model.of(realm).reference()
    sites_by_person: dict[str, set[str]] = {}
    for one in reference.sections:
        if not isinstance(one, RosterSection):
            continue
        offices: list[tuple[str, str | None, tuple[str | None, ...]]] = [
            (h.role, h.scope, (h.holder, h.deputy)) for h in one.roster.holders
        ]
        offices += [(r.role, r.scope, r.persons) for r in one.roster.rotations]
        for role, site, people in offices:
            if role == SITE_MANAGER_ROLE and site is not None:
                for person in filter(None, people):
                    sites_by_person.setdefault(person, set()).add(site)
    managers = {person: sorted(sites) for person, sites in sites_by_person.items()}
    return {"version": reference.version, "managers": managers}
