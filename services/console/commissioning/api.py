"""Serve the readiness of an installation under `/api/v1/commissioning`. Rule D111."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from services.console.commissioning.checks import (
    CONDITIONS,
    CheckState,
    JudgedCondition,
    judge_conditions,
)
from services.console.commissioning.reading import CONFIRMED, read_deeds
from services.console.http.context import RealmName, check_live_realm, check_whole_territory
from services.console.i18n import get_translator
from services.console.resource_base import Resource, Time
from services.runtime.http.problems import MEDIA_TYPE, ProblemError, build_bilingual
from services.runtime.http.request_headers import choose_language
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.http_access import require_permission
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal


class CommissioningCondition(Resource):
    """One condition, computed from deeds."""

    id: str
    title: str
    state: CheckState = Field(description="done, partly, open")
    text: str = Field(description="what was found")
    at: Time | None = Field(description="time of the deed")
    grave: bool = Field(
        description="true if it is missing and a crisis would reach nobody, or data would be lost"
    )
    path: str = Field(description="page that fulfils it")
    command: str | None = Field(description="command line, if no page does it")


class Commissioning(Resource):
    """The readiness of an installation for its first crisis."""

    ready: bool = Field(description="true if every condition is fulfilled")
    done: int = Field(description="number of fulfilled conditions")
    reference: str | None = Field(description="version of the reference data in force")
    items: list[CommissioningCondition]
    next: None = None


router = APIRouter(prefix="/api/v1/commissioning", tags=["system"])
Auditor = Annotated[Principal, Depends(require_permission(Permission.AUDIT_READ))]
Administrator = Annotated[Principal, Depends(require_permission(Permission.ACCESS_ADMIN))]
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    409: {"description": "another version is in force", "content": {MEDIA_TYPE: {}}}
}
_OTHER_VERSION: Final = build_bilingual(
    "Une autre version des données est en vigueur : relisez-la, puis confirmez.",
    "Another version of the data is in force: read it, then confirm.",
)


class ConfirmationBody(BaseModel):
    """The version that a person has read."""

    model_config = ConfigDict(extra="ignore")

    version: str = Field(min_length=1, max_length=64, description="version in force")


@router.get("", summary="Readiness of the installation: each condition, computed from deeds")
async def get_commissioning(
    request: Request, reader: Auditor, realm: RealmName = None
) -> Commissioning:
    return await _read_commissioning(request, check_live_realm(request, reader, realm))


@router.post(
    "/territory",
    responses=_REFUSED,
    summary="Confirm the reference data in force; the register keeps who and when",
)
async def confirm_territory(
    request: Request, author: Administrator, body: ConfirmationBody, realm: RealmName = None
) -> Commissioning:
    live = check_live_realm(request, author, realm)
    check_whole_territory(author)
    state = request.app.state
    reference = await state.model.of(live).reference()
    if reference.version != body.version:
        raise ProblemError("conflict", what=_OTHER_VERSION)
    access: AccessStore = state.access
    access.trace(author, CONFIRMED, body.version)
    return await _read_commissioning(request, live)


async def _read_commissioning(request: Request, realm: str) -> Commissioning:
    deeds = await read_deeds(request, request.app.state.model, realm)
    lang = choose_language(request.headers.get("accept-language"))
    judged_conditions = judge_conditions(deeds, get_translator(lang))
    return build_commissioning(judged_conditions, deeds.live.version, lang)


def build_commissioning(
    judged_conditions: Sequence[JudgedCondition], version: str | None, lang: str
) -> Commissioning:
    """Build the resource of judged conditions."""
    _ = get_translator(lang)
    items = [
        CommissioningCondition(
            id=one.condition.key,
            title=_(one.condition.title),
            state=one.finding.state,
            text=one.finding.text,
            at=one.finding.at,
            grave=one.is_grave,
            path=one.condition.path,
            command=one.condition.command or None,
        )
        for one in judged_conditions
    ]
    done_count = sum(item.state == "done" for item in items)
    return Commissioning(
        ready=done_count == len(CONDITIONS), done=done_count, reference=version, items=items
    )
