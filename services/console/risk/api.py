"""Route for the risk of breach: `/risks`. Rule D132."""

from fastapi import APIRouter

from services.console.http.context import RealmReader
from services.console.risk.resources import BreachRisks

router = APIRouter(prefix="/api/v1/risks", tags=["picture"])


@router.get("", summary="Probability that RTO and DMIA break, as it is and with each open decision")
async def list_risks(reader: RealmReader) -> BreachRisks:
    return await reader.model.breach_risks()
