"""Routes for the proof of plans, from logs and verified numbers of partners. Rule D85."""

from collections.abc import Mapping

from fastapi import APIRouter, Request

from schemas.base import Instant
from services.console.directory.numbers import read_partner_proofs
from services.console.directory.view import list_contacts
from services.console.http.context import RealmReader
from services.console.i18n import Translator, get_translator
from services.console.proof.resources import PlanProofDetail, PlanProofs
from services.console.proof.view import ProofWriter
from services.console.read_model.queries import Queries

router = APIRouter(prefix="/api/v1", tags=["continuity"])


async def read_plan_proofs(
    request: Request, queries: Queries, realm: str, _: Translator
) -> PlanProofs:
    partners = await read_partners(request, queries)
    facts, proofs = await queries.plan_proofs(partners=partners)
    return ProofWriter(facts, _).write_proofs(realm, proofs)


async def read_plan_proof(
    request: Request, queries: Queries, realm: str, id: str, _: Translator
) -> PlanProofDetail:
    """Read the proof of one plan. Raises NotFound."""
    partners = await read_partners(request, queries)
    facts, proof = await queries.plan_proof(id, partners=partners)
    return ProofWriter(facts, _).write_detail(realm, proof)


async def read_partners(request: Request, queries: Queries) -> Mapping[str, Instant]:
    """Read the verifications of the numbers of partners, by token."""
    reference = await queries.reference()
    return read_partner_proofs(request, queries.realm_name, list_contacts(reference))


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
