"""Routes for the proof of plans. Rule D85."""

from __future__ import annotations

from fastapi import APIRouter, Request

from services.console.http.context import RealmReader
from services.console.i18n import get_translator
from services.console.proof.reading import read_plan_proof, read_plan_proofs
from services.console.proof.resources import PlanProofDetail, PlanProofs

router = APIRouter(prefix="/api/v1", tags=["continuity"])


@router.get("/plan-proofs", summary="Share of each plan and pôle that is proven (D85)")
async def list_plan_proofs(request: Request, reader: RealmReader) -> PlanProofs:
    _ = get_translator(reader.lang)
    return await read_plan_proofs(request, reader.model, reader.realm, _)


@router.get(
    "/plans/{id}/proof",
    summary="Share of a plan that is proven, and the change that would raise it most (D85)",
)
async def get_plan_proof(request: Request, reader: RealmReader, id: str) -> PlanProofDetail:
    _ = get_translator(reader.lang)
    return await read_plan_proof(request, reader.model, reader.realm, id, _)
