"""Serve the attention queue of a role and its rate under `/api/v1/attention`. Rule D77."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from schemas.topics import is_live
from services.console.attention.next_step import map_account_roles
from services.console.continuity.plan_rights import list_open_poles
from services.console.http.context import RealmReader
from services.console.resources import AttentionState
from services.runtime.identity.principals import Principal
from services.runtime.process import metrics

router = APIRouter(prefix="/api/v1/attention", tags=["notifications"])
AskedRole = Annotated[
    str | None,
    Query(
        max_length=64,
        description="role of the territory, e.g. `coordinateur_pca`; default: the whole cell; a "
        "director of a pôle sees the demands of the own pôle",
    ),
]


@router.get(
    "",
    summary=(
        "List the demands on a role: one row per decision, at most ten new ones in ten minutes"
    ),
)
async def get_attention(
    reader: RealmReader, request: Request, role: AskedRole = None
) -> AttentionState:
    poles = list_open_poles(reader.principal, await reader.model.reference())
    accounts = request.app.state.access.all(Principal)
    attention = await reader.model.attention(
        role, poles=poles, account_roles=map_account_roles(accounts, poles)
    )
    if reader.as_of is None and is_live(reader.realm):
        metrics.set_gauge(
            "vigie_attention_rate", attention.rate, realm=reader.realm, role=role or "cell"
        )
    return attention
