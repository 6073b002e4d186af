"""Serve the orders for communes or areas, with the answer of each site. Rule D102."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from schemas.alerts import TaskRow
from schemas.words import SiteStatus
from services.console.exports.formats import TABLE_RESPONSES, TableForm
from services.console.exports.tables import Column, Columns, FileNaming, build_csv_response
from services.console.http.context import PageRequest, RealmReader
from services.console.i18n import N_, Translator, get_translator
from services.console.incidents.area_order_page import (
    ANSWER_TEXTS,
    SiteAnswerState,
    find_answer_state,
    write_title,
)
from services.console.incidents.queries import AreaOrderAnswers
from services.console.resource_base import Page, Resource, Time, to_datetime, to_optional_datetime
from services.console.texts.names import TerritoryNames

router = APIRouter(prefix="/api/v1/area-orders", tags=["incidents"])


class AreaOrderSite(Resource):
    """A site in the area of an order, and its answer."""

    site: str
    answer: SiteAnswerState = Field(
        description=(
            "waiting: asked, no answer yet; concerned: the order holds at the site; "
            "not_concerned; ordered: the order names the site itself, nobody is asked; over: "
            "ended before an answer; replaced: asked again; closed: incident closed before an "
            "answer"
        )
    )
    task: str | None = Field(
        default=None, description="the question: `POST /api/v1/tasks/{id}/done` answers it"
    )
    asked_at: Time | None = None
    due_at: Time | None = Field(
        default=None, description="time from which the site is called again"
    )
    answered_at: Time | None = None


class AreaOrder(Resource):
    """An order to leave or to shelter that names communes or an area. Rule D102."""

    id: str = Field(description="id of its cause")
    realm: str
    incident: str | None
    order: SiteStatus = Field(description="evacuated or sheltering")
    report: str = Field(description="report that gives the present area")
    source: str
    ordered_at: Time
    ended_at: Time | None
    communes: list[str]
    sites: list[AreaOrderSite]


@dataclass(frozen=True, slots=True)
class _SiteRow:
    """A line of the table: an order and one of its sites."""

    order: AreaOrderAnswers
    site: AreaOrderSite


def list_site_columns(names: TerritoryNames, _: Translator) -> Columns[_SiteRow]:
    """Return the columns of the table of orders: one line per site."""
    return (
        Column(N_("Consigne"), lambda row: write_title(row.order.order, names, _)),
        Column(
            N_("Donnée à (Paris)"), lambda row: to_optional_datetime(row.order.order.ordered_at)
        ),
        Column(N_("Levée à (Paris)"), lambda row: to_optional_datetime(row.order.order.ended_at)),
        Column(N_("Site"), lambda row: names.site(row.site.site)),
        Column(N_("Code du site"), lambda row: row.site.site),
        Column(N_("Commune"), lambda row: names.commune_of(row.site.site)),
        Column(N_("Réponse"), lambda row: _(ANSWER_TEXTS[row.site.answer])),
        Column(N_("Interrogé à (Paris)"), lambda row: row.site.asked_at),
        Column(N_("Réponse à (Paris)"), lambda row: row.site.answered_at),
        Column(N_("Incident"), lambda row: row.order.order.incident),
    )


@router.get(
    "",
    response_model=Page[AreaOrder],
    responses=TABLE_RESPONSES,
    summary="Orders for communes or areas, those that hold first, with each site's answer; also as CSV",
)
async def list_area_orders(
    reader: RealmReader,
    part: PageRequest,
    form: TableForm,
    incident: str | None = None,
    site: Annotated[str | None, Query(description="orders for an area with this site")] = None,
    in_force: Annotated[bool | None, Query(description="true = not ended; false = ended")] = None,
) -> Page[AreaOrder] | Response:
    orders = [
        one
        for one in await reader.model.area_orders(incident)
        if (site is None or site in one.sites)
        and (in_force is None or in_force is (one.order.ended_at is None))
    ]
    if form == "json":
        return part.of([_build_order(one, reader.realm) for one in orders])
    names = (await reader.model.reference()).names
    rows = [_SiteRow(one, row) for one in orders for row in _list_sites(one)]
    columns = list_site_columns(names, get_translator(reader.lang))
    about = FileNaming(reader.realm, "consignes-de-zone", reader.lang)
    return build_csv_response(columns, rows, about)


def _build_order(one: AreaOrderAnswers, realm: str) -> AreaOrder:
    return AreaOrder.from_row(one.order, realm=realm, sites=_list_sites(one))


def _list_sites(one: AreaOrderAnswers) -> list[AreaOrderSite]:
    return [_build_site(site, one.questions.get(site)) for site in one.sites]


def _build_site(site: str, task: TaskRow | None) -> AreaOrderSite:
    answer = find_answer_state(task)
    if task is None:
        return AreaOrderSite(site=site, answer=answer)
    return AreaOrderSite(
        site=site,
        answer=answer,
        task=task.id,
        asked_at=to_datetime(task.opened_at),
        due_at=to_optional_datetime(task.due_at),
        answered_at=to_optional_datetime(task.done_at),
    )
