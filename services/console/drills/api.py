"""Routes for drills that Vigie writes, and for first actions over exercises. Rule D95."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from services.console.drills.composition import MAX_SEED
from services.console.drills.queries import DrillDetail, DrillProposals, ExerciseProgress
from services.console.http.context import LogReader
from services.console.proof.api import read_partners

router = APIRouter(prefix="/api/v1", tags=["realms"])
Seed = Annotated[
    int, Query(ge=1, le=MAX_SEED, description="the same seed gives the same drill all day")
]
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/yaml": {}}, "description": "the exercise file"}
}


@router.get(
    "/exercise-proposals",
    summary="Plans to exercise, the weakest first: people unreached × worst loss × cards (D95)",
)
async def list_exercise_proposals(request: Request, reader: LogReader) -> DrillProposals:
    partners = await read_partners(request, reader.model)
    return await reader.model.drill_proposals(partners=partners)


@router.get(
    "/exercise-proposals/{plan}",
    summary="A drill of 15 minutes for one plan, with expectations, as an exercise file (D95)",
)
async def get_exercise_proposal(
    request: Request, reader: LogReader, plan: str, seed: Seed = 1
) -> DrillDetail:
    partners = await read_partners(request, reader.model)
    return await reader.model.drill(plan, seed, partners=partners)


@router.get(
    "/exercise-proposals/{plan}/file",
    response_class=Response,
    responses=_FILE,
    summary="The exercise file of a drill, for `vigie play` (D95)",
)
async def download_exercise_proposal(
    request: Request, reader: LogReader, plan: str, seed: Seed = 1
) -> Response:
    proposal = await get_exercise_proposal(request, reader, plan, seed)
    name = f"{proposal.document['exercise']}.yaml"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(proposal.file, 200, headers, "application/yaml")


@router.get(
    "/exercise-progress",
    summary="Time to the first useful action of each role over closed exercises (D95)",
)
async def get_exercise_progress(reader: LogReader) -> ExerciseProgress:
    return await reader.model.exercise_progress()
