"""Routes for hazard clocks: `/hazards`. Rule D124."""

from fastapi import APIRouter

from services.console.hazards.resources import HazardClocks
from services.console.http.context import RealmReader

router = APIRouter(prefix="/api/v1/hazards", tags=["picture"])


@router.get("", summary="Hazards ahead: which site, at what hour, and what to do before")
async def list_hazards(reader: RealmReader) -> HazardClocks:
    return await reader.model.hazards()
