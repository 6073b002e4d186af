"""Route for a plan on paper. Rule D83."""

import asyncio
from contextlib import nullcontext
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from schemas.base import is_token
from services.console.documents.plan.sheet import print_plans
from services.console.http.context import RealmReader
from services.console.http.fair_queue import ExpensiveWork
from services.console.http.problems import NotFound
from services.console.i18n import get_translator
from services.console.read_model.query_base import get_snapshot_time
from services.console.resource_base import to_datetime

router = APIRouter(prefix="/api/v1", tags=["continuity"])
_PDF: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/pdf": {}}, "description": "the plan on A4"}
}


@router.get(
    "/plans/{id}/pdf",
    response_class=Response,
    responses=_PDF,
    summary="Print the content of a plan: minimal mode, recovery order, cards by role (D83)",
)
async def print_plan(request: Request, reader: RealmReader, id: str) -> Response:
    opened_realm = await reader.model.read()
    if id not in opened_realm.picture.reference.plans or not is_token(id):
        raise NotFound
    at = to_datetime(get_snapshot_time(opened_realm.picture)).replace(microsecond=0)
    costs: ExpensiveWork = request.app.state.costs
    is_past = reader.as_of is not None  # then the reader has its turn already
    async with nullcontext() if is_past else costs.past.hold_place(reader.principal.id):
        content = await asyncio.to_thread(
            print_plans, opened_realm.shape, (id,), get_translator(reader.lang), at
        )
    headers = {
        "Content-Language": reader.lang,
        "Content-Disposition": f'inline; filename="{id}.pdf"',
    }
    return Response(content, 200, headers, "application/pdf")
