"""Routes for the overview, sites, pôles, communes, levels and flags, with reasons.

Sites are offered as a table and as a map, too.
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field, field_validator

from schemas.commands import SetLevel
from schemas.words import Level, SiteStatus
from services.console.exports.formats import MAP_RESPONSES, MapForm
from services.console.exports.tables import (
    Column,
    FileNaming,
    MapPoint,
    build_csv_response,
    build_feature,
    build_geojson_response,
    read_all_pages,
)
from services.console.http.answers import DecisionRouter, send_decision
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Limit,
    Multiple,
    PageRequest,
    RealmReader,
    parse_time,
    require_decision,
    set_etag,
)
from services.console.http.fair_queue import ExpensiveWork
from services.console.http.scopes import check_incident
from services.console.i18n import N_, Translator, get_translator
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
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames, shorten_site_name
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1", tags=["picture"])


def list_site_columns(names: TerritoryNames, _: Translator) -> Sequence[Column[Site]]:
    """Return the columns of the table of sites."""
    return (
        Column(N_("Site"), lambda s: shorten_site_name(s.name)),
        Column(N_("Code du site"), lambda s: s.id),
        Column(N_("Nature"), lambda s: w.translate_code(world.KIND_ONE, s.kind, _)),
        Column(N_("Commune"), lambda s: s.commune_name),
        Column(N_("Code INSEE"), lambda s: s.commune),
        Column(N_("Pôle"), lambda s: name_site_pole(s, names, _)),
        Column(N_("État"), lambda s: w.translate_code(w.SITE_STATUS, s.status, _)),
        Column(N_("Depuis"), lambda s: s.since),
        Column(N_("Capacité (%)"), lambda s: s.capacity_pct),
        Column(N_("Causes"), lambda s: list_cause_names(s, _)),
        Column(N_("Dernière nouvelle"), lambda s: s.last_word_at),
        Column(N_("Agents"), lambda s: s.staff),
        Column(N_("Postes de travail"), lambda s: s.desks),
        Column(N_("Capacité d’accueil du public"), lambda s: s.public_capacity),
        Column(N_("Public vulnérable (0 à 3)"), lambda s: s.vulnerable_public),
        Column(N_("Groupe électrogène"), lambda s: s.generator),
        Column(N_("Latitude"), lambda s: s.lat),
        Column(N_("Longitude"), lambda s: s.lon),
    )


def list_site_features(sites: Iterable[Site], _: Translator) -> list[dict[str, Any]]:
    """Return the sites as features of a map; property names are those of the API."""
    return [
        build_feature(
            s.id,
            MapPoint(s.lat, s.lon),
            {
                "name": shorten_site_name(s.name),
                "kind": s.kind,
                "commune": s.commune,
                "commune_name": s.commune_name,
                "pole": s.pole,
                "status": s.status,
                "status_text": w.translate_code(w.SITE_STATUS, s.status, _),
                "since": None if s.since is None else s.since.isoformat(),
                "capacity_pct": s.capacity_pct,
                "causes": [cause.type for cause in s.causes],
                "flood_exposure": s.flood_exposure,
                "vulnerable_public": s.vulnerable_public,
                "position": s.position,
            },
        )
        for s in sites
    ]


def list_cause_names(site: Site, _: Translator) -> list[str]:
    """Return the open causes of a site in words, each once."""
    return list(dict.fromkeys(w.translate_code(w.EVENT, cause.type, _) for cause in site.causes))


def name_site_pole(site: Site, names: TerritoryNames, _: Translator) -> str:
    """Name the pôle of a site; central sites belong to several."""
    return _("plusieurs pôles") if site.pole == "multi" else names.pole(site.pole, _.lang)


class CommunesPage(Resource):
    """All communes, with the view box of their paths."""

    items: list[Commune]
    next: str | None = None
    map: Map


class LevelRequest(DecisionBody):
    """A new level, higher or lower. A lower one needs a reason. Rule D31."""

    level: Level
    scope: str = Field(
        default="territory", max_length=64, description="`territory` or the id of an incident"
    )
    force: bool = False

    @field_validator("level", mode="before")
    @classmethod
    def _parse_level(cls, value: object) -> object:
        return (
            int(value[1])
            if isinstance(value, str)
            and len(value) == 2
            and value[0] in "Nn"
            and value[1].isdecimal()
            else value
        )


@router.get(
    "/overview",
    summary="Show level with reasons, counts, alarm rate, feeds and newest log positions",
)
async def get_overview(reader: RealmReader) -> Overview:
    return await reader.model.overview()


@router.get("/changes", summary="List the changes between two times: `since`, and `as_of` or now")
async def list_changes(
    reader: RealmReader,
    request: Request,
    since: Annotated[
        str,
        Query(
            max_length=40, description="ISO 8601 with offset; an earlier time means the beginning"
        ),
    ],
) -> Changes:
    start = parse_time(since, "since")
    costs: ExpensiveWork = request.app.state.costs
    has_place = reader.as_of is not None
    async with nullcontext() if has_place else costs.past.hold_place(reader.principal.id):
        return await reader.model.changes(start)


@router.get(
    "/sites",
    response_model=Page[Site],
    responses=MAP_RESPONSES,
    summary="List the sites of the territory; also as CSV and GeoJSON",
)
async def list_sites(
    reader: RealmReader,
    status: Multiple[SiteStatus],
    form: MapForm,
    kind: str | None = None,
    pole: str | None = None,
    commune: str | None = None,
    incident: str | None = None,
    q: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[Site] | Response:
    async def read(limit: int, after: str | None) -> Page[Site]:
        return await reader.model.sites(
            status=status,
            kind=kind,
            pole=pole,
            commune=commune,
            incident=incident,
            q=q,
            limit=limit,
            cursor=after,
            members_too=form == "json",
        )

    if form == "json":
        return await read(limit, cursor)
    sites, _ = await read_all_pages(read), get_translator(reader.lang)
    about = FileNaming(reader.realm, "sites", reader.lang)
    if form == "geojson":
        return build_geojson_response(list_site_features(sites, _), about)
    names = (await reader.model.reference()).names
    return build_csv_response(list_site_columns(names, _), sites, about)


@router.get("/sites/{id}", summary="Show one site")
async def get_site(reader: RealmReader, id: str) -> Site:
    return await reader.model.site(id)


@router.get(
    "/poles", summary="List the pôles: counts by state, capacity against the minimum (MBCO)"
)
async def list_poles(reader: RealmReader, part: PageRequest) -> Page[Pole]:
    return part.of(await reader.model.poles())


@router.get("/communes", summary="List the communes, with outlines as SVG paths")
async def list_communes(reader: RealmReader, part: PageRequest) -> CommunesPage:
    page = part.of(await reader.model.communes(), lambda one: str(one.insee))
    return CommunesPage(items=page.items, next=page.next, map=reader.model.map())


@router.get("/levels", summary="Show the levels of the territory and of every pôle")
async def list_levels(reader: RealmReader, part: PageRequest) -> Page[LevelState]:
    return part.of(await reader.model.levels())


@router.get(
    "/level", summary="Show the level of the territory; its ETag is the version for If-Match"
)
async def get_level(reader: RealmReader, response: Response) -> LevelState:
    territory_level = (await reader.model.levels())[0]
    set_etag(response, territory_level.version)
    return territory_level


@router.decision("/level", "Set the level of the territory or of an incident", versioned=True)
async def set_level(
    author: Annotated[DecisionContext, Depends(require_decision(Permission.LEVEL_SET))],
    body: LevelRequest,
) -> Response:
    await check_incident(author.within(body), None if body.scope == "territory" else body.scope)
    return await send_decision(author, body, "alerts", SetLevel)


@router.get("/flags", summary="List the declarations of authorities and operators")
async def list_flags(reader: RealmReader, part: PageRequest) -> Page[Flag]:
    return part.of(await reader.model.flags())
