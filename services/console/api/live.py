"""`/api/v1/stream`: Server-Sent Events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from services.console.api.context import Picture
from services.console.stream import Hub
from services.runtime.access import AccessStore
from services.runtime.rights import Permission

router = APIRouter(prefix="/api/v1", tags=["live"])
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get(
    "/stream",
    summary="hello, then every changed resource under the name of its collection (sites, incidents, log, …), resync, ping",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream(
    request: Request,
    reader: Picture,
    last_id: Annotated[str | None, Query(max_length=100, description="as the header Last-Event-ID")] = None,
) -> StreamingResponse:
    hub: Hub = request.app.state.hub
    access: AccessStore = request.app.state.access
    principal = reader.principal
    frames = await hub.stream(
        reader.realm, lang=reader.lang, sees_log=principal.may(Permission.LOG_READ),
        last_id=request.headers.get("last-event-id") or last_id, still_allowed=lambda: access.principal(principal.id) == principal,
    )  # fmt: skip
    return StreamingResponse(frames, media_type="text/event-stream", headers=_HEADERS | {"Content-Language": reader.lang})
