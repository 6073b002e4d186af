"""Serve the logbook under `/api/v1/log`, also as a table and as a map.

Append-only: a correction is a new line with the id of the line it corrects. The text of a note goes
to `texts`, the command carries its id. Rule D55.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from fastapi import Depends
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.commands import AddNote
from schemas.words import Certainty, LineKind
from services.console.exports.formats import MAP_RESPONSES, MapForm
from services.console.exports.tables import (
    Column,
    FileNaming,
    MapPoint,
    build_feature,
    build_geojson_response,
    read_all_pages,
    stream_csv_response,
)
from services.console.http.answers import DecisionRouter, require_text, send_text
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Id,
    Limit,
    LogReader,
    Multiple,
    require_decision,
)
from services.console.http.scopes import check_incident
from services.console.i18n import N_, Translator, get_translator
from services.console.logbook.line_list import format_author, label_kind
from services.console.resources import KindOfLine, Line, Page, format_iso
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1/log", tags=["logbook"])


class Note(DecisionBody):
    text: str = Field(min_length=1, max_length=4000)
    corrects: str | None = Field(
        default=None, max_length=64, description="id of the line that this one corrects"
    )
    occurred_at: AwareDatetime | None = Field(
        default=None, description="time of the event, for a line typed later; default: now"
    )
    kind: LineKind = LineKind.NOTE
    source: str | None = Field(
        default=None,
        max_length=64,
        pattern="^[a-z0-9_.-]+$",
        description="kind of source of the line, as in reports",
    )
    certainty: Certainty | None = None


async def add_note(author: DecisionContext, body: Note, incident: str | None) -> Response:
    """Write the note; one without an incident needs no scope. Raises BrokerAway, ProblemError."""
    require_text(body.text, "text")
    if incident is not None:
        await check_incident(author, incident)
    return await send_text(author, body, "alerts", AddNote, body.text, incident=incident)


def list_line_columns(names: TerritoryNames, _: Translator) -> Sequence[Column[Line]]:
    """Return the columns of the table of logbook lines."""
    return (
        Column(N_("Heure du fait (Paris)"), lambda e: e.occurred_at),
        Column(N_("Connu à (Paris)"), lambda e: e.recorded_at),
        Column(N_("Type"), lambda e: label_kind(e, _)),
        Column(N_("Ligne"), lambda e: e.text),
        Column(N_("Source"), lambda e: world.name_source(e.source, _)),
        Column(N_("Certitude"), lambda e: w.translate_code(w.CERTAINTY, e.certainty, _)),
        Column(N_("Auteur"), lambda e: format_author(e, names, _)),
        Column(N_("Site"), lambda e: names.site(e.site) if e.site else None),
        Column(N_("Commune"), lambda e: names.commune_of(e.site) if e.site else None),
        Column(N_("Code de l’incident"), lambda e: e.incident),
        Column(N_("Code de la ligne"), lambda e: e.id),
        Column(N_("Corrige la ligne"), lambda e: e.corrects),
        Column(N_("Place dans la main courante"), lambda e: e.place),
    )


def list_line_features(lines: Iterable[Line], names: TerritoryNames) -> list[dict[str, Any]]:
    """Return the lines as features of a map; a line without a site has no geometry."""
    return [
        build_feature(
            line.id,
            _find_place(line.site, names),
            {
                "occurred_at": format_iso(line.occurred_at),
                "recorded_at": format_iso(line.recorded_at),
                "kind": line.kind,
                "text": line.text,
                "site": line.site,
                "incident": line.incident,
                "author": line.author,
                "role": line.role,
            },
        )
        for line in lines
    ]


def _find_place(site: str | None, names: TerritoryNames) -> MapPoint | None:
    site_record = names.sites.get(site) if site is not None else None
    return None if site_record is None else MapPoint(site_record.lat, site_record.lon)


class LogNote(Note):
    incident: Id | None = None


@router.get(
    "",
    operation_id="list_log_lines",
    response_model=Page[Line],
    responses=MAP_RESPONSES,
    summary="List lines, newest first; also as CSV and GeoJSON",
)
async def list_lines(
    reader: LogReader,
    kind: Multiple[KindOfLine],
    form: MapForm,
    incident: str | None = None,
    site: str | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Line] | Response:
    async def read(limit: int, after: str | None) -> Page[Line]:
        return await reader.model.timeline(
            incident=incident, site=site, kind=kind, texts=True, limit=limit, cursor=after
        )

    if form == "json":
        return await read(limit, cursor)
    names = (await reader.model.reference()).names
    about = FileNaming(reader.realm, "main-courante", reader.lang)
    if form == "geojson":
        lines = await read_all_pages(read)
        return build_geojson_response(list_line_features(lines, names), about)
    columns = list_line_columns(names, get_translator(reader.lang))
    return await stream_csv_response(columns, read, about)


@router.decision("", "Write a line", operation_id="write_log_line")
async def write_line(
    author: Annotated[DecisionContext, Depends(require_decision(Permission.NOTE_WRITE))],
    body: LogNote,
) -> Response:
    return await add_note(author.within(body), body, body.incident)
