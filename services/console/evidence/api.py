"""Route for the evidence bundle of an incident: `/incidents/{id}/export`. Rule D56, exports.

The signed zip proves which facts were known, decided, sent and answered.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from schemas.continuity import SitrepRow
from schemas.topics import is_live
from services.console.documents.document import Document
from services.console.documents.pdf import Typesetter
from services.console.documents.sitreps_api import write_stamp
from services.console.evidence.collect import ExportRequest, write_bundle
from services.console.exports.formats import EXERCISE_MARK
from services.console.http.context import ReadContext, get_server_time, require_read, to_instant
from services.console.http.fair_queue import ExpensiveWork
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Permission
from services.runtime.secrets.signing import SigningKey
from services.runtime.secrets.vault import TextItem, VaultTexts, build_attachment_id

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"])
log = structlog.get_logger(__name__)
EvidenceReader = Annotated[ReadContext, Depends(require_read(Permission.EVIDENCE_EXPORT))]


@router.get(
    "/{id}/export",
    response_class=StreamingResponse,
    summary="Export an evidence bundle: a signed zip that anybody can check",
    responses={
        200: {
            "content": {"application/zip": {}},
            "description": "docs/reference/evidence-bundle.md",
        }
    },
)
async def export_evidence(reader: EvidenceReader, request: Request, id: str) -> StreamingResponse:
    if reader.principal.scope.sites or reader.principal.scope.poles:
        raise ProblemError("out_of_scope", field="incident")  # log records have no scope
    incident = await reader.model.incident(id)
    raw = reader.principal.may(Permission.REPORT_RAW)
    key: SigningKey = request.app.state.signing_key()
    typesetter: Typesetter = request.app.state.typesetter

    async def pdf(document: Document, row: SitrepRow) -> bytes:
        return await typesetter.pdf(document, reader.lang, stamp=write_stamp(row, reader.lang))

    async def read_photo(photo: str) -> TextItem | None:
        texts: VaultTexts = request.app.state.texts
        item = await texts.get(build_attachment_id(photo))
        return item if item is not None and item.fields.get("realm") == reader.realm else None

    export_request = ExportRequest(
        reader.realm,
        incident,
        await reader.model.merged_incidents(id),
        reader.principal.acting_role,
        reader.lang,
        raw,
    )
    log.info(
        "evidence.exported",
        realm=reader.realm,
        incident=id,
        reader=reader.principal.id,
        words_of_reports=raw,
    )

    async def write_parts() -> AsyncGenerator[bytes]:
        bundle = write_bundle(
            reader.model,
            request.app.state.kafka,
            key,
            export_request,
            pdf,
            read_photo,
            to_instant(get_server_time()),
        )
        costs: ExpensiveWork = request.app.state.costs
        async with costs.documents.hold_place(reader.principal.id), aclosing(bundle) as parts:
            async for part in parts:
                if part:
                    yield part

    parts = write_parts()
    first = await anext(parts)  # a reader with too many documents gets the status of a refusal

    mark = "" if is_live(reader.realm) else EXERCISE_MARK
    name = f"{mark}preuves-{incident.number}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_chain_parts(first, parts), 200, headers, "application/zip")


async def _chain_parts(first: bytes, parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Yield the first part, then the others; close them when the reader goes away."""
    async with aclosing(parts):
        yield first
        async for part in parts:
            yield part
