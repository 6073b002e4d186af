"""Routes for the overview, sites, pôles, communes, levels and flags, with reasons."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import Field, field_validator

from schemas.commands import SetLevel
from schemas.words import Level, SiteStatus
from services.console.http.answers import COLLIDING, RESPONSES, decide
from services.console.http.context import (
    Author,
    Body,
    Cursor,
    Cut,
    Limit,
    Picture,
    Several,
    cached,
    deciding,
    parse_time,
)
from services.console.http.scopes import check_incident
from services.console.resources import (
    Changes,
    Commune,
    Flag,
    LevelState,
    Map,
    Overview,
    Page,
    Pole,
    Resource,
    Site,
)
from services.runtime.identity.permissions import Permission

router = APIRouter(prefix="/api/v1", tags=["picture"])


class Communes(Resource):
    """All communes, with the view box of their paths."""

    items: list[Commune]
    next: str | None = None
    map: Map


class NewLevel(Body):
    """A new level, higher or lower. A lower one needs a reason. Rule D31."""

    level: Level
    scope: str = Field(
        default="territory", max_length=64, description="`territory` or an incident id"
    )
    force: bool = False

    @field_validator("level", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return (
            int(value[1])
            if isinstance(value, str)
            and len(value) == 2
            and value[0] in "Nn"
            and value[1].isdecimal()
            else value
        )


@router.get("/overview", summary="Level and why, counts, alarm rate, feeds, newest log positions")
async def overview(reader: Picture) -> Overview:
    return await reader.model.overview(reader.realm, as_of=reader.as_of, lang=reader.lang)


@router.get("/changes", summary="What changed between two times: `since`, and `as_of` or now")
async def changes(
    reader: Picture,
    since: Annotated[
        str,
        Query(
            max_length=40, description="ISO 8601 with offset; before the beginning = the beginning"
        ),
    ],
) -> Changes:
    return await reader.model.changes(
        reader.realm, parse_time(since, "since"), as_of=reader.as_of, lang=reader.lang
    )


@router.get("/sites", summary="Every site of the territory")
async def sites(
    reader: Picture,
    status: Several[SiteStatus],
    kind: str | None = None,
    pole: str | None = None,
    commune: str | None = None,
    incident: str | None = None,
    q: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[Site]:
    return await reader.model.sites(
        reader.realm,
        as_of=reader.as_of,
        lang=reader.lang,
        status=status,
        kind=kind,
        pole=pole,
        commune=commune,
        incident=incident,
        q=q,
        limit=limit,
        cursor=cursor,
        members_too=True,
    )


@router.get("/sites/{id}")
async def site(reader: Picture, id: str) -> Site:
    return await reader.model.site(reader.realm, id, as_of=reader.as_of, lang=reader.lang)


@router.get("/poles", summary="Pôles: counts by state, capacity against the minimum (MBCO)")
async def poles(reader: Picture, part: Cut) -> Page[Pole]:
    return part.of(await reader.model.poles(reader.realm, as_of=reader.as_of, lang=reader.lang))


@router.get("/communes", summary="Communes with outlines as SVG paths")
async def communes(reader: Picture, part: Cut) -> Communes:
    shown = part.of(
        await reader.model.communes(reader.realm, as_of=reader.as_of, lang=reader.lang),
        lambda one: str(one.insee),
    )
    return Communes(items=shown.items, next=shown.next, map=reader.model.map())


@router.get("/levels", summary="Level of the territory and of every pôle")
async def levels(reader: Picture, part: Cut) -> Page[LevelState]:
    return part.of(await reader.model.levels(reader.realm, as_of=reader.as_of, lang=reader.lang))


@router.get("/level", summary="Level of the territory; its ETag is the version for If-Match")
async def level(reader: Picture, response: Response) -> LevelState:
    found = (await reader.model.levels(reader.realm, as_of=reader.as_of, lang=reader.lang))[0]
    cached(response, found.version)
    return found


@router.post(
    "/level",
    responses=RESPONSES,
    openapi_extra=COLLIDING,
    summary="Set the level of the territory or of an incident",
)
async def set_level(
    author: Annotated[Author, Depends(deciding(Permission.LEVEL_SET))], body: NewLevel
) -> Response:
    await check_incident(author.within(body), None if body.scope == "territory" else body.scope)
    return await decide(
        author,
        body,
        "alerts",
        SetLevel,
        scope=body.scope,
        level=body.level,
        expected=author.expected,
        force=body.force,
    )


@router.get("/flags", summary="What authorities and operators declared")
async def flags(reader: Picture, part: Cut) -> Page[Flag]:
    return part.of(await reader.model.flags(reader.realm, as_of=reader.as_of, lang=reader.lang))
