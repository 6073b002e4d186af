"""Read the proof of plans for a request: logs, and verified numbers of partners. Rule D85."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request

from schemas.base import Instant
from services.console.directory.numbers import read_partner_proofs
from services.console.directory.view import list_contacts
from services.console.i18n import Translator
from services.console.proof.resources import PlanProofDetail, PlanProofs
from services.console.proof.view import ProofWriter
from services.console.read_model.queries import Queries


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
