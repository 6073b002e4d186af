"""Routes for activities with their clocks, alarms, strategies, plans and cards."""

from typing import Annotated, Final, Literal, TypeVar

from fastapi import Depends, Path, Query
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, Field

from schemas.base import is_token
from schemas.commands import (
    ActivatePlan,
    ActivateStrategy,
    ArbitrateAlarm,
    CloseRetex,
    CompleteCard,
    DeclareActivity,
    DeclareDataAge,
    EndStrategy,
    PostponePlan,
    RefusePlan,
    SkipCard,
    StandDownPlan,
    StartCard,
    TickBox,
)
from schemas.continuity import CardProof
from schemas.words import ActivityState, CardState, Level, PlanState
from services.console.continuity.plan_rights import ROLES_FOR_ALL_CARDS, may_work_card_of
from services.console.http.answers import DecisionRouter, Subject, require_text, send_decision
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Limit,
    Multiple,
    PageRequest,
    RealmReader,
    is_limited,
    require_decision,
    set_etag,
    to_instant,
)
from services.console.http.problems import NotFound
from services.console.http.scopes import check_activity, check_pole, check_sites
from services.console.resources import (
    Activity,
    Alarm,
    Contingency,
    Page,
    Plan,
    PlanConflict,
    PlanDetail,
    SiteCard,
    Strategy,
    Trigger,
)
from services.runtime.http.problems import ProblemError, build_fault, build_field_problem
from services.runtime.identity.permissions import Permission, build_forbidden
from services.runtime.secrets.erasure import PHOTOS_FIELD
from services.runtime.secrets.vault import VaultTexts, build_attachment_id

router = DecisionRouter(prefix="/api/v1", tags=["continuity"])
PlanDecider = Annotated[DecisionContext, Depends(require_decision(Permission.PLAN_DECIDE))]
CardWorker = Annotated[DecisionContext, Depends(require_decision(Permission.CARD_WORK))]


class ActivateRequest(DecisionBody):
    incident: str | None = Field(default=None, max_length=64)
    level: Level | None = None


class PostponeRequest(DecisionBody):
    until: AwareDatetime


class StandDownRequest(DecisionBody):
    force: bool = False


class TickRequest(DecisionBody):
    ticked: bool = True


class DeclareRequest(DecisionBody):
    state: ActivityState | None = Field(
        description="null withdraws the declaration: the computed state counts again"
    )
    occurred_at: AwareDatetime | None = None


class DataAgeRequest(DecisionBody):
    age_h: float = Field(ge=0, le=1_000_000)


class StartStrategyRequest(DecisionBody):
    strategy: str = Field(
        max_length=200, description="strategy as listed, or its code alone (`SR-TELE`)"
    )
    expected_capacity_pct: float = Field(ge=0, le=100)
    site: str | None = Field(default=None, max_length=64)
    desks: int | None = Field(default=None, ge=0, le=100_000)
    force: bool = False


class CardRequest(DecisionBody):
    site: str | None = Field(
        default=None, max_length=64, description="site, for a card with one per site"
    )
    member: str | None = Field(
        default=None, max_length=64, description="role, for a card with one per member of a group"
    )


class ProofRequest(BaseModel):
    """Evidence of a card. Rule D84."""

    number: float | None = Field(default=None, allow_inf_nan=False)
    of: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="whole that `number` is a part of, such as people expected",
    )
    at: AwareDatetime | None = Field(
        default=None, description="time to note down, not in the future"
    )
    photo: str | None = Field(
        default=None,
        max_length=64,
        pattern="^[A-Za-z0-9_-]+$",
        description="id of a photo of this realm that `POST /api/v1/attachments` stored",
    )


class CompleteCardRequest(CardRequest):
    proof: ProofRequest | None = None


ACTIVITY = Subject(
    router, "/activities/{id}", "activity", PlanDecider, check_activity, "continuity"
)
PHOTO_WAIT_S: Final = 2.0
"""Time for a photo that was just stored to be seen here."""
_PHOTO_REASON: Final = "Photo jointe."
"""Words of a completion with a photo alone: the text that two people erase with it."""
_START: Final = "Start a card, of a site if every site has its own (D84)"
_COMPLETE: Final = "Complete a card, with its evidence (D84)"
_SKIP: Final = "Mark a card as not applicable, with a reason (D84)"
_CardBody = TypeVar("_CardBody", bound=CardRequest)


def _fill_site(author: DecisionContext, body: _CardBody) -> _CardBody:
    """Name the site of an account that is limited to exactly one, unless the body names one."""
    sites = author.principal.scope.sites
    if body.site is None and len(sites) == 1:
        return body.model_copy(update={"site": next(iter(sites))})
    return body


_NOT_LISTED: Final = build_fault(
    "strategy",
    "unlisted",
    "cette stratégie n’est pas dans la liste de l’activité",
    "the activity does not list this strategy",
)


@router.get("/activities", summary="List the activities with their clocks")
async def list_activities(
    reader: RealmReader,
    state: Multiple[ActivityState],
    pole: str | None = None,
    criticality: Annotated[
        int | None, Query(ge=1, le=4, description="largest number of the criticality")
    ] = None,
    incident: str | None = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[Activity]:
    return await reader.model.activities(
        state=state,
        pole=pole,
        criticality=criticality,
        incident=incident,
        limit=limit,
        cursor=cursor,
    )


@router.get("/activities/{id}", summary="Show one activity with its clocks")
async def get_activity(reader: RealmReader, id: str) -> Activity:
    return await reader.model.activity(id)


@router.decision("/activities/{id}/declare", "Declare its state, as a named person (D41)")
async def declare_activity(author: PlanDecider, id: str, body: DeclareRequest) -> Response:
    await check_activity(author.within(body), id)
    at = to_instant(body.occurred_at) if body.occurred_at else None
    return await send_decision(
        author, body, "continuity", DeclareActivity, activity=id, occurred_at=at
    )


ACTIVITY.forward(
    "/data-age", "Set the age of the restored data (D46)", DeclareDataAge, body=DataAgeRequest
)


@router.decision("/activities/{id}/strategies", "Start a fallback strategy (D51)")
async def start_strategy(author: PlanDecider, id: str, body: StartStrategyRequest) -> Response:
    await check_activity(author.within(body), id)
    if not is_token(body.strategy):
        within = author.within(body)
        activity = (await within.model.reference()).activities.get(id)
        if activity is None or body.strategy not in activity.strategies:
            raise ProblemError("invalid", faults=(_NOT_LISTED,))
    return await send_decision(author, body, "continuity", ActivateStrategy, activity=id)


@router.get("/strategies", summary="List fallback strategies, active or ended")
async def list_strategies(reader: RealmReader, part: PageRequest) -> Page[Strategy]:
    return part.of(await reader.model.strategies())


@router.decision("/strategies/{id:path}/end", "End a fallback strategy")
async def end_strategy(author: PlanDecider, id: str, body: DecisionBody | None = None) -> Response:
    if is_limited(author.principal) or not is_token(id):
        strategies = await author.model.of(author.within(body).realm).strategies()
        if not is_token(id) and all(s.id != id for s in strategies):
            raise NotFound
        await check_activity(
            author.within(body), next((s.activity for s in strategies if s.id == id), None)
        )
    return await send_decision(author, body, "continuity", EndStrategy, strategy=id)


@router.get("/alarms", summary="List the alarms of clocks (D44), newest first")
async def list_alarms(reader: RealmReader, part: PageRequest) -> Page[Alarm]:
    return part.of(await reader.model.alarms())


@router.decision(
    "/alarms/{id}/arbitrate",
    "Record the arbitration that 100 % of an RTO demands; the reason is its text",
)
async def arbitrate_alarm(author: PlanDecider, id: str, body: DecisionBody) -> Response:
    require_text(body.reason)
    if is_limited(author.principal):
        alarms = await author.model.of(author.within(body).realm).alarms()
        await check_activity(
            author.within(body), next((a.activity for a in alarms if a.id == id), None)
        )
    return await send_decision(author, body, "continuity", ArbitrateAlarm, alarm=id)


@router.get(
    "/contingency",
    summary=(
        "Show the losses of sites that would leave vital work undone (N-1, N-2), as computed "
        "by the planner"
    ),
)
async def list_contingency(
    reader: RealmReader,
    part: PageRequest,
    n: Annotated[int | None, Query(ge=1, le=2)] = None,
    lost: Literal["building", "people"] | None = None,
    start: Annotated[
        Literal["quiet", "present"] | None,
        Query(alias="from", description="a quiet day, or the present crisis"),
    ] = None,
) -> Page[Contingency]:
    rankings = await reader.model.contingency()
    return part.of(
        [
            row
            for row in rankings
            if (n is None or row.n == n)
            and (lost is None or row.lost == lost)
            and (start is None or (start == "present") is (row.present is not None))
        ]
    )


@router.get("/triggers", summary="List plan triggers that hold or held")
async def list_triggers(reader: RealmReader, part: PageRequest) -> Page[Trigger]:
    return part.of(await reader.model.triggers())


@router.get(
    "/plan-conflicts", summary="List plans that count on the fallback sites of another plan (D51)"
)
async def list_conflicts(reader: RealmReader, part: PageRequest) -> Page[PlanConflict]:
    plan_conflicts = await reader.model.conflicts()
    return part.of(plan_conflicts, lambda one: f"{one.plan} {one.other} {one.kind}")


@router.get("/plans", summary="List the plans with their states in this realm")
async def list_plans(
    reader: RealmReader,
    state: Multiple[PlanState],
    incident: str | None = None,
    pole: str | None = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[Plan]:
    return await reader.model.plans(
        state=state, incident=incident, pole=pole, limit=limit, cursor=cursor
    )


@router.get(
    "/plans/{id}",
    summary=(
        "Show one plan with its content, the progress of its cards, and the effects of its "
        "activation (D83, D84); its ETag is the version for If-Match"
    ),
)
async def get_plan(reader: RealmReader, id: str, response: Response) -> PlanDetail:
    detail = await reader.model.plan_detail(id)
    set_etag(response, detail.version)
    return detail


@router.get("/site-cards", summary="List the cards of sites and persons of active plans (D84)")
async def list_site_cards(
    reader: RealmReader,
    site: Multiple[str],
    state: Multiple[CardState],
    plan: str | None = None,
    card: str | None = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[SiteCard]:
    return await reader.model.site_cards(
        plan=plan, card=card, sites=site, state=state, limit=limit, cursor=cursor
    )


async def _check_plan_scope(author: DecisionContext, id: str) -> None:
    """Refuse plans outside the author's scope.

    A plan of the whole territory is out of scope for an author limited to some pôles or sites.
    """
    if is_limited(author.principal):
        await check_pole(author, (await author.model.plan(id)).pole, "plan")


PLAN = Subject(router, "/plans/{id}", "plan", PlanDecider, _check_plan_scope, "continuity")


async def _check_photo(author: DecisionContext, photo: str) -> None:
    """Refuse a photo that is not stored, or belongs to another realm."""
    texts: VaultTexts = author.request.app.state.texts
    item = await texts.get(build_attachment_id(photo), wait_s=PHOTO_WAIT_S)
    if item is None or item.raw is None or item.fields.get("realm") != author.realm:
        raise build_field_problem(
            "proof.photo", "unknown", "cette photo n’est pas enregistrée", "no such photo"
        )


async def _check_card_scope(author: DecisionContext, body: CardRequest, id: str, name: str) -> None:
    """Refuse cards of other roles, pôles or sites.

    The cell, the coordinator and the administrator may work on every card.
    """
    if author.principal.role in ROLES_FOR_ALL_CARDS and not is_limited(author.principal):
        return
    within = author.within(body)
    plan = await within.model.plan(id)
    card = next((card for card in plan.cards if card.id == name), None)
    if card is None:
        return  # the decider refuses it
    if card.scope is not None and body.site is not None:
        await check_sites(within, [body.site], "site")
    elif card.pole is not None:
        await check_pole(within, card.pole, "card")
    if not may_work_card_of(author.principal, card.role):
        names = (await within.model.reference()).names
        title = names.roles.get(card.role, card.role)
        raise build_forbidden(author.principal.role, {"fr": title, "en": title})


@router.decision("/plans/{id}/activate", "Activate a plan", versioned=True)
async def activate_plan(
    author: PlanDecider, id: str, body: ActivateRequest | None = None
) -> Response:
    await _check_plan_scope(author.within(body), id)
    body = body or ActivateRequest()
    return await send_decision(author, body, "continuity", ActivatePlan, plan=id)


PLAN.forward("/refuse", "Refuse a proposed plan", RefusePlan, versioned=True)
PLAN.forward(
    "/postpone",
    "Postpone the decision on a proposed plan",
    PostponePlan,
    body=PostponeRequest,
    versioned=True,
)
PLAN.forward(
    "/stand-down", "Stand a plan down", StandDownPlan, body=StandDownRequest | None, versioned=True
)
PLAN.forward(
    "/retex-closed",
    "Close the lessons learned of a plan that was stood down (D48)",
    CloseRetex,
    versioned=True,
)


@router.decision(
    "/plans/{id}/boxes/{box}", "Tick or clear a manual condition of the stand-down (D52)"
)
async def tick_box(
    author: PlanDecider,
    id: str,
    box: Annotated[int, Path(ge=0, le=999)],
    body: TickRequest | None = None,
) -> Response:
    await _check_plan_scope(author.within(body), id)
    return await send_decision(author, body, "continuity", TickBox, plan=id, box=box)


@router.decision("/plans/{id}/cards/{card}:start", _START, operation_id="start_card")
@router.decision("/plans/{id}/cards/{card}/start", _START, operation_id="start_card_legacy")
async def start_card(
    author: CardWorker, id: str, card: str, body: CardRequest | None = None
) -> Response:
    body = _fill_site(author, body or CardRequest())
    await _check_card_scope(author, body, id, card)
    return await send_decision(author, body, "continuity", StartCard, plan=id, card=card)


@router.decision("/plans/{id}/cards/{card}:complete", _COMPLETE, operation_id="complete_card")
@router.decision("/plans/{id}/cards/{card}/done", _COMPLETE, operation_id="complete_card_legacy")
async def complete_card(
    author: CardWorker, id: str, card: str, body: CompleteCardRequest | None = None
) -> Response:
    body = _fill_site(author, body or CompleteCardRequest())
    await _check_card_scope(author, body, id, card)
    proof, photo_words = body.proof, None
    if proof is not None and proof.photo is not None:
        await _check_photo(author.within(body), proof.photo)
        body = body.model_copy(update={"reason": body.reason or _PHOTO_REASON})
        photo_words = {PHOTOS_FIELD: [proof.photo]}
    return await send_decision(
        author,
        body,
        "continuity",
        CompleteCard,
        more_texts=photo_words,
        plan=id,
        card=card,
        proof=proof
        and CardProof(
            number=proof.number,
            of=proof.of,
            at=None if proof.at is None else to_instant(proof.at),
            photo=proof.photo,
        ),
    )


@router.decision("/plans/{id}/cards/{card}:skip", _SKIP, operation_id="skip_card")
@router.decision("/plans/{id}/cards/{card}/not-applicable", _SKIP, operation_id="skip_card_legacy")
async def skip_card(
    author: CardWorker, id: str, card: str, body: CardRequest | None = None
) -> Response:
    body = _fill_site(author, body or CardRequest())
    await _check_card_scope(author, body, id, card)
    return await send_decision(author, body, "continuity", SkipCard, plan=id, card=card)
