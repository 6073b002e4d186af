"""Serve the live stream of Server-Sent Events under `/api/v1/stream`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.console.http.compression import accepts_gzip
from services.console.http.context import RealmReader
from services.console.live.row_events import list_hidden_events
from services.console.live.stream import LiveStream, StreamHub
from services.runtime.identity.http_access import recheck_principal

router = APIRouter(prefix="/api/v1", tags=["live"])
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept-Encoding"}


@router.get(
    "/stream",
    summary=(
        "Stream changes: hello, then each changed resource under the name of its collection "
        "(sites, incidents, log, …), resync, ping"
    ),
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream_changes(
    request: Request,
    reader: RealmReader,
    last_id: Annotated[
        str | None, Query(max_length=100, description="same as the header Last-Event-ID")
    ] = None,
) -> StreamingResponse:
    hub: StreamHub = request.app.state.hub
    principal = reader.principal
    gzip = accepts_gzip(request.headers.get("accept-encoding", ""))

    def still_allowed() -> bool:
        current_principal = recheck_principal(request)
        return current_principal is principal or current_principal == principal

    frames = await hub.stream(
        reader.realm,
        lang=reader.lang,
        hidden_events=list_hidden_events(principal.may),
        gzip=gzip,
        last_id=request.headers.get("last-event-id") or last_id,
        still_allowed=still_allowed,
    )
    headers = (
        _HEADERS
        | {"Content-Language": reader.lang}
        | ({"Content-Encoding": "gzip"} if gzip else {})
    )
    return LiveResponse(frames, media_type="text/event-stream", headers=headers)


class LiveResponse(StreamingResponse):
    """A response that closes its stream, even if the browser left before the first frame."""

    def __init__(self, live: LiveStream, **more: Any) -> None:
        super().__init__(live, **more)
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._live.aclose()
